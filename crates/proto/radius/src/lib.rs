//! RADIUS, EAP-TLS and dynamic authorization, without a socket.

pub mod attribute;
pub mod eap;
mod error;
mod fragment;
mod packet;
mod shared;

pub use error::{Error, Malformed, Misuse, Refusal, TlsFailure};
pub use fragment::{FragmentSize, MAX_FLIGHT};
pub use packet::{Code, Draft, HEADER, MAX_PACKET, Packet};
pub use shared::Shared;
