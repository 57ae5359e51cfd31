//! Reading `SignedData` and checking its one signature.

use jiff::Timestamp;

use super::{ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME, ber};
use crate::asn1::{
    INTEGER, NULL, OCTET_STRING, Reader, SEQUENCE, SET, context, context_constructed, encode,
};
use crate::certificate::Certificate;
use crate::envelope::{
    EnvelopeError, Forbidden, MAX_ENVELOPE_CERTIFICATES, MAX_ENVELOPE_LEN, Malformed, NotTrusted,
    Signed, Unsupported, leaf,
};
use crate::error::{ParseError, SignatureError};
use crate::key::{DigestAlgorithm, KeyType, PublicKey, SignatureAlgorithm};
use crate::oid::{self, Oid};
use crate::path::{Anchors, Path, PathRules, verify_path};
use crate::verified::Verified;

/// A parsed message: what it says, with nothing proved yet.
#[derive(Clone, Debug)]
pub struct Unverified {
    content: Vec<u8>,
    content_type: Oid,
    certificates: Vec<Certificate>,
    signer: SignerInfo,
}

/// Reads a message of at most [`MAX_ENVELOPE_LEN`] bytes.
///
/// # Errors
///
/// What no signer could make acceptable: see [`EnvelopeError::Malformed`],
/// [`EnvelopeError::Unsupported`] and [`EnvelopeError::Forbidden`].
pub fn parse(message: &[u8]) -> Result<Unverified, EnvelopeError> {
    parse_within(message, MAX_ENVELOPE_LEN)
}

/// [`parse`] with another limit, in bytes, for messages that are large by nature such as manifests.
pub fn parse_within(message: &[u8], limit: usize) -> Result<Unverified, EnvelopeError> {
    with_der(message, limit, |der| {
        let signed_data = SignedData::read(der)?;
        let mut signer_infos = signed_data.signer_infos;
        if signer_infos.is_empty() {
            return Err(Forbidden::Unsigned.into());
        }
        let signer = SignerInfo::read(signer_infos.sequence()?)?;
        if !signer_infos.is_empty() {
            return Err(Forbidden::SeveralSigners.into());
        }
        Ok(Unverified {
            content: signed_data.content.ok_or(Unsupported::Detached)?.to_vec(),
            content_type: signed_data.content_type,
            certificates: signed_data.certificates,
            signer,
        })
    })
}

/// The certificates of a message that nobody signed, in its order and with nothing proved
/// (RFC 7030 §4.1.3, §4.2.3).
///
/// # Errors
///
/// As [`parse`]; [`Forbidden::SeveralSigners`] when the message has a signer after all.
pub fn parse_certs_only(message: &[u8]) -> Result<Vec<Certificate>, EnvelopeError> {
    with_der(message, MAX_ENVELOPE_LEN, |der| {
        let signed_data = SignedData::read(der)?;
        if !signed_data.signer_infos.is_empty() {
            return Err(Forbidden::SeveralSigners.into());
        }
        Ok(signed_data.certificates)
    })
}

impl Unverified {
    /// The content, which may be anybody's.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The type that the content claims.
    pub fn content_type(&self) -> Oid {
        self.content_type
    }

    /// The certificates that the message carries, in its order.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The carried certificate of the one who claims to have signed.
    pub fn claimed_signer(&self) -> Option<&Certificate> {
        self.certificates
            .iter()
            .find(|certificate| self.signer.id.names(certificate))
    }

    /// The time at which the message claims to have been signed.
    pub fn signing_time(&self) -> Option<Timestamp> {
        self.signer.signing_time
    }

    /// Accepts the message if its signer leads to one of `anchors` under `rules`.
    ///
    /// The signer's certificate is looked for in the message, then among the anchors.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Forbidden`], [`EnvelopeError::NotTrusted`] or [`EnvelopeError::Path`].
    pub fn verify(
        self,
        anchors: &Anchors,
        rules: &PathRules,
    ) -> Result<Verified<Signed>, EnvelopeError> {
        let signer = self
            .claimed_signer()
            .or_else(|| {
                anchors
                    .certificates()
                    .iter()
                    .find(|anchor| self.signer.id.names(anchor))
            })
            .ok_or(NotTrusted::SignerUnknown)?
            .clone();
        self.check(signer.public_key())?;
        let path = verify_path(&signer, &self.certificates, anchors, rules)?;
        Signed::on(
            &path,
            self.content,
            Some(self.content_type.to_string()),
            self.certificates,
        )
    }

    /// Accepts the message if the holder of `signer`, proved before, signed it. A certificate of
    /// the same key that was issued anew is the same signer.
    ///
    /// # Errors
    ///
    /// [`NotTrusted::OtherSigner`] when the message names another; otherwise as
    /// [`Unverified::verify`].
    pub fn verify_by(self, signer: &Verified<Path>) -> Result<Verified<Signed>, EnvelopeError> {
        let expected = leaf(signer)?;
        let same = match self.claimed_signer() {
            Some(claimed) => claimed.public_key() == expected.public_key(),
            None => self.signer.id.names(expected),
        };
        if !same {
            return Err(NotTrusted::OtherSigner.into());
        }
        self.check(expected.public_key())?;
        Signed::on(
            signer,
            self.content,
            Some(self.content_type.to_string()),
            self.certificates,
        )
    }

