//! Our configurator: one network, one C-sign key, everybody is welcome.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use vouchsafe_dpp::authentication::{Authenticated, Role};
use vouchsafe_dpp::configuration::{Answer, Answered, ConfiguratorSide, Reaction, Requested};
use vouchsafe_dpp::connector::{CSignPublicKey, Connector, ConnectorContent};
use vouchsafe_dpp::object::{
    Akm, ConfigurationObject, ConnectorCredential, Credential, CredentialParts, Password, Ssid,
};
use vouchsafe_dpp::{Curve, PrivateKey, Status};

use super::{Done, Outcome, Own, Scan, Stopped, Wire, key, replying};
use crate::matrix::{PASSPHRASE, SSID};

/// What an enrollee is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    Connector,
    Sae,
    Psk,
    PskSae,
    ConnectorAndSae,
}

impl Gives {
    fn akm(self) -> Akm {
        match self {
            Self::Connector => Akm::Dpp,
            Self::Sae => Akm::Sae,
            Self::Psk => Akm::Psk,
            Self::PskSae => Akm::PskSae,
            Self::ConnectorAndSae => Akm::DppSae,
        }
    }
}

/// A configurator with its keys.
pub(crate) struct OurConfigurator {
    own: Own,
    signing: PrivateKey,
    gives: Gives,
}

impl OurConfigurator {
    /// One that gives connectors, on P-256.
    pub(crate) fn new() -> Self {
        Self::with(Curve::P256, Gives::Connector)
    }

    pub(crate) fn with(curve: Curve, gives: Gives) -> Self {
        Self {
            own: Own::new(curve, Role::Configurator),
            signing: key(curve),
            gives,
        }
    }

    pub(crate) fn uri(&self) -> String {
        self.own.uri()
    }

    /// Is called, once.
    pub(crate) fn listen(&self, listener: &TcpListener, patience: Duration) -> Outcome {
        self.answer(listener, patience, None)
    }

    /// Is called, once, and lets somebody scan the caller's code meanwhile.
    pub(crate) fn listen_mutually(
        &self,
        listener: &TcpListener,
        patience: Duration,
        scan: Scan<'_>,
    ) -> Outcome {
        self.answer(listener, patience, Some(scan))
    }

    fn answer(
        &self,
        listener: &TcpListener,
        patience: Duration,
        scan: Option<Scan<'_>>,
    ) -> Outcome {
        let Some(mut wire) = Wire::answer(listener, patience) else {
            return Outcome::Silence;
        };
        let authenticated = self.own.respond(&mut wire, scan);
        authenticated
            .and_then(|authenticated| self.configure(&mut wire, authenticated))
            .into()
    }

    /// Calls an enrollee that listens.
    pub(crate) fn call(&self, at: SocketAddr, peer: &str, patience: Duration) -> Outcome {
        let mut wire = Wire::call(at, patience);
        let authenticated = self.own.initiate(&mut wire, peer, false);
        authenticated
            .and_then(|authenticated| self.configure(&mut wire, authenticated))
            .into()
    }

    fn configure(&self, wire: &mut Wire, authenticated: Authenticated) -> Result<Done, Stopped> {
        let done = Done {
            mutual: authenticated.mutual(),
            version: authenticated.version(),
            ..Done::default()
        };
        let side = ConfiguratorSide::new(authenticated)?;
        let request = wire.receive()?;
        let requested = replying(wire, side.handle_request(&request))?;
        let object = self.object(&requested);
        let answer = Answer::Objects {
            objects: vec![object],
            send_connection_status: false,
        };
        let (frame, answered) = requested.respond(answer)?;
        if let Some(frame) = frame {
            wire.send(&frame)?;
        }
        result(wire, answered)?;
        Ok(done)
    }

    fn object(&self, requested: &Requested) -> ConfigurationObject {
        let akm = self.gives.akm();
        let enrollee = requested.authenticated().peer_protocol_key().clone();
        let content = ConnectorContent::for_any_group(requested.object().role, enrollee);
        let connector = ConnectorCredential {
            connector: Connector::issue_with_key(&content, &self.signing).unwrap(),
            c_sign: CSignPublicKey::new(self.signing.public().clone()),
            privacy_key: None,
        };
        let parts = CredentialParts {
            password: (akm != Akm::Dpp).then(|| Password::passphrase(PASSPHRASE).unwrap()),
            enterprise: None,
            connector: Some(connector),
        };
        let credential = Credential::new(akm, parts).unwrap();
        ConfigurationObject::new(Ssid::new(SSID.as_bytes()).unwrap(), credential)
    }
}

/// The enrollee says whether it takes it.
fn result(wire: &mut Wire, answered: Answered) -> Result<(), Stopped> {
    let frame = wire.receive()?;
    match replying(wire, answered.handle(&frame))? {
        Reaction::Result { status, .. } => {
            assert_eq!(status, Status::Ok, "the enrollee does not take it");
            Ok(())
        }
        _ => panic!("something else than a result came"),
    }
}
