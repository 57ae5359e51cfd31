//! The parts together.
//!
//! 1. Identity, anchor, clients and what an earlier run left are read.
//! 2. The sockets are bound, the ports closed.
//! 3. The desired state is taken from its file, at the start and whenever it changes.
//! 4. Sessions are written down when they change, so that a restart cuts nobody off.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vouchsafe_keystore::{KeyStore, StoreUri, write_file};
use vouchsafe_net::{Clock, Identity};
use vouchsafe_radius::{Acceptor, Trust};
use vouchsafe_trust::{Anchors, Certificate, Revocation};

use crate::admission::{Admission, Place, Rules, Session};
use crate::clients::Clients;
use crate::config::{Config, read_text};
use crate::desired::Desired;
use crate::disconnect;
use crate::error::GateError;
use crate::event::{Event, Events};
use crate::radius::{Desk, bind};
use crate::wired::Wired;

/// Largest desired state that is read, in octets.
const MAX_STATE: u64 = 512 * 1024 * 1024;

/// Largest certificate file that is read, in octets.
const MAX_CHAIN_FILE: u64 = 1024 * 1024;

/// Largest file of sessions that is read, in octets.
const MAX_SESSIONS_FILE: u64 = 256 * 1024 * 1024;

/// How often the file with the desired state is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What the gate remembers over a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// The newest desired state that was in force.
    version: Option<u64>,
    sessions: Vec<(Place, Session)>,
}

/// Runs the gate in `dir` until `stop` is ready.
///
/// # Errors
/// [`GateError`], before anything was served; or the packet filter cannot be set.
pub async fn run(
    dir: &Path,
    clock: Clock,
    events: Events,
    stop: impl Future<Output = ()>,
) -> Result<(), GateError> {
    // 1
    let config = Config::read(dir)?;
    let anchor = read_anchor(&config.state.anchor)?;
    let identity = read_identity(&config, dir)?;
    let clients = Arc::new(Clients::read(&config.radius.clients)?);
    let memory_file = dir.join("sessions.json");
    let memory = read_memory(&memory_file)?;
    let rules = Rules {
        session_seconds: config.radius.session_seconds,
        longest_age: config.state.longest_age,
    };
    let sessions: BTreeMap<_, _> = memory.sessions.into_iter().collect();
    let desk = Desk {
        clients,
        admission: Admission::new(rules, sessions),
        clock,
        events,
        stop: Arc::new(AtomicBool::new(false)),
        acceptor: Arc::new(Mutex::new(None)),
    };
    // 2
    let (access, access_at) = bind(config.radius.listen)?;
    let (accounting, accounting_at) = bind(config.radius.accounting)?;
    let wired = match config.wired.clone() {
        Some(wired) => Some(Wired::begin(wired, desk.clone(), dir.to_owned()).await?),
        None => None,
    };
    // The first draw of randomness takes long; nobody waits for it now.
    crate::random::bytes::<1>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = identity.certified_key();
    let acceptor = {
        let (provider, key) = (provider.clone(), key.clone());
        move |trust| Arc::new(Acceptor::new(provider.clone(), key.clone(), trust))
    };
    let mut source = Source {
        file: config.state.file.clone(),
        anchor: anchor.clone(),
        seen: None,
        known: memory.version,
    };
    // Until there is a state, nobody is believed.
    let nobody = Trust {
        anchors: Anchors::one(anchor),
        revocation: Revocation::Checked {
            lists: Vec::new(),
            unknown_is_fatal: true,
        },
    };
    source.look(&desk, &acceptor);
    let first = desk
        .acceptor
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let first = first.unwrap_or_else(|| acceptor(nobody));
    let mut threads = Vec::new();
    let (for_access, for_accounting) = (desk.clone(), desk.clone());
    threads.push(std::thread::spawn(move || {
        for_access.serve_access(&access, first);
    }));
    threads.push(std::thread::spawn(move || {
        for_accounting.serve_accounting(&accounting);
    }));
    let mut tasks = tokio::task::JoinSet::new();
    if let Some(wired) = wired {
        tasks.spawn(wired.run());
    }
    for (number, client) in desk.clients.all() {
        if let Some(address) = client.disconnect {
            tasks.spawn(disconnect::run(desk.clone(), number, address));
        }
    }
    let ready = Event::Ready {
        radius: access_at.to_string(),
        accounting: accounting_at.to_string(),
    };
    desk.events.tell(desk.clock.now(), ready);
    // 3 and 4
    let mut stop = std::pin::pin!(stop);
    let mut changes = desk.admission.changes();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = &mut stop => break,
        }
        source.look(&desk, &acceptor);
        desk.admission.look(desk.clock.now());
        if changes.has_changed().unwrap_or(false) {
            changes.borrow_and_update();
            write_memory(&memory_file, &source, &desk.admission);
        }
    }
    desk.stop.store(true, Ordering::Release);
    tasks.shutdown().await;
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a server's thread ended badly");
        }
    }
    write_memory(&memory_file, &source, &desk.admission);
    Ok(())
}

