//! Both ends are ours: every curve, role, version and turn that an exchange may take.

use std::sync::Arc;

use vouchsafe_dpp::authentication::{
    AuthenticationRequest, Initiator, InitiatorParameters, Progress, Role, Roles,
};
use vouchsafe_dpp::configuration::{
    Answer, COMEBACK_DELAY, ConfiguratorSide, ConnectionStatus, EnrolleeSide, Outcome, Reaction,
};
use vouchsafe_dpp::object::{NetRole, RequestObject};
use vouchsafe_dpp::{Agreement, Curve, Status};

use crate::world::{World, configured, done, entropy, objects, public, reason};

#[test]
fn every_curve_configures_with_and_without_mutual_authentication() {
    for curve in Curve::AVAILABLE {
        for mutual in [false, true] {
            let world = World::new(curve, mutual);
            let (confirm, enrollee) = world.authenticated();
            let configurator = world.responder().handle(&confirm).unwrap();
            assert_eq!(enrollee.mutual(), mutual);
            assert_eq!(configurator.mutual(), mutual);
            assert_eq!(enrollee.role(), Role::Enrollee);
            assert_eq!(configurator.role(), Role::Configurator);
            assert_eq!(
                enrollee.own_protocol_key().public(),
                configurator.peer_protocol_key()
            );
            assert_eq!(
                configurator.own_protocol_key().public(),
                enrollee.peer_protocol_key()
            );
            assert_eq!(
                enrollee.challenge_password().expose(),
                configurator.challenge_password().expose()
            );
            assert_eq!(enrollee.challenge_password().len(), 64);

            let (frame, answered) = world.answered();
            assert!(answered.expects_more());
            let configured = configured(world.configuration_request().1.handle(&frame).unwrap());
            assert_eq!(configured.objects()[0].ssid.text(), Some("network-0"));
            assert!(configured.result_wanted() && !configured.connection_status_wanted());
            let result = configured.result(Status::ConfigurationRejected).unwrap();
            match answered.handle(&result).unwrap() {
                Reaction::Result { status, next } => {
                    assert_eq!(status, Status::ConfigurationRejected);
                    assert!(next.is_none());
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn the_roles_are_settled_as_each_side_leaves_them() {
    let world = World::new(Curve::P256, false);
    let only = Roles::Only;
    let cases = [
        (
            only(Role::Enrollee),
            only(Role::Configurator),
            Role::Enrollee,
        ),
        (
            only(Role::Configurator),
            only(Role::Enrollee),
            Role::Configurator,
        ),
        (Roles::Either, only(Role::Configurator), Role::Enrollee),
        (Roles::Either, only(Role::Enrollee), Role::Configurator),
        (only(Role::Enrollee), Roles::Either, Role::Enrollee),
        (only(Role::Configurator), Roles::Either, Role::Configurator),
        (Roles::Either, Roles::Either, Role::Configurator),
    ];
    for (initiator_roles, responder_roles, expected) in cases {
        let (request, waiting) = world.start_as(initiator_roles).unwrap();
        let accepted = world.accept_as(&request, responder_roles).unwrap();
        assert_eq!(accepted.role(), expected.opposite());
        let (response, responder) = world.respond(accepted).unwrap();
        let (confirm, initiator) = done(waiting.handle(&response).unwrap());
        assert_eq!(initiator.role(), expected);
        assert_eq!(
            responder.handle(&confirm).unwrap().role(),
            expected.opposite()
        );
    }
}

#[test]
fn the_lower_version_counts() {
    for initiator_version in 1..=3 {
        for responder_version in 1..=3 {
            let world = World {
                initiator_version,
                responder_version,
                ..World::new(Curve::P256, false)
            };
            let (confirm, initiator) = world.authenticated();
            let responder = world.responder().handle(&confirm).unwrap();
            let lower = initiator_version.min(responder_version);
            assert_eq!((initiator.version(), responder.version()), (lower, lower));
        }
    }
}

/// To version 1 nothing is said that it does not know: one network, no result (§8.1.1.22).
#[test]
fn a_peer_of_version_1_hears_only_what_version_1_knows() {
    let world = World {
        initiator_version: 1,
        ..World::new(Curve::P256, false)
    };
    let request = AuthenticationRequest::read(&world.request()).unwrap();
    assert_eq!(request.version(), 1);
    let (_, answered) = world.answered_with(objects(2));
    assert!(!answered.expects_more());
    let configured = world.configured_with(objects(2));
    assert_eq!(configured.objects().len(), 1);
    assert!(!configured.result_wanted());
}

#[test]
fn a_responder_may_ask_for_time_more_than_once() {
    let world = World::new(Curve::P256, true);
    let (request, mut waiting) = world.start();
    let accepted = world.accept(&request).unwrap();
    assert_eq!(
        accepted.initiator_hash(),
        public(&world.initiator_key()).hash()
    );
    for _ in 0..3 {
        let pending = accepted.pending().unwrap();
        waiting = match waiting.handle(&pending).unwrap() {
            Progress::Pending(waiting) => waiting,
            Progress::Done { .. } => panic!("done"),
        };
    }
    let (response, responder) = world.respond(accepted).unwrap();
    let (confirm, authenticated) = done(waiting.handle(&response).unwrap());
    assert!(authenticated.mutual());
    assert!(responder.handle(&confirm).unwrap().mutual());
}

#[test]
fn an_initiator_without_a_key_of_its_own_is_served() {
    let world = World::new(Curve::P256, false);
    let responder_key = world.responder_key();
    let parameters = InitiatorParameters {
        own: None,
        peer: responder_key.public_key(),
        roles: Roles::Only(Role::Enrollee),
        version: 3,
        channel: Some([81, 6]),
        require_mutual: false,
    };
    let (request, waiting) = Initiator::start(parameters, &entropy(5)).unwrap();
    let read = AuthenticationRequest::read(&request).unwrap();
    assert_eq!(read.channel(), Some([81, 6]));
    assert_ne!(read.initiator_hash(), &[0; 32]);
    let (response, responder) = world.respond(world.accept(&request).unwrap()).unwrap();
    let (confirm, authenticated) = done(waiting.handle(&response).unwrap());
    assert!(!authenticated.mutual());
    responder.handle(&confirm).unwrap();
}

#[test]
fn an_enrollee_comes_back_until_somebody_has_decided() {
    let world = World::new(Curve::P256, false);
    let mut requested = world.requested();
    let mut answer = requested.later(COMEBACK_DELAY).unwrap();
    let mut waiting = world.configuration_request().1;
    let mut comeback = Vec::new();
    for round in 0..4 {
        match waiting.handle(&answer).unwrap() {
            Outcome::ComeBack {
                delay,
                frame,
                waiting: next,
            } => {
                assert_eq!(delay, COMEBACK_DELAY);
                waiting = next;
                comeback = frame;
            }
            other => panic!("{other:?}"),
        }
        if round < 3 {
            answer = requested
                .handle_comeback(&comeback, COMEBACK_DELAY)
                .unwrap();
        }
    }
    let (frame, answered) = requested.respond(objects(2)).unwrap();
    assert!(frame.is_none() && !answered.is_fetched());
    let Reaction::Send(frame, answered) = answered.handle(&comeback).unwrap() else {
        panic!("nothing to send");
    };
    assert!(answered.is_fetched());
    let configured = configured(waiting.handle(&frame).unwrap());
    assert_eq!(configured.objects().len(), 2);
    let result = configured.result(Status::Ok).unwrap();
    assert!(matches!(
        answered.handle(&result).unwrap(),
        Reaction::Result {
            status: Status::Ok,
            next: None
        }
    ));
}

/// On the air an answer longer than a frame is fetched in pieces.
#[test]
fn a_long_answer_arrives_in_pieces_on_the_air() {
    let world = World::new(Curve::P256, false);
    let (request, mut waiting) = world.configuration_request();
    let requested = world
        .configurator()
        .on_the_air()
        .handle_request(&request)
        .unwrap();
    let (frame, mut answered) = requested.respond(objects(10)).unwrap();
    let mut frame = frame.unwrap();
    loop {
        assert!(frame.len() <= 1400);
        match waiting.handle(&frame).unwrap() {
            Outcome::ComeBack {
                frame: comeback,
                waiting: next,
                ..
            } => {
                waiting = next;
                let Reaction::Send(piece, next) = answered.handle(&comeback).unwrap() else {
                    panic!("no piece");
                };
                frame = piece;
                answered = next;
            }
            Outcome::Configured(configured) => {
                assert_eq!(configured.objects().len(), 10);
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_certificate_request_is_asked_for_and_comes_under_a_new_nonce() {
    let world = World::new(Curve::P384, false);
    let attributes = vec![
        0x30, 0x0b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7,
    ];
    let wanted = Answer::CertificateRequestNeeded(attributes.clone());
    let (frame, answered) = world.answered_with(wanted);
    assert_eq!(answered.status(), Status::CertificateRequestNeeded);
    assert!(answered.expects_more());
    let Outcome::CertificateRequestNeeded {
        attributes: read,
        side,
    } = world.configuration_request().1.handle(&frame).unwrap()
    else {
        panic!("not asked");
    };
    assert_eq!(read, attributes);
    let mut object = RequestObject::new("lamp", NetRole::Station);
    object.certificate_request = Some(vec![0x30, 0]);
    let (frame, waiting) = side.request(&object, &[44; 32]).unwrap();
    let Reaction::Requested(requested) = answered.handle(&frame).unwrap() else {
        panic!("no request");
    };
    assert_eq!(
        requested.object().certificate_request.as_deref(),
        Some([0x30, 0].as_slice())
    );
    let (frame, _) = requested.respond(objects(1)).unwrap();
    configured(waiting.handle(&frame.unwrap()).unwrap());
}

/// Version 3 only, and without a packaged peer: the netAccessKey on another curve (§6.4.2).
#[test]
fn a_new_protocol_key_on_another_curve_is_asked_for_and_proven() {
    for (curve, wanted) in [(Curve::P256, Curve::P521), (Curve::Bp384, Curve::P256)] {
        let world = World::new(curve, false);
        let answer = Answer::NewKeyNeeded(wanted, entropy(55));
        let (frame, answered) = world.answered_with(answer);
        let outcome = world.configuration_request().1.handle(&frame).unwrap();
        let Outcome::NewKeyNeeded(needed) = outcome else {
            panic!("not asked");
        };
        assert_eq!(needed.curve(), wanted);
        let side = needed.bring(&entropy(66)).unwrap();
        let object = RequestObject::new("lamp", NetRole::Station);
        let (frame, waiting) = side.request(&object, &[44; 32]).unwrap();
        let Reaction::Requested(requested) = answered.handle(&frame).unwrap() else {
            panic!("no request");
        };
        let key = requested.authenticated().peer_protocol_key().clone();
        assert_eq!(key.curve(), wanted);
        let (frame, _) = requested.respond(objects(1)).unwrap();
        let configured = configured(waiting.handle(&frame.unwrap()).unwrap());
        let own = configured.authenticated().own_protocol_key();
        assert_eq!(own.public(), &key);
        assert_eq!(configured.authenticated().curve(), curve);
    }
}

#[test]
fn an_enrollee_reports_how_joining_went() {
    let world = World::new(Curve::P256, false);
    let ask = || match objects(1) {
        Answer::Objects { objects, .. } => Answer::Objects {
            objects,
            send_connection_status: true,
        },
        other => other,
    };
    let (_, answered) = world.answered_with(ask());
    let configured = world.configured_with(ask());
    assert!(configured.connection_status_wanted());
    let result = configured.result(Status::Ok).unwrap();
    let Reaction::Result {
        next: Some(waiting),
        ..
    } = answered.handle(&result).unwrap()
    else {
        panic!("nothing awaited");
    };
    let status = ConnectionStatus {
        result: Status::NoAccessPoint,
        ssid: Some(b"network-0".to_vec()),
        channel_list: Some("81/1,6,11".to_owned()),
    };
    let frame = configured.connection_status(&status).unwrap();
    assert_eq!(waiting.handle(&frame).unwrap(), status);
}

#[test]
fn an_access_point_is_not_asked_how_joining_went() {
    let world = World::new(Curve::P256, false);
    let object = RequestObject::new("ap", NetRole::AccessPoint);
    let (frame, waiting) = world.enrollee().request(&object, &[33; 32]).unwrap();
    let requested = world.configurator().handle_request(&frame).unwrap();
    let Answer::Objects { objects, .. } = objects(1) else {
        panic!()
    };
    let answer = Answer::Objects {
        objects,
        send_connection_status: true,
    };
    let (frame, _) = requested.respond(answer).unwrap();
    let configured = configured(waiting.handle(&frame.unwrap()).unwrap());
    assert!(!configured.connection_status_wanted());
}

/// A configurator that dials the enrollee after its announcement.
#[test]
fn the_configurator_may_begin() {
    let world = World::new(Curve::Bp256, true);
    let (request, waiting) = world.start_as(Roles::Only(Role::Configurator)).unwrap();
    let accepted = world
        .accept_as(&request, Roles::Only(Role::Enrollee))
        .unwrap();
    let (response, responder) = world.respond(accepted).unwrap();
    let (confirm, configurator) = done(waiting.handle(&response).unwrap());
    let enrollee = responder.handle(&confirm).unwrap();
    let object = RequestObject::new("lamp", NetRole::Station);
    let enrollee = EnrolleeSide::new(enrollee).unwrap();
    let (frame, waiting) = enrollee.request(&object, &[1; 32]).unwrap();
    let configurator = ConfiguratorSide::new(configurator).unwrap();
    let requested = configurator.handle_request(&frame).unwrap();
    let (frame, _) = requested.respond(objects(1)).unwrap();
    configured(waiting.handle(&frame.unwrap()).unwrap());
}

#[test]
fn our_own_mistakes_are_refused() {
    let world = World::new(Curve::P256, false);
    let (_, enrollee) = world.authenticated();
    assert_eq!(reason(ConfiguratorSide::new(enrollee)), "role-misused");
    let configurator = world.responder().handle(&world.confirm()).unwrap();
    assert_eq!(reason(EnrolleeSide::new(configurator)), "role-misused");
    for version in [0, 4, 255] {
        let world = World {
            initiator_version: version,
            ..world
        };
        assert_eq!(reason(world.start_as(Roles::Either)), "own-version-invalid");
    }
    let nothing = Answer::Objects {
        objects: Vec::new(),
        send_connection_status: false,
    };
    assert_eq!(
        reason(world.requested().respond(nothing)),
        "own-objects-number"
    );
    assert_eq!(
        reason(world.requested().respond(objects(11))),
        "own-objects-number"
    );
    let ok = Answer::Refused(Status::Ok);
    assert_eq!(reason(world.requested().respond(ok)), "own-status-misused");
    let other = crate::world::key(Curve::P384, 4);
    let responder = world.responder_key();
    let parameters = InitiatorParameters {
        own: Some(Arc::new(other)),
        peer: responder.public_key(),
        roles: Roles::Either,
        version: 3,
        channel: None,
        require_mutual: false,
    };
    assert_eq!(
        reason(Initiator::start(parameters, &entropy(1))),
        "curve-mismatch"
    );
    let accepted = world.accept(&world.request()).unwrap();
    let wrong = world.initiator_key();
    assert_eq!(
        reason(accepted.respond(&wrong, None, &entropy(1))),
        "own-key-misused"
    );
    let two = World {
        initiator_version: 2,
        ..world
    };
    let new_key = Answer::NewKeyNeeded(Curve::P384, entropy(1));
    assert_eq!(
        reason(two.requested().respond(new_key)),
        "own-version-invalid"
    );
}
