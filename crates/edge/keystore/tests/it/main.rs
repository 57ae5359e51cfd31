//! Key stores from outside: files that are damaged, tokens and TPMs that come and go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod agreement;
mod bundle;
mod file;
mod peer;
mod secrets;
mod token;
#[cfg(feature = "tpm")]
mod tpm;
