//! Policy is asked again about devices in service: trust is not given once and for all.
//!
//! 1. At the start, when another policy comes into force, and when a manufacturer's standing changes:
//!    every device in service, and every one that policy cut off.
//! 2. When a verdict's own time is up ([`Verdict::ask_again_at`]): that device alone. Devices of which
//!    nothing is due cost nothing.
//! 3. A device that policy denies now is quarantined, and gates hear of it; one that policy had cut off and
//!    allows now is restored. Whom a person cut off, a person lets in again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use vouchsafe_fleet::decide::{self, OperateFacts, Outcome};
use vouchsafe_fleet::journal::{Actor, ActorKind, Evidence};
use vouchsafe_fleet::policy::{Input, Method, Onboarding, RequestKind, Verdict};
use vouchsafe_fleet::wifi::{Assurance, Holdings};
use vouchsafe_fleet::{CredentialStatus, Device, DeviceId, ManufacturerId, State, Subject};
use vouchsafe_store::{CommitError, DeviceFilter, DeviceKey};

use crate::controller::{Controller, Fault};

/// Devices read at once when all are looked at.
const PAGE: u32 = 500;

/// Journal entries read at once, newest first.
const ENTRIES: u64 = 64;

/// Soonest that a device is looked at again.
const SOONEST: SignedDuration = SignedDuration::from_secs(1);

/// Longest sleep: the clock may have been set meanwhile.
const LONGEST: Duration = Duration::from_secs(30);

/// Pause before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// What is to be asked again, and when.
#[derive(Debug)]
pub(crate) struct Reviews {
    due: Mutex<Due>,
    wake: Notify,
}

#[derive(Debug)]
struct Due {
    /// All devices, at once.
    everything: bool,
    order: BTreeSet<(Timestamp, DeviceId)>,
    times: HashMap<DeviceId, Timestamp>,
}

impl Default for Reviews {
    /// All devices are looked at first: nobody knows what was due while nobody was here.
    fn default() -> Self {
        Self {
            due: Mutex::new(Due {
                everything: true,
                order: BTreeSet::new(),
                times: HashMap::new(),
            }),
            wake: Notify::new(),
        }
    }
}

impl Reviews {
    /// This device, at this time, but not before a second has passed: a policy that wants to be asked at once
    /// keeps nobody else waiting. A time that was known before is replaced.
    pub(crate) fn at(&self, device: DeviceId, time: Timestamp, now: Timestamp) {
        self.lock()
            .put(device, time.max(now.saturating_add(SOONEST).unwrap_or(now)));
        self.wake.notify_one();
    }

    /// All devices, now.
    pub(crate) fn everything(&self) {
        self.lock().everything = true;
        self.wake.notify_one();
    }

    fn take_everything(&self) -> bool {
        std::mem::take(&mut self.lock().everything)
    }

    /// The next device whose time has come.
    fn take(&self, now: Timestamp) -> Option<DeviceId> {
        let mut due = self.lock();
        let (time, device) = *due.order.first().filter(|(time, _)| *time <= now)?;
        due.order.remove(&(time, device));
        due.times.remove(&device);
        Some(device)
    }

