//! Our enrollee: it takes what it is given if that is sound.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use vouchsafe_dpp::authentication::{Authenticated, Role};
use vouchsafe_dpp::configuration::{self, EnrolleeSide};
use vouchsafe_dpp::object::{NetRole, RequestObject};
use vouchsafe_dpp::{Curve, Status};
use vouchsafe_net::Clock;

use super::{Done, Outcome, Own, Stopped, Wire, random, replying};

/// An enrollee with its key.
pub(crate) struct OurEnrollee {
    own: Own,
}

impl OurEnrollee {
    /// One on P-256.
    pub(crate) fn new() -> Self {
        Self::with(Curve::P256)
    }

    pub(crate) fn with(curve: Curve) -> Self {
        Self {
            own: Own::new(curve, Role::Enrollee),
        }
    }

    pub(crate) fn uri(&self) -> String {
        self.own.uri()
    }

    /// Is called, once.
    pub(crate) fn listen(&self, listener: &TcpListener, patience: Duration) -> Outcome {
        let Some(mut wire) = Wire::answer(listener, patience) else {
            return Outcome::Silence;
        };
        let authenticated = self.own.respond(&mut wire, None);
        authenticated
            .and_then(|authenticated| enrol(&mut wire, authenticated))
            .into()
    }

    /// Calls a controller.
    pub(crate) fn call(&self, at: SocketAddr, peer: &str, patience: Duration) -> Outcome {
        self.calls(at, peer, patience, false)
    }

    /// Calls a controller that must know our key.
    pub(crate) fn call_mutually(&self, at: SocketAddr, peer: &str, patience: Duration) -> Outcome {
        self.calls(at, peer, patience, true)
    }

    fn calls(&self, at: SocketAddr, peer: &str, patience: Duration, mutual: bool) -> Outcome {
        let mut wire = Wire::call(at, patience);
        let authenticated = self.own.initiate(&mut wire, peer, mutual);
        authenticated
            .and_then(|authenticated| enrol(&mut wire, authenticated))
            .into()
    }
}

fn enrol(wire: &mut Wire, authenticated: Authenticated) -> Result<Done, Stopped> {
    let mut done = Done {
        mutual: authenticated.mutual(),
        version: authenticated.version(),
        ..Done::default()
    };
    let side = EnrolleeSide::new(authenticated)?;
    let object = RequestObject::new("lamp", NetRole::Station);
    let (request, mut waiting) = side.request(&object, &random())?;
    wire.send(&request)?;
    let configured = loop {
        let frame = wire.receive()?;
        match replying(wire, waiting.handle(&frame))? {
            configuration::Outcome::ComeBack {
                frame,
                waiting: still,
                ..
            } => {
                waiting = still;
                wire.send(&frame)?;
            }
            configuration::Outcome::Configured(configured) => break configured,
            other => panic!("something else than a configuration came: {other:?}"),
        }
    };
    let own = configured.authenticated().own_protocol_key().public();
    for object in configured.objects() {
        let credential = &object.credential;
        done.methods.push(credential.akm().name().to_owned());
        if let Some(connector) = credential.connector() {
            connector.verify(own, Clock::system().now())?;
        }
        let passphrase = credential.password().and_then(|it| it.expose_text());
        done.passphrases.extend(passphrase.map(str::to_owned));
    }
    if configured.result_wanted() {
        wire.send(&configured.result(Status::Ok)?)?;
    }
    Ok(done)
}
