//! A configurator's backup: its keys, handed to another configurator under a password that only the two
//! ends of an exchange have (Wi-Fi Easy Connect 3.0 §7.2, RFC 5652 §6, RFC 5958).
//!
//! 1. The new configurator authenticates as an enrollee and asks for the role of a configurator.
//! 2. The old one packs C-sign key, privacy key and a template ([`seal`]) into the configuration response.
//! 3. The new one opens it ([`open`]) and can then sign and reconfigure for the same networks.
//!
//! ```text
//! EnvelopedData
//!   password recipient: PBKDF2, 1000 rounds, from HKDF-Expand(bk, "Enveloped Data Password")
//!     content key, AES-SIV
//!   asymmetric key package, AES-SIV
//!     C-sign key, and as its attribute: privacy key, templates
//! ```
//!
//! hostap writes the context tags around a recipient, its key derivation and a key's attributes as
//! explicit ones, where RFC 5652 and RFC 5958 have implicit ones. It reads no others, so they are written
//! like that; both are read.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use vouchsafe_trust::Secret;
use zeroize::{Zeroize, Zeroizing};

use crate::authentication::{Authenticated, Role};
use crate::curve::{Curve, PrivateKey};
use crate::error::{Error, Malformed, Misuse, Unsupported};
use crate::schedule;
use crate::wrap::{unwrap, wrap};

/// Longest backup that is read, in octets.
pub const MAX_BACKUP_LENGTH: usize = 32 * 1024;

/// Most keys in one backup.
pub const MAX_BACKUP_KEYS: usize = 8;

/// Rounds of PBKDF2 (§7.2). The password is a full-size key, so that few are enough.
const ROUNDS: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// Octets of the salt (§7.2).
const SALT_LENGTH: usize = 64;

/// One C-sign key with what belongs to it.
#[derive(Clone, PartialEq, Eq)]
pub struct BackupKey {
    /// The key that signs connectors.
    pub c_sign: PrivateKey,
    /// The key under which devices hide their identity, on the same curve.
    pub privacy_key: PrivateKey,
    /// A configuration object without secrets, as a pattern.
    pub configuration_template: String,
    /// A connector's content, as a pattern.
    pub connector_template: Option<String>,
}

/// Random octets for one backup, drawn by the caller and used once.
pub struct BackupEntropy {
    salt: [u8; SALT_LENGTH],
    content_key: [u8; 64],
}

impl BackupEntropy {
    /// Takes octets from a cryptographic generator.
    pub fn new(salt: [u8; SALT_LENGTH], content_key: [u8; 64]) -> Self {
        Self { salt, content_key }
    }
}

impl Drop for BackupEntropy {
    fn drop(&mut self) {
        self.content_key.zeroize();
    }
}

impl fmt::Debug for BackupEntropy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BackupEntropy(..)")
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BackupKey")
            .field("c_sign", self.c_sign.public())
            .finish_non_exhaustive()
    }
}

/// Packs `keys` for the other end of an exchange in which we are the configurator.
///
/// # Errors
/// [`Misuse::Role`]; [`Misuse::BackupKeys`] for no keys, too many, or a privacy key on another curve
/// than the C-sign key beside it.
pub fn seal(
    authenticated: &Authenticated,
    keys: &[BackupKey],
    entropy: &BackupEntropy,
) -> Result<Vec<u8>, Error> {
    if authenticated.role() != Role::Configurator {
        return Err(Misuse::Role.into());
    }
    let same_curve = |key: &BackupKey| key.c_sign.curve() == key.privacy_key.curve();
    let Some(first) = keys.first() else {
        return Err(Misuse::BackupKeys.into());
    };
    if keys.len() > MAX_BACKUP_KEYS || !keys.iter().all(same_curve) {
        return Err(Misuse::BackupKeys.into());
    }
    // §7.2: hash and key lengths are those of the C-sign key.
    let curve = first.c_sign.curve();
    let suite = Suite::of_length(curve.hash_length()).ok_or(Misuse::BackupKeys)?;

    let content_key = entropy.content_key.get(..suite.length).unwrap_or_default();
    let mut package = Writer::default();
    package.nest(SEQUENCE, |package| {
        for key in keys {
            write_key(package, key);
        }
    });
    let content = wrap(content_key, &[], &package.0)?;
    let key_key = key_encryption_key(authenticated, suite, &entropy.salt);
    let encrypted_key = wrap(key_key.expose(), &[], content_key)?;

    let mut out = Writer::default();
    out.nest(SEQUENCE, |out| {
        out.put(INTEGER, &[3]);
        out.nest(SET, |out| {
            out.nest(CONTEXT_3, |out| {
                out.nest(SEQUENCE, |out| {
                    out.put(INTEGER, &[0]);
                    out.nest(CONTEXT_0, |out| {
                        out.nest(SEQUENCE, |out| {
                            out.put(OID, PBKDF2);
                            out.nest(SEQUENCE, |out| {
                                out.put(OCTET_STRING, &entropy.salt);
                                out.put(INTEGER, &[0x03, 0xe8]);
                                out.put(INTEGER, &[suite.length_octet]);
                                out.nest(SEQUENCE, |out| out.put(OID, suite.hmac));
                            });
                        });
                    });
                    out.nest(SEQUENCE, |out| out.put(OID, suite.siv));
                    out.put(OCTET_STRING, &encrypted_key);
                });
            });
        });
        out.nest(SEQUENCE, |out| {
            out.put(OID, KEY_PACKAGE);
            out.nest(SEQUENCE, |out| out.put(OID, suite.siv));
            out.put(IMPLICIT_0, &content);
        });
    });
    Ok(out.0.to_vec())
}

