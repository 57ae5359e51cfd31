//! RadSec (RFC 6614): RADIUS from access points and proxies over TLS in which both ends prove themselves.
//!
//! 1. A connection is accepted while there is room for one that proved nothing yet (`strangers`).
//! 2. TLS proves the client's key, `known` says which of the configured clients it is, and it gets one of the
//!    places of clients ([`MAX_CONNECTIONS`], [`MAX_LINES`] of one client).
//! 3. Packets are cut out of the stream. One that is malformed or proves nothing ends the connection
//!    (RFC 6613 §2.6.4); others are answered as over UDP, up to [`AT_ONCE`] of them at a time.
//! 4. A certificate that was revoked, or has run out, ends its open connections too.
//! 5. Orders to end or move sessions go down the same connections (`lines`), and their outcomes come back.

mod config;
mod known;
mod lines;
mod strangers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use vouchsafe_net::{Accepted, Acceptor, AcceptorOptions, ClientAuth, ReloadableIdentity};
use vouchsafe_radius::{Code, Error, Framer, MAX_PACKET, Origin, Packet, Refusal};
use vouchsafe_trust::Certificate;

use crate::clients::mapped;
use crate::error::GateError;
use crate::radius::Desk;

pub(crate) use config::RadsecConfig;
pub(crate) use known::Known;
pub(crate) use lines::Lines;
use strangers::{Stranger, Strangers};

/// Most connections of clients.
const MAX_CONNECTIONS: usize = 1024;

/// Most connections of one client.
const MAX_LINES: usize = 16;

/// Most requests of one connection that are worked on; the rest waits in the network.
const AT_ONCE: usize = 32;

/// Longest time for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a connection may be silent. Clients ask every half minute whether we live (RFC 3539 §3.4).
const IDLE: Duration = Duration::from_secs(300);

/// How long a client may be silent in the middle of a packet, or leave an answer unread.
const STALLED: Duration = Duration::from_secs(10);

/// How often it is asked again whether the certificate of an open connection still counts.
const AGAIN: Duration = Duration::from_secs(2);

/// Answers that wait for a client to read them; with one more the connection ends.
const UNREAD: usize = 4 * AT_ONCE;

/// Pause after a failed accept, for example while no file descriptor is free.
const PAUSE: Duration = Duration::from_millis(50);

/// The listener.
pub(crate) struct Radsec {
    listener: TcpListener,
    acceptor: Acceptor,
    known: Known,
    desk: Desk,
    /// Places of clients that are free.
    room: Arc<Semaphore>,
}

/// A connection of one of the clients.
struct Proved<Stream> {
    stream: Stream,
    chain: Arc<[Certificate]>,
    number: u32,
    place: OwnedSemaphorePermit,
}

impl Radsec {
    /// Listens. `known` are the clients, `identity` what they see.
    pub(crate) async fn begin(
        listen: SocketAddr,
        known: Known,
        identity: ReloadableIdentity,
        desk: Desk,
    ) -> Result<(Self, SocketAddr), GateError> {
        let failed = |source| GateError::Socket {
            address: listen.to_string(),
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let options = AcceptorOptions {
            identity,
            // Whose certificate it is, is judged here: not every client's leads to the domain CA.
            client_auth: ClientAuth::Optional,
            handshake: HANDSHAKE,
            clock: desk.clock.clone(),
        };
        let acceptor = Acceptor::new(options)
            .map_err(|error| GateError::content("gate.toml", error.to_string()))?;
        let radsec = Self {
            listener,
            acceptor,
            known,
            desk,
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        };
        Ok((radsec, bound))
    }

    /// Serves for as long as the gate runs; connections end with it.
    pub(crate) async fn run(self) {
        let strangers = Strangers::default();
        let shared = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = shared.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let (wire, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let Some(stranger) = strangers.arrive(from.ip()) else {
                tracing::warn!(%from, code = "radsec-full", "no room for one more that has proved nothing yet");
                continue;
            };
            let shared = shared.clone();
            connections.spawn(async move {
                if let Some(client) = shared.prove(wire, from, stranger).await {
                    shared.serve(client, from).await;
                }
            });
        }
    }

    /// Step 2.
    async fn prove(
        &self,
        wire: TcpStream,
        from: SocketAddr,
        _: Stranger,
    ) -> Option<Proved<impl AsyncRead + AsyncWrite + Send + Unpin + use<>>> {
        let _ = wire.set_nodelay(true);
        let Accepted { stream, chain } = match self.acceptor.accept(wire).await {
            Ok(accepted) => accepted,
            Err(failure) => {
                tracing::warn!(%from, code = failure.as_str(), "handshake failed");
                return None;
            }
        };
        let now = self.desk.clock.now();
        let number = match self.known.who(&chain, &self.desk.lanes, now) {
            Ok(number) => number,
            Err(code) => {
                tracing::warn!(%from, code, "not one of the clients");
                return None;
            }
        };
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            tracing::warn!(%from, code = "radsec-full", "no room for one more connection of a client");
            return None;
        };
        Some(Proved {
            stream,
            chain,
            number,
            place,
        })
    }

