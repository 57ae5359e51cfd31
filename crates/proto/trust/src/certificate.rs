//! Certificates as they are: what can be read, without judging it. Whether a certificate may be
//! used for anything is [`crate::verify_path`]'s question; version 1 and unknown critical
//! extensions parse here.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::asn1::{self, Reader};
use crate::error::{ParseError, SignatureError};
use crate::key::{self, PublicKey, SignatureAlgorithm};
use crate::name::Name;
use crate::oid::{self, Oid};

/// Largest certificate that is read, in octets.
pub const MAX_CERTIFICATE_LENGTH: usize = 64 * 1024;

/// Most extensions in one certificate, request or revocation list.
pub const MAX_EXTENSIONS: usize = 64;

/// Most certificates read from one PEM text.
pub const MAX_PEM_CERTIFICATES: usize = 64;

/// notAfter of a certificate that does not expire: 99991231235959Z (RFC 5280 §4.1.2.5,
/// IEEE 802.1AR §8.7). The last second of the calendar that [`Timestamp`] can hold stands for it.
pub const NO_EXPIRY: Timestamp = Timestamp::MAX;

/// An X.509 certificate. Cheap to clone; equal when the bytes are equal.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    tbs: Range<usize>,
    version: u8,
    serial: Range<usize>,
    issuer: Name,
    subject: Name,
    not_before: Timestamp,
    not_after: Timestamp,
    public_key: PublicKey,
    extensions: Vec<Extension>,
    signature_algorithm: Range<usize>,
    signature: Range<usize>,
}

/// One extension of a certificate or request (RFC 5280 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// What it is.
    pub oid: Oid,
    /// Whether a reader that does not know it must refuse.
    pub critical: bool,
    /// The contents of extnValue: the DER of the extension itself.
    pub value: Vec<u8>,
}

/// id-on-hardwareModuleName (RFC 4108 §5, IEEE 802.1AR §8.10.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HardwareModuleName {
    /// The type of hardware module.
    pub hardware_type: Oid,
    /// Its serial number: opaque octets.
    pub serial: Vec<u8>,
}

/// One entry of a subjectAltName (RFC 5280 §4.2.1.6); kinds that nobody asks for stay raw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectAltName {
    /// dNSName.
    Dns(String),
    /// iPAddress: 4 or 16 octets.
    Ip(Vec<u8>),
    /// uniformResourceIdentifier.
    Uri(String),
    /// rfc822Name.
    Email(String),
    /// otherName: its type, and the DER inside `[0] EXPLICIT`.
    Other(Oid, Vec<u8>),
    /// Any other GeneralName, whole, in DER.
    Raw(Vec<u8>),
}

/// keyUsage (RFC 5280 §4.2.1.3) as a set of bits; bit 0 is digitalSignature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage(pub u16);

impl KeyUsage {
    /// digitalSignature.
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// keyEncipherment.
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// keyAgreement.
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// keyCertSign.
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    /// cRLSign.
    pub const CRL_SIGN: Self = Self(1 << 6);

    /// Whether every bit of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// basicConstraints (RFC 5280 §4.2.1.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the subject is a certification authority.
    pub ca: bool,
    /// Most intermediate certificates that may follow.
    pub path_length: Option<u32>,
}

impl Certificate {
    /// Reads one certificate, at most [`MAX_CERTIFICATE_LENGTH`] octets.
    pub fn from_der(der: &[u8]) -> Result<Self, ParseError> {
        Self::from_der_vec(der.to_vec())
    }

    pub(crate) fn from_der_vec(der: Vec<u8>) -> Result<Self, ParseError> {
        Inner::parse(der).map(|inner| Self(Arc::new(inner)))
    }

    /// Reads the first certificate of a PEM text (RFC 7468 §5).
    pub fn from_pem(pem: &str) -> Result<Self, ParseError> {
        Self::many_from_pem(pem)?
            .into_iter()
            .next()
            .ok_or(ParseError::Pem)
    }

