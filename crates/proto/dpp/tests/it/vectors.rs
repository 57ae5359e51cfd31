//! Complete runs between Debian's wpa_supplicant on both sides, re-derived: every intermediate value,
//! and every frame, octet by octet. The files hold numbers only, as its log prints them.

use std::sync::Arc;

use vouchsafe_dpp::authentication::{
    AuthenticationRequest, Initiator, InitiatorParameters, Progress, Responder, Role, Roles,
};
use vouchsafe_dpp::configuration::{ConfiguratorSide, EnrolleeSide, Outcome, Reaction};
use vouchsafe_dpp::object::{NetRole, RequestObject};
use vouchsafe_dpp::schedule::{self, Keys, Nonces};
use vouchsafe_dpp::{Agreement, BootstrappingKey, Curve, PrivateKey, Status};
use vouchsafe_trust::Secret;

use crate::world::{configured, done, entropy_for};

struct Vector {
    curve: Curve,
    lines: Vec<(String, Vec<u8>)>,
}

impl Vector {
    fn read(curve: Curve, text: &str) -> Self {
        let lines = text.lines().map(|line| {
            let (name, digits) = line.split_once(' ').unwrap();
            (name.to_owned(), hex::decode(digits).unwrap())
        });
        Self {
            curve,
            lines: lines.collect(),
        }
    }

    fn find(&self, name: &str) -> Option<&[u8]> {
        let line = self.lines.iter().find(|(known, _)| known == name);
        line.map(|(_, value)| value.as_slice())
    }

    fn value(&self, name: &str) -> &[u8] {
        self.find(name).unwrap_or_else(|| panic!("no {name}"))
    }

    fn secret(&self, name: &str) -> Secret {
        Secret::new(self.value(name).to_vec())
    }

    fn key(&self, name: &str) -> PrivateKey {
        PrivateKey::from_bytes(self.curve, self.value(name)).unwrap()
    }
}

fn vectors() -> Vec<Vector> {
    let texts = [
        (Curve::P256, include_str!("../hostap/exchange-p256.txt")),
        (
            Curve::P256,
            include_str!("../hostap/exchange-p256-mutual.txt"),
        ),
        (Curve::P384, include_str!("../hostap/exchange-p384.txt")),
        (
            Curve::P521,
            include_str!("../hostap/exchange-p521-mutual.txt"),
        ),
        (
            Curve::Bp256,
            include_str!("../hostap/exchange-bp256-mutual.txt"),
        ),
        (Curve::Bp384, include_str!("../hostap/exchange-bp384.txt")),
    ];
    let read = |(curve, text)| Vector::read(curve, text);
    texts.into_iter().map(read).collect()
}

#[test]
fn every_intermediate_value_of_hostap_is_derived_again() {
    for vector in vectors() {
        let curve = vector.curve;
        let initiator = vector.key("initiator_protocol_key");
        let responder = vector.key("responder_protocol_key");
        let initiator_own = vector.key("initiator_bootstrapping_key");
        let responder_own = vector.key("responder_bootstrapping_key");
        let equal = |secret: &Secret, name| {
            assert_eq!(
                hex::encode(secret.expose()),
                hex::encode(vector.value(name)),
                "{curve} {name}"
            );
        };

        let m_x = initiator.agree_x(responder_own.public()).unwrap();
        equal(&m_x, "m_x");
        equal(&responder_own.agree_x(initiator.public()).unwrap(), "m_x");
        let n_x = initiator.agree_x(responder.public()).unwrap();
        equal(&n_x, "n_x");
        equal(&responder.agree_x(initiator.public()).unwrap(), "n_x");
        let mutual = vector.find("l_x").is_some();
        let sum = responder_own.public().add(responder.public()).unwrap();
        let l_x = initiator_own.agree_x(&sum).unwrap();
        if mutual {
            equal(&l_x, "l_x");
            let responder_own = BootstrappingKey::new(responder_own.clone());
            let other = responder_own.agree_x_with_sum(&responder, initiator_own.public());
            equal(&other.unwrap(), "l_x");
        }
        equal(&schedule::k1(curve, &m_x), "k1");
        equal(&schedule::k2(curve, &n_x), "k2");
        let nonces = Nonces {
            initiator: vector.value("initiator_nonce").to_vec(),
            responder: vector.value("responder_nonce").to_vec(),
        };
        let bk = schedule::bk(curve, &nonces, &m_x, &n_x, mutual.then_some(&l_x));
        equal(&bk, "bk");
        equal(&schedule::ke(curve, &bk), "ke");
        let keys = Keys {
            initiator_protocol: initiator.public(),
            responder_protocol: responder.public(),
            initiator_bootstrapping: mutual.then(|| initiator_own.public()),
            responder_bootstrapping: responder_own.public(),
        };
        equal(
            &schedule::responder_tag(curve, &nonces, keys),
            "responder_tag",
        );
        equal(
            &schedule::initiator_tag(curve, &nonces, keys),
            "initiator_tag",
        );
        assert_eq!(vector.secret("ke").len(), curve.key_length());
    }
}

