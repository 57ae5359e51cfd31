//! The parts together.
//!
//! 1. Identity, anchor, clients and what an earlier run left are read.
//! 2. The sockets are bound, the ports closed.
//! 3. The desired state is taken from its file, at the start and whenever it changes.
//! 4. Sessions are written down when they change, so that a restart cuts nobody off.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize, Serializer};
use tokio::task::JoinHandle;
use vouchsafe_keystore::{UnfinishedFile, write_file};
use vouchsafe_net::Clock;

use crate::admission::{Admission, OwnPorts, Place, Rules, Session};
use crate::clients::Clients;
use crate::config::{Config, read_text};
use crate::desired::Update;
use crate::dynamic::{self, Orders, Way};
use crate::error::GateError;
use crate::event::{Event, Events};
use crate::join_proxy::{JoinProxy, Target};
use crate::lanes::Lanes;
use crate::link::{Beginning, Link, Tap};
use crate::radius::{Desk, bind};
use crate::radsec::{Known, Lines, Radsec};
use crate::random;
use crate::routed::Routed;
use crate::source::Source;
use crate::wifi::Wifi;
use crate::wired::Wired;

/// Largest file of sessions that is read, in octets.
const MAX_SESSIONS_FILE: u64 = 256 * 1024 * 1024;

/// Most threads that serve access.
const MAX_THREADS: usize = 8;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Largest file of a version that is read, in octets.
const MAX_VERSION_FILE: u64 = 64;

/// How much longer than a writing of sessions the pause after it is.
const PAUSE: u32 = 10;

/// How many looks pass between two at what ran out by itself, and two writings of sessions.
const SELDOM: u32 = 20;

/// What the gate remembers over a restart.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Memory {
    /// The newest desired state that was in force.
    pub(crate) version: Option<u64>,
    /// The names of the RADIUS clients by whose numbers the places go: `gate.toml` may have others now.
    #[serde(default)]
    clients: Option<Vec<String>>,
    pub(crate) sessions: Vec<(Place, Session)>,
    /// Stations that had to go, also where that was confirmed.
    #[serde(default)]
    cut_off: Vec<[u8; 6]>,
}

