//! What the gate decides by: its own certificate, and the desired state from its file or its link.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use vouchsafe_net::Identity;
use vouchsafe_radius::{Acceptor, Trust};
use vouchsafe_trust::{Anchors, Certificate, Revocation};

use crate::config::{Config, read_text};
use crate::desired::Desired;
use crate::error::GateError;
use crate::event::Event;
use crate::link::LinkFolder;
use crate::radius::Desk;

/// Largest desired state that is read, in octets.
const MAX_STATE: u64 = 512 * 1024 * 1024;

/// Largest certificate file that is read, in octets.
const MAX_CHAIN_FILE: u64 = 1024 * 1024;

/// Time and length of a file: another pair means that it was replaced.
type Stamp = Option<(SystemTime, u64)>;

/// The two files, as they were last read.
pub(crate) struct Source {
    dir: PathBuf,
    config: Config,
    anchor: Certificate,
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
    trust: Trust,
    chain_seen: Stamp,
    state_seen: Stamp,
    /// The newest version that was in force.
    pub(crate) known: Option<u64>,
}

impl Source {
    /// Reads certificate and anchor. Until there is a desired state, nobody is believed; `known` is the
    /// version that an earlier run had.
    pub(crate) fn open(dir: &Path, config: Config, known: Option<u64>) -> Result<Self, GateError> {
        let anchor = read_anchor(dir, &config)?;
        let nobody = Trust {
            anchors: Anchors::one(anchor.clone()),
            revocation: Revocation::Checked {
                lists: Vec::new(),
                unknown_is_fatal: true,
            },
        };
        Ok(Self {
            dir: dir.to_owned(),
            chain_seen: stamp(&chain_file(dir, &config)),
            key: read_identity(dir, &config)?.certified_key(),
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            trust: nobody,
            state_seen: None,
            config,
            anchor,
            known,
        })
    }

    /// How handshakes are made now.
    pub(crate) fn acceptor(&self) -> Arc<Acceptor> {
        let (provider, key) = (self.provider.clone(), self.key.clone());
        Arc::new(Acceptor::new(provider, key, self.trust.clone()))
    }

    /// Takes what was replaced since the last look.
    pub(crate) fn look(&mut self, desk: &Desk) {
        let certificate = self.look_at_certificate();
        let state = self.look_at_state(desk);
        if certificate || state {
            self.replace_acceptor(desk);
        }
    }

    /// Takes what the link brought.
    pub(crate) fn take(&mut self, desired: Arc<Desired>, desk: &Desk) {
        self.put_in_force(desired, desk);
        self.replace_acceptor(desk);
    }

    fn replace_acceptor(&self, desk: &Desk) {
        desk.lanes.replace_acceptor(&self.acceptor());
    }

    fn put_in_force(&mut self, desired: Arc<Desired>, desk: &Desk) {
        let now = desk.clock.now();
        self.known = Some(desired.version);
        self.trust = desired.trust();
        let (version, admitted) = (desired.version, desired.len());
        let ending = desk.admission.apply(desired, now);
        let event = Event::StateInForce {
            version,
            admitted,
            ending,
        };
        desk.events.tell(now, event);
    }

    fn look_at_certificate(&mut self) -> bool {
        let stamp = stamp(&chain_file(&self.dir, &self.config));
        if stamp.is_none() || stamp == self.chain_seen {
            return false;
        }
        match read_identity(&self.dir, &self.config) {
            Ok(identity) => {
                self.chain_seen = stamp;
                self.key = identity.certified_key();
                true
            }
            // The key may come a moment after the chain; the old pair serves until both fit.
            Err(error) => {
                tracing::debug!(%error, "a new certificate cannot be used yet");
                false
            }
        }
    }

    fn look_at_state(&mut self, desk: &Desk) -> bool {
        let Some(file) = self.config.state.file.clone() else {
            return false;
        };
        let stamp = stamp(&file);
        if stamp.is_none() || stamp == self.state_seen {
            return false;
        }
        self.state_seen = stamp;
        let now = desk.clock.now();
        let text = match read_text(&file, MAX_STATE) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "the desired state cannot be read");
                return false;
            }
        };
        match Desired::read(&text, &self.anchor, self.known, now) {
            Ok(desired) => {
                self.put_in_force(Arc::new(desired), desk);
                true
            }
            Err(error) => {
                let event = Event::StateRefused {
                    reason: error.code(),
                    problem: error.to_string(),
                };
                desk.events.tell(now, event);
                false
            }
        }
    }
}

fn chain_file(dir: &Path, config: &Config) -> PathBuf {
    match &config.identity {
        Some(identity) => identity.chain.clone(),
        None => LinkFolder::of(dir).file("identity.json"),
    }
}

/// The domain CA.
pub(crate) fn read_anchor(dir: &Path, config: &Config) -> Result<Certificate, GateError> {
    if config.link.is_some() && !LinkFolder::of(dir).is_enrolled() {
        return Err(GateError::NotEnrolled {
            dir: dir.to_owned(),
        });
    }
    let Some(path) = &config.state.anchor else {
        return LinkFolder::of(dir).anchor();
    };
    let text = read_text(path, MAX_CHAIN_FILE)?;
    Certificate::from_pem(&text).map_err(|error| GateError::content(path, error))
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Chain and key of the gate.
pub(crate) fn read_identity(dir: &Path, config: &Config) -> Result<Identity, GateError> {
    let folder = LinkFolder::of(dir);
    let Some(identity) = &config.identity else {
        return folder.identity();
    };
    let path = &identity.chain;
    let text = read_text(path, MAX_CHAIN_FILE)?;
    let chain =
        Certificate::many_from_pem(&text).map_err(|error| GateError::content(path, error))?;
    let signer = folder.key_store(&identity.keys)?.load(&identity.label)?;
    Ok(Identity::new(chain, signer)?)
}
