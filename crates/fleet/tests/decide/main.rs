//! Every decision, every refusal, and the races, against a store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod address;
mod admission;
mod enrol;
mod factory;
mod intake;
mod life;
mod masa;
mod operate;
mod registrar;
mod wifi;
mod wifi_again;
mod wifi_claim;
mod wifi_facts;
mod wifi_merge;
mod wifi_world;
mod world;
