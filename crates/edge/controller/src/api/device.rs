//! Devices: the inventory, and what people do with it.
//!
//! Each change reads the device, lets `vouchsafe-fleet` decide, and commits with the device's
//! version as guard; If-Match is checked on what was read.

use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use vouchsafe_api::{
    Approve, Claim, Device, DeviceFilter, DeviceJournalQuery, DeviceState, IfMatch, JournalPage,
    Page, PageQuery, Problem, Reasoned, Revoke, Version, WaitQuery,
};
use vouchsafe_fleet::admission::ClaimedAddress;
use vouchsafe_fleet::decide::admission::ClaimAddressFacts;
use vouchsafe_fleet::decide::{
    self, ApprovalFacts, ClaimFacts, OperateFacts, Outcome, PENDING_WINDOW,
};
use vouchsafe_fleet::wifi::Holdings;
use vouchsafe_fleet::{DeviceId, ManufacturerId, Reason, State as Life, Subject, VoucherRecord};
use vouchsafe_store::DeviceKey;

use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body, bad_after, optional_reason, reason};
use super::{Caller, address, append, credential, journal, segment, session, signed, wifi};
use crate::controller::Controller;
use crate::gate::{Wanted, enforcement};
use crate::review;

/// Entries of one device's journal that are shown at once.
const MAX_JOURNAL: usize = 10_000;

/// Rows read at once.
const PAGE: u32 = 1000;

/// A device with its ETag.
pub(super) type Tagged = (Version, Json<Device>);

pub(super) async fn list_devices(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
    Asked(filter): Asked<DeviceFilter>,
) -> Result<Json<Page<Device>>, Failure> {
    let limit = query.effective_limit();
    let behind = query.after.as_deref().map(key).transpose()?;
    let devices = if filter.waiting == Some(true) {
        waiting_devices(&controller, &filter, behind.as_ref(), limit).await?
    } else {
        let wanted = stored_filter(&filter)?;
        let read = controller.store.devices(&wanted, behind.as_ref(), limit);
        read.await?
    };
    let somebody_waits = !controller.store.waiting_vouchers(None, 1).await?.is_empty();
    let mut items = Vec::with_capacity(devices.len());
    let full = devices.len() >= limit as usize;
    let next = devices.last().filter(|_| full).map(text_of_key);
    for device in devices {
        // The store knows beginnings of serial numbers; here the whole is asked for.
        if filter
            .serial
            .as_ref()
            .is_some_and(|serial| *serial != device.serial)
        {
            continue;
        }
        if filter.segment.is_some() && filter.segment != device.segment {
            continue;
        }
        let waits = somebody_waits && waits(&controller, device.id).await?;
        if filter.waiting.is_none_or(|wanted| wanted == waits) {
            items.push(shown(device, waits));
        }
    }
    Ok(Json(Page { items, next }))
}

pub(super) async fn show_device(
    State(controller): State<Controller>,
    Path(id): Path<String>,
) -> Result<Tagged, Failure> {
    let device = find(&controller, &id).await?;
    tagged(&controller, device).await
}

