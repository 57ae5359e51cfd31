//! Sockets: TLS with HTTP/1.1 on it, both sides, and the clock.
//!
//! The programs differ in their handlers, not in how they meet the network, so that part is here:
//!
//! * [`Server`]: an accept loop in front of an axum router. It bounds what a client can take
//!   ([`Limits`]), tells handlers who is calling ([`Peer`]), follows a certificate that is replaced
//!   ([`ReloadableIdentity`]), and drains when asked to stop.
//! * [`Connector`], [`Connection`], [`Pool`]: the calling side, with anchors or provisional
//!   (RFC 8995 §5.1).
//! * [`Acceptor`]: TLS alone, for protocols that are not HTTP.
//! * [`Announcement`]: how a service is found by mDNS.
//! * [`Neighbours`]: datagrams to all on a link.
//! * [`Clock`]: the one place that reads the wall clock.
//!
//! # Who checks what
//!
//! TLS always proves that the peer holds the key of the certificate it shows. Whether that
//! certificate means anything is decided here for strict anchors, and by the caller for devices
//! ([`ClientAuth::Optional`]) and unknown registrars ([`ServerTrust::Provisional`]): odd IDevIDs
//! (X.509 v1, year 9999, unknown critical extensions, CA flag) pass TLS and are judged by rules that
//! know the manufacturer. No other crate names a TLS verifier.
//!
//! # Decisions
//!
//! * Channel binding is `tls-exporter` (RFC 9266) in TLS 1.2 and 1.3; `tls-unique` does not exist.
//! * No issuer hints, because a device that does not see its maker's name keeps its certificate
//!   back. No session tickets for listeners that ask for certificates.
//! * A handshake whose key is in hardware runs where its waiting holds up nobody.

mod acceptor;
mod activity;
mod announce;
mod body;
mod browse;
mod client;
mod clock;
mod config;
mod connection;
mod error;
mod identity;
mod limits;
mod neighbours;
mod origin;
mod peer;
mod pool;
mod registry;
mod server;
mod stats;
mod stream;
mod tls;
mod verify;

pub use acceptor::{Accepted, Acceptor, AcceptorOptions};
pub use announce::{AnnouncedService, Announcement};
pub use body::{Unread, read_body};
pub use browse::{limit_to, places_of};
pub use client::{Connection, Connector, ConnectorOptions, ServerTrust};
pub use clock::Clock;
pub use config::ClientAuth;
pub use error::ClientError;
pub use identity::{Identity, IdentityError, ReloadableIdentity};
pub use limits::{Limits, raise_open_files_limit};
pub use neighbours::{Link, Neighbours};
pub use origin::{Origin, OriginError};
pub use peer::Peer;
pub use pool::{Pool, PoolLimits};
pub use server::{BindError, Server, ServerOptions};
pub use stats::{Cut, Stats};
pub use stream::WireBytes;
pub use tls::{HandshakeFailure, TlsVersions};
