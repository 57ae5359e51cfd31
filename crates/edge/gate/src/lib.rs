//! The gate: it lets in exactly the devices that may, and takes them off when they no longer may.
//!
//! * [`desired`]: what the controller wants, by version.
//! * [`admission`]: decisions and sessions, under one lock.
//! * `radius`: access points ask here; `dynamic` ends or moves sessions there.
//! * `wired`: ports of this machine, through `hostapd` (who is authenticated) and `filter` (what passes).
//! * `join_proxy`: the way of new devices to the registrar.
//! * `link`: how the gate enrols, what its controller wants, and what it reports.
//! * [`run`]: all of it, from a folder with a `gate.toml`.
//!
//! Known devices keep getting in while the controller is away: the gate decides by its copy of the desired
//! state, for as long as that is not older than the configuration allows.

pub mod admission;
mod bystander;
mod clients;
mod config;
pub mod desired;
mod dynamic;
mod error;
mod event;
mod filter;
mod gate;
mod hostapd;
mod join_proxy;
mod lanes;
mod link;
mod mac;
mod nft;
mod radius;
mod radsec;
mod random;
mod routed;
pub mod segment;
mod source;
mod status;
mod wifi;
mod wired;

pub use config::Config;
pub use error::GateError;
pub use event::{Event, Events, Recorded, mac_text};
pub use gate::run;
pub use join_proxy::JoinProxyConfig;
pub use link::{
    DEFAULT_KEYS, DomainAnchor, Enrolled, Enrolment, LinkConfig, LinkError, LinkStatus, Trouble,
    enrol,
};
pub use status::{GateCertificate, Status, check, status};
