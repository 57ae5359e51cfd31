//! What is told about sessions, all of one moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use vouchsafe_radius::Segment;

use super::{Place, Session};
use crate::segment::Segments;

/// A place at the ports of this machine, and what belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where.
    pub place: Place,
    /// Who is there.
    pub session: Option<Session>,
    /// The segment, where the state limits what its devices reach.
    pub confined: Option<String>,
}

/// What changed at the ports of this machine, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The version by which that is so.
    pub version: Option<u64>,
    /// Its segments.
    pub segments: Arc<Segments>,
    /// Where.
    pub places: Vec<Wanted>,
    /// Whether something changed elsewhere too.
    pub has_more: bool,
    /// Sessions that must go, whether that is news or not.
    pub ending: Vec<(Place, Session)>,
}

/// What a gate can answer for, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The version of which everything is in force.
    pub in_force: Option<u64>,
    /// Where something changed, and who is there now.
    pub sessions: Vec<(Place, Option<Session>)>,
    /// Whether more of it can be told already.
    pub has_more: bool,
}

/// Where something is still to be told. What the packet filter has not done waits here.
#[derive(Debug, Default)]
pub struct Unsaid(pub(super) BTreeSet<Place>);

/// A session that its access point is to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Where it is.
    pub place: Place,
    /// Which.
    pub session: Session,
    /// To which segment, by its name.
    pub segment: String,
    /// What access points call that.
    pub on_the_air: Segment,
}
