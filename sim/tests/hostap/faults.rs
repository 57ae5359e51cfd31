//! hostapd's testing options make a real peer send broken messages, one of a hundred faults at a
//! time. Each that can reach a configurator or an enrollee is run against ours, in every direction
//! in which hostapd sends that message, and must end as the [`table`] says: refused for the named
//! reason, or in success where the specification makes nothing of it. The table is also a page of
//! the documentation, which is held against it here.

mod table;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use vouchsafe_sim::wifi::dpp::Network;
use vouchsafe_sim::wifi::hostap::{Kind, PATIENCE};

use self::table::{FAULTS, Fault, MUTUALLY, Verdict};
use crate::ends::{OurConfigurator, OurEnrollee, Outcome, Scan};
use crate::tools::{self, Peer};

/// The page.
const PAGE: &str = "../docs/protocols/dpp-faults.md";

/// Peers that run at the same time.
const PEERS: usize = 4;

/// How long the peer is listened to at a time while it may want our code.
const SCAN: Duration = Duration::from_millis(100);

/// How long a peer that must stay silent is listened to.
const SILENCE: Duration = Duration::from_secs(1);

/// Which message a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    AuthenticationRequest,
    AuthenticationResponse,
    AuthenticationConfirm,
    ConfigurationRequest,
    ConfigurationResponse,
    ConfigurationResult,
    PeerDiscovery,
    Pkex,
    Reconfiguration,
    PushButton,
}

impl Message {
    fn name(self) -> &'static str {
        match self {
            Self::AuthenticationRequest => "authentication request",
            Self::AuthenticationResponse => "authentication response",
            Self::AuthenticationConfirm => "authentication confirm",
            Self::ConfigurationRequest => "configuration request",
            Self::ConfigurationResponse => "configuration response",
            Self::ConfigurationResult => "configuration result",
            Self::PeerDiscovery => "peer discovery",
            Self::Pkex => "PKEX",
            Self::Reconfiguration => "reconfiguration",
            Self::PushButton => "push button",
        }
    }

    /// How hostapd comes to send it.
    fn ways(self) -> &'static [Way] {
        match self {
            Self::AuthenticationRequest | Self::AuthenticationConfirm => {
                &[Way::EnrolleeCalls, Way::ConfiguratorCalls]
            }
            Self::AuthenticationResponse => &[Way::EnrolleeListens, Way::ConfiguratorListens],
            Self::ConfigurationRequest => &[Way::EnrolleeCalls, Way::EnrolleeListens],
            Self::ConfigurationResponse => &[Way::ConfiguratorCalls, Way::ConfiguratorListens],
            _ => &[],
        }
    }

    /// The same where both prove themselves.
    fn mutual_way(self) -> Way {
        match self {
            Self::AuthenticationResponse => Way::ConfiguratorListensMutually,
            _ => Way::EnrolleeCallsMutually,
        }
    }
}

/// What hostapd is, and who calls whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    EnrolleeCalls,
    EnrolleeListens,
    ConfiguratorCalls,
    ConfiguratorListens,
    /// With a key that our configurator scans.
    EnrolleeCallsMutually,
    /// It scans the key of our enrollee, which wants that.
    ConfiguratorListensMutually,
}

impl Way {
    fn against(self) -> &'static str {
        match self {
            Self::EnrolleeCalls => "our configurator, called",
            Self::EnrolleeListens => "our configurator, calling",
            Self::ConfiguratorCalls => "our enrollee, called",
            Self::ConfiguratorListens => "our enrollee, calling",
            Self::EnrolleeCallsMutually => "our configurator, called, both proving themselves",
            Self::ConfiguratorListensMutually => "our enrollee, calling, both proving themselves",
        }
    }
}

/// A run of one fault; 0 is a run without any.
fn run(number: u32, way: Way, verdict: Verdict) -> Outcome {
    let peer = Peer::start(Kind::AccessPoint);
    let patience = match verdict {
        Verdict::Silence => SILENCE,
        _ => PATIENCE,
    };
    let network = Network::connector("sta-dpp", "faults");
    let key = peer.bootstrapping_key("P-256", "").unwrap();
    let misbehave = || peer.misbehave(number).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap();
    let outcome = match way {
        Way::EnrolleeCalls => {
            let configurator = OurConfigurator::new();
            let number = peer.scan(&configurator.uri()).unwrap();
            misbehave();
            peer.call_as_enrollee(&number, here, "").unwrap();
            configurator.listen(&listener, patience)
        }
        Way::EnrolleeListens => {
            let at = peer.listen_as_enrollee().unwrap();
            misbehave();
            OurConfigurator::new().call(at, &key.uri, patience)
        }
        Way::ConfiguratorCalls => {
            let enrollee = OurEnrollee::new();
            let number = peer.scan(&enrollee.uri()).unwrap();
            let configurator = peer.configurator("P-256").unwrap();
            misbehave();
            peer.call_as_configurator(&number, here, &configurator, &network)
                .unwrap();
            enrollee.listen(&listener, patience)
        }
        Way::ConfiguratorListens => {
            let configurator = peer.configurator("P-256").unwrap();
            let at = peer
                .listen_as_configurator(&configurator, &network, "")
                .unwrap();
            misbehave();
            OurEnrollee::new().call(at, &key.uri, patience)
        }
        Way::EnrolleeCallsMutually => {
            let configurator = OurConfigurator::new();
            let peers = peer.scan(&configurator.uri()).unwrap();
            misbehave();
            let own = format!(" own={}", key.number);
            peer.call_as_enrollee(&peers, here, &own).unwrap();
            let scan: Scan<'_> = &|| key.uri.clone();
            configurator.listen_mutually(&listener, patience, scan)
        }
        Way::ConfiguratorListensMutually => {
            let configurator = peer.configurator("P-256").unwrap();
            let at = peer
                .listen_as_configurator(&configurator, &network, " qr=mutual")
                .unwrap();
            misbehave();
            let enrollee = OurEnrollee::new();
            let uri = enrollee.uri();
            std::thread::scope(|scope| {
                let called = scope.spawn(|| enrollee.call_mutually(at, &key.uri, patience));
                // It may be refused before the peer asks for our code.
                while !called.is_finished() {
                    let asked = |event: &str| event.starts_with("DPP-SCAN-PEER-QR-CODE");
                    if peer.wait_for(0, SCAN, asked).is_ok() {
                        peer.scan(&uri).unwrap();
                        break;
                    }
                }
                called.join().unwrap()
            })
        }
    };
    if number != 0 {
        assert_made(&peer, number, way);
    }
    outcome
}