pub(super) async fn claim_device(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Body(claim): Body<Claim>,
) -> Result<(StatusCode, Version, Json<Device>), Failure> {
    let mac = claim.mac.as_deref().map(address::mac).transpose()?;
    let manufacturer = match (claim.manufacturer.as_str(), mac) {
        ("", Some(_)) => ManufacturerId::NONE,
        (id, _) => id
            .parse()
            .map_err(|_| bad_request("`manufacturer` must be an id of 32 hexadecimal digits"))?,
    };
    segment::described(&controller, claim.segment.as_deref()).await?;
    let said = optional_reason(claim.reason.as_deref())?;
    let reasons: Vec<Reason> = said.iter().cloned().collect();
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let store = &controller.store;
            let existing = store.device_by_serial(manufacturer, &claim.serial).await?;
            let mut outcome = decide::claim(&ClaimFacts {
                now: controller.clock.now(),
                actor: &actor,
                owner: controller.owner,
                manufacturer,
                serial: &claim.serial,
                model: claim.model.as_deref(),
                segment: claim.segment.as_deref(),
                idevid_sha256: None,
                existing: existing.as_ref(),
            });
            add_reason(&mut outcome, said.as_ref());
            let Some(mac) = mac else { return Ok(outcome) };
            let (device, mut commit) = match outcome.or_other() {
                Ok(claimed) => claimed,
                Err(other) => return Ok(other),
            };
            let with = decide::admission::claim_address(&ClaimAddressFacts {
                now: controller.clock.now(),
                actor: &actor,
                device: &device,
                mac,
                known: store.address(mac).await?.as_ref(),
                count: store.addresses(device.id).await?.len(),
                reasons: &reasons,
            });
            Ok(match with.or_other() {
                Ok((_, more)) => {
                    append(&mut commit, more);
                    Outcome::accept(device, commit)
                }
                Err(other) => other,
            })
        })
        .await?;
    let device = accepted(outcome.decision)?;
    if mac.is_some() {
        review::by_address(&controller, device.id).await?;
    }
    let (version, device) = tagged(&controller, device).await?;
    Ok((StatusCode::CREATED, version, device))
}

pub(super) async fn approve_device(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(approve): Body<Approve>,
) -> Result<Tagged, Failure> {
    let said = reason(&approve.reason)?;
    let segment = approve.segment.as_deref();
    segment::described(&controller, segment).await?;
    answer_waiting(&controller, &caller, &id, &headers, |facts| {
        decide::approve(&ApprovalFacts {
            segment,
            comment: Some(&said.text),
            ..facts
        })
    })
    .await
}

pub(super) async fn deny_device(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(why): Body<Reasoned>,
) -> Result<Tagged, Failure> {
    let said = reason(&why.reason)?;
    answer_waiting(&controller, &caller, &id, &headers, |facts| {
        decide::deny_approval(&ApprovalFacts {
            comment: Some(&said.text),
            ..facts
        })
    })
    .await
}

async fn answer_waiting(
    controller: &Controller,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    decide: impl Fn(ApprovalFacts<'_>) -> Outcome<VoucherRecord>,
) -> Result<Tagged, Failure> {
    let if_match = IfMatch::from_headers(headers)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let device = find(controller, id).await?;
            if_match.check(version(&device))?;
            let record = asked_about(controller, device.id).await?;
            Ok(decide(ApprovalFacts {
                now: controller.clock.now(),
                actor: &actor,
                device: &device,
                record: record.as_ref(),
                segment: None,
                comment: None,
            }))
        })
        .await?;
    accepted(outcome.decision)?;
    tagged(controller, find(controller, id).await?).await
}

pub(super) async fn quarantine_device(order: Order) -> Result<Tagged, Failure> {
    order.carried_out(decide::quarantine).await
}

pub(super) async fn restore_device(order: Order) -> Result<Tagged, Failure> {
    order.carried_out(decide::restore).await
}

pub(super) async fn retire_device(order: Order) -> Result<Tagged, Failure> {
    order.carried_out(decide::retire).await
}

/// What a person orders about one device, and why.
pub(super) struct Order {
    controller: Controller,
    caller: Caller,
    id: String,
    if_match: IfMatch,
    wait: WaitQuery,
    said: Reason,
}

impl FromRequest<Controller> for Order {
    type Rejection = Response;

    async fn from_request(request: Request, controller: &Controller) -> Result<Self, Response> {
        let rejected = |failure: Failure| failure.into_response();
        let (mut parts, body) = request.into_parts();
        let whose = <(Extension<Caller>, Path<String>)>::from_request_parts(&mut parts, controller);
        let (Extension(caller), Path(id)) = whose.await?;
        let wait = Asked::from_request_parts(&mut parts, controller);
        let Asked(wait) = wait.await.map_err(rejected)?;
        let if_match = IfMatch::from_headers(&parts.headers);
        let why = Body::from_request(Request::from_parts(parts, body), controller);
        let Body(Reasoned { reason: why }) = why.await.map_err(rejected)?;
        Ok(Self {
            controller: controller.clone(),
            caller,
            id,
            wait,
            said: reason(&why).map_err(Failure::from).map_err(rejected)?,
            if_match: if_match.map_err(Failure::from).map_err(rejected)?,
        })
    }
}

