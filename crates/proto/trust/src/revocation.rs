//! Certificate revocation lists (RFC 5280 §5): read, checked, made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use crate::asn1::{self, Reader};
use crate::certificate::{Certificate, Extension, KeyUsage, read_extensions, write_extension};
use crate::error::{ParseError, RevocationError, SignError};
use crate::key::{PublicKey, SignatureAlgorithm};
use crate::name::Name;
use crate::oid;
use crate::signer::Signer;
use crate::verified::Verified;

/// Largest revocation list that is read, in octets.
pub const MAX_CRL_LENGTH: usize = 16 * 1024 * 1024;

/// What path validation knows about revocation.
#[derive(Clone, Debug)]
pub enum Revocation {
    /// Nothing, and that is acceptable here.
    NotChecked,
    /// These lists. A list counts only if the issuer of the certificate in question signed it and
    /// it is fresh; a certificate on it is refused.
    Checked {
        /// The lists at hand, of any issuers.
        lists: Vec<Crl>,
        /// Whether a certificate that no usable list covers is refused too.
        unknown_is_fatal: bool,
    },
}

/// Why a certificate was revoked (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RevocationReason {
    /// No reason given (0).
    Unspecified,
    /// The private key is in other hands (1).
    KeyCompromise,
    /// The authority's key is in other hands (2).
    CaCompromise,
    /// Name or other contents changed (3).
    AffiliationChanged,
    /// Replaced by another certificate (4).
    Superseded,
    /// No longer needed (5).
    CessationOfOperation,
    /// On hold (6).
    CertificateHold,
    /// Taken off the list, in delta lists (8).
    RemoveFromCrl,
    /// A privilege was withdrawn (9).
    PrivilegeWithdrawn,
    /// The attribute authority's key is in other hands (10).
    AaCompromise,
}

impl RevocationReason {
    /// The number of CRLReason.
    pub fn number(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::RemoveFromCrl => 8,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }

    /// The reason with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            8 => Self::RemoveFromCrl,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            _ => return None,
        })
    }
}

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its serial number, big-endian.
    pub serial: Vec<u8>,
    /// When it was revoked.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

/// A revocation list as it was read. [`Crl::verify`] makes it worth something.
#[derive(Clone)]
pub struct Crl(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    tbs: Vec<u8>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
    issuer: Name,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
    entries: BTreeMap<Vec<u8>, (Timestamp, RevocationReason)>,
    extensions: Vec<Extension>,
    entry_critical: Option<oid::Oid>,
    /// The key that the signature was seen to verify under: a list is asked at every handshake,
    /// and hashing megabytes once is enough.
    proved_under: OnceLock<PublicKey>,
}

/// What a new list says.
#[derive(Clone, Debug)]
pub struct CrlContent<'a> {
    /// cRLNumber: grows with every list of the same issuer (RFC 5280 §5.2.3).
    pub number: u64,
    /// When the list is made.
    pub this_update: Timestamp,
    /// When the next one comes at the latest.
    pub next_update: Timestamp,
    /// The revoked certificates.
    pub entries: &'a [RevokedCertificate],
}

impl Crl {
    /// Reads a list in DER, at most [`MAX_CRL_LENGTH`] octets.
    pub fn from_der(der: &[u8]) -> Result<Self, ParseError> {
        Inner::parse(der).map(|inner| Self(Arc::new(inner)))
    }

    /// The list in DER.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// Who claims to have issued it.
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// When it was made.
    pub fn this_update(&self) -> Timestamp {
        self.0.this_update
    }

