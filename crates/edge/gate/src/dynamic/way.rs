//! How orders reach an access point, and answers come back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;
use vouchsafe_radius::Shared;
use vouchsafe_radius::dynamic::{Order, Outcome, Sent};

use crate::clients::RadiusClient;
use crate::radius::Desk;

/// How long an answer is awaited before the same datagram goes out again.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often one datagram goes out; then a new one is made.
const ATTEMPTS: usize = 3;

/// Largest answer, in octets (RFC 5176 §2.3).
const MAX_ANSWER: usize = 4096;

/// Over what.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Datagrams to this address.
    Datagrams {
        /// Where the access point listens.
        to: SocketAddr,
        /// The identifier of the last order.
        identifier: u8,
    },
    /// The connections that the client opened (RFC 6614 §2.5).
    Lines,
}

impl Way {
    /// What a client takes orders over, if it takes any.
    pub(crate) fn to(client: &RadiusClient) -> Option<Self> {
        match client.disconnect {
            Some(to) => Some(Self::Datagrams { to, identifier: 0 }),
            None if client.is_over_tls() => Some(Self::Lines),
            None => None,
        }
    }

    /// The same for another order.
    pub(super) fn next(&mut self) -> Self {
        if let Self::Datagrams { identifier, .. } = self {
            *identifier = identifier.wrapping_add(1);
        }
        *self
    }

    /// Gives an order. `None` when nobody answered.
    pub(super) async fn order(
        &self,
        desk: &Desk,
        number: u32,
        client: &RadiusClient,
        order: &Order,
    ) -> Option<Outcome> {
        let now = desk.clock.now();
        match self {
            Self::Lines => desk.lines.order(number, &client.shared, order, now).await,
            Self::Datagrams { to, identifier } => {
                let (datagram, sent) = order.datagram(&client.shared, *identifier, now).ok()?;
                match exchange(*to, &client.shared, &datagram, &sent).await {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        tracing::warn!(%error, address = %to, "an order was not sent");
                        None
                    }
                }
            }
        }
    }
}

async fn exchange(
    to: SocketAddr,
    shared: &Shared,
    datagram: &[u8],
    sent: &Sent,
) -> std::io::Result<Option<Outcome>> {
    let any: SocketAddr = if to.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    for _ in 0..ATTEMPTS {
        socket.send(datagram).await?;
        if let Ok(outcome) = timeout(PATIENCE, answer(&socket, shared, sent)).await {
            return outcome.map(Some);
        }
    }
    Ok(None)
}

/// The first datagram that proves to be the answer.
async fn answer(socket: &UdpSocket, shared: &Shared, sent: &Sent) -> std::io::Result<Outcome> {
    let mut buffer = [0; MAX_ANSWER];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let datagram = buffer.get(..length).unwrap_or_default();
        match sent.outcome(shared, datagram) {
            Ok(outcome) => return Ok(outcome),
            Err(error) => tracing::debug!(code = error.reason_code(), "not the answer"),
        }
    }
}
