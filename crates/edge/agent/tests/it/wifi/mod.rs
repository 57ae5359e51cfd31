//! Wi-Fi Easy Connect over TCP: against a controller that does what the test wants, and against
//! Debian's.

mod agent;
pub(crate) mod controller;
mod exchange;
mod hardware;
mod hostap;
