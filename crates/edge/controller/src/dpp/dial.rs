//! Calls a device that listens on TCP, at the address in its URI (`H:`) or one that a person gave.
//!
//! Who may ask for it is the API's business; it happens at most [`MOST`] times at once.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use vouchsafe_dpp::uri::Host;
use vouchsafe_fleet::wifi::{BootstrappingKey, HashForm};

use super::authenticate::read_uri;
use super::failure::Failure;
use super::session::{Session, report};
use super::wire::{Ended, Wire};
use crate::controller::Controller;

/// Calls under way at the same time.
const MOST: usize = 64;

/// Until the connection stands.
const CONNECT: Duration = Duration::from_secs(5);

static TURNS: Semaphore = Semaphore::const_new(MOST);

/// Why a device that was called is not configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Its URI says no address, and none was given.
    #[error("the device's URI has no host (H:), and no address was given")]
    NoAddress,
    /// Many others are being called.
    #[error("too many devices are being called at once; try again")]
    Busy,
    /// Nobody listens there.
    #[error("{address}: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The exchange did not come to its end; the device's journal says more.
    #[error("{0}")]
    Failed(String),
}

/// Calls the device with this key and configures it. Comes back when the device has said what it
/// thinks of its configuration, or the exchange has failed.
///
/// # Errors
/// [`CallError`].
pub async fn call(
    controller: &Controller,
    key: &BootstrappingKey,
    host: Option<Host>,
) -> Result<(), CallError> {
    let _turn = TURNS.try_acquire().map_err(|_| CallError::Busy)?;
    let failed = |failure: Failure| CallError::Failed(failure.to_string());
    let uri = read_uri(key).map_err(|fault| failed(fault.into()))?;
    let host = host.or(uri.host).ok_or(CallError::NoAddress)?;
    let address = host.to_string();
    let connecting = TcpStream::connect((host.address(), host.port()));
    let stream = match timeout(CONNECT, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(CallError::Unreachable { address, source }),
        Err(_) => {
            let source = std::io::ErrorKind::TimedOut.into();
            return Err(CallError::Unreachable { address, source });
        }
    };
    let mut wire = Wire::new(stream, None);
    wire.begin_session();
    let session = Session {
        controller: controller.clone(),
        wire,
        place: None,
        via: address.clone(),
    };
    let ended = Box::pin(session.begin(key)).await;
    report(&address, &ended);
    ended.map_err(failed)
}

impl Session {
    async fn begin(mut self, key: &BootstrappingKey) -> Result<(), Failure> {
        let knock = self.knock(key.id, HashForm::Key);
        let key = match Box::pin(knock.decide(&self.controller)).await? {
            Ok(key) => key,
            Err(refused) => return Err(Failure::Refused(refused.reasons)),
        };
        let mut stopping = self.controller.stopping.subscribe();
        let exchange = async {
            let (authenticated, proved) = self.call(&knock, &key).await?;
            self.configure(authenticated, proved).await
        };
        tokio::select! {
            ended = exchange => ended,
            _ = stopping.wait_for(|stopping| *stopping) => Err(Ended::Closed.into()),
        }
    }
}
