//! The device: pledge (RFC 8995), key store, renewals (RFC 7030).
//!
//! An [`Agent`] lives in a folder:
//!
//! | | what | written by |
//! | --- | --- | --- |
//! | `birth/` | who the device is, see [`birth`] | the factory, or [`line::be_born`]; never wiped |
//! | `agent.toml` | [`Config`], optional | its owner or maker |
//! | `state/` | what it has become, see [`folder`] | the agent; wiped by [`Agent::reset`] |
//!
//! The agent's own keys are in the key store of the birth key, under labels that begin with that
//! key's; they come and go with the certificates.
//!
//! # What it does
//!
//! 1. Finds registrars: those configured, then those that mDNS shows. All of it is hostile until a
//!    voucher says otherwise.
//! 2. Tries one after the other, each a whole attempt on **one** TLS connection (see the page of
//!    `attempt`); one that fails is put aside, twice as long each time, and the next is tried.
//! 3. Installs key, certificate and anchors as one file, then reports on a new connection.
//! 4. Renews after two thirds of the certificate's life, with a new key; long after its end with the
//!    birth certificate, and if that is refused by joining again.
//!
//! # Decisions
//!
//! * What cannot be repeated is written down before it is done, so that a device that loses power at
//!   any moment goes on where it stood.
//! * A device whose clock is wrong takes the time from the voucher that answers its nonce
//!   (RFC 8995 §2.6.1), if its maker says that the clock is not to be trusted, or if the clock
//!   shows a time before the device was made.
//! * A request is bound to its connection only where the domain asks for it or configuration says
//!   so: one that is not can be repeated to the letter, and nothing is issued twice.

mod agent;
mod attempt;
pub mod birth;
mod candidate;
mod config;
mod device;
mod discover;
mod error;
mod event;
pub mod folder;
mod keys;
pub mod line;
mod network;
mod random;
mod renew;
mod session;
mod status;
mod supplicant;
mod way_in;
mod wifi;

pub use agent::Agent;
pub use candidate::{Candidate, Found, MAX_CANDIDATES};
pub use config::{
    ChannelBinding, ClockTrust, Config, DppConfig, NetworkConfig, Nonceless, VoucherForm, WifiRole,
};
pub use error::{AgentError, Failure, LocalError, Step, UnusableCertificate};
pub use event::{Event, Events, Record};
pub use status::{CredentialStatus, Status, status};
pub use supplicant::SupplicantError;
pub use wifi::again::Before;
pub use wifi::code::Code;
pub use wifi::configuration::{WifiNetworkStatus, WifiStatus};
pub use wifi::{UnusableConfiguration, WifiError, enrollee};
