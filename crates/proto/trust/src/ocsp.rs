//! Online certificate status (RFC 6960): is this one certificate good, now?
//!
//! 1. The client names the certificate by its issuer's name and key and its serial number, and adds
//!    a nonce ([`OcspRequest::build`]).
//! 2. The responder reads the request ([`OcspRequest::parse`]), finds which [`CertificateId`]s are its
//!    own ([`CertificateId::is_issued_by`]), and signs an answer for each
//!    ([`OcspResponse::sign`]); or it says why not ([`OcspResponse::refusal`]).
//! 3. The client believes the answer if the issuer, or a responder whom the issuer itself
//!    certified for OCSPSigning, signed it, it is fresh, has the nonce and covers the certificate
//!    ([`OcspResponse::verify`]).

use jiff::Timestamp;

use crate::asn1::{self, Reader};
use crate::certificate::{Certificate, Extension, KeyUsage, read_extensions, write_extension};
use crate::error::{ParseError, RevocationError, SignError};
use crate::key::{self, SignatureAlgorithm};
use crate::oid::{self, Oid};
use crate::path::{Anchors, PathRules, Usage, verify_path};
use crate::revocation::{RevocationReason, without_leading_zeros};
use crate::signer::Signer;
use crate::verified::Verified;

/// Largest request or response that is read, in octets.
pub const MAX_OCSP_LENGTH: usize = 64 * 1024;

/// Most certificates that one request may ask about.
pub const MAX_OCSP_QUESTIONS: usize = 16;

/// Longest nonce, in octets (RFC 9654 §2.1 allows up to 128).
pub const MAX_OCSP_NONCE_LENGTH: usize = 128;

/// Which certificate is meant (RFC 6960 §4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateId {
    /// SHA-1 or SHA-256: it names, it does not sign.
    hash: Oid,
    issuer_name_hash: Vec<u8>,
    issuer_key_hash: Vec<u8>,
    /// Big-endian, without leading zeros.
    serial: Vec<u8>,
    /// The CertID as it was read, to be repeated in the answer.
    der: Vec<u8>,
}

impl CertificateId {
    /// The identifier, with SHA-1 as every responder knows it, of a certificate that `issuer`
    /// issued with this serial number.
    pub fn new(serial: &[u8], issuer: &Certificate) -> Self {
        let issuer_name_hash = key::sha1(issuer.subject().der()).to_vec();
        let issuer_key_hash = issuer.public_key().key_identifier_sha1().to_vec();
        let mut integer = Vec::new();
        asn1::write_unsigned(&mut integer, serial);
        let der = asn1::encode(asn1::SEQUENCE, |out| {
            asn1::write(out, asn1::SEQUENCE, |out| {
                asn1::write_oid(out, oid::SHA1);
                asn1::write_bytes(out, asn1::NULL, b"");
            });
            asn1::write_bytes(out, asn1::OCTET_STRING, &issuer_name_hash);
            asn1::write_bytes(out, asn1::OCTET_STRING, &issuer_key_hash);
            out.extend_from_slice(&integer);
        });
        Self {
            hash: oid::SHA1,
            issuer_name_hash,
            issuer_key_hash,
            serial: without_leading_zeros(serial).to_vec(),
            der,
        }
    }

    /// The certificate's serial number, big-endian without leading zeros.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// Whether `issuer` is the issuer that is meant; false for hashes that we do not know.
    pub fn is_issued_by(&self, issuer: &Certificate) -> bool {
        let name = issuer.subject().der();
        let key = issuer.public_key().key_bits();
        match self.hash {
            oid::SHA1 => {
                self.issuer_name_hash == key::sha1(name) && self.issuer_key_hash == key::sha1(key)
            }
            oid::SHA256 => {
                self.issuer_name_hash == key::sha256(name)
                    && self.issuer_key_hash == key::sha256(key)
            }
            _ => false,
        }
    }

    fn read(der: &[u8]) -> Result<Self, ParseError> {
        let mut fields = Reader::only(der, asn1::SEQUENCE)?;
        let mut algorithm = fields.sequence()?;
        let hash = algorithm.oid()?;
        let issuer_name_hash = fields.expect(asn1::OCTET_STRING)?.to_vec();
        let issuer_key_hash = fields.expect(asn1::OCTET_STRING)?.to_vec();
        let serial = fields.expect(asn1::INTEGER)?;
        asn1::check_integer(serial)?;
        fields.finish()?;
        Ok(Self {
            hash,
            issuer_name_hash,
            issuer_key_hash,
            serial: without_leading_zeros(serial).to_vec(),
            der: der.to_vec(),
        })
    }
}

