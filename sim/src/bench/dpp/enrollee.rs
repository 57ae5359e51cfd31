//! The load: an enrollee that calls, on tokio.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::rand;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vouchsafe_dpp::authentication::{
    Entropy, Initiator, InitiatorParameters, Progress, Role, Roles, VERSION,
};
use vouchsafe_dpp::configuration::{EnrolleeSide, Outcome};
use vouchsafe_dpp::object::{NetRole, RequestObject};
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{
    Agreement as _, BootstrappingKey, BootstrappingPublicKey, Curve, PrivateKey, Status, tcp,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The curve of all keys.
pub(super) const CURVE: Curve = Curve::P256;

/// One enrollee with its key.
pub(super) struct Enrollee {
    key: Arc<BootstrappingKey>,
}

/// A session that waits for our next word.
pub(super) struct Begun {
    wire: Wire,
    waiting: Initiator,
    response: Vec<u8>,
}

impl Enrollee {
    pub(super) fn new() -> anyhow::Result<Self> {
        let key = BootstrappingKey::new(key()?);
        Ok(Self { key: Arc::new(key) })
    }

    /// The text of its label.
    pub(super) fn uri(&self) -> String {
        BootstrappingUri::new(self.key.public_key().clone()).to_string()
    }

    /// Calls, and gets as far as the controller's first answer.
    pub(super) async fn begin(
        &self,
        at: SocketAddr,
        peer: &BootstrappingPublicKey,
    ) -> anyhow::Result<Begun> {
        let mut wire = Wire(TcpStream::connect(at).await?);
        wire.0.set_nodelay(true)?;
        let parameters = InitiatorParameters {
            own: Some(self.key.clone()),
            peer,
            roles: Roles::Only(Role::Enrollee),
            version: VERSION,
            channel: None,
            require_mutual: true,
        };
        let (request, waiting) = Initiator::start(parameters, &Entropy::new(random()?))?;
        wire.send(&request).await?;
        let response = wire.receive().await?;
        Ok(Begun {
            wire,
            waiting,
            response,
        })
    }

    /// A whole exchange.
    pub(super) async fn exchange(
        &self,
        at: SocketAddr,
        peer: &BootstrappingPublicKey,
    ) -> anyhow::Result<()> {
        let Begun {
            mut wire,
            waiting,
            response,
        } = self.begin(at, peer).await?;
        let Progress::Done {
            confirm,
            authenticated,
        } = waiting.handle(&response)?
        else {
            bail!("the controller wants time");
        };
        wire.send(&confirm).await?;
        let side = EnrolleeSide::new(authenticated)?;
        let object = RequestObject::new("bench", NetRole::Station);
        let (request, mut waiting) = side.request(&object, &random()?)?;
        wire.send(&request).await?;
        let configured = loop {
            match waiting.handle(&wire.receive().await?)? {
                Outcome::Configured(configured) => break configured,
                Outcome::ComeBack {
                    frame,
                    waiting: still,
                    ..
                } => {
                    waiting = still;
                    wire.send(&frame).await?;
                }
                _ => bail!("the controller wants something else"),
            }
        };
        ensure!(configured.objects().len() == 1, "one network was expected");
        wire.send(&configured.result(Status::Ok)?).await?;
        wire.end().await
    }
}

struct Wire(TcpStream);

impl Wire {
    async fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.write_all(&tcp::encode(frame)?).await?)
    }

    async fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        let read = async {
            let mut field = [0; tcp::LENGTH_FIELD];
            self.0.read_exact(&mut field).await?;
            let mut frame = vec![0; tcp::frame_length(field)?];
            self.0.read_exact(&mut frame).await?;
            anyhow::Ok(frame)
        };
        timeout(PATIENCE, read).await.context("no answer in time")?
    }

    /// Waits until the controller has read everything and closed; hostap's closes only after us.
    async fn end(mut self) -> anyhow::Result<()> {
        self.0.shutdown().await?;
        let mut rest = [0];
        let read = timeout(PATIENCE, self.0.read(&mut rest)).await;
        // It may be gone already.
        let length = read.context("the controller does not close")?.unwrap_or(0);
        ensure!(length == 0, "the controller goes on");
        Ok(())
    }
}

/// A new private key.
pub(super) fn key() -> anyhow::Result<PrivateKey> {
    let octets: [u8; 80] = random()?;
    let seed = octets.get(..CURVE.seed_length()).unwrap_or_default();
    Ok(PrivateKey::from_seed(CURVE, seed)?)
}

/// Random octets.
pub(super) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut octets = [0; N];
    rand::fill(&mut octets).map_err(|_| anyhow::anyhow!("no random octets"))?;
    Ok(octets)
}
