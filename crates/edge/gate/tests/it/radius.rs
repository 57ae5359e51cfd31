//! Access, by the desired state.

use std::net::UdpSocket;
use std::time::Duration;

use jiff::SignedDuration;
use vouchsafe_gate::Event;
use vouchsafe_radius::dynamic::{Arrival, Receiver};
use vouchsafe_radius::{Code, Draft, Origin, Shared, attribute};
use vouchsafe_trust::Secret;

use crate::world::{Gate, SECRET, Site, come_in, exchange, now};

const CLIENT: &str =
    "[[radius.client]]\nname = \"switch\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n";

fn site(more: &str) -> Site {
    let site = Site::new();
    site.configure("127.0.0.1:0", &format!("{CLIENT}{more}"));
    site
}

fn accepted(gate: &Gate) -> (String, Option<String>) {
    gate.until("acceptance", |event| match event {
        Event::Accepted {
            device, segment, ..
        } => Some((device.clone(), segment.clone())),
        _ => None,
    })
}

const MAC: &str = "02-00-00-00-00-01";

#[test]
fn an_admitted_device_comes_in_with_segment_and_no_longer_than_its_decision() {
    let mut site = site("");
    let device = site.device("camera-17");
    let mut admitted = device.admitted();
    admitted.segment = Some("cameras".to_owned());
    admitted.expires_at = now() + SignedDuration::from_secs(500);
    site.publish(vec![admitted], &[]);
    let gate = site.start();
    let answer = come_in(&site, &gate, &device, "ap-1", MAC);
    assert_eq!(answer.code, Code::AccessAccept);
    let packet = answer.packet;
    assert_eq!(
        packet.text(attribute::TUNNEL_PRIVATE_GROUP_ID),
        Some("cameras")
    );
    assert_eq!(packet.text(attribute::USER_NAME), Some("camera-17"));
    let seconds = packet.integer(attribute::SESSION_TIMEOUT).unwrap();
    assert!((1..=500).contains(&seconds), "{seconds}");
    assert!(packet.attribute(attribute::CLASS).is_some());
    assert_eq!(
        accepted(&gate),
        ("camera-17".to_owned(), Some("cameras".to_owned()))
    );
}

#[test]
fn whoever_is_not_admitted_stays_out_for_a_named_reason() {
    let mut site = site("");
    let (device, revoked, expired) = (site.device("1"), site.device("2"), site.device("3"));
    let mut over = expired.admitted();
    over.expires_at = now() - SignedDuration::from_secs(1);
    // The revoked one is still on the list of the admitted: the revocation list counts all the same.
    site.publish(vec![revoked.admitted(), over], &[&revoked]);
    let gate = site.start();
    let cases = [
        (&device, "not-admitted"),
        (&revoked, "certificate-revoked"),
        (&expired, "decision-expired"),
    ];
    for (device, reason) in cases {
        let rejected = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            come_in(&site, &gate, device, "ap-1", MAC)
        }));
        if let Ok(answer) = rejected {
            assert_eq!(answer.code, Code::AccessReject);
        }
        assert_eq!(gate.until_refused(), reason);
    }
    let stranger = Site::new().device("1");
    let answer = come_in(&site, &gate, &stranger, "ap-1", MAC);
    assert_eq!(answer.code, Code::AccessReject);
    assert_eq!(gate.until_refused(), "unknown-issuer");
}

#[test]
fn without_a_desired_state_nobody_comes_in_and_with_one_at_once() {
    let mut site = site("");
    let device = site.device("1");
    let gate = site.start();
    let answer = come_in(&site, &gate, &device, "ap-1", MAC);
    assert_eq!(answer.code, Code::AccessReject);
    assert_eq!(gate.until_refused(), "revocation-unknown");
    site.publish(vec![device.admitted()], &[]);
    assert_eq!(gate.until_in_force(), (1, 0));
    let answer = come_in(&site, &gate, &device, "ap-1", MAC);
    assert_eq!(answer.code, Code::AccessAccept);
}

