//! The gate's link to its controller: over TLS with certificates on both sides, opened by the gate, at the
//! controller's registrar.
//!
//! 1. [`enrol()`]: once, with a token; the gate has a certificate and knows the domain CA.
//! 2. The gate asks for what is newer than the desired state that it has, and waits for the answer. It gets
//!    the whole, a difference, or nothing ([`poll`]).
//! 3. What it got is proved, written down ([`kept`]), and then put in force.
//! 4. What happens at the gate is reported, again and again until the controller has it for good
//!    ([`report`]).
//! 5. At two thirds of its life the certificate is renewed ([`renewal`]).
//!
//! Without the controller all that the gate has stays in force, also over restarts.

mod config;
mod enrol;
mod error;
mod folder;

pub use config::LinkConfig;
pub(crate) use config::default_keys;
pub use enrol::{DomainAnchor, Enrolled, Enrolment, enrol};
pub use error::LinkError;
pub(crate) use folder::LinkFolder;
pub use folder::{LinkStatus, Trouble};
