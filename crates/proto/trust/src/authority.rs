//! A certification authority: its chain, its key, and what it signs.
//!
//! 1. [`Authority::self_signed`] makes a root, or [`Authority::new`] takes a chain and its key.
//! 2. [`Authority::issue`] puts a profile, a key, a serial number and a validity into a
//!    TBSCertificate written straight as DER, and signs it (RFC 5280 §4.1).
//! 3. [`Authority::crl`] revokes (RFC 5280 §5).

use std::sync::Arc;

use crate::asn1;
use crate::certificate::{Certificate, KeyUsage, write_extension};
use crate::error::IssueError;
use crate::key::PublicKey;
use crate::name::Name;
use crate::oid;
use crate::profile::{self, Profile, Validity};
use crate::revocation::{Crl, CrlContent, authority_key_identifier};
use crate::signer::Signer;

/// A certification authority. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authority {
    chain: Arc<[Certificate]>,
    certificate: Certificate,
    signer: Arc<dyn Signer>,
    /// What every certificate of ours repeats.
    algorithm: Arc<[u8]>,
    authority_key_identifier: Arc<[u8]>,
}

impl Authority {
    /// An authority whose certificate is the first of `chain`; above it follow its issuers, if
    /// any. The signer must hold the key of that certificate, and the certificate must be one of
    /// an authority.
    pub fn new(chain: Vec<Certificate>, signer: Arc<dyn Signer>) -> Result<Self, IssueError> {
        let certificate = chain.first().ok_or(IssueError::NoCertificate)?.clone();
        if certificate.public_key() != signer.public_key() {
            return Err(IssueError::KeyMismatch);
        }
        let may_sign = certificate
            .key_usage()?
            .is_none_or(|usage| usage.contains(KeyUsage::KEY_CERT_SIGN));
        if !certificate.is_ca() || !may_sign {
            return Err(IssueError::NotACertificateAuthority);
        }
        let mut identifier = Vec::new();
        write_extension(&mut identifier, &authority_key_identifier(&certificate));
        Ok(Self {
            algorithm: signer.algorithm().algorithm_identifier().into(),
            authority_key_identifier: identifier.into(),
            chain: chain.into(),
            certificate,
            signer,
        })
    }

    /// A new root: the profile must be one of an authority. The authorityKeyIdentifier is there
    /// too and names the root itself.
    pub fn self_signed(
        profile: &Profile,
        serial: &[u8; 16],
        validity: Validity,
        signer: Arc<dyn Signer>,
    ) -> Result<Self, IssueError> {
        let mut identifier = Vec::new();
        profile::write(
            &mut identifier,
            oid::AUTHORITY_KEY_IDENTIFIER,
            false,
            |out| {
                asn1::write(out, asn1::SEQUENCE, |out| {
                    asn1::write_bytes(
                        out,
                        asn1::context(0),
                        &signer.public_key().key_identifier_sha1(),
                    );
                });
            },
        );
        let certificate = sign_certificate(&Contents {
            issuer: &profile.subject,
            profile,
            key: signer.public_key(),
            serial,
            validity,
            algorithm: &signer.algorithm().algorithm_identifier(),
            authority_key_identifier: &identifier,
            signer: signer.as_ref(),
        })?;
        Self::new(vec![certificate], signer)
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The authority's own certificate and those above it.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// Who signs.
    pub fn signer(&self) -> &Arc<dyn Signer> {
        &self.signer
    }

    /// Issues a certificate for `key`. `serial` is 16 octets of randomness
    /// (RFC 5280 §4.1.2.2: positive, at most 20 octets; all zeros is refused).
    pub fn issue(
        &self,
        profile: &Profile,
        key: &PublicKey,
        serial: &[u8; 16],
        validity: Validity,
    ) -> Result<Certificate, IssueError> {
        sign_certificate(&Contents {
            issuer: self.certificate.subject(),
            profile,
            key,
            serial,
            validity,
            algorithm: &self.algorithm,
            authority_key_identifier: &self.authority_key_identifier,
            signer: self.signer.as_ref(),
        })
    }

    /// Issues the certificate of an authority below this one.
    pub fn subordinate(
        &self,
        profile: &Profile,
        serial: &[u8; 16],
        validity: Validity,
        signer: Arc<dyn Signer>,
    ) -> Result<Self, IssueError> {
        let certificate = self.issue(profile, signer.public_key(), serial, validity)?;
        let mut chain = vec![certificate];
        chain.extend_from_slice(&self.chain);
        Self::new(chain, signer)
    }

    /// Signs a revocation list.
    pub fn crl(&self, content: &CrlContent<'_>) -> Result<Crl, IssueError> {
        if content.next_update < content.this_update {
            return Err(IssueError::Validity);
        }
        let der = Crl::sign(content, &self.certificate, self.signer.as_ref())?;
        Ok(Crl::from_der(&der)?)
    }
}

struct Contents<'a> {
    issuer: &'a Name,
    profile: &'a Profile,
    key: &'a PublicKey,
    serial: &'a [u8; 16],
    validity: Validity,
    /// AlgorithmIdentifier of the signature.
    algorithm: &'a [u8],
    /// The whole extension.
    authority_key_identifier: &'a [u8],
    signer: &'a dyn Signer,
}

/// RFC 5280 §4.1.
fn sign_certificate(contents: &Contents<'_>) -> Result<Certificate, IssueError> {
    contents.profile.check()?;
    contents.key.check().map_err(|_| IssueError::SubjectKey)?;
    if contents.validity.not_after < contents.validity.not_before {
        return Err(IssueError::Validity);
    }
    if contents.serial.iter().all(|octet| *octet == 0) {
        return Err(IssueError::SerialNumber);
    }
    let mut tbs = Vec::with_capacity(768);
    asn1::write(&mut tbs, asn1::SEQUENCE, |out| {
        asn1::write(out, asn1::context_constructed(0), |out| {
            asn1::write_unsigned(out, &[2]);
        });
        asn1::write_unsigned(out, contents.serial);
        out.extend_from_slice(contents.algorithm);
        out.extend_from_slice(contents.issuer.der());
        asn1::write(out, asn1::SEQUENCE, |out| {
            asn1::write_time(out, contents.validity.not_before);
            asn1::write_time(out, contents.validity.not_after);
        });
        out.extend_from_slice(contents.profile.subject.der());
        out.extend_from_slice(contents.key.spki_der());
        asn1::write(out, asn1::context_constructed(3), |out| {
            asn1::write(out, asn1::SEQUENCE, |out| {
                contents.profile.write_extensions(out);
                profile::write(out, oid::SUBJECT_KEY_IDENTIFIER, false, |out| {
                    let identifier = contents.key.key_identifier_sha1();
                    asn1::write_bytes(out, asn1::OCTET_STRING, &identifier);
                });
                out.extend_from_slice(contents.authority_key_identifier);
            });
        });
    });
    let signature = contents.signer.sign(&tbs)?;
    let mut der = Vec::with_capacity(tbs.len() + signature.len() + 64);
    asn1::write(&mut der, asn1::SEQUENCE, |out| {
        out.extend_from_slice(&tbs);
        out.extend_from_slice(contents.algorithm);
        asn1::write_bit_string(out, &signature);
    });
    // Reading the fields back costs little beside the signature, and proves that others can.
    Ok(Certificate::from_der_vec(der)?)
}
