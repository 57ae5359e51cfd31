//! Wi-Fi Easy Connect: the configurator's side over TCP.

mod hostapd;
mod keys;
mod passphrase;
mod places;

pub use keys::{Keys, Ring, SigningKey};
