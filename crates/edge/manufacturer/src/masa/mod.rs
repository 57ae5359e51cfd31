//! The MASA: the manufacturer's word on whose device it is (RFC 8995 §5.4 to §5.8).
//!
//! Every handler reads top to bottom in these steps; only after the last does anything leave.
//!
//! 1. Not too often: an address and an owner each have a budget.
//! 2. Who asks, and did a device of ours ask them ([`request`]).
//! 3. What is known about device and owner is loaded.
//! 4. Decide; under a permit, sign.
//! 5. Commit: record, audit event, ownership, journal. Then answer.

mod answer;
mod audit;
mod message;
mod rate;
mod request;
mod voucher;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use jiff::Timestamp;
use vouchsafe_brski::{PATH_REQUEST_AUDIT_LOG, PATH_REQUEST_VOUCHER};
use vouchsafe_fleet::decide::Outcome;
use vouchsafe_fleet::{Commit, DeviceId, OwnerId};

use crate::factory::Factory;

pub(crate) use answer::{Answer, status_of, text};
pub(crate) use rate::Buckets;

/// Refusals of requests that prove nobody, journaled a minute; the others only reach the log.
const UNPROVED_PER_MINUTE: u32 = 60;

/// Refusals that are journaled a day of one device, whoever asks; the others only reach the log. Who once had a
/// device can ask for it without end, and its journal goes to each buyer whole.
const REFUSED_PER_DAY: u32 = 48;

/// Where an owner hands in the revocation list of its domain CA (`application/pkix-crl`).
pub const PATH_REVOCATION_LIST: &str = "/masa/v1/revocation-list";

/// What the handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Masa(Arc<Inner>);

/// The parts.
#[derive(Debug)]
pub struct Inner {
    /// The manufacturer.
    pub factory: Factory,
    addresses: Buckets<IpAddr>,
    owners: Buckets<OwnerId>,
    unproved: Buckets<()>,
    strangers: Buckets<DeviceId>,
}

impl std::ops::Deref for Masa {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Masa {
    /// A MASA with full budgets.
    #[must_use]
    pub fn new(factory: Factory) -> Self {
        let rates = &factory.home.config.rates;
        Self(Arc::new(Inner {
            addresses: Buckets::per_minute(rates.per_address),
            owners: Buckets::per_minute(rates.per_owner),
            unproved: Buckets::per_minute(UNPROVED_PER_MINUTE),
            strangers: Buckets::per_day(REFUSED_PER_DAY),
            factory,
        }))
    }

    /// The routes.
    pub fn routes(&self) -> Router {
        Router::new()
            .route(PATH_REQUEST_VOUCHER, post(voucher::request_voucher))
            .route(PATH_REQUEST_AUDIT_LOG, post(audit::request_audit_log))
            .route(PATH_REVOCATION_LIST, post(request::put_revocation_list))
            .route("/healthz", get(|| async { "ok\n" }))
            .with_state(self.clone())
    }

    fn may_ask(&self, address: IpAddr, now: Timestamp) -> Result<(), Answer> {
        self.addresses.take(&address, now).map_err(Answer::TooMany)
    }

    /// Leaves what is refused too often out of the device's journal.
    fn bounded<D>(&self, device: DeviceId, now: Timestamp, mut outcome: Outcome<D>) -> Outcome<D> {
        if let Some(refusal) = outcome.refusal()
            && self.strangers.take(&device, now).is_err()
        {
            tracing::warn!(%device, refusal = refusal.code(), "refused again, and not journaled");
            outcome.commit = Commit::default();
        }
        outcome
    }

    fn owner_may_ask(&self, owner: OwnerId, now: Timestamp) -> Result<(), Answer> {
        self.owners.take(&owner, now).map_err(Answer::TooMany)
    }
}
