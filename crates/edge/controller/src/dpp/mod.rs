//! Wi-Fi Easy Connect (Device Provisioning Protocol): the configurator that devices reach over TCP,
//! by themselves or through an access point that relays.
//!
//! 1. A device is known by its bootstrapping key: from its manufacturer's manifest, or because
//!    somebody handed in the URI on its label, or told it a code ([`exchange`]).
//! 2. It announces itself, and an access point hands that on; or it calls us by our own key
//!    ([`session`]).
//! 3. Both sides authenticate ([`authenticate`]).
//! 4. It asks for its configuration ([`configure`]). The decision is that of every other device
//!    ([`question`]); what it gets is made for it alone ([`credential`]).
//! 5. It is committed, and only then sent. The device says whether it takes it.
//! 6. Passphrases go to the access points in files that hostapd reads ([`access_files`]).
//!
//! A device that was configured and was meant for another network since shows its connector in
//! place of its bootstrapping key ([`reconfigure`]).
//!
//! [`listener`] bounds what strangers can take, [`keys`] are the controller's own.

mod access_files;
mod authenticate;
mod codes;
mod configure;
mod credential;
mod dial;
mod exchange;
mod failure;
mod hostapd;
mod identity;
mod keys;
mod knock;
mod listener;
mod passphrase;
mod places;
mod question;
mod reconfigure;
mod rotate;
mod session;
mod wire;

pub use access_files::AccessFiles;
pub use codes::{Codes, Good, Grant, SHORTEST};
pub use dial::{CallError, call};
pub(crate) use identity::{key_sha256, shown};
pub use keys::{Keys, Ring, SigningKey};
pub use listener::Listener;
pub(crate) use rotate::replace_signing_key;
