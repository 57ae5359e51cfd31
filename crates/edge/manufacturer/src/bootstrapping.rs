//! Bootstrapping keys for Wi-Fi Easy Connect: the key whose public half stands on a device's label.
//!
//! 1. The key is made here, on the curve that is asked for, or it is the birth key itself; a device
//!    that makes its own keys hands in its URI.
//! 2. The private half goes into the birth folder, sealed as the birth key is
//!    ([`PRIVATE_KEY_FILE`]), before anything is certified or recorded.
//! 3. The URI goes into the record, the journal, the label and the manifest.
//!
//! For builders whose devices run hostap and not our agent, the key is written in hostap's own form
//! when that is asked for ([`HOSTAP_KEY_FILE`]): in clear, since that is what hostap reads.

use std::path::Path;

use serde::{Deserialize, Serialize};
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{Agreement as _, BootstrappingKey, Curve, PrivateKey};
use vouchsafe_fleet::wifi::KeyFacts;
use vouchsafe_fleet::{DeviceId, Digest};
use vouchsafe_keystore::{Algorithm, Sealer, StoreUri, random, write_file};
use vouchsafe_store::KeyFilter;
use vouchsafe_trust::{PublicKey, Secret};

use crate::birth::KEY_STORE;
use crate::factory::{Factory, FactoryError};

/// The private half in the birth folder: one big-endian number, sealed under the folder's sealing
/// key for the label [`SEALED_AS`]. Its curve is that of the URI in `device.toml`.
pub const PRIVATE_KEY_FILE: &str = "dpp.key";

/// The label under which [`PRIVATE_KEY_FILE`] is sealed.
pub const SEALED_AS: &str = "dpp";

/// The key for `DPP_BOOTSTRAP_GEN key=…` of hostap: ECPrivateKey (RFC 5915) in hexadecimal, in clear.
pub const HOSTAP_KEY_FILE: &str = "dpp-hostap.key";

/// The version of the protocol that a URI announces.
const VERSION: u8 = 2;

/// Which bootstrapping key devices get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bootstrapping {
    /// The curve: `P-256`, `P-384`, `P-521`, `BP-256` or `BP-384`.
    pub curve: String,
    /// Whether the birth key serves as bootstrapping key too; its algorithm decides about the curve.
    pub birth_key: bool,
    /// Channels on which the device listens, as in a URI: `81/6,115/36`.
    pub channels: Option<String>,
    /// Whether to write the key in hostap's form as well.
    pub hostap: bool,
}

/// A bootstrapping key with its label's text.
#[derive(Debug, Clone)]
pub(crate) struct LabelKey {
    pub(crate) private: BootstrappingKey,
    pub(crate) uri: String,
}

/// What goes onto a label beside the key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabelOf<'a> {
    pub(crate) serial: &'a str,
    /// The radio's address, twelve hexadecimal digits with or without colons.
    pub(crate) mac: Option<&'a str>,
}

/// What a URI says, for a decision.
#[derive(Debug, Clone)]
pub(crate) struct LabelText {
    id: Digest,
    chirp_hash: Digest,
    curve: &'static str,
    uri: String,
}

impl LabelText {
    /// Reads a URI strictly: what cannot be read again must not be printed.
    pub(crate) fn read(uri: &str) -> Result<Self, FactoryError> {
        let read = BootstrappingUri::parse_strictly(uri)?;
        let key = read.key();
        Ok(Self {
            id: Digest(*key.hash()),
            chirp_hash: Digest(*key.chirp_hash()),
            curve: key.curve().jwk_name(),
            uri: uri.to_owned(),
        })
    }

    pub(crate) fn id(&self) -> Digest {
        self.id
    }

    pub(crate) fn facts(&self) -> KeyFacts<'_> {
        KeyFacts {
            id: self.id,
            chirp_hash: self.chirp_hash,
            curve: self.curve,
            uri: &self.uri,
        }
    }
}

