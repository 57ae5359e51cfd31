//! Making `SignedData`.

use jiff::Timestamp;

use super::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME};
use crate::asn1::{
    INTEGER, OCTET_STRING, SEQUENCE, SET, context_constructed, encode, write, write_bytes,
    write_oid, write_time, write_unsigned,
};
use crate::certificate::Certificate;
use crate::envelope::{EnvelopeError, Misuse};
use crate::key::{DigestAlgorithm, SignatureAlgorithm};
use crate::oid::Oid;
use crate::signer::Signer;

/// How to sign.
#[derive(Clone, Copy, Debug)]
pub struct SignOptions<'a> {
    /// The type of the content; [`ID_DATA`] makes a version 1 `SignedData`, everything else
    /// version 3 (RFC 5652 §5.1).
    pub content_type: Oid,
    /// The signer's certificate, then what else the message shall carry, in this order. What is
    /// carried may decide what gets pinned (RFC 8995 §5.5.2): give only the chain that is wanted.
    pub certificates: &'a [Certificate],
    /// The signing time attribute, if there shall be one.
    pub signing_time: Option<Timestamp>,
}

/// Signs `content`, which goes into the message.
///
/// # Errors
///
/// [`Misuse`] when the first certificate is absent or not of the signing key, or the key cannot
/// sign CMS; [`EnvelopeError::Sign`] when the key could not be used.
pub fn sign(
    content: &[u8],
    options: &SignOptions<'_>,
    signer: &dyn Signer,
) -> Result<Vec<u8>, EnvelopeError> {
    let certificate = options
        .certificates
        .first()
        .ok_or(Misuse::CertificateMissing)?;
    if certificate.public_key() != signer.public_key() {
        return Err(Misuse::CertificateOfAnotherKey.into());
    }
    let signature_algorithm = signer.algorithm();
    let digest = digest_for(signature_algorithm)?;

    let attributes = signed_attributes(content, options, digest);
    let signature = signer.sign(&encode(SET, |out| out.extend_from_slice(&attributes)))?;

    let version = if options.content_type == ID_DATA {
        1
    } else {
        3
    };
    Ok(signed_data(
        version,
        options.certificates,
        |part, out| match part {
            Part::DigestAlgorithms => write_digest_algorithm(out, digest),
            Part::Encapsulated => {
                write_oid(out, options.content_type);
                write(out, context_constructed(0), |out| {
                    write_bytes(out, OCTET_STRING, content)
                });
            }
            Part::SignerInfos => write(out, SEQUENCE, |out| {
                write_unsigned(out, &[1]);
                write(out, SEQUENCE, |out| {
                    out.extend_from_slice(certificate.issuer().der());
                    write_bytes(out, INTEGER, certificate.serial());
                });
                write_digest_algorithm(out, digest);
                write_bytes(out, context_constructed(0), &attributes);
                out.extend_from_slice(&signature_algorithm.algorithm_identifier());
                write_bytes(out, OCTET_STRING, &signature);
            }),
        },
    ))
}

/// A message of certificates alone, in this order, signed by nobody (RFC 7030 §4.1.3, §4.2.3).
pub fn certs_only(certificates: &[Certificate]) -> Vec<u8> {
    signed_data(1, certificates, |part, out| {
        if matches!(part, Part::Encapsulated) {
            write_oid(out, ID_DATA);
        }
    })
}

/// What differs between a signed message and one of certificates alone.
enum Part {
    DigestAlgorithms,
    Encapsulated,
    SignerInfos,
}

fn signed_data(
    version: u8,
    certificates: &[Certificate],
    fill: impl Fn(Part, &mut Vec<u8>),
) -> Vec<u8> {
    encode(SEQUENCE, |out| {
        write_oid(out, ID_SIGNED_DATA);
        write(out, context_constructed(0), |out| {
            write(out, SEQUENCE, |out| {
                write_unsigned(out, &[version]);
                write(out, SET, |out| fill(Part::DigestAlgorithms, out));
                write(out, SEQUENCE, |out| fill(Part::Encapsulated, out));
                write(out, context_constructed(0), |out| {
                    for certificate in certificates {
                        out.extend_from_slice(certificate.der());
                    }
                });
                write(out, SET, |out| fill(Part::SignerInfos, out));
            });
        });
    })
}

/// The attributes as a DER `SET OF` orders them, without the tag: it is `[0]` in the message and
/// `SET` under the signature (RFC 5652 §5.4).
fn signed_attributes(
    content: &[u8],
    options: &SignOptions<'_>,
    digest: DigestAlgorithm,
) -> Vec<u8> {
    let mut attributes = vec![
        attribute(ID_CONTENT_TYPE, |out| write_oid(out, options.content_type)),
        attribute(ID_MESSAGE_DIGEST, |out| {
            write_bytes(out, OCTET_STRING, &digest.digest(content));
        }),
    ];
    if let Some(at) = options.signing_time {
        attributes.push(attribute(ID_SIGNING_TIME, |out| write_time(out, at)));
    }
    attributes.sort();
    attributes.concat()
}

fn attribute(kind: Oid, value: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    encode(SEQUENCE, |out| {
        write_oid(out, kind);
        write(out, SET, value);
    })
}

/// Without parameters (RFC 5754 §2).
fn write_digest_algorithm(out: &mut Vec<u8>, digest: DigestAlgorithm) {
    write(out, SEQUENCE, |out| write_oid(out, digest.oid()));
}

/// The digest that goes with a key that signs here (RFC 5754 §3, RFC 8419 §3).
fn digest_for(algorithm: SignatureAlgorithm) -> Result<DigestAlgorithm, Misuse> {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256
        | SignatureAlgorithm::EcdsaP384Sha384
        | SignatureAlgorithm::Ed25519 => Ok(algorithm.digest()),
        _ => Err(Misuse::Algorithm),
    }
}