/// Opens what the configurator at the other end of this exchange has packed.
///
/// # Errors
/// [`Misuse::Role`]; [`Malformed::Backup`]; [`Unsupported::Backup`] for another key derivation, number of rounds or
/// cipher; [`crate::Refusal::Unwrap`] when it was packed in another exchange.
pub fn open(authenticated: &Authenticated, der: &[u8]) -> Result<Vec<BackupKey>, Error> {
    if authenticated.role() != Role::Enrollee {
        return Err(Misuse::Role.into());
    }
    if der.len() > MAX_BACKUP_LENGTH {
        return Err(Malformed::Backup.into());
    }
    let mut enveloped = Reader(der).last(SEQUENCE)?;
    if enveloped.take(INTEGER)? != [3] {
        return Err(Unsupported::Backup.into());
    }
    let recipients = enveloped.take(SET)?;
    let mut content_info = enveloped.last(SEQUENCE)?;

    let recipient = Reader(recipients).last(CONTEXT_3)?;
    let mut recipient = recipient.explicit_or_implicit(SEQUENCE)?;
    if recipient.take(INTEGER)? != [0] {
        return Err(Unsupported::Backup.into());
    }
    let derivation = Reader(recipient.take(CONTEXT_0)?);
    let (suite, salt) = read_derivation(derivation.explicit_or_implicit(SEQUENCE)?)?;
    read_cipher(&mut recipient)?;
    let encrypted_key = recipient.take(OCTET_STRING)?;
    recipient.end()?;

    if content_info.take(OID)? != KEY_PACKAGE {
        return Err(Unsupported::Backup.into());
    }
    read_cipher(&mut content_info)?;
    let content = content_info.take(IMPLICIT_0)?;
    content_info.end()?;

    let key_key = key_encryption_key(authenticated, suite, salt);
    let content_key = unwrap(key_key.expose(), &[], encrypted_key)?;
    if Suite::of_length(content_key.len()).is_none() {
        return Err(Unsupported::Backup.into());
    }
    let package = unwrap(&content_key, &[], content)?;
    let mut package = Reader(&package).last(SEQUENCE)?;
    let mut keys = Vec::new();
    while !package.0.is_empty() {
        if keys.len() == MAX_BACKUP_KEYS {
            return Err(Malformed::Backup.into());
        }
        keys.push(read_key(package.nested(SEQUENCE)?)?);
    }
    if keys.is_empty() {
        return Err(Malformed::Backup.into());
    }
    Ok(keys)
}

/// The algorithms that go with one length of key.
#[derive(Clone, Copy)]
struct Suite {
    length: usize,
    length_octet: u8,
    hmac: &'static [u8],
    siv: &'static [u8],
    derivation: pbkdf2::Algorithm,
}

impl Suite {
    fn of_length(length: usize) -> Option<Self> {
        let (length_octet, hmac, siv, derivation) = match length {
            32 => (32, HMAC_SHA256, AES_SIV_256, pbkdf2::PBKDF2_HMAC_SHA256),
            48 => (48, HMAC_SHA384, AES_SIV_384, pbkdf2::PBKDF2_HMAC_SHA384),
            64 => (64, HMAC_SHA512, AES_SIV_512, pbkdf2::PBKDF2_HMAC_SHA512),
            _ => return None,
        };
        Some(Self {
            length,
            length_octet,
            hmac,
            siv,
            derivation,
        })
    }
}

