//! Wi-Fi Easy Connect (the Device Provisioning Protocol, DPP): messages, keys and the rules of
//! configurator and enrollee, for versions 1 to 3.
//!
//! Nothing here does IO, reads a clock or draws random numbers: bytes, keys, the time and entropy go
//! in; messages to send, the next state, or an [`Error`] that names rule and section come out.

pub mod attribute;
pub mod connector;
pub mod curve;
mod error;
pub mod frame;
pub mod gas;
mod json;
mod jwk;
pub mod object;
pub mod schedule;
mod signature;
mod status;
pub mod tcp;
pub mod uri;
pub mod wrap;

pub use curve::{Agreement, BootstrappingKey, BootstrappingPublicKey, Curve, Point, PrivateKey};
pub use error::{AttributeFault, Error, Malformed, MemberFault, Misuse, Refusal, Unsupported};
pub use status::Status;
