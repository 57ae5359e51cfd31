//! The birth folder: what a device is given before it leaves the factory, and never loses.
//!
//! | file | what |
//! | --- | --- |
//! | `birth/idevid.pem` | the IDevID, then its intermediates (IEEE 802.1AR, RFC 8995 §2.3) |
//! | `birth/masa-anchors.pem` | the anchors for vouchers, built into the device (RFC 8995 §5.6.1) |
//! | `birth/device.toml` | [`DeviceFile`]; written last |
//! | `birth/dpp.key` | the bootstrapping key for Wi-Fi Easy Connect, sealed, where there is one |
//! | `birth/keys/`, `birth/sealing.key` | the private key, unless it is in hardware |

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vouchsafe_brski::idevid;
use vouchsafe_keystore::{StoreUri, write_file};
use vouchsafe_trust::{Anchors, Certificate};

use crate::error::LocalError;

/// The folder in the agent's folder.
pub const FOLDER: &str = "birth";

/// Where keys are when nothing else is asked for: sealed, and the sealing key not in the folder of
/// the keys.
pub const DEFAULT_KEYS: &str = "file:keys?sealing-key=sealing.key";

/// The largest file of a birth folder that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// `birth/device.toml`. Keys that are not known are left alone, since factories add their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFile {
    /// The product's serial number, as in the subject of the IDevID.
    pub serial: String,
    /// What kind of device it is, if its maker says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Address of the key store ([`StoreUri`]); relative paths are taken from the birth folder.
    pub key_store: String,
    /// Label of the IDevID's key. Keys that the agent makes are called after it.
    pub key_label: String,
    /// The URI of its bootstrapping key for Wi-Fi Easy Connect, as on its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpp_uri: Option<String>,
    /// The label of that key in the key store; absent where it is in `birth/dpp.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpp_key: Option<String>,
}

impl DeviceFile {
    /// Reads the file's text.
    ///
    /// # Errors
    /// What is wrong and where, for people.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        // A few strings always serialize.
        toml::to_string(self).unwrap_or_default()
    }
}

/// An opened birth folder.
#[derive(Debug, Clone)]
pub struct Birth {
    /// What the device is.
    pub device: DeviceFile,
    /// The IDevID and its intermediates.
    pub chain: Vec<Certificate>,
    /// Who may sign vouchers for this device.
    pub masa_anchors: Anchors,
    /// Where its keys are.
    pub keys: StoreUri,
}

impl Birth {
    /// Opens `dir/birth`. Blocks on files; the key store is not touched.
    ///
    /// # Errors
    /// [`LocalError::NotBorn`] when there is none, [`LocalError::Damaged`] with the file's name.
    pub fn open(dir: &Path) -> Result<Self, LocalError> {
        let folder = dir.join(FOLDER);
        let device_file = folder.join("device.toml");
        if !device_file.exists() {
            return Err(LocalError::NotBorn(dir.to_owned()));
        }
        let device = DeviceFile::from_toml(&read(&device_file)?)
            .map_err(|why| LocalError::damaged(&device_file, why))?;
        let chain = certificates(&folder.join("idevid.pem"))?;
        let anchors_file = folder.join("masa-anchors.pem");
        let masa_anchors = Anchors::new(certificates(&anchors_file)?)
            .map_err(|error| LocalError::damaged(&anchors_file, error))?;
        let mut keys: StoreUri = device
            .key_store
            .parse()
            .map_err(|error| LocalError::damaged(&device_file, error))?;
        keys.resolve_from(&folder);
        let birth = Self {
            device,
            chain,
            masa_anchors,
            keys,
        };
        let stated = idevid::serial_number(birth.idevid()?)
            .map_err(|error| LocalError::damaged(&folder.join("idevid.pem"), error))?;
        if stated != birth.device.serial {
            let why = format!(
                "the serial number is {}, the IDevID says {stated}",
                birth.device.serial
            );
            return Err(LocalError::damaged(&device_file, why));
        }
        Ok(birth)
    }

    /// Writes `dir/birth`, `device.toml` last, so that a folder that has it is whole. Blocks.
    ///
    /// # Errors
    /// [`LocalError::Keys`] when a file cannot be written.
    pub fn write(
        dir: &Path,
        device: &DeviceFile,
        chain: &[Certificate],
        masa_anchors: &[Certificate],
    ) -> Result<(), LocalError> {
        let folder = dir.join(FOLDER);
        write_file(&folder.join("idevid.pem"), pem(chain).as_bytes())?;
        write_file(
            &folder.join("masa-anchors.pem"),
            pem(masa_anchors).as_bytes(),
        )?;
        write_file(&folder.join("device.toml"), device.to_toml().as_bytes())?;
        Ok(())
    }

    /// The IDevID.
    ///
    /// # Errors
    /// Never for a folder that was opened: its chain is not empty.
    pub fn idevid(&self) -> Result<&Certificate, LocalError> {
        let absent = || LocalError::damaged(Path::new("idevid.pem"), "it holds no certificate");
        self.chain.first().ok_or_else(absent)
    }
}

/// Certificates as PEM, one after the other.
pub(crate) fn pem(certificates: &[Certificate]) -> String {
    certificates.iter().map(Certificate::pem).collect()
}

pub(crate) fn read(path: &Path) -> Result<String, LocalError> {
    let failed = |source| LocalError::Read {
        path: path.to_owned(),
        source,
    };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_FILE_BYTES {
        return Err(LocalError::damaged(
            path,
            format!("it is longer than {MAX_FILE_BYTES} bytes"),
        ));
    }
    fs::read_to_string(path).map_err(failed)
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, LocalError> {
    let certificates = Certificate::many_from_pem(&read(path)?)
        .map_err(|error| LocalError::damaged(path, error))?;
    if certificates.is_empty() {
        return Err(LocalError::damaged(path, "it holds no certificate"));
    }
    Ok(certificates)
}
