//! The crate from outside: two-ended runs, runs of real programs re-derived, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod curve;
mod malformed;
mod opening;
mod pair;
mod refusals_authentication;
mod refusals_configuration;
mod vectors;
mod world;
