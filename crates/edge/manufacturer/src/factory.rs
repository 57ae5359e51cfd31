//! What every command and listener works with: the store, the clock, the keys.

use std::path::Path;
use std::sync::Arc;

use vouchsafe_brski::Compatibility;
use vouchsafe_fleet::decide::{Decision, Outcome, StoredAnswer};
use vouchsafe_fleet::{Actor, ActorKind, Commit, Reason, Refusal};
use vouchsafe_home::HomeError;
use vouchsafe_net::Clock;
use vouchsafe_store::{CommitError, OpenError, ReadError, Store, StoreConfig};
use vouchsafe_trust::{Anchors, EnvelopeError, IssueError, ParseError, RequestError};

use crate::home::Home;
use crate::owners::Owners;

/// How often a decision is made anew when others were faster.
const MAX_ATTEMPTS: usize = 8;

/// A manufacturer at work. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Factory(Arc<Inner>);

/// The parts, all of which may be used from many tasks.
#[derive(Debug)]
pub struct Inner {
    /// The data folder.
    pub home: Home,
    /// State and journal.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The root of birth certificates as an anchor.
    pub anchors: Anchors,
    /// Which variants of BRSKI are spoken.
    pub compatibility: Compatibility,
    /// Who has bought, with what is known of their registrars.
    pub owners: Owners,
}

/// Why the manufacturer does not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactoryError {
    /// The answer is no.
    #[error("{}", text(.reasons))]
    Refused {
        /// The reason that decided.
        refusal: Refusal,
        /// It and any others, for people.
        reasons: Vec<Reason>,
    },
    /// One device of several stands in the way.
    #[error("{serial}: {source}")]
    Device {
        /// Which.
        serial: String,
        /// How.
        source: Box<Self>,
    },
    /// The data folder is at fault.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// State could not be read.
    #[error("state cannot be read: {0}")]
    Read(#[from] ReadError),
    /// State could not be written.
    #[error("state cannot be written: {0}")]
    Commit(CommitError),
    /// Others were faster, again and again.
    #[error("too many changes at once; try again")]
    Contended,
    /// A private key or a file could not be used.
    #[error(transparent)]
    Keys(#[from] vouchsafe_keystore::Error),
    /// A certificate could not be issued.
    #[error("the certificate cannot be issued: {0}")]
    Issue(#[from] IssueError),
    /// A request for a certificate is wrong.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A certificate cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Certificate(#[from] ParseError),
    /// A revocation list cannot be read.
    #[error("the revocation list cannot be read: {0}")]
    RevocationList(#[source] ParseError),
    /// A certificate is none of a certification authority.
    #[error(
        "{0} is no certification authority: give the domain CA that the owner's registrars have"
    )]
    NotAnAuthority(String),
    /// There is no such owner.
    #[error("no owner {0:?}: `vouchsafe manufacturer owner list` shows them")]
    NoSuchOwner(String),
    /// Several owners have this name.
    #[error("several owners are called {0:?}: give the id")]
    AmbiguousOwner(String),
    /// There is no such device.
    #[error("no device with serial number {0:?} was made here")]
    NoSuchDevice(String),
    /// A signature could not be made or does not hold.
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    /// A voucher could not be made.
    #[error(transparent)]
    Voucher(vouchsafe_brski::Error),
    /// A statement signed by an owner's registrar was refused.
    #[error(transparent)]
    Statement(#[from] vouchsafe_fleet::release::ReleaseError),
    /// A list of serial numbers cannot be read.
    #[error("line {line}: {message}")]
    List {
        /// Which line, from 1.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// A bootstrapping key cannot be made as it is asked for.
    #[error("{0}")]
    Bootstrapping(String),
    /// A bootstrapping URI or key cannot be used.
    #[error("the bootstrapping URI: {0}")]
    Uri(#[from] vouchsafe_dpp::Error),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A label could not be drawn.
    #[error("the label cannot be drawn: {0}")]
    Label(String),
    /// Work that blocks was broken off.
    #[error("a worker ended before its work did")]
    Broken,
}

impl FactoryError {
    /// The refusal, if the answer is a considered no.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self.cause() {
            Self::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }

    /// A stable word: that of the refusal, or one for each sort of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.cause() {
            Self::Refused { refusal, .. } => refusal.code(),
            Self::NoSuchOwner(_) | Self::NoSuchDevice(_) => "not-found",
            Self::AmbiguousOwner(_)
            | Self::List { .. }
            | Self::File { .. }
            | Self::Certificate(_)
            | Self::RevocationList(_)
            | Self::NotAnAuthority(_)
            | Self::Bootstrapping(_)
            | Self::Uri(_) => "usage",
            Self::Contended => "contended",
            Self::Request(_) | Self::Envelope(_) | Self::Voucher(_) | Self::Statement(_) => {
                "not-proven"
            }
            Self::Open(OpenError::InUse(_)) => "in-use",
            Self::Open(_) | Self::Read(_) | Self::Commit(_) => "store",
            Self::Home(_) => "data-folder",
            Self::Keys(_) => "keys",
            Self::Device { .. } | Self::Issue(_) | Self::Label(_) | Self::Broken => "factory",
        }
    }

    /// What is wrong, with whatever device.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::Device { source, .. } => source.cause(),
            other => other,
        }
    }

    /// The same, of this device.
    pub(crate) fn of(serial: &str) -> impl FnOnce(Self) -> Self {
        move |error| Self::Device {
            serial: serial.to_owned(),
            source: Box::new(error),
        }
    }
}

