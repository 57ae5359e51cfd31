//! An access point without stations: it ends sessions when it is told to, and says so.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::bail;
use vouchsafe_net::Clock;
use vouchsafe_radius::Origin;
use vouchsafe_radius::dynamic::{Arrival, Receiver};

use super::network::Network;

/// An access point that ends sessions when it is told to.
pub(super) struct AccessPoint {
    pub(super) address: SocketAddr,
    ended: Arc<Mutex<HashMap<[u8; 6], Instant>>>,
}

impl AccessPoint {
    pub(super) fn start() -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let point = Self {
            address: socket.local_addr()?,
            ended: Arc::default(),
        };
        let ended = Arc::clone(&point.ended);
        std::thread::spawn(move || obey(&socket, &ended));
        Ok(point)
    }

    /// When it was told to end a station's session.
    pub(super) fn told(&self, mac: [u8; 6]) -> anyhow::Result<Instant> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = ended.get(&mac) else {
            bail!("nobody ended the session of {mac:?}");
        };
        Ok(*at)
    }
}

fn obey(socket: &UdpSocket, ended: &Mutex<HashMap<[u8; 6], Instant>>) {
    let (shared, mut receiver) = (Network::shared(), Receiver::default());
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let now = Clock::system().now();
        let origin = Origin {
            client: 0,
            address: [0; 16],
            port: from.port(),
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        let answer = match receiver.receive(now, origin, &shared, datagram) {
            Ok(Arrival::Fresh(received)) => {
                if let Some(mac) = received.station().mac {
                    let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                    ended.entry(mac).or_insert_with(Instant::now);
                }
                received.acknowledge(&mut receiver, now, &shared).ok()
            }
            Ok(Arrival::Repeated(answer)) => Some(answer),
            Err(_) => None,
        };
        if let Some(answer) = answer {
            // One that does not arrive is asked for again.
            let _ = socket.send_to(&answer, from);
        }
    }
}