impl Order {
    async fn carried_out(
        self,
        decide: fn(&OperateFacts<'_>) -> Outcome<vouchsafe_fleet::Device>,
    ) -> Result<Tagged, Failure> {
        let Self { controller, id, .. } = &self;
        let actor = self.caller.actor();
        let outcome = controller
            .settle_as::<_, Failure, _, _>(async || {
                let device = find(controller, id).await?;
                self.if_match.check(version(&device))?;
                let standing = Standing::of(controller, &device).await?;
                Ok(decide(&OperateFacts {
                    now: controller.clock.now(),
                    actor: &actor,
                    device: &device,
                    credentials: &standing.credentials,
                    wifi: &standing.wifi,
                    addresses: &standing.addresses,
                    ownership: standing.ownership.as_ref(),
                    reasons: std::slice::from_ref(&self.said),
                    evidence: &[],
                }))
            })
            .await?;
        let device = accepted(outcome.decision)?;
        let ends = device.state == Life::Retired;
        enforced(controller, device, self.wait, ends).await
    }
}

/// The device, and how far the change has come.
pub(super) async fn enforced(
    controller: &Controller,
    device: vouchsafe_fleet::Device,
    wait: WaitQuery,
    revoked: bool,
) -> Result<Tagged, Failure> {
    let wanted = Wanted {
        device: device.id,
        wait: wait.wait,
        revoked,
    };
    let reached = enforcement(controller, wanted).await?;
    let (version, Json(device)) = tagged(controller, device).await?;
    let enforcement = Some(reached);
    Ok((
        version,
        Json(Device {
            enforcement,
            ..device
        }),
    ))
}

pub(super) async fn revoke_device(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Asked(wait): Asked<WaitQuery>,
    headers: HeaderMap,
    Body(revoke): Body<Revoke>,
) -> Result<Tagged, Failure> {
    let said = [reason(&revoke.reason)?];
    let why = credential::stored_reason(revoke.revocation_reason);
    let if_match = IfMatch::from_headers(&headers)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let device = find(&controller, &id).await?;
            if_match.check(version(&device))?;
            let standing = Standing::of(&controller, &device).await?;
            let facts = OperateFacts {
                now: controller.clock.now(),
                actor: &actor,
                device: &device,
                credentials: &standing.credentials,
                wifi: &standing.wifi,
                addresses: &standing.addresses,
                ownership: None,
                reasons: &said,
                evidence: &[],
            };
            Ok(decide::revoke_all(&facts, why))
        })
        .await?;
    accepted(outcome.decision)?;
    enforced(&controller, find(&controller, &id).await?, wait, true).await
}

pub(super) async fn device_journal(
    State(controller): State<Controller>,
    Path(id): Path<String>,
    Asked(query): Asked<DeviceJournalQuery>,
) -> Result<Json<JournalPage>, Failure> {
    let device = find(&controller, &id).await?;
    let after = u64::try_from(query.after.unwrap_or(0))
        .map_err(|_| bad_request("`after` is the number of an entry, 0 or more"))?;
    let mut entries = Vec::new();
    loop {
        let seq = entries
            .last()
            .map_or(after, |entry: &vouchsafe_store::Positioned| {
                entry.sealed.seq
            });
        let read = controller
            .store
            .journal(Subject::Device(device.id), seq, PAGE);
        let read = read.await?;
        let more = read.len() == PAGE as usize;
        entries.extend(read);
        if !more || entries.len() >= MAX_JOURNAL {
            return Ok(Json(journal::page_of(&entries, 0)));
        }
    }
}

