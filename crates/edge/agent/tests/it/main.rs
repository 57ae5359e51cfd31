//! The agent against a registrar that misbehaves on demand. Everything is real but the registrar's
//! memory: TLS, messages, certificates, files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod crash;
mod joining;
mod places;
mod program;
mod refusals;
mod registrar;
mod renewal;
mod way_in;
mod wifi;
mod world;
