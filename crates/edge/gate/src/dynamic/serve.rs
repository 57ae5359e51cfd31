//! Orders from others: a RADIUS server or a person's tool that may end sessions of this gate.
//!
//! 1. The datagram comes from a client with `orders = true`, proves the shared secret, is of now, and was not
//!    heard before (RFC 5176 §6.3); else there is no answer.
//! 2. The sessions that it names are looked for: station, access point and the access point's own name of
//!    the session, each that is given must fit (RFC 5176 §3).
//! 3. A Disconnect-Request dismisses them, and is acknowledged when they are gone. The device may prove itself
//!    anew.
//! 4. Where a device belongs is the controller's word. So a CoA-Request is acknowledged where the session is
//!    in that segment, and else refused as prohibited.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;
use vouchsafe_radius::dynamic::{
    Arrival, Change, PROHIBITED, Received, Receiver, SESSION_NOT_FOUND,
};
use vouchsafe_radius::{MAX_PACKET, Origin, Refusal};

use crate::admission::{Place, Session};
use crate::clients::mapped;
use crate::error::GateError;
use crate::radius::Desk;

/// Most orders that wait for sessions to be gone.
const MAX_WAITING: usize = 64;

/// How long a session may take to be gone. Without an answer the order is repeated.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where orders arrive.
pub(crate) struct Orders {
    socket: UdpSocket,
    desk: Desk,
    receiver: Receiver,
    waiting: JoinSet<Option<Obeyed>>,
}

/// An order that was carried out.
struct Obeyed {
    order: Box<Received>,
    client: u32,
    to: SocketAddr,
}

impl Orders {
    /// Listens.
    pub(crate) async fn begin(
        address: SocketAddr,
        desk: Desk,
    ) -> Result<(Self, SocketAddr), GateError> {
        let failed = |source| GateError::Socket {
            address: address.to_string(),
            source,
        };
        let socket = UdpSocket::bind(address).await.map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        let orders = Self {
            socket,
            desk,
            receiver: Receiver::default(),
            waiting: JoinSet::new(),
        };
        Ok((orders, bound))
    }

    /// Serves until the gate stops.
    pub(crate) async fn run(mut self) {
        let mut buffer = vec![0; MAX_PACKET + 1];
        loop {
            tokio::select! {
                arrived = self.socket.recv_from(&mut buffer) => {
                    // An error is an earlier answer's, which nobody was there to take.
                    if let Ok((length, from)) = arrived {
                        let datagram = buffer.get(..length).unwrap_or_default();
                        self.take(datagram, from).await;
                    }
                }
                Some(obeyed) = self.waiting.join_next() => {
                    if let Ok(Some(obeyed)) = obeyed {
                        self.acknowledge(&obeyed).await;
                    }
                }
            }
        }
    }

    async fn take(&mut self, datagram: &[u8], from: SocketAddr) {
        let found = self.desk.clients.find(from.ip());
        let Some((number, client)) = found.filter(|(_, client)| client.orders) else {
            let code = Refusal::UnknownClient.code();
            tracing::warn!(%from, code, "an order was dropped");
            return;
        };
        let origin = Origin {
            client: number,
            address: mapped(from.ip()).octets(),
            port: from.port(),
        };
        let (now, shared) = (self.desk.clock.now(), &client.shared);
        let order = match self.receiver.receive(now, origin, shared, datagram) {
            Ok(Arrival::Fresh(order)) => order,
            Ok(Arrival::Repeated(answer)) => return self.send(&answer, from).await,
            Err(error) => {
                let name = client.name.as_str();
                tracing::warn!(
                    client = name,
                    code = error.reason_code(),
                    "an order was dropped"
                );
                return;
            }
        };
        let meant = self.desk.admission.named(&order.station());
        let cause = match order.change() {
            _ if meant.is_empty() => Some(SESSION_NOT_FOUND),
            Change::Move(segment) => {
                let is_there =
                    |(_, session): &(Place, Session)| self.desk.admission.is_in(session, segment);
                (!meant.iter().all(is_there)).then_some(PROHIBITED)
            }
            Change::Disconnect => None,
        };
        let obeyed = Obeyed {
            order,
            client: number,
            to: from,
        };
        match (cause, obeyed.order.change()) {
            (Some(cause), _) => {
                let answer = obeyed.order.refuse(&mut self.receiver, now, shared, cause);
                if let Ok(answer) = answer {
                    self.send(&answer, from).await;
                }
            }
            (None, Change::Move(_)) => self.acknowledge(&obeyed).await,
            (None, Change::Disconnect) => self.end(meant, obeyed),
        }
    }

    /// Step 3.
    fn end(&mut self, meant: Vec<(Place, Session)>, obeyed: Obeyed) {
        let now = self.desk.clock.now();
        for (place, session) in &meant {
            self.desk.admission.dismiss(place, &session.class, now);
        }
        if self.waiting.len() >= MAX_WAITING {
            tracing::warn!("too many orders wait; this one is not answered");
            return;
        }
        let admission = self.desk.admission.clone();
        self.waiting.spawn(async move {
            let mut changes = admission.changes();
            let is_there = |(place, session): &(Place, Session)| {
                let found = admission.find(place);
                found.is_some_and(|it| it.class == session.class)
            };
            let gone = async {
                loop {
                    changes.borrow_and_update();
                    if !meant.iter().any(is_there) || changes.changed().await.is_err() {
                        return;
                    }
                }
            };
            timeout(PATIENCE, gone).await.ok().map(|()| obeyed)
        });
    }

    async fn acknowledge(&mut self, obeyed: &Obeyed) {
        let Some(client) = self.desk.clients.number(obeyed.client) else {
            return;
        };
        let now = self.desk.clock.now();
        let answer = obeyed
            .order
            .acknowledge(&mut self.receiver, now, &client.shared);
        if let Ok(answer) = answer {
            self.send(&answer, obeyed.to).await;
        }
    }

    async fn send(&self, answer: &[u8], to: SocketAddr) {
        if let Err(error) = self.socket.send_to(answer, to).await {
            tracing::warn!(%error, %to, "an answer was not sent");
        }
    }
}
