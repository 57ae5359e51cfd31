//! `COSE_Sign1`.

use ciborium::Value;
use vouchsafe_trust::cose::{
    CertificateHeader, Placement, SignOptions, parse, sign, strip_unprotected_certificates,
};
use vouchsafe_trust::envelope::{
    EnvelopeError, Forbidden, MAX_ENVELOPE_LEN, Malformed, Misuse, NotTrusted, Unsupported,
};
use vouchsafe_trust::{Certificate, PathError, SignatureError};

use crate::world::{ED25519, P256, P384, Party, rules, rules_at};

const CONTENT: &[u8] = b"\xa1\x19\x09\x93\xa0";
const HEADERS: [CertificateHeader; 2] = [CertificateHeader::Bag, CertificateHeader::Chain];
const PLACEMENTS: [Placement; 2] = [Placement::Protected, Placement::Unprotected];

fn with(
    party: &Party,
    certificates: &[Certificate],
    header: CertificateHeader,
    placement: Placement,
) -> Vec<u8> {
    let options = SignOptions {
        certificates,
        header,
        placement,
    };
    sign(CONTENT, &options, &party.signer).unwrap()
}

fn bare(party: &Party) -> Vec<u8> {
    with(party, &[], CertificateHeader::Bag, Placement::Unprotected)
}

fn verdict(party: &Party, message: &[u8]) -> Result<(), EnvelopeError> {
    parse(message)?
        .verify(&party.anchors(), &rules())
        .map(|_| ())
}

