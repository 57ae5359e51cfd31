//! The REST API over real TLS: the whole contract with its typed client, every route against every
//! role, and what is refused, with nothing changed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub
)]

mod address;
mod administration;
mod approval;
mod discovery;
mod gate;
mod gates;
mod inventory;
mod journal;
mod policy;
mod presence;
mod review;
mod revocation;
mod roles;
mod segments;
mod session;
mod wifi;
mod world;