    /// When it becomes stale.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.0.next_update
    }

    /// cRLNumber, big-endian without leading zeros.
    pub fn number(&self) -> Option<Vec<u8>> {
        let extension = self
            .0
            .extensions
            .iter()
            .find(|extension| extension.oid == oid::CRL_NUMBER)?;
        let mut reader = Reader::new(&extension.value);
        Some(without_leading_zeros(reader.expect(asn1::INTEGER).ok()?).to_vec())
    }

    /// How many certificates it revokes.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether it revokes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Since when and why the certificate with this serial number is revoked, if it is.
    pub fn entry(&self, serial: &[u8]) -> Option<(Timestamp, RevocationReason)> {
        self.0.entries.get(without_leading_zeros(serial)).copied()
    }

    /// The list, proved to be `issuer`'s and fresh at `at`.
    pub fn verify(
        self,
        issuer: &Certificate,
        at: Timestamp,
    ) -> Result<Verified<Self>, RevocationError> {
        self.check(issuer, at)?;
        Ok(Verified::new(self))
    }

    /// RFC 5280 §6.3.3 (f)–(g), and freshness.
    pub(crate) fn check(&self, issuer: &Certificate, at: Timestamp) -> Result<(), RevocationError> {
        if !self.is_fresh(at) {
            return Err(RevocationError::Stale);
        }
        self.check_origin(issuer)
    }

    /// §5.1.2.5: nextUpdate is mandatory in this profile; a list without one never ages.
    pub(crate) fn is_fresh(&self, at: Timestamp) -> bool {
        self.0
            .next_update
            .is_some_and(|next| self.0.this_update <= at && at <= next)
    }

    /// RFC 5280 §6.3.3 (f)–(g): the list is `issuer`'s, however old.
    pub(crate) fn check_origin(&self, issuer: &Certificate) -> Result<(), RevocationError> {
        if self.issuer() != issuer.subject() {
            return Err(RevocationError::WrongIssuer);
        }
        // §5.2: delta and partial lists announce themselves by critical extensions.
        let critical = self
            .0
            .extensions
            .iter()
            .find(|extension| extension.critical)
            .map(|extension| extension.oid)
            .or(self.0.entry_critical);
        if let Some(extension) = critical {
            return Err(RevocationError::UnknownCriticalExtension(extension));
        }
        match issuer.key_usage()? {
            Some(usage) if !usage.contains(KeyUsage::CRL_SIGN) => {
                return Err(RevocationError::KeyUsage);
            }
            _ => {}
        }
        let key = issuer.public_key();
        if self.0.proved_under.get() == Some(key) {
            return Ok(());
        }
        let algorithm =
            SignatureAlgorithm::from_algorithm_identifier(&self.0.signature_algorithm, key)?;
        key.verify(algorithm, &self.0.tbs, &self.0.signature)?;
        // Already set to another key: both verified, and remembering one is enough.
        let _ = self.0.proved_under.set(key.clone());
        Ok(())
    }

    /// Makes and signs a list in the name of `issuer`, whose key `signer` holds.
    pub(crate) fn sign(
        content: &CrlContent<'_>,
        issuer: &Certificate,
        signer: &dyn Signer,
    ) -> Result<Vec<u8>, SignError> {
        let algorithm = signer.algorithm().algorithm_identifier();
        let tbs = asn1::encode(asn1::SEQUENCE, |out| {
            asn1::write_unsigned(out, &[1]);
            out.extend_from_slice(&algorithm);
            out.extend_from_slice(issuer.subject().der());
            asn1::write_time(out, content.this_update);
            asn1::write_time(out, content.next_update);
            // §5.1.2.6: absent when nothing is revoked.
            if !content.entries.is_empty() {
                asn1::write(out, asn1::SEQUENCE, |out| {
                    for entry in content.entries {
                        write_entry(out, entry);
                    }
                });
            }
            asn1::write(out, asn1::context_constructed(0), |out| {
                asn1::write(out, asn1::SEQUENCE, |out| {
                    write_extension(out, &authority_key_identifier(issuer));
                    write_extension(
                        out,
                        &Extension {
                            oid: oid::CRL_NUMBER,
                            critical: false,
                            value: {
                                let mut value = Vec::new();
                                asn1::write_unsigned(&mut value, &content.number.to_be_bytes());
                                value
                            },
                        },
                    );
                });
            });
        });
        let signature = signer.sign(&tbs)?;
        Ok(asn1::encode(asn1::SEQUENCE, |out| {
            out.extend_from_slice(&tbs);
            out.extend_from_slice(&algorithm);
            asn1::write_bit_string(out, &signature);
        }))
    }
}

impl fmt::Debug for Crl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Crl({} entries, issued by {} at {})",
            self.len(),
            self.issuer(),
            self.this_update()
        )
    }
}

