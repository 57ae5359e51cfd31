//! Authentication messages that are forged by one who holds the right keys, and changed by one who
//! does not: each is refused for its named reason.

use vouchsafe_dpp::attribute::AttributeId as Id;
use vouchsafe_dpp::authentication::{
    AuthenticationRequest, Initiator, InitiatorParameters, Progress, Responder, Role, Roles,
};
use vouchsafe_dpp::frame::{Frame, FrameType};
use vouchsafe_dpp::wrap::wrap;
use vouchsafe_dpp::{
    Agreement, BootstrappingKey, BootstrappingPublicKey, Curve, Error, Point, Refusal, Status,
};
use vouchsafe_trust::Secret;

use crate::world::{Parts, World, done, encode, entropy, key, protocol_key, public, reason};

const CURVES: [Curve; 2] = [Curve::P256, Curve::Bp384];

fn request_parts(world: World) -> Parts {
    Parts::open(&world.request(), &world.secrets().k1)
}

fn response_parts(world: World) -> Parts {
    Parts::open(&world.response(), &world.secrets().k2)
}

fn confirm_parts(world: World) -> Parts {
    Parts::open(&world.confirm(), &world.secrets().ke)
}

fn request_refused(world: World, frame: &[u8]) -> &'static str {
    reason(world.accept(frame))
}

fn response_refused(world: World, frame: &[u8]) -> &'static str {
    reason(world.initiator().handle(frame))
}

fn confirm_refused(world: World, frame: &[u8]) -> &'static str {
    reason(world.responder().handle(frame))
}

#[test]
fn a_message_sealed_again_unchanged_is_the_message() {
    for mutual in [false, true] {
        let world = World::new(Curve::P256, mutual);
        assert_eq!(request_parts(world).seal(), world.request());
        assert_eq!(response_parts(world).seal(), world.response());
        assert_eq!(confirm_parts(world).seal(), world.confirm());
    }
}

/// §6.3.2, §6.3.3, §6.3.4: each message has its required attributes.
#[test]
fn every_required_attribute_is_missed() {
    for curve in CURVES {
        let world = World::new(curve, true);
        let request = request_parts(world);
        for id in [
            Id::ResponderBootstrappingKeyHash,
            Id::InitiatorBootstrappingKeyHash,
            Id::InitiatorProtocolKey,
        ] {
            let error = world
                .accept(&request.clone().without(id).seal())
                .unwrap_err();
            assert_missing(&error, id);
        }
        for id in [Id::InitiatorNonce, Id::InitiatorCapabilities] {
            let error = world
                .accept(&request.clone().without_inner(id).seal())
                .unwrap_err();
            assert_missing(&error, id);
        }
        let response = response_parts(world);
        for id in [
            Id::Status,
            Id::ResponderBootstrappingKeyHash,
            Id::ResponderProtocolKey,
        ] {
            let forged = response.clone().without(id).seal();
            assert_missing(&world.initiator().handle(&forged).unwrap_err(), id);
        }
        for id in [
            Id::ResponderNonce,
            Id::InitiatorNonce,
            Id::ResponderCapabilities,
            Id::WrappedData,
        ] {
            let forged = response.clone().without_inner(id).seal();
            assert_missing(&world.initiator().handle(&forged).unwrap_err(), id);
        }
        let confirm = confirm_parts(world);
        for id in [
            Id::Status,
            Id::ResponderBootstrappingKeyHash,
            Id::InitiatorBootstrappingKeyHash,
        ] {
            let forged = confirm.clone().without(id).seal();
            assert_missing(&world.responder().handle(&forged).unwrap_err(), id);
        }
        let id = Id::InitiatorAuthenticatingTag;
        let forged = confirm.without_inner(id).seal();
        assert_missing(&world.responder().handle(&forged).unwrap_err(), id);
    }
}