/// A desired state of yesterday brings nobody back, not even over a restart.
#[test]
fn an_older_desired_state_is_refused() {
    let mut site = site("");
    let device = site.device("1");
    let old = site.document(vec![device.admitted()], &[]);
    site.publish(Vec::new(), &[&device]);
    let gate = site.start();
    assert_eq!(gate.until_in_force(), (2, 0));
    let refused = |gate: &Gate| {
        gate.until("refused state", |event| match event {
            Event::StateRefused { reason, .. } => Some(*reason),
            _ => None,
        })
    };
    site.publish_document(&old);
    assert_eq!(refused(&gate), "state-older");
    let answer = come_in(&site, &gate, &device, "ap-1", MAC);
    assert_eq!(answer.code, Code::AccessReject);
    drop(gate);
    let gate = site.start();
    assert_eq!(refused(&gate), "state-older");
}

#[test]
fn a_state_that_is_too_old_lets_nobody_in() {
    let mut site = site("");
    let text = std::fs::read_to_string(site.path("gate.toml")).unwrap();
    let text = text.replace(
        "file = \"desired.json\"",
        "file = \"desired.json\"\nlongest_age = 60",
    );
    std::fs::write(site.path("gate.toml"), text).unwrap();
    let device = site.device("1");
    let mut document = site.document(vec![device.admitted()], &[]);
    document.issued_at = now() - SignedDuration::from_secs(61);
    site.publish_document(&document);
    let gate = site.start();
    let answer = come_in(&site, &gate, &device, "ap-1", MAC);
    assert_eq!(answer.code, Code::AccessReject);
    assert_eq!(gate.until_refused(), "desired-state-stale");
}

/// A state from the future would stay fresh for as much longer.
#[test]
fn a_state_from_the_future_lets_nobody_in() {
    let mut site = site("");
    let device = site.device("1");
    let mut document = site.document(vec![device.admitted()], &[]);
    document.issued_at = now() + SignedDuration::from_hours(24);
    site.publish_document(&document);
    let gate = site.start();
    let answer = come_in(&site, &gate, &device, "ap-1", MAC);
    assert_eq!(answer.code, Code::AccessReject);
    assert_eq!(gate.until_refused(), "desired-state-future");
}

/// RFC 2865 §3: from an address without a secret, and under another secret, nothing comes back.
#[test]
fn an_unknown_client_and_a_wrong_secret_get_no_answer() {
    let site = site("");
    let gate = site.start();
    let probe = |address: &str, secret: &str| {
        let shared = Shared::new(Secret::new(secret.into()));
        let draft = Draft::new(Code::StatusServer, 1);
        let datagram = shared.finish_access_request(draft, &[7; 16]).unwrap();
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.connect(gate.access).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(600)))
            .unwrap();
        socket.send(&datagram).unwrap();
        socket.recv(&mut [0; 4096]).is_ok()
    };
    assert!(!probe("127.0.0.2", SECRET), "unknown-client");
    assert!(
        !probe("127.0.0.1", "another secret of ours"),
        "a wrong secret"
    );
    assert!(probe("127.0.0.1", SECRET), "it is there all the same");
}

/// RFC 5176: a session that must go is ended at the access point, again and again until that confirms.
#[test]
fn a_session_that_must_go_is_ended_at_the_access_point() {
    let access_point = UdpSocket::bind("127.0.0.1:0").unwrap();
    access_point
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let at = access_point.local_addr().unwrap();
    let mut site = site(&format!("disconnect = \"{at}\"\n"));
    let (stays, goes) = (site.device("stays"), site.device("goes"));
    site.publish(vec![stays.admitted(), goes.admitted()], &[]);
    let gate = site.start();
    let other = "02-00-00-00-00-02";
    assert_eq!(
        come_in(&site, &gate, &goes, "ap-1", MAC).code,
        Code::AccessAccept
    );
    assert_eq!(
        come_in(&site, &gate, &stays, "ap-1", other).code,
        Code::AccessAccept
    );
    site.publish(vec![stays.admitted()], &[&goes]);

    let shared = Shared::new(Secret::new(SECRET.into()));
    let origin = Origin {
        client: 0,
        address: [0; 16],
        port: 0,
    };
    let mut receiver = Receiver::default();
    let mut buffer = [0; 4096];
    let mut lost = 0;
    let received = loop {
        let (length, from) = access_point.recv_from(&mut buffer).unwrap();
        // The first two do not arrive.
        lost += 1;
        if lost <= 2 {
            continue;
        }
        let arrival = receiver.receive(now(), origin, &shared, &buffer[..length]);
        let Ok(Arrival::Fresh(received)) = arrival else {
            panic!("{arrival:?}");
        };
        let answer = received.acknowledge(&mut receiver, now(), &shared);
        access_point.send_to(&answer.unwrap(), from).unwrap();
        break received;
    };
    assert_eq!(received.station().mac, Some([2, 0, 0, 0, 0, 1]));
    assert_eq!(received.station().session.as_deref(), Some("session-1"));
    let cut = gate.until("cut", |event| match event {
        Event::CutOff {
            device,
            confirmed_by,
            ..
        } => Some((device.clone(), *confirmed_by)),
        _ => None,
    });
    assert_eq!(cut, ("goes".to_owned(), "access-point"));
}

