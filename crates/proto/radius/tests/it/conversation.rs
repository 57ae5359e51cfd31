//! A station and the server, from the first identity to the keys.

use vouchsafe_radius::{
    Code, FragmentSize, Limits, Peer, Refusal, Resumption, SessionMemory, Version, Versions,
    attribute,
};

use crate::world::{Site, World, attempt, attempt_with, peer};

const BOTH: [(Versions, Version); 2] = [
    (Versions::Tls12, Version::Tls12),
    (Versions::Tls13, Version::Tls13),
];

/// RFC 5216 §2.1.1, RFC 9190 §2.1.1: identity, then handshake, then last words.
#[test]
fn a_device_comes_in_with_either_version() {
    let world = World::new();
    let device = world.device("17");
    for (versions, version) in BOTH {
        let mut site = world.site();
        let connector = world.connector(&device).with_versions(versions);
        let attempt = attempt(&mut site, connector);
        assert!(attempt.is_in(), "{attempt:?}");
        assert_eq!(attempt.requests, 4);
        assert_eq!(
            site.questions, 2,
            "asked after the handshake and at the end"
        );
        assert_eq!(site.server.conversations(), 0);
        let proof = attempt.peer.unwrap();
        assert_eq!(proof.version, version);
        assert_eq!(proof.keys.msk.len(), 64);
        assert_eq!(proof.keys.emsk.len(), 64);
        assert_eq!(proof.keys.session_id.len(), 65);
    }
}

/// RFC 3580 §3.31, §3.17; RFC 2865 §5.25, §5.33
#[test]
fn the_acceptance_carries_segment_time_limit_class_and_the_proxies_state_in_order() {
    let world = World::new();
    let device = world.device("17");
    let mut site = world.site();
    let attempt = attempt(&mut site, world.connector(&device));
    let packet = attempt.answer.unwrap().packet;
    assert_eq!(packet.code(), Code::AccessAccept);
    assert_eq!(packet.text(attribute::USER_NAME), Some("device-17"));
    assert_eq!(packet.integer(attribute::SESSION_TIMEOUT), Some(600));
    assert_eq!(packet.integer(attribute::TERMINATION_ACTION), Some(1));
    assert_eq!(packet.integer(attribute::TUNNEL_TYPE), Some(13));
    assert_eq!(packet.integer(attribute::TUNNEL_MEDIUM_TYPE), Some(6));
    assert_eq!(
        packet.text(attribute::TUNNEL_PRIVATE_GROUP_ID),
        Some("cameras")
    );
    assert_eq!(packet.text(attribute::CLASS), Some("session 9"));
    let first = packet.attributes().next().unwrap();
    assert_eq!(first.kind, attribute::MESSAGE_AUTHENTICATOR);
    let states: Vec<_> = packet
        .attributes()
        .filter(|attribute| attribute.kind == attribute::PROXY_STATE)
        .map(|attribute| attribute.value)
        .collect();
    assert_eq!(states, [b"one", b"two"]);
}

/// RFC 5216 §2.1.5
#[test]
fn flights_in_small_fragments_come_through_both_ways() {
    let world = World::new();
    let device = world.device("17");
    for (versions, _) in BOTH {
        let size = FragmentSize::new(100).unwrap();
        let limits = Limits {
            fragment: size,
            ..Limits::default()
        };
        let mut site = Site::with_limits(world.acceptor(), limits);
        let connector = world.connector(&device).with_versions(versions);
        let peer = Box::new(Peer::new(connector, "17", size));
        let attempt = attempt_with(&mut site, peer, |_, _| {});
        assert!(attempt.is_in(), "{attempt:?}");
        assert!(attempt.requests > 10, "{}", attempt.requests);
    }
}

/// RFC 9190 §2.1.2: where it is allowed, and the certificate is proved again.
#[test]
fn a_session_is_resumed_where_that_is_allowed() {
    let mut world = World::new();
    let device = world.device("17");
    for (versions, _) in BOTH {
        world.revoke(&[]);
        let memory = SessionMemory::new(16);
        let acceptor = |world: &World| {
            let remembered = Resumption::Remembered(memory.clone());
            world.acceptor().with_resumption(remembered)
        };
        let connector = world
            .connector(&device)
            .with_versions(versions)
            .with_resumption();
        let mut site = Site::new(acceptor(&world));
        let full = attempt(&mut site, connector.clone());
        assert!(full.is_in() && !site.resumed, "{full:?}");
        let resumed = attempt(&mut site, connector.clone());
        assert!(resumed.is_in() && site.resumed, "{resumed:?}");

        // Revoked in between: the memory is still there, and does not help.
        world.revoke(&[&device]);
        let mut site = Site::new(acceptor(&world));
        let refused = attempt(&mut site, connector);
        assert!(!refused.is_in());
        assert_eq!(
            refused.refused.unwrap().reason_code(),
            "certificate-revoked"
        );
    }
}

#[test]
fn a_session_is_not_resumed_where_that_is_forbidden() {
    let world = World::new();
    let device = world.device("17");
    for (versions, _) in BOTH {
        let mut site = world.site();
        let connector = world
            .connector(&device)
            .with_versions(versions)
            .with_resumption();
        for _ in 0..3 {
            assert!(attempt(&mut site, connector.clone()).is_in());
            assert!(!site.resumed);
        }
    }
}

/// The caller is asked twice: what changed in between counts.
#[test]
fn a_refusal_at_either_question_keeps_the_device_out() {
    let world = World::new();
    let device = world.device("17");
    for (versions, _) in BOTH {
        for question in [1, 2] {
            let mut site = world.site();
            site.refuse_at = Some(question);
            let connector = world.connector(&device).with_versions(versions);
            let attempt = attempt(&mut site, connector);
            assert!(!attempt.is_in());
            assert_eq!(attempt.answer.unwrap().code, Code::AccessReject);
            assert_eq!(attempt.peer.unwrap_err(), Refusal::FailureByServer.into());
        }
    }
}

#[test]
fn conversations_that_are_given_up_are_forgotten() {
    let world = World::new();
    let device = world.device("17");
    let limits = Limits {
        conversations: 3,
        ..Limits::default()
    };
    let mut site = Site::with_limits(world.acceptor(), limits);
    for _ in 0..5 {
        let stopped = attempt_with(
            &mut site,
            peer(world.connector(&device)),
            |round, packet| {
                if round == 1 {
                    // Another identifier than asked for: dropped, so the conversation stays open.
                    packet[1] ^= 0x55;
                }
            },
        );
        assert_eq!(
            stopped.refused,
            Some(Refusal::EapIdentifierUnexpected.into())
        );
    }
    assert_eq!(site.server.conversations(), 3, "no more than the limit");
    assert!(site.server.expire(site.now).is_some());
    assert_eq!(site.server.conversations(), 3);
    assert_eq!(site.server.expire(crate::world::later(31)), None);
    assert_eq!(site.server.conversations(), 0);
}
