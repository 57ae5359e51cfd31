//! Every kind of network, every curve and both directions: Debian's program as the enrollee of our
//! configurator, and as the configurator of our enrollee.

use std::net::TcpListener;

use vouchsafe_dpp::Curve;
use vouchsafe_sim::wifi::dpp::Network;
use vouchsafe_sim::wifi::hostap::{Kind, PATIENCE};

use crate::ends::{Done, Gives, OurConfigurator, OurEnrollee, Outcome, Scan};
use crate::tools::{self, Peer};

/// The network's name.
pub(crate) const SSID: &str = "matrix";
/// The passphrase, where there is one.
pub(crate) const PASSPHRASE: &str = "correct horse";

/// Curves that both sides have; there is no sound implementation of BP-512 for us.
const CURVES: [(Curve, &str); 5] = [
    (Curve::P256, "P-256"),
    (Curve::P384, "P-384"),
    (Curve::P521, "P-521"),
    (Curve::Bp256, "BP-256"),
    (Curve::Bp384, "BP-384"),
];

fn done(outcome: Outcome) -> Done {
    match outcome {
        Outcome::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

fn listener() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The peer calls our configurator and must be given `gives`.
fn peer_is_given(kind: Kind, curve: (Curve, &str), gives: Gives) -> Peer {
    let peer = Peer::start(kind);
    let ours = OurConfigurator::with(curve.0, gives);
    let (listener, here) = listener();
    let number = peer.scan(&ours.uri()).unwrap();
    peer.call_as_enrollee(&number, here, "").unwrap();
    let outcome = ours.listen(&listener, PATIENCE);
    assert!(!done(outcome).mutual);
    peer.wait("DPP-CONF-RECEIVED").unwrap();
    let ssid = peer.wait("DPP-CONFOBJ-SSID").unwrap();
    assert_eq!(ssid, format!("DPP-CONFOBJ-SSID {SSID}"));
    peer
}

/// Our enrollee calls the peer, which gives out `network`.
fn we_are_given(curve: (Curve, &str), network: &Network) -> Done {
    let peer = Peer::start(Kind::Station);
    let key = peer.bootstrapping_key(curve.1, "").unwrap();
    let configurator = peer.configurator(curve.1).unwrap();
    let at = peer
        .listen_as_configurator(&configurator, network, "")
        .unwrap();
    let outcome = OurEnrollee::with(curve.0).call(at, &key.uri, PATIENCE);
    peer.wait("DPP-CONF-SENT").unwrap();
    done(outcome)
}

#[test]
fn a_supplicant_takes_every_method() {
    if !tools::have(Kind::Station) {
        return;
    }
    for (gives, method, passphrase) in [
        (Gives::Connector, "dpp", false),
        (Gives::Sae, "sae", true),
        (Gives::Psk, "psk", true),
        (Gives::PskSae, "psk+sae", true),
        (Gives::ConnectorAndSae, "dpp+sae", true),
    ] {
        let peer = peer_is_given(Kind::Station, CURVES[0], gives);
        // hostap names the combination the other way round.
        let method = method.replace("dpp+sae", "sae+dpp");
        let named = peer.wait("DPP-CONFOBJ-AKM").unwrap();
        let named = named.replace("dpp+sae", "sae+dpp");
        assert_eq!(named, format!("DPP-CONFOBJ-AKM {method}"));
        if passphrase {
            peer.wait("DPP-CONFOBJ-PASS").unwrap();
        }
        if method.contains("dpp") {
            peer.wait("DPP-CONNECTOR").unwrap();
            peer.wait("DPP-C-SIGN-KEY").unwrap();
            peer.wait("DPP-NET-ACCESS-KEY").unwrap();
        }
    }
}

#[test]
fn an_access_point_takes_its_connector() {
    if !tools::have(Kind::AccessPoint) {
        return;
    }
    let peer = peer_is_given(Kind::AccessPoint, CURVES[0], Gives::Connector);
    peer.wait("DPP-CONNECTOR").unwrap();
    peer.wait("DPP-C-SIGN-KEY").unwrap();
}

#[test]
fn a_supplicant_is_configured_on_every_curve() {
    if !tools::have(Kind::Station) {
        return;
    }
    for curve in CURVES {
        peer_is_given(Kind::Station, curve, Gives::Connector);
    }
}

#[test]
fn a_supplicant_that_listens_is_called() {
    if !tools::have(Kind::Station) {
        return;
    }
    let peer = Peer::start(Kind::Station);
    let key = peer.bootstrapping_key("P-256", "").unwrap();
    let at = peer.listen_as_enrollee().unwrap();
    let outcome = OurConfigurator::new().call(at, &key.uri, PATIENCE);
    assert!(!done(outcome).mutual);
    peer.wait("DPP-CONF-RECEIVED").unwrap();
}

/// Wi-Fi Easy Connect 3.0 §6.3.3: the responder asks for patience while somebody scans the code.
#[test]
fn a_supplicant_whose_code_is_scanned_meanwhile_authenticates_mutually() {
    if !tools::have(Kind::Station) {
        return;
    }
    let peer = Peer::start(Kind::Station);
    let key = peer.bootstrapping_key("P-256", "").unwrap();
    let ours = OurConfigurator::new();
    let (listener, here) = listener();
    let number = peer.scan(&ours.uri()).unwrap();
    let own = format!(" own={}", key.number);
    peer.call_as_enrollee(&number, here, &own).unwrap();
    let scan: Scan<'_> = &|| {
        peer.wait("DPP-RESPONSE-PENDING").unwrap();
        key.uri.clone()
    };
    let outcome = ours.listen_mutually(&listener, PATIENCE, scan);
    assert!(done(outcome).mutual);
    peer.wait("DPP-AUTH-DIRECTION mutual=1").unwrap();
    peer.wait("DPP-CONF-RECEIVED").unwrap();
}

#[test]
fn we_take_every_method_from_a_supplicant() {
    if !tools::have(Kind::Station) {
        return;
    }
    for (kind, method) in [
        ("sta-dpp", "dpp"),
        ("sta-sae", "sae"),
        ("sta-psk", "psk"),
        ("sta-psk-sae", "psk+sae"),
        ("sta-sae-dpp", "dpp+sae"),
        ("sta-psk-sae-dpp", "dpp+psk+sae"),
    ] {
        let network = match kind {
            "sta-dpp" => Network::connector(kind, SSID),
            _ => Network::passphrase(kind, SSID, PASSPHRASE),
        };
        let given = we_are_given(CURVES[0], &network);
        assert_eq!(given.methods, [method], "{kind}");
        let passphrases: &[&str] = match method {
            "dpp" => &[],
            _ => &[PASSPHRASE],
        };
        assert_eq!(given.passphrases, passphrases, "{kind}");
        // hostap 2.10 speaks version 2; the lower one counts.
        assert_eq!(given.version, 2);
    }
}

#[test]
fn we_are_configured_on_every_curve() {
    if !tools::have(Kind::Station) {
        return;
    }
    for curve in CURVES {
        let given = we_are_given(curve, &Network::connector("sta-dpp", SSID));
        assert_eq!(given.methods, ["dpp"], "{}", curve.1);
    }
}

#[test]
fn we_are_called_by_a_supplicant() {
    if !tools::have(Kind::Station) {
        return;
    }
    let peer = Peer::start(Kind::Station);
    let configurator = peer.configurator("P-256").unwrap();
    let ours = OurEnrollee::new();
    let (listener, here) = listener();
    let number = peer.scan(&ours.uri()).unwrap();
    let network = Network::connector("sta-dpp", SSID);
    peer.call_as_configurator(&number, here, &configurator, &network)
        .unwrap();
    let given = done(ours.listen(&listener, PATIENCE));
    assert_eq!(given.methods, ["dpp"]);
    peer.wait("DPP-CONF-SENT").unwrap();
}

/// Wi-Fi Easy Connect 3.0 §6.3.3, from the other end.
#[test]
fn we_wait_while_somebody_scans_our_code() {
    if !tools::have(Kind::Station) {
        return;
    }
    let peer = Peer::start(Kind::Station);
    let key = peer.bootstrapping_key("P-256", "").unwrap();
    let configurator = peer.configurator("P-256").unwrap();
    let network = Network::connector("sta-dpp", SSID);
    let at = peer
        .listen_as_configurator(&configurator, &network, " qr=mutual")
        .unwrap();
    let ours = OurEnrollee::new();
    let uri = ours.uri();
    let given = std::thread::scope(|scope| {
        let called = scope.spawn(|| ours.call_mutually(at, &key.uri, PATIENCE));
        peer.wait("DPP-SCAN-PEER-QR-CODE").unwrap();
        peer.scan(&uri).unwrap();
        done(called.join().unwrap())
    });
    assert!(given.mutual);
    assert_eq!(given.methods, ["dpp"]);
}

/// Two networks in one answer (Wi-Fi Easy Connect 3.0 §6.4.3).
#[test]
fn we_take_two_networks_at_once() {
    if !tools::have(Kind::Station) {
        return;
    }
    let mut network = Network::passphrase("sta-sae", SSID, PASSPHRASE);
    network.more = " @CONF-OBJ-SEP@ conf=sta-psk ssid=736865 pass=6461732073636861".to_owned();
    let given = we_are_given(CURVES[0], &network);
    assert_eq!(given.methods, ["sae", "psk"]);
}