/// RFC 2866: a record under the class that the gate gave; and a Stop ends the session.
#[test]
fn accounting_is_answered_and_ends_sessions() {
    let mut site = site("");
    let device = site.device("1");
    site.publish(vec![device.admitted()], &[]);
    let gate = site.start();
    let answer = come_in(&site, &gate, &device, "ap-1", MAC);
    let class = answer.packet.attribute(attribute::CLASS).unwrap();
    let shared = Shared::new(Secret::new(SECRET.into()));
    let draft = Draft::new(Code::AccountingRequest, 9)
        .with_integer(attribute::ACCT_STATUS_TYPE, 2)
        .with(attribute::NAS_IDENTIFIER, b"ap-1")
        .with(attribute::CALLING_STATION_ID, MAC.as_bytes())
        .with(attribute::CLASS, class.value);
    let datagram = shared.finish_digest_request(draft).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(gate.accounting).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let answer = exchange(&socket, &datagram);
    assert_eq!(answer[0], Code::AccountingResponse.number());
    // Nothing is left that would have to go.
    site.publish(Vec::new(), &[&device]);
    assert_eq!(gate.until_in_force().1, 0);
}

/// A restart of the gate forgets no session: what must go then goes.
#[test]
fn sessions_survive_a_restart() {
    let mut site = site("");
    let device = site.device("1");
    site.publish(vec![device.admitted()], &[]);
    let gate = site.start();
    assert_eq!(
        come_in(&site, &gate, &device, "ap-1", MAC).code,
        Code::AccessAccept
    );
    drop(gate);
    site.publish(Vec::new(), &[&device]);
    let gate = site.start();
    assert_eq!(gate.until_in_force(), (2, 1), "it ends one session");
}

/// An access point that does not know the session yet may still hear the acceptance: "no such session" is
/// no confirmation so early, and the gate asks again.
#[test]
fn an_access_point_that_knows_no_session_too_early_is_asked_again() {
    let access_point = UdpSocket::bind("127.0.0.1:0").unwrap();
    access_point
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let at = access_point.local_addr().unwrap();
    let mut site = site(&format!("disconnect = \"{at}\"\n"));
    let device = site.device("goes");
    site.publish(vec![device.admitted()], &[]);
    let gate = site.start();
    come_in(&site, &gate, &device, "ap-1", MAC);
    site.publish(Vec::new(), &[&device]);
    let shared = Shared::new(Secret::new(SECRET.into()));
    let origin = Origin {
        client: 0,
        address: [0; 16],
        port: 0,
    };
    let mut receiver = Receiver::default();
    let mut buffer = [0; 4096];
    let mut next = || {
        let (length, from) = access_point.recv_from(&mut buffer).unwrap();
        let arrival = receiver.receive(now(), origin, &shared, &buffer[..length]);
        (arrival, from)
    };
    let mut asked = 0;
    while asked < 2 {
        let (arrival, from) = next();
        let Ok(Arrival::Fresh(received)) = arrival else {
            continue;
        };
        let mut receiver = Receiver::default();
        // 503: no such session.
        let answer = received.refuse(&mut receiver, now(), &shared, 503).unwrap();
        access_point.send_to(&answer, from).unwrap();
        asked += 1;
    }
}

