//! The network as the programs use it: our server and client against each other, against raw
//! sockets that misbehave, and against OpenSSL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod certificates;
mod client;
mod crowds;
mod handshake;
mod limits;
mod openssl;
mod shutdown;
mod world;
