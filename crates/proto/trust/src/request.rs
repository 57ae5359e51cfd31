//! Certificate requests (PKCS #10, RFC 2986; attributes of RFC 2985).
//!
//! 1. The requester builds and signs ([`CertificateRequest::build`]): proof that it has the key.
//! 2. The authority verifies ([`CertificateRequest::verify`]) before it reads anything as a wish.

use std::fmt;

use crate::asn1::{self, Reader};
use crate::certificate::{
    Extension, MAX_EXTENSIONS, SubjectAltName, pem_block, pem_blocks, read_extensions,
    read_subject_alt_names, write_extension,
};
use crate::error::{IssueError, ParseError, RequestError, SignatureError};
use crate::key::{PublicKey, SignatureAlgorithm};
use crate::name::Name;
use crate::oid::{self, Oid};
use crate::profile::{self, write_subject_alt_names};
use crate::signer::Signer;
use crate::verified::Verified;

/// Largest request that is read, in octets.
pub const MAX_REQUEST_LENGTH: usize = 64 * 1024;

/// Most attributes in one request.
pub const MAX_ATTRIBUTES: usize = 64;

/// One attribute: a type and its values, each in DER (RFC 2986 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// What it is.
    pub oid: Oid,
    /// Its values.
    pub values: Vec<Vec<u8>>,
}

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContent {
    /// The subject asked for.
    pub subject: Name,
    /// subjectAltName asked for; left out when empty.
    pub subject_alt_names: Vec<SubjectAltName>,
    /// Further extensions asked for.
    pub extensions: Vec<Extension>,
    /// challengePassword: in EST the channel binding (RFC 7030 §3.5).
    pub challenge_password: Option<String>,
    /// Further attributes.
    pub attributes: Vec<Attribute>,
}

impl RequestContent {
    /// A request for nothing but a subject.
    pub fn new(subject: Name) -> Self {
        Self {
            subject,
            subject_alt_names: Vec::new(),
            extensions: Vec::new(),
            challenge_password: None,
            attributes: Vec::new(),
        }
    }
}

/// A certificate request as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    der: Vec<u8>,
    info: Vec<u8>,
    subject: Name,
    public_key: PublicKey,
    attributes: Vec<Attribute>,
    extensions: Vec<Extension>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl CertificateRequest {
    /// Makes a request for the signer's key, in DER.
    pub fn build(content: &RequestContent, signer: &dyn Signer) -> Result<Vec<u8>, IssueError> {
        let algorithm = signer.algorithm().algorithm_identifier();
        let info = asn1::encode(asn1::SEQUENCE, |out| {
            asn1::write_unsigned(out, &[0]);
            out.extend_from_slice(content.subject.der());
            out.extend_from_slice(signer.public_key().spki_der());
            asn1::write(out, asn1::context_constructed(0), |out| {
                // X.690 §11.6: the members of a SET OF in the order of their encodings.
                let mut attributes = encode_attributes(content);
                attributes.sort_unstable();
                out.extend(attributes.into_iter().flatten());
            });
        });
        let signature = signer.sign(&info)?;
        Ok(asn1::encode(asn1::SEQUENCE, |out| {
            out.extend_from_slice(&info);
            out.extend_from_slice(&algorithm);
            asn1::write_bit_string(out, &signature);
        }))
    }

    /// Reads a request, at most [`MAX_REQUEST_LENGTH`] octets, without verifying anything.
    pub fn parse(der: &[u8]) -> Result<Self, ParseError> {
        if der.len() > MAX_REQUEST_LENGTH {
            return Err(ParseError::TooLarge);
        }
        let mut outer = Reader::only(der, asn1::SEQUENCE)?;
        let info = outer.expect_element(asn1::SEQUENCE)?;
        let signature_algorithm = outer.expect_element(asn1::SEQUENCE)?.raw;
        let signature = outer.bit_string_octets()?;
        outer.finish()?;
        let mut fields = Reader::new(info.body);
        if fields.small_integer()? != 0 {
            return Err(ParseError::Version);
        }
        let subject = Name::from_der(fields.expect_element(asn1::SEQUENCE)?.raw)?;
        let public_key = PublicKey::parse(fields.expect_element(asn1::SEQUENCE)?.raw)
            .map_err(|_| ParseError::Value)?;
        // RFC 2986 §4.1 makes the empty set mandatory; requests without it exist.
        let attributes = match fields.optional(asn1::context_constructed(0))? {
            Some(body) => read_attributes(body)?,
            None => Vec::new(),
        };
        fields.finish()?;
        let extensions = requested_extensions(&attributes)?;
        Ok(Self {
            der: der.to_vec(),
            info: info.raw.to_vec(),
            subject,
            public_key,
            attributes,
            extensions,
            signature_algorithm: signature_algorithm.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// Reads the first request of a PEM text.
    pub fn from_pem(pem: &str) -> Result<Self, ParseError> {
        let block = pem_blocks(pem, "CERTIFICATE REQUEST")?
            .into_iter()
            .next()
            .ok_or(ParseError::Pem)?;
        Self::parse(&block)
    }

    /// Reads a request and proves that the requester has the private key (RFC 2986 §4.2).
    pub fn verify(der: &[u8]) -> Result<Verified<Self>, RequestError> {
        let request = Self::parse(der)?;
        request.check_signature()?;
        Ok(Verified::new(request))
    }

    fn check_signature(&self) -> Result<(), SignatureError> {
        // The key comes from a stranger: refuse weak and malformed ones before using it.
        let key = PublicKey::from_spki_der(self.public_key.spki_der())?;
        let algorithm =
            SignatureAlgorithm::from_algorithm_identifier(&self.signature_algorithm, &key)?;
        key.verify(algorithm, &self.info, &self.signature)
    }

    /// The request in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The request as a PEM block.
    pub fn pem(&self) -> String {
        pem_block("CERTIFICATE REQUEST", &self.der)
    }

    /// The subject asked for.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The key to be certified.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// All attributes.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// One attribute.
    pub fn attribute(&self, wanted: &Oid) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.oid == *wanted)
    }

    /// The extensions asked for (extensionRequest).
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// One extension asked for.
    pub fn extension(&self, wanted: &Oid) -> Option<&Extension> {
        self.extensions
            .iter()
            .find(|extension| extension.oid == *wanted)
    }

    /// The subjectAltName asked for; empty when absent.
    pub fn subject_alt_names(&self) -> Result<Vec<SubjectAltName>, ParseError> {
        self.extension(&oid::SUBJECT_ALT_NAME)
            .map_or(Ok(Vec::new()), |extension| {
                read_subject_alt_names(&extension.value)
            })
    }

    /// challengePassword, when it is a string.
    pub fn challenge_password(&self) -> Option<&str> {
        let value = self.attribute(&oid::CHALLENGE_PASSWORD)?.values.first()?;
        let element = Reader::new(value).element().ok()?;
        match element.tag {
            asn1::UTF8_STRING | asn1::PRINTABLE_STRING | asn1::IA5_STRING => {
                std::str::from_utf8(element.body).ok()
            }
            _ => None,
        }
    }
}

impl fmt::Debug for CertificateRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "CertificateRequest({}, {:?})",
            self.subject, self.public_key
        )
    }
}

