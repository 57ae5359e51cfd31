//! Certificates, requests, paths and revocation, seen from outside the crate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod issuing;
mod malformed;
mod openssl;
mod path;
mod request;
mod revocation;
mod support;