/// What hangs on a device.
pub(super) struct Standing {
    /// Its credentials that are not revoked.
    pub(super) credentials: Vec<vouchsafe_fleet::Credential>,
    /// What it holds by Wi-Fi Easy Connect.
    pub(super) wifi: Holdings,
    /// The MAC addresses that are claimed for it.
    pub(super) addresses: Vec<ClaimedAddress>,
    /// Its ownership that has not ended.
    pub(super) ownership: Option<vouchsafe_fleet::Ownership>,
}

impl Standing {
    pub(super) async fn of(
        controller: &Controller,
        device: &vouchsafe_fleet::Device,
    ) -> Result<Self, Failure> {
        let now = controller.clock.now();
        let store = &controller.store;
        let credentials = store.credentials_that_count(device.id, now).await?;
        let ownership = controller.store.current_ownership(device.id).await?;
        Ok(Self {
            credentials,
            wifi: controller.store.holdings(device.id).await?,
            addresses: controller.store.addresses(device.id).await?,
            ownership,
        })
    }
}

/// The device of this id, or 404.
pub(super) async fn find(
    controller: &Controller,
    id: &str,
) -> Result<vouchsafe_fleet::Device, Failure> {
    let found = match DeviceId::parse(id) {
        Ok(parsed) => controller.store.device(parsed).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| Problem::not_found("device", id).into())
}

/// Its ETag.
pub(super) fn version(device: &vouchsafe_fleet::Device) -> Version {
    Version(signed(device.version))
}

/// The device as the contract has it, read anew: the store numbers its journal.
pub(super) async fn tagged(
    controller: &Controller,
    device: vouchsafe_fleet::Device,
) -> Result<Tagged, Failure> {
    let device = controller.store.device(device.id).await?.unwrap_or(device);
    let waits = waits(controller, device.id).await?;
    let wifi = wifi::of_device(controller, &device).await?;
    let shown = Device {
        wifi,
        admission: session::of_device(controller, device.id).await?,
        addresses: address::of_device(controller, device.id).await?,
        claims: address::claims_about(controller, &device).await?,
        ..shown(device.clone(), waits)
    };
    Ok((version(&device), Json(shown)))
}

/// Adds a person's words to the entry of a decision.
pub(super) fn add_reason<D>(outcome: &mut Outcome<D>, said: Option<&Reason>) {
    if let (Some(entry), Some(said)) = (outcome.commit.entries.first_mut(), said) {
        entry.reasons.push(said.clone());
    }
}

/// Devices about which a person is asked, at most `most`.
pub(super) async fn waiting(
    controller: &Controller,
    most: usize,
) -> Result<Vec<DeviceId>, Failure> {
    let mut devices = std::collections::BTreeSet::new();
    let mut last: Option<VoucherRecord> = None;
    while devices.len() < most {
        let read = controller
            .store
            .waiting_vouchers(last.as_ref(), PAGE)
            .await?;
        for record in &read {
            // It may have been left behind by a device that asked anew, or was released.
            if waits(controller, record.device).await? {
                devices.insert(record.device);
            }
        }
        match read.into_iter().next_back() {
            Some(record) => last = Some(record),
            None => break,
        }
    }
    Ok(devices.into_iter().take(most).collect())
}

async fn waits(controller: &Controller, device: DeviceId) -> Result<bool, Failure> {
    Ok(asked_about(controller, device).await?.is_some())
}

/// What a person is asked about a device: the oldest that waits and to which a yes would still count.
async fn asked_about(
    controller: &Controller,
    device: DeviceId,
) -> Result<Option<VoucherRecord>, Failure> {
    let store = &controller.store;
    let Some(ownership) = store.current_ownership(device).await? else {
        return Ok(None);
    };
    let window = controller.clock.now().saturating_sub(PENDING_WINDOW);
    let since = window.map_or(ownership.since, |window| window.max(ownership.since));
    Ok(store.oldest_waiting(device, since).await?)
}

