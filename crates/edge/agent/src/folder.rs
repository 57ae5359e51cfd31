//! What the device remembers: `state/`, all of which `reset` wipes.
//!
//! | file | what |
//! | --- | --- |
//! | `state/credential.json` | [`Stored`]: the credential in force. One file, replaced at once, so a device that loses power has the old or the new one |
//! | `state/pending.json` | [`Pending`]: voucher requests without final answer, at most [`MAX_PENDING`] |
//! | `state/wifi.json` | what Wi-Fi Easy Connect gave, its secrets sealed |
//! | `state/attempts.jsonl` | how attempts ended, one line each, the last of them in `attempts.1.jsonl` |
//! | `state/ldevid.pem`, `state/domain-ca.pem`, `state/voucher.vcj` … | copies for other programs, written anew at each start |
//!
//! `agent.lock` beside it keeps a second agent out.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use vouchsafe_brski::Encoding;
use vouchsafe_brski::networks::Network;
use vouchsafe_keystore::write_file;
use vouchsafe_trust::{Anchors, Certificate};

use crate::birth::{pem, read};
use crate::error::LocalError;

/// The most networks that a voucher is outstanding from; beyond it the oldest is forgotten.
pub const MAX_PENDING: usize = 8;

/// The log of attempts is begun anew beyond this size, in bytes; one older part is kept.
const MAX_ATTEMPT_LOG: u64 = 256 * 1024;

/// The agent's folder, held by this process alone.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    _lock: File,
}

/// The credential in force, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Label of its key.
    pub label: String,
    /// The LDevID, then what came with it, PEM.
    pub chain: String,
    /// The domain's CA certificates, PEM.
    pub anchors: String,
    /// The registrar that issued it, `https://HOST:PORT`.
    pub registrar: String,
    /// When it was installed, by the corrected clock.
    pub installed_at: Timestamp,
    /// By how many milliseconds the device's clock is behind the manufacturer's, as learned from
    /// the voucher; 0 with a trusted clock.
    pub clock_correction: i64,
    /// Whether its installation was reported.
    pub reported: bool,
    /// The voucher, base64; absent after a renewal without one.
    pub voucher: Option<String>,
    /// The voucher's encoding, as a media type.
    pub voucher_type: Option<String>,
    /// The networks that the certificate opens, as the registrar told them; absent before it was
    /// asked.
    #[serde(default)]
    pub networks: Option<Vec<Network>>,
    /// A renewal under way.
    #[serde(default)]
    pub renewal: Option<KeyRequest>,
}

/// A credential that was read back.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) stored: Stored,
    pub(crate) chain: Vec<Certificate>,
    pub(crate) leaf: Certificate,
    pub(crate) anchors: Anchors,
}

/// A new key and the request for its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRequest {
    /// Label of the key; it may not exist yet.
    pub label: String,
    /// The request as it was sent, base64 of DER, so that it can be repeated to the letter;
    /// absent for one that was bound to its connection.
    pub request: Option<String>,
}

/// A voucher request that was sent and not finally answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// SHA-256 of the registrar's certificate that the request names, hexadecimal.
    pub registrar: String,
    /// The nonce's text.
    pub nonce: String,
    /// The request, base64.
    pub request: String,
    /// Its encoding, as a media type.
    pub media_type: String,
    /// When the attempt began.
    pub since: Timestamp,
    /// The voucher that was accepted, base64.
    pub voucher: Option<String>,
    /// As in [`Stored`]; known once the voucher is.
    pub clock_correction: i64,
    /// The key and its request.
    pub key: Option<KeyRequest>,
}

impl Pending {
    pub(crate) fn encoding(&self) -> Option<Encoding> {
        Encoding::from_media_type(&self.media_type)
    }
}

/// How an attempt ended, as a line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// When.
    pub at: Timestamp,
    /// The registrar's address.
    pub registrar: String,
    /// `onboarded`, `renewed`, or the reason's code.
    pub result: String,
    /// The section that a refusal rests on.
    #[serde(default)]
    pub section: String,
    /// For people.
    #[serde(default)]
    pub text: String,
}

