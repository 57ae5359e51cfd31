//! The signed envelopes from outside: what is accepted, and for every rule a forged message that
//! is refused for the named reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod cms;
mod cose;
mod forge;
mod jws;
mod malformed;
mod openssl;
mod vectors;
mod world;
