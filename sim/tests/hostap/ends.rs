//! Our two ends of an exchange over TCP: the states of `vouchsafe-dpp`, one connection, no policy.
//!
//! 1. Whoever calls is the initiator; the other one responds.
//! 2. The enrollee asks for its configuration on the same connection, and says whether it took it.

mod configurator;
mod enrollee;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use vouchsafe_dpp::authentication::{
    Authenticated, Entropy, Initiator, InitiatorParameters, Progress, Responder, Role, Roles,
    VERSION,
};
use vouchsafe_dpp::opening::Opening;
use vouchsafe_dpp::tcp;
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{Agreement, BootstrappingKey, Curve, Error, PrivateKey};

pub(crate) use configurator::{Gives, OurConfigurator};
pub(crate) use enrollee::OurEnrollee;

/// Somebody who scans the peer's code when asked to, and gives its text.
pub(crate) type Scan<'a> = &'a dyn Fn() -> String;

/// How an exchange ended, as our end sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The enrollee has its configuration: what it is, in words.
    Done(Done),
    /// We refused, for this reason.
    Refused(String),
    /// The peer closed the connection before the end.
    Closed,
    /// Nothing came any more.
    Silence,
}

/// A whole exchange.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Whether both proved themselves.
    pub(crate) mutual: bool,
    /// The version that both speak.
    pub(crate) version: u8,
    /// The methods, one for each network: `dpp`, `psk+sae` and so on.
    pub(crate) methods: Vec<String>,
    /// The passphrases among them.
    pub(crate) passphrases: Vec<String>,
}

/// Why an exchange ended early.
pub(crate) enum Stopped {
    Refused(Error),
    Closed,
    Silence,
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Result<Done, Stopped>> for Outcome {
    fn from(result: Result<Done, Stopped>) -> Self {
        match result {
            Ok(done) => Self::Done(done),
            Err(Stopped::Refused(error)) => Self::Refused(error.to_string()),
            Err(Stopped::Closed) => Self::Closed,
            Err(Stopped::Silence) => Self::Silence,
        }
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    reader: tcp::Reader,
    patience: Duration,
}

impl Wire {
    pub(crate) fn call(at: SocketAddr, patience: Duration) -> Self {
        Self::new(TcpStream::connect(at).unwrap(), patience)
    }

    /// Waits for somebody to call.
    pub(crate) fn answer(listener: &TcpListener, patience: Duration) -> Option<Self> {
        listener.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + patience;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    return Some(Self::new(stream, patience));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if Instant::now() >= deadline {
                        return None;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn new(stream: TcpStream, patience: Duration) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        Self {
            stream,
            reader: tcp::Reader::new(),
            patience,
        }
    }

    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<(), Stopped> {
        let octets = tcp::encode(frame)?;
        self.stream.write_all(&octets).map_err(|_| Stopped::Closed)
    }

    pub(crate) fn receive(&mut self) -> Result<Vec<u8>, Stopped> {
        let deadline = Instant::now() + self.patience;
        let mut octets = [0; 4096];
        loop {
            if let Some(frame) = self.reader.next_frame()? {
                return Ok(frame);
            }
            if Instant::now() >= deadline {
                return Err(Stopped::Silence);
            }
            match self.stream.read(&mut octets) {
                Ok(0) => return Err(Stopped::Closed),
                Ok(length) => self.reader.push(&octets[..length]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Err(Stopped::Silence);
                }
                Err(_) => return Err(Stopped::Closed),
            }
        }
    }
}

/// Random octets.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    rand::fill(&mut octets).unwrap();
    octets
}

pub(crate) fn entropy() -> Entropy {
    Entropy::new(random())
}

/// A new key.
pub(crate) fn key(curve: Curve) -> PrivateKey {
    PrivateKey::from_seed(curve, &random::<80>()[..curve.seed_length()]).unwrap()
}

/// What either end is to begin with.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) key: Arc<BootstrappingKey>,
    pub(crate) role: Role,
}

impl Own {
    pub(crate) fn new(curve: Curve, role: Role) -> Self {
        Self {
            key: Arc::new(BootstrappingKey::new(key(curve))),
            role,
        }
    }

    pub(crate) fn uri(&self) -> String {
        BootstrappingUri::new(self.key.public_key().clone()).to_string()
    }

    /// As the one who calls.
    pub(crate) fn initiate(
        &self,
        wire: &mut Wire,
        peer: &str,
        require_mutual: bool,
    ) -> Result<Authenticated, Stopped> {
        let uri = BootstrappingUri::parse(peer).unwrap();
        let parameters = InitiatorParameters {
            own: Some(self.key.clone()),
            peer: uri.key(),
            roles: Roles::Only(self.role),
            version: VERSION,
            channel: None,
            require_mutual,
        };
        let (request, mut waiting) = Initiator::start(parameters, &entropy())?;
        wire.send(&request)?;
        loop {
            let response = wire.receive()?;
            match replying(wire, waiting.handle(&response))? {
                Progress::Pending(still) => waiting = still,
                Progress::Done {
                    confirm,
                    authenticated,
                } => {
                    wire.send(&confirm)?;
                    return Ok(authenticated);
                }
            }
        }
    }

    /// As the one who is called. With `scan`, the peer is asked for patience until somebody has
    /// scanned its code, and authentication is mutual.
    pub(crate) fn respond(
        &self,
        wire: &mut Wire,
        scan: Option<Scan<'_>>,
    ) -> Result<Authenticated, Stopped> {
        let frame = wire.receive()?;
        let Opening::AuthenticationRequest(request) = Opening::read(&frame)? else {
            panic!("the peer began otherwise");
        };
        let roles = Roles::Only(self.role);
        let accepted = replying(
            wire,
            Responder::accept(&request, &*self.key, roles, VERSION),
        )?;
        let peer = match scan {
            Some(scan) => {
                wire.send(&accepted.pending()?)?;
                Some(BootstrappingUri::parse(&scan()).unwrap())
            }
            None => None,
        };
        let peer = peer.as_ref().map(BootstrappingUri::key);
        let (response, responder) = accepted.respond(&*self.key, peer, &entropy())?;
        wire.send(&response)?;
        let confirm = wire.receive()?;
        replying(wire, responder.handle(&confirm))
    }
}

/// Tells the peer of a refusal where the specification says so.
pub(crate) fn replying<T>(wire: &mut Wire, result: Result<T, Error>) -> Result<T, Stopped> {
    result.map_err(|error| {
        if let Some(reply) = error.reply() {
            let _ = wire.send(reply);
        }
        Stopped::Refused(error)
    })
}
