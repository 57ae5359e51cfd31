//! Wi-Fi Easy Connect over TCP: the controller's listener, with our own enrollee and Debian's
//! programs as the peers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod codes;
mod crowds;
mod hostap;
mod onboarding;
mod peer;
mod reconfiguring;
mod refusals;
mod world;
