//! What gates saw of a device, in all: the short of its sessions, which are forgotten sooner.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::claim::{Claim, ClaimSubject, Strength};
use crate::ids::DeviceId;

/// What gates saw of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// When its first session began.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub first_seen: Timestamp,
    /// When it was last heard of.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub last_seen: Timestamp,
    /// Octets from the device, in all sessions.
    pub octets_from: u64,
    /// Octets to the device.
    pub octets_to: u64,
    /// Where it was heard of last.
    pub place: Place,
}

/// Where a device is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The gate (name).
    pub gate: String,
    /// What the access point calls itself; the port, at the gate's own.
    pub access_point: String,
    /// Whether it came in by its MAC address, which anybody can copy.
    pub is_weak: bool,
}

impl Presence {
    /// The same as claims: `first-seen` and `last-seen` in whole seconds since 1970, `octets` and `place` as
    /// objects. The gate says so, of whoever proved to be the device, or of whoever had its MAC address.
    #[must_use]
    pub fn claims(&self, device: DeviceId) -> Vec<Claim> {
        let place = &self.place;
        let claim = |kind: &str, value: serde_json::Value, issued_at| Claim {
            issuer: format!("gate:{}", place.gate),
            subject: ClaimSubject::Device { id: device },
            kind: kind.to_owned(),
            value,
            strength: match place.is_weak {
                true => Strength::ObservedWeak,
                false => Strength::Observed,
            },
            issued_at,
            expires_at: None,
            evidence: None,
            signature: None,
        };
        let octets = serde_json::json!({ "from": self.octets_from, "to": self.octets_to });
        let at = serde_json::json!({ "gate": place.gate, "access_point": place.access_point });
        vec![
            claim(
                "first-seen",
                self.first_seen.as_second().into(),
                self.first_seen,
            ),
            claim(
                "last-seen",
                self.last_seen.as_second().into(),
                self.last_seen,
            ),
            claim("octets", octets, self.last_seen),
            claim("place", at, self.last_seen),
        ]
    }
}