impl Folder {
    /// Takes the folder for this process.
    pub(crate) fn open(dir: &Path) -> Result<Self, LocalError> {
        let path = dir.join("agent.lock");
        let write = |source| LocalError::Write {
            path: path.clone(),
            source,
        };
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(write)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                dir: dir.to_owned(),
                _lock: lock,
            }),
            Err(fs::TryLockError::WouldBlock) => Err(LocalError::Busy(dir.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(write(source)),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The credential in force.
    pub(crate) fn credential(&self) -> Result<Option<Credential>, LocalError> {
        read_credential(&self.dir)
    }

    /// From now on this credential is in force; when this returns, that is durable.
    pub(crate) fn install(&self, stored: &Stored) -> Result<Credential, LocalError> {
        let path = self.state("credential.json");
        write_file(&path, &json(stored)?)?;
        let credential = load(stored.clone(), &path)?;
        self.copies(&credential)?;
        Ok(credential)
    }

    /// Copies for other programs; a crash between them and the truth is made good here.
    pub(crate) fn copies(&self, credential: &Credential) -> Result<(), LocalError> {
        let put = |name: &str, contents: &[u8]| -> Result<(), LocalError> {
            let path = self.state(name);
            if fs::read(&path).is_ok_and(|there| there == contents) {
                return Ok(());
            }
            Ok(write_file(&path, contents)?)
        };
        put("ldevid.pem", pem(&credential.chain).as_bytes())?;
        put(
            "domain-ca.pem",
            pem(credential.anchors.certificates()).as_bytes(),
        )?;
        let stored = &credential.stored;
        let encoding = stored
            .voucher_type
            .as_deref()
            .and_then(Encoding::from_media_type);
        if let (Some(voucher), Some(encoding)) = (&stored.voucher, encoding)
            && let Ok(bytes) = STANDARD.decode(voucher)
        {
            put(
                &format!(
                    "voucher.{}",
                    encoding.file_extension().trim_start_matches('.')
                ),
                &bytes,
            )?;
        }
        Ok(())
    }

    /// What is outstanding.
    pub(crate) fn pending(&self) -> Result<Vec<Pending>, LocalError> {
        read_pending(&self.dir)
    }

    /// What is outstanding from the registrar with this certificate, unless it is too old.
    pub(crate) fn pending_from(
        &self,
        registrar: &str,
        now: Timestamp,
        longest: SignedDuration,
    ) -> Result<Option<Pending>, LocalError> {
        let found = self
            .pending()?
            .into_iter()
            .find(|pending| pending.registrar == registrar);
        // A clock that was set back must not make a request last for ever.
        Ok(found.filter(|pending| now.duration_since(pending.since).abs() < longest))
    }

    /// Remembers one, durably, and returns the keys of one that had to be forgotten for it.
    pub(crate) fn put_pending(&self, pending: &Pending) -> Result<Vec<String>, LocalError> {
        let mut all = self.pending()?;
        all.retain(|other| other.registrar != pending.registrar);
        all.push(pending.clone());
        let surplus = all.len().saturating_sub(MAX_PENDING);
        let forgotten = all
            .drain(..surplus)
            .filter_map(|old| old.key)
            .map(|key| key.label);
        let forgotten = forgotten.collect();
        self.write_pending(&all)?;
        Ok(forgotten)
    }

    /// Forgets what is outstanding from this registrar.
    pub(crate) fn drop_pending(&self, registrar: &str) -> Result<(), LocalError> {
        let mut all = self.pending()?;
        all.retain(|other| other.registrar != registrar);
        self.write_pending(&all)
    }

    /// Forgets everything that is outstanding.
    pub(crate) fn clear_pending(&self) -> Result<(), LocalError> {
        self.write_pending(&[])
    }

    fn write_pending(&self, all: &[Pending]) -> Result<(), LocalError> {
        let path = self.state("pending.json");
        if all.is_empty() {
            return remove_file(&path);
        }
        Ok(write_file(&path, &json(&all)?)?)
    }

    /// Notes how an attempt ended. A line cut short by a crash is passed over by readers.
    pub(crate) fn note(&self, end: &AttemptEnd) -> Result<(), LocalError> {
        let path = self.state("attempts.jsonl");
        let write = |source| LocalError::Write {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(self.dir.join(STATE)).map_err(write)?;
        if fs::metadata(&path).is_ok_and(|data| data.len() > MAX_ATTEMPT_LOG) {
            fs::rename(&path, self.state("attempts.1.jsonl")).map_err(write)?;
        }
        let mut line = json(end)?;
        line.push(b'\n');
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(write)?;
        log.write_all(&line).map_err(write)
    }

    /// Puts `state/` where nobody reads it; when this returns, that is durable.
    pub(crate) fn put_away(&self) -> Result<(), LocalError> {
        self.wipe()?;
        let path = self.dir.join(STATE);
        let put = fs::rename(&path, self.dir.join(PUT_AWAY));
        let put = put.and_then(|()| fs::File::open(&self.dir)?.sync_all());
        unless_missing(put, path)
    }

    /// Whether a reset was cut short.
    pub(crate) fn is_put_away(&self) -> bool {
        self.dir.join(PUT_AWAY).exists()
    }

    /// Removes what was put away.
    pub(crate) fn wipe(&self) -> Result<(), LocalError> {
        let path = self.dir.join(PUT_AWAY);
        unless_missing(fs::remove_dir_all(&path), path)
    }

    fn state(&self, name: &str) -> PathBuf {
        self.dir.join(STATE).join(name)
    }
}

fn unless_missing(done: std::io::Result<()>, path: PathBuf) -> Result<(), LocalError> {
    match done {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(LocalError::Write { path, source })
        }
        _ => Ok(()),
    }
}

/// The name of the folder.
pub(crate) const STATE: &str = "state";

/// The name of the folder while a reset is under way.
const PUT_AWAY: &str = "state.gone";

pub(crate) fn read_credential(dir: &Path) -> Result<Option<Credential>, LocalError> {
    let path = dir.join(STATE).join("credential.json");
    if !path.exists() {
        return Ok(None);
    }
    let stored =
        serde_json::from_str(&read(&path)?).map_err(|error| LocalError::damaged(&path, error))?;
    load(stored, &path).map(Some)
}

pub(crate) fn read_pending(dir: &Path) -> Result<Vec<Pending>, LocalError> {
    let path = dir.join(STATE).join("pending.json");
    if !path.exists() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&read(&path)?).map_err(|error| LocalError::damaged(&path, error))
}