/// What was not valid yet is, a moment later; nobody writes the file again.
#[test]
fn a_list_that_is_not_valid_yet_is_looked_at_again() {
    let mut site = site("");
    let device = site.device("1");
    let document = site.document_from(
        vec![device.admitted()],
        now() + SignedDuration::from_secs(4),
    );
    site.publish_document(&document);
    let gate = site.start();
    let reason = gate.until("refused state", |event| match event {
        Event::StateRefused { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, "state-list-time");
    assert_eq!(gate.until_in_force().0, document.version);
}

/// A station without EAP comes in where the client may ask so and the state names it, and never by the
/// address of one that proved itself.
#[test]
fn a_station_comes_in_by_its_address_only_where_state_and_client_say_so() {
    let mut site = site("mac = true\n");
    let device = site.device("proved");
    let mut document = site.document(vec![device.admitted()], &[]);
    let named = |mac: &str, device: &str| vouchsafe_api::gate::AdmittedStation {
        mac: mac.to_owned(),
        device: device.to_owned(),
        segment: Some("weak".to_owned()),
        expires_at: now() + SignedDuration::from_hours(1),
    };
    document.stations = vec![
        named("02:00:00:00:00:01", "proved"),
        named("02:00:00:00:00:07", "printer"),
    ];
    site.publish_document(&document);
    let gate = site.start();
    let shared = Shared::new(Secret::new(SECRET.into()));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(gate.access).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let ask = |identifier: u8, name: &str, mac: &str| {
        let draft = Draft::new(Code::AccessRequest, identifier)
            .with(attribute::USER_NAME, name.as_bytes())
            .with(attribute::NAS_IDENTIFIER, b"switch")
            .with(attribute::CALLING_STATION_ID, mac.as_bytes());
        let datagram = shared
            .finish_access_request(draft, &[identifier; 16])
            .unwrap();
        let packet = vouchsafe_radius::Packet::parse(&exchange(&socket, &datagram)).unwrap();
        shared.check_response(&packet, &[identifier; 16]).unwrap();
        packet
    };
    let answer = ask(1, "020000000007", "02-00-00-00-00-07");
    assert_eq!(answer.code(), Code::AccessAccept);
    assert_eq!(
        answer.text(attribute::TUNNEL_PRIVATE_GROUP_ID),
        Some("weak")
    );
    assert_eq!(accepted(&gate).0, "printer");
    // A stranger; one that names another than it is.
    assert_eq!(
        ask(2, "020000000009", "02-00-00-00-00-09").code(),
        Code::AccessReject
    );
    assert_eq!(gate.until_refused(), "not-admitted");
    assert_eq!(
        ask(3, "020000000007", "02-00-00-00-00-09").code(),
        Code::AccessReject
    );
    assert_eq!(gate.until_refused(), "not-admitted");
    // 802.1X wins over the address, at whatever place.
    assert_eq!(
        come_in(&site, &gate, &device, "ap-1", MAC).code,
        Code::AccessAccept
    );
    assert_eq!(ask(4, "020000000001", MAC).code(), Code::AccessReject);
    assert_eq!(gate.until_refused(), "station-proved-elsewhere");
    // Not named any more: the session must go.
    site.publish(vec![device.admitted()], &[]);
    assert_eq!(gate.until_in_force().1, 1);
}

/// RFC 3579 §3.2: without Message-Authenticator there is no answer, whoever asks.
#[test]
fn a_client_that_may_not_ask_by_address_gets_no_acceptance() {
    let mut site = site("");
    let mut document = site.document(Vec::new(), &[]);
    document.stations = vec![vouchsafe_api::gate::AdmittedStation {
        mac: "02:00:00:00:00:07".to_owned(),
        device: "printer".to_owned(),
        segment: None,
        expires_at: now() + SignedDuration::from_hours(1),
    }];
    site.publish_document(&document);
    let gate = site.start();
    let shared = Shared::new(Secret::new(SECRET.into()));
    let draft = Draft::new(Code::AccessRequest, 1)
        .with(attribute::USER_NAME, b"020000000007")
        .with(attribute::CALLING_STATION_ID, b"02-00-00-00-00-07");
    let datagram = shared.finish_access_request(draft, &[7; 16]).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(gate.access).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(600)))
        .unwrap();
    socket.send(&datagram).unwrap();
    let mut buffer = [0; 4096];
    if let Ok(length) = socket.recv(&mut buffer) {
        assert!(length > 0 && buffer[0] != Code::AccessAccept.number());
    }
}
