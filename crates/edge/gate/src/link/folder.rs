//! What the link keeps in the gate's folder, under `link/`.
//!
//! | file | what |
//! | --- | --- |
//! | `anchor.pem` | the domain CA, as the administrator confirmed it when the gate enrolled |
//! | `identity.json` | the gate's name, its certificate and the label of its key; replaced whole |
//! | `status.json` | how the link is doing, for `vouchsafe-gate status` |
//! | `numbers` | up to which number reports may have been sent |
//! | `refused` | reports that the controller does not take, one a line; begun anew when it is long |
//! | `state.json`, `differences` | the desired state, see [`super::kept`] |

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vouchsafe_api::gate::GateReport;
use vouchsafe_keystore::{KeyStore, StoreUri, write_file};
use vouchsafe_net::Identity;
use vouchsafe_trust::Certificate;

use crate::config::read_text;
use crate::error::GateError;

/// Largest of the small files that is read, in octets.
const MAX_FILE: u64 = 1024 * 1024;

/// With more than this the file of refused reports is begun anew, in octets.
const MAX_SET_ASIDE: u64 = 1024 * 1024;

/// The enrolled identity, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredIdentity {
    /// The gate's name at its controller.
    pub(crate) gate: String,
    /// Who enrolled it.
    pub(crate) controller: String,
    /// The key store's address.
    pub(crate) keys: String,
    /// The key's label in it.
    pub(crate) label: String,
    /// The chain, PEM, leaf first.
    pub(crate) chain: String,
}

/// How the link is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// When the controller was last heard of.
    pub heard_at: Option<Timestamp>,
    /// Since when it is not, and why not: code and sentence.
    pub trouble: Option<Trouble>,
}

/// Why the controller is not heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// Stable name.
    pub code: String,
    /// What happened last.
    pub problem: String,
}

/// The files.
#[derive(Debug, Clone)]
pub(crate) struct LinkFolder {
    dir: PathBuf,
}

impl LinkFolder {
    /// In the gate's folder `dir`.
    pub(crate) fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join("link").join(name)
    }

    /// Whether the gate has enrolled.
    pub(crate) fn is_enrolled(&self) -> bool {
        self.file("identity.json").exists()
    }

    pub(crate) fn anchor(&self) -> Result<Certificate, GateError> {
        let path = self.file("anchor.pem");
        let text = read_text(&path, MAX_FILE)?;
        Certificate::from_pem(&text).map_err(|error| GateError::content(path, error))
    }

    pub(crate) fn put_anchor(&self, anchor: &Certificate) -> Result<(), GateError> {
        Ok(write_file(
            &self.file("anchor.pem"),
            anchor.pem().as_bytes(),
        )?)
    }

    pub(crate) fn stored_identity(&self) -> Result<StoredIdentity, GateError> {
        self.read_json("identity.json")
    }

    pub(crate) fn put_identity(&self, identity: &StoredIdentity) -> Result<(), GateError> {
        self.write_json("identity.json", identity)
    }

    /// The certificate and the signer of its key.
    pub(crate) fn identity(&self) -> Result<Identity, GateError> {
        let stored = self.stored_identity()?;
        let path = self.file("identity.json");
        let chain = Certificate::many_from_pem(&stored.chain)
            .map_err(|error| GateError::content(&path, error))?;
        let signer = self.key_store(&stored.keys)?.load(&stored.label)?;
        Ok(Identity::new(chain, signer)?)
    }

    /// A key store; relative addresses are taken from the gate's folder.
    pub(crate) fn key_store(&self, address: &str) -> Result<KeyStore, GateError> {
        let mut uri: StoreUri = address
            .parse()
            .map_err(|error| GateError::content(self.dir.join("gate.toml"), error))?;
        uri.resolve_from(&self.dir);
        Ok(KeyStore::open_uri(&uri)?)
    }

    pub(crate) fn status(&self) -> Option<LinkStatus> {
        self.read_json("status.json").ok()
    }

    pub(crate) fn put_status(&self, status: &LinkStatus) -> Result<(), GateError> {
        self.write_json("status.json", status)
    }

    /// Up to which number reports may have been sent.
    pub(crate) fn numbers(&self) -> Result<u64, GateError> {
        let path = self.file("numbers");
        if !path.exists() {
            return Ok(0);
        }
        let text = read_text(&path, MAX_FILE)?;
        let number = text.trim().parse();
        number.map_err(|_| GateError::content(path, "is no number"))
    }

    pub(crate) fn put_numbers(&self, number: u64) -> Result<(), GateError> {
        let text = format!("{number}\n");
        Ok(write_file(&self.file("numbers"), text.as_bytes())?)
    }

    /// Keeps what the controller does not take, for people.
    pub(crate) fn set_aside(&self, report: &GateReport) -> Result<(), GateError> {
        let path = self.file("refused");
        let failed = |source| GateError::file(&path, source);
        let mut line =
            serde_json::to_vec(report).map_err(|error| GateError::content(&path, error))?;
        line.push(b'\n');
        let is_long = fs::metadata(&path).is_ok_and(|it| it.len() > MAX_SET_ASIDE);
        let mut file = OpenOptions::new()
            .create(true)
            .append(!is_long)
            .write(true)
            .truncate(is_long)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        file.write_all(&line).map_err(failed)
    }

    fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, GateError> {
        let path = self.file(name);
        let text = read_text(&path, MAX_FILE)?;
        serde_json::from_str(&text).map_err(|error| GateError::content(path, error))
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), GateError> {
        let path = self.file(name);
        let text =
            serde_json::to_vec_pretty(value).map_err(|error| GateError::content(&path, error))?;
        Ok(write_file(&path, &text)?)
    }
}