fn assert_missing(error: &Error, id: Id) {
    let fault = vouchsafe_dpp::AttributeFault::Missing;
    assert_eq!(error, &Error::Attribute { id, fault });
    assert_eq!(error.reply(), None);
}

#[test]
fn every_attribute_has_its_length() {
    let world = World::new(Curve::P256, true);
    for wrong in [0, 1, 31, 33, 63, 65] {
        let value = vec![7; wrong];
        let request = request_parts(world);
        for id in [
            Id::ResponderBootstrappingKeyHash,
            Id::InitiatorBootstrappingKeyHash,
            Id::Channel,
        ] {
            let forged = request.clone().set(id, &value).seal();
            assert_eq!(
                request_refused(world, &forged),
                "attribute-length",
                "{id} {wrong}"
            );
        }
        let forged = request.clone().set(Id::InitiatorProtocolKey, &value).seal();
        assert_eq!(request_refused(world, &forged), "point-length");
        let forged = request.clone().set_inner(Id::InitiatorNonce, &value).seal();
        assert_eq!(request_refused(world, &forged), "attribute-length");
        let response = response_parts(world);
        for id in [
            Id::ResponderBootstrappingKeyHash,
            Id::InitiatorBootstrappingKeyHash,
        ] {
            let forged = response.clone().set(id, &value).seal();
            assert_eq!(response_refused(world, &forged), "attribute-length");
        }
        let forged = response
            .clone()
            .set(Id::ResponderProtocolKey, &value)
            .seal();
        assert_eq!(response_refused(world, &forged), "point-length");
        let forged = response
            .clone()
            .set_inner(Id::ResponderNonce, &value)
            .seal();
        assert_eq!(response_refused(world, &forged), "attribute-length");
        let confirm = confirm_parts(world);
        let tag = Id::InitiatorAuthenticatingTag;
        assert_eq!(
            confirm_refused(world, &confirm.set_inner(tag, &value).seal()),
            "attribute-length"
        );
    }
    for value in [vec![], vec![2, 0]] {
        let forged = request_parts(world).set(Id::ProtocolVersion, &value).seal();
        assert_eq!(request_refused(world, &forged), "attribute-length");
        let forged = request_parts(world)
            .set_inner(Id::InitiatorCapabilities, &value)
            .seal();
        assert_eq!(request_refused(world, &forged), "attribute-length");
        let forged = response_parts(world).set(Id::Status, &value).seal();
        assert_eq!(response_refused(world, &forged), "attribute-length");
        let forged = response_parts(world)
            .set(Id::ProtocolVersion, &value)
            .seal();
        assert_eq!(response_refused(world, &forged), "attribute-length");
        let forged = response_parts(world)
            .set_inner(Id::ResponderCapabilities, &value)
            .seal();
        assert_eq!(response_refused(world, &forged), "attribute-length");
        let forged = confirm_parts(world).set(Id::Status, &value).seal();
        assert_eq!(confirm_refused(world, &forged), "attribute-length");
    }
}

/// §8.1: nothing protects what follows the wrapped data.
#[test]
fn an_attribute_after_the_wrapped_data_is_refused() {
    let world = World::new(Curve::P256, true);
    let status = [0x00, 0x10, 1, 0, 0];
    let mut parts = [
        request_parts(world),
        response_parts(world),
        confirm_parts(world),
    ];
    for parts in &mut parts {
        parts.behind = status.to_vec();
    }
    let [request, response, confirm] = parts.map(|parts| parts.seal());
    let expected = "attribute-after-wrapped-data";
    assert_eq!(request_refused(world, &request), expected);
    assert_eq!(response_refused(world, &response), expected);
    assert_eq!(confirm_refused(world, &confirm), expected);
    // Inside the wrapped part too: the responder's tag is wrapped once more and comes last.
    let mut parts = response_parts(world);
    parts.inner.push((0x1000, vec![0]));
    assert_eq!(response_refused(world, &parts.seal()), expected);
}

