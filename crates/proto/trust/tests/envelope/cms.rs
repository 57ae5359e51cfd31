//! CMS `SignedData`.

use vouchsafe_trust::cms::{
    ID_CT_ANIMA_JSON_VOUCHER, ID_DATA, SignOptions, certs_only, parse, parse_certs_only,
    parse_within, sign,
};
use vouchsafe_trust::envelope::{
    EnvelopeError, Forbidden, MAX_ENVELOPE_LEN, Malformed, Misuse, NotTrusted, Unsupported,
};
use vouchsafe_trust::{Certificate, ParseError, PathError, SignatureError};

use crate::forge::{self, Forge, ForgedSigner, attribute, der, digest, oid};
use crate::world::{ED25519, P256, P384, Party, rules, rules_at};

const CONTENT: &[u8] = br#"{"ietf-voucher:voucher":{}}"#;

fn options(party: &Party) -> SignOptions<'_> {
    SignOptions {
        content_type: ID_CT_ANIMA_JSON_VOUCHER,
        certificates: std::slice::from_ref(&party.certificate),
        signing_time: None,
    }
}

fn signed_by(party: &Party) -> Vec<u8> {
    sign(CONTENT, &options(party), &party.signer).unwrap()
}

/// What `verify` says to a message of `party`'s that the forger altered.
fn forged(party: &Party, alter: impl FnOnce(&mut Forge<'_>)) -> Result<(), EnvelopeError> {
    let mut forge = Forge {
        version: 1,
        content: CONTENT,
        detached: false,
        certificates: vec![party.certificate.clone()],
        signers: vec![ForgedSigner::good(&party.certificate, CONTENT)],
    };
    alter(&mut forge);
    let message = forge.message(&party.signer);
    parse(&message)?
        .verify(&party.anchors(), &rules())
        .map(|_| ())
}

#[test]
fn every_kind_of_key_signs_what_its_anchor_accepts() {
    for kind in [P256, P384, ED25519] {
        let party = Party::with("MASA", kind, 2027);
        for content_type in [ID_DATA, ID_CT_ANIMA_JSON_VOUCHER] {
            let at = "2026-05-31T23:59:58Z".parse().unwrap();
            let chain = party.chain();
            let options = SignOptions {
                content_type,
                certificates: &chain,
                signing_time: Some(at),
            };
            let message = sign(CONTENT, &options, &party.signer).unwrap();

            let unverified = parse(&message).unwrap();
            assert_eq!(unverified.content(), CONTENT);
            assert_eq!(unverified.content_type(), content_type);
            assert_eq!(unverified.claimed_signer(), Some(&party.certificate));
            assert_eq!(unverified.signing_time(), Some(at));

            let signed = unverified.verify(&party.anchors(), &rules()).unwrap();
            assert_eq!(signed.content, CONTENT);
            assert_eq!(signed.content_type, Some(content_type.to_string()));
            assert_eq!(signed.signer, party.certificate);
            assert_eq!(signed.path, party.chain());
            assert_eq!(signed.certificates, party.chain());

            let signed = parse(&message).unwrap().verify_by(&party.proved()).unwrap();
            assert_eq!(signed.signer, party.certificate);
        }
    }
}

#[test]
fn the_version_follows_the_content_type_rfc5652_5_1() {
    let party = Party::new("MASA");
    let version = |content_type| {
        let options = SignOptions {
            content_type,
            ..options(&party)
        };
        let message = sign(CONTENT, &options, &party.signer).unwrap();
        let integer = message.windows(2).position(|two| two == [2, 1]).unwrap();
        message[integer + 2]
    };
    assert_eq!(version(ID_DATA), 1);
    assert_eq!(version(ID_CT_ANIMA_JSON_VOUCHER), 3);
}

#[test]
fn the_forger_without_a_lie_is_accepted() {
    assert_eq!(forged(&Party::new("MASA"), |_| {}), Ok(()));
}

/// RFC 5652 §5.1.
#[test]
fn a_signer_named_by_key_identifier_is_found_rfc5652_5_3() {
    let party = Party::new("MASA");
    let named = |version, certificate: &Certificate| {
        let key_identifier = certificate.key_identifier().unwrap().to_vec();
        forged(&party, |forge| {
            forge.signers[0].version = version;
            forge.signers[0].id = der(0x80, &[key_identifier]);
        })
    };
    assert_eq!(named(3, &party.certificate), Ok(()));
    assert_eq!(
        named(1, &party.certificate),
        Err(Unsupported::Version.into())
    );
    // The authority, whose certificate is the anchor, did not sign.
    let invalid = NotTrusted::Signature(SignatureError::Invalid);
    assert_eq!(named(3, &party.root), Err(invalid.into()));
}

/// RFC 8995 §5.2.
#[test]
fn without_a_signer_it_is_refused_rfc8995_5_2() {
    let result = forged(&Party::new("MASA"), |forge| forge.signers.clear());
    assert_eq!(result, Err(Forbidden::Unsigned.into()));
}

#[test]
fn with_two_signers_it_is_refused() {
    let party = Party::new("MASA");
    let result = forged(&party, |forge| {
        forge
            .signers
            .push(ForgedSigner::good(&party.certificate, CONTENT));
    });
    assert_eq!(result, Err(Forbidden::SeveralSigners.into()));
}

#[test]
fn without_signed_attributes_it_is_refused_rfc8366bis_7_1() {
    let result = forged(&Party::new("MASA"), |forge| {
        forge.signers[0].attributes = None
    });
    assert_eq!(result, Err(Forbidden::SignedAttributesMissing.into()));
}

/// RFC 5652 §11, RFC 5652 §11.2, RFC 5652 §5.6.
#[test]
fn the_message_digest_attribute_must_be_there_once_and_right_rfc5652_11_2() {
    let party = Party::new("MASA");
    let kind = attribute(forge::CONTENT_TYPE, &[oid(forge::DATA)]);
    let right = attribute(forge::MESSAGE_DIGEST, &[digest(CONTENT)]);
    let with = |attributes: Vec<Vec<u8>>| {
        forged(&party, |forge| {
            forge.signers[0].attributes = Some(attributes)
        })
    };
    assert_eq!(
        with(vec![kind.clone()]),
        Err(Forbidden::MessageDigestMissing.into())
    );
    let wrong = attribute(forge::MESSAGE_DIGEST, &[digest(b"other")]);
    assert_eq!(
        with(vec![kind.clone(), wrong.clone()]),
        Err(Forbidden::MessageDigestMismatch.into())
    );
    let repeated = Err(Malformed::Repeated.into());
    assert_eq!(with(vec![kind.clone(), right, wrong]), repeated);
    let two_values = attribute(forge::MESSAGE_DIGEST, &[digest(CONTENT), digest(CONTENT)]);
    assert_eq!(with(vec![kind, two_values]), repeated);
}

/// RFC 5652 §11.1.
#[test]
fn the_content_type_attribute_must_be_there_and_right_rfc5652_11_1() {
    let party = Party::new("MASA");
    let right = attribute(forge::MESSAGE_DIGEST, &[digest(CONTENT)]);
    let with = |attributes: Vec<Vec<u8>>| {
        forged(&party, |forge| {
            forge.signers[0].attributes = Some(attributes)
        })
    };
    assert_eq!(
        with(vec![right.clone()]),
        Err(Forbidden::ContentTypeMissing.into())
    );
    let other = attribute(forge::CONTENT_TYPE, &[oid(ID_CT_ANIMA_JSON_VOUCHER)]);
    assert_eq!(
        with(vec![other, right]),
        Err(Forbidden::ContentTypeMismatch.into())
    );
}

/// RFC 5652 §5.6.
#[test]
fn sha1_and_mixed_hashes_are_refused() {
    let party = Party::new("MASA");
    let digest = |digest| forged(&party, |forge| forge.signers[0].digest = digest);
    assert_eq!(digest(forge::SHA1), Err(Unsupported::Digest.into()));
    // SHA-512 is named, and the attribute is a SHA-256 digest.
    assert_eq!(
        digest(forge::SHA512),
        Err(Forbidden::MessageDigestMismatch.into())
    );
    let sha1_signature = forged(&party, |forge| {
        forge.signers[0].algorithm = forge::ECDSA_SHA1
    });
    assert_eq!(
        sha1_signature,
        Err(NotTrusted::Signature(SignatureError::Sha1).into())
    );
    let of_rsa = forged(&party, |forge| {
        forge.signers[0].algorithm = vouchsafe_trust::oid::RSA_SHA256;
    });
    assert_eq!(of_rsa, Err(Forbidden::AlgorithmMismatch.into()));
    let mixed = forged(&party, |forge| {
        forge.signers[0].algorithm = vouchsafe_trust::oid::ECDSA_SHA512;
    });
    assert_eq!(mixed, Err(Forbidden::AlgorithmMismatch.into()));
}

/// RFC 5652 §5.1.
#[test]
fn detached_content_and_unknown_versions_are_refused() {
    let party = Party::new("MASA");
    let detached = forged(&party, |forge| forge.detached = true);
    assert_eq!(detached, Err(Unsupported::Detached.into()));
    for version in [0, 2, 4, 5] {
        let result = forged(&party, |forge| forge.version = version);
        assert_eq!(result, Err(Unsupported::Version.into()));
    }
}

/// RFC 5280 §6.1.3.
#[test]
fn a_signer_under_another_anchor_is_refused() {
    let (masa, stranger) = (Party::new("MASA"), Party::new("Stranger"));
    let error = parse(&signed_by(&masa))
        .unwrap()
        .verify(&stranger.anchors(), &rules());
    assert_eq!(
        error.unwrap_err(),
        PathError::UnknownIssuer { depth: 0 }.into()
    );
    // The same names with other keys do not help.
    let impostor = Party::new("MASA");
    let error = parse(&signed_by(&impostor))
        .unwrap()
        .verify(&masa.anchors(), &rules());
    assert!(matches!(error.unwrap_err(), EnvelopeError::Path(_)));
}

/// RFC 5280 §6.1.3.
#[test]
fn a_signer_outside_its_validity_is_refused() {
    let masa = Party::new("MASA");
    let at = |at| {
        parse(&signed_by(&masa))
            .unwrap()
            .verify(&masa.anchors(), &rules_at(at))
    };
    assert_eq!(
        at("2028-01-01T00:00:00Z").unwrap_err(),
        PathError::Expired { depth: 0 }.into()
    );
    let early = at("2025-01-01T00:00:00Z").unwrap_err();
    assert!(matches!(
        early,
        EnvelopeError::Path(PathError::NotYetValid { .. })
    ));
}

#[test]
fn a_signer_whose_certificate_is_absent_is_refused_unless_it_is_known() {
    let masa = Party::new("MASA");
    let stripped = forged(&masa, |forge| forge.certificates.clear());
    assert_eq!(stripped, Err(NotTrusted::SignerUnknown.into()));

    let forge = Forge {
        version: 1,
        content: CONTENT,
        detached: false,
        certificates: Vec::new(),
        signers: vec![ForgedSigner::good(&masa.certificate, CONTENT)],
    };
    let message = forge.message(&masa.signer);
    assert!(parse(&message).unwrap().verify_by(&masa.proved()).is_ok());
    let other = parse(&message)
        .unwrap()
        .verify_by(&Party::new("Other").proved());
    assert_eq!(other.unwrap_err(), NotTrusted::OtherSigner.into());
    let anchor = vouchsafe_trust::Anchors::one(masa.certificate.clone());
    assert!(parse(&message).unwrap().verify(&anchor, &rules()).is_ok());
}

#[test]
fn a_message_of_another_than_the_proved_signer_is_refused() {
    let (device, thief) = (Party::new("Device"), Party::new("Thief"));
    let error = parse(&signed_by(&thief))
        .unwrap()
        .verify_by(&device.proved())
        .unwrap_err();
    assert_eq!(error, NotTrusted::OtherSigner.into());
    // Claiming the device's certificate without its key does not help.
    let claimed = Forge {
        version: 1,
        content: CONTENT,
        detached: false,
        certificates: vec![device.certificate.clone()],
        signers: vec![ForgedSigner::good(&device.certificate, CONTENT)],
    };
    let error = parse(&claimed.message(&thief.signer))
        .unwrap()
        .verify_by(&device.proved());
    assert_eq!(
        error.unwrap_err(),
        NotTrusted::Signature(SignatureError::Invalid).into()
    );
}

/// RFC 5652 §5.1, RFC 5652 §5.6.
#[test]
fn no_byte_can_change_and_none_can_be_missing() {
    let masa = Party::new("MASA");
    let message = signed_by(&masa);
    let accepts = |bytes: &[u8]| {
        parse(bytes)
            .ok()
            .and_then(|view| view.verify(&masa.anchors(), &rules()).ok())
    };
    let original = accepts(&message).unwrap();
    for position in 0..message.len() {
        assert!(
            parse(&message[..position]).is_err(),
            "truncated at {position}"
        );
        for bit in [0x01, 0x80] {
            let mut altered = message.clone();
            altered[position] ^= bit;
            // Bytes that nothing covers (the digest list before the content, for one) may change
            // as long as nothing that is reported does.
            if let Some(signed) = accepts(&altered) {
                assert_eq!(signed.content, original.content, "position {position}");
                assert_eq!(signed.signer, original.signer, "position {position}");
                assert_eq!(
                    signed.content_type, original.content_type,
                    "position {position}"
                );
            }
        }
    }
    let start = message
        .windows(CONTENT.len())
        .position(|part| part == CONTENT)
        .unwrap();
    for position in start..start + CONTENT.len() {
        let mut altered = message.clone();
        altered[position] ^= 0x20;
        let error = parse(&altered)
            .unwrap()
            .verify(&masa.anchors(), &rules())
            .unwrap_err();
        assert_eq!(error, Forbidden::MessageDigestMismatch.into());
    }
    let trailing = [message, vec![0]].concat();
    assert_eq!(
        parse(&trailing).unwrap_err(),
        EnvelopeError::Malformed(Malformed::Asn1(ParseError::TrailingData))
    );
}

#[test]
fn oversized_messages_are_refused_unread() {
    let masa = Party::new("MASA");
    let message = sign(&vec![b' '; MAX_ENVELOPE_LEN], &options(&masa), &masa.signer).unwrap();
    assert_eq!(
        parse(&message).unwrap_err(),
        EnvelopeError::TooLarge {
            limit: MAX_ENVELOPE_LEN
        }
    );
    let large = parse_within(&message, message.len()).unwrap();
    assert!(large.verify(&masa.anchors(), &rules()).is_ok());
    let crowd = vec![masa.certificate.clone(); 33];
    let error = sign(
        CONTENT,
        &SignOptions {
            certificates: &crowd,
            ..options(&masa)
        },
        &masa.signer,
    )
    .and_then(|message| parse(&message));
    assert_eq!(error.unwrap_err(), Malformed::TooManyCertificates.into());
}

#[test]
fn a_signer_does_not_borrow_a_certificate() {
    let (masa, other) = (Party::new("MASA"), Party::new("Other"));
    let error = sign(CONTENT, &options(&masa), &other.signer).unwrap_err();
    assert_eq!(error, Misuse::CertificateOfAnotherKey.into());
    let none = SignOptions {
        certificates: &[],
        ..options(&masa)
    };
    let error = sign(CONTENT, &none, &masa.signer).unwrap_err();
    assert_eq!(error, Misuse::CertificateMissing.into());
}

/// RFC 8995 §5.2.
#[test]
fn certificates_alone_go_there_and_back_rfc7030_4_1_3() {
    let party = Party::new("Domain");
    let message = certs_only(&party.chain());
    assert_eq!(parse_certs_only(&message).unwrap(), party.chain());
    assert_eq!(parse(&message).unwrap_err(), Forbidden::Unsigned.into());
    assert_eq!(
        parse_certs_only(&signed_by(&party)).unwrap_err(),
        Forbidden::SeveralSigners.into()
    );
}