/// Our initiator with hostap's keys and nonces says what hostap said, and takes what it heard.
#[test]
fn the_initiator_makes_the_frames_of_hostap() {
    for vector in vectors() {
        let curve = vector.curve;
        let mutual = vector.find("l_x").is_some();
        let own = BootstrappingKey::new(vector.key("initiator_bootstrapping_key"));
        let peer = BootstrappingKey::new(vector.key("responder_bootstrapping_key"));
        let entropy = entropy_for(
            vector.value("initiator_protocol_key"),
            vector.value("initiator_nonce"),
        );
        let parameters = InitiatorParameters {
            own: Some(Arc::new(own)),
            peer: peer.public_key(),
            roles: Roles::Only(Role::Enrollee),
            version: 2,
            channel: None,
            require_mutual: mutual,
        };
        let (frame, mut waiting) = Initiator::start(parameters, &entropy).unwrap();
        assert_eq!(
            hex::encode(&frame),
            hex::encode(vector.value("authentication_request"))
        );
        if let Some(pending) = vector.find("authentication_response_pending") {
            waiting = match waiting.handle(pending).unwrap() {
                Progress::Pending(waiting) => waiting,
                Progress::Done { .. } => panic!("not pending"),
            };
        }
        let (confirm, authenticated) = done(
            waiting
                .handle(vector.value("authentication_response"))
                .unwrap(),
        );
        let expected = vector.value("authentication_confirm");
        assert_eq!(hex::encode(&confirm), hex::encode(expected));
        assert_eq!(authenticated.mutual(), mutual);
        assert_eq!(authenticated.version(), 2);
        assert_eq!(authenticated.curve(), curve);
        assert_eq!(authenticated.role(), Role::Enrollee);

        let side = EnrolleeSide::new(authenticated).unwrap();
        let mut nonce = [0; 32];
        let drawn = vector.value("enrollee_nonce");
        nonce[..drawn.len()].copy_from_slice(drawn);
        let object = RequestObject::new("Test", NetRole::Station);
        let (frame, waiting) = side.request(&object, &nonce).unwrap();
        assert_eq!(
            hex::encode(&frame),
            hex::encode(vector.value("configuration_request"))
        );
        let outcome = waiting
            .handle(vector.value("configuration_response"))
            .unwrap();
        let configured = configured(outcome);
        let [object] = configured.objects() else {
            panic!("{curve}: one network");
        };
        assert_eq!(object.ssid.text(), Some("TestNet"));
        let connector = object.credential.connector().unwrap();
        let own = configured.authenticated().own_protocol_key().public();
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        connector.verify(own, now).unwrap();
        let result = configured.result(Status::Ok).unwrap();
        assert_eq!(
            hex::encode(&result),
            hex::encode(vector.value("configuration_result"))
        );
    }
}