    /// Reads all certificates of a PEM text, at most [`MAX_PEM_CERTIFICATES`]. Text around the
    /// blocks and blocks of other kinds are passed over; no certificate at all is an error.
    pub fn many_from_pem(pem: &str) -> Result<Vec<Self>, ParseError> {
        let certificates = pem_blocks(pem, "CERTIFICATE")?
            .into_iter()
            .map(Self::from_der_vec)
            .collect::<Result<Vec<_>, _>>()?;
        if certificates.is_empty() {
            return Err(ParseError::Pem);
        }
        Ok(certificates)
    }

    /// The certificate in DER, byte for byte as it was read.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The certificate as a PEM block that ends in a newline.
    pub fn pem(&self) -> String {
        pem_block("CERTIFICATE", self.der())
    }

    /// The version as people count it: 1, 2 or 3.
    pub fn version(&self) -> u8 {
        self.0.version
    }

    /// The subject's public key, of any kind; its own `check` tells whether it is usable.
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }

    /// The subject.
    pub fn subject(&self) -> &Name {
        &self.0.subject
    }

    /// The issuer.
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// The subject as RFC 4514 text.
    pub fn subject_text(&self) -> String {
        self.subject().to_string()
    }

    /// The issuer as RFC 4514 text.
    pub fn issuer_text(&self) -> String {
        self.issuer().to_string()
    }

    /// The certificate's serial number: the contents octets of the INTEGER.
    pub fn serial(&self) -> &[u8] {
        self.range(&self.0.serial)
    }

    /// The certificate's serial number as lower-case hexadecimal, without a leading sign octet.
    pub fn serial_hex(&self) -> String {
        let serial = match self.serial() {
            [0, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        };
        hex_text(serial)
    }

    /// The product's serial number: the subject's serialNumber attribute (RFC 8995 §2.3.1).
    pub fn subject_serial_number(&self) -> Option<&str> {
        self.subject().attribute(&oid::SERIAL_NUMBER)
    }

    /// The subject's commonName.
    pub fn common_name(&self) -> Option<&str> {
        self.subject().attribute(&oid::COMMON_NAME)
    }

    /// First instant of the validity period.
    pub fn not_before(&self) -> Timestamp {
        self.0.not_before
    }

    /// Last instant of the validity period; [`NO_EXPIRY`] for the end of the year 9999.
    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    /// SHA-256 over the whole certificate.
    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        key::sha256(self.der())
    }

    /// All extensions in their order; empty below version 3.
    pub fn extensions(&self) -> &[Extension] {
        &self.0.extensions
    }

    /// One extension.
    pub fn extension(&self, wanted: &Oid) -> Option<&Extension> {
        self.extensions()
            .iter()
            .find(|extension| extension.oid == *wanted)
    }

    /// The authorityKeyIdentifier's whole extnValue, tag and length of the OCTET STRING included:
    /// what idevid-issuer holds (RFC 8995 §5.5, RFC 8366bis §6.1).
    pub fn authority_key_identifier_extension(&self) -> Option<Vec<u8>> {
        let extension = self.extension(&oid::AUTHORITY_KEY_IDENTIFIER)?;
        Some(asn1::encode(asn1::OCTET_STRING, |out| {
            out.extend_from_slice(&extension.value);
        }))
    }

    /// keyIdentifier of the authorityKeyIdentifier (RFC 5280 §4.2.1.1).
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        let extension = self.extension(&oid::AUTHORITY_KEY_IDENTIFIER)?;
        Reader::only(&extension.value, asn1::SEQUENCE)
            .ok()?
            .optional(asn1::context(0))
            .ok()?
    }

    /// subjectKeyIdentifier (RFC 5280 §4.2.1.2).
    pub fn key_identifier(&self) -> Option<&[u8]> {
        let extension = self.extension(&oid::SUBJECT_KEY_IDENTIFIER)?;
        let mut reader = Reader::new(&extension.value);
        let identifier = reader.expect(asn1::OCTET_STRING).ok()?;
        reader.finish().ok()?;
        Some(identifier)
    }

    /// basicConstraints; `None` when absent.
    pub fn basic_constraints(&self) -> Result<Option<BasicConstraints>, ParseError> {
        let Some(extension) = self.extension(&oid::BASIC_CONSTRAINTS) else {
            return Ok(None);
        };
        let mut fields = Reader::only(&extension.value, asn1::SEQUENCE)?;
        let ca = fields.peek_tag() == Some(asn1::BOOLEAN) && fields.boolean()?;
        let path_length = if fields.is_empty() {
            None
        } else {
            Some(fields.small_integer()?)
        };
        fields.finish()?;
        Ok(Some(BasicConstraints { ca, path_length }))
    }

    /// Whether basicConstraints says that this is a certification authority.
    pub fn is_ca(&self) -> bool {
        matches!(
            self.basic_constraints(),
            Ok(Some(BasicConstraints { ca: true, .. }))
        )
    }

    /// keyUsage; `None` when absent.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, ParseError> {
        let Some(extension) = self.extension(&oid::KEY_USAGE) else {
            return Ok(None);
        };
        let mut reader = Reader::new(&extension.value);
        let bits = reader.expect(asn1::BIT_STRING)?;
        reader.finish()?;
        let (unused, octets) = bits.split_first().ok_or(ParseError::Value)?;
        if *unused > 7 || octets.len() > 2 {
            return Err(ParseError::Value);
        }
        // Bit 0 is the most significant bit of the first octet.
        let usage = octets
            .iter()
            .enumerate()
            .fold(0_u16, |usage, (index, octet)| {
                usage | (u16::from(octet.reverse_bits()) << (8 * index))
            });
        Ok(Some(KeyUsage(usage)))
    }

    /// extKeyUsage; `None` when absent.
    pub fn extended_key_usages(&self) -> Result<Option<Vec<Oid>>, ParseError> {
        let Some(extension) = self.extension(&oid::EXTENDED_KEY_USAGE) else {
            return Ok(None);
        };
        let mut purposes = Reader::only(&extension.value, asn1::SEQUENCE)?;
        let mut usages = Vec::new();
        while !purposes.is_empty() {
            usages.push(purposes.oid()?);
        }
        if usages.is_empty() {
            return Err(ParseError::Value);
        }
        Ok(Some(usages))
    }

    /// Whether extKeyUsage is present, readable and contains `purpose` itself.
    pub fn has_extended_key_usage(&self, purpose: &Oid) -> bool {
        matches!(self.extended_key_usages(), Ok(Some(usages)) if usages.contains(purpose))
    }

    /// Whether extKeyUsage is present and names nothing but serverAuth and clientAuth, or cannot be read: such a
    /// key signs no document (RFC 5280 §4.2.1.12).
    pub fn is_for_tls_alone(&self) -> bool {
        let of_tls = [oid::SERVER_AUTH, oid::CLIENT_AUTH];
        match self.extended_key_usages() {
            Ok(Some(usages)) => usages.iter().all(|usage| of_tls.contains(usage)),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// The entries of subjectAltName; empty when absent.
    pub fn subject_alt_names(&self) -> Result<Vec<SubjectAltName>, ParseError> {
        self.extension(&oid::SUBJECT_ALT_NAME)
            .map_or(Ok(Vec::new()), |extension| {
                read_subject_alt_names(&extension.value)
            })
    }

    /// The dNSName entries of subjectAltName.
    pub fn dns_names(&self) -> Vec<String> {
        self.subject_alt_names()
            .unwrap_or_default()
            .into_iter()
            .filter_map(|name| match name {
                SubjectAltName::Dns(name) => Some(name),
                _ => None,
            })
            .collect()
    }

    /// The hardwareModuleName in subjectAltName (RFC 4108 §5).
    pub fn hardware_module_name(&self) -> Option<HardwareModuleName> {
        self.subject_alt_names()
            .ok()?
            .into_iter()
            .find_map(|name| match name {
                SubjectAltName::Other(oid::HARDWARE_MODULE_NAME, value) => {
                    let mut fields = Reader::only(&value, asn1::SEQUENCE).ok()?;
                    let hardware_type = fields.oid().ok()?;
                    let serial = fields.expect(asn1::OCTET_STRING).ok()?.to_vec();
                    fields.finish().ok()?;
                    Some(HardwareModuleName {
                        hardware_type,
                        serial,
                    })
                }
                _ => None,
            })
    }

    /// The MASA URL extension: authority only, or a whole URL (RFC 8995 §2.3.2).
    pub fn masa_url(&self) -> Option<&str> {
        self.ia5_extension(&oid::MASA_URL)
    }

    /// The MUD URL extension (RFC 8520 §11).
    pub fn mud_url(&self) -> Option<&str> {
        self.ia5_extension(&oid::MUD_URL)
    }

    /// The URLs of cRLDistributionPoints (RFC 5280 §4.2.1.13).
    pub fn crl_urls(&self) -> Vec<String> {
        self.extension(&oid::CRL_DISTRIBUTION_POINTS)
            .and_then(|extension| read_crl_urls(&extension.value).ok())
            .unwrap_or_default()
    }

    /// The URLs of the OCSP responders in authorityInfoAccess (RFC 5280 §4.2.2.1).
    pub fn ocsp_urls(&self) -> Vec<String> {
        self.extension(&oid::AUTHORITY_INFO_ACCESS)
            .and_then(|extension| read_ocsp_urls(&extension.value).ok())
            .unwrap_or_default()
    }

    /// The bytes that the issuer signed.
    pub fn tbs_der(&self) -> &[u8] {
        self.range(&self.0.tbs)
    }

    /// The AlgorithmIdentifier of the issuer's signature, a whole SEQUENCE in DER.
    pub fn signature_algorithm_der(&self) -> &[u8] {
        self.range(&self.0.signature_algorithm)
    }

    /// The issuer's signature.
    pub fn signature(&self) -> &[u8] {
        self.range(&self.0.signature)
    }

    /// Whether `key` made the signature on this certificate. This alone is no reason to trust it.
    pub fn verify_signature(&self, key: &PublicKey) -> Result<(), SignatureError> {
        let algorithm =
            SignatureAlgorithm::from_algorithm_identifier(self.signature_algorithm_der(), key)?;
        key.verify(algorithm, self.tbs_der(), self.signature())
    }

    /// Whether issuer and subject are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.subject() == self.issuer()
    }

    fn range(&self, range: &Range<usize>) -> &[u8] {
        self.0.der.get(range.clone()).unwrap_or_default()
    }

    fn ia5_extension(&self, wanted: &Oid) -> Option<&str> {
        let extension = self.extension(wanted)?;
        let mut reader = Reader::new(&extension.value);
        let text = reader.expect(asn1::IA5_STRING).ok()?;
        reader.finish().ok()?;
        ia5(text).ok()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl std::hash::Hash for Certificate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.der.hash(state);
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Certificate({}, serial {}, issued by {})",
            self.subject(),
            self.serial_hex(),
            self.issuer()
        )
    }
}

