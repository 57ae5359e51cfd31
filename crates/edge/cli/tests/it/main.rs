//! The real program, run as people and scripts run it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod admission;
mod configuration;
mod controller;
mod dpp;
mod manufacturer;
mod tree;
mod voucher;
mod world;
