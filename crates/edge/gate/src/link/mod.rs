//! The gate's link to its controller: over TLS with certificates on both sides, opened by the gate, at the
//! controller's registrar.
//!
//! 1. [`enrol()`]: once, with a token; the gate has a certificate and knows the domain CA.
//! 2. The gate asks for what is newer than the desired state that it has, and waits for the answer. It gets
//!    the whole, a difference, or nothing ([`poll`]).
//! 3. What it got is proved, written down ([`kept`]), and then put in force.
//! 4. What happens at the gate is reported, again and again until the controller has it for good
//!    ([`report`]).
//! 5. At two thirds of its life the certificate is renewed ([`renewal`]).
//!
//! Without the controller all that the gate has stays in force, also over restarts.

mod config;
mod enrol;
mod error;
mod folder;
mod health;
mod kept;
mod pause;
mod poll;
mod renewal;
mod report;

use std::collections::VecDeque;
use std::path::Path;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use vouchsafe_net::{Clock, Connector, Origin, ReloadableIdentity, ServerTrust};
use vouchsafe_trust::Anchors;

use crate::admission::{Admission, Unsaid};
use crate::desired::{Desired, Update};
use crate::error::GateError;
use crate::event::Events;

use health::Health;
use kept::Kept;
use poll::Poll;
use renewal::Renewal;
use report::{Numbers, Reporter, Told};

pub use config::{DEFAULT_KEYS, LinkConfig};
pub use enrol::{DomainAnchor, Enrolled, Enrolment, enrol};
pub use error::LinkError;
pub(crate) use folder::LinkFolder;
pub use folder::{LinkStatus, Trouble};
pub(crate) use renewal::renew_at;
pub(crate) use report::Tap;

/// States that wait to be put in force; the next is not asked for before there is room.
const WAITING: usize = 4;

/// A link that runs.
pub(crate) struct Link {
    tasks: JoinSet<()>,
    states: mpsc::Receiver<Update>,
    /// Where the controller's registrar is.
    pub(crate) controller: Origin,
}

/// What the link is begun with.
pub(crate) struct Beginning<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) config: &'a LinkConfig,
    /// The newest version that was ever in force.
    pub(crate) known: Option<u64>,
    pub(crate) admission: Admission,
    pub(crate) tap: Tap,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
}

impl Link {
    /// Begins to ask and to report; and the state that an earlier run left.
    ///
    /// # Errors
    /// A file cannot be read, or the key is not there.
    pub(crate) fn begin(beginning: Beginning<'_>) -> Result<(Self, Option<Desired>), GateError> {
        let folder = LinkFolder::of(beginning.dir);
        let wrong = |problem| GateError::content(beginning.dir.join("gate.toml"), problem);
        let controller = beginning.config.origin().map_err(wrong)?;
        let anchor = folder.anchor()?;
        let identity = ReloadableIdentity::new(folder.identity()?);
        let health = Health::new(
            folder.clone(),
            controller.to_string(),
            beginning.clock.clone(),
            beginning.events,
        );
        let trust = ServerTrust::Registrar(Anchors::one(anchor.clone()));
        let mut options = enrol::options(trust, &beginning.clock).with_identity(identity.clone());
        let reports = Connector::new(options.clone());
        options.response_timeout = poll::ANSWER;
        options.response_bytes = poll::MAX_STATE;
        let (kept, document) = Kept::open(&folder)?;
        let (hand, states) = mpsc::channel(WAITING);
        let mut poll = Poll {
            connector: Connector::new(options),
            controller: controller.clone(),
            anchor,
            kept,
            known: beginning.known,
            handed: None,
            hand,
            health: health.clone(),
        };
        beginning.admission.keep_news();
        let reporter = Reporter {
            connector: reports,
            controller: controller.clone(),
            admission: beginning.admission,
            tap: beginning.tap,
            health: health.clone(),
            numbers: Numbers::open(folder.clone())?,
            told: Told::default(),
            unsaid: Unsaid::default(),
            parts: VecDeque::new(),
        };
        let renewal = Renewal {
            folder,
            controller: controller.clone(),
            identity,
            health,
        };
        let first = document.and_then(|document| poll.first(document));
        let mut tasks = JoinSet::new();
        tasks.spawn(poll.run());
        tasks.spawn(reporter.run());
        tasks.spawn(renewal.run());
        let link = Self {
            tasks,
            states,
            controller,
        };
        Ok((link, first))
    }

    /// The next state that is to be put in force; never ready when there is none.
    pub(crate) async fn next(&mut self) -> Update {
        match self.states.recv().await {
            Some(desired) => desired,
            None => std::future::pending().await,
        }
    }

    pub(crate) async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}
