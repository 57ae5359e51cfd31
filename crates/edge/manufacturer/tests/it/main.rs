//! The manufacturer's side, over real TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod bootstrapping;
mod factory;
mod masa;
mod world;
