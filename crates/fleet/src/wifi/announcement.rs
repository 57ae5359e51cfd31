//! Devices that showed themselves and were not let in.
//!
//! Anybody can announce anything, so what is remembered of it is bounded: unknown keys are
//! remembered once each and [`MAX_ANNOUNCEMENTS`] in all, a known key's troubles are journaled when
//! they change and at most once in [`ANNOUNCEMENT_REFRESH`].

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, Digest};
use crate::text::text_enum;

/// For how long an announcement is remembered after it was last seen.
pub const ANNOUNCEMENT_MEMORY: SignedDuration = SignedDuration::from_hours(24);

/// How often at most a remembered announcement is written anew.
pub const ANNOUNCEMENT_REFRESH: SignedDuration = SignedDuration::from_mins(1);

/// Most announcements of unknown keys that are remembered.
pub const MAX_ANNOUNCEMENTS: u32 = 1000;

text_enum! {
    /// Which hash of a bootstrapping key was seen.
    pub enum HashForm {
        /// The chirp hash: the device announced its presence and waits to be called.
        Chirp = "chirp",
        /// The key's own hash: the device called by itself.
        Key = "key",
    }
}

/// A device that showed itself and was not let in. Nothing is proved about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The hash it showed.
    pub hash: Digest,
    /// What it is the hash of.
    pub form: HashForm,
    /// Whose hash it is; none while nobody knows.
    pub device: Option<DeviceId>,
    /// Why it was not let in: a stable code.
    pub code: String,
    /// The relay or device it came from, as the network names it.
    pub via: Option<String>,
    /// When it was first seen.
    pub first_at: Timestamp,
    /// When it was last seen, to [`ANNOUNCEMENT_REFRESH`].
    pub last_at: Timestamp,
    /// When it was last journaled.
    pub journaled_at: Timestamp,
    /// When it may be forgotten.
    pub expires_at: Timestamp,
}