fn key_encryption_key(authenticated: &Authenticated, suite: Suite, salt: &[u8]) -> Secret {
    let curve = authenticated.curve();
    let info = b"Enveloped Data Password";
    let password = schedule::expand(
        curve,
        authenticated.bk().expose(),
        info,
        curve.hash_length(),
    );
    let mut key = vec![0; suite.length];
    pbkdf2::derive(suite.derivation, ROUNDS, salt, password.expose(), &mut key);
    Secret::new(key)
}

fn read_derivation(mut algorithm: Reader<'_>) -> Result<(Suite, &[u8]), Error> {
    if algorithm.take(OID)? != PBKDF2 {
        return Err(Unsupported::Backup.into());
    }
    let mut parameters = algorithm.last(SEQUENCE)?;
    let salt = parameters.take(OCTET_STRING)?;
    let rounds = parameters.take(INTEGER)?;
    let length = parameters.take(INTEGER)?;
    let hmac = parameters.last(SEQUENCE)?.take(OID)?;
    let suite = match length {
        [length] => Suite::of_length(usize::from(*length)),
        _ => None,
    };
    match suite {
        Some(suite)
            if suite.hmac == hmac && salt.len() == SALT_LENGTH && rounds == [0x03, 0xe8] =>
        {
            Ok((suite, salt))
        }
        _ => Err(Unsupported::Backup.into()),
    }
}

/// Any of the three: hostap names the shortest whatever it uses, and the key says which it is.
fn read_cipher(fields: &mut Reader<'_>) -> Result<(), Error> {
    let cipher = fields.nested(SEQUENCE)?.take(OID)?;
    if [AES_SIV_256, AES_SIV_384, AES_SIV_512].contains(&cipher) {
        Ok(())
    } else {
        Err(Unsupported::Backup.into())
    }
}

/// RFC 5958 §2, with the attribute of §7.2.
fn write_key(out: &mut Writer, key: &BackupKey) {
    out.nest(SEQUENCE, |out| {
        out.put(INTEGER, &[0]);
        out.nest(SEQUENCE, |out| {
            out.put(OID, EC_PUBLIC_KEY);
            out.0
                .extend_from_slice(key.c_sign.curve().object_identifier());
        });
        out.put(OCTET_STRING, key.c_sign.to_sec1_der().expose());
        out.nest(CONTEXT_0, |out| {
            out.nest(SET, |out| {
                out.nest(SEQUENCE, |out| {
                    out.put(OID, CONFIGURATION_PARAMETERS);
                    out.nest(SET, |out| {
                        out.nest(SEQUENCE, |out| {
                            out.put(OCTET_STRING, key.privacy_key.to_sec1_der().expose());
                            out.put(UTF8_STRING, key.configuration_template.as_bytes());
                            if let Some(template) = &key.connector_template {
                                out.put(UTF8_STRING, template.as_bytes());
                            }
                        });
                    });
                });
            });
        });
    });
}

fn read_key(mut fields: Reader<'_>) -> Result<BackupKey, Error> {
    if !matches!(fields.take(INTEGER)?, [0 | 1]) {
        return Err(Unsupported::Backup.into());
    }
    let mut algorithm = fields.nested(SEQUENCE)?;
    if algorithm.take(OID)? != EC_PUBLIC_KEY {
        return Err(Unsupported::Backup.into());
    }
    let curve = read_curve(algorithm.take(OID)?)?;
    let c_sign = read_private_key(fields.take(OCTET_STRING)?, curve)?;
    let attributes = Reader(fields.take(CONTEXT_0)?).explicit_or_implicit(SET)?;
    let mut attribute = attributes.last(SEQUENCE)?;
    if attribute.take(OID)? != CONFIGURATION_PARAMETERS {
        return Err(Unsupported::Backup.into());
    }
    let mut parameters = attribute.last(SET)?.last(SEQUENCE)?;
    let privacy_key = read_private_key(parameters.take(OCTET_STRING)?, curve)?;
    let text = |octets: &[u8]| -> Result<String, Error> {
        String::from_utf8(octets.to_vec()).map_err(|_| Malformed::Backup.into())
    };
    let configuration_template = text(parameters.take(UTF8_STRING)?)?;
    let connector_template = if parameters.0.is_empty() {
        None
    } else {
        Some(text(parameters.take(UTF8_STRING)?)?)
    };
    parameters.end()?;
    Ok(BackupKey {
        c_sign,
        privacy_key,
        configuration_template,
        connector_template,
    })
}