/// Our responder with hostap's keys and nonces says what hostap said, and takes what it heard.
#[test]
fn the_responder_makes_the_frames_of_hostap() {
    for vector in vectors() {
        let own = BootstrappingKey::new(vector.key("responder_bootstrapping_key"));
        let peer = BootstrappingKey::new(vector.key("initiator_bootstrapping_key"));
        let mutual = vector.find("l_x").is_some();
        let request = AuthenticationRequest::read(vector.value("authentication_request")).unwrap();
        assert_eq!(request.version(), 2);
        assert_eq!(request.initiator_hash(), peer.public_key().hash());
        let roles = Roles::Only(Role::Configurator);
        let accepted = Responder::accept(&request, &own, roles, 2).unwrap();
        if let Some(pending) = vector.find("authentication_response_pending") {
            assert_eq!(
                hex::encode(accepted.pending().unwrap()),
                hex::encode(pending)
            );
        }
        let entropy = entropy_for(
            vector.value("responder_protocol_key"),
            vector.value("responder_nonce"),
        );
        let known = mutual.then(|| peer.public_key());
        let (frame, responder) = accepted.respond(&own, known, &entropy).unwrap();
        let expected = vector.value("authentication_response");
        assert_eq!(hex::encode(&frame), hex::encode(expected));
        let confirm = vector.value("authentication_confirm");
        let authenticated = responder.handle(confirm).unwrap();
        assert_eq!(authenticated.mutual(), mutual);
        let side = ConfiguratorSide::new(authenticated).unwrap();
        let requested = side
            .handle_request(vector.value("configuration_request"))
            .unwrap();
        assert_eq!(requested.object().name, "Test");
        // Its connector has a random signature, so the answer is ours; its result fits all the same.
        let (_, answered) = requested.respond(crate::world::objects(1)).unwrap();
        match answered
            .handle(vector.value("configuration_result"))
            .unwrap()
        {
            Reaction::Result { status, next } => {
                assert_eq!(status, Status::Ok);
                assert!(next.is_none());
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The inputs of the specification's appendix, as hostap's public tests state them. The expected keys
/// were computed by a separate program of a few lines, on plain integers.
struct KnownAnswer {
    curve: Curve,
    responder_bootstrapping: &'static str,
    responder_protocol: &'static str,
    responder_nonce: &'static str,
    initiator_bootstrapping: &'static str,
    initiator_protocol: &'static str,
    initiator_nonce: &'static str,
    k1: &'static str,
    k2: &'static str,
    ke: &'static str,
    ke_mutual: &'static str,
}

const KNOWN_ANSWERS: [KnownAnswer; 2] = [
    KnownAnswer {
        curve: Curve::P256,
        responder_bootstrapping: "54ce181a98525f217216f59b245f60e9df30ac7f6b26c939418cfc3c42d1afa0",
        responder_protocol: "f798ed2e19286f6a6efe210b1863badb99af2a14b497634dbfd2a97394fb5aa5",
        responder_nonce: "3d0cfb011ca916d796f7029ff0b43393",
        initiator_bootstrapping: "15b2a83c5a0a38b61f2aa8200ee4994b8afdc01c58507d10d0a38f7eedf051bb",
        initiator_protocol: "a87de9afbb406c96e5f79a3df895ecac3ad406f95da66314c8cb3165e0c61783",
        initiator_nonce: "13f4602a16daeb69712263b9c46cba31",
        k1: "3d832a02ed6d7fc1dc96d2eceab738cf01c0028eb256be33d5a21a720bfcf949",
        k2: "ca08bdeeef838ddf897a5f01f20bb93dc5a895cb86788ca8c00a7664899bc310",
        ke: "c8882a8ab30c878467822534138c704ede0ab1e873fe03b601a7908463fec87a",
        ke_mutual: "b6db65526c9a0174c3bed56f7e614f3a656233c078693249ac3516425127e5d5",
    },
    KnownAnswer {
        curve: Curve::P521,
        responder_bootstrapping: "0061e54f518cdf859735da3dd64c6f72c2f086f41a6fd52915152ea2fe0f24ddaecd8883730c9c9fd82cf7c043a41021696388cf5190b731dd83638bcd56d8b6c743",
        responder_protocol: "01d8b7b17cd1b0a33f7c66fb4220999329cdaf4f8b44b2ffadde8ab8ed8abffa9f5358c5b1caae26709ca4fb78e52a4d08f2e4f24111a36a6f440d20a0000ff51597",
        responder_nonce: "d749a782012eb0a8595af30b2dfc8d0880d004ebddb55ecc5afbdef18c400e01",
        initiator_bootstrapping: "0060c10df14af5ef27f6e362d31bdd9eeb44be77a323ba64b08f3f03d58b92cbfe05c182a91660caa081ca344243c47b5aa088bcdf738840eb35f0218b9f26881e02",
        initiator_protocol: "019c1c08caaeec38fb931894699b095bc3ab8c1ec7ef0622d2e3eba821477c8c6fca41774f21166ad98aebda37c067d9aa08a8a2e1b5c44c61f2bae02a61f85d9661",
        initiator_nonce: "de972af3847bec3ba2aedd9f5c21cfdec7bf0bc5fe8b276cbcd0267807fb15b0",
        k1: "72a054c6029bee304f280cb0ab320d662fb29e64b5ba3ee6c3aecec472ef528eb062c59696efc361a00be8fd52cf24f31d9615be4efea91a33df890c74217217",
        k2: "0e3c6f246cb2f5d65d1cac58f853a32d300b09b6fe49040df020188c79cc9676c3c2719e2e75f865733d0a0144f093677f1bd0e724ed0c3de2b89819a555c3f3",
        ke: "663e2f7a80d404c9a185c01adfbbeb00bd5006ee60564c3dd96f1aaf743e62c1ccd0246465888cbb4f3c403d0348c1a831f481a8efc8b2f71a12a98edba266db",
        ke_mutual: "9fd75668dabae58bcf93eb6fb38908d5b26ad5e3780a76a4cc720c7ba443f20f89add5058c2b7120c34adcb42e732a03a7539c4b04ebf36523f0ca15c10c2a95",
    },
];

#[test]
fn the_specifications_inputs_end_in_the_known_keys() {
    for known in &KNOWN_ANSWERS {
        let curve = known.curve;
        let octets = |digits: &str| hex::decode(digits).unwrap();
        let key = |digits: &str| PrivateKey::from_bytes(curve, &octets(digits)).unwrap();
        let responder_own = key(known.responder_bootstrapping);
        let responder = key(known.responder_protocol);
        let initiator_own = key(known.initiator_bootstrapping);
        let initiator = key(known.initiator_protocol);
        let m_x = initiator.agree_x(responder_own.public()).unwrap();
        let n_x = initiator.agree_x(responder.public()).unwrap();
        let sum = responder_own.add_scalar(&responder).unwrap();
        let l_x = sum.agree_x(initiator_own.public()).unwrap();
        let nonces = Nonces {
            initiator: octets(known.initiator_nonce),
            responder: octets(known.responder_nonce),
        };
        let digits = |secret: &Secret| hex::encode(secret.expose());
        assert_eq!(digits(&schedule::k1(curve, &m_x)), known.k1);
        assert_eq!(digits(&schedule::k2(curve, &n_x)), known.k2);
        let bk = schedule::bk(curve, &nonces, &m_x, &n_x, None);
        assert_eq!(digits(&schedule::ke(curve, &bk)), known.ke);
        let bk = schedule::bk(curve, &nonces, &m_x, &n_x, Some(&l_x));
        assert_eq!(digits(&schedule::ke(curve, &bk)), known.ke_mutual);
    }
}

#[test]
fn a_run_of_hostap_cannot_be_replayed_to_a_new_responder() {
    let vector = vectors().remove(0);
    let own = BootstrappingKey::new(vector.key("responder_bootstrapping_key"));
    let request = AuthenticationRequest::read(vector.value("authentication_request")).unwrap();
    let roles = Roles::Only(Role::Configurator);
    let accepted = Responder::accept(&request, &own, roles, 2).unwrap();
    let entropy = entropy_for(&[7; 32], &[7; 16]);
    let (_, responder) = accepted.respond(&own, None, &entropy).unwrap();
    let error = responder
        .handle(vector.value("authentication_confirm"))
        .unwrap_err();
    assert_eq!(error.reason_code(), "unwrap-failed");
}

#[test]
fn the_outcome_of_a_refusing_configurator_is_named() {
    let world = crate::world::World::new(Curve::P256, false);
    let refusal = vouchsafe_dpp::configuration::Answer::Refused(Status::ConfigureFailure);
    let (frame, answered) = world.answered_with(refusal);
    assert!(!answered.expects_more());
    match world.configuration_request().1.handle(&frame) {
        Err(error) => assert_eq!(error.reason_code(), "configure-failure"),
        Ok(Outcome::Configured(_)) => panic!("configured"),
        Ok(other) => panic!("{other:?}"),
    }
}
