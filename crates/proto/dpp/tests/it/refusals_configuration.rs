//! Configuration messages, forged under the right keys and changed without them.

use vouchsafe_dpp::attribute::AttributeId as Id;
use vouchsafe_dpp::configuration::{
    Answer, COMEBACK_DELAY, ConfiguratorSide, ConnectionStatus, Outcome, Reaction,
};
use vouchsafe_dpp::gas::GasMessage;
use vouchsafe_dpp::object::{NetRole, RequestObject};
use vouchsafe_dpp::{Agreement, Curve, Error, Status};

use crate::world::{Parts, World, done, entropy, objects, protocol_key, reason};

const WORLD: World = World {
    curve: Curve::P256,
    mutual: false,
    initiator_version: 3,
    responder_version: 3,
};

fn request_parts() -> Parts {
    Parts::open(&WORLD.configuration_request().0, &WORLD.secrets().ke)
}

fn response_parts(answer: Answer) -> Parts {
    Parts::open(&WORLD.answered_with(answer).0, &WORLD.secrets().ke)
}

fn result_parts() -> Parts {
    let result = WORLD.configured().result(Status::Ok).unwrap();
    Parts::open(&result, &WORLD.secrets().ke)
}

fn request_refused(frame: &[u8]) -> &'static str {
    reason(WORLD.configurator().handle_request(frame))
}

fn response_refused(frame: &[u8]) -> &'static str {
    reason(WORLD.configuration_request().1.handle(frame))
}

fn result_refused(frame: &[u8]) -> &'static str {
    reason(WORLD.answered().1.handle(frame))
}

#[test]
fn a_message_sealed_again_unchanged_is_the_message() {
    assert_eq!(request_parts().seal(), WORLD.configuration_request().0);
    assert_eq!(response_parts(objects(1)).seal(), WORLD.answered().0);
    assert_eq!(
        result_parts().seal(),
        WORLD.configured().result(Status::Ok).unwrap()
    );
}

/// §6.4.2.
#[test]
fn a_request_has_its_attributes() {
    for id in [Id::EnrolleeNonce, Id::ConfigurationRequestObject] {
        assert_eq!(
            request_refused(&request_parts().without_inner(id).seal()),
            "attribute-missing"
        );
    }
    for length in [0, 15, 17] {
        let forged = request_parts()
            .set_inner(Id::EnrolleeNonce, &vec![1; length])
            .seal();
        assert_eq!(request_refused(&forged), "attribute-length");
    }
    let id = Id::ConfigurationRequestObject;
    for (text, expected) in [
        ("", "json-malformed"),
        ("{", "json-malformed"),
        ("{}", "member-missing"),
        (
            r#"{"name":"x","wi-fi_tech":"knfra","netRole":"sta"}"#,
            "technology-unsupported",
        ),
        (
            r#"{"name":"x","wi-fi_tech":"infra","netRole":"sta","netRole":"ap"}"#,
            "json-duplicate-member",
        ),
    ] {
        let refused = request_refused(&request_parts().set_inner(id, text.as_bytes()).seal());
        if expected != "technology-unsupported" {
            assert_eq!(refused, expected, "{text}");
        } else {
            assert_ne!(refused, "accepted", "{text}");
        }
    }
}

#[test]
fn a_request_under_another_key_or_changed_does_not_open() {
    let forged = request_parts().with_key(&[1; 32]).seal();
    assert_eq!(request_refused(&forged), "unwrap-failed");
    let mut changed = WORLD.configuration_request().0;
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(request_refused(&changed), "unwrap-failed");
    let mut behind = request_parts();
    behind.behind = vec![0x00, 0x10, 1, 0, 0];
    assert_eq!(
        request_refused(&behind.seal()),
        "attribute-after-wrapped-data"
    );
}

#[test]
fn other_messages_than_a_request_are_refused() {
    assert_eq!(request_refused(&WORLD.answered().0), "message-unexpected");
    assert_eq!(request_refused(&[0x0c, 0]), "message-unexpected");
    assert_eq!(request_refused(&WORLD.confirm()), "gas-malformed");
    assert_eq!(
        response_refused(&WORLD.configuration_request().0),
        "gas-order"
    );
    assert_eq!(response_refused(&WORLD.response()), "gas-malformed");
}