    /// RFC 5652 §5.4, §5.6: the signed attributes are of this content, and the key signed them.
    fn check(&self, key: &PublicKey) -> Result<(), EnvelopeError> {
        let signer = &self.signer;
        if signer.content_type != self.content_type {
            return Err(Forbidden::ContentTypeMismatch.into());
        }
        if signer.digest.digest(&self.content) != signer.message_digest {
            return Err(Forbidden::MessageDigestMismatch.into());
        }
        let algorithm = signer.algorithm_for(key)?;
        // One hash throughout, so that the weaker of two cannot hide behind the stronger. Ed25519
        // has its own inside.
        if algorithm != SignatureAlgorithm::Ed25519 && algorithm.digest() != signer.digest {
            return Err(Forbidden::AlgorithmMismatch.into());
        }
        key.verify(algorithm, &signer.signed_attributes, &signer.signature)?;
        Ok(())
    }
}

/// Bounds the message and turns streamed BER into DER before it is read.
fn with_der<T>(
    message: &[u8],
    limit: usize,
    read: impl FnOnce(&[u8]) -> Result<T, EnvelopeError>,
) -> Result<T, EnvelopeError> {
    if message.len() > limit {
        return Err(EnvelopeError::TooLarge { limit });
    }
    if ber::is_indefinite(message) {
        read(&ber::to_definite(message)?)
    } else {
        read(message)
    }
}

/// RFC 5652 §5.1.
struct SignedData<'a> {
    content_type: Oid,
    content: Option<&'a [u8]>,
    certificates: Vec<Certificate>,
    signer_infos: Reader<'a>,
}

impl<'a> SignedData<'a> {
    fn read(der: &'a [u8]) -> Result<Self, EnvelopeError> {
        let mut content_info = Reader::only(der, SEQUENCE)?;
        if content_info.oid()? != ID_SIGNED_DATA {
            return Err(Unsupported::NotSignedData.into());
        }
        let mut explicit = content_info.nested(context_constructed(0))?;
        content_info.finish()?;
        let mut fields = explicit.sequence()?;
        explicit.finish()?;

        // Versions 4 and 5 announce attribute certificates and other certificate forms.
        if !matches!(fields.small_integer()?, 1 | 3) {
            return Err(Unsupported::Version.into());
        }
        // The digest that counts is named by the signer below.
        fields.expect(SET)?;

        let mut encapsulated = fields.sequence()?;
        let content_type = encapsulated.oid()?;
        let content = match encapsulated.optional(context_constructed(0))? {
            Some(explicit) => {
                let mut explicit = Reader::new(explicit);
                let content = explicit.expect(OCTET_STRING)?;
                explicit.finish()?;
                Some(content)
            }
            None => None,
        };
        encapsulated.finish()?;

        let certificates = match fields.optional(context_constructed(0))? {
            Some(set) => read_certificates(Reader::new(set))?,
            None => Vec::new(),
        };
        // Revocation lists come from where the caller's rules say, not from the message.
        fields.optional(context_constructed(1))?;
        let signer_infos = fields.nested(SET)?;
        fields.finish()?;
        Ok(Self {
            content_type,
            content,
            certificates,
            signer_infos,
        })
    }
}

fn read_certificates(mut set: Reader<'_>) -> Result<Vec<Certificate>, EnvelopeError> {
    let mut certificates = Vec::new();
    while !set.is_empty() {
        if certificates.len() == MAX_ENVELOPE_CERTIFICATES {
            return Err(Malformed::TooManyCertificates.into());
        }
        let choice = set.element()?;
        if choice.tag != SEQUENCE {
            return Err(Unsupported::CertificateForm.into());
        }
        let certificate = Certificate::from_der(choice.raw).map_err(Malformed::Certificate)?;
        certificates.push(certificate);
    }
    Ok(certificates)
}