impl Inner {
    /// RFC 5280 §4.1, field by field.
    fn parse(der: Vec<u8>) -> Result<Self, ParseError> {
        if der.len() > MAX_CERTIFICATE_LENGTH {
            return Err(ParseError::TooLarge);
        }
        let mut outer = Reader::only(&der, asn1::SEQUENCE)?;
        let tbs = outer.expect_element(asn1::SEQUENCE)?;
        let signature_algorithm = outer.expect_element(asn1::SEQUENCE)?.raw;
        let signature = outer.bit_string_octets()?;
        outer.finish()?;

        let mut fields = Reader::new(tbs.body);
        let version = match fields.optional(asn1::context_constructed(0))? {
            None => 1,
            Some(body) => {
                let mut inner = Reader::new(body);
                let version = inner.small_integer()?;
                inner.finish()?;
                // Some encoders write the default; 0 is version 1 all the same.
                u8::try_from(version.saturating_add(1)).map_err(|_| ParseError::Version)?
            }
        };
        if version > 3 {
            return Err(ParseError::Version);
        }
        let serial = fields.expect(asn1::INTEGER)?;
        asn1::check_integer(serial)?;
        // RFC 5280 §4.1.1.2: both algorithm fields are the same.
        if fields.expect_element(asn1::SEQUENCE)?.raw != signature_algorithm {
            return Err(ParseError::AlgorithmMismatch);
        }
        let issuer = Name::from_der(fields.expect_element(asn1::SEQUENCE)?.raw)?;
        let mut validity = fields.sequence()?;
        let not_before = validity.time()?;
        let not_after = validity.time()?;
        validity.finish()?;
        let subject = Name::from_der(fields.expect_element(asn1::SEQUENCE)?.raw)?;
        let public_key = PublicKey::parse(fields.expect_element(asn1::SEQUENCE)?.raw)
            .map_err(|_| ParseError::Value)?;
        // issuerUniqueID and subjectUniqueID (RFC 5280 §4.1.2.8): nobody uses them.
        fields.optional(asn1::context(1))?;
        fields.optional(asn1::context(2))?;
        let extensions = match fields.optional(asn1::context_constructed(3))? {
            None => Vec::new(),
            Some(_) if version != 3 => return Err(ParseError::Version),
            Some(body) => read_extensions(body)?,
        };
        fields.finish()?;

        let place = |part: &[u8]| offset(&der, part);
        Ok(Self {
            version,
            tbs: place(tbs.raw),
            serial: place(serial),
            signature_algorithm: place(signature_algorithm),
            signature: place(signature),
            issuer,
            subject,
            not_before,
            not_after,
            public_key,
            extensions,
            der,
        })
    }
}

