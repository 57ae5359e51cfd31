//! `wpa_supplicant` and `hostapd`, driven through their control sockets (`ctrl_interface`).
//!
//! * [`control`]: commands, replies and events.
//! * [`air`]: Wi-Fi Easy Connect over the air. The supplicant speaks the protocol with the device's
//!   own key; what it was given comes back in events.
//! * [`hand_over`]: a configuration, however it came, becomes network blocks. They are never saved in
//!   the supplicant's own file, which holds secrets in clear: the agent hands them over at each start.
//! * [`member`]: the credential from BRSKI, for a wired port or WPA3-Enterprise.
//! * [`open`]: open networks, as the way to a registrar.
//! * [`access_point`]: a configuration for an access point becomes settings of `hostapd`.
//!
//! What is between the lines of the supplicant's interface was tried with version 2.10.

pub(crate) mod access_point;
pub(crate) mod air;
pub(crate) mod control;
pub(crate) mod hand_over;
pub(crate) mod member;
pub(crate) mod open;
pub(crate) mod realm;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub(crate) use control::Control;

/// Why the supplicant was of no help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupplicantError {
    /// Nobody listens at its socket, or it has ended.
    #[error("wpa_supplicant does not answer at {path}: {source}")]
    Absent {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It does not reply.
    #[error("wpa_supplicant gives no reply to {command}")]
    Silent {
        /// The command's name.
        command: String,
    },
    /// It said no.
    #[error("wpa_supplicant answers {command} with {reply:?}")]
    Refused {
        /// The command's name.
        command: String,
        /// What it said.
        reply: String,
    },
    /// A value cannot be said to it.
    #[error("{command} cannot carry a value with control characters")]
    Unspeakable {
        /// The command's name.
        command: String,
    },
    /// It sent more than is read.
    #[error("wpa_supplicant sent a message of more than {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
}

impl SupplicantError {
    /// A stable kebab-case name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "supplicant-absent",
            Self::Silent { .. } => "supplicant-silent",
            Self::Refused { .. } => "supplicant-refused",
            Self::Unspeakable { .. } => "supplicant-unspeakable",
            Self::TooLong { .. } => "supplicant-too-long",
        }
    }
}