/// §6.4.3.
#[test]
fn a_response_has_its_attributes() {
    let status = response_parts(objects(1)).without(Id::Status).seal();
    assert_eq!(response_refused(&status), "attribute-missing");
    let nonce = response_parts(objects(1))
        .without_inner(Id::EnrolleeNonce)
        .seal();
    assert_eq!(response_refused(&nonce), "attribute-missing");
    let other = response_parts(objects(1))
        .set_inner(Id::EnrolleeNonce, &[1; 16])
        .seal();
    assert_eq!(response_refused(&other), "enrollee-nonce-mismatch");
    let short = response_parts(objects(1))
        .set_inner(Id::EnrolleeNonce, &[33; 15])
        .seal();
    assert_eq!(response_refused(&short), "enrollee-nonce-mismatch");
    let unknown = response_parts(objects(1)).set(Id::Status, &[255]).seal();
    assert_eq!(response_refused(&unknown), "status-unknown");
    let forged = response_parts(objects(1)).with_key(&[1; 32]).seal();
    assert_eq!(response_refused(&forged), "unwrap-failed");
    let mut behind = response_parts(objects(1));
    behind.behind = vec![0x00, 0x10, 1, 0, 0];
    assert_eq!(
        response_refused(&behind.seal()),
        "attribute-after-wrapped-data"
    );
}

/// §6.4.3: the status in clear is under the tag, so nobody turns a refusal into a success.
#[test]
fn a_status_changed_on_the_way_does_not_open() {
    let refusal = Answer::Refused(Status::ConfigureFailure);
    let mut frame = WORLD.answered_with(refusal).0;
    let place = frame
        .windows(4)
        .position(|window| window == [0, 0x10, 1, 0])
        .unwrap();
    frame[place + 4] = 0;
    assert_eq!(response_refused(&frame), "unwrap-failed");
}