/// The four fields of a message, changed and written again.
fn altered(message: &[u8], alter: impl FnOnce(&mut Vec<Value>)) -> Vec<u8> {
    let Value::Tag(18, inner) = ciborium::from_reader(message).unwrap() else {
        panic!("not tag 18")
    };
    let mut fields = inner.into_array().unwrap();
    alter(&mut fields);
    encode(&Value::Tag(18, Box::new(Value::Array(fields))))
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

fn header(entries: &[(i64, Value)]) -> Value {
    Value::Map(
        entries
            .iter()
            .map(|(label, value)| ((*label).into(), value.clone()))
            .collect(),
    )
}

#[test]
fn every_kind_of_key_signs_every_layout_and_its_anchor_accepts() {
    for kind in [P256, P384, ED25519] {
        let party = Party::with("MASA", kind, 2027);
        for (header, placement) in HEADERS.into_iter().zip(PLACEMENTS) {
            for certificates in [&party.chain()[..1], &party.chain()] {
                let message = with(&party, certificates, header, placement);
                let unverified = parse(&message).unwrap();
                assert_eq!(unverified.content(), CONTENT);
                assert_eq!(unverified.certificates(), certificates);
                assert_eq!(unverified.claimed_signer(), Some(&party.certificate));
                let signed = unverified.verify(&party.anchors(), &rules()).unwrap();
                assert_eq!(signed.content, CONTENT);
                assert_eq!(signed.signer, party.certificate);
                assert_eq!(signed.path, party.chain());
                assert!(parse(&message).unwrap().verify_by(&party.proved()).is_ok());
            }
        }
    }
}

/// RFC 9052 §4.2.
#[test]
fn a_bag_has_no_order_and_an_array_of_one_is_read_rfc9360_2() {
    let (masa, other) = (Party::new("MASA"), Party::new("Other"));
    let bytes = |certificate: &Certificate| Value::Bytes(certificate.der().to_vec());
    let carrying = |label: i64, list: Vec<Value>| {
        altered(&bare(&masa), |fields| {
            fields[1] = header(&[(label, Value::Array(list))])
        })
    };
    let mixed = vec![
        bytes(&other.certificate),
        bytes(&masa.root),
        bytes(&masa.certificate),
    ];
    assert_eq!(verdict(&masa, &carrying(32, mixed.clone())), Ok(()));
    // In a chain the first is the signer.
    let invalid = EnvelopeError::from(NotTrusted::Signature(SignatureError::Invalid));
    assert_eq!(verdict(&masa, &carrying(33, mixed)), Err(invalid));
    for label in [32, 33] {
        let one = vec![bytes(&masa.certificate)];
        assert_eq!(verdict(&masa, &carrying(label, one)), Ok(()));
        let empty = carrying(label, Vec::new());
        assert_eq!(parse(&empty).unwrap_err(), Malformed::Cbor.into());
        let crowd = carrying(label, vec![bytes(&masa.certificate); 33]);
        assert_eq!(
            parse(&crowd).unwrap_err(),
            Malformed::TooManyCertificates.into()
        );
    }
}

#[test]
fn stripping_the_bag_keeps_the_signature_cbrski_6_8() {
    let masa = Party::new("MASA");
    for header in HEADERS {
        let message = with(&masa, &masa.chain(), header, Placement::Unprotected);
        let stripped = strip_unprotected_certificates(&message).unwrap();
        assert!(stripped.len() < message.len() - masa.certificate.der().len());
        assert!(parse(&stripped).unwrap().certificates().is_empty());
        assert!(parse(&stripped).unwrap().verify_by(&masa.proved()).is_ok());
        let protected = with(&masa, &masa.chain(), header, Placement::Protected);
        assert_eq!(
            strip_unprotected_certificates(&protected).unwrap(),
            protected
        );
    }
    assert!(strip_unprotected_certificates(b"\xd2\x84").is_err());
}

#[test]
fn without_certificates_the_signer_must_be_known() {
    let (masa, other) = (Party::new("MASA"), Party::new("Other"));
    assert_eq!(
        verdict(&masa, &bare(&masa)),
        Err(NotTrusted::SignerUnknown.into())
    );
    let pinned = vouchsafe_trust::Anchors::one(masa.certificate.clone());
    assert!(
        parse(&bare(&masa))
            .unwrap()
            .verify(&pinned, &rules())
            .is_ok()
    );
    let error = parse(&bare(&other))
        .unwrap()
        .verify_by(&masa.proved())
        .unwrap_err();
    assert_eq!(error, NotTrusted::Signature(SignatureError::Invalid).into());
}

/// RFC 5652 §11, RFC 7515 §10.7, RFC 9052 §3.1.
#[test]
fn an_algorithm_that_is_unprotected_unknown_or_of_another_key_is_refused_rfc9052_3_1() {
    let masa = Party::new("MASA");
    let protected = |value: Vec<u8>| {
        let message = with(
            &masa,
            &masa.chain(),
            CertificateHeader::Chain,
            Placement::Unprotected,
        );
        verdict(
            &masa,
            &altered(&message, |fields| fields[0] = Value::Bytes(value)),
        )
    };
    let unprotected = Err(Forbidden::AlgorithmUnprotected.into());
    assert_eq!(protected(Vec::new()), unprotected);
    assert_eq!(protected(encode(&header(&[]))), unprotected);
    for alg in [-257, -37, -47, 0, 5] {
        let refused = Err(Unsupported::SignatureAlgorithm.into());
        assert_eq!(protected(encode(&header(&[(1, alg.into())]))), refused);
    }
    let mismatch = Err(Forbidden::AlgorithmMismatch.into());
    assert_eq!(protected(encode(&header(&[(1, (-8).into())]))), mismatch);
    let twice = altered(&bare(&masa), |fields| {
        fields[1] = header(&[(1, (-7).into())])
    });
    assert_eq!(parse(&twice).unwrap_err(), Malformed::Repeated.into());
}

/// RFC 9052 §4.2, RFC 7515 §4.1.11, RFC 9052 §3.1.
#[test]
fn unknown_critical_headers_are_refused_rfc9052_3_1() {
    let masa = Party::new("MASA");
    let refused = EnvelopeError::from(Unsupported::CriticalHeader);
    let with = |critical: Value| {
        let map = header(&[(1, (-7).into()), (2, critical), (3, 836.into())]);
        parse(&altered(&bare(&masa), |fields| {
            fields[0] = Value::Bytes(encode(&map))
        }))
    };
    for label in [
        Value::from(4),
        Value::from(-70_000),
        Value::from("new"),
        Value::from(32),
    ] {
        assert_eq!(with(Value::Array(vec![label])).unwrap_err(), refused);
    }
    assert!(with(Value::Array(vec![1.into(), 3.into()])).is_ok());
    assert_eq!(
        with(Value::Array(Vec::new())).unwrap_err(),
        Malformed::Cbor.into()
    );
    let beside = altered(&bare(&masa), |fields| {
        fields[1] = header(&[(2, Value::Array(vec![1.into()]))]);
    });
    assert_eq!(parse(&beside).unwrap_err(), refused);
}

/// RFC 9052 §4.2, RFC 8995 §5.2.
#[test]
fn other_shapes_are_refused() {
    let masa = Party::new("MASA");
    let message = bare(&masa);
    let with = |alter: &dyn Fn(&mut Vec<Value>)| parse(&altered(&message, alter)).unwrap_err();
    let cbor = EnvelopeError::from(Malformed::Cbor);
    assert_eq!(with(&|fields| fields.truncate(3)), cbor);
    assert_eq!(with(&|fields| fields.push(Value::Null)), cbor);
    assert_eq!(with(&|fields| fields.swap(0, 1)), cbor);
    assert_eq!(
        with(&|fields| fields[2] = Value::Null),
        Unsupported::Detached.into()
    );
    let unsigned = with(&|fields| fields[3] = Value::Bytes(Vec::new()));
    assert_eq!(unsigned, Forbidden::Unsigned.into());
    // COSE_Sign with several signers is tag 98; without a tag it could be anything.
    assert_eq!(parse(&message[1..]).unwrap_err(), cbor);
    assert_eq!(
        parse(&[&[0xd8, 98], &message[1..]].concat()).unwrap_err(),
        cbor
    );
    let crowd: Vec<(i64, Value)> = (100..120).map(|label| (label, Value::Null)).collect();
    assert_eq!(with(&|fields| fields[1] = header(&crowd)), cbor);
    let trailing = [message.clone(), vec![0]].concat();
    assert_eq!(
        parse(&trailing).unwrap_err(),
        Malformed::TrailingData.into()
    );
}

#[test]
fn deep_nesting_and_large_claims_are_refused_cheaply() {
    for byte in [0xd2, 0x81, 0xa1, 0x9f, 0xbf, 0x5f, 0xc2] {
        let deep = vec![byte; MAX_ENVELOPE_LEN];
        assert!(parse(&deep).is_err(), "{byte:x}");
        assert!(strip_unprotected_certificates(&deep).is_err(), "{byte:x}");
    }
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        let claim = [&[0xd2, 0x84, head][..], &[0xff; 8], &[0; 64]].concat();
        assert!(parse(&claim).is_err());
    }
    assert_eq!(
        parse(&vec![0; MAX_ENVELOPE_LEN + 1]).unwrap_err(),
        EnvelopeError::TooLarge {
            limit: MAX_ENVELOPE_LEN
        }
    );
}