/// What the responder knows about a certificate (RFC 6960 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    /// Not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: RevocationReason,
    },
    /// The responder does not know the certificate.
    Unknown,
}

/// A request, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspRequest {
    /// Which certificates it asks about; at least one, at most [`MAX_OCSP_QUESTIONS`].
    pub certificates: Vec<CertificateId>,
    /// The nonce, at most [`MAX_OCSP_NONCE_LENGTH`] octets.
    pub nonce: Option<Vec<u8>>,
}

impl OcspRequest {
    /// Makes an unsigned request about one certificate; the nonce should be 32 random octets
    /// (RFC 9654 §2.1).
    pub fn build(certificate: &CertificateId, nonce: Option<&[u8]>) -> Vec<u8> {
        asn1::encode(asn1::SEQUENCE, |out| {
            asn1::write(out, asn1::SEQUENCE, |out| {
                asn1::write(out, asn1::SEQUENCE, |out| {
                    asn1::write(out, asn1::SEQUENCE, |out| {
                        out.extend_from_slice(&certificate.der);
                    });
                });
                if let Some(nonce) = nonce {
                    asn1::write(out, asn1::context_constructed(2), |out| {
                        asn1::write(out, asn1::SEQUENCE, |out| write_nonce(out, nonce));
                    });
                }
            });
        })
    }

    /// Reads a request (RFC 6960 §4.1.1). A signature on it is not looked at: everybody may ask.
    pub fn parse(der: &[u8]) -> Result<Self, RevocationError> {
        if der.len() > MAX_OCSP_LENGTH {
            return Err(ParseError::TooLarge.into());
        }
        let mut outer = Reader::only(der, asn1::SEQUENCE)?;
        let mut request = outer.sequence()?;
        outer.optional(asn1::context_constructed(0))?;
        outer.finish()?;
        read_version(&mut request)?;
        // requestorName
        request.optional(asn1::context_constructed(1))?;
        let mut list = request.sequence()?;
        let mut certificates = Vec::new();
        while !list.is_empty() {
            if certificates.len() >= MAX_OCSP_QUESTIONS {
                return Err(ParseError::TooLarge.into());
            }
            let mut single = list.sequence()?;
            certificates.push(CertificateId::read(
                single.expect_element(asn1::SEQUENCE)?.raw,
            )?);
            refuse_critical(single.optional(asn1::context_constructed(0))?, &[])?;
            single.finish()?;
        }
        if certificates.is_empty() {
            return Err(ParseError::Value.into());
        }
        let extensions = request.optional(asn1::context_constructed(2))?;
        request.finish()?;
        let nonce = read_nonce(&refuse_critical(extensions, &[oid::OCSP_NONCE])?)?;
        Ok(Self {
            certificates,
            nonce,
        })
    }
}

/// Why a responder does not answer (RFC 6960 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcspRefusal {
    /// The request cannot be read (1).
    MalformedRequest,
    /// The responder failed (2).
    InternalError,
    /// Ask again later (3).
    TryLater,
    /// The request must be signed (5).
    SignatureRequired,
    /// The client may not ask this responder, or the responder cannot answer for the issuer (6).
    Unauthorized,
}

/// What a responder says in one response.
#[derive(Clone, Debug)]
pub struct OcspContent<'a> {
    /// The status of each certificate asked about.
    pub answers: &'a [(CertificateId, CertificateStatus)],
    /// The instant at which the statuses were known to be right, and at which this is signed.
    pub this_update: Timestamp,
    /// Until when they may be relied upon.
    pub next_update: Timestamp,
    /// The nonce of the request, repeated.
    pub nonce: Option<&'a [u8]>,
}

/// A response, as it was read.
#[derive(Clone, Debug)]
pub struct OcspResponse {
    tbs: Vec<u8>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
    certificates: Vec<Certificate>,
    responder: Responder,
    answers: Vec<SingleAnswer>,
    nonce: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Responder {
    /// The whole Name in DER.
    Name(Vec<u8>),
    /// SHA-1 of the responder's key.
    Key(Vec<u8>),
}

#[derive(Clone, Debug)]
struct SingleAnswer {
    certificate: CertificateId,
    status: CertificateStatus,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
}

impl OcspResponse {
    /// An answer that is none; nobody signs it (RFC 6960 §2.3).
    pub fn refusal(refusal: OcspRefusal) -> Vec<u8> {
        let number = match refusal {
            OcspRefusal::MalformedRequest => 1,
            OcspRefusal::InternalError => 2,
            OcspRefusal::TryLater => 3,
            OcspRefusal::SignatureRequired => 5,
            OcspRefusal::Unauthorized => 6,
        };
        vec![asn1::SEQUENCE, 3, asn1::ENUMERATED, 1, number]
    }