#[test]
fn an_attribute_given_twice_is_refused() {
    let world = World::new(Curve::P256, true);
    for place in 0..request_parts(world).clear.len() {
        let mut parts = request_parts(world);
        parts.clear.push(parts.clear[place].clone());
        assert_eq!(request_refused(world, &parts.seal()), "attribute-duplicate");
    }
    for place in 0..response_parts(world).inner.len() - 1 {
        let mut parts = response_parts(world);
        parts.inner.insert(0, parts.inner[place].clone());
        assert_eq!(
            response_refused(world, &parts.seal()),
            "attribute-duplicate"
        );
    }
}

/// §8.1: what is not known is skipped, so that later versions can add to it.
#[test]
fn an_unknown_attribute_is_skipped_and_protected_all_the_same() {
    let world = World::new(Curve::P256, false);
    let mut parts = request_parts(world);
    parts.clear.push((0x1fff, vec![1, 2, 3]));
    parts.inner.push((0x1ffe, vec![]));
    let mut frame = parts.seal();
    world.accept(&frame).unwrap();
    let place = frame
        .windows(3)
        .position(|window| window == [1, 2, 3])
        .unwrap();
    frame[place] ^= 1;
    assert_eq!(request_refused(world, &frame), "unwrap-failed");
}

#[test]
fn hashes_of_other_keys_are_refused() {
    let world = World::new(Curve::P256, true);
    let other = *public(&key(Curve::P256, 99)).hash();
    let forged = request_parts(world)
        .set(Id::ResponderBootstrappingKeyHash, &other)
        .seal();
    assert_eq!(request_refused(world, &forged), "responder-hash-mismatch");
    let forged = response_parts(world)
        .set(Id::ResponderBootstrappingKeyHash, &other)
        .seal();
    assert_eq!(response_refused(world, &forged), "responder-hash-mismatch");
    let forged = response_parts(world)
        .set(Id::InitiatorBootstrappingKeyHash, &other)
        .seal();
    assert_eq!(response_refused(world, &forged), "initiator-hash-mismatch");
    let forged = confirm_parts(world)
        .set(Id::ResponderBootstrappingKeyHash, &other)
        .seal();
    assert_eq!(confirm_refused(world, &forged), "responder-hash-mismatch");
    let forged = confirm_parts(world)
        .set(Id::InitiatorBootstrappingKeyHash, &other)
        .seal();
    assert_eq!(confirm_refused(world, &forged), "initiator-hash-mismatch");
    // Without mutual authentication the initiator's hash has no place in the confirm.
    let alone = World::new(Curve::P256, false);
    let own = *public(&world.initiator_key()).hash();
    let forged = confirm_parts(alone)
        .set(Id::InitiatorBootstrappingKeyHash, &own)
        .seal();
    assert_eq!(confirm_refused(alone, &forged), "initiator-hash-mismatch");
    // The key that the caller brings must be the one named.
    let accepted = world.accept(&world.request()).unwrap();
    let stranger = key(Curve::P256, 98);
    let result = accepted.respond(&world.responder_key(), Some(public(&stranger)), &entropy(1));
    assert_eq!(reason(result), "initiator-hash-mismatch");
}

/// §3.2.3: every received point is checked to be on the curve of the exchange.
#[test]
fn protocol_keys_off_the_curve_and_of_other_curves_are_refused() {
    for curve in CURVES {
        let world = World::new(curve, false);
        let mut off = protocol_key(curve, 3).public().raw_xy().to_vec();
        off[0] ^= 1;
        let forged = request_parts(world)
            .set(Id::InitiatorProtocolKey, &off)
            .seal();
        assert_eq!(request_refused(world, &forged), "point-off-curve");
        let forged = response_parts(world)
            .set(Id::ResponderProtocolKey, &off)
            .seal();
        assert_eq!(response_refused(world, &forged), "point-off-curve");
    }
    // P-256 and BP-256 have points of one length.
    let world = World::new(Curve::P256, false);
    let brainpool = protocol_key(Curve::Bp256, 3);
    let point = brainpool.public().raw_xy();
    let forged = request_parts(world)
        .set(Id::InitiatorProtocolKey, point)
        .seal();
    assert_eq!(request_refused(world, &forged), "point-off-curve");
    let longer = protocol_key(Curve::P384, 3);
    let forged = request_parts(world)
        .set(Id::InitiatorProtocolKey, longer.public().raw_xy())
        .seal();
    assert_eq!(request_refused(world, &forged), "point-length");
}

