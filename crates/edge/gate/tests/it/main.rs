//! The gate as its clients and devices meet it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub
)]

mod clock;
mod controller;
mod dynamic;
mod freeradius;
mod grasp;
mod join_proxy;
mod link;
mod net;
mod radius;
mod radsec;
mod routed;
mod segments;
mod wifi;
mod wired;
mod world;