/// Where `part`, a slice of `whole`, lies in it.
fn offset(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

/// Extensions ::= SEQUENCE OF Extension, given as that whole SEQUENCE (RFC 5280 §4.1).
pub(crate) fn read_extensions(der: &[u8]) -> Result<Vec<Extension>, ParseError> {
    let mut list = Reader::only(der, asn1::SEQUENCE)?;
    let mut extensions: Vec<Extension> = Vec::new();
    while !list.is_empty() {
        let mut fields = list.sequence()?;
        let oid = fields.oid()?;
        let critical = fields.peek_tag() == Some(asn1::BOOLEAN) && fields.boolean()?;
        let value = fields.expect(asn1::OCTET_STRING)?.to_vec();
        fields.finish()?;
        if extensions.len() >= MAX_EXTENSIONS {
            return Err(ParseError::TooLarge);
        }
        // RFC 5280 §4.2: not more than one instance of an extension.
        if extensions.iter().any(|known| known.oid == oid) {
            return Err(ParseError::DuplicateExtension);
        }
        extensions.push(Extension {
            oid,
            critical,
            value,
        });
    }
    Ok(extensions)
}

pub(crate) fn write_extension(out: &mut Vec<u8>, extension: &Extension) {
    asn1::write(out, asn1::SEQUENCE, |out| {
        asn1::write_oid(out, extension.oid);
        if extension.critical {
            asn1::write_boolean(out, true);
        }
        asn1::write_bytes(out, asn1::OCTET_STRING, &extension.value);
    });
}

/// GeneralNames (RFC 5280 §4.2.1.6).
pub(crate) fn read_subject_alt_names(der: &[u8]) -> Result<Vec<SubjectAltName>, ParseError> {
    let mut list = Reader::only(der, asn1::SEQUENCE)?;
    let mut names = Vec::new();
    while !list.is_empty() {
        let element = list.element()?;
        names.push(match element.tag {
            0xa0 => {
                let mut fields = Reader::new(element.body);
                let kind = fields.oid()?;
                let value = fields.expect(asn1::context_constructed(0))?;
                fields.finish()?;
                SubjectAltName::Other(kind, value.to_vec())
            }
            0x81 => SubjectAltName::Email(ia5(element.body)?.to_owned()),
            0x82 => SubjectAltName::Dns(ia5(element.body)?.to_owned()),
            0x86 => SubjectAltName::Uri(ia5(element.body)?.to_owned()),
            0x87 if matches!(element.body.len(), 4 | 16) => {
                SubjectAltName::Ip(element.body.to_vec())
            }
            _ => SubjectAltName::Raw(element.raw.to_vec()),
        });
    }
    Ok(names)
}

pub(crate) fn write_subject_alt_name(out: &mut Vec<u8>, name: &SubjectAltName) {
    match name {
        SubjectAltName::Other(kind, value) => asn1::write(out, 0xa0, |out| {
            asn1::write_oid(out, *kind);
            asn1::write_bytes(out, asn1::context_constructed(0), value);
        }),
        SubjectAltName::Email(text) => asn1::write_bytes(out, 0x81, text.as_bytes()),
        SubjectAltName::Dns(text) => asn1::write_bytes(out, 0x82, text.as_bytes()),
        SubjectAltName::Uri(text) => asn1::write_bytes(out, 0x86, text.as_bytes()),
        SubjectAltName::Ip(octets) => asn1::write_bytes(out, 0x87, octets),
        SubjectAltName::Raw(der) => out.extend_from_slice(der),
    }
}

fn read_crl_urls(der: &[u8]) -> Result<Vec<String>, ParseError> {
    let mut points = Reader::only(der, asn1::SEQUENCE)?;
    let mut urls = Vec::new();
    while !points.is_empty() {
        let mut point = points.sequence()?;
        // distributionPoint [0], in it fullName [0].
        let Some(name) = point.optional(asn1::context_constructed(0))? else {
            continue;
        };
        if let Some(full) = Reader::new(name).optional(asn1::context_constructed(0))? {
            let mut names = Reader::new(full);
            while !names.is_empty() {
                let element = names.element()?;
                if element.tag == 0x86 {
                    urls.push(ia5(element.body)?.to_owned());
                }
            }
        }
    }
    Ok(urls)
}

fn read_ocsp_urls(der: &[u8]) -> Result<Vec<String>, ParseError> {
    let mut list = Reader::only(der, asn1::SEQUENCE)?;
    let mut urls = Vec::new();
    while !list.is_empty() {
        let mut access = list.sequence()?;
        let method = access.oid()?;
        let location = access.element()?;
        if method == oid::ACCESS_OCSP && location.tag == 0x86 {
            urls.push(ia5(location.body)?.to_owned());
        }
    }
    Ok(urls)
}

fn ia5(octets: &[u8]) -> Result<&str, ParseError> {
    if !octets.is_ascii() {
        return Err(ParseError::Value);
    }
    std::str::from_utf8(octets).map_err(|_| ParseError::Value)
}

pub(crate) fn hex_text(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// The contents of all PEM blocks with this label (RFC 7468 §2); other blocks are passed over.
pub(crate) fn pem_blocks(pem: &str, label: &str) -> Result<Vec<Vec<u8>>, ParseError> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut blocks = Vec::new();
    let mut text: Option<String> = None;
    for line in pem.lines().map(str::trim) {
        if line == begin {
            if text.is_some() || blocks.len() >= MAX_PEM_CERTIFICATES {
                return Err(ParseError::Pem);
            }
            text = Some(String::new());
        } else if line == end {
            let body = text.take().ok_or(ParseError::Pem)?;
            blocks.push(STANDARD.decode(body).map_err(|_| ParseError::Pem)?);
        } else if let Some(body) = &mut text {
            body.push_str(line);
            if body.len() > 2 * MAX_CERTIFICATE_LENGTH {
                return Err(ParseError::TooLarge);
            }
        }
    }
    if text.is_some() {
        return Err(ParseError::Pem);
    }
    Ok(blocks)
}

/// One PEM block with lines of 64 characters (RFC 7468 §2).
pub(crate) fn pem_block(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
