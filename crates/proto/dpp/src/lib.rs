//! Wi-Fi Easy Connect (the Device Provisioning Protocol, DPP): messages, keys and the rules of
//! configurator and enrollee, for versions 1 to 3.
//!
//! Nothing here does IO, reads a clock or draws random numbers: bytes, keys, the time and entropy go
//! in; messages to send, the next state, or an [`Error`] that names rule and section come out. A state
//! is a struct, and what it handles uses it up. [`Error::reply`] is what the peer must still hear.
//!
//! One exchange over TCP, configurator on the left:
//!
//! ```text
//!  Opening::read                          <- Presence Announcement     (its key's hash only)
//!  Initiator::start                       -> Authentication Request
//!  Initiator::handle -> Authenticated     <- Authentication Response   Responder::accept, respond
//!                                         -> Authentication Confirm    Responder::handle
//!  ConfiguratorSide::handle_request       <- Configuration Request     EnrolleeSide::request
//!  Requested::respond                     -> Configuration Response    AwaitingConfiguration::handle
//!  Answered::handle                       <- Configuration Result      Configured::result
//! ```
//!
//! An enrollee that knows the configurator's key begins with the Authentication Request itself; then the
//! sides of the first three messages are exchanged. The crate's own order:
//!
//! 1. [`uri`], [`curve`]: whose key is known beforehand.
//! 2. [`tcp`], [`frame`], [`gas`], [`attribute`]: bytes. [`opening`]: what a stranger says first.
//! 3. [`authentication`] on [`schedule`] and [`wrap`]: the only maker of
//!    [`authentication::Authenticated`].
//! 4. [`configuration`] with the [`object`]s and [`connector`]s that it carries.
//!
//! Beside that path: [`announcement`], [`pkex`] (keys learned from a code), [`reconfiguration`],
//! [`introduction`] (between station and access point), [`csr`] (certificates) and [`backup`].

pub mod announcement;
pub mod attribute;
pub mod authentication;
pub mod backup;
pub mod configuration;
pub mod connector;
pub mod csr;
pub mod curve;
mod error;
pub mod frame;
pub mod gas;
pub mod introduction;
mod json;
mod jwk;
pub mod object;
pub mod opening;
pub mod pkex;
pub mod reconfiguration;
#[cfg(test)]
mod recorded;
pub mod schedule;
mod signature;
mod status;
pub mod tcp;
pub mod uri;
pub mod wrap;

pub use curve::{Agreement, BootstrappingKey, BootstrappingPublicKey, Curve, Point, PrivateKey};
pub use error::{AttributeFault, Error, Malformed, MemberFault, Misuse, Refusal, Unsupported};
pub use opening::Opening;
pub use status::Status;