#[test]
fn a_request_under_another_key_does_not_open() {
    let world = World::new(Curve::P256, false);
    // A stranger who knows the hash, from the air, but not the key.
    let forged = request_parts(world).with_key(&[9; 32]).seal();
    assert_eq!(request_refused(world, &forged), "unwrap-failed");
    let own = key(Curve::P256, 50);
    let request = AuthenticationRequest::read(&world.request()).unwrap();
    let roles = Roles::Only(Role::Configurator);
    let result = Responder::accept(&request, &own, roles, 3);
    assert_eq!(reason(result), "responder-hash-mismatch");
}

/// §8.1.1.22, and nobody in between can lower a version: both attributes are under the tags.
#[test]
fn a_version_is_never_zero_and_never_lowered_by_a_third_party() {
    let world = World::new(Curve::P256, false);
    let forged = request_parts(world).set(Id::ProtocolVersion, &[0]).seal();
    assert_eq!(request_refused(world, &forged), "version-zero");
    let forged = response_parts(world).set(Id::ProtocolVersion, &[0]).seal();
    assert_eq!(response_refused(world, &forged), "version-zero");
    for (frame, place) in [(world.request(), 3), (world.response(), 3)] {
        let marker = [0x19, 0x10, 1, 0, place];
        let position = frame
            .windows(5)
            .position(|window| window == marker)
            .unwrap();
        let mut lowered = frame.clone();
        lowered[position + 4] = 1;
        let removed = [&frame[..position], &frame[position + 5..]].concat();
        for changed in [lowered, removed] {
            let refused = match Frame::read(&changed).unwrap().frame_type() {
                FrameType::AuthenticationRequest => request_refused(world, &changed),
                _ => response_refused(world, &changed),
            };
            assert_eq!(refused, "unwrap-failed");
        }
    }
    // A later version than ours is spoken down to ours.
    let forged = request_parts(world).set(Id::ProtocolVersion, &[200]).seal();
    assert_eq!(world.accept(&forged).unwrap().version(), 3);
}

#[test]
fn capabilities_without_a_role_are_refused() {
    let world = World::new(Curve::P256, false);
    for capabilities in [0, 4, 0xfc] {
        let forged = request_parts(world)
            .set_inner(Id::InitiatorCapabilities, &[capabilities])
            .seal();
        assert_eq!(request_refused(world, &forged), "capabilities-invalid");
        let forged = response_parts(world)
            .set_inner(Id::ResponderCapabilities, &[capabilities])
            .seal();
        assert_eq!(response_refused(world, &forged), "capabilities-invalid");
    }
    // The reserved bits mean nothing.
    let forged = request_parts(world)
        .set_inner(Id::InitiatorCapabilities, &[0xfd])
        .seal();
    world.accept(&forged).unwrap();
}

/// §6.3.3: two of one role; the responder says so in a response that only the initiator can read.
#[test]
fn a_request_that_leaves_no_role_is_answered_with_that() {
    let world = World::new(Curve::P256, false);
    let only = Roles::Only;
    for role in [Role::Enrollee, Role::Configurator] {
        let (request, waiting) = world.start_as(only(role)).unwrap();
        let error = world.accept_as(&request, only(role)).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::RoleMismatch));
        let reply = error.reply().unwrap();
        let told = waiting.handle(reply).unwrap_err();
        assert_eq!(told, Error::Peer(Status::NotCompatible));
        assert_eq!(told.reply(), None);
    }
}