/// A page of the devices that wait, which are few: looked up one by one, in the list's order.
async fn waiting_devices(
    controller: &Controller,
    filter: &DeviceFilter,
    behind: Option<&DeviceKey>,
    limit: u32,
) -> Result<Vec<vouchsafe_fleet::Device>, Failure> {
    /// Waiting devices that are put in order at most.
    const MOST: usize = 10_000;
    let wanted = stored_filter(filter)?;
    let mut devices = Vec::new();
    for id in waiting(controller, MOST).await? {
        let Some(device) = controller.store.device(id).await? else {
            continue;
        };
        let fits = wanted.state.is_none_or(|state| state == device.state)
            && wanted
                .manufacturer
                .is_none_or(|maker| maker == device.manufacturer)
            && behind.is_none_or(|key| (&key.serial, key.id) < (&device.serial, device.id));
        if fits {
            devices.push(device);
        }
    }
    devices.sort_by(|one, other| (&one.serial, one.id).cmp(&(&other.serial, other.id)));
    devices.truncate(limit as usize);
    Ok(devices)
}

fn stored_filter(filter: &DeviceFilter) -> Result<vouchsafe_store::DeviceFilter, Failure> {
    let manufacturer = filter
        .manufacturer
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|_| bad_request("`manufacturer` must be an id of 32 hexadecimal digits"))?;
    Ok(vouchsafe_store::DeviceFilter {
        state: filter.state.map(stored_state),
        owner: None,
        manufacturer,
        serial_prefix: filter.serial.clone(),
    })
}

/// `after` of a device list: base64 of serial number, zero byte, id.
fn key(text: &str) -> Result<DeviceKey, Problem> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (serial, id) = text.rsplit_once('\0')?;
        Some(DeviceKey {
            serial: serial.to_owned(),
            id: DeviceId::parse(id).ok()?,
        })
    };
    read().ok_or_else(bad_after)
}

fn text_of_key(device: &vouchsafe_fleet::Device) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}\0{}", device.serial, device.id))
}

pub(super) fn shown(device: vouchsafe_fleet::Device, waiting: bool) -> Device {
    Device {
        id: device.id.to_string(),
        manufacturer: device.manufacturer.to_string(),
        serial: device.serial,
        model: device.model,
        state: shown_state(device.state),
        owner: device.owner.map(|owner| owner.to_string()),
        segment: device.segment,
        idevid_sha256: device.idevid_sha256.map(|digest| digest.to_string()),
        mud_url: device.mud_url,
        key_origin: Some(device.key_origin.as_str().to_owned()),
        reason: device.reason,
        waiting,
        wifi: None,
        admission: None,
        addresses: Vec::new(),
        claims: Vec::new(),
        enforcement: None,
        journal_length: signed(device.journal_seq),
        created_at: device.created_at,
        updated_at: device.updated_at,
        version: signed(device.version),
    }
}

/// The contract's word for a state.
pub(super) fn shown_state(state: Life) -> DeviceState {
    match state {
        Life::Provisioned => DeviceState::Provisioned,
        Life::Transferred => DeviceState::Transferred,
        Life::Claimed => DeviceState::Claimed,
        Life::Onboarding => DeviceState::Onboarding,
        Life::Onboarded => DeviceState::Onboarded,
        Life::Quarantined => DeviceState::Quarantined,
        Life::Released => DeviceState::Released,
        Life::Retired => DeviceState::Retired,
    }
}

fn stored_state(state: DeviceState) -> Life {
    match state {
        DeviceState::Provisioned => Life::Provisioned,
        DeviceState::Transferred => Life::Transferred,
        DeviceState::Claimed => Life::Claimed,
        DeviceState::Onboarding => Life::Onboarding,
        DeviceState::Onboarded => Life::Onboarded,
        DeviceState::Quarantined => Life::Quarantined,
        DeviceState::Released => Life::Released,
        DeviceState::Retired => Life::Retired,
    }
}
