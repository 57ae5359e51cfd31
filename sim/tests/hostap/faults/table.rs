//! What each number of hostapd's `dpp_test` does, and how we must take it.

use super::Message::{
    self, AuthenticationConfirm, AuthenticationRequest, AuthenticationResponse,
    ConfigurationRequest, ConfigurationResponse, ConfigurationResult, PeerDiscovery, Pkex,
    PushButton, Reconfiguration,
};

/// What must come of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// We refuse, and this is the reason that we give.
    Refused(&'static str),
    /// The exchange succeeds: by specification the fault changes nothing that counts.
    Harmless(&'static str),
    /// The peer says nothing more and hangs up, or waits: the session's time limit ends it, and
    /// nothing was given out.
    Silence,
    /// It cannot reach us, and this is why.
    DoesNotApply(&'static str),
}

/// One number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) number: u32,
    pub(crate) message: Message,
    pub(crate) meaning: &'static str,
    pub(crate) verdict: Verdict,
}

/// What must come of faults for which it matters that both prove themselves.
pub(crate) const MUTUALLY: [(u32, Verdict); 6] = [
    (
        11,
        Refused("the Initiator Bootstrapping Key Hash attribute is missing"),
    ),
    (
        18,
        Refused(
            "the peer did not prove its bootstrapping key, which is required here (Wi-Fi Easy Connect 3.0 §6.3.3)",
        ),
    ),
    (
        27,
        Refused("the Initiator Bootstrapping Key Hash attribute is missing"),
    ),
    (
        69,
        Refused("the message names another initiator's key (Wi-Fi Easy Connect 3.0 §6.3.3)"),
    ),
    (
        71,
        Refused("the message names another initiator's key (Wi-Fi Easy Connect 3.0 §6.3.3)"),
    ),
    (
        73,
        Refused("the message names another initiator's key (Wi-Fi Easy Connect 3.0 §6.3.3)"),
    ),
];

use Verdict::{DoesNotApply, Harmless, Refused, Silence};

const ONE_SIDED: &str = "where only the responder proves itself nobody is named there";
const ANYBODY: &str = "where only the responder proves itself the initiator is anybody";
const ON_AIR: &str = "hostap 2.10 speaks PKEX on the air only, and no relay carries it";
const STATIONS: &str = "passes between station and access point, which are hostap's own programs";
const NOT_TCP: &str = "hostap 2.10 sends it on the air only";
const LATER: &str = "came after hostap 2.10, the one that Debian 12 has";

const fn fault(number: u32, message: Message, meaning: &'static str, verdict: Verdict) -> Fault {
    Fault {
        number,
        message,
        meaning,
        verdict,
    }
}

/// All of them, by number.
pub(crate) const FAULTS: [Fault; 100] = [
    fault(
        1,
        AuthenticationRequest,
        "an attribute after the wrapped data",
        Refused("an attribute follows the wrapped data, where nothing protects it"),
    ),
    fault(
        2,
        AuthenticationResponse,
        "an attribute after the wrapped data",
        Refused("an attribute follows the wrapped data, where nothing protects it"),
    ),
    fault(
        3,
        AuthenticationConfirm,
        "an attribute after the wrapped data",
        Refused("an attribute follows the wrapped data, where nothing protects it"),
    ),
    fault(
        4,
        Pkex,
        "an attribute after the wrapped data of the commit-reveal request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        5,
        Pkex,
        "an attribute after the wrapped data of the commit-reveal response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        6,
        ConfigurationRequest,
        "an attribute after the wrapped data",
        Refused("an attribute follows the wrapped data, where nothing protects it"),
    ),
    fault(
        7,
        ConfigurationResponse,
        "an attribute after the wrapped data",
        Refused("an attribute follows the wrapped data, where nothing protects it"),
    ),
    fault(
        8,
        AuthenticationRequest,
        "capabilities without any role",
        Refused("the capabilities name no role (Wi-Fi Easy Connect 3.0 §8.1.1.7)"),
    ),
    fault(
        9,
        AuthenticationResponse,
        "capabilities without any role",
        Refused("the capabilities name no role (Wi-Fi Easy Connect 3.0 §8.1.1.7)"),
    ),
    fault(
        10,
        AuthenticationRequest,
        "no hash of the responder's key",
        Refused("the Responder Bootstrapping Key Hash attribute is missing"),
    ),
    fault(
        11,
        AuthenticationRequest,
        "no hash of the initiator's key",
        Refused("the Initiator Bootstrapping Key Hash attribute is missing"),
    ),
    fault(
        12,
        AuthenticationRequest,
        "no protocol key",
        Refused("the Initiator Protocol Key attribute is missing"),
    ),
    fault(
        13,
        AuthenticationRequest,
        "no nonce",
        Refused("the Initiator Nonce attribute is missing"),
    ),
    fault(
        14,
        AuthenticationRequest,
        "no capabilities",
        Refused("the Initiator Capabilities attribute is missing"),
    ),
    fault(
        15,
        AuthenticationRequest,
        "no wrapped data",
        Refused("the Wrapped Data attribute is missing"),
    ),
    fault(
        16,
        AuthenticationResponse,
        "no status",
        Refused("the DPP Status attribute is missing"),
    ),
    fault(
        17,
        AuthenticationResponse,
        "no hash of the responder's key",
        Refused("the Responder Bootstrapping Key Hash attribute is missing"),
    ),
    fault(
        18,
        AuthenticationResponse,
        "no hash of the initiator's key",
        Harmless(ONE_SIDED),
    ),
    fault(
        19,
        AuthenticationResponse,
        "no protocol key",
        Refused("the Responder Protocol Key attribute is missing"),
    ),
    fault(
        20,
        AuthenticationResponse,
        "no nonce of its own",
        Refused("the Responder Nonce attribute is missing"),
    ),
    fault(
        21,
        AuthenticationResponse,
        "no nonce of the initiator",
        Refused("the Initiator Nonce attribute is missing"),
    ),
    fault(
        22,
        AuthenticationResponse,
        "no capabilities",
        Refused("the Responder Capabilities attribute is missing"),
    ),
    fault(
        23,
        AuthenticationResponse,
        "no authentication tag",
        Refused("the Wrapped Data attribute is missing"),
    ),
    fault(
        24,
        AuthenticationResponse,
        "no wrapped data",
        Refused("the Wrapped Data attribute is missing"),
    ),
    fault(
        25,
        AuthenticationConfirm,
        "no status",
        Refused("the DPP Status attribute is missing"),
    ),
    fault(
        26,
        AuthenticationConfirm,
        "no hash of the responder's key",
        Refused("the Responder Bootstrapping Key Hash attribute is missing"),
    ),
    fault(
        27,
        AuthenticationConfirm,
        "no hash of the initiator's key",
        Harmless(ONE_SIDED),
    ),
    fault(
        28,
        AuthenticationConfirm,
        "no authentication tag",
        Refused("the Initiator Authenticating Tag attribute is missing"),
    ),
    fault(
        29,
        AuthenticationConfirm,
        "no wrapped data",
        Refused("the Wrapped Data attribute is missing"),
    ),
    fault(
        30,
        AuthenticationResponse,
        "another nonce than the initiator's",
        Refused("the nonce is not the one of this exchange (Wi-Fi Easy Connect 3.0 §6.3.3)"),
    ),
    fault(
        31,
        AuthenticationResponse,
        "a role that does not fit ours",
        Refused("no role is left: both want to be the same (Wi-Fi Easy Connect 3.0 §6.3.3)"),
    ),
    fault(
        32,
        AuthenticationResponse,
        "a wrong authentication tag",
        Refused("the responder's authenticating tag is wrong (Wi-Fi Easy Connect 3.0 §6.3.4)"),
    ),
    fault(
        33,
        AuthenticationConfirm,
        "a wrong authentication tag",
        Refused("the initiator's authenticating tag is wrong (Wi-Fi Easy Connect 3.0 §6.3.4)"),
    ),
    fault(
        34,
        Pkex,
        "no group in the exchange request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        35,
        Pkex,
        "no encrypted key in the exchange request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        36,
        Pkex,
        "no status in the exchange response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        37,
        Pkex,
        "no encrypted key in the exchange response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        38,
        Pkex,
        "no bootstrapping key in the commit-reveal request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        39,
        Pkex,
        "no authentication tag in the commit-reveal request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        40,
        Pkex,
        "no wrapped data in the commit-reveal request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        41,
        Pkex,
        "no bootstrapping key in the commit-reveal response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        42,
        Pkex,
        "no authentication tag in the commit-reveal response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        43,
        Pkex,
        "no wrapped data in the commit-reveal response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        44,
        Pkex,
        "an encrypted key off the curve in the exchange request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        45,
        Pkex,
        "an encrypted key off the curve in the exchange response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        46,
        Pkex,
        "an unknown status in the exchange response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        47,
        Pkex,
        "a bootstrapping key off the curve in the commit-reveal request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        48,
        Pkex,
        "a bootstrapping key off the curve in the commit-reveal response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        49,
        Pkex,
        "a wrong authentication tag in the commit-reveal request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        50,
        Pkex,
        "a wrong authentication tag in the commit-reveal response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        51,
        ConfigurationRequest,
        "no nonce",
        Refused("the Enrollee Nonce attribute is missing"),
    ),
    fault(
        52,
        ConfigurationRequest,
        "no request object",
        Refused("the DPP Configuration Request Object attribute is missing"),
    ),
    fault(
        53,
        ConfigurationRequest,
        "no wrapped data",
        Refused("the Wrapped Data attribute is missing"),
    ),
    fault(
        54,
        ConfigurationResponse,
        "no nonce",
        Refused("the Enrollee Nonce attribute is missing"),
    ),
    fault(
        55,
        ConfigurationResponse,
        "no configuration object",
        Refused("the DPP Configuration Object attribute is missing"),
    ),
    fault(
        56,
        ConfigurationResponse,
        "no status",
        Refused("the DPP Status attribute is missing"),
    ),
    fault(
        57,
        ConfigurationResponse,
        "no wrapped data",
        Refused("the Wrapped Data attribute is missing"),
    ),
    fault(
        58,
        ConfigurationResponse,
        "an unknown status",
        Refused("the status has no meaning in this message (Wi-Fi Easy Connect 3.0 §8.1.1.1)"),
    ),
    fault(
        59,
        ConfigurationResponse,
        "another nonce than the enrollee's",
        Refused(
            "the enrollee's nonce is not the one of this exchange (Wi-Fi Easy Connect 3.0 §6.4.3)",
        ),
    ),
    fault(
        60,
        PeerDiscovery,
        "no transaction identifier in the request",
        DoesNotApply(STATIONS),
    ),
    fault(
        61,
        PeerDiscovery,
        "no connector in the request",
        DoesNotApply(STATIONS),
    ),
    fault(
        62,
        PeerDiscovery,
        "no transaction identifier in the response",
        DoesNotApply(STATIONS),
    ),
    fault(
        63,
        PeerDiscovery,
        "no status in the response",
        DoesNotApply(STATIONS),
    ),
    fault(
        64,
        PeerDiscovery,
        "no connector in the response",
        DoesNotApply(STATIONS),
    ),
    fault(
        65,
        AuthenticationConfirm,
        "an authentication response in its place, which hostap 2.10 fails to make",
        Silence,
    ),
    fault(
        66,
        AuthenticationRequest,
        "a protocol key off the curve",
        Refused("the point is not on the curve (Wi-Fi Easy Connect 3.0 §3.2.3)"),
    ),
    fault(
        67,
        AuthenticationResponse,
        "a protocol key off the curve",
        Refused("the point is not on the curve (Wi-Fi Easy Connect 3.0 §3.2.3)"),
    ),
    fault(
        68,
        AuthenticationRequest,
        "another hash than the responder's",
        Refused("the message is for another responder's key (Wi-Fi Easy Connect 3.0 §6.3.3)"),
    ),
    fault(
        69,
        AuthenticationRequest,
        "another hash than the initiator's",
        Harmless(ANYBODY),
    ),
    fault(
        70,
        AuthenticationResponse,
        "another hash than the responder's",
        Refused("the message is for another responder's key (Wi-Fi Easy Connect 3.0 §6.3.3)"),
    ),
    fault(
        71,
        AuthenticationResponse,
        "another hash than the initiator's",
        Refused("the message names another initiator's key (Wi-Fi Easy Connect 3.0 §6.3.3)"),
    ),
    fault(
        72,
        AuthenticationConfirm,
        "another hash than the responder's",
        Refused("the message is for another responder's key (Wi-Fi Easy Connect 3.0 §6.3.3)"),
    ),
    fault(
        73,
        AuthenticationConfirm,
        "another hash than the initiator's",
        Refused("the message names another initiator's key (Wi-Fi Easy Connect 3.0 §6.3.3)"),
    ),
    fault(
        74,
        AuthenticationResponse,
        "an unknown status",
        Refused("the status has no meaning in this message (Wi-Fi Easy Connect 3.0 §8.1.1.1)"),
    ),
    fault(
        75,
        AuthenticationConfirm,
        "an unknown status",
        Refused("the status has no meaning in this message (Wi-Fi Easy Connect 3.0 §8.1.1.1)"),
    ),
    fault(
        76,
        ConfigurationRequest,
        "a technology other than Wi-Fi infrastructure",
        Refused("the technology is not infrastructure Wi-Fi"),
    ),
    fault(
        77,
        PeerDiscovery,
        "another transaction identifier in the response",
        DoesNotApply(STATIONS),
    ),
    fault(
        78,
        PeerDiscovery,
        "an unknown status in the response",
        DoesNotApply(STATIONS),
    ),
    fault(
        79,
        PeerDiscovery,
        "a broken connector in the response",
        DoesNotApply(STATIONS),
    ),
    fault(
        80,
        PeerDiscovery,
        "a broken connector in the request",
        DoesNotApply(STATIONS),
    ),
    fault(
        81,
        AuthenticationRequest,
        "a nonce that is too short",
        Refused("the Initiator Nonce attribute does not have its length"),
    ),
    fault(
        82,
        PeerDiscovery,
        "a broken transaction identifier in the request",
        DoesNotApply(STATIONS),
    ),
    fault(
        83,
        ConfigurationRequest,
        "a nonce that is too short",
        Refused("the Enrollee Nonce attribute does not have its length"),
    ),
    fault(
        84,
        Pkex,
        "silence after the exchange request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        85,
        Pkex,
        "silence after the exchange response",
        DoesNotApply(ON_AIR),
    ),
    fault(
        86,
        Pkex,
        "silence after the commit-reveal request",
        DoesNotApply(ON_AIR),
    ),
    fault(
        87,
        AuthenticationResponse,
        "silence after the request",
        Silence,
    ),
    fault(
        88,
        AuthenticationConfirm,
        "silence after the response",
        Silence,
    ),
    fault(
        89,
        ConfigurationRequest,
        "silence after the confirmation",
        Silence,
    ),
    fault(
        90,
        ConfigurationResponse,
        "silence after the request",
        Silence,
    ),
    fault(
        91,
        ConfigurationResult,
        "the configuration is refused",
        DoesNotApply(NOT_TCP),
    ),
    fault(
        92,
        PeerDiscovery,
        "no protocol version in the request",
        DoesNotApply(STATIONS),
    ),
    fault(
        93,
        PeerDiscovery,
        "no protocol version in the response",
        DoesNotApply(STATIONS),
    ),
    fault(
        94,
        PeerDiscovery,
        "an unknown protocol version in the request",
        DoesNotApply(LATER),
    ),
    fault(
        95,
        PeerDiscovery,
        "an unknown protocol version in the response",
        DoesNotApply(LATER),
    ),
    fault(
        96,
        Reconfiguration,
        "an unknown protocol version in the authentication request",
        DoesNotApply(LATER),
    ),
    fault(
        97,
        Reconfiguration,
        "no protocol version in the authentication request",
        DoesNotApply(LATER),
    ),
    fault(
        98,
        PushButton,
        "another hash than the responder's in the announcement",
        DoesNotApply(LATER),
    ),
    fault(
        99,
        PushButton,
        "another hash than the initiator's in the response",
        DoesNotApply(LATER),
    ),
    fault(
        100,
        PushButton,
        "another hash than the responder's in the response",
        DoesNotApply(LATER),
    ),
];
