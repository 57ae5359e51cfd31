//! The network owner's side: registrar, EST, decisions, API.
//!
//! Bytes come in at the listeners ([`serve`]), are parsed and verified by `vouchsafe-brski`, decided
//! by `vouchsafe-fleet`, committed by `vouchsafe-store`, and only then answered: [`registrar`] says
//! it step by step.
//!
//! | module | what |
//! | --- | --- |
//! | `config`, `home` | the data folder and its `config.toml` |
//! | `controller` | what every handler works with |
//! | `catalogue` | the manufacturers, parsed once |
//! | `registrar` | `/.well-known/brski` for devices, and the way to the MASA |
//! | `dpp` | Wi-Fi Easy Connect: the configurator that access points relay to |
//! | `est` | `/.well-known/est` |
//! | `issue` | certificates for devices, by whichever protocol they ask |
//! | `api` | the REST API on the contract of `vouchsafe-api` |
//! | `gate` | network admission: the desired state, gates and what they report |
//! | `discovery` | mDNS: how devices find the registrar |
//! | `revocation` | CRL and OCSP for the credentials of this domain |
//! | `metrics` | measurements |
//! | `serve` | listeners, reload, shutdown |

mod api;
mod catalogue;
pub mod config;
mod controller;
mod discovery;
pub mod dpp;
mod est;
pub mod gate;
mod home;
mod issue;
mod metrics;
mod registrar;
mod review;
mod revocation;
mod serve;

use axum::extract::DefaultBodyLimit;

pub use catalogue::{Catalogue, KnownManufacturer, Manufacturers};
pub use controller::{Controller, Fault};
pub use est::Requirements;
pub use home::{Home, InitError, initialise};
pub use serve::{Ready, ServeError, serve};

/// Everything that devices reach, to be served behind TLS with an optional client certificate.
pub fn device_router(controller: Controller) -> axum::Router {
    registrar::routes()
        .merge(est::routes())
        .merge(revocation::routes())
        .layer(DefaultBodyLimit::max(serve::DEVICE_BODY_BYTES))
        .merge(gate::routes())
        .with_state(controller)
}