    /// Signs a response, in DER. `responder` is the issuer of the certificates in question, or
    /// holds OCSPSigning from it; it travels with the response.
    pub fn sign(
        content: &OcspContent<'_>,
        responder: &Certificate,
        signer: &dyn Signer,
    ) -> Result<Vec<u8>, SignError> {
        let tbs = asn1::encode(asn1::SEQUENCE, |out| {
            // byKey [2]
            asn1::write(out, asn1::context_constructed(2), |out| {
                let identifier = responder.public_key().key_identifier_sha1();
                asn1::write_bytes(out, asn1::OCTET_STRING, &identifier);
            });
            asn1::write_generalized_time(out, content.this_update);
            asn1::write(out, asn1::SEQUENCE, |out| {
                for (certificate, status) in content.answers {
                    write_answer(out, certificate, *status, content);
                }
            });
            if let Some(nonce) = content.nonce {
                asn1::write(out, asn1::context_constructed(1), |out| {
                    asn1::write(out, asn1::SEQUENCE, |out| write_nonce(out, nonce));
                });
            }
        });
        let signature = signer.sign(&tbs)?;
        let basic = asn1::encode(asn1::SEQUENCE, |out| {
            out.extend_from_slice(&tbs);
            out.extend_from_slice(&signer.algorithm().algorithm_identifier());
            asn1::write_bit_string(out, &signature);
            asn1::write(out, asn1::context_constructed(0), |out| {
                asn1::write_bytes(out, asn1::SEQUENCE, responder.der());
            });
        });
        Ok(asn1::encode(asn1::SEQUENCE, |out| {
            asn1::write_bytes(out, asn1::ENUMERATED, &[0]);
            asn1::write(out, asn1::context_constructed(0), |out| {
                asn1::write(out, asn1::SEQUENCE, |out| {
                    asn1::write_oid(out, oid::OCSP_BASIC);
                    asn1::write_bytes(out, asn1::OCTET_STRING, &basic);
                });
            });
        }))
    }

    /// Reads a response (RFC 6960 §4.2.1), at most [`MAX_OCSP_LENGTH`] octets. A refusal of the
    /// responder is [`RevocationError::ResponderStatus`].
    pub fn parse(der: &[u8]) -> Result<Self, RevocationError> {
        if der.len() > MAX_OCSP_LENGTH {
            return Err(ParseError::TooLarge.into());
        }
        let mut outer = Reader::only(der, asn1::SEQUENCE)?;
        match outer.expect(asn1::ENUMERATED)? {
            [0] => {}
            [status] => return Err(RevocationError::ResponderStatus(*status)),
            _ => return Err(ParseError::Value.into()),
        }
        let mut bytes = outer.nested(asn1::context_constructed(0))?;
        outer.finish()?;
        let mut fields = bytes.sequence()?;
        bytes.finish()?;
        if fields.oid()? != oid::OCSP_BASIC {
            return Err(RevocationError::Unsupported);
        }
        let mut basic = Reader::only(fields.expect(asn1::OCTET_STRING)?, asn1::SEQUENCE)?;
        fields.finish()?;
        let tbs = basic.expect_element(asn1::SEQUENCE)?;
        let signature_algorithm = basic.expect_element(asn1::SEQUENCE)?.raw.to_vec();
        let signature = basic.bit_string_octets()?.to_vec();
        let certificates = match basic.optional(asn1::context_constructed(0))? {
            Some(body) => read_certificates(body)?,
            None => Vec::new(),
        };
        basic.finish()?;

        let mut data = Reader::new(tbs.body);
        read_version(&mut data)?;
        let responder = read_responder(&mut data)?;
        data.time()?;
        let mut list = data.sequence()?;
        let mut answers = Vec::new();
        while !list.is_empty() {
            if answers.len() >= MAX_OCSP_QUESTIONS {
                return Err(ParseError::TooLarge.into());
            }
            answers.push(read_answer(list.sequence()?)?);
        }
        let extensions = data.optional(asn1::context_constructed(1))?;
        data.finish()?;
        let nonce = read_nonce(&refuse_critical(extensions, &[oid::OCSP_NONCE])?)?;
        Ok(Self {
            tbs: tbs.raw.to_vec(),
            signature_algorithm,
            signature,
            certificates,
            responder,
            answers,
            nonce,
        })
    }

