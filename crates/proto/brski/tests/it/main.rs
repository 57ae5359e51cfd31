//! Pledge, registrar and MASA against each other, against forgeries and against published vectors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod est;
mod malformed;
mod messages;
mod pair;
mod refusals_masa;
mod refusals_pledge;
mod refusals_registrar;
mod vectors;
mod world;
