//! A device at an access point.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{CredentialId, DeviceId, Digest};

/// Most sessions, cut-offs or refusals of one report.
pub const MAX_REPORTED: usize = 500;

/// Longest text that a gate gives a name of its own, in characters.
const MAX_TEXT: usize = 128;

/// A session, as its gate reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Computed from the gate's name and the gate's own name of the session; 32 hexadecimal digits.
    pub id: String,
    /// The gate (name).
    pub gate: String,
    /// Whose it is.
    pub device: DeviceId,
    /// The certificate; none where the station came in by its MAC address.
    pub credential: Option<CredentialId>,
    /// The station's MAC address.
    pub station: Option<String>,
    /// What the access point calls itself.
    pub access_point: String,
    /// Where the device was put.
    pub segment: Option<String>,
    /// When it began.
    pub since: Timestamp,
    /// Until when without a new proof.
    pub until: Timestamp,
    /// When the device was last heard of.
    pub seen: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Octets from and to the device.
    pub octets: (u64, u64),
}

impl Session {
    /// The name under which a gate's own name of a session is kept here.
    #[must_use]
    pub fn id_of(gate: &str, own: &str) -> String {
        let digest = Digest::of_parts(&[
            b"vouchsafe session\0",
            gate.as_bytes(),
            b"\0",
            own.as_bytes(),
        ]);
        digest.to_string().chars().take(32).collect()
    }

    /// Texts from outside are kept as far as they are sensible.
    pub(crate) fn cut(mut self) -> Self {
        for text in [&mut self.station, &mut self.segment].into_iter().flatten() {
            *text = short(text);
        }
        self.access_point = short(&self.access_point);
        self
    }
}

/// At most [`MAX_TEXT`] characters, none of them a control character.
pub(crate) fn short(text: &str) -> String {
    text.chars()
        .filter(|each| !each.is_control())
        .take(MAX_TEXT)
        .collect()
}
