//! The factory line and the MASA.
//!
//! 1. [`home::init`] makes a data folder: roots, keys, configuration.
//! 2. [`Factory`] provisions: one identity for one device, whoever made the key.
//! 3. [`Factory::sell`] names the owner, [`Factory::manifest`] tells its controller.
//! 4. [`masa`] answers the owner's registrar (RFC 8995 §5.5 to §5.8).
//! 5. [`serve`] runs the MASA and the line endpoint.

mod birth;
pub mod config;
mod factory;
pub mod home;
mod manifest;
pub mod masa;
mod owners;
mod period;
mod provision;
mod random;
mod sales;
mod serve;

pub use birth::{DeviceFile, KEY_LABEL, KEY_STORE};
pub use config::{Config, ConfigError};
pub use factory::{Factory, FactoryError};
pub use home::{Home, HomeError, STATION_KEY_STORE, init};
pub use manifest::{ManifestOptions, SignedManifest};
pub use owners::{KnownOwner, Owners};
pub use period::Period;
pub use provision::{Identity, NewDevice};
pub use sales::ReleaseBy;
pub use serve::{Ready, ServeError, serve};
