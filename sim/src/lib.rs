//! Whole simulated worlds: the demo, the attackers in it, and the measurements.
//!
//! Every actor is a process of its own: what is shown here comes out of the real programs, over
//! sockets. This crate starts them, plays the attackers, reads what everybody says, and checks it.
//!
//! | module | what |
//! | --- | --- |
//! | [`demo`] | from the factory line to a second owner, in one terminal |
//! | [`attack`] | those who try to get in, or to get hold of a device |
//! | [`bench`] | how fast it is, beside what the cryptography alone costs |
//! | [`bound`] | runs a program that ends with its parent |
//! | [`wifi`] | hostap as a peer, over TCP and on simulated radios |
//! | [`wired`] | network namespaces, and who talks over them |

pub mod attack;
pub mod bench;
pub mod bound;
pub mod demo;
pub mod wifi;
pub mod wired;
