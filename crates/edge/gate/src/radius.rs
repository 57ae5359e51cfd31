//! The RADIUS server's sockets: a thread for access on each core, and one for accounting.
//!
//! Threads of their own and no tasks: a handshake takes half a millisecond of computing, and nothing in
//! it waits.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use vouchsafe_net::Clock;
use vouchsafe_radius::{
    MAX_PACKET, Origin, Question, Refusal, Rejection, Sent, Server, Step, accounting,
};

use crate::admission::{Admission, Place, Session};
use crate::clients::{Clients, RadiusClient, mapped};
use crate::error::GateError;
use crate::event::{Event, Events, station_text};
use crate::lanes::Lanes;
use crate::mac::Heard;
use crate::radsec::Lines;
use crate::random;

/// How long a thread waits before it looks whether it shall end.
const TICK: Duration = Duration::from_millis(250);

/// What all threads share.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) clients: Arc<Clients>,
    pub(crate) admission: Admission,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
    pub(crate) stop: Arc<AtomicBool>,
    /// The connections of RadSec clients.
    pub(crate) lines: Lines,
    /// The conversations.
    pub(crate) lanes: Arc<Lanes>,
}

pub(crate) fn bind(address: SocketAddr) -> Result<(UdpSocket, SocketAddr), GateError> {
    let failed = |source| GateError::Socket {
        address: address.to_string(),
        source,
    };
    let socket = UdpSocket::bind(address).map_err(failed)?;
    socket.set_read_timeout(Some(TICK)).map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    Ok((socket, bound))
}

impl Desk {
    /// Serves access until told to stop. Several threads may do so at one socket.
    pub(crate) fn serve_access(&self, socket: &UdpSocket) {
        self.each_datagram(socket, |desk, from, datagram| {
            let (number, client) = desk.client(from)?;
            let origin = Origin {
                client: number,
                address: mapped(from.ip()).octets(),
                port: from.port(),
            };
            desk.access(client, origin, datagram)
        });
    }

    /// Serves accounting until told to stop.
    pub(crate) fn serve_accounting(&self, socket: &UdpSocket) {
        self.each_datagram(socket, |desk, from, datagram| {
            let (number, client) = desk.client(from)?;
            desk.account(number, client, datagram)
        });
    }

    /// What is answered to a record of accounting.
    pub(crate) fn account(
        &self,
        number: u32,
        client: &RadiusClient,
        datagram: &[u8],
    ) -> Option<Vec<u8>> {
        match accounting::receive(&client.shared, datagram) {
            Ok((record, answer)) => {
                if let Some(record) = record
                    && !self.admission.account(number, &record, self.clock.now())
                {
                    tracing::debug!(client = client.name, "a record of no session of ours");
                }
                Some(answer)
            }
            Err(error) => {
                tracing::warn!(client = client.name, code = error.reason_code(), "dropped");
                None
            }
        }
    }

    fn each_datagram(
        &self,
        socket: &UdpSocket,
        mut handle: impl FnMut(&Self, SocketAddr, &[u8]) -> Option<Vec<u8>>,
    ) {
        // One octet more than a packet may have, so that a longer one is seen to be.
        let mut buffer = vec![0; MAX_PACKET + 1];
        while !self.stop.load(Ordering::Acquire) {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            if let Some(answer) = handle(self, from, datagram)
                && let Err(error) = socket.send_to(&answer, from)
            {
                tracing::warn!(%error, %from, "an answer was not sent");
            }
        }
    }

    /// What is answered to a request for access.
    pub(crate) fn access(
        &self,
        client: &RadiusClient,
        origin: Origin,
        datagram: &[u8],
    ) -> Option<Vec<u8>> {
        let now = self.clock.now();
        match self.by_address(client, origin.client, datagram, now) {
            Heard::Another => {}
            Heard::Nothing => return None,
            Heard::Answer(answer) => return Some(answer),
        }
        let entropy = random::entropy().ok()?;
        let mut server = self.lanes.of(datagram)?;
        server.expire(now);
        let step = server.handle(now, origin, &client.shared, datagram, entropy);
        match step {
            Step::Decide(question) => self.decide(&mut server, now, client, *question),
            step => self.finish(now, client, step),
        }
    }

    fn decide(
        &self,
        server: &mut Server,
        now: Timestamp,
        client: &RadiusClient,
        question: Question,
    ) -> Option<Vec<u8>> {
        let class = hex::encode(random::bytes::<16>().ok()?);
        let entropy = random::entropy().ok()?;
        let last = question.is_last();
        match self.admission.decide(&question, &class, now) {
            Ok((grant, entry)) => {
                let station = question.station().clone();
                let step = server.grant(now, &client.shared, question, &grant, entropy);
                if last {
                    let event = Event::Accepted {
                        device: entry.device,
                        station: station_text(station.mac),
                        access_point: station.access_point.unwrap_or_default(),
                        segment: entry.segment.map(|it| it.as_str().to_owned()),
                        seconds: grant.session_seconds.unwrap_or_default(),
                    };
                    self.events.tell(now, event);
                }
                self.finish(now, client, step)
            }
            Err(denial) => {
                let event = Event::Refused {
                    identity: question.identity().to_owned(),
                    station: station_text(question.station().mac),
                    access_point: question.station().access_point.clone().unwrap_or_default(),
                    reason: denial.code().to_owned(),
                };
                self.events.tell(now, event);
                let reason = Refusal::NotAuthorized.into();
                match server.refuse(now, &client.shared, question, reason) {
                    Step::Send(answer, _) => Some(answer),
                    _ => None,
                }
            }
        }
    }

    fn finish(&self, now: Timestamp, client: &RadiusClient, step: Step) -> Option<Vec<u8>> {
        match step {
            Step::Send(answer, Sent::Reject(rejection)) => {
                self.refused(now, *rejection);
                Some(answer)
            }
            Step::Send(answer, _) => Some(answer),
            Step::Discard(error) => {
                let name = client.name.as_str();
                tracing::warn!(client = name, code = error.reason_code(), %error, "dropped");
                None
            }
            Step::Decide(_) => None,
        }
    }

    /// A session that had to go is gone, as somebody confirmed: `filter`, `access-point` or `hostapd`.
    pub(crate) fn cut_off(&self, place: &Place, session: &Session, confirmed_by: &'static str) {
        let now = self.clock.now();
        if let Some(took) = self.admission.gone(place, &session.class, now) {
            let event = Event::CutOff {
                device: session.device.clone(),
                station: station_text(place.mac),
                access_point: place.access_point.clone().unwrap_or_default(),
                milliseconds: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
                confirmed_by,
            };
            self.events.tell(now, event);
        }
    }

    fn refused(&self, now: Timestamp, rejection: Rejection) {
        let event = Event::Refused {
            identity: rejection.identity,
            station: station_text(rejection.station.mac),
            access_point: rejection.station.access_point.unwrap_or_default(),
            reason: rejection.reason.reason_code().to_owned(),
        };
        self.events.tell(now, event);
    }

    fn client(&self, from: SocketAddr) -> Option<(u32, &RadiusClient)> {
        let found = self.clients.find(from.ip());
        if found.is_none() {
            let code = Refusal::UnknownClient.code();
            tracing::warn!(%from, code, "dropped");
        }
        found
    }
}
