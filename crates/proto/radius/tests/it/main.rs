//! What the server, the peer and the codec do together, and everything that they refuse.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub
)]

mod conversation;
mod crowd;
mod dynamic;
mod eapol;
mod forge;
mod freeradius;
mod malformed;
mod refusals;
mod refusals_tls;
mod world;