    /// The status of `certificate`, which `issuer` issued, proved for the instant `at`. With a
    /// `nonce`, the response must repeat it (RFC 6960 §3.2).
    pub fn verify(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        nonce: Option<&[u8]>,
        at: Timestamp,
    ) -> Result<Verified<CertificateStatus>, RevocationError> {
        if certificate.issuer() != issuer.subject() {
            return Err(RevocationError::WrongIssuer);
        }
        let responder = self.responder_certificate(issuer, at)?;
        let algorithm = SignatureAlgorithm::from_algorithm_identifier(
            &self.signature_algorithm,
            responder.public_key(),
        )?;
        responder
            .public_key()
            .verify(algorithm, &self.tbs, &self.signature)?;
        // §4.4.1
        if nonce.is_some() && nonce != self.nonce.as_deref() {
            return Err(RevocationError::Nonce);
        }
        let serial = without_leading_zeros(certificate.serial());
        let answer = self
            .answers
            .iter()
            .find(|answer| {
                answer.certificate.serial() == serial && answer.certificate.is_issued_by(issuer)
            })
            .ok_or(RevocationError::OtherCertificate)?;
        // §3.2 (5)–(6). Without nextUpdate newer information is always at hand (§4.2.2.1), so only
        // an answer to our own nonce is fresh.
        let fresh = answer.this_update <= at
            && answer
                .next_update
                .map_or(nonce.is_some(), |next| at <= next);
        if !fresh {
            return Err(RevocationError::Stale);
        }
        Ok(Verified::new(answer.status))
    }

    /// §4.2.2.2: the issuer itself, or a certificate that the issuer gave OCSPSigning directly.
    fn responder_certificate(
        &self,
        issuer: &Certificate,
        at: Timestamp,
    ) -> Result<Certificate, RevocationError> {
        if self.responder.is(issuer) {
            return match issuer.key_usage()? {
                Some(usage)
                    if !usage.contains(KeyUsage::DIGITAL_SIGNATURE)
                        && !usage.contains(KeyUsage::CRL_SIGN) =>
                {
                    Err(RevocationError::KeyUsage)
                }
                _ => Ok(issuer.clone()),
            };
        }
        let delegate = self
            .certificates
            .iter()
            .find(|certificate| self.responder.is(certificate))
            .ok_or(RevocationError::UnauthorizedResponder)?;
        let rules = PathRules::strict(at, Usage::OcspSigning);
        let path = verify_path(delegate, &[], &Anchors::one(issuer.clone()), &rules)
            .map_err(|_| RevocationError::UnauthorizedResponder)?;
        path.leaf()
            .cloned()
            .ok_or(RevocationError::UnauthorizedResponder)
    }
}

impl Responder {
    fn is(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Name(name) => name == certificate.subject().der(),
            Self::Key(hash) => *hash == certificate.public_key().key_identifier_sha1(),
        }
    }
}

/// version [0] EXPLICIT DEFAULT v1; only v1 exists.
fn read_version(fields: &mut Reader<'_>) -> Result<(), ParseError> {
    if let Some(body) = fields.optional(asn1::context_constructed(0))? {
        let mut version = Reader::new(body);
        if version.small_integer()? != 0 {
            return Err(ParseError::Version);
        }
        version.finish()?;
    }
    Ok(())
}

fn read_responder(data: &mut Reader<'_>) -> Result<Responder, ParseError> {
    let element = data.element()?;
    let mut inner = Reader::new(element.body);
    let responder = match element.tag {
        0xa1 => Responder::Name(inner.expect_element(asn1::SEQUENCE)?.raw.to_vec()),
        0xa2 => Responder::Key(inner.expect(asn1::OCTET_STRING)?.to_vec()),
        _ => return Err(ParseError::Tag),
    };
    inner.finish()?;
    Ok(responder)
}

