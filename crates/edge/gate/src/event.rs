//! What happens, line by line, for people and programs.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::link::Tap;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The gate listens.
    Ready {
        /// Where requests for access arrive.
        radius: String,
        /// Where accounting arrives.
        accounting: String,
        /// Where RADIUS over TLS arrives, if it does.
        #[serde(skip_serializing_if = "Option::is_none")]
        radsec: Option<String>,
        /// Where orders about sessions arrive, if they do.
        #[serde(skip_serializing_if = "Option::is_none")]
        dynamic: Option<String>,
    },
    /// The controller answers.
    LinkUp {
        /// Which.
        controller: String,
    },
    /// The controller does not answer, or says no. Told when the reason changes.
    LinkDown {
        /// Which.
        controller: String,
        /// Why, by its stable name.
        reason: String,
        /// Why.
        problem: String,
    },
    /// The controller does not take a report, whatever the gate does. It is set aside.
    ReportRefused {
        /// Its number.
        number: u64,
        /// Why, by its stable name.
        reason: String,
        /// Why.
        problem: String,
    },
    /// The gate has another certificate.
    Renewed {
        /// Its serial number.
        certificate: String,
        /// Until when it is good.
        until: Timestamp,
    },
    /// The gate asked for another certificate, and has none.
    RenewalFailed {
        /// Why, by its stable name.
        reason: String,
        /// Why.
        problem: String,
    },
    /// Devices can reach the registrar here.
    JoinProxyReady {
        /// Where they arrive.
        join_proxy: String,
        /// The interface, or `all`.
        interface: String,
    },
    /// The join proxy leads to other registrars than before.
    JoinProxyRegistrars {
        /// Where, in the order in which they are tried; without one nothing is announced.
        registrars: Vec<String>,
    },
    /// A circuit through the join proxy has ended.
    Circuit {
        /// The device's address.
        from: String,
        /// Octets both ways.
        octets: u64,
        /// How: `closed`, `broken`, `idle`, `too-long`, `too-many-octets`, `gave-way`, `no-registrar`.
        ended: &'static str,
    },
    /// There was no room for circuits. Told once a second at most.
    CircuitRefused {
        /// The address that was refused last.
        from: String,
        /// Why: `too-many-from-address`, `too-many-circuits`.
        reason: &'static str,
        /// How many were refused since this was last told.
        count: u64,
    },
    /// Another desired state is in force.
    StateInForce {
        /// Its version.
        version: u64,
        /// How many credentials may come in.
        admitted: usize,
        /// How many sessions end by it.
        ending: usize,
    },
    /// A desired state was not taken.
    StateRefused {
        /// Why, by its stable name.
        reason: &'static str,
        /// Why.
        problem: String,
    },
    /// A device came in.
    Accepted {
        /// Whose credential it was.
        device: String,
        /// The station's MAC address.
        station: String,
        /// Where.
        access_point: String,
        /// The segment it was put into.
        segment: Option<String>,
        /// Until when, in seconds.
        seconds: u32,
    },
    /// A device was refused.
    Refused {
        /// Whom it said to be.
        identity: String,
        /// The station's MAC address.
        station: String,
        /// Where.
        access_point: String,
        /// Why, by its stable name.
        reason: String,
    },
    /// A device that had to go is out.
    CutOff {
        /// Which.
        device: String,
        /// The station's MAC address.
        station: String,
        /// Where.
        access_point: String,
        /// Milliseconds from the decision to the confirmation.
        milliseconds: i64,
        /// Who confirmed: `filter`, `access-point`, `hostapd`.
        confirmed_by: &'static str,
    },
    /// An access point moved a session to another segment, as it was asked.
    SessionMoved {
        /// Whose.
        device: String,
        /// The station's MAC address.
        station: String,
        /// Where.
        access_point: String,
        /// The segment.
        segment: String,
    },
    /// A station was moved to other treatment at its port, in place.
    StationMoved {
        /// The port.
        port: String,
        /// The station's MAC address.
        station: String,
        /// The segment whose list limits it; none where nothing does.
        confined: Option<String>,
    },
    /// The packet filter did not take what concerns a station. It is tried again.
    FilterFailed {
        /// The port.
        port: String,
        /// The station's MAC address.
        station: String,
        /// What it said.
        problem: String,
    },
    /// hostapd was told to end a station's session.
    Deauthenticated {
        /// The interface.
        interface: String,
        /// The station's MAC address.
        station: String,
    },
    /// A port lets a station through.
    PortOpened {
        /// The port.
        port: String,
        /// The station's MAC address.
        station: String,
    },
    /// A port no longer lets a station through.
    PortClosed {
        /// The port.
        port: String,
        /// The station's MAC address.
        station: String,
    },
}

/// An event and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Where events go. Clones are the same.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Recorded) + Send + Sync>);

impl Events {
    /// Hands each event to `take`.
    pub fn new(take: impl Fn(Recorded) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// The same, and `tap` takes note of each.
    pub(crate) fn also(self, tap: Tap) -> Self {
        Self::new(move |recorded| {
            tap.note(&recorded);
            (self.0)(recorded);
        })
    }

    pub(crate) fn tell(&self, at: Timestamp, event: Event) {
        (self.0)(Recorded { at, event });
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// A MAC address as `02:00:00:00:00:01`.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

pub(crate) fn station_text(mac: Option<[u8; 6]>) -> String {
    mac.map_or_else(|| "unknown".to_owned(), mac_text)
}