/// RFC 5652 §5.3, with the signed attributes taken apart.
#[derive(Clone, Debug)]
struct SignerInfo {
    id: SignerId,
    digest: DigestAlgorithm,
    /// As they are signed: with the tag of a SET.
    signed_attributes: Vec<u8>,
    content_type: Oid,
    message_digest: Vec<u8>,
    signing_time: Option<Timestamp>,
    /// The whole AlgorithmIdentifier.
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl SignerInfo {
    fn read(mut fields: Reader<'_>) -> Result<Self, EnvelopeError> {
        let version = fields.small_integer()?;
        let id = SignerId::read(&mut fields)?;
        let fits = match id {
            SignerId::IssuerAndSerial { .. } => version == 1,
            SignerId::KeyIdentifier(_) => version == 3,
        };
        if !fits {
            return Err(Unsupported::Version.into());
        }
        let digest = read_digest(fields.sequence()?)?;
        let attributes = fields
            .optional(context_constructed(0))?
            .ok_or(Forbidden::SignedAttributesMissing)?;
        let signature_algorithm = fields.expect_element(SEQUENCE)?.raw.to_vec();
        let signature = fields.expect(OCTET_STRING)?.to_vec();
        // Unsigned attributes (counter-signatures, time-stamps) prove nothing here.
        fields.optional(context_constructed(1))?;
        fields.finish()?;

        let attributes_read = Attributes::read(Reader::new(attributes))?;
        Ok(Self {
            id,
            digest,
            signed_attributes: encode(SET, |out| out.extend_from_slice(attributes)),
            content_type: attributes_read
                .content_type
                .ok_or(Forbidden::ContentTypeMissing)?,
            message_digest: attributes_read
                .message_digest
                .ok_or(Forbidden::MessageDigestMissing)?
                .to_vec(),
            signing_time: attributes_read.signing_time,
            signature_algorithm,
            signature,
        })
    }
}

impl SignerInfo {
    /// What the algorithm means with the signer's key; a bare `rsaEncryption` means PKCS #1 v1.5
    /// with the digest named beside it (RFC 3370 §3.2).
    fn algorithm_for(&self, key: &PublicKey) -> Result<SignatureAlgorithm, SignatureError> {
        let named = Reader::new(&self.signature_algorithm)
            .sequence()
            .and_then(|mut id| id.oid());
        match (named, key.key_type()) {
            (Ok(oid::RSA_ENCRYPTION), KeyType::Rsa { .. }) => {
                SignatureAlgorithm::for_key(key, self.digest)
            }
            _ => SignatureAlgorithm::from_algorithm_identifier(&self.signature_algorithm, key),
        }
    }
}

/// How a message names its signer (RFC 5652 §5.3).
#[derive(Clone, Debug)]
enum SignerId {
    /// The encoded name, and the number's contents, as in the certificate.
    IssuerAndSerial {
        issuer: Vec<u8>,
        serial: Vec<u8>,
    },
    KeyIdentifier(Vec<u8>),
}

impl SignerId {
    fn read(fields: &mut Reader<'_>) -> Result<Self, ParseError> {
        if let Some(identifier) = fields.optional(context(0))? {
            return Ok(Self::KeyIdentifier(identifier.to_vec()));
        }
        let mut named = fields.sequence()?;
        let issuer = named.expect_element(SEQUENCE)?.raw.to_vec();
        let serial = named.expect(INTEGER)?.to_vec();
        named.finish()?;
        Ok(Self::IssuerAndSerial { issuer, serial })
    }

    fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial { issuer, serial } => {
                certificate.serial() == serial && certificate.issuer().der() == issuer
            }
            Self::KeyIdentifier(identifier) => {
                certificate.key_identifier() == Some(identifier.as_slice())
            }
        }
    }
}

/// The signed attributes that matter; others may stand beside them (RFC 5652 §5.3).
#[derive(Default)]
struct Attributes<'a> {
    content_type: Option<Oid>,
    message_digest: Option<&'a [u8]>,
    signing_time: Option<Timestamp>,
}

impl<'a> Attributes<'a> {
    fn read(mut set: Reader<'a>) -> Result<Self, EnvelopeError> {
        let mut attributes = Self::default();
        while !set.is_empty() {
            let mut attribute = set.sequence()?;
            let kind = attribute.oid()?;
            let mut values = attribute.nested(SET)?;
            attribute.finish()?;
            // RFC 5652 §11: one instance of each of these three, with one value.
            let first = if kind == ID_CONTENT_TYPE {
                attributes.content_type.replace(values.oid()?).is_none()
            } else if kind == ID_MESSAGE_DIGEST {
                attributes
                    .message_digest
                    .replace(values.expect(OCTET_STRING)?)
                    .is_none()
            } else if kind == ID_SIGNING_TIME {
                attributes.signing_time.replace(values.time()?).is_none()
            } else {
                continue;
            };
            if !first || !values.is_empty() {
                return Err(Malformed::Repeated.into());
            }
        }
        Ok(attributes)
    }
}

fn read_digest(mut identifier: Reader<'_>) -> Result<DigestAlgorithm, EnvelopeError> {
    let named = identifier.oid()?;
    no_parameters(identifier)?;
    DigestAlgorithm::from_oid(&named).map_err(|_| Unsupported::Digest.into())
}

/// Parameters are absent, or NULL as older signers write it (RFC 5754 §2, §3.2).
fn no_parameters(mut identifier: Reader<'_>) -> Result<(), ParseError> {
    if !identifier.is_empty() {
        identifier.expect(NULL)?;
    }
    identifier.finish()
}