impl Inner {
    /// RFC 5280 §5.1, field by field.
    fn parse(der: &[u8]) -> Result<Self, ParseError> {
        if der.len() > MAX_CRL_LENGTH {
            return Err(ParseError::TooLarge);
        }
        let mut outer = Reader::only(der, asn1::SEQUENCE)?;
        let tbs = outer.expect_element(asn1::SEQUENCE)?;
        let signature_algorithm = outer.expect_element(asn1::SEQUENCE)?.raw;
        let signature = outer.bit_string_octets()?;
        outer.finish()?;

        let mut fields = Reader::new(tbs.body);
        if fields.peek_tag() == Some(asn1::INTEGER) && fields.small_integer()? != 1 {
            return Err(ParseError::Version);
        }
        if fields.expect_element(asn1::SEQUENCE)?.raw != signature_algorithm {
            return Err(ParseError::AlgorithmMismatch);
        }
        let issuer = Name::from_der(fields.expect_element(asn1::SEQUENCE)?.raw)?;
        let this_update = fields.time()?;
        let next_update = match fields.peek_tag() {
            Some(asn1::UTC_TIME | asn1::GENERALIZED_TIME) => Some(fields.time()?),
            _ => None,
        };
        let mut entries = BTreeMap::new();
        let mut entry_critical = None;
        if let Some(body) = fields.optional(asn1::SEQUENCE)? {
            let mut list = Reader::new(body);
            while !list.is_empty() {
                let mut entry = list.sequence()?;
                let serial = entry.expect(asn1::INTEGER)?;
                asn1::check_integer(serial)?;
                let at = entry.time()?;
                let mut reason = RevocationReason::Unspecified;
                if !entry.is_empty() {
                    for extension in read_extensions(entry.element()?.raw)? {
                        if extension.oid == oid::CRL_REASON {
                            let mut value = Reader::new(&extension.value);
                            let number = asn1::small_unsigned(value.expect(asn1::ENUMERATED)?)?;
                            reason =
                                RevocationReason::from_number(number).ok_or(ParseError::Value)?;
                        } else if extension.critical {
                            entry_critical = Some(extension.oid);
                        }
                    }
                }
                entry.finish()?;
                entries.insert(without_leading_zeros(serial).to_vec(), (at, reason));
            }
        }
        let extensions = match fields.optional(asn1::context_constructed(0))? {
            Some(body) => read_extensions(body)?,
            None => Vec::new(),
        };
        fields.finish()?;
        Ok(Self {
            der: der.to_vec(),
            tbs: tbs.raw.to_vec(),
            signature_algorithm: signature_algorithm.to_vec(),
            signature: signature.to_vec(),
            issuer,
            this_update,
            next_update,
            entries,
            extensions,
            entry_critical,
            proved_under: OnceLock::new(),
        })
    }
}

/// authorityKeyIdentifier that names `issuer`'s key (RFC 5280 §4.2.1.1).
pub(crate) fn authority_key_identifier(issuer: &Certificate) -> Extension {
    let computed = issuer.public_key().key_identifier_sha1();
    let identifier = issuer.key_identifier().unwrap_or(&computed);
    Extension {
        oid: oid::AUTHORITY_KEY_IDENTIFIER,
        critical: false,
        value: asn1::encode(asn1::SEQUENCE, |out| {
            asn1::write_bytes(out, asn1::context(0), identifier);
        }),
    }
}

fn write_entry(out: &mut Vec<u8>, entry: &RevokedCertificate) {
    asn1::write(out, asn1::SEQUENCE, |out| {
        asn1::write_unsigned(out, &entry.serial);
        asn1::write_time(out, entry.at);
        // §5.3.1: the reason is left out rather than said to be unspecified.
        if entry.reason != RevocationReason::Unspecified {
            asn1::write(out, asn1::SEQUENCE, |out| {
                write_extension(
                    out,
                    &Extension {
                        oid: oid::CRL_REASON,
                        critical: false,
                        value: vec![asn1::ENUMERATED, 1, entry.reason.number()],
                    },
                );
            });
        }
    });
}

pub(crate) fn without_leading_zeros(octets: &[u8]) -> &[u8] {
    let skip = octets.iter().take_while(|octet| **octet == 0).count();
    octets.get(skip..).unwrap_or_default()
}
