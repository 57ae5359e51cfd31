//! Wi-Fi Easy Connect against Debian's `hostapd` and `wpa_supplicant`, over TCP on this machine: no
//! radio, no fixed port, no privilege but the one that `wpa_supplicant` wants.
//!
//! | module | what it shows |
//! | --- | --- |
//! | [`matrix`] | every kind of network, curve and direction, between our two ends and theirs |
//! | [`faults`] | each of hostapd's deliberate faults, and how we take it |
//!
//! [`ends`] are our two ends, made of the protocol's states and nothing else; [`tools`] starts
//! theirs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod ends;
mod faults;
mod matrix;
mod tools;
