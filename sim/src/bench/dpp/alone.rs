//! The protocol alone: our configurator's states behind a TCP listener, in a process of its own, with
//! every key in memory and the same answer for everybody. No inventory, no policy, no journal: what
//! hostap's controller has.
//!
//! 1. The URIs of the enrollees come on standard input, one a line; an empty line ends them.
//! 2. One line of JSON says the address and our own URI.
//! 3. Served until standard input ends.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Poll, ready};

use anyhow::{Context as _, anyhow, bail, ensure};
use aws_lc_rs::agreement;
use serde_json::json;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use vouchsafe_dpp::authentication::{
    AuthenticationRequest, Entropy, Responder, Role, Roles, VERSION,
};
use vouchsafe_dpp::configuration::{Answer, ConfiguratorSide, Reaction};
use vouchsafe_dpp::connector::{CSignKey, ConnectorContent};
use vouchsafe_dpp::object::{ConfigurationObject, ConnectorCredential, Credential, NetRole, Ssid};
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{
    Agreement as _, BootstrappingKey, BootstrappingPublicKey, Point, PrivateKey, Status, tcp,
};

use super::enrollee::{key, random};
use super::peers::NETWORK;
use crate::bench::world::new_key;

/// Octets that are read at once: longer than any frame of an exchange.
const READ: usize = 2048;

/// Steps 1 to 3.
///
/// # Errors
/// URIs that are none, an address that cannot be listened on.
pub fn serve() -> anyhow::Result<ExitCode> {
    let configurator = Arc::new(Configurator::new()?);
    // hostap's controller has one thread as well.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let ready = json!({
            "address": listener.local_addr()?.to_string(),
            "uri": BootstrappingUri::new(configurator.key.public_key().clone()).to_string(),
        });
        let mut output = std::io::stdout().lock();
        writeln!(output, "{ready}")?;
        output.flush()?;
        let mut ended = tokio::task::spawn_blocking(|| {
            let mut rest = [0; 64];
            while std::io::stdin().lock().read(&mut rest)? > 0 {}
            std::io::Result::Ok(())
        });
        loop {
            tokio::select! {
                ended = &mut ended => return anyhow::Ok(ended??),
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    let configurator = Arc::clone(&configurator);
                    tokio::spawn(async move {
                        if let Err(error) = configurator.converse(stream).await {
                            eprintln!("{error:#}");
                        }
                    });
                }
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

struct Configurator {
    key: BootstrappingKey,
    known: HashMap<[u8; 32], BootstrappingPublicKey>,
    c_sign: CSignKey,
    privacy_key: Point,
    ssid: Ssid,
}

impl Configurator {
    fn new() -> anyhow::Result<Self> {
        let mut known = HashMap::new();
        for line in std::io::stdin().lines() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            let key = BootstrappingUri::parse(&line)?.key().clone();
            known.insert(*key.hash(), key);
        }
        Ok(Self {
            key: BootstrappingKey::new(key()?),
            known,
            c_sign: CSignKey::new(Arc::new(new_key()?))?,
            privacy_key: key()?.public().clone(),
            ssid: Ssid::new(NETWORK.as_bytes())?,
        })
    }

    async fn converse(&self, stream: TcpStream) -> anyhow::Result<()> {
        let mut wire = Wire::new(stream)?;
        let request = AuthenticationRequest::read(&wire.receive().await?)?;
        let roles = Roles::Only(Role::Configurator);
        let accepted = Responder::accept(&request, &self.key, roles, VERSION)?;
        let peer = self.known.get(accepted.initiator_hash());
        let peer = peer.context("an enrollee that nobody knows")?;
        let (response, waiting) = accepted.respond(&self.key, Some(peer), &entropy()?)?;
        wire.send(&response).await?;
        let authenticated = waiting.handle(&wire.receive().await?)?;
        ensure!(authenticated.mutual(), "the enrollee has proved nothing");
        let side = ConfiguratorSide::new(authenticated)?;
        let requested = side.handle_request(&wire.receive().await?)?;
        let key = requested.authenticated().peer_protocol_key().clone();
        let answer = Answer::Objects {
            objects: vec![self.object(key)?],
            send_connection_status: false,
        };
        let (response, answered) = requested.respond(answer)?;
        wire.send(&response.context("no answer")?).await?;
        match answered.handle(&wire.receive().await?)? {
            Reaction::Result {
                status: Status::Ok, ..
            } => Ok(()),
            _ => bail!("the enrollee does not take it"),
        }
    }

    fn object(&self, net_access_key: Point) -> anyhow::Result<ConfigurationObject> {
        let content = ConnectorContent::for_any_group(NetRole::Station, net_access_key);
        let credential = Credential::dpp(ConnectorCredential {
            connector: self.c_sign.issue(&content)?,
            c_sign: self.c_sign.public().clone(),
            privacy_key: Some(self.privacy_key.clone()),
        });
        Ok(ConfigurationObject::new(self.ssid.clone(), credential))
    }
}

/// As the whole controller draws it.
fn entropy() -> anyhow::Result<Entropy> {
    let made = agreement::PrivateKey::generate(&agreement::ECDH_P256);
    let made = made.map_err(|_| anyhow!("no key could be made"))?;
    Ok(Entropy::new(random()?).with_protocol_key(PrivateKey::from_agreement_key(made)?))
}

struct Wire {
    stream: TcpStream,
    frames: tcp::Reader,
}

impl Wire {
    fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            frames: tcp::Reader::new(),
        })
    }

    async fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(&tcp::encode(frame)?).await?)
    }

    async fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(frame) = self.frames.next_frame()? {
                return Ok(frame);
            }
            let Self { stream, frames } = self;
            let length = poll_fn(|context| {
                let mut octets = [0; READ];
                let mut octets = ReadBuf::new(&mut octets);
                ready!(Pin::new(&mut *stream).poll_read(context, &mut octets))?;
                frames.push(octets.filled());
                Poll::Ready(std::io::Result::Ok(octets.filled().len()))
            });
            ensure!(length.await? > 0, "the enrollee went away");
        }
    }
}
