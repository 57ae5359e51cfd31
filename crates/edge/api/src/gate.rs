//! What gates are to do, and what they say back: the desired state of network admission, and reports.
//!
//! 1. A gate asks `GET /gate/v1/state?have=VERSION&wait=SECONDS` and gets a [`StateUpdate`], or 204 when
//!    there is nothing new.
//! 2. It puts that in force, and tells so, and what happened since, with `POST /gate/v1/report` and a
//!    [`GateReport`]. 204 says that the controller has it for good.
//!
//! On a machine with one controller and one gate a file holds the [`DesiredState`] instead.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who may come in, as a whole. Whoever is not in it may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredState {
    /// Grows with every change; a gate refuses one that is older than what it had.
    pub version: u64,
    /// When it was written.
    pub issued_at: Timestamp,
    /// Revocation lists of the domain CA, DER in base64.
    pub revocation_lists: Vec<String>,
    /// The segments that admission speaks of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentDefinition>,
    /// The credentials that open the network.
    pub admitted: Vec<AdmittedCredential>,
    /// The stations that come in by their MAC address alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stations: Vec<AdmittedStation>,
}

/// A credential that opens the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmittedCredential {
    /// The certificate's serial number, lower-case hexadecimal.
    pub credential: String,
    /// Whose it is: the device's id.
    pub device: String,
    /// Where the device belongs; the port's own segment without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Until when the decision counts.
    pub expires_at: Timestamp,
}

/// A station that comes in by its MAC address, which anybody can copy: only where the policy says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmittedStation {
    /// The MAC address, `02:00:00:00:00:01`.
    pub mac: String,
    /// Whose it is: the device's id.
    pub device: String,
    /// Where the station belongs; the port's own segment without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Until when the decision counts.
    pub expires_at: Timestamp,
}

/// A part of the network, and what its devices reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentDefinition {
    /// Its name, as credentials use it.
    pub name: String,
    /// Its VLAN, 1 to 4094, where access points know it by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// All that its devices reach. Without it everything behind the uplinks; empty means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Vec<Destination>>,
}

/// Something that devices of a segment reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// An address or a network: `10.0.0.7`, `10.0.0.0/24`, `2001:db8::/32`.
    pub network: String,
    /// Over what; everything without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<TransportProtocol>,
    /// The port there; every port without. Only with a protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What carries ports.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TransportProtocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// What a gate gets when it asks for news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateUpdate {
    /// Everything anew.
    Whole(DesiredState),
    /// What changed since the version that the gate said to have.
    Difference(StateDifference),
}

/// What changed between two versions. Removals count before additions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateDifference {
    /// The version that it changes. A gate that has another one asks for the whole.
    pub from: u64,
    /// The version that it makes; greater than `from`.
    pub to: u64,
    /// When it was written.
    pub issued_at: Timestamp,
    /// All revocation lists, if one of them changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_lists: Option<Vec<String>>,
    /// All segments, if one of them changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<Vec<SegmentDefinition>>,
    /// Credentials that are new or different.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<AdmittedCredential>,
    /// Credentials that open nothing any longer, by serial number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Stations that are new or different.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stations_put: Vec<AdmittedStation>,
    /// Stations that no longer come in, by MAC address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stations_remove: Vec<String>,
}

/// What happened at a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateReport {
    /// Grows with every report of this gate. One with a number that was taken before is a repeat.
    pub number: u64,
    /// Whether the gate began anew: sessions that it told of before, and does not tell of from here on, are
    /// over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
    /// The version in force, read back. Told once all sessions are that were there at that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<u64>,
    /// Sessions that are new, or of which something is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionReport>,
    /// Devices that had to go, and are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut_offs: Vec<CutOffReport>,
    /// Who was refused, and why. Not all, where they are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusalReport>,
}

/// A device at an access point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionReport {
    /// The gate's own name of the session, unique.
    pub id: String,
    /// Whose it is: the device's id.
    pub device: String,
    /// The certificate's serial number; without one the station came in by its MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The station's MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// What the access point calls itself; the port, at the gate's own.
    pub access_point: String,
    /// Where the device was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when without a new proof.
    pub until: Timestamp,
    /// Octets from and to the device, as the access point counts.
    pub octets: (u64, u64),
    /// When it was last heard of.
    pub seen: Timestamp,
    /// When it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

/// A device that had to go, and is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutOffReport {
    /// Whose session it was: the device's id.
    pub device: String,
    /// The station's MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// Where.
    pub access_point: String,
    /// When it was confirmed.
    pub at: Timestamp,
    /// From the gate's decision to the confirmation.
    pub milliseconds: u64,
    /// Who confirmed: `filter`, `access-point`, `hostapd`.
    pub confirmed_by: String,
}

/// Somebody who was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusalReport {
    /// When.
    pub at: Timestamp,
    /// Whom it said to be, which may be untrue.
    pub identity: String,
    /// The station's MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// Where.
    pub access_point: String,
    /// Why, by its stable name.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state of before there were segments is read as one without.
    #[test]
    fn an_older_writer_is_understood() {
        let text = r#"{"version":7,"issued_at":"2026-11-23T00:00:00Z","revocation_lists":[],"admitted":[]}"#;
        let state: DesiredState = serde_json::from_str(text).unwrap();
        assert_eq!((state.segments.len(), state.stations.len()), (0, 0));
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
    }

    #[test]
    fn an_update_says_what_it_is() {
        let text = r#"{"difference":{"from":7,"to":9,"issued_at":"2026-11-23T00:00:00Z","remove":["0a"]}}"#;
        let update: StateUpdate = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&update).unwrap(), text);
        let StateUpdate::Difference(difference) = update else {
            panic!("not a difference");
        };
        assert_eq!(difference.remove, ["0a"]);
    }
}