/// §6.3.4: the initiator tells a responder of the wrong role, and the responder believes it.
#[test]
fn a_response_of_the_wrong_role_is_answered_with_that() {
    for mutual in [false, true] {
        let world = World::new(Curve::P256, mutual);
        for capabilities in [1, 3] {
            let forged = response_parts(world)
                .set_inner(Id::ResponderCapabilities, &[capabilities])
                .seal();
            let error = world.initiator().handle(&forged).unwrap_err();
            assert_eq!(error.refusal(), Some(Refusal::RoleMismatch));
            let told = world
                .responder()
                .handle(error.reply().unwrap())
                .unwrap_err();
            assert_eq!(told, Error::Peer(Status::NotCompatible));
        }
    }
}

/// §6.3.4: a wrong tag is answered with authentication failure.
#[test]
fn a_wrong_responder_tag_is_answered_with_failure() {
    for curve in CURVES {
        for mutual in [false, true] {
            let world = World::new(curve, mutual);
            let id = Id::ResponderAuthenticatingTag.number();
            let tag = encode(&[(id, vec![5; curve.hash_length()])]);
            let ke = world.secrets().ke;
            let wrapped = wrap(ke.expose(), &[], &tag).unwrap();
            let forged = response_parts(world)
                .set_inner(Id::WrappedData, &wrapped)
                .seal();
            let error = world.initiator().handle(&forged).unwrap_err();
            assert_eq!(error.refusal(), Some(Refusal::ResponderTag));
            let told = world
                .responder()
                .handle(error.reply().unwrap())
                .unwrap_err();
            assert_eq!(told, Error::Peer(Status::AuthenticationFailure));
            // A tag under another key does not even open.
            let wrapped = wrap(&vec![1; ke.len()], &[], &tag).unwrap();
            let forged = response_parts(world)
                .set_inner(Id::WrappedData, &wrapped)
                .seal();
            assert_eq!(response_refused(world, &forged), "unwrap-failed");
        }
    }
}

#[test]
fn a_wrong_initiator_tag_is_refused() {
    let world = World::new(Curve::P256, true);
    let mut tag = confirm_parts(world).inner_value(Id::InitiatorAuthenticatingTag);
    tag[0] ^= 1;
    let forged = confirm_parts(world)
        .set_inner(Id::InitiatorAuthenticatingTag, &tag)
        .seal();
    assert_eq!(confirm_refused(world, &forged), "initiator-tag-mismatch");
}

#[test]
fn nonces_of_zeros_of_others_and_our_own_are_refused() {
    let world = World::new(Curve::P256, false);
    let zero = [0; 16];
    let forged = request_parts(world)
        .set_inner(Id::InitiatorNonce, &zero)
        .seal();
    assert_eq!(request_refused(world, &forged), "nonce-zero");
    let forged = response_parts(world)
        .set_inner(Id::ResponderNonce, &zero)
        .seal();
    assert_eq!(response_refused(world, &forged), "nonce-zero");
    let forged = response_parts(world)
        .set_inner(Id::InitiatorNonce, &[8; 16])
        .seal();
    assert_eq!(response_refused(world, &forged), "nonce-mismatch");
    let ours = response_parts(world).inner_value(Id::InitiatorNonce);
    let forged = response_parts(world)
        .set_inner(Id::ResponderNonce, &ours)
        .seal();
    assert_eq!(response_refused(world, &forged), "reflected");
    assert_eq!(
        reason(world.respond_with_zero_nonce()),
        "entropy-short",
        "our own nonce must have been drawn"
    );
}

impl World {
    fn respond_with_zero_nonce(self) -> Result<(), Error> {
        let accepted = self.accept(&self.request())?;
        let entropy = crate::world::entropy_for(&[7; 32], &[]);
        accepted
            .respond(&self.responder_key(), None, &entropy)
            .map(|_| ())
    }
}

