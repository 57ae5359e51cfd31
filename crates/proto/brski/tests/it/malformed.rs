//! Whatever comes from outside, nothing panics, and nothing altered is accepted.

use proptest::prelude::*;
use vouchsafe_brski::csrattrs::CsrAttributes;
use vouchsafe_brski::est::{self, ServerKey};
use vouchsafe_brski::pledge::verify_voucher;
use vouchsafe_brski::{
    Encoding, Error, Inspection, Malformed, audit::AuditLog, inspect, telemetry::StatusReport,
};

use crate::world::{World, forge};

/// Every truncation is refused by every reader.
#[test]
fn truncated_messages_are_refused_at_every_byte() {
    let world = World::new();
    for encoding in Encoding::ALL {
        let pledge = world.pledge_request(encoding);
        for length in 0..pledge.len() {
            assert!(
                world.at_registrar(&pledge[..length], encoding).is_err(),
                "{length}"
            );
            let _ = inspect(&pledge[..length]);
        }
        let registrar = world.registrar_request(encoding);
        for length in 0..registrar.len() {
            assert!(
                world.at_masa(&registrar[..length], encoding).is_err(),
                "{length}"
            );
        }
        let voucher = world.voucher(encoding);
        for length in 0..voucher.len() {
            assert!(
                world.at_pledge(&voucher[..length], encoding).is_err(),
                "{length}"
            );
        }
    }
}

/// A flipped bit is refused, or it stood where nothing is said: the fields stay what they were.
#[test]
fn flipped_bits_never_change_what_is_accepted() {
    let world = World::new();
    for encoding in Encoding::ALL {
        let voucher = world.voucher(encoding);
        let genuine = world.at_pledge(&voucher, encoding).unwrap();
        for position in 0..voucher.len() {
            let mut altered = voucher.clone();
            altered[position] ^= 1 << (position % 8);
            if let Ok(accepted) = world.at_pledge(&altered, encoding) {
                assert_eq!(*accepted, *genuine, "{encoding:?} {position}");
            }
            let _ = inspect(&altered);
        }
        let pledge = world.pledge_request(encoding);
        let genuine = world.at_registrar(&pledge, encoding).unwrap();
        for position in 0..pledge.len() {
            let mut altered = pledge.clone();
            altered[position] ^= 1 << (position % 8);
            if let Ok(accepted) = world.at_registrar(&altered, encoding) {
                assert_eq!(accepted.request, genuine.request, "{encoding:?} {position}");
            }
        }
        let registrar = world.registrar_request(encoding);
        let genuine = world.at_masa(&registrar, encoding).unwrap();
        for position in 0..registrar.len() {
            let mut altered = registrar.clone();
            altered[position] ^= 1 << (position % 8);
            if let Ok(accepted) = world.at_masa(&altered, encoding) {
                assert_eq!(accepted.request, genuine.request, "{encoding:?} {position}");
            }
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "[".repeat(100_000);
    for text in [
        format!(r#"{{"ietf-voucher:voucher":{{"x":{deep}"#),
        deep.clone(),
    ] {
        assert!(inspect(text.as_bytes()).is_err());
        assert!(AuditLog::from_json(text.as_bytes()).is_err());
        assert!(StatusReport::from_json(text.as_bytes()).is_err());
    }
    let world = World::new();
    let arrays = vec![0x81; 10_000];
    let bytes = crate::world::sign(
        &arrays,
        Encoding::CoseCbor,
        &world.device.chain,
        &*world.device.signer,
    );
    assert!(matches!(
        world.at_registrar(&bytes, Encoding::CoseCbor).unwrap_err(),
        Error::Malformed(Malformed::Cbor)
    ));
}

/// Unknown fields are read before any signature is checked, so their number is bounded.
#[test]
fn more_unknown_fields_than_the_limit_are_refused() {
    let world = World::new();
    for (count, fits) in [(64, true), (65, false), (2_000, false)] {
        for encoding in [Encoding::CmsJson, Encoding::JwsJson] {
            let bytes = forge(
                &world.pledge_request(encoding),
                encoding,
                &world.device,
                |fields| {
                    for number in 0..count {
                        fields.insert(format!("{number:x}"), 1.into());
                    }
                },
            );
            match world.at_registrar(&bytes, encoding) {
                Ok(_) => assert!(fits, "{count}"),
                Err(error) => {
                    assert!(!fits, "{count}: {error}");
                    assert_eq!(error.reason_code(), "too-many-fields");
                }
            }
        }
    }
}

/// RFC 8366 §5.4: what is no signed message of a known encoding is not guessed at.
#[test]
fn bytes_of_no_known_encoding_are_refused_by_name() {
    for bytes in [&b""[..], b"%%%", b"\x04\x01a", b"plain text"] {
        let error = inspect(bytes).unwrap_err();
        assert_eq!(error.reason_code(), "encoding-unknown", "{bytes:?}");
    }
}

#[test]
fn an_inspection_shows_what_the_rules_ignore() {
    let world = World::new();
    for encoding in Encoding::ALL {
        let shown: Inspection = inspect(&world.registrar_request(encoding)).unwrap();
        assert_eq!(shown.kind, "registrar-voucher-request");
        assert_eq!(shown.encoding, encoding);
        let inside = shown.prior.as_ref().unwrap();
        assert_eq!(inside.kind, "pledge-voucher-request");
        assert_eq!(inside.fields["assertion"], "proximity");
        assert!(shown.remarks.is_empty(), "{:?}", shown.remarks);
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(json["media-type"], encoding.media_type());
        let voucher = inspect(&world.voucher(encoding)).unwrap();
        assert_eq!(voucher.kind, "voucher");
        assert_eq!(
            voucher.domain_id,
            Some(vouchsafe_brski::audit::domain_id(
                world.domain.authority.certificate()
            ))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_reader_panics_on_noise(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = inspect(&bytes);
        let _ = AuditLog::from_json(&bytes);
        let _ = StatusReport::from_json(&bytes);
        let _ = CsrAttributes::from_der(&bytes);
        let _ = est::decode_body(&bytes);
        let _ = est::parse_certs_only(&bytes);
        let _ = est::parse_request(&bytes);
        let _ = ServerKey::parse(est::MEDIA_TYPE_SERVER_KEY, &bytes);
    }

    #[test]
    fn no_reader_panics_on_json_like_noise(text in r#"[\[\]{}":,a-z0-9\\ -]{0,200}"#) {
        let _ = inspect(text.as_bytes());
        let _ = AuditLog::from_json(text.as_bytes());
        let _ = StatusReport::from_json(text.as_bytes());
        let _ = ServerKey::parse(&text, text.as_bytes());
        let _ = Encoding::from_media_type(&text);
        let _ = Encoding::from_accept(Some(&text), Encoding::CmsJson);
        let _ = vouchsafe_brski::idevid::normalize_masa_url(&text);
    }

    #[test]
    fn a_voucher_survives_whatever_its_nonce_is(nonce in "[ -~]{12,30}") {
        let world = World::new();
        let bytes = forge(
            &world.voucher(Encoding::JwsJson),
            Encoding::JwsJson,
            &world.masa,
            |fields| { fields.insert("nonce".into(), nonce.clone().into()); },
        );
        let nonce = vouchsafe_brski::Nonce::Text(nonce);
        let voucher =
            verify_voucher(&bytes, Encoding::JwsJson, &world.voucher_rules(Some(&nonce))).unwrap();
        prop_assert_eq!(voucher.nonce.as_ref(), Some(&nonce));
    }
}
