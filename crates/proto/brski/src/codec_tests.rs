//! What is written in JSON and CBOR is read back the same, and CBOR keys may be spelled in any way.

use ciborium::Value as Cbor;
use jiff::Timestamp;
use proptest::prelude::*;

use crate::envelope::{read_request, read_voucher};
use crate::error::{Error, Malformed};
use crate::leaf::Module;
use crate::voucher::{Assertion, Encoding, Nonce, Voucher, VoucherRequest};
use crate::{Compatibility, cbor, json};

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80))
}

fn date() -> impl Strategy<Value = Timestamp> {
    (0_i64..253_402_000_000_000).prop_map(|millis| Timestamp::from_millisecond(millis).unwrap())
}

fn assertion() -> impl Strategy<Value = Assertion> {
    (0_u64..4).prop_map(|number| Assertion::from_number(number).unwrap())
}

fn nonce() -> impl Strategy<Value = Option<Nonce>> {
    proptest::option::of("[!-~]{1,44}".prop_map(Nonce::Text))
}

prop_compose! {
    fn voucher()(
        created_on in date(),
        expires_on in proptest::option::of(date()),
        assertion in assertion(),
        serial_number in "\\PC{1,40}",
        idevid_issuer in bytes(),
        pins in (bytes(), bytes(), bytes()),
        domain_cert_revocation_checks in any::<Option<bool>>(),
        nonce in nonce(),
        last_renewal_date in proptest::option::of(date()),
        texts in (proptest::option::of("\\PC{0,30}"), proptest::option::of("\\PC{0,30}")),
    ) -> Voucher {
        Voucher {
            created_on, expires_on, assertion, serial_number, idevid_issuer,
            pinned_domain_cert: pins.0, pinned_domain_pubk: pins.1, pinned_domain_pubk_sha256: pins.2,
            domain_cert_revocation_checks, nonce, last_renewal_date,
            additional_configuration_url: texts.0, est_domain: texts.1, other: Vec::new(),
        }
    }
}

prop_compose! {
    fn request()(
        created_on in proptest::option::of(date()),
        expires_on in proptest::option::of(date()),
        assertion in proptest::option::of(assertion()),
        serial_number in "\\PC{1,40}",
        idevid_issuer in bytes(),
        pinned_domain_cert in bytes(),
        domain_cert_revocation_checks in any::<Option<bool>>(),
        nonce in nonce(),
        last_renewal_date in proptest::option::of(date()),
        prior_signed_voucher_request in bytes(),
        proximity in (bytes(), bytes(), bytes()),
    ) -> VoucherRequest {
        VoucherRequest {
            created_on, expires_on, assertion, serial_number, idevid_issuer, pinned_domain_cert,
            domain_cert_revocation_checks, nonce, last_renewal_date, prior_signed_voucher_request,
            proximity_registrar_cert: proximity.0, proximity_registrar_pubk: proximity.1,
            proximity_registrar_pubk_sha256: proximity.2, other: Vec::new(),
        }
    }
}

proptest! {
    #[test]
    fn vouchers_survive_json_and_cbor(voucher in voucher()) {
        let text = json::write(Module::Voucher, &voucher.leaves());
        prop_assert_eq!(&read_voucher(&text, Encoding::CmsJson).unwrap(), &voucher);
        let binary = cbor::write(Module::Voucher, &voucher.leaves()).unwrap();
        prop_assert_eq!(&read_voucher(&binary, Encoding::CoseCbor).unwrap(), &voucher);
    }

    #[test]
    fn requests_survive_json_and_cbor(request in request()) {
        let compatibility = Compatibility::default();
        let text = json::write(Module::Request, &request.leaves());
        prop_assert_eq!(&read_request(&text, Encoding::JwsJson, &compatibility).unwrap(), &request);
        let binary = cbor::write(Module::Request, &request.leaves()).unwrap();
        prop_assert_eq!(&read_request(&binary, Encoding::CoseCbor, &compatibility).unwrap(), &request);
    }

    #[test]
    fn no_codec_panics_on_noise(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = json::read(&bytes);
        let _ = cbor::read(&bytes);
    }
}