impl std::ops::Deref for Factory {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What was accepted, or given as an answer before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled<D> {
    Accepted(D),
    Replayed(StoredAnswer),
}

impl Factory {
    /// Opens the data folder and its store.
    ///
    /// # Errors
    /// [`FactoryError`]; [`OpenError::InUse`] while another program has a SQLite file open.
    pub async fn open(dir: &Path, clock: Clock) -> Result<Self, FactoryError> {
        let (dir, its_clock) = (dir.to_owned(), clock.clone());
        let home = off_thread(move || Home::open(&dir, &its_clock)).await??;
        let store = Store::open(StoreConfig::from_url(&home.store_url())?).await?;
        Self::new(home, store, clock).await
    }

    /// Puts the parts together and loads what is kept in memory: the owners.
    ///
    /// # Errors
    /// [`FactoryError`].
    pub async fn new(home: Home, store: Store, clock: Clock) -> Result<Self, FactoryError> {
        let owners = Owners::load(&home.dir, &store).await?;
        Ok(Self(Arc::new(Inner {
            anchors: Anchors::one(home.root.certificate().clone()),
            home,
            store,
            clock,
            compatibility: Compatibility::default(),
            owners,
        })))
    }

    /// Finishes what is under way and lets go of the store.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// Loads facts, decides, and commits; when somebody else was faster, begins anew. What
    /// comes back is durable.
    pub(crate) async fn settle<D, F, A>(&self, mut attempt: A) -> Result<Outcome<D>, FactoryError>
    where
        A: FnMut() -> F,
        F: Future<Output = Result<Outcome<D>, FactoryError>>,
    {
        for _ in 0..MAX_ATTEMPTS {
            let mut outcome = attempt().await?;
            match self.commit(std::mem::take(&mut outcome.commit)).await {
                Ok(()) => return Ok(outcome),
                Err(CommitError::Conflict(conflict)) => {
                    tracing::debug!(?conflict, "decided anew");
                }
                Err(error) => return Err(FactoryError::Commit(error)),
            }
        }
        Err(FactoryError::Contended)
    }

    /// Makes a commit durable; an empty one costs nothing.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        if commit.is_empty() {
            return Ok(());
        }
        self.store.commit(commit).await.map(|_| ())
    }

    /// The manufacturer itself as an actor: `who` is a person or program on its side.
    #[must_use]
    pub fn actor(who: &str) -> Actor {
        let name: String = who.chars().take(128).collect();
        Actor::new(ActorKind::Manufacturer, name)
    }
}

/// The decision as a result; waiting does not occur on this side.
pub(crate) fn settled<D>(outcome: Outcome<D>) -> Result<Settled<D>, FactoryError> {
    match outcome.decision {
        Decision::Accept(accepted) => Ok(Settled::Accepted(accepted)),
        Decision::Replay(stored) => Ok(Settled::Replayed(stored)),
        Decision::Wait { .. } => Err(FactoryError::Contended),
        Decision::Refuse { refusal, reasons } => Err(FactoryError::Refused { refusal, reasons }),
    }
}

/// Runs what blocks where it holds up nobody.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FactoryError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| FactoryError::Broken)
}

/// One sentence a reason, each with its section.
fn text(reasons: &[Reason]) -> String {
    let sentences: Vec<String> = reasons
        .iter()
        .map(|reason| format!("{}: {} [{}]", reason.code, reason.text, reason.section))
        .collect();
    sentences.join("; ")
}
