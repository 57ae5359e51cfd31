//! What the certificates of this system say: one constructor for each kind.
//!
//! subjectKeyIdentifier, authorityKeyIdentifier and serial number are the authority's business and
//! always there ([`crate::Authority::issue`]).

use jiff::Timestamp;

use crate::asn1;
use crate::certificate::{
    BasicConstraints, Extension, HardwareModuleName, KeyUsage, NO_EXPIRY, SubjectAltName,
    write_subject_alt_name,
};
use crate::error::IssueError;
use crate::name::Name;
use crate::oid::{self, Oid};

/// When a certificate is valid; both ends inclusive, whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First instant.
    pub not_before: Timestamp,
    /// Last instant; [`NO_EXPIRY`] is written as 99991231235959Z.
    pub not_after: Timestamp,
}

impl Validity {
    /// From one instant to another.
    pub fn new(not_before: Timestamp, not_after: Timestamp) -> Self {
        Self {
            not_before,
            not_after,
        }
    }

    /// Without end, as device identities are (IEEE 802.1AR §8.7, RFC 8995 §2.6.2).
    pub fn without_end(not_before: Timestamp) -> Self {
        Self::new(not_before, NO_EXPIRY)
    }
}

/// The contents of a certificate to be issued, except for the key and what the authority adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The subject.
    pub subject: Name,
    /// keyUsage, critical; left out when no bit is set.
    pub key_usage: KeyUsage,
    /// extKeyUsage; left out when empty.
    pub extended_key_usages: Vec<Oid>,
    /// basicConstraints, critical; left out when `None`.
    pub basic_constraints: Option<BasicConstraints>,
    /// subjectAltName; left out when empty, critical when the subject is empty.
    pub subject_alt_names: Vec<SubjectAltName>,
    /// MASA URL extension: authority only, or a whole URL (RFC 8995 §2.3.2).
    pub masa_url: Option<String>,
    /// MUD URL extension (RFC 8520 §11).
    pub mud_url: Option<String>,
    /// cRLDistributionPoints: one point with these URLs.
    pub crl_urls: Vec<String>,
    /// OCSP responders in authorityInfoAccess.
    pub ocsp_urls: Vec<String>,
    /// Anything else, as it is.
    pub extensions: Vec<Extension>,
}