/// RFC 5915 §3; the curve may be named, and must then be this one.
fn read_private_key(der: &[u8], curve: Curve) -> Result<PrivateKey, Error> {
    let mut fields = Reader(der).last(SEQUENCE)?;
    if fields.take(INTEGER)? != [1] {
        return Err(Unsupported::Backup.into());
    }
    let scalar = fields.take(OCTET_STRING)?;
    if fields.0.first() == Some(&CONTEXT_0) {
        let named = Reader(fields.take(CONTEXT_0)?).take(OID)?;
        if read_curve(named)? != curve {
            return Err(Malformed::Backup.into());
        }
    }
    // RFC 5915 §3 has leading zeros; some writers drop them.
    let missing = curve
        .coordinate_length()
        .checked_sub(scalar.len())
        .ok_or(Malformed::Backup)?;
    let mut whole = Zeroizing::new(vec![0; missing]);
    whole.extend_from_slice(scalar);
    PrivateKey::from_bytes(curve, &whole)
}

fn read_curve(named: &[u8]) -> Result<Curve, Error> {
    Curve::ALL
        .into_iter()
        .find(|curve| curve.object_identifier().get(2..) == Some(named))
        .ok_or_else(|| Unsupported::CurveUnknown.into())
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const IMPLICIT_0: u8 = 0x80;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;

/// 1.2.840.10045.2.1.
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// 1.2.840.113549.1.5.12 (RFC 8018).
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12];
/// 1.2.840.113549.2.9 (RFC 8018).
const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9];
/// 1.2.840.113549.2.10.
const HMAC_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 10];
/// 1.2.840.113549.2.11.
const HMAC_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 11];
/// id-alg-AES-SIV-CMAC-aed-256: 1.2.840.113549.1.9.16.3.22.
const AES_SIV_256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 3, 22];
/// id-alg-AES-SIV-CMAC-aed-384: 1.2.840.113549.1.9.16.3.23.
const AES_SIV_384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 3, 23];
/// id-alg-AES-SIV-CMAC-aed-512: 1.2.840.113549.1.9.16.3.24.
const AES_SIV_512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 3, 24];
/// id-DPPConfigParams: 1.3.6.1.4.1.40808.1.2.1.
const CONFIGURATION_PARAMETERS: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0xbe, 0x68, 1, 2, 1];
/// id-DPPAsymmetricKeyPackage: 1.3.6.1.4.1.40808.1.2.2.
const KEY_PACKAGE: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0xbe, 0x68, 1, 2, 2];

/// DER, outside in; lengths are filled in behind.
#[derive(Default)]
struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn put(&mut self, tag: u8, content: &[u8]) {
        self.0.push(tag);
        let length = content.len();
        let octets = length.to_be_bytes();
        let short: &[u8] = {
            let zeros = octets.iter().take_while(|octet| **octet == 0).count();
            octets.get(zeros..).unwrap_or_default()
        };
        match (u8::try_from(length), u8::try_from(short.len())) {
            (Ok(length), _) if length < 0x80 => self.0.push(length),
            (_, count) => {
                self.0.push(0x80 | count.unwrap_or_default());
                self.0.extend_from_slice(short);
            }
        }
        self.0.extend_from_slice(content);
    }

    fn nest(&mut self, tag: u8, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.put(tag, &inner.0);
    }
}

/// DER, element by element.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        let [found, first, rest @ ..] = self.0 else {
            return Err(Malformed::Backup);
        };
        if *found != tag {
            return Err(Malformed::Backup);
        }
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            // More than two octets of length is more than the limit of the whole.
            0x81 | 0x82 => {
                let (octets, rest) = rest
                    .split_at_checked(usize::from(first & 3))
                    .ok_or(Malformed::Backup)?;
                let length = octets
                    .iter()
                    .fold(0, |sum, octet| sum << 8 | usize::from(*octet));
                // X.690 §10.1: the shortest form.
                if length < 0x80 || octets.first() == Some(&0) {
                    return Err(Malformed::Backup);
                }
                (length, rest)
            }
            _ => return Err(Malformed::Backup),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(Malformed::Backup)?;
        self.0 = rest;
        Ok(content)
    }

    fn nested(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.take(tag).map(Self)
    }

    /// The contents of the one element that is left.
    fn last(mut self, tag: u8) -> Result<Self, Malformed> {
        let content = self.nested(tag)?;
        self.end()?;
        Ok(content)
    }

    /// What is inside a context tag: with the element's own tag around it, or without.
    fn explicit_or_implicit(self, tag: u8) -> Result<Self, Malformed> {
        if self.0.first() == Some(&tag) {
            self.last(tag)
        } else {
            Ok(self)
        }
    }

    fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Backup)
        }
    }
}

#[cfg(test)]
mod tests;
