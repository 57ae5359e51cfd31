//! Our own enrollee, step by step, so that a test can stop or lie at each.

use std::sync::Arc;

use vouchsafe_dpp::announcement::presence;
use vouchsafe_dpp::authentication::{
    Authenticated, AuthenticationRequest, Entropy, Initiator, InitiatorParameters, Progress,
    Responder, Role, Roles, VERSION,
};
use vouchsafe_dpp::configuration::{Configured, EnrolleeSide, Outcome};
use vouchsafe_dpp::object::{NetRole, RequestObject};
use vouchsafe_dpp::{Agreement as _, Error, Status};
use vouchsafe_keystore::random;

use crate::world::{Enrollee, Wire, World};

const ROLES: Roles = Roles::Only(Role::Enrollee);

pub fn entropy() -> Entropy {
    Entropy::new(random::bytes())
}

/// What a device asks for by default.
pub fn station() -> RequestObject {
    RequestObject::new("lamp", NetRole::Station)
}

/// An authenticated device on its connection.
pub struct Joined {
    pub wire: Wire,
    pub side: EnrolleeSide,
}

impl Enrollee {
    /// Announces itself as through an access point.
    pub async fn chirp(&self, world: &World) -> Wire {
        let mut wire = world.connect().await;
        wire.send(&presence(&self.public()).unwrap()).await;
        wire
    }

    /// Announces itself, and answers the controller's call.
    pub async fn announce(&self, world: &World) -> Joined {
        let mut wire = self.chirp(world).await;
        let request = wire.receive().await.expect("a request");
        let request = AuthenticationRequest::read(&request).unwrap();
        let accepted = Responder::accept(&request, &self.key, ROLES, VERSION).unwrap();
        let (response, waiting) = accepted.respond(&self.key, None, &entropy()).unwrap();
        wire.send(&response).await;
        let confirm = wire.receive().await.expect("a confirm");
        Joined::new(wire, waiting.handle(&confirm).unwrap())
    }

    /// The beginning of a call to the controller.
    pub fn request(&self, world: &World) -> (Vec<u8>, Initiator) {
        let controller = world.controller.dpp.bootstrapping();
        let own: Arc<dyn vouchsafe_dpp::Agreement> = Arc::new(self.key.clone());
        Initiator::start(
            InitiatorParameters {
                own: Some(own),
                peer: controller.public_key(),
                roles: ROLES,
                version: VERSION,
                channel: None,
                require_mutual: true,
            },
            &entropy(),
        )
        .unwrap()
    }

    /// Calls the controller; both sides prove themselves.
    pub async fn call(&self, world: &World) -> Joined {
        let mut wire = world.connect().await;
        let (request, waiting) = self.request(world);
        wire.send(&request).await;
        let response = wire.receive().await.expect("a response");
        match waiting.handle(&response).unwrap() {
            Progress::Done {
                confirm,
                authenticated,
            } => {
                wire.send(&confirm).await;
                Joined::new(wire, authenticated)
            }
            Progress::Pending(_) => panic!("told to wait"),
        }
    }
}

impl Joined {
    pub fn new(wire: Wire, authenticated: Authenticated) -> Self {
        let side = EnrolleeSide::new(authenticated).unwrap();
        Self { wire, side }
    }

    /// Asks once, and comes back for as long as it is told to.
    pub async fn ask(self, object: &RequestObject) -> (Wire, Result<Outcome, Error>) {
        let Self { mut wire, side } = self;
        let (request, mut waiting) = side.request(object, &random::bytes()).unwrap();
        wire.send(&request).await;
        loop {
            let answer = wire.receive().await.expect("an answer");
            match waiting.handle(&answer) {
                Ok(Outcome::ComeBack {
                    frame,
                    waiting: again,
                    ..
                }) => {
                    // Earlier than it was told: the controller says the same again.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    wire.send(&frame).await;
                    waiting = again;
                }
                outcome => return (wire, outcome),
            }
        }
    }

    /// Asks and gets a configuration, which it confirms.
    pub async fn configured(self, object: &RequestObject) -> Configured {
        let (mut wire, outcome) = self.ask(object).await;
        let Ok(Outcome::Configured(configured)) = outcome else {
            panic!("{outcome:?}");
        };
        wire.send(&configured.result(Status::Ok).unwrap()).await;
        configured
    }

    /// Asks and is told no.
    pub async fn refused(self, object: &RequestObject) -> Status {
        match self.ask(object).await.1 {
            Err(Error::Peer(status)) => status,
            other => panic!("{other:?}"),
        }
    }
}
