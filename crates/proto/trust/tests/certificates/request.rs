//! RFC 2986: requests say what they were built to say, and prove possession.

use vouchsafe_trust::{
    Attribute, CertificateRequest, Extension, Name, Oid, ParseError, RequestContent, RequestError,
    SignatureError, Signer, SubjectAltName, oid,
};

use super::support::*;

fn content() -> RequestContent {
    RequestContent {
        subject: idevid_name("42"),
        subject_alt_names: vec![SubjectAltName::Dns("lamp.example".into())],
        extensions: vec![Extension {
            oid: oid::EXTENDED_KEY_USAGE,
            critical: false,
            value: tlv(0x30, &tlv(0x06, oid::CLIENT_AUTH.as_bytes())),
        }],
        challenge_password: Some("YWJj+/==".into()),
        attributes: vec![Attribute {
            oid: Oid::new_unwrap("1.3.6.1.4.1.99999.3"),
            values: vec![vec![5, 0]],
        }],
    }
}

#[test]
fn a_request_reads_back_what_it_was_built_of_with_every_kind_of_key() {
    for algorithm in [P256, P384, ED25519] {
        let signer = signer(algorithm);
        let der = CertificateRequest::build(&content(), signer.as_ref()).unwrap();
        let request = CertificateRequest::verify(&der).unwrap();
        assert_eq!(request.subject(), &content().subject);
        assert_eq!(request.public_key(), signer.public_key());
        assert_eq!(
            request.subject_alt_names().unwrap(),
            content().subject_alt_names
        );
        assert_eq!(request.extensions().len(), 2);
        assert_eq!(
            request.extension(&oid::EXTENDED_KEY_USAGE),
            content().extensions.first()
        );
        assert_eq!(request.challenge_password(), Some("YWJj+/=="));
        assert_eq!(
            request.attribute(&content().attributes[0].oid),
            content().attributes.first()
        );
        assert_eq!(
            CertificateRequest::from_pem(&request.pem()).unwrap(),
            request.clone().into_inner()
        );
    }
    let bare = RequestContent::new(Name::new(&[]).unwrap());
    let der = CertificateRequest::build(&bare, signer(P256).as_ref()).unwrap();
    let request = CertificateRequest::verify(&der).unwrap();
    assert!(request.attributes().is_empty());
    assert_eq!(request.challenge_password(), None);
}

/// RFC 2986 §4.2.
#[test]
fn rfc_2986_4_2_a_request_for_a_key_that_the_requester_lacks_is_refused() {
    let (own, other) = (signer(P256), signer(P256));
    let der = CertificateRequest::build(&content(), &Claims(own.as_ref(), other.as_ref())).unwrap();
    assert_eq!(
        CertificateRequest::verify(&der).unwrap_err(),
        RequestError::ProofOfPossession(SignatureError::Invalid)
    );
    // It can still be looked at.
    let request = CertificateRequest::parse(&der).unwrap();
    assert_eq!(request.public_key(), other.public_key());
}

/// Signs with the first key and claims the second.
#[derive(Debug)]
struct Claims<'a>(&'a dyn Signer, &'a dyn Signer);

impl Signer for Claims<'_> {
    fn algorithm(&self) -> vouchsafe_trust::SignatureAlgorithm {
        self.0.algorithm()
    }

    fn public_key(&self) -> &vouchsafe_trust::PublicKey {
        self.1.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, vouchsafe_trust::SignError> {
        self.0.sign(message)
    }
}

/// RFC 2986 §4.2.
#[test]
fn an_altered_request_is_refused() {
    let mut der = CertificateRequest::build(&content(), signer(P256).as_ref()).unwrap();
    let place = der.windows(2).position(|two| two == b"42").unwrap();
    der[place] = b'5';
    assert_eq!(
        CertificateRequest::verify(&der).unwrap_err(),
        RequestError::ProofOfPossession(SignatureError::Invalid)
    );
}

/// RFC 5280 §4.2.
#[test]
fn ambiguous_or_oversized_requests_are_refused() {
    let signer = signer(P256);
    let refused = |content: &RequestContent| {
        let der = CertificateRequest::build(content, signer.as_ref()).unwrap();
        CertificateRequest::verify(&der).unwrap_err()
    };
    let mut twice = content();
    twice.attributes.push(twice.attributes[0].clone());
    assert_eq!(
        refused(&twice),
        RequestError::Malformed(ParseError::DuplicateExtension)
    );
    // RFC 2985 §5.4.2: extensionRequest is single-valued.
    let mut two_lists = RequestContent::new(name("a"));
    two_lists.attributes = vec![Attribute {
        oid: oid::EXTENSION_REQUEST,
        values: vec![vec![0x30, 0], vec![0x30, 0]],
    }];
    assert_eq!(
        refused(&two_lists),
        RequestError::Malformed(ParseError::Value)
    );
    let mut large = content();
    large.challenge_password = Some("x".repeat(vouchsafe_trust::MAX_REQUEST_LENGTH));
    assert_eq!(
        refused(&large),
        RequestError::Malformed(ParseError::TooLarge)
    );
}