impl Profile {
    /// An end entity that signs, and nothing more.
    pub fn end_entity(subject: Name) -> Self {
        Self {
            subject,
            key_usage: KeyUsage::DIGITAL_SIGNATURE,
            extended_key_usages: Vec::new(),
            basic_constraints: Some(BasicConstraints::default()),
            subject_alt_names: Vec::new(),
            masa_url: None,
            mud_url: None,
            crl_urls: Vec::new(),
            ocsp_urls: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// A certification authority: manufacturer root, domain CA, or one below another.
    /// `path_length` is how many authorities may follow below; `None` sets no limit.
    pub fn certificate_authority(subject: Name, path_length: Option<u32>) -> Self {
        Self {
            key_usage: KeyUsage::KEY_CERT_SIGN.with(KeyUsage::CRL_SIGN),
            basic_constraints: Some(BasicConstraints {
                ca: true,
                path_length,
            }),
            ..Self::end_entity(subject)
        }
    }

    /// A manufacturer's root: issues device identities and MASA signers, possibly through one
    /// more authority.
    pub fn manufacturer_root(subject: Name) -> Self {
        Self::certificate_authority(subject, Some(1))
    }

    /// An owner's domain CA: what vouchers pin (RFC 8995 §5.5.2).
    pub fn domain_ca(subject: Name) -> Self {
        Self::certificate_authority(subject, Some(0))
    }

    /// A device identity (IEEE 802.1AR §8, RFC 8995 §2.3): the subject must carry the product's
    /// serialNumber, else [`IssueError::Name`]. No extKeyUsage. Issue it with
    /// [`Validity::without_end`].
    pub fn idevid(subject: Name, masa_url: Option<&str>) -> Result<Self, IssueError> {
        if subject.attribute(&oid::SERIAL_NUMBER).is_none() {
            return Err(IssueError::Name);
        }
        Ok(Self {
            masa_url: masa_url.map(str::to_owned),
            basic_constraints: None,
            ..Self::end_entity(subject)
        })
    }

    /// The key by which a MASA signs vouchers (RFC 8366 §5.4).
    pub fn voucher_signer(subject: Name) -> Self {
        Self::end_entity(subject)
    }

    /// A registrar: cmcRA (RFC 8995 §5.5.4), serverAuth for devices, clientAuth towards the MASA.
    pub fn registrar(subject: Name, dns_names: &[&str]) -> Self {
        Self {
            extended_key_usages: vec![oid::CMC_RA, oid::SERVER_AUTH, oid::CLIENT_AUTH],
            subject_alt_names: dns(dns_names),
            ..Self::end_entity(subject)
        }
    }

    /// An operational device credential: clientAuth.
    pub fn ldevid(subject: Name, subject_alt_names: Vec<SubjectAltName>) -> Self {
        Self {
            extended_key_usages: vec![oid::CLIENT_AUTH],
            subject_alt_names,
            ..Self::end_entity(subject)
        }
    }

    /// A gate: serverAuth for the devices that it lets in, clientAuth towards its controller.
    pub fn gate(subject: Name, dns_names: &[&str]) -> Self {
        Self {
            extended_key_usages: vec![oid::SERVER_AUTH, oid::CLIENT_AUTH],
            subject_alt_names: dns(dns_names),
            ..Self::end_entity(subject)
        }
    }

    /// A TLS server.
    pub fn tls_server(subject: Name, dns_names: &[&str]) -> Self {
        Self {
            extended_key_usages: vec![oid::SERVER_AUTH],
            subject_alt_names: dns(dns_names),
            ..Self::end_entity(subject)
        }
    }

    /// A TLS client.
    pub fn tls_client(subject: Name) -> Self {
        Self {
            extended_key_usages: vec![oid::CLIENT_AUTH],
            ..Self::end_entity(subject)
        }
    }

    /// A delegated OCSP responder, itself not to be asked about (RFC 6960 §4.2.2.2).
    pub fn ocsp_responder(subject: Name) -> Self {
        Self {
            extended_key_usages: vec![oid::OCSP_SIGNING],
            extensions: vec![Extension {
                oid: oid::OCSP_NO_CHECK,
                critical: false,
                value: vec![asn1::NULL, 0],
            }],
            ..Self::end_entity(subject)
        }
    }

    /// With a MUD URL.
    #[must_use]
    pub fn with_mud_url(mut self, url: &str) -> Self {
        self.mud_url = Some(url.to_owned());
        self
    }

    /// With a hardwareModuleName in subjectAltName (RFC 4108 §5).
    #[must_use]
    pub fn with_hardware_module_name(mut self, name: &HardwareModuleName) -> Self {
        self.subject_alt_names
            .push(SubjectAltName::hardware_module_name(name));
        self
    }

    /// Refuses what IA5String cannot hold.
    pub(crate) fn check(&self) -> Result<(), IssueError> {
        let urls = self
            .masa_url
            .iter()
            .chain(&self.mud_url)
            .chain(&self.crl_urls)
            .chain(&self.ocsp_urls);
        let names = self.subject_alt_names.iter().filter_map(|name| match name {
            SubjectAltName::Dns(text) | SubjectAltName::Uri(text) | SubjectAltName::Email(text) => {
                Some(text)
            }
            SubjectAltName::Ip(_) | SubjectAltName::Other(..) | SubjectAltName::Raw(_) => None,
        });
        if urls
            .chain(names)
            .any(|text| text.is_empty() || !text.is_ascii())
        {
            return Err(IssueError::Name);
        }
        Ok(())
    }

    /// Appends every extension that the profile itself determines.
    pub(crate) fn write_extensions(&self, out: &mut Vec<u8>) {
        if let Some(constraints) = self.basic_constraints {
            write(out, oid::BASIC_CONSTRAINTS, true, |out| {
                asn1::write(out, asn1::SEQUENCE, |out| {
                    if constraints.ca {
                        asn1::write_boolean(out, true);
                        if let Some(limit) = constraints.path_length {
                            asn1::write_unsigned(out, &limit.to_be_bytes());
                        }
                    }
                });
            });
        }
        if self.key_usage != KeyUsage::default() {
            write(out, oid::KEY_USAGE, true, |out| {
                write_key_usage(out, self.key_usage);
            });
        }
        if !self.extended_key_usages.is_empty() {
            write(out, oid::EXTENDED_KEY_USAGE, false, |out| {
                asn1::write(out, asn1::SEQUENCE, |out| {
                    for purpose in &self.extended_key_usages {
                        asn1::write_oid(out, *purpose);
                    }
                });
            });
        }
        if !self.subject_alt_names.is_empty() {
            // RFC 5280 §4.2.1.6: critical when the subject is empty.
            write(out, oid::SUBJECT_ALT_NAME, self.subject.is_empty(), |out| {
                write_subject_alt_names(out, &self.subject_alt_names);
            });
        }
        for (extension, url) in [
            (oid::MASA_URL, &self.masa_url),
            (oid::MUD_URL, &self.mud_url),
        ] {
            if let Some(url) = url {
                write(out, extension, false, |out| {
                    asn1::write_bytes(out, asn1::IA5_STRING, url.as_bytes());
                });
            }
        }
        if !self.crl_urls.is_empty() {
            write(out, oid::CRL_DISTRIBUTION_POINTS, false, |out| {
                write_distribution_point(out, &self.crl_urls);
            });
        }
        if !self.ocsp_urls.is_empty() {
            write(out, oid::AUTHORITY_INFO_ACCESS, false, |out| {
                asn1::write(out, asn1::SEQUENCE, |out| {
                    for url in &self.ocsp_urls {
                        asn1::write(out, asn1::SEQUENCE, |out| {
                            asn1::write_oid(out, oid::ACCESS_OCSP);
                            asn1::write_bytes(out, asn1::context(6), url.as_bytes());
                        });
                    }
                });
            });
        }
        for extension in &self.extensions {
            crate::certificate::write_extension(out, extension);
        }
    }
}

impl SubjectAltName {
    /// The otherName that holds a hardwareModuleName (RFC 4108 §5).
    pub fn hardware_module_name(name: &HardwareModuleName) -> Self {
        Self::Other(
            oid::HARDWARE_MODULE_NAME,
            asn1::encode(asn1::SEQUENCE, |out| {
                asn1::write_oid(out, name.hardware_type);
                asn1::write_bytes(out, asn1::OCTET_STRING, &name.serial);
            }),
        )
    }
}

/// GeneralNames.
pub(crate) fn write_subject_alt_names(out: &mut Vec<u8>, names: &[SubjectAltName]) {
    asn1::write(out, asn1::SEQUENCE, |out| {
        for name in names {
            write_subject_alt_name(out, name);
        }
    });
}

/// One extension whose contents `fill` writes.
pub(crate) fn write(
    out: &mut Vec<u8>,
    extension: Oid,
    critical: bool,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    asn1::write(out, asn1::SEQUENCE, |out| {
        asn1::write_oid(out, extension);
        if critical {
            asn1::write_boolean(out, true);
        }
        asn1::write(out, asn1::OCTET_STRING, fill);
    });
}

fn dns(names: &[&str]) -> Vec<SubjectAltName> {
    names
        .iter()
        .map(|name| SubjectAltName::Dns((*name).to_owned()))
        .collect()
}

/// X.690 §11.2.2: a named bit list loses its trailing zero bits.
fn write_key_usage(out: &mut Vec<u8>, usage: KeyUsage) {
    let [low, high] = usage.0.to_le_bytes();
    let (first, second) = (low.reverse_bits(), high.reverse_bits());
    asn1::write(out, asn1::BIT_STRING, |out| {
        let last = if second == 0 { first } else { second };
        out.push(u8::try_from(last.trailing_zeros()).unwrap_or(0) & 7);
        out.push(first);
        if second != 0 {
            out.push(second);
        }
    });
}

/// RFC 5280 §4.2.1.13: one point, named in full by URLs.
fn write_distribution_point(out: &mut Vec<u8>, urls: &[String]) {
    asn1::write(out, asn1::SEQUENCE, |out| {
        asn1::write(out, asn1::SEQUENCE, |out| {
            asn1::write(out, asn1::context_constructed(0), |out| {
                asn1::write(out, asn1::context_constructed(0), |out| {
                    for url in urls {
                        asn1::write_bytes(out, asn1::context(6), url.as_bytes());
                    }
                });
            });
        });
    });
}