/// §6.4.4: an enrollee that cannot use what it got says so.
#[test]
fn a_configuration_that_cannot_be_read_is_rejected_aloud() {
    let missing = response_parts(objects(1))
        .without_inner(Id::ConfigurationObject)
        .seal();
    let malformed = response_parts(objects(1))
        .set_inner(Id::ConfigurationObject, b"{\"wi-fi_tech\":")
        .seal();
    for (frame, expected) in [
        (missing, "attribute-missing"),
        (malformed, "json-malformed"),
    ] {
        let error = WORLD.configuration_request().1.handle(&frame).unwrap_err();
        assert_eq!(error.reason_code(), expected);
        match WORLD.answered().1.handle(error.reply().unwrap()).unwrap() {
            Reaction::Result { status, .. } => assert_eq!(status, Status::ConfigurationRejected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn more_networks_than_the_limit_are_refused() {
    let mut parts = response_parts(objects(10));
    let object = parts.inner[1].clone();
    parts.inner.push(object);
    assert_eq!(response_refused(&parts.seal()), "too-many-attributes");
}

/// §6.4.4.
#[test]
fn a_result_has_its_attributes_and_belongs_to_its_run() {
    for id in [Id::Status, Id::EnrolleeNonce] {
        assert_eq!(
            result_refused(&result_parts().without_inner(id).seal()),
            "attribute-missing"
        );
    }
    let other = result_parts().set_inner(Id::EnrolleeNonce, &[1; 16]).seal();
    assert_eq!(result_refused(&other), "enrollee-nonce-mismatch");
    let unknown = result_parts().set_inner(Id::Status, &[254]).seal();
    assert_eq!(result_refused(&unknown), "status-unknown");
    let wrong = result_parts().set_inner(Id::Status, &[8]).seal();
    assert_eq!(result_refused(&wrong), "status-unknown");
    let forged = result_parts().with_key(&[1; 32]).seal();
    assert_eq!(result_refused(&forged), "unwrap-failed");
    let mut behind = result_parts();
    behind.behind = vec![0x00, 0x10, 1, 0, 0];
    assert_eq!(
        result_refused(&behind.seal()),
        "attribute-after-wrapped-data"
    );
    assert_eq!(result_refused(&WORLD.confirm()), "message-unexpected");
    let refused = WORLD
        .answered_with(Answer::Refused(Status::ConfigureFailure))
        .1;
    let result = WORLD.configured().result(Status::Ok).unwrap();
    assert_eq!(reason(refused.handle(&result)), "message-unexpected");
}

#[test]
fn an_answer_is_not_fetched_twice_and_not_by_another_exchange() {
    assert_eq!(result_refused(&[0x0c, 0]), "gas-finished");
    assert_eq!(
        result_refused(&WORLD.configuration_request().0),
        "message-unexpected"
    );
    let mut requested = WORLD.requested();
    assert_eq!(
        reason(requested.handle_comeback(&[0x0c, 0], 1)),
        "message-unexpected"
    );
    requested.later(COMEBACK_DELAY).unwrap();
    assert_eq!(
        reason(requested.handle_comeback(&[0x0c, 9], 1)),
        "gas-token"
    );
    let again = WORLD.configuration_request().0;
    assert_eq!(
        reason(requested.handle_comeback(&again, 1)),
        "message-unexpected"
    );
    let (_, answered) = requested.respond(objects(1)).unwrap();
    assert_eq!(reason(answered.handle(&[0x0c, 9])), "gas-token");
}

/// A configurator cannot keep an enrollee asking for ever.
#[test]
fn an_enrollee_is_asked_once_for_each_thing() {
    let wanted = || Answer::CertificateRequestNeeded(vec![0x30, 0]);
    let (frame, answered) = WORLD.answered_with(wanted());
    let outcome = WORLD.configuration_request().1.handle(&frame).unwrap();
    let Outcome::CertificateRequestNeeded { side, .. } = outcome else {
        panic!("not asked");
    };
    let object = RequestObject::new("lamp", NetRole::Station);
    let (frame, waiting) = side.request(&object, &[44; 32]).unwrap();
    let Reaction::Requested(requested) = answered.handle(&frame).unwrap() else {
        panic!("no request");
    };
    let (frame, _) = requested.respond(wanted()).unwrap();
    assert_eq!(
        reason(waiting.handle(&frame.unwrap())),
        "message-unexpected"
    );
}

#[test]
fn a_second_request_under_the_first_nonce_is_refused() {
    let wanted = Answer::CertificateRequestNeeded(vec![0x30, 0]);
    let (_, answered) = WORLD.answered_with(wanted);
    let replayed = WORLD.configuration_request().0;
    assert_eq!(
        reason(answered.handle(&replayed)),
        "enrollee-nonce-mismatch"
    );
}

#[test]
fn attributes_for_a_certificate_request_are_base64() {
    let wanted = || Answer::CertificateRequestNeeded(vec![0x30, 0]);
    let missing = response_parts(wanted())
        .without_inner(Id::CsrAttributesRequest)
        .seal();
    assert_eq!(response_refused(&missing), "attribute-missing");
    let malformed = response_parts(wanted())
        .set_inner(Id::CsrAttributesRequest, b"*")
        .seal();
    assert_eq!(response_refused(&malformed), "csr-attributes-malformed");
}

/// §6.4.2, version 3: a new key comes when asked for, on the curve asked for, and proven.
#[test]
fn a_new_protocol_key_is_asked_for_and_proven_or_refused() {
    let wanted = || Answer::NewKeyNeeded(Curve::P384, entropy(55));
    let ke = WORLD.secrets().ke;
    let (frame, _) = WORLD.answered_with(wanted());
    let Outcome::NewKeyNeeded(needed) = WORLD.configuration_request().1.handle(&frame).unwrap()
    else {
        panic!("not asked");
    };
    let side = needed.bring(&entropy(66)).unwrap();
    let object = RequestObject::new("lamp", NetRole::Station);
    let (frame, _) = side.request(&object, &[44; 32]).unwrap();
    let parts = Parts::open(&frame, &ke);
    let refused = |parts: Parts| reason(WORLD.answered_with(wanted()).1.handle(&parts.seal()));
    assert_eq!(refused(parts.clone()), "accepted");
    let mut tag = parts.inner_value(Id::InitiatorAuthenticatingTag);
    tag[0] ^= 1;
    let wrong = parts
        .clone()
        .set_inner(Id::InitiatorAuthenticatingTag, &tag);
    assert_eq!(refused(wrong), "new-key-tag-mismatch");
    let untagged = parts.clone().without_inner(Id::InitiatorAuthenticatingTag);
    assert_eq!(refused(untagged), "attribute-missing");
    let keyless = parts.clone().without_inner(Id::InitiatorProtocolKey);
    assert_eq!(refused(keyless), "attribute-missing");
    let other = protocol_key(Curve::P384, 4);
    let foreign = parts
        .clone()
        .set_inner(Id::InitiatorProtocolKey, other.public().raw_xy());
    assert_eq!(refused(foreign), "new-key-tag-mismatch");
    let other = protocol_key(Curve::P256, 4);
    let curve = parts
        .clone()
        .set_inner(Id::InitiatorProtocolKey, other.public().raw_xy());
    assert_eq!(refused(curve), "point-length");
    // Nobody asked.
    assert_eq!(request_refused(&parts.seal()), "new-key-unasked");
    let unknown = response_parts(wanted())
        .set_inner(Id::FiniteCyclicGroup, &[1, 0])
        .seal();
    assert_eq!(response_refused(&unknown), "curve-unknown");
    let unavailable = response_parts(wanted())
        .set_inner(Id::FiniteCyclicGroup, &[30, 0])
        .seal();
    assert_eq!(response_refused(&unavailable), "curve-unavailable");
    let off = response_parts(wanted())
        .set_inner(Id::ResponderProtocolKey, &[1; 96])
        .seal();
    assert_eq!(response_refused(&off), "point-off-curve");
}

#[test]
fn a_connection_status_is_read_strictly() {
    for (text, expected) in [
        (r#"{"result":0}"#, "accepted"),
        (
            r#"{"result":10,"ssid64":"dGVzdA","channelList":"81/1,115/36"}"#,
            "accepted",
        ),
        (r#"{}"#, "member-missing"),
        (r#"{"result":99}"#, "status-unknown"),
        (r#"{"result":"0"}"#, "member-type"),
        (r#"{"result":0,"ssid64":"***"}"#, "member-value"),
        (r#"{"result":0,"channelList":"81/1;rm"}"#, "member-value"),
        (r#"{"result":0,"result":1}"#, "json-duplicate-member"),
        ("[]", "member-missing"),
        ("", "json-malformed"),
    ] {
        assert_eq!(
            reason(ConnectionStatus::read(text.as_bytes())),
            expected,
            "{text}"
        );
    }
    let long = format!(r#"{{"result":0,"x":"{}"}}"#, "x".repeat(5000));
    assert_eq!(
        reason(ConnectionStatus::read(long.as_bytes())),
        "json-too-large"
    );
}

#[test]
fn frames_of_another_exchange_do_not_open() {
    // The same keys, another responder nonce and protocol key: another ke.
    let accepted = WORLD.accept(&WORLD.request()).unwrap();
    let own = WORLD.responder_key();
    let (response, responder) = accepted.respond(&own, None, &entropy(90)).unwrap();
    let (confirm, _) = done(WORLD.initiator().handle(&response).unwrap());
    let authenticated = responder.handle(&confirm).unwrap();
    let side = ConfiguratorSide::new(authenticated).unwrap();
    let replayed = WORLD.configuration_request().0;
    assert_eq!(reason(side.handle_request(&replayed)), "unwrap-failed");
    assert_ne!(own.public_key().hash(), &[0; 32]);
}

#[test]
fn a_gas_frame_for_another_protocol_or_failed_is_refused() {
    let GasMessage::InitialResponse { response, .. } =
        GasMessage::read(&WORLD.answered().0).unwrap()
    else {
        panic!("no response");
    };
    let failed = GasMessage::InitialResponse {
        token: 0,
        status: 59,
        comeback_delay: 0,
        response: response.clone(),
    };
    assert_eq!(response_refused(&failed.write().unwrap()), "gas-status");
    let other = GasMessage::InitialResponse {
        token: 1,
        status: 0,
        comeback_delay: 0,
        response,
    };
    assert_eq!(response_refused(&other.write().unwrap()), "gas-token");
}

#[test]
fn what_does_not_fit_is_not_sent() {
    let long = vec![0; 70_000];
    let answer = Answer::EnvelopedData(long);
    let result: Result<_, Error> = WORLD.requested().respond(answer);
    assert_eq!(reason(result), "own-message-too-large");
}