/// One who sends our own messages or keys back proves nothing.
#[test]
fn our_own_messages_come_back_in_vain() {
    let world = World::new(Curve::P256, true);
    assert_eq!(
        response_refused(world, &world.request()),
        "message-unexpected"
    );
    assert_eq!(
        confirm_refused(world, &world.response()),
        "message-unexpected"
    );
    let own = world.initiator_protocol_key();
    let forged = response_parts(world)
        .set(Id::ResponderProtocolKey, own.public().raw_xy())
        .seal();
    assert_eq!(response_refused(world, &forged), "reflected");
    let responder = world.responder_key();
    let point = responder.public_key().point().raw_xy().to_vec();
    let forged = request_parts(world)
        .set(Id::InitiatorProtocolKey, &point)
        .seal();
    assert_eq!(request_refused(world, &forged), "reflected");
}

#[test]
fn messages_out_of_order_are_refused() {
    let world = World::new(Curve::P256, false);
    let frames = [
        world.request(),
        world.response(),
        world.confirm(),
        world.configured().result(Status::Ok).unwrap(),
    ];
    for (place, frame) in frames.iter().enumerate() {
        if place != 0 {
            assert_eq!(request_refused(world, frame), "message-unexpected");
        }
        if place != 1 {
            assert_eq!(response_refused(world, frame), "message-unexpected");
        }
        if place != 2 {
            assert_eq!(confirm_refused(world, frame), "message-unexpected");
        }
    }
}

/// A confirm of one run does not end another one, even between the same two keys.
#[test]
fn a_replayed_confirm_and_a_replayed_response_are_refused() {
    let world = World::new(Curve::P256, false);
    let accepted = world.accept(&world.request()).unwrap();
    let (_, other) = accepted
        .respond(&world.responder_key(), None, &entropy(77))
        .unwrap();
    assert_eq!(reason(other.handle(&world.confirm())), "unwrap-failed");
    let responder_key = world.responder_key();
    let parameters = InitiatorParameters {
        own: None,
        peer: responder_key.public_key(),
        roles: Roles::Only(Role::Enrollee),
        version: 3,
        channel: None,
        require_mutual: false,
    };
    let (_, other) = Initiator::start(parameters, &entropy(78)).unwrap();
    assert_eq!(reason(other.handle(&world.response())), "unwrap-failed");
}

#[test]
fn statuses_without_meaning_in_the_message_are_refused() {
    let world = World::new(Curve::P256, false);
    for number in (3..=5).chain(7..=255) {
        let forged = response_parts(world).set(Id::Status, &[number]).seal();
        assert_eq!(
            response_refused(world, &forged),
            "status-unknown",
            "{number}"
        );
    }
    for number in 3..=255 {
        let forged = confirm_parts(world).set(Id::Status, &[number]).seal();
        assert_eq!(
            confirm_refused(world, &forged),
            "status-unknown",
            "{number}"
        );
    }
    // A status that gives up is believed only under the key that shows who says it.
    let forged = confirm_parts(world).set(Id::Status, &[2]).seal();
    assert_eq!(confirm_refused(world, &forged), "unwrap-failed");
    let k2 = world.secrets().k2;
    let forged = confirm_parts(world)
        .set(Id::Status, &[2])
        .with_key(k2.expose());
    assert_eq!(confirm_refused(world, &forged.seal()), "attribute-missing");
    let forged = forged.set_inner(Id::ResponderNonce, &[1; 16]).seal();
    assert_eq!(confirm_refused(world, &forged), "nonce-mismatch");
    let forged = response_parts(world).set(Id::Status, &[1]).seal();
    assert_eq!(response_refused(world, &forged), "unwrap-failed");
}

