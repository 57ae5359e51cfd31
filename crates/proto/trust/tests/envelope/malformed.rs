//! Damaged messages: whatever is cut, doubled or overwritten, reading ends in an error or in the
//! content that was signed, and never in a panic.

use std::sync::LazyLock;

use proptest::prelude::*;
use vouchsafe_trust::{EnvelopeError, Signed, Verified, cms, cose, jws};

use crate::world::{Party, rules};

const CONTENT: &[u8] = br#"{"ietf-voucher:voucher":{"serial-number":"JADA123456789"}}"#;

struct Sample {
    message: Vec<u8>,
    verify: fn(&[u8], &Party) -> Result<Verified<Signed>, EnvelopeError>,
}

static PARTY: LazyLock<Party> = LazyLock::new(|| Party::new("MASA"));

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let chain = PARTY.chain();
    let cms_options = cms::SignOptions {
        content_type: cms::ID_CT_ANIMA_JSON_VOUCHER,
        certificates: &chain,
        signing_time: Some("2026-06-01T00:00:00Z".parse().unwrap()),
    };
    let jws_options = jws::SignOptions {
        typ: Some("voucher-jws+json"),
        certificates: &chain,
        form: jws::Form::General,
    };
    let cose_options = cose::SignOptions {
        certificates: &chain,
        header: cose::CertificateHeader::Bag,
        placement: cose::Placement::Unprotected,
    };
    let cms = cms::sign(CONTENT, &cms_options, &PARTY.signer).unwrap();
    vec![
        Sample {
            message: streamed(&cms),
            verify: verify_cms,
        },
        Sample {
            message: cms,
            verify: verify_cms,
        },
        Sample {
            message: jws::sign(CONTENT, &jws_options, &PARTY.signer).unwrap(),
            verify: |bytes, party| jws::parse(bytes)?.verify(&party.anchors(), &rules()),
        },
        Sample {
            message: cose::sign(CONTENT, &cose_options, &PARTY.signer).unwrap(),
            verify: |bytes, party| cose::parse(bytes)?.verify(&party.anchors(), &rules()),
        },
    ]
});

fn verify_cms(bytes: &[u8], party: &Party) -> Result<Verified<Signed>, EnvelopeError> {
    cms::parse(bytes)?.verify(&party.anchors(), &rules())
}

/// The outermost frame with an indefinite length.
fn streamed(der: &[u8]) -> Vec<u8> {
    assert_eq!(der[..2], [0x30, 0x82]);
    [&[0x30, 0x80], &der[4..], &[0, 0]].concat()
}

#[test]
fn the_samples_are_good() {
    for sample in &*SAMPLES {
        assert_eq!(
            (sample.verify)(&sample.message, &PARTY).unwrap().content,
            CONTENT
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damage_is_an_error_or_changes_nothing(
        which in 0_usize..4,
        at in any::<prop::sample::Index>(),
        cut in 0_usize..12,
        filling in prop::collection::vec(any::<u8>(), 0..12),
        from in any::<prop::sample::Index>(),
        copied in 0_usize..64,
    ) {
        let sample = &SAMPLES[which];
        let at = at.index(sample.message.len());
        let from = from.index(sample.message.len());
        let copy = &sample.message[from..sample.message.len().min(from + copied)];
        let mut damaged = sample.message.clone();
        let end = damaged.len().min(at + cut);
        damaged.splice(at..end, filling.iter().chain(copy).copied());
        if let Ok(signed) = (sample.verify)(&damaged, &PARTY) {
            prop_assert_eq!(&signed.content, CONTENT);
            prop_assert_eq!(&signed.signer, &PARTY.certificate);
        }
    }

    #[test]
    fn noise_is_an_error(noise in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(cms::parse(&noise).is_err());
        prop_assert!(cms::parse_certs_only(&noise).is_err());
        prop_assert!(jws::parse(&noise).is_err());
        prop_assert!(jws::parse_each(&noise).is_err());
        prop_assert!(cose::parse(&noise).is_err());
        prop_assert!(cose::strip_unprotected_certificates(&noise).is_err());
    }
}