fn read_certificates(body: &[u8]) -> Result<Vec<Certificate>, ParseError> {
    let mut list = Reader::only(body, asn1::SEQUENCE)?;
    let mut certificates = Vec::new();
    while !list.is_empty() {
        if certificates.len() >= MAX_OCSP_QUESTIONS {
            return Err(ParseError::TooLarge);
        }
        certificates.push(Certificate::from_der(
            list.expect_element(asn1::SEQUENCE)?.raw,
        )?);
    }
    Ok(certificates)
}

/// SingleResponse (RFC 6960 §4.2.1).
fn read_answer(mut fields: Reader<'_>) -> Result<SingleAnswer, RevocationError> {
    let certificate = CertificateId::read(fields.expect_element(asn1::SEQUENCE)?.raw)?;
    let status = fields.element()?;
    let status = match status.tag {
        0x80 => CertificateStatus::Good,
        0x82 => CertificateStatus::Unknown,
        0xa1 => {
            let mut inner = Reader::new(status.body);
            let at = inner.time()?;
            let reason = match inner.optional(asn1::context_constructed(0))? {
                Some(body) => {
                    let number = Reader::new(body).expect(asn1::ENUMERATED)?;
                    RevocationReason::from_number(asn1::small_unsigned(number)?)
                        .ok_or(ParseError::Value)?
                }
                None => RevocationReason::Unspecified,
            };
            inner.finish()?;
            CertificateStatus::Revoked { at, reason }
        }
        _ => return Err(ParseError::Tag.into()),
    };
    let this_update = fields.time()?;
    let next_update = match fields.optional(asn1::context_constructed(0))? {
        Some(body) => Some(Reader::new(body).time()?),
        None => None,
    };
    refuse_critical(fields.optional(asn1::context_constructed(1))?, &[])?;
    fields.finish()?;
    Ok(SingleAnswer {
        certificate,
        status,
        this_update,
        next_update,
    })
}

fn write_answer(
    out: &mut Vec<u8>,
    certificate: &CertificateId,
    status: CertificateStatus,
    content: &OcspContent<'_>,
) {
    asn1::write(out, asn1::SEQUENCE, |out| {
        out.extend_from_slice(&certificate.der);
        match status {
            CertificateStatus::Good => asn1::write_bytes(out, asn1::context(0), b""),
            CertificateStatus::Unknown => asn1::write_bytes(out, asn1::context(2), b""),
            CertificateStatus::Revoked { at, reason } => {
                asn1::write(out, asn1::context_constructed(1), |out| {
                    asn1::write_generalized_time(out, at);
                    if reason != RevocationReason::Unspecified {
                        asn1::write(out, asn1::context_constructed(0), |out| {
                            asn1::write_bytes(out, asn1::ENUMERATED, &[reason.number()]);
                        });
                    }
                });
            }
        }
        asn1::write_generalized_time(out, content.this_update);
        asn1::write(out, asn1::context_constructed(0), |out| {
            asn1::write_generalized_time(out, content.next_update);
        });
    });
}

/// Reads extensions and refuses critical ones that are not `known` (RFC 6960 §4.4).
fn refuse_critical(
    extensions: Option<&[u8]>,
    known: &[Oid],
) -> Result<Vec<Extension>, RevocationError> {
    let extensions = match extensions {
        Some(body) => read_extensions(body)?,
        None => Vec::new(),
    };
    for extension in &extensions {
        if extension.critical && !known.contains(&extension.oid) {
            return Err(RevocationError::UnknownCriticalExtension(extension.oid));
        }
    }
    Ok(extensions)
}

/// RFC 9654 §2.1: an OCTET STRING of 1 to 128 octets inside the extension.
fn read_nonce(extensions: &[Extension]) -> Result<Option<Vec<u8>>, ParseError> {
    let Some(extension) = extensions
        .iter()
        .find(|extension| extension.oid == oid::OCSP_NONCE)
    else {
        return Ok(None);
    };
    let mut reader = Reader::new(&extension.value);
    let nonce = reader.expect(asn1::OCTET_STRING)?;
    reader.finish()?;
    if nonce.is_empty() || nonce.len() > MAX_OCSP_NONCE_LENGTH {
        return Err(ParseError::Value);
    }
    Ok(Some(nonce.to_vec()))
}

fn write_nonce(out: &mut Vec<u8>, nonce: &[u8]) {
    write_extension(
        out,
        &Extension {
            oid: oid::OCSP_NONCE,
            critical: false,
            value: asn1::encode(asn1::OCTET_STRING, |out| out.extend_from_slice(nonce)),
        },
    );
}