impl Memory {
    /// Its places by the numbers that clients have now. One that is there no more keeps a number of its
    /// own behind them: nobody speaks for its sessions, and they end in their time. The names by number.
    fn renumber(&mut self, clients: &Clients) -> Vec<String> {
        let mut names: Vec<String> = clients.all().map(|(_, it)| it.name.clone()).collect();
        // Written when numbers were all there was.
        let Some(before) = self.clients.take() else {
            return names;
        };
        let mut numbers = BTreeMap::new();
        for (place, _) in &mut self.sessions {
            let number = numbers.entry(place.client).or_insert_with(|| {
                let name = usize::try_from(place.client)
                    .ok()
                    .and_then(|it| before.get(it));
                let name = name.cloned().unwrap_or_default();
                let known = names.iter().position(|it| *it == name);
                let number = known.unwrap_or_else(|| {
                    tracing::warn!(client = name, "sessions of a RADIUS client that is no more");
                    names.push(name);
                    names.len() - 1
                });
                u32::try_from(number).unwrap_or(u32::MAX)
            });
            place.client = *number;
        }
        names
    }
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
    let clients = Arc::new(Clients::read(&config.radius)?);
    let memory_file = dir.join("sessions.json");
    let mut memory = read_memory(&memory_file)?;
    let names = memory.renumber(&clients);
    let version_file = dir.join("version");
    // A link keeps versions itself.
    let keeps_version = config.link.is_none();
    let mut known = memory.version.max(read_version(&version_file)?);
    let mut source = Source::open(dir, config.clone(), known)?;
    let tap = Tap::default();
    let events = match &config.link {
        Some(_) => events.also(tap.clone()),
        None => events,
    };
    let own = match &config.wired {
        Some(wired) => Some(OwnPorts {
            client: clients.of_ports(wired)?,
            names: wired.ports.iter().map(|it| it.interface.clone()).collect(),
        }),
        None => None,
    };
    let rules = Rules {
        session_seconds: config.radius.session_seconds,
        longest_age: config.state.longest_age,
        own,
        movers: clients.movers(),
    };
    let desk = Desk {
        clients,
        admission: Admission::new(rules, memory.sessions.into_iter().collect(), memory.cut_off),
        clock,
        events,
        stop: Arc::new(AtomicBool::new(false)),
        lines: Lines::default(),
        lanes: Arc::new(Lanes::new(&source.acceptor())),
    };
    // 2
    let (access, access_at) = bind(config.radius.listen)?;
    let (accounting, accounting_at) = bind(config.radius.accounting)?;
    let radsec = match &config.radius.radsec {
        Some(radsec) => {
            let first = u32::try_from(config.radius.clients.len()).unwrap_or(u32::MAX);
            let known = Known::read(&radsec.clients, first)?;
            let identity = source.identity.clone();
            Some(Radsec::begin(radsec.listen, known, identity, desk.clone()).await?)
        }
        None => None,
    };
    let orders = match config.radius.dynamic {
        Some(address) => Some(Orders::begin(address, desk.clone()).await?),
        None => None,
    };
    let orders_at = orders.as_ref().map(|(_, at)| at.to_string());
    let radsec_at = radsec.as_ref().map(|(_, at)| at.to_string());
    let join_proxy = config.join_proxy.as_ref().map(|it| it.listen.port());
    let join_proxy = join_proxy.filter(|port| *port != 0);
    let routed = match config.routed {
        Some(routed) => Some(Routed::begin(routed, join_proxy, desk.clone()).await?),
        None => None,
    };
    let mut wifi = Vec::new();
    for network in config.wifi {
        let client = desk.clients.of_wifi(&network)?;
        wifi.push(Wifi::new(network, client, desk.clone(), dir.to_owned()));
    }
    let wired = match config.wired {
        Some(wired) => Some(Wired::begin(wired, join_proxy, desk.clone(), dir.to_owned()).await?),
        None => None,
    };
    // The first draw of randomness takes long; nobody waits for it now.
    random::bytes::<1>()?;
    source.look(&desk);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let access = Arc::new(access);
    let mut threads: Vec<_> = (0..cores.min(MAX_THREADS))
        .map(|_| {
            let (desk, access) = (desk.clone(), access.clone());
            std::thread::spawn(move || desk.serve_access(&access))
        })
        .collect();
    threads.push(std::thread::spawn({
        let desk = desk.clone();
        move || desk.serve_accounting(&accounting)
    }));
    let mut tasks = tokio::task::JoinSet::new();
    if let Some(wired) = wired {
        tasks.spawn(wired.run());
    }
    if let Some((radsec, _)) = radsec {
        tasks.spawn(radsec.run());
    }
    if let Some((orders, _)) = orders {
        tasks.spawn(orders.run());
    }
    if let Some(routed) = routed {
        tasks.spawn(routed.run());
    }
    for network in wifi {
        tasks.spawn(network.run());
    }
    for (number, client) in desk.clients.all() {
        if let Some(way) = Way::to(client) {
            tasks.spawn(dynamic::run(desk.clone(), number, way));
        }
    }
    let mut link = match &config.link {
        Some(config) => {
            let (link, first) = Link::begin(Beginning {
                dir,
                config,
                known: source.known,
                admission: desk.admission.clone(),
                tap,
                clock: desk.clock.clone(),
                events: desk.events.clone(),
            })?;
            if let Some(first) = first {
                source.take(Update::Whole(Box::new(first)), &desk);
            }
            Some(link)
        }
        None => None,
    };
    let join_proxy = match config.join_proxy {
        Some(config) => {
            let (clock, events) = (desk.clock.clone(), desk.events.clone());
            let controller = link.as_ref().map(|link| &link.controller);
            let registrar = controller.map(|it| Target::named(it.host(), it.port()));
            Some(JoinProxy::begin(config, registrar, clock, events)?)
        }
        None => None,
    };
    let ready = Event::Ready {
        radius: access_at.to_string(),
        accounting: accounting_at.to_string(),
        radsec: radsec_at,
        dynamic: orders_at,
    };
    desk.events.tell(desk.clock.now(), ready);
    // 3 and 4
    let mut stop = std::pin::pin!(stop);
    let mut changes = desk.admission.changes();
    let mut looks = 0_u32;
    let mut writing = Writing::of(memory_file, names, desk.admission.clone());
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = &mut stop => break,
            update = next(&mut link) => source.take(update, &desk),
        }
        source.look(&desk);
        looks = looks.wrapping_add(1);
        let seldom = looks.is_multiple_of(SELDOM);
        if seldom {
            desk.admission.look(desk.clock.now());
        }
        // A version is written down at once: an older one must never come back.
        if keeps_version && known != source.known {
            known = source.known;
            write_version(&version_file, known);
        }
        if seldom && writing.may_begin() && changes.has_changed().unwrap_or(false) {
            changes.borrow_and_update();
            writing.begin(source.known);
        }
    }
    desk.stop.store(true, Ordering::Release);
    tasks.shutdown().await;
    if let Some(join_proxy) = join_proxy {
        join_proxy.end().await;
    }
    if let Some(link) = link {
        link.end().await;
    }
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a server's thread ended badly");
        }
    }
    writing.end(source.known);
    Ok(())
}

