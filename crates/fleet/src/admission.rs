//! Network admission as the domain sees it: segments of the network, gates that let devices in, and
//! the sessions that they report.
//!
//! 1. A person describes a [`Segment`], and adds a [`Gate`] with a token that is good once.
//! 2. The gate enrols by that token and gets a [`GateCredential`], which it renews by itself.
//! 3. It is told who may come in, and reports which version of that is in force and which [`Session`]s
//!    there are. What it cut off stands in the device's journal.
//! 4. A device without 802.1X may come in by a [`ClaimedAddress`], where policy says so: weak.

mod address;
mod gate;
mod presence;
mod segment;
mod session;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use address::{
    AddressConflict, AddressGrant, ClaimedAddress, GRANT_LIFETIME, MAX_ADDRESSES, MacAddress,
};
pub use gate::{Gate, GateCredential, GateToken, MAX_GATE_CREDENTIALS, MAX_GATES, TOKEN_LIFETIME};
pub use presence::{Place, Presence};
pub use segment::{Destination, MAX_DESTINATIONS, MAX_SEGMENTS, Segment, Transport};
pub(crate) use session::short;
pub use session::{MAX_REPORTED, Session};

use crate::ids::CredentialId;

/// The newest report of a gate that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The gate (name).
    pub gate: String,
    /// The report's number; grows with each.
    pub number: u64,
    /// The version of the desired state that is in force there.
    pub in_force: Option<u64>,
    /// When it came.
    pub at: Timestamp,
}

/// A change to what this module describes. Applied in order, after all other changes of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", content = "value", rename_all = "kebab-case")]
pub enum Change {
    /// Insert a segment of version 1, or replace the one whose version is one less.
    PutSegment(Box<Segment>),
    /// Remove a segment that has this version.
    RemoveSegment {
        /// Its name.
        name: String,
        /// Its version.
        expected: u64,
    },
    /// Insert a gate of version 1, or replace the one whose version is one less.
    PutGate(Box<Gate>),
    /// Insert or replace a gate's credential.
    PutGateCredential(Box<GateCredential>),
    /// A report was taken; its number is greater than that of the one before.
    PutStanding(Standing),
    /// Forget what a gate reported last: it begins to count anew.
    ForgetStanding {
        /// The gate (name).
        gate: String,
    },
    /// End all sessions of a gate: it began anew, and tells of those that go on.
    EndSessions {
        /// The gate (name).
        gate: String,
        /// When.
        at: Timestamp,
    },
    /// Insert or replace a session, and add what is new of it to what was seen of the device.
    PutSession(Box<Session>),
    /// Insert an address of version 1, or replace the one whose version is one less.
    PutAddress(Box<ClaimedAddress>),
    /// Remove an address that has this version.
    RemoveAddress {
        /// The address.
        mac: MacAddress,
        /// Its version.
        expected: u64,
    },
}

/// Something about admission that a decision took for granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "admission", rename_all = "kebab-case")]
pub enum Guard {
    /// The segment has this version; 0 means that there is none of this name.
    SegmentVersion {
        /// Its name.
        name: String,
        /// Its version.
        expected: u64,
    },
    /// No device and no network is meant for this segment.
    SegmentUnused {
        /// Its name.
        name: String,
    },
    /// The gate has this version; 0 means that there is none of this name.
    GateVersion {
        /// Its name.
        name: String,
        /// Its version.
        expected: u64,
    },
    /// The address has this version; 0 means that nobody claimed it.
    AddressVersion {
        /// The address.
        mac: MacAddress,
        /// Its version.
        expected: u64,
    },
    /// The gate's credential has not been revoked.
    GateCredentialGood {
        /// The credential.
        id: CredentialId,
    },
}