#[test]
fn a_pending_response_of_another_run_is_refused() {
    let world = World::new(Curve::P256, true);
    let pending = world.accept(&world.request()).unwrap().pending().unwrap();
    let k1 = world.secrets().k1;
    let parts = Parts::open(&pending, &k1);
    let forged = parts.clone().set_inner(Id::InitiatorNonce, &[1; 16]).seal();
    assert_eq!(response_refused(world, &forged), "nonce-mismatch");
    let forged = parts.without_inner(Id::InitiatorNonce).seal();
    assert_eq!(response_refused(world, &forged), "attribute-missing");
    assert!(matches!(
        world.initiator().handle(&pending).unwrap(),
        Progress::Pending(_)
    ));
}

/// §6.3.3: mutual authentication is neither claimed nor left out against the initiator's will.
#[test]
fn mutual_authentication_is_what_the_initiator_asked_for() {
    let world = World::new(Curve::P256, true);
    let accepted = world.accept(&world.request()).unwrap();
    let (response, _) = accepted
        .respond(&world.responder_key(), None, &entropy(22))
        .unwrap();
    assert_eq!(response_refused(world, &response), "mutual-required");
    // Without the requirement the same response is taken, and is not mutual.
    let alone = World::new(Curve::P256, false);
    let (_, authenticated) = done(alone.initiator().handle(&response).unwrap());
    assert!(!authenticated.mutual());
    // A responder cannot make it look mutual by naming the initiator's key.
    let own = *public(&world.initiator_key()).hash();
    let forged = response_parts(alone)
        .set(Id::InitiatorBootstrappingKeyHash, &own)
        .seal();
    assert_eq!(response_refused(alone, &forged), "unwrap-failed");
    // Nor name a key that the initiator does not have.
    let responder_key = world.responder_key();
    let parameters = InitiatorParameters {
        own: None,
        peer: responder_key.public_key(),
        roles: Roles::Only(Role::Enrollee),
        version: 3,
        channel: None,
        require_mutual: false,
    };
    let (request, waiting) = Initiator::start(parameters, &entropy(11)).unwrap();
    let made_up = Frame::read(&request).unwrap();
    let made_up = made_up
        .attributes()
        .find(Id::InitiatorBootstrappingKeyHash)
        .unwrap();
    let forged = response_parts(alone)
        .set(Id::InitiatorBootstrappingKeyHash, made_up)
        .seal();
    assert_eq!(reason(waiting.handle(&forged)), "mutual-without-key");
}

/// Who has the responder's URI but not its private key gets nowhere; who claims another's key neither.
#[test]
fn whoever_does_not_hold_the_named_key_fails() {
    let world = World::new(Curve::P256, true);
    // The initiator names a key that it does not hold: it computes another L.
    let accepted = world.accept(&world.request()).unwrap();
    let (response, _) = world.respond(accepted).unwrap();
    let impostor = Impostor(world);
    let (_, waiting) = impostor.start();
    let error = waiting.handle(&response).unwrap_err();
    assert_eq!(error.reason_code(), "unwrap-failed");
}

struct Impostor(World);

impl Impostor {
    /// Names the initiator's key with its public half, and agrees with a key of its own.
    fn start(&self) -> (Vec<u8>, Initiator) {
        struct Claimed {
            public: BootstrappingPublicKey,
            held: BootstrappingKey,
        }
        impl Agreement for Claimed {
            fn public_key(&self) -> &BootstrappingPublicKey {
                &self.public
            }
            fn agree_x(&self, peer: &Point) -> Result<Secret, Error> {
                self.held.agree_x(peer)
            }
        }
        let claimed = Claimed {
            public: public(&self.0.initiator_key()).clone(),
            held: key(Curve::P256, 60),
        };
        let responder = self.0.responder_key();
        let parameters = InitiatorParameters {
            own: Some(std::sync::Arc::new(claimed)),
            peer: responder.public_key(),
            roles: Roles::Only(Role::Enrollee),
            version: 3,
            channel: None,
            require_mutual: true,
        };
        Initiator::start(parameters, &entropy(11)).unwrap()
    }
}
