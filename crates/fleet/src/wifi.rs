//! Wi-Fi Easy Connect as the domain sees it: networks, bootstrapping keys, what was announced, and
//! what devices were given.
//!
//! 1. A person describes a [`Network`]: its SSID and which sort of credential its devices get.
//! 2. A device becomes known by its [`BootstrappingKey`], from its manufacturer's manifest or from
//!    the text of its label. One that announces itself earlier is remembered for a while
//!    ([`Announcement`]).
//! 3. The device authenticates, and [`decide::wifi`](crate::decide::wifi) says whether it is
//!    configured, and for which network.
//! 4. What it gets is its own: an [`AccessCredential`], or a certificate like any other. Its
//!    [`Standing`] says which network it has and which one it shall have.
//!
//! This module knows no message of the protocol: hashes, texts and proofs are facts given to it.

mod access;
mod announcement;
mod key;
mod network;

use serde::{Deserialize, Serialize};

pub use access::{
    AccessCredential, AccessKind, Assurance, Given, Holdings, SealedPassphrase, Standing,
};
pub use announcement::{
    ANNOUNCEMENT_MEMORY, ANNOUNCEMENT_REFRESH, Announcement, HashForm, MAX_ANNOUNCEMENTS,
};
pub use key::{BootstrappingKey, DeviceRole, KeyConflict, KeyFacts, KeySource, MAX_URI};
pub use network::{MAX_NETWORKS, MAX_SSID, Network, NetworkCredential, for_members};

use crate::credential::CredentialStatus;
use crate::ids::{CredentialId, Digest};

/// A change to what this module describes. Applied in order, after all other changes of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", content = "value", rename_all = "kebab-case")]
pub enum Change {
    /// Insert a network of version 1, or replace the one whose version is one less.
    PutNetwork(Box<Network>),
    /// Remove a network that has this version.
    RemoveNetwork {
        /// Its name.
        name: String,
        /// Its version.
        expected: u64,
    },
    /// Insert a key of version 1, or replace the one whose version is one less.
    PutKey(Box<BootstrappingKey>),
    /// Remove a key that has this version.
    RemoveKey {
        /// The key.
        id: Digest,
        /// Its version.
        expected: u64,
    },
    /// Remember an announcement. The store forgets those that have expired.
    PutAnnouncement(Box<Announcement>),
    /// Forget an announcement; it may be gone already.
    ForgetAnnouncement {
        /// As it was announced.
        hash: Digest,
    },
    /// Insert an access credential.
    PutAccess(Box<AccessCredential>),
    /// Change the status of an access credential.
    SetAccessStatus {
        /// The credential.
        id: CredentialId,
        /// Its new status.
        status: CredentialStatus,
    },
    /// The device reported that an access credential works.
    ConfirmAccess {
        /// The credential.
        id: CredentialId,
        /// When.
        at: jiff::Timestamp,
    },
    /// Insert or replace a device's standing.
    PutStanding(Box<Standing>),
}

/// Something about Wi-Fi that a decision took for granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wifi", rename_all = "kebab-case")]
pub enum Guard {
    /// The network has this version; 0 means that there is none of this name.
    NetworkVersion {
        /// Its name.
        name: String,
        /// Its version.
        expected: u64,
    },
    /// No device is meant for this network or has a credential of it.
    NetworkUnused {
        /// Its name.
        name: String,
    },
    /// The bootstrapping key has this version; 0 means that it is not known.
    KeyVersion {
        /// The key.
        id: Digest,
        /// Its version.
        expected: u64,
    },
    /// The access credential is active.
    AccessActive {
        /// The credential.
        id: CredentialId,
    },
}