fn encode(value: &Cbor) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

fn map(entries: Vec<(Cbor, Cbor)>) -> Cbor {
    Cbor::Map(entries)
}

/// cBRSKI §8: a receiver takes names, deltas, absolute SIDs and mixtures.
#[test]
fn cbor_keys_may_be_names_or_sids() {
    let expected = ("A1", Assertion::Logged);
    let serial = || Cbor::from(expected.0);
    let date = || Cbor::from("2026-03-01T12:00:00Z");
    for (top, serial_key, assertion_key, assertion) in [
        (
            Cbor::from(2451),
            Cbor::from(11),
            Cbor::from(1),
            Cbor::from(1),
        ),
        (
            Cbor::from("ietf-voucher:voucher"),
            Cbor::from("serial-number"),
            Cbor::from("assertion"),
            Cbor::from("logged"),
        ),
        (
            Cbor::from(2451),
            Cbor::Tag(47, Box::new(Cbor::from(2462))),
            Cbor::from("ietf-voucher:assertion"),
            Cbor::from(1),
        ),
    ] {
        let document = map(vec![(
            top,
            map(vec![
                (serial_key, serial()),
                (assertion_key, assertion),
                (Cbor::from(2), date()),
            ]),
        )]);
        let voucher = read_voucher(&encode(&document), Encoding::CoseCbor).unwrap();
        assert_eq!(
            (voucher.serial_number.as_str(), voucher.assertion),
            expected
        );
    }
}

/// The older constrained drafts: other SIDs, tagged dates.
#[test]
fn older_constrained_forms_are_refused() {
    let refused = |document: Cbor, reason: Malformed| {
        let error = read_voucher(&encode(&document), Encoding::CoseCbor).unwrap_err();
        assert!(
            matches!(error, Error::Malformed(found) if found == reason),
            "{error:?}"
        );
    };
    refused(
        map(vec![(Cbor::from(1_001_100), map(vec![]))]),
        Malformed::TopLevel,
    );
    refused(
        map(vec![(
            Cbor::from(2451),
            map(vec![(
                Cbor::from(2),
                Cbor::Tag(0, Box::new(Cbor::from("2026-03-01T12:00:00Z"))),
            )]),
        )]),
        Malformed::FieldType,
    );
    refused(
        map(vec![(
            Cbor::from(2451),
            map(vec![(Cbor::from(1), Cbor::from(4))]),
        )]),
        Malformed::Assertion,
    );
    refused(
        map(vec![(
            Cbor::from(2451),
            map(vec![
                (Cbor::from(11), Cbor::from("a")),
                (Cbor::from("serial-number"), Cbor::from("b")),
            ]),
        )]),
        Malformed::DuplicateField,
    );
    refused(map(vec![]), Malformed::TopLevel);
    refused(Cbor::from(1), Malformed::TopLevel);
    refused(
        map(vec![(
            Cbor::from(2451),
            map(vec![(Cbor::Null, Cbor::Null)]),
        )]),
        Malformed::Cbor,
    );
}

#[test]
fn unknown_sids_are_kept_under_their_number() {
    let document = map(vec![(
        Cbor::from(2501),
        map(vec![
            (Cbor::from(13), Cbor::from("A1")),
            (Cbor::from(99), Cbor::Bytes(vec![1, 2, 3])),
            (Cbor::from(14), Cbor::Bytes(vec![4])),
        ]),
    )]);
    let request = read_request(
        &encode(&document),
        Encoding::CoseCbor,
        &Compatibility::default(),
    )
    .unwrap();
    let names: Vec<_> = request
        .other
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["2600", "agent-provided-proximity-registrar-cert"]);
    assert_eq!(request.other[0].value, "AQID");
}