impl Bootstrapping {
    /// The curve of the keys.
    pub(crate) fn curve(&self, birth_key: Algorithm) -> Result<Curve, FactoryError> {
        let named = if self.birth_key {
            match birth_key {
                Algorithm::EcdsaP256 => Some(Curve::P256),
                Algorithm::EcdsaP384 => Some(Curve::P384),
                Algorithm::Ed25519 => {
                    let why = "an Ed25519 birth key cannot be a bootstrapping key";
                    return Err(FactoryError::Bootstrapping(why.to_owned()));
                }
            }
        } else {
            Curve::from_jwk_name(&self.curve)
        };
        match named {
            Some(curve) if curve.is_available() => Ok(curve),
            _ => Err(FactoryError::Bootstrapping(format!(
                "{:?} is no curve that keys can be made on: P-256, P-384, P-521, BP-256 or BP-384",
                self.curve
            ))),
        }
    }

    /// A new key.
    pub(crate) fn generate(
        &self,
        birth_key: Algorithm,
        label: LabelOf<'_>,
    ) -> Result<LabelKey, FactoryError> {
        let seed = Secret::new(random::bytes::<80>().to_vec());
        let private = PrivateKey::from_seed(self.curve(birth_key)?, seed.expose())?;
        self.label(private, label)
    }

    /// The key that a folder has, or a new one that it has from now on (step 2). Blocks.
    pub(crate) fn key_of(
        &self,
        folder: &Path,
        birth_key: Algorithm,
        label: LabelOf<'_>,
    ) -> Result<LabelKey, FactoryError> {
        let file = folder.join(PRIVATE_KEY_FILE);
        let key = if file.exists() {
            let stored = sealer(folder)?.read(&file, SEALED_AS)?;
            let private = PrivateKey::from_bytes(self.curve(birth_key)?, stored.expose())?;
            self.label(private, label)?
        } else {
            self.generate(birth_key, label)?
        };
        put(folder, &key.private.private().to_bytes())?;
        if self.hostap {
            write_hostap(folder, key.private.private())?;
        }
        Ok(key)
    }

    fn label(&self, private: PrivateKey, label: LabelOf<'_>) -> Result<LabelKey, FactoryError> {
        let private = BootstrappingKey::new(private);
        let mut fields = String::new();
        if let Some(channels) = &self.channels {
            fields.push_str(&format!("C:{channels};"));
        }
        if let Some(mac) = label.mac.filter(|mac| !mac.is_empty()) {
            fields.push_str(&format!("M:{};", mac.replace([':', '-'], "")));
        }
        let printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b';';
        if label.serial.bytes().all(printable) {
            fields.push_str(&format!("I:SN={};", label.serial));
        }
        let mut uri = BootstrappingUri::new(private.public_key().clone());
        uri.version = Some(VERSION);
        // Written by the one writer of URIs, read by its one reader: nobody else's grammar.
        let text = uri
            .to_string()
            .replacen("DPP:", &format!("DPP:{fields}"), 1);
        let uri = BootstrappingUri::parse_strictly(&text)?.to_string();
        Ok(LabelKey { private, uri })
    }
}

impl LabelKey {
    /// The same key as birth key: PKCS#8 and its public half.
    pub(crate) fn as_birth_key(&self) -> Result<(Secret, PublicKey), FactoryError> {
        let pkcs8 = self.private.private().to_pkcs8_der();
        let signer = vouchsafe_trust::SoftwareSigner::from_pkcs8_der(pkcs8.expose())
            .map_err(|error| FactoryError::Bootstrapping(error.to_string()))?;
        let public = vouchsafe_trust::Signer::public_key(&signer).clone();
        Ok((pkcs8, public))
    }
}

impl Factory {
    /// The URI on a device's label, if it has a bootstrapping key.
    ///
    /// # Errors
    /// [`FactoryError::Read`].
    pub async fn dpp_uri(&self, device: DeviceId) -> Result<Option<String>, FactoryError> {
        let filter = KeyFilter {
            device: Some(device),
            ..KeyFilter::default()
        };
        let keys = self.store.bootstrapping_keys(&filter, None, 1).await?;
        Ok(keys.into_iter().next().map(|key| key.uri))
    }
}

/// The bundle's label of a device's bootstrapping key.
pub(crate) fn bundle_label(id: Digest) -> String {
    format!("dpp-{id}")
}