/// RFC 5280 §6.1.3.
#[test]
fn wrong_anchor_expired_signer_and_other_signer_are_refused() {
    let (masa, stranger) = (Party::new("MASA"), Party::new("Stranger"));
    for header in HEADERS {
        let message = with(&masa, &masa.chain()[..1], header, Placement::Unprotected);
        let unknown = PathError::UnknownIssuer { depth: 0 };
        assert_eq!(verdict(&stranger, &message), Err(unknown.into()));
        let late = rules_at("2030-01-01T00:00:00Z");
        let late = parse(&message).unwrap().verify(&masa.anchors(), &late);
        assert_eq!(late.unwrap_err(), PathError::Expired { depth: 0 }.into());
        let other = parse(&message).unwrap().verify_by(&stranger.proved());
        assert_eq!(other.unwrap_err(), NotTrusted::OtherSigner.into());
    }
}

#[test]
fn no_byte_can_change_and_none_can_be_missing() {
    let masa = Party::new("MASA");
    let message = with(
        &masa,
        &masa.chain()[..1],
        CertificateHeader::Bag,
        Placement::Protected,
    );
    for position in 0..message.len() {
        assert!(
            parse(&message[..position]).is_err(),
            "truncated at {position}"
        );
        for bit in [0x01, 0x20, 0x80] {
            let mut altered = message.clone();
            altered[position] ^= bit;
            assert!(
                verdict(&masa, &altered).is_err(),
                "position {position} is not covered"
            );
        }
    }
}

#[test]
fn a_signer_does_not_borrow_a_certificate() {
    let (masa, other) = (Party::new("MASA"), Party::new("Other"));
    let options = SignOptions {
        certificates: &masa.chain(),
        header: CertificateHeader::Bag,
        placement: Placement::Unprotected,
    };
    let error = sign(CONTENT, &options, &other.signer).unwrap_err();
    assert_eq!(error, Misuse::CertificateOfAnotherKey.into());
}
