//! RADIUS (RFC 2865, 2866, 2869, 3579, 3580, 5176, 6614), EAP (RFC 3748) and EAP-TLS over TLS 1.2 and 1.3
//! (RFC 5216, 9190, 9427): server, peer, client and dynamic authorization, without a socket.
//!
//! Datagrams, the time and random octets go in; what is to be sent and decided comes out. rustls, which
//! draws its randomness itself, lives in the module `tls` and nowhere else; its source of randomness
//! and its time are arguments too.
//!
//! * [`Server`]: what an access point asks. It proves who the station is; its caller decides
//!   ([`Question`], [`Grant`]).
//! * [`Peer`]: what a station does. With [`Client`], which does what an access point does, it makes
//!   the other end for tests and for load.
//! * [`accounting`], [`dynamic`]: records of sessions, and their end on demand, in both directions.
//!
//! The caller's part: sockets, who shares which secret, who may come in, and what became of it.

pub mod accounting;
pub mod attribute;
mod client;
pub mod dynamic;
pub mod eap;
mod error;
mod fragment;
mod identity;
mod method;
mod packet;
mod peer;
mod server;
mod shared;
mod station;
mod stream;
mod tls;

pub use client::{Answer, Client, Open};
pub use error::{Error, Malformed, Misuse, Refusal, TlsFailure};
pub use fragment::{FragmentSize, MAX_FLIGHT};
pub use identity::check_identity;
pub use packet::{Code, Draft, HEADER, MAX_PACKET, Packet};
pub use peer::{Peer, PeerStep};
pub use server::{
    Entropy, Grant, Limits, Origin, Question, Rejection, Segment, Sent, Server, Step, lane,
};
pub use shared::Shared;
pub use station::Station;
pub use stream::{Framer, RADSEC_SECRET};
pub use tls::{
    Acceptor, Connector, MAX_CHAIN, Proof, Resumption, SessionKeys, SessionMemory, Trust, Version,
    Versions,
};