/// The last `count` attempts, oldest first.
pub(crate) fn read_attempts(dir: &Path, count: usize) -> Result<Vec<AttemptEnd>, LocalError> {
    let path = dir.join(STATE).join("attempts.jsonl");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = read(&path)?;
    let mut ends: Vec<AttemptEnd> = text
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str(line).ok())
        .take(count)
        .collect();
    ends.reverse();
    Ok(ends)
}

fn load(stored: Stored, path: &Path) -> Result<Credential, LocalError> {
    let certificates = |text: &str| {
        Certificate::many_from_pem(text).map_err(|error| LocalError::damaged(path, error))
    };
    let chain = certificates(&stored.chain)?;
    let leaf = chain.first().cloned();
    let leaf = leaf.ok_or_else(|| LocalError::damaged(path, "it holds no certificate"))?;
    let anchors = Anchors::new(certificates(&stored.anchors)?)
        .map_err(|error| LocalError::damaged(path, error))?;
    Ok(Credential {
        stored,
        chain,
        leaf,
        anchors,
    })
}

fn remove_file(path: &Path) -> Result<(), LocalError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(LocalError::Write {
            path: path.to_owned(),
            source,
        }),
    }
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, LocalError> {
    serde_json::to_vec(value).map_err(|error| LocalError::Sign(error.to_string()))
}
