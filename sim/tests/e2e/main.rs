//! The four programs as their users meet them: processes that speak over sockets, with others in
//! their place where that proves more.
//!
//! | module | what it shows |
//! | --- | --- |
//! | [`judge`] | a pledge and a registrar of other making complete whole runs against ours |
//! | [`openssl`] | EST by `curl`; vouchers, manifests, certificates, CRL and OCSP by `openssl` |
//! | [`kill`] | power cuts at each step: nothing is issued twice, nothing is half done |
//! | [`outage`] | disk full, database gone: refused, and then completed |
//! | [`race`] | two owners, one device: one wins, the other learns why |
//! | [`load`] | thousands of idle and slow connections: others are still served |
//! | [`admission`] | the credential opens the network, and nothing else does; trust that ends takes it off |
//! | [`address`] | a station without 802.1X comes in by its MAC address, as long as policy says so |
//! | [`join_proxy`] | a device that reaches nothing but the join proxy onboards through it |
//! | [`wired`] | hostapd, the packet filter and the gate start anew under live sessions: the same state after |
//! | [`secrets`] | no secret in any output, log, store, journal, backup or answer |
//!
//! [`world`] starts the programs, [`relay`] is the wire between them, [`api`] asks a controller, [`gate`] is an
//! enforcement point with stations before it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod address;
mod admission;
mod api;
mod gate;
mod join_proxy;
mod judge;
mod kill;
mod load;
mod openssl;
mod outage;
mod process;
mod race;
mod relay;
mod secrets;
mod tools;
mod wired;
mod world;
