use proptest::prelude::*;

use super::*;
use crate::announcement::{EnrolleeIdentity, ReconfigurationAnnouncement};
use crate::connector::{ConnectorContent, Group};
use crate::recorded;

fn key(curve: Curve, seed: u8) -> PrivateKey {
    PrivateKey::from_seed(curve, &vec![seed; curve.seed_length()]).unwrap()
}

fn entropy(octet: u8) -> Entropy {
    Entropy::new([octet; Entropy::LENGTH])
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn c_sign(signer: u8) -> CSignPublicKey {
    CSignPublicKey::new(key(Curve::P256, signer).public().clone())
}

fn issue(signer: u8, groups: &[(&str, NetRole)], own: &PrivateKey, expiry: &str) -> Connector {
    let content = ConnectorContent {
        groups: groups
            .iter()
            .map(|(id, role)| Group {
                id: (*id).into(),
                role: *role,
            })
            .collect(),
        net_access_key: own.public().clone(),
        expiry: Some(expiry.parse().unwrap()),
        version: Some(2),
    };
    Connector::issue_with_key(&content, &key(Curve::P256, signer)).unwrap()
}

const LATER: &str = "2027-01-01T00:00:00Z";
const EARLIER: &str = "2020-01-01T00:00:00Z";
const STATION: &[(&str, NetRole)] = &[("home", NetRole::Station)];
const CONFIGURATOR: &[(&str, NetRole)] = &[("*", NetRole::Configurator)];

fn configurator_of(
    signer: u8,
    groups: &[(&str, NetRole)],
    curve: Curve,
    expiry: &str,
) -> ConfiguratorConnector {
    let own = key(curve, 20);
    ConfiguratorConnector {
        connector: issue(signer, groups, &own, expiry),
        key: own,
    }
}

fn configurator(curve: Curve) -> ConfiguratorConnector {
    configurator_of(1, CONFIGURATOR, curve, LATER)
}

fn device_of(signer: u8, curve: Curve, expiry: &str) -> Device {
    let own = key(curve, 30);
    let connector = issue(signer, STATION, &own, expiry);
    Device {
        connector: connector
            .verify_regardless_of_expiry(&[c_sign(signer)])
            .unwrap(),
        key: own,
        c_sign: c_sign(1),
    }
}

fn device(curve: Curve) -> Device {
    device_of(1, curve, LATER)
}

fn status() -> ConnectionStatus {
    ConnectionStatus {
        result: Status::NoAccessPoint,
        ssid: None,
        channel_list: None,
    }
}

fn start(own: &ConfiguratorConnector) -> (Vec<u8>, AwaitResponse) {
    let side = Configurator {
        own,
        anchors: vec![c_sign(9), c_sign(1)],
    };
    side.start(7, &entropy(1)).unwrap()
}

#[test]
fn a_device_is_reconfigured_on_every_curve_even_with_an_expired_connector() {
    for curve in [
        Curve::P256,
        Curve::P384,
        Curve::P521,
        Curve::Bp256,
        Curve::Bp384,
    ] {
        for expiry in [LATER, EARLIER] {
            let own = configurator(curve);
            let (request, waiting) = start(&own);
            let (response, device) = device_of(1, curve, expiry)
                .answer(&request, &status(), &entropy(2), now())
                .unwrap();
            let reached = waiting.handle(&response).unwrap();
            assert_eq!(reached.status, status());
            assert_eq!(
                &reached.device.content().net_access_key,
                key(curve, 30).public()
            );
            let device = device.handle(&reached.confirm).unwrap();
            assert!(device.replaces_key);
            let (ours, theirs) = (reached.authenticated, device.authenticated);
            assert!(ours.ke().ct_eq(theirs.ke().expose()));
            assert!(ours.bk().ct_eq(theirs.bk().expose()));
            assert_eq!(ours.version(), 3);
            assert_eq!(ours.peer_protocol_key(), theirs.own_protocol_key().public());
            assert_eq!(theirs.peer_protocol_key(), ours.own_protocol_key().public());
            assert_ne!(
                theirs.own_protocol_key().public(),
                key(curve, 30).public(),
                "the netAccessKey is replaced"
            );
        }
    }
}

/// What Debian's hostap 2.10 did on simulated radios, at every step in our place.
#[test]
fn a_reconfiguration_of_hostap_is_followed_from_both_ends() {
    let recording = include_str!("../../tests/hostap/reconfiguration-p256.txt");
    let (octets, key) = (
        |name| recorded::octets(recording, name),
        |name| recorded::key(recording, name),
    );
    let c_sign = CSignPublicKey::new(key("c_sign_key").public().clone());
    let anchors = vec![c_sign.clone()];

    let announcement = ReconfigurationAnnouncement::read(&octets("announcement")).unwrap();
    assert_eq!(announcement.write().unwrap(), octets("announcement"));
    assert_eq!(announcement.curve, Curve::P256);
    let identity = announcement.reveal(&c_sign, &key("privacy_key")).unwrap();
    assert_eq!(identity.point().raw_xy(), octets("e_id"));

    // The configurator, from hostap's request on.
    let request = octets("request");
    let frame = Frame::read(&request).unwrap();
    let attributes = frame.attributes();
    let own = connector(attributes)
        .unwrap()
        .verify(&anchors, now())
        .unwrap();
    let own = ConfiguratorConnector::new(&own, key("configurator_connector_key")).unwrap();
    let c_nonce = attributes.require(AttributeId::ConfiguratorNonce).unwrap();
    let waiting = AwaitResponse {
        own,
        anchors: anchors.clone(),
        transaction: 1,
        c_nonce: c_nonce.to_vec(),
    };
    let response = octets("response");
    let reached = waiting.handle(&response).unwrap();
    assert_eq!(reached.confirm, octets("confirm"));
    assert_eq!(reached.status.result, Status::NoAccessPoint);
    assert_eq!(reached.authenticated.ke().expose(), octets("ke"));
    assert_eq!(reached.authenticated.version(), 2);

    // The device: it takes hostap's request, and from hostap's own response on its confirm.
    let device = Device {
        connector: reached.device,
        key: key("net_access_key"),
        c_sign,
    };
    let (_, waiting) = device
        .answer(&request, &status(), &entropy(2), now())
        .unwrap();
    let frame = Frame::read(&response).unwrap();
    let e_nonce = frame.attributes().require(AttributeId::EnrolleeNonce);
    let e_nonce = e_nonce.unwrap().to_vec();
    let m_x = key("net_access_key")
        .add_scalar(&key("protocol_key"))
        .unwrap()
        .agree_x(&waiting.peer_key)
        .unwrap();
    let waiting = AwaitConfirm {
        keys: Keys::derive(Curve::P256, c_nonce, &e_nonce, &m_x),
        protocol_key: key("protocol_key"),
        version: 2,
        e_nonce,
        ..waiting
    };
    let device = waiting.handle(&octets("confirm")).unwrap();
    assert!(device.replaces_key);
    assert_eq!(device.authenticated.ke().expose(), octets("ke"));
}

#[test]
fn the_announcement_leads_to_the_right_connector() {
    let privacy = key(Curve::P256, 40);
    let identity = EnrolleeIdentity::from_seed(Curve::P256, &[3; 40]).unwrap();
    let announcement = ReconfigurationAnnouncement::new(
        &c_sign(1),
        privacy.public(),
        &identity,
        Curve::P384,
        &[4; 40],
    )
    .unwrap();
    let read = ReconfigurationAnnouncement::read(&announcement.write().unwrap()).unwrap();
    assert_eq!(read.curve, configurator(Curve::P384).curve());
    assert_eq!(read.reveal(&c_sign(1), &privacy).unwrap(), identity);
}

#[track_caller]
fn request_refused(own: &ConfiguratorConnector, reason: Refusal) {
    let (request, _) = start(own);
    let refused = device(Curve::P256)
        .answer(&request, &status(), &entropy(2), now())
        .unwrap_err();
    assert_eq!(refused, reason.into());
}

#[test]
fn a_device_takes_no_configuration_from_strangers_section_6_5_3() {
    let p256 = Curve::P256;
    request_refused(
        &configurator_of(2, CONFIGURATOR, p256, LATER),
        Refusal::ConnectorSigner,
    );
    request_refused(
        &configurator_of(1, CONFIGURATOR, p256, EARLIER),
        Refusal::ConnectorExpired,
    );
    request_refused(
        &configurator_of(1, &[("home", NetRole::AccessPoint)], p256, LATER),
        Refusal::ConnectorRole,
    );
    request_refused(
        &configurator_of(1, &[("work", NetRole::Configurator)], p256, LATER),
        Refusal::ConnectorGroup,
    );
    request_refused(&configurator(Curve::Bp256), Refusal::ConnectorCurve);
}

/// What another access point of the same network could try: its own connector as the configurator's.
#[test]
fn only_a_configurators_connector_makes_a_configurator() {
    let own = key(Curve::P256, 20);
    let verified = issue(1, STATION, &own, LATER)
        .verify(&[c_sign(1)], now())
        .unwrap();
    assert_eq!(
        ConfiguratorConnector::new(&verified, own).err(),
        Some(Refusal::ConnectorRole.into())
    );
    let verified = issue(1, CONFIGURATOR, &key(Curve::P256, 20), LATER)
        .verify(&[c_sign(1)], now())
        .unwrap();
    assert_eq!(
        ConfiguratorConnector::new(&verified, key(Curve::P256, 21)).err(),
        Some(Refusal::ConnectorForeignKey.into())
    );
    assert!(ConfiguratorConnector::new(&verified, key(Curve::P256, 20)).is_ok());
}

#[test]
fn a_configurator_takes_no_device_of_others_section_6_5_4() {
    let own = configurator(Curve::P256);
    let (request, waiting) = start(&own);
    let (response, _) = device_of(2, Curve::P256, LATER)
        .answer(&request, &status(), &entropy(2), now())
        .unwrap();
    assert_eq!(
        waiting.handle(&response).err(),
        Some(Refusal::ConnectorSigner.into())
    );
}

/// Somebody else's connector without its private key: the response does not open.
#[test]
fn a_stolen_connector_is_refused_section_6_5_4() {
    let own = configurator(Curve::P256);
    let (request, waiting) = start(&own);
    let thief = Device {
        key: key(Curve::P256, 31),
        ..device(Curve::P256)
    };
    let (response, _) = thief
        .answer(&request, &status(), &entropy(2), now())
        .unwrap();
    assert_eq!(
        waiting.handle(&response).err(),
        Some(Refusal::Unwrap.into())
    );
}

#[test]
fn a_stolen_configurators_connector_gets_no_further() {
    let thief = ConfiguratorConnector {
        key: key(Curve::P256, 21),
        ..configurator(Curve::P256)
    };
    let (request, waiting) = start(&thief);
    let (response, _) = device(Curve::P256)
        .answer(&request, &status(), &entropy(2), now())
        .unwrap();
    assert_eq!(
        waiting.handle(&response).err(),
        Some(Refusal::Unwrap.into())
    );
}

#[test]
fn messages_of_another_exchange_are_refused() {
    let own = configurator(Curve::P256);
    let (first, waiting) = start(&own);
    let side = Configurator {
        own: &own,
        anchors: vec![c_sign(1)],
    };
    let (second, _) = side.start(8, &entropy(5)).unwrap();
    let answer = |request: &[u8]| {
        device(Curve::P256)
            .answer(request, &status(), &entropy(2), now())
            .unwrap()
    };
    let (response, _) = answer(&second);
    assert_eq!(
        waiting.handle(&response).err(),
        Some(Refusal::Transaction.into())
    );
    let (response, device) = answer(&first);
    let confirm = start(&own).1.handle(&response).unwrap().confirm;
    assert!(device.handle(&confirm).is_ok());
    // The same confirm to a device that drew other nonces.
    let (_, other) = self::device(Curve::P256)
        .answer(&first, &status(), &entropy(6), now())
        .unwrap();
    assert_eq!(other.handle(&confirm).err(), Some(Refusal::Unwrap.into()));
}

/// §6.5.4: every octet of the response in clear is covered by the wrap.
#[test]
fn nothing_in_clear_can_be_altered() {
    let own = configurator(Curve::P256);
    let (request, _) = start(&own);
    let (response, _) = device(Curve::P256)
        .answer(&request, &status(), &entropy(2), now())
        .unwrap();
    for position in (0..response.len()).step_by(3) {
        let mut altered = response.clone();
        altered[position] ^= 1;
        assert!(start(&own).1.handle(&altered).is_err(), "octet {position}");
    }
    for length in (0..response.len()).step_by(7) {
        assert!(start(&own).1.handle(&response[..length]).is_err());
    }
}

#[test]
fn versions_and_nonces_are_held_to_section_6_5_3() {
    let own = configurator(Curve::P256);
    let (request, _) = start(&own);
    let answer = |request: &[u8]| {
        device(Curve::P256)
            .answer(request, &status(), &entropy(2), now())
            .unwrap_err()
    };
    // Header 7, transaction 5, then the version's own head.
    let mut old = request.clone();
    old[7 + 5 + 4] = 1;
    assert_eq!(answer(&old), Refusal::ReconfigurationVersion.into());
    // hostap's faults 96 and 97.
    let mut none = request.clone();
    none.drain(7 + 5..7 + 5 + 5);
    let fault = crate::AttributeFault::Missing;
    let id = AttributeId::ProtocolVersion;
    assert_eq!(answer(&none), Error::Attribute { id, fault });
    let mut zero = request.clone();
    let length = zero.len();
    zero[length - 16..].fill(0);
    assert_eq!(answer(&zero), Refusal::NonceZero.into());
    let mut short = request;
    short.pop();
    assert!(matches!(answer(&short), Error::Malformed(_)));
    let frame = begin(FrameType::ReconfigurationAnnouncement);
    assert_eq!(answer(&frame), Refusal::Unexpected.into());
}

#[test]
fn a_configurator_that_gives_up_is_heard() {
    let own = configurator(Curve::P256);
    let (request, _) = start(&own);
    let (_, waiting) = device(Curve::P256)
        .answer(&request, &status(), &entropy(2), now())
        .unwrap();
    let mut confirm = begin(FrameType::ReconfigurationAuthenticationConfirm);
    put(
        &mut confirm,
        AttributeId::Status,
        &[Status::ConfigureFailure.number()],
    )
    .unwrap();
    assert_eq!(
        waiting.handle(&confirm).err(),
        Some(Error::Peer(Status::ConfigureFailure))
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), number in 15_u8..=17) {
        let mut frame = vec![9, 0x50, 0x6f, 0x9a, 0x1a, 1, number];
        frame.extend_from_slice(&bytes);
        let own = configurator(Curve::P256);
        let (request, waiting) = start(&own);
        prop_assert!(waiting.handle(&frame).is_err());
        let answer = |frame: &[u8]| {
            device(Curve::P256).answer(frame, &status(), &entropy(2), now())
        };
        prop_assert!(answer(&frame).is_err());
        let (_, waiting) = answer(&request).unwrap();
        prop_assert!(waiting.handle(&frame).is_err());
    }
}
