//! What stands inside the wraps, as one who holds the right keys could send it: each message of an
//! authentication and a configuration, with octets of the fuzzer's under the key of that message.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vouchsafe_dpp::attribute::{AttributeId, put};
use vouchsafe_dpp::authentication::{
    AuthenticationRequest, Entropy, Initiator, InitiatorParameters, Progress, Responder, Role,
    Roles,
};
use vouchsafe_dpp::configuration::{ConfiguratorSide, EnrolleeSide};
use vouchsafe_dpp::frame::{Frame, seal};
use vouchsafe_dpp::gas::GasMessage;
use vouchsafe_dpp::object::{NetRole, RequestObject};
use vouchsafe_dpp::schedule::{self, Nonces};
use vouchsafe_dpp::wrap::wrap;
use vouchsafe_dpp::{Agreement, BootstrappingKey, Curve, Error, PrivateKey};
use vouchsafe_trust::Secret;

const CURVE: Curve = Curve::P256;

static OWN: LazyLock<BootstrappingKey> = LazyLock::new(|| BootstrappingKey::new(key(1)));
static SECRETS: LazyLock<[Secret; 3]> = LazyLock::new(|| secrets().expect("fixed keys agree"));

fn key(number: u8) -> PrivateKey {
    PrivateKey::from_seed(CURVE, &[number; 40]).expect("a seed of that length")
}

fn entropy(number: u8) -> Entropy {
    Entropy::new([number; Entropy::LENGTH])
}

fn secrets() -> Result<[Secret; 3], Error> {
    let (initiator, responder) = (key(2), key(3));
    let m_x = initiator.agree_x(OWN.public_key().point())?;
    let n_x = initiator.agree_x(responder.public())?;
    let nonces = Nonces {
        initiator: vec![2; 16],
        responder: vec![3; 16],
    };
    let bk = schedule::bk(CURVE, &nonces, &m_x, &n_x, None);
    let k1 = schedule::k1(CURVE, &m_x);
    Ok([k1, schedule::k2(CURVE, &n_x), schedule::ke(CURVE, &bk)])
}

fn start() -> Result<(Vec<u8>, Initiator), Error> {
    let parameters = InitiatorParameters {
        own: None,
        peer: OWN.public_key(),
        roles: Roles::Only(Role::Enrollee),
        version: 3,
        channel: None,
        require_mutual: false,
    };
    Initiator::start(parameters, &entropy(2))
}

fn respond(request: &[u8]) -> Result<(Vec<u8>, Responder), Error> {
    let request = AuthenticationRequest::read(request)?;
    let roles = Roles::Only(Role::Configurator);
    Responder::accept(&request, &*OWN, roles, 3)?.respond(&*OWN, None, &entropy(3))
}

/// The frame with other octets in its wrap, under the same key.
fn forge(frame: &[u8], secret: &Secret, inner: &[u8]) -> Result<Vec<u8>, Error> {
    let clear = Frame::read(frame)?.attributes().before_wrapped().len();
    seal(frame[..7 + clear].to_vec(), secret.expose(), inner)
}

fn exchange(which: u8, inner: &[u8]) -> Result<(), Error> {
    let [k1, k2, ke] = &*SECRETS;
    let (request, waiting) = start()?;
    if which == 0 {
        respond(&forge(&request, k1, inner)?)?;
        return Ok(());
    }
    let (response, responder) = respond(&request)?;
    if which == 1 {
        waiting.handle(&forge(&response, k2, inner)?)?;
        return Ok(());
    }
    let Progress::Done {
        confirm,
        authenticated,
    } = waiting.handle(&response)?
    else {
        return Ok(());
    };
    if which == 2 {
        responder.handle(&forge(&confirm, ke, inner)?)?;
        return Ok(());
    }
    let mut attributes = Vec::new();
    if which == 3 {
        let configurator = ConfiguratorSide::new(responder.handle(&confirm)?)?;
        let wrapped = wrap(ke.expose(), &[], inner)?;
        put(&mut attributes, AttributeId::WrappedData, &wrapped)?;
        let query = GasMessage::InitialRequest {
            token: 0,
            query: attributes,
        };
        configurator.handle_request(&query.write()?)?;
        return Ok(());
    }
    let object = RequestObject::new("lamp", NetRole::Station);
    let (_, waiting) = EnrolleeSide::new(authenticated)?.request(&object, &[4; 32])?;
    put(&mut attributes, AttributeId::Status, &[(which - 4) % 16])?;
    let wrapped = wrap(ke.expose(), &[&attributes], inner)?;
    put(&mut attributes, AttributeId::WrappedData, &wrapped)?;
    let response = GasMessage::InitialResponse {
        token: 0,
        status: 0,
        comeback_delay: 0,
        response: attributes,
    };
    waiting.handle(&response.write()?)?;
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    if let Some((which, inner)) = data.split_first() {
        let _ = exchange(*which, inner);
    }
});