/// A fault's number, a way, and what must come of that.
type Run = (u32, Way, Verdict);

/// All runs of a fault.
fn runs(fault: &Fault) -> Vec<Run> {
    if matches!(fault.verdict, Verdict::DoesNotApply(_)) {
        return Vec::new();
    }
    let ways = fault.message.ways().iter();
    let mut runs: Vec<Run> = ways
        .map(|way| (fault.number, *way, fault.verdict))
        .collect();
    let mutually = MUTUALLY.iter().find(|(number, _)| *number == fault.number);
    runs.extend(mutually.map(|(number, verdict)| (*number, fault.message.mutual_way(), *verdict)));
    runs
}

/// Faults that hostapd makes without a word.
const SILENT_FAULTS: [u32; 2] = [28, 29];

/// hostapd really made that fault.
fn assert_made(peer: &Peer, number: u32, way: Way) {
    if SILENT_FAULTS.contains(&number) {
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    while !peer.log().contains("TESTING - ") {
        assert!(
            Instant::now() < deadline,
            "hostapd did not make fault {number} ({way:?}): {}",
            peer.log()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn verdict_holds(verdict: Verdict, outcome: &Outcome) -> bool {
    match (verdict, outcome) {
        (Verdict::Refused(reason), Outcome::Refused(given)) => given == reason,
        (Verdict::Harmless(_), Outcome::Done(_)) => true,
        (Verdict::Silence, Outcome::Silence | Outcome::Closed) => true,
        _ => false,
    }
}

/// Without a fault every way succeeds; otherwise refusals would prove nothing.
#[test]
fn without_a_fault_every_way_succeeds() {
    if !tools::have(Kind::AccessPoint) {
        return;
    }
    for way in [
        Way::EnrolleeCalls,
        Way::EnrolleeListens,
        Way::ConfiguratorCalls,
        Way::ConfiguratorListens,
        Way::EnrolleeCallsMutually,
        Way::ConfiguratorListensMutually,
    ] {
        let outcome = run(0, way, Verdict::Harmless(""));
        assert!(matches!(outcome, Outcome::Done(_)), "{way:?}: {outcome:?}");
    }
}

#[test]
fn every_fault_ends_as_the_table_says() {
    if !tools::have(Kind::AccessPoint) {
        return;
    }
    let runs: Vec<Run> = FAULTS.iter().flat_map(runs).collect();
    let next = AtomicUsize::new(0);
    let wrong: Mutex<BTreeMap<(u32, &str), String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..PEERS {
            scope.spawn(|| {
                while let Some(planned) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (number, way, verdict) = *planned;
                    let outcome = run(number, way, verdict);
                    if !verdict_holds(verdict, &outcome) {
                        let said = format!("{verdict:?} expected, {outcome:?} came");
                        let key = (number, way.against());
                        wrong.lock().unwrap().insert(key, said);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "of {} runs: {wrong:#?}", runs.len());
}

#[test]
fn numbers_are_complete_and_in_order() {
    for (index, fault) in FAULTS.iter().enumerate() {
        assert_eq!(usize::try_from(fault.number).unwrap(), index + 1);
    }
}

/// With `UPDATE` set in the environment the page is written instead.
#[test]
fn the_page_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "{} is not what the table says: run this test with UPDATE=1",
        path.display()
    );
}

fn page() -> String {
    let mut text = PREFACE.to_owned();
    for fault in &FAULTS {
        let runs = runs(fault);
        let against: Vec<&str> = runs.iter().map(|(_, way, _)| way.against()).collect();
        let mut verdict = verdict_text(fault.verdict);
        let other = runs.iter().find(|(_, _, other)| *other != fault.verdict);
        if let Some((_, _, other)) = other {
            verdict.push_str(&format!(
                "; where both prove themselves {}",
                verdict_text(*other)
            ));
        }
        text.push_str(&format!(
            "| {} | {} | {} | {} | {verdict} |\n",
            fault.number,
            fault.message.name(),
            fault.meaning,
            against.join("; "),
        ));
    }
    text
}

fn verdict_text(verdict: Verdict) -> String {
    match verdict {
        Verdict::Refused(reason) => format!("refused: {reason}"),
        Verdict::Harmless(why) => format!("harmless: {why}"),
        Verdict::Silence => "nothing comes any more, and nothing was given out".to_owned(),
        Verdict::DoesNotApply(why) => format!("does not apply: {why}"),
    }
}

const PREFACE: &str = "\
# Wi-Fi Easy Connect: a hundred faults

Debian's `hostapd` is built with its testing options: `SET dpp_test N` makes it send broken messages.
`sim/tests/hostap` runs each fault that can reach a configurator or an enrollee against ours, over TCP,
in every direction in which hostapd sends that message, and fails when one ends otherwise than this
page says. The page is written by the same test (`UPDATE=1`).

| fault | message | what is wrong with it | run against | verdict |
| ---: | --- | --- | --- | --- |
";
