//! What BRSKI reads from a device's birth certificate (RFC 8995 §2.3).

use vouchsafe_trust::{Anchors, Certificate, IdevidRules, Path, PathRules, Verified, verify_path};

use crate::compatibility::Compatibility;
use crate::error::{Artifact, Error, Refusal};

/// The serial number by which vouchers name the device: X520SerialNumber of the subject
/// (RFC 8995 §2.3.1), not the certificate's serial number.
///
/// # Errors
/// [`Refusal::DeviceSerialMissing`].
pub fn serial_number(idevid: &Certificate) -> Result<&str, Error> {
    idevid
        .subject_serial_number()
        .filter(|serial| !serial.is_empty())
        .ok_or_else(|| Refusal::DeviceSerialMissing.into())
}

/// The value of `idevid-issuer`: the whole extnValue OCTET STRING of the Authority Key Identifier,
/// tag and length included; without that extension the same built from SHA-1 of the device's
/// public key (RFC 8366bis §6.1–6.3).
#[must_use]
pub fn issuer(idevid: &Certificate) -> Vec<u8> {
    if let Some(extension) = idevid.authority_key_identifier_extension() {
        return extension;
    }
    let mut value = vec![0x04, 0x18, 0x30, 0x16, 0x80, 0x14];
    value.extend_from_slice(&idevid.public_key().key_identifier_sha1());
    value
}

/// Whether a stated `idevid-issuer` is that of this certificate.
#[must_use]
pub fn issuer_matches(stated: &[u8], idevid: &Certificate, compatibility: &Compatibility) -> bool {
    let full = issuer(idevid);
    stated == full
        || (compatibility.accept_bare_idevid_issuer
            && stated.len() >= KEY_IDENTIFIER_MIN
            && (full.get(2..) == Some(stated) || full.get(6..) == Some(stated)))
}

/// The MASA's base URL from the certificate (RFC 8995 §2.3.2): `https` whatever is written, and
/// with `/.well-known/brski` where only an authority stands. `None` without the extension.
#[must_use]
pub fn masa_url(idevid: &Certificate) -> Option<String> {
    idevid.masa_url().map(normalize_masa_url)
}

/// The base URL meant by the text of a MASA URL extension, without a slash at the end.
#[must_use]
pub fn normalize_masa_url(text: &str) -> String {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.trim_end_matches('/');
    if rest.contains('/') {
        format!("https://{rest}")
    } else {
        format!("https://{rest}/.well-known/brski")
    }
}

/// Judges the chain that a pledge showed in TLS against its manufacturer's anchors
/// (RFC 8995 §5.1, §5.3), once per connection; leaf first.
///
/// # Errors
/// [`Refusal::NoTlsClientCertificate`] for an empty chain, [`Error::Chain`] otherwise.
pub fn verify_device_chain(
    chain: &[Certificate],
    manufacturer: &Anchors,
    rules: &IdevidRules,
    now: jiff::Timestamp,
) -> Result<Verified<Path>, Error> {
    let (leaf, intermediates) = chain.split_first().ok_or(Refusal::NoTlsClientCertificate)?;
    verify_path(leaf, intermediates, manufacturer, &path_rules(rules, now)).map_err(|source| {
        Error::Chain {
            artifact: Artifact::PledgeRequest,
            source,
        }
    })
}

pub(crate) fn path_rules(rules: &IdevidRules, at: jiff::Timestamp) -> PathRules {
    PathRules::idevid(at, rules.clone())
}

/// A key identifier shorter than this matches nothing.
const KEY_IDENTIFIER_MIN: usize = 8;
