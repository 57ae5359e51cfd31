//! Policy is asked again about devices in service: trust is not given once and for all.
//!
//! 1. At the start, when another policy comes into force, and when a manufacturer's standing changes:
//!    every device in service, and every one that policy cut off.
//! 2. When a verdict's own time is up ([`Verdict::ask_again_at`]): that device alone. Devices of which
//!    nothing is due cost nothing.
//! 3. When what is claimed about a device changes: a person states something, or a gate tells of a new session of
//!    it. What a gate only counts (octets, when it last heard of the device) starts nothing; policy sees it the
//!    next time.
//! 4. A device that policy denies now is quarantined, and gates hear of it; one that policy had cut off and
//!    allows now is restored. Whom a person cut off, a person lets in again.
//! 5. A device that may come in by its MAC address is asked about as one that does: the yes, and its end,
//!    are kept with the address.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use vouchsafe_fleet::admission::Session;
use vouchsafe_fleet::decide::admission::JudgeAddressFacts;
use vouchsafe_fleet::decide::{self, Decision, OperateFacts, Outcome};
use vouchsafe_fleet::journal::{Actor, ActorKind, Evidence};
use vouchsafe_fleet::policy::{Address, Onboarding, RequestKind, Verdict};
use vouchsafe_fleet::wifi::Holdings;
use vouchsafe_fleet::{Device, DeviceId, ManufacturerId, State, Subject};
use vouchsafe_store::{CommitError, DeviceFilter, DeviceKey};

use crate::controller::{Controller, Fault, Question};

/// Devices read at once when all are looked at.
const PAGE: u32 = 500;

/// Journal entries read at once, newest first.
const ENTRIES: u64 = 64;

/// Soonest that a device is looked at again.
const SOONEST: SignedDuration = SignedDuration::from_secs(1);

/// How long after a session began its device is looked at: a crowd of sessions of one device is one look.
const SETTLING: SignedDuration = SignedDuration::from_secs(10);

/// Most open sessions that are remembered. Then all are forgotten, and each is new once more.
const MAX_SESSIONS: usize = 262_144;

/// Longest sleep: the clock may have been set meanwhile.
const LONGEST: Duration = Duration::from_secs(30);

/// Pause before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// What is to be asked again, and when.
#[derive(Debug)]
pub(crate) struct Reviews {
    due: Mutex<Due>,
    /// The open sessions of which gates have told, each by a number made of its name.
    sessions: Mutex<HashSet<u64>>,
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
            sessions: Mutex::default(),
            wake: Notify::new(),
        }
    }
}

impl Reviews {
    /// This device, at this time, but not before a second has passed: a policy that wants to be asked at once
    /// keeps nobody else waiting. Of several times the earliest counts: what is asked then tells the next.
    pub(crate) fn at(&self, device: DeviceId, time: Timestamp, now: Timestamp) {
        self.lock()
            .put(device, time.max(now.saturating_add(SOONEST).unwrap_or(now)));
        self.wake.notify_one();
    }

    /// What was claimed about this device has changed.
    pub(crate) fn claims_changed(&self, device: DeviceId, now: Timestamp) {
        self.at(device, now, now);
    }

    /// Gates told of a session. A new one is a fact that policy may judge by: the device was seen for the first
    /// time, again after long, or elsewhere. What is counted in it is not: that alone starts no look.
    pub(crate) fn seen(&self, session: &Session, now: Timestamp) {
        let mut hasher = DefaultHasher::new();
        session.id.hash(&mut hasher);
        let number = hasher.finish();
        let is_new = {
            let sessions = self.sessions.lock();
            let mut sessions = sessions.unwrap_or_else(PoisonError::into_inner);
            if session.ended.is_some() {
                sessions.remove(&number);
                false
            } else {
                if sessions.len() >= MAX_SESSIONS {
                    sessions.clear();
                }
                sessions.insert(number)
            }
        };
        if is_new {
            let time = now.saturating_add(SETTLING).unwrap_or(now);
            self.at(session.device, time, now);
        }
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
        match self.times.get(&device) {
            Some(before) if *before <= time => return,
            Some(before) => {
                self.order.remove(&(*before, device));
            }
            None => {}
        }
        self.times.insert(device, time);
        self.order.insert((time, device));
    }
}

