//! What a handler knows about the other end of its connection.

use std::net::SocketAddr;
use std::sync::Arc;

use vouchsafe_trust::Certificate;

/// The other end of a connection, as an extension of every request on it
/// (`axum::Extension<Peer>`). Cheap to clone.
///
/// With [`ClientAuth::Optional`](crate::ClientAuth::Optional) the chain proves only that the client
/// holds the key of its first certificate; whether that certificate means anything is the handler's
/// to judge.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The certificates that the client sent, leaf first; empty when it sent none.
    pub chain: Arc<[Certificate]>,
    /// The certificates that we sent, leaf first: the first is what a pledge puts into
    /// `proximity-registrar-cert` (RFC 8995 §5.2).
    pub presented: Arc<[Certificate]>,
    /// Channel binding `tls-exporter` (RFC 9266), equal on both sides.
    pub exporter: [u8; 32],
    /// The client's address.
    pub addr: SocketAddr,
    /// Unique over all listeners of this process.
    pub connection_id: u64,
}

impl Peer {
    /// The client's own certificate, if it sent one.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.chain.first()
    }
}