    /// Steps 3 to 5.
    async fn serve(
        &self,
        client: Proved<impl AsyncRead + AsyncWrite + Send + Unpin>,
        from: SocketAddr,
    ) {
        let Proved {
            stream,
            chain,
            number,
            place,
        } = client;
        let (send, outgoing) = mpsc::channel(UNREAD);
        let Some(line) = self.desk.lines.open(number, send.clone()) else {
            tracing::warn!(%from, code = "radsec-full", "the client has connections enough");
            return;
        };
        let (read, write) = tokio::io::split(stream);
        let origin = Origin {
            client: number,
            address: mapped(from.ip()).octets(),
            port: 0,
        };
        tokio::select! {
            ended = self.read(read, origin, &send) => {
                tracing::debug!(%from, code = ended, "connection ended");
            }
            code = self.doubt(&chain, number) => {
                tracing::warn!(%from, code, "no longer one of the clients");
            }
            () = write_all(write, outgoing) => {}
        }
        drop((line, place));
    }

    /// Ready, with the reason, once the certificate is not this client's any more.
    async fn doubt(&self, chain: &[Certificate], number: u32) -> &'static str {
        loop {
            sleep(AGAIN).await;
            let now = self.desk.clock.now();
            match self.known.who(chain, &self.desk.lanes, now) {
                Ok(found) if found == number => {}
                Ok(_) => return "radsec-client-unknown",
                Err(code) => return code,
            }
        }
    }

    /// Reads until something ends the connection, and says what.
    async fn read(
        &self,
        mut stream: impl AsyncRead + Unpin,
        origin: Origin,
        send: &mpsc::Sender<Vec<u8>>,
    ) -> &'static str {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let spoiled = Arc::new(Notify::new());
        let mut framer = Framer::default();
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            let patience = if framer.is_begun() { STALLED } else { IDLE };
            let read = tokio::select! {
                read = timeout(patience, stream.read(&mut buffer)) => read,
                () = spoiled.notified() => return "radsec-spoiled",
            };
            let length = match read {
                Err(_) => return "radsec-silent",
                Ok(Err(_) | Ok(0)) => return "radsec-closed",
                Ok(Ok(length)) => length,
            };
            let mut octets = buffer.get(..length).unwrap_or_default();
            loop {
                let packet = match framer.take(&mut octets) {
                    Ok(Some(packet)) => packet,
                    Ok(None) => break,
                    Err(error) => return error.reason_code(),
                };
                let Ok(place) = places.clone().acquire_owned().await else {
                    return "radsec-closed";
                };
                let (desk, send, spoiled) = (self.desk.clone(), send.clone(), spoiled.clone());
                // A handshake computes for half a millisecond, which is nothing for these threads.
                tokio::task::spawn_blocking(move || {
                    match handle(&desk, origin, &packet) {
                        // A client that does not read its answers loses its connection.
                        Ok(Some(answer)) => {
                            if send.try_send(answer).is_err() {
                                spoiled.notify_one();
                            }
                        }
                        Ok(None) => {}
                        Err(error) => {
                            tracing::warn!(code = error.reason_code(), "connection closed");
                            spoiled.notify_one();
                        }
                    }
                    drop(place);
                });
            }
        }
    }
}

/// The answer to a packet, if it deserves one. An error ends the connection.
fn handle(desk: &Desk, origin: Origin, datagram: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let packet = Packet::parse(datagram)?;
    let client = desk
        .clients
        .number(origin.client)
        .ok_or(Refusal::UnknownClient)?;
    match packet.code() {
        Code::AccessRequest | Code::StatusServer => {
            client.shared.check_access_request(&packet)?;
            Ok(desk.access(client, origin, datagram))
        }
        Code::AccountingRequest => {
            client.shared.check_digest_request(&packet)?;
            Ok(desk.account(origin.client, client, datagram))
        }
        Code::DisconnectAck | Code::DisconnectNak | Code::CoaAck | Code::CoaNak => {
            desk.lines
                .answered(origin.client, &client.shared, datagram)?;
            Ok(None)
        }
        _ => Err(Refusal::CodeUnexpected.into()),
    }
}

/// Writes what is due until nobody has anything more, or the client does not read.
async fn write_all(mut stream: impl AsyncWrite + Unpin, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    while let Some(packet) = outgoing.recv().await {
        let write = async {
            stream.write_all(&packet).await?;
            stream.flush().await
        };
        if !matches!(timeout(STALLED, write).await, Ok(Ok(()))) {
            return;
        }
    }
}
