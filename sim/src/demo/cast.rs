//! Who plays: the devices, who bought them, and what must come of them.

/// Who bought a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Buyer {
    /// The owner whose network the devices wake up in.
    First,
    /// The other one.
    Second,
    /// It lies on a shelf.
    Nobody,
}

/// Where a device's key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyMaker {
    /// At the factory, and carried to the device.
    Factory,
    /// On the device, sealed in a file.
    Device,
    /// In a token that never gives it away, where there is SoftHSM2; else like `Device`.
    Token,
}

/// What must become of a device at its first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It joins the first owner.
    Joins,
    /// It joins too, after it has seen through the rogue registrar, which it is made to try first.
    JoinsAfterRogue,
    /// It is refused, and this code says why.
    Refused(&'static str),
}

/// A device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Character {
    pub(super) serial: &'static str,
    pub(super) model: &'static str,
    pub(super) key: KeyMaker,
    pub(super) buyer: Buyer,
    pub(super) fate: Fate,
}

/// The manufacturer.
pub(super) const MAKER: &str = "Lumen Works";
/// The owner of the network.
pub(super) const FIRST: &str = "Harbour House";
/// The other owner.
pub(super) const SECOND: &str = "Hill Farm";
/// The rogue registrar.
pub(super) const ROGUE: &str = "Mallory";

/// The device that renews.
pub(super) const RENEWS: &str = "LW-0001";
/// The device that meets the rogue first.
pub(super) const MEETS_ROGUE: &str = "LW-0002";
/// The device that is reset, and to which an old voucher is replayed.
pub(super) const IS_RESET: &str = "LW-0003";
/// The device that changes its owner.
pub(super) const MOVES: &str = "LW-0004";
/// The device that the first owner claims although the second one bought it.
pub(super) const CLAIMED_WRONGLY: &str = "LW-0007";
/// The device of the unknown maker.
pub(super) const UNKNOWN: &str = "NN-0001";
/// Whose certificate is copied.
pub(super) const COPIED: &str = "LW-0005";

/// The devices that the factory makes.
pub(super) const DEVICES: [Character; 8] = [
    device(RENEWS, "lamp", KeyMaker::Factory, Buyer::First, Fate::Joins),
    device(
        MEETS_ROGUE,
        "lamp",
        KeyMaker::Factory,
        Buyer::First,
        Fate::JoinsAfterRogue,
    ),
    device(
        IS_RESET,
        "meter",
        KeyMaker::Factory,
        Buyer::First,
        Fate::Joins,
    ),
    device(MOVES, "meter", KeyMaker::Factory, Buyer::First, Fate::Joins),
    device(
        COPIED,
        "door lock",
        KeyMaker::Device,
        Buyer::First,
        Fate::Joins,
    ),
    device(
        "LW-0006",
        "door lock",
        KeyMaker::Token,
        Buyer::First,
        Fate::Joins,
    ),
    device(
        CLAIMED_WRONGLY,
        "lamp",
        KeyMaker::Factory,
        Buyer::Second,
        Fate::Refused("other-owner"),
    ),
    device(
        "LW-0008",
        "meter",
        KeyMaker::Factory,
        Buyer::Nobody,
        Fate::Refused("unknown-device"),
    ),
];

const fn device(
    serial: &'static str,
    model: &'static str,
    key: KeyMaker,
    buyer: Buyer,
    fate: Fate,
) -> Character {
    Character {
        serial,
        model,
        key,
        buyer,
        fate,
    }
}

/// The serial numbers of a buyer.
pub(super) fn bought_by(buyer: Buyer) -> Vec<&'static str> {
    let theirs = DEVICES.iter().filter(|device| device.buyer == buyer);
    theirs.map(|device| device.serial).collect()
}

/// What became of somebody, a row of the table at the end.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) who: String,
    pub(super) what: String,
    pub(super) end: String,
    pub(super) because: String,
    pub(super) section: String,
}
