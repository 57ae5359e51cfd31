//! The factory line and the MASA.
//!
//! 1. [`home::init`] makes a data folder: roots, keys, configuration.
//! 2. [`Factory`] provisions: one identity for one device, whoever made the key.
//! 3. [`Factory::sell`] names the owner, [`Factory::manifest`] tells its controller.
//! 4. [`masa`] answers the owner's registrar (RFC 8995 §5.5 to §5.8).
//! 5. [`serve`] runs the MASA, the line endpoint and the desk's socket; [`Desk`] is how a person
//!    gives orders, whether or not it runs.

pub mod batch;
mod birth;
pub mod bootstrapping;
pub mod config;
pub mod desk;
mod factory;
pub mod home;
pub mod label;
mod line;
mod manifest;
pub mod masa;
mod owners;
mod presses;
mod provision;
mod sales;
mod serve;

pub use batch::{Batch, Output, Progress, Serials};
pub use birth::{DeviceFile, KEY_LABEL, KEY_STORE, birth_folder};
pub use bootstrapping::Bootstrapping;
pub use config::Config;
pub use desk::{Desk, DeskError, MAX_SALE, Order, Reply};
pub use factory::{Factory, FactoryError};
pub use home::{Home, STATION_KEY_STORE, init};
pub use line::IdentityDocument;
pub use manifest::{ManifestOptions, SignedManifest};
pub use owners::{KnownOwner, Owners};
pub use provision::{Identity, MadeHere, NewDevice};
pub use sales::ReleaseBy;
pub use serve::{Ready, ServeError, serve};