/// Steps 1 to 5, until the controller stops.
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
    if reviews.take_everything()
        && let Err(fault) = everyone(controller).await
    {
        reviews.everything();
        return Err(fault);
    }
    while let Some(device) = reviews.take(controller.clock.now()) {
        if let Err(fault) = unless_damaged(device, one(controller, device).await) {
            let now = controller.clock.now();
            reviews.at(device, now, now);
            return Err(fault);
        }
    }
    Ok(())
}

/// Step 1.
async fn everyone(controller: &Controller) -> Result<(), Fault> {
    for state in [State::Onboarded, State::Quarantined] {
        let filter = DeviceFilter {
            state: Some(state),
            ..DeviceFilter::default()
        };
        let mut after: Option<DeviceKey> = None;
        loop {
            let store = &controller.store;
            let page = store
                .readable_devices(&filter, after.as_ref(), PAGE)
                .await?;
            for device in &page.rows {
                unless_damaged(device.id, in_service(controller, device).await)?;
            }
            after = page.last;
            if after.is_none() {
                break;
            }
        }
    }
    let mut after = None;
    loop {
        let page = controller.store.all_addresses(after, PAGE).await?;
        let devices: BTreeSet<DeviceId> = page.rows.iter().map(|it| it.device).collect();
        for device in devices {
            unless_damaged(device, by_address(controller, device).await)?;
        }
        after = page.last;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// A device of which a row is damaged is passed over: others are not to wait for it.
fn unless_damaged(device: DeviceId, reviewed: Result<(), Fault>) -> Result<(), Fault> {
    match reviewed {
        Err(fault) if fault.is_damage() => {
            tracing::error!(%device, %fault, "a device was not reviewed");
            Ok(())
        }
        reviewed => reviewed,
    }
}

/// Steps 2 to 5 for one device.
async fn one(controller: &Controller, id: DeviceId) -> Result<(), Fault> {
    if let Some(device) = controller.store.device(id).await? {
        in_service(controller, &device).await?;
        by_address(controller, id).await?;
    }
    Ok(())
}

/// Step 4.
async fn in_service(controller: &Controller, device: &Device) -> Result<(), Fault> {
    if change(controller, device).await?.is_none() {
        return Ok(());
    }
    // Something is to be done, by what is there now.
    let id = device.id;
    let outcome = controller
        .settle_as::<_, Fault, _, _>(async || {
            let changed = match controller.store.device(id).await? {
                Some(device) => change(controller, &device).await?,
                None => None,
            };
            Ok(changed.map_or(Outcome::nothing(None), |changed| changed.map(Some)))
        })
        .await;
    match outcome.map(|outcome| outcome.decision) {
        Ok(Decision::Accept(Some(device))) => {
            let result = device.state.as_str();
            tracing::info!(device = %id, state = result, "policy was asked again");
            metrics::counter!("vouchsafe_reviews_total", "result" => result).increment(1);
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(fault) => later(controller, id, fault),
    }
}

/// Somebody is busy with the device: what is due stays due.
fn later(controller: &Controller, id: DeviceId, fault: Fault) -> Result<(), Fault> {
    match fault {
        Fault::Contended | Fault::Commit(CommitError::Conflict(_)) => {
            let now = controller.clock.now();
            controller.reviews.at(id, now, now);
            Ok(())
        }
        fault => Err(fault),
    }
}

/// What policy wants of a device in service, or of one that it cut off; none when all stays as it is.
async fn change(
    controller: &Controller,
    device: &Device,
) -> Result<Option<Outcome<Device>>, Fault> {
    let by = cut_off_by(controller, device).await?;
    let Some(judged) = decide::reviewed(device, by) else {
        return Ok(None);
    };
    let store = &controller.store;
    let mut wifi = Holdings {
        standing: store.wifi_standing(device.id).await?,
        access: Vec::new(),
    };
    let given = wifi.standing.as_ref().and_then(|it| it.given.as_ref());
    let policy = controller.policy();
    let onboarding = match given {
        Some(given) => Some(given.onboarding()),
        None => (device.manufacturer == ManufacturerId::NONE).then_some(Onboarding::LABEL),
    };
    let verdict = ask(controller, &judged, onboarding, None).await?;
    let mut credentials = Vec::new();
    if device.state == State::Quarantined {
        // Whether it comes back as it was depends on what it holds.
        let now = controller.clock.now();
        credentials = store.credentials_that_count(device.id, now).await?;
        wifi = store.holdings(device.id).await?;
    }
    let actor = Actor::new(ActorKind::Policy, policy.id().to_string());
    let facts = OperateFacts {
        now: controller.clock.now(),
        actor: &actor,
        device,
        credentials: &credentials,
        wifi: &wifi,
        addresses: &[],
        ownership: None,
        reasons: &[],
        evidence: &[],
    };
    let evidence = Evidence::new("policy", policy.id());
    Ok(decide::review(&facts, &verdict, &evidence))
}

/// Step 5, also for who has just changed an address.
pub(crate) async fn by_address(controller: &Controller, id: DeviceId) -> Result<(), Fault> {
    let store = &controller.store;
    let addresses = store.addresses(id).await?;
    let Some(device) = store.device(id).await?.filter(|_| !addresses.is_empty()) else {
        return Ok(());
    };
    let now = controller.clock.now();
    let holds_credential = controller.holds_credential(id).await?;
    let policy = controller.policy();
    let actor = Actor::new(ActorKind::Policy, policy.id().to_string());
    let evidence = Evidence::new("policy", policy.id());
    for address in addresses {
        let shown = Address {
            mac: address.mac,
            holds_credential,
        };
        let verdict = ask(controller, &device, Some(Onboarding::MAC), Some(shown)).await?;
        let outcome = decide::admission::judge_address(&JudgeAddressFacts {
            now,
            actor: &actor,
            policy: &evidence,
            device: &device,
            address: &address,
            holds_credential,
            verdict: &verdict,
        });
        let mut grant = address.grant;
        if let Some(outcome) = outcome {
            if let Err(error) = controller.commit(outcome.commit).await {
                return later(controller, id, Fault::Commit(error));
            }
            if let Decision::Accept(after) = outcome.decision {
                let result = match &after.grant {
                    Some(_) => "admitted",
                    None => "refused",
                };
                tracing::info!(device = %id, mac = %after.mac, result, "policy was asked about an address");
                metrics::counter!("vouchsafe_addresses_judged_total", "result" => result)
                    .increment(1);
                grant = after.grant;
            }
        }
        if let Some(grant) = grant {
            controller.reviews.at(id, grant.ask_again_at(now), now);
        }
    }
    Ok(())
}

async fn ask(
    controller: &Controller,
    device: &Device,
    onboarding: Option<Onboarding<'_>>,
    address: Option<Address>,
) -> Result<Verdict, Fault> {
    let catalogue = controller.manufacturers.current();
    let manufacturer = catalogue.manufacturer(device.manufacturer);
    let question = Question {
        request: RequestKind::Review,
        device,
        manufacturer: manufacturer.map(|known| &known.record),
        onboarding,
        address,
    };
    controller.evaluate(question).await
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
    fn a_new_session_is_a_reason_to_look_and_what_it_counts_is_none() {
        let reviews = Reviews::default();
        let now = Timestamp::UNIX_EPOCH;
        let settled = now + SETTLING;
        let session = |id: &str, octets: u64, ended: Option<Timestamp>| Session {
            id: id.to_owned(),
            gate: "hall".to_owned(),
            device: device(1),
            credential: None,
            station: None,
            access_point: "p1".to_owned(),
            segment: None,
            since: now,
            until: now,
            seen: now,
            ended,
            octets: (octets, 0),
        };
        reviews.seen(&session("a", 1, None), now);
        reviews.seen(&session("b", 1, None), now);
        assert_eq!(reviews.take(now), None);
        assert_eq!(reviews.take(settled), Some(device(1)));
        for octets in 0..10 {
            reviews.seen(&session("a", octets, None), settled);
        }
        reviews.seen(&session("a", 10, Some(now)), settled);
        assert_eq!(reviews.quiet(settled), LONGEST);
        // It came back.
        reviews.seen(&session("c", 1, None), settled);
        assert_eq!(reviews.take(settled + SETTLING), Some(device(1)));
    }

    #[test]
    fn a_device_is_due_once_at_the_earliest_time_named() {
        let reviews = Reviews::default();
        assert!(reviews.take_everything() && !reviews.take_everything());
        let now = Timestamp::UNIX_EPOCH;
        let later = now + SignedDuration::from_secs(10);
        reviews.at(device(1), later, now);
        reviews.at(device(1), now, now);
        assert_eq!(reviews.quiet(now), Duration::from_secs(1));
        reviews.at(device(1), later, now);
        let soon = now + SignedDuration::from_secs(1);
        assert_eq!(reviews.take(soon), Some(device(1)));
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
