//! Reading facts. Every look-up goes by an indexed key; every list has a limit, and a long one is
//! paged by the last key seen, never by counting rows.
//!
//! The limits read `LIMIT ?n + 0`: SQLite plans by the value of an argument that stands there
//! alone, and so prepares the statement anew each time one is given.

mod admission;
mod credential;
mod device;
mod manufacturer_side;
mod measure;
mod readable;
mod register;
mod revocation;
mod voucher;
mod wifi;

pub use admission::SessionFilter;
pub use credential::CredentialFilter;
pub use device::{DeviceFilter, DeviceKey};
pub use readable::Readable;
pub use register::ClaimsAbout;
pub use revocation::{Holder, Revocation};
pub use wifi::KeyFilter;

/// Most rows of a list that is read whole: a device's credentials, its ownerships and the like.
const MOST_OF_A_DEVICE: i64 = 1024;

#[cfg(test)]
mod plan_tests;