    /// How long nothing is due.
    fn quiet(&self, now: Timestamp) -> Duration {
        match self.lock().order.first() {
            Some((time, _)) => now.duration_until(*time).unsigned_abs().min(LONGEST),
            None => LONGEST,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Due {
    fn put(&mut self, device: DeviceId, time: Timestamp) {
        if let Some(before) = self.times.insert(device, time) {
            self.order.remove(&(before, device));
        }
        self.order.insert((time, device));
    }
}

/// Steps 1 to 3, until the controller stops.
pub(crate) async fn keep(controller: Controller) {
    let mut stopping = controller.stopping.subscribe();
    loop {
        let looked = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            looked = look(&controller) => looked,
        };
        let pause = match looked {
            Ok(()) => controller.reviews.quiet(controller.clock.now()),
            Err(fault) => {
                tracing::error!(%fault, "devices in service are not looked at again");
                PAUSE
            }
        };
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = controller.reviews.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Whatever is due now.
async fn look(controller: &Controller) -> Result<(), Fault> {
    let reviews = &controller.reviews;
    if reviews.take_everything() {
        for state in [State::Onboarded, State::Quarantined] {
            if let Err(fault) = everyone(controller, state).await {
                reviews.everything();
                return Err(fault);
            }
        }
    }
    while let Some(device) = reviews.take(controller.clock.now()) {
        if let Err(fault) = one(controller, device).await {
            let now = controller.clock.now();
            reviews.at(device, now, now);
            return Err(fault);
        }
    }
    Ok(())
}

/// Step 1.
async fn everyone(controller: &Controller, state: State) -> Result<(), Fault> {
    let filter = DeviceFilter {
        state: Some(state),
        ..DeviceFilter::default()
    };
    let mut after: Option<DeviceKey> = None;
    loop {
        let page = controller
            .store
            .devices(&filter, after.as_ref(), PAGE)
            .await?;
        after = page.last().map(DeviceKey::of);
        for device in &page {
            one(controller, device.id).await?;
        }
        if page.len() < PAGE as usize {
            return Ok(());
        }
    }
}

/// Steps 2 and 3 for one device.
async fn one(controller: &Controller, id: DeviceId) -> Result<(), Fault> {
    let outcome = controller
        .settle_as::<_, Fault, _, _>(async || {
            let kept = Outcome::nothing(None);
            let Some(device) = controller.store.device(id).await? else {
                return Ok(kept);
            };
            let by = cut_off_by(controller, &device).await?;
            let Some(judged) = decide::reviewed(&device, by) else {
                return Ok(kept);
            };
            let wifi = controller.store.holdings(id).await?;
            let policy = controller.policy();
            let verdict = verdict(controller, &judged, &wifi).await?;
            if let Some(at) = verdict.ask_again_at {
                controller.reviews.at(id, at, controller.clock.now());
            }
            let mut credentials = controller.store.credentials(id).await?;
            credentials.retain(|one| !matches!(one.status, CredentialStatus::Revoked { .. }));
            let actor = Actor::new(ActorKind::Policy, policy.id().to_string());
            let facts = OperateFacts {
                now: controller.clock.now(),
                actor: &actor,
                device: &device,
                credentials: &credentials,
                wifi: &wifi,
                ownership: None,
                reasons: &[],
                evidence: &[],
            };
            let evidence = Evidence::new("policy", policy.id());
            let changed = decide::review(&facts, &verdict, &evidence);
            Ok(changed.map_or(kept, |changed| changed.map(Some)))
        })
        .await;
    match outcome.map(|outcome| outcome.decision) {
        Ok(decide::Decision::Accept(Some(device))) => {
            let result = device.state.as_str();
            tracing::info!(device = %id, state = result, "policy was asked again");
            metrics::counter!("vouchsafe_reviews_total", "result" => result).increment(1);
            Ok(())
        }
        Ok(_) => Ok(()),
        // Somebody is busy with the device: what is due stays due.
        Err(Fault::Contended | Fault::Commit(CommitError::Conflict(_))) => {
            let now = controller.clock.now();
            controller.reviews.at(id, now, now);
            Ok(())
        }
        Err(fault) => Err(fault),
    }
}

/// A device is judged by how it came in.
async fn verdict(
    controller: &Controller,
    device: &Device,
    wifi: &Holdings,
) -> Result<Verdict, Fault> {
    let given = wifi.standing.as_ref().and_then(|it| it.given.as_ref());
    let onboarding = match given {
        Some(given) => Some(Onboarding {
            method: Method::Dpp,
            mutual: given.assurance == Assurance::Mutual,
            role: Some(given.role),
            said: &[],
        }),
        None if device.manufacturer == ManufacturerId::NONE => Some(Onboarding {
            method: Method::Dpp,
            mutual: false,
            role: None,
            said: &[],
        }),
        None => None,
    };
    let claims = controller.claims_about(device).await?;
    let catalogue = controller.manufacturers.current();
    let manufacturer = catalogue.manufacturer(device.manufacturer);
    Ok(controller.policy().evaluate(&Input {
        now: controller.clock.now(),
        request: RequestKind::Review,
        device: Some(device),
        manufacturer: manufacturer.map(|known| &known.record),
        onboarding,
        claims: &claims,
    }))
}

/// Who cut a device off, by its journal.
async fn cut_off_by(controller: &Controller, device: &Device) -> Result<Option<ActorKind>, Fault> {
    if device.state != State::Quarantined {
        return Ok(None);
    }
    let mut end = device.journal_seq;
    while end > 0 {
        let from = end.saturating_sub(ENTRIES);
        let limit = u32::try_from(end - from).unwrap_or(u32::MAX);
        let subject = Subject::Device(device.id);
        let read = controller.store.journal(subject, from, limit).await?;
        for row in read.iter().rev() {
            match row.sealed.entry() {
                Ok(entry) => match decide::cut_off_by(&entry) {
                    Some(by) => return Ok(Some(by)),
                    None => continue,
                },
                // Whoever that was, it is not for policy to let the device in.
                Err(_) => return Ok(None),
            }
        }
        end = from;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u8) -> DeviceId {
        DeviceId([number; 16])
    }

    #[test]
    fn a_device_is_due_once_at_the_time_named_last() {
        let reviews = Reviews::default();
        assert!(reviews.take_everything() && !reviews.take_everything());
        let now = Timestamp::UNIX_EPOCH;
        let later = now + SignedDuration::from_secs(10);
        reviews.at(device(1), now, now);
        assert_eq!(reviews.quiet(now), Duration::from_secs(1));
        reviews.at(device(1), later, now);
        reviews.at(device(2), later, now);
        assert_eq!(reviews.take(now), None);
        assert_eq!(reviews.quiet(now), Duration::from_secs(10));
        assert_eq!(reviews.take(later), Some(device(1)));
        assert_eq!(reviews.take(later), Some(device(2)));
        assert_eq!(reviews.take(later), None);
        assert_eq!(reviews.quiet(later), LONGEST);
    }
}