fn encode_attributes(content: &RequestContent) -> Vec<Vec<u8>> {
    let mut encoded = Vec::new();
    let mut add = |oid: Oid, values: &[Vec<u8>]| {
        encoded.push(asn1::encode(asn1::SEQUENCE, |out| {
            asn1::write_oid(out, oid);
            asn1::write(out, asn1::SET, |out| {
                let mut values = values.to_vec();
                values.sort_unstable();
                out.extend(values.into_iter().flatten());
            });
        }));
    };
    if !content.subject_alt_names.is_empty() || !content.extensions.is_empty() {
        let extensions = asn1::encode(asn1::SEQUENCE, |out| {
            if !content.subject_alt_names.is_empty() {
                let critical = content.subject.is_empty();
                profile::write(out, oid::SUBJECT_ALT_NAME, critical, |out| {
                    write_subject_alt_names(out, &content.subject_alt_names);
                });
            }
            for extension in &content.extensions {
                write_extension(out, extension);
            }
        });
        add(oid::EXTENSION_REQUEST, &[extensions]);
    }
    if let Some(password) = &content.challenge_password {
        // RFC 2985 §5.4.1: PrintableString where it fits; base64 does.
        let printable = password
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&octet));
        let tag = if printable {
            asn1::PRINTABLE_STRING
        } else {
            asn1::UTF8_STRING
        };
        let value = asn1::encode(tag, |out| out.extend_from_slice(password.as_bytes()));
        add(oid::CHALLENGE_PASSWORD, &[value]);
    }
    for attribute in &content.attributes {
        add(attribute.oid, &attribute.values);
    }
    encoded
}

fn read_attributes(body: &[u8]) -> Result<Vec<Attribute>, ParseError> {
    let mut list = Reader::new(body);
    let mut attributes: Vec<Attribute> = Vec::new();
    while !list.is_empty() {
        if attributes.len() >= MAX_ATTRIBUTES {
            return Err(ParseError::TooLarge);
        }
        let mut fields = list.sequence()?;
        let oid = fields.oid()?;
        let mut set = fields.nested(asn1::SET)?;
        fields.finish()?;
        let mut values = Vec::new();
        while !set.is_empty() {
            if values.len() >= MAX_EXTENSIONS {
                return Err(ParseError::TooLarge);
            }
            values.push(set.element()?.raw.to_vec());
        }
        // Two of a kind: which one was meant is a guess, so nobody guesses.
        if attributes.iter().any(|known| known.oid == oid) {
            return Err(ParseError::DuplicateExtension);
        }
        attributes.push(Attribute { oid, values });
    }
    Ok(attributes)
}

/// RFC 2985 §5.4.2: extensionRequest is single-valued.
fn requested_extensions(attributes: &[Attribute]) -> Result<Vec<Extension>, ParseError> {
    let Some(attribute) = attributes
        .iter()
        .find(|attribute| attribute.oid == oid::EXTENSION_REQUEST)
    else {
        return Ok(Vec::new());
    };
    match attribute.values.as_slice() {
        [value] => read_extensions(value),
        _ => Err(ParseError::Value),
    }
}