/// The file with the desired state.
struct Source {
    file: PathBuf,
    anchor: Certificate,
    /// Time and length of the file that was last read.
    seen: Option<(std::time::SystemTime, u64)>,
    /// The newest version that was in force.
    known: Option<u64>,
}

impl Source {
    fn look(&mut self, desk: &Desk, acceptor: &dyn Fn(Trust) -> Arc<Acceptor>) {
        let Ok(metadata) = fs::metadata(&self.file) else {
            return;
        };
        let Ok(modified) = metadata.modified() else {
            return;
        };
        let seen = Some((modified, metadata.len()));
        if self.seen == seen {
            return;
        }
        self.seen = seen;
        let now = desk.clock.now();
        let text = match read_text(&self.file, MAX_STATE) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "the desired state cannot be read");
                return;
            }
        };
        match Desired::read(&text, &self.anchor, self.known, now) {
            Ok(desired) => {
                self.known = Some(desired.version);
                let (version, admitted) = (desired.version, desired.len());
                let next = acceptor(desired.trust());
                *desk.acceptor.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
                let ending = desk.admission.apply(Arc::new(desired), now);
                let event = Event::StateInForce {
                    version,
                    admitted,
                    ending,
                };
                desk.events.tell(now, event);
            }
            Err(error) => {
                let event = Event::StateRefused {
                    reason: error.code(),
                    problem: error.to_string(),
                };
                desk.events.tell(now, event);
            }
        }
    }
}

fn read_anchor(path: &Path) -> Result<Certificate, GateError> {
    let text = read_text(path, MAX_CHAIN_FILE)?;
    Certificate::from_pem(&text).map_err(|error| GateError::content(path, error))
}

fn read_identity(config: &Config, dir: &Path) -> Result<Identity, GateError> {
    let path = &config.identity.chain;
    let text = read_text(path, MAX_CHAIN_FILE)?;
    let chain =
        Certificate::many_from_pem(&text).map_err(|error| GateError::content(path, error))?;
    let mut uri: StoreUri = config
        .identity
        .keys
        .parse()
        .map_err(|error| GateError::content(dir.join("gate.toml"), error))?;
    uri.resolve_from(dir);
    let signer = KeyStore::open_uri(&uri)?.load(&config.identity.label)?;
    Ok(Identity::new(chain, signer)?)
}

fn read_memory(path: &Path) -> Result<Memory, GateError> {
    if !path.exists() {
        return Ok(Memory::default());
    }
    let text = read_text(path, MAX_SESSIONS_FILE)?;
    serde_json::from_str(&text).map_err(|error| GateError::content(path, error))
}

fn write_memory(path: &Path, source: &Source, admission: &Admission) {
    let memory = Memory {
        version: source.known,
        sessions: admission.sessions().into_iter().collect(),
    };
    let written = match serde_json::to_vec(&memory) {
        Ok(bytes) => write_file(path, &bytes).map_err(GateError::from),
        Err(error) => Err(GateError::content(path, error)),
    };
    if let Err(error) = written {
        tracing::error!(%error, "sessions cannot be written down");
    }
}
