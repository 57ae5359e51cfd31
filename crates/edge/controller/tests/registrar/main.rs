//! The registrar and EST over real TLS, with a store and a MASA: what is accepted, and for every
//! rule the forged message that is refused for the named reason with nothing changed but the journal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod belonging;
mod crowds;
mod enrol;
mod forge;
mod masa;
mod networks;
mod onboarding;
mod voucher;
mod world;
