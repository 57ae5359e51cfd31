//! What the gate decides by: its own certificate, and the desired state from its file or its link.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::crypto::CryptoProvider;
use vouchsafe_net::{Identity, ReloadableIdentity};
use vouchsafe_radius::{Acceptor, Trust};
use vouchsafe_trust::{Anchors, Certificate, Revocation};

use crate::config::{Config, read_text};
use crate::desired::{Desired, Update};
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

/// How long to wait before a file that was not taken is looked at again, where time may help.
const AGAIN: Duration = Duration::from_secs(1);

/// The two files, as they were last read.
pub(crate) struct Source {
    dir: PathBuf,
    config: Config,
    anchor: Certificate,
    provider: Arc<CryptoProvider>,
    /// The gate's certificate and key.
    pub(crate) identity: ReloadableIdentity,
    trust: Trust,
    chain_seen: Stamp,
    /// Of the state that was taken, or refused for what is in it.
    state_seen: Stamp,
    /// Of the state that was not taken for now: until when not to look, and why.
    state_waits: Option<(Stamp, Instant, String)>,
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
            identity: ReloadableIdentity::new(read_identity(dir, &config)?),
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            trust: nobody,
            state_seen: None,
            state_waits: None,
            config,
            anchor,
            known,
        })
    }

    /// How handshakes are made now.
    pub(crate) fn acceptor(&self) -> Arc<Acceptor> {
        let (provider, key) = (
            self.provider.clone(),
            self.identity.current().certified_key(),
        );
        Arc::new(Acceptor::new(provider, key, self.trust.clone()))
    }

    /// Takes what was replaced since the last look.
    pub(crate) fn look(&mut self, desk: &Desk) {
        if self.look_at_certificate() {
            self.replace_acceptor(desk);
        }
        self.look_at_state(desk);
    }

    /// Takes what the link brought.
    pub(crate) fn take(&mut self, update: Update, desk: &Desk) {
        let difference = match update {
            Update::Whole(desired) => {
                self.put_in_force(*desired, desk);
                return;
            }
            Update::Difference(difference) => *difference,
        };
        let (now, version) = (desk.clock.now(), difference.to);
        let trust = difference.trust(&self.anchor);
        match desk.admission.apply_difference(difference, now) {
            Ok(ending) => {
                self.known = Some(version);
                if let Some(trust) = trust {
                    self.trust = trust;
                    self.replace_acceptor(desk);
                }
                self.tell_in_force(desk, version, ending);
            }
            Err(error) => desk.events.tell(
                now,
                Event::StateRefused {
                    reason: error.code(),
                    problem: error.to_string(),
                },
            ),
        }
    }

    fn replace_acceptor(&self, desk: &Desk) {
        desk.lanes.replace_acceptor(&self.acceptor());
    }

    fn put_in_force(&mut self, desired: Desired, desk: &Desk) {
        let version = desired.version;
        self.known = Some(version);
        self.trust = desired.trust();
        let ending = desk.admission.apply(desired, desk.clock.now());
        // Whoever hears of the version may come at once.
        self.replace_acceptor(desk);
        self.tell_in_force(desk, version, ending);
    }

    fn tell_in_force(&self, desk: &Desk, version: u64, ending: usize) {
        let event = Event::StateInForce {
            version,
            admitted: desk.admission.admitted(),
            ending,
        };
        desk.events.tell(desk.clock.now(), event);
    }

    fn look_at_certificate(&mut self) -> bool {
        let stamp = stamp(&chain_file(&self.dir, &self.config));
        if stamp.is_none() || stamp == self.chain_seen {
            return false;
        }
        match read_identity(&self.dir, &self.config) {
            Ok(identity) => {
                self.chain_seen = stamp;
                self.identity.replace(identity);
                true
            }
            // The key may come a moment after the chain; the old pair serves until both fit.
            Err(error) => {
                tracing::debug!(%error, "a new certificate cannot be used yet");
                false
            }
        }
    }

    fn look_at_state(&mut self, desk: &Desk) {
        let Some(file) = self.config.state.file.clone() else {
            return;
        };
        let stamp = stamp(&file);
        if stamp.is_none() || stamp == self.state_seen || self.shall_wait(stamp) {
            return;
        }
        let now = desk.clock.now();
        let text = match read_text(&file, MAX_STATE) {
            Ok(text) => text,
            Err(error) => {
                // It may be readable the next time.
                let problem = error.to_string();
                if self.wait(stamp, &problem) {
                    let reason = "state-unreadable";
                    desk.events
                        .tell(now, Event::StateRefused { reason, problem });
                }
                return;
            }
        };
        match Desired::read(&text, &self.anchor, self.known, now) {
            Ok(desired) => {
                (self.state_seen, self.state_waits) = (stamp, None);
                self.put_in_force(desired, desk);
            }
            Err(error) => {
                let problem = error.to_string();
                let is_new = if error.depends_on_time() {
                    self.wait(stamp, &problem)
                } else {
                    self.state_seen = stamp;
                    true
                };
                if is_new {
                    let reason = error.code();
                    desk.events
                        .tell(now, Event::StateRefused { reason, problem });
                }
            }
        }
    }

    /// Whether this very file was not taken a moment ago.
    fn shall_wait(&self, stamp: Stamp) -> bool {
        let waits = self.state_waits.as_ref();
        waits.is_some_and(|(seen, until, _)| *seen == stamp && Instant::now() < *until)
    }

    /// This file is looked at again later; whether the reason is another than before.
    fn wait(&mut self, stamp: Stamp, problem: &str) -> bool {
        let before = self
            .state_waits
            .replace((stamp, Instant::now() + AGAIN, problem.to_owned()));
        before.is_none_or(|(seen, _, before)| seen != stamp || before != problem)
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