async fn next(link: &mut Option<Link>) -> Update {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

pub(crate) fn read_memory(path: &Path) -> Result<Memory, GateError> {
    if !path.exists() {
        return Ok(Memory::default());
    }
    let text = read_text(path, MAX_SESSIONS_FILE)?;
    serde_json::from_str(&text).map_err(|error| GateError::content(path, error))
}

fn write_memory(path: &Path, version: Option<u64>, clients: &[String], admission: &Admission) {
    let written = UnfinishedFile::begin(path).map_err(GateError::from);
    let written = written.and_then(|mut file| {
        let memory = MemoryToWrite {
            version,
            clients,
            sessions: Told(admission),
            cut_off: CutOff(admission),
        };
        serde_json::to_writer(&mut file, &memory)
            .map_err(|error| GateError::content(path, error))?;
        Ok(file.finish()?)
    });
    if let Err(error) = written {
        tracing::error!(%error, "sessions cannot be written down");
    }
}

/// [`Memory`] as it is written: some sessions at a time, so that they are not held twice.
#[derive(Serialize)]
struct MemoryToWrite<'a> {
    version: Option<u64>,
    clients: &'a [String],
    sessions: Told<'a>,
    cut_off: CutOff<'a>,
}

/// Each of the sessions as it is when it is its turn.
struct Told<'a>(&'a Admission);

impl Serialize for Told<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.sessions())
    }
}

/// Who was cut off, as it is once the sessions were told: a station is in one of the two.
struct CutOff<'a>(&'a Admission);

impl Serialize for CutOff<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.cut_off())
    }
}

/// Writes sessions down, now and then.
struct Writing {
    file: PathBuf,
    /// The names of the clients by number.
    names: Arc<[String]>,
    admission: Admission,
    /// One at a time.
    turn: Arc<Mutex<()>>,
    task: Option<JoinHandle<()>>,
}

impl Writing {
    fn of(file: PathBuf, names: Vec<String>, admission: Admission) -> Self {
        Self {
            file,
            names: names.into(),
            admission,
            turn: Arc::default(),
            task: None,
        }
    }

    /// Not while the last one is under way, and not soon after one that took long.
    fn may_begin(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Everything else goes on meanwhile.
    fn begin(&mut self, version: Option<u64>) {
        let (file, names) = (self.file.clone(), self.names.clone());
        let (admission, turn) = (self.admission.clone(), self.turn.clone());
        self.task = Some(tokio::spawn(async move {
            let begun = Instant::now();
            let writing = tokio::task::spawn_blocking(move || {
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                write_memory(&file, version, &names, &admission);
            });
            if let Err(error) = writing.await {
                tracing::error!(%error, "sessions were not written down");
            }
            tokio::time::sleep(begun.elapsed() * PAUSE).await;
        }));
    }

    /// The last time.
    fn end(self, version: Option<u64>) {
        if let Some(task) = self.task {
            task.abort();
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        write_memory(&self.file, version, &self.names, &self.admission);
    }
}

/// The version in its own file.
fn read_version(path: &Path) -> Result<Option<u64>, GateError> {
    if !path.exists() {
        return Ok(None);
    }
    let text = read_text(path, MAX_VERSION_FILE)?;
    let version = text.trim().parse();
    version
        .map(Some)
        .map_err(|error| GateError::content(path, error))
}

fn write_version(path: &Path, version: Option<u64>) {
    let text = version.map(|it| it.to_string()).unwrap_or_default();
    if let Err(error) = write_file(path, text.as_bytes()) {
        tracing::error!(%error, "the version in force cannot be written down");
    }
}
