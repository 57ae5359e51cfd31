//! Why somebody does not come in.

/// Why a device may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The gate has no desired state.
    NoState,
    /// The controller was not heard of for too long.
    StaleState,
    /// The controller's clock, or the gate's, is wrong: the state is from the future.
    FutureState,
    /// The credential is not among those that may.
    NotAdmitted,
    /// The decision has run out.
    Expired,
    /// No room for another session.
    Full,
    /// The device is at too many places, and does not leave them.
    TooManyPlaces,
    /// The access point names neither the station's address nor its port.
    Unnamed,
    /// A station with this MAC address has proved itself, and is in: no other comes in by the address.
    Proved,
    /// The station came in by its MAC address elsewhere, and is there still: one of the two is a copy.
    Elsewhere,
    /// The address is another device's at this access point, whose session ends first.
    Taken,
}

impl Denial {
    /// Stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoState => "no-desired-state",
            Self::StaleState => "desired-state-stale",
            Self::FutureState => "desired-state-future",
            Self::NotAdmitted => "not-admitted",
            Self::Expired => "decision-expired",
            Self::Full => "no-room",
            Self::TooManyPlaces => "too-many-places",
            Self::Unnamed => "station-unnamed",
            Self::Proved => "station-proved-elsewhere",
            Self::Elsewhere => "station-elsewhere",
            Self::Taken => "station-address-taken",
        }
    }
}