/// Puts the private half of the key of `uri` into a birth folder. Blocks.
pub(crate) fn put_key(
    folder: &Path,
    uri: &str,
    scalar: &Secret,
    hostap: bool,
) -> Result<(), FactoryError> {
    let curve = BootstrappingUri::parse_strictly(uri)?.key().curve();
    let private = PrivateKey::from_bytes(curve, scalar.expose())?;
    put(folder, scalar)?;
    match hostap {
        true => write_hostap(folder, &private),
        false => Ok(()),
    }
}

fn put(folder: &Path, scalar: &Secret) -> Result<(), FactoryError> {
    let file = folder.join(PRIVATE_KEY_FILE);
    Ok(sealer(folder)?.write(&file, SEALED_AS, scalar.expose())?)
}

fn write_hostap(folder: &Path, key: &PrivateKey) -> Result<(), FactoryError> {
    let der = key.to_sec1_der();
    let digits: String = (der.expose().iter())
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let line = Secret::new(format!("{digits}\n").into_bytes());
    Ok(write_file(&folder.join(HOSTAP_KEY_FILE), line.expose())?)
}

fn sealer(folder: &Path) -> Result<Sealer, FactoryError> {
    let mut address: StoreUri = KEY_STORE.parse().map_err(vouchsafe_keystore::Error::from)?;
    address.resolve_from(folder);
    Ok(Sealer::beside(&address)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Bootstrapping {
        Bootstrapping {
            curve: "P-256".to_owned(),
            birth_key: false,
            channels: Some("81/6,115/36".to_owned()),
            hostap: false,
        }
    }

    const LABEL: LabelOf<'static> = LabelOf {
        serial: "LAMP-1",
        mac: Some("52:54:00:58:28:E5"),
    };

    #[test]
    fn a_label_says_where_who_and_which_key() {
        let key = wanted().generate(Algorithm::EcdsaP256, LABEL).unwrap();
        let start = "DPP:C:81/6,115/36;M:5254005828e5;I:SN=LAMP-1;V:2;K:";
        assert!(key.uri.starts_with(start), "{}", key.uri);
        let read = LabelText::read(&key.uri).unwrap();
        assert_eq!(read.id().0, *key.private.public_key().hash());
    }

    #[test]
    fn what_cannot_be_printed_or_made_is_refused() {
        let birth = Algorithm::EcdsaP256;
        for (channels, mac) in [(Some("6"), None), (None, Some("52540058"))] {
            let bad = Bootstrapping {
                channels: channels.map(str::to_owned),
                ..wanted()
            };
            let label = LabelOf { mac, ..LABEL };
            assert!(bad.generate(birth, label).is_err(), "{channels:?} {mac:?}");
        }
        for curve in ["BP-512", "p256", ""] {
            let curve = curve.to_owned();
            let bad = Bootstrapping { curve, ..wanted() };
            assert!(bad.generate(birth, LABEL).is_err());
        }
        let birth_key = Bootstrapping {
            birth_key: true,
            ..wanted()
        };
        assert!(birth_key.generate(Algorithm::Ed25519, LABEL).is_err());
        // A serial number that a URI cannot hold is left out, not cut.
        let odd = LabelOf {
            serial: "A;1",
            mac: None,
        };
        assert!(!wanted().generate(birth, odd).unwrap().uri.contains("I:"));
    }

    #[test]
    fn a_folder_keeps_its_key_sealed_and_gives_it_again() {
        let dir = tempfile::tempdir().unwrap();
        let birth = Algorithm::EcdsaP256;
        for (curve, hostap) in [("P-256", true), ("BP-384", false)] {
            let folder = dir.path().join(curve);
            let wanted = Bootstrapping {
                curve: curve.to_owned(),
                hostap,
                ..wanted()
            };
            let one = wanted.key_of(&folder, birth, LABEL).unwrap();
            let two = wanted.key_of(&folder, birth, LABEL).unwrap();
            assert_eq!(one.uri, two.uri);
            let sealed = std::fs::read(folder.join(PRIVATE_KEY_FILE)).unwrap();
            let scalar = one.private.private().to_bytes();
            let within = sealed
                .windows(scalar.expose().len())
                .any(|window| window == scalar.expose());
            assert!(!within);
            assert_eq!(folder.join(HOSTAP_KEY_FILE).exists(), hostap);
        }
    }
}
