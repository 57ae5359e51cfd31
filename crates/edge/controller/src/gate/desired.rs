//! The task that keeps the desired state of network admission.
//!
//! 1. At the start everything is read: a device that has onboarded may come in with each certificate of
//!    its own that was not revoked. A device in quarantine may come in to the quarantine segment, if
//!    there is one. A device may come in by its MAC address where policy says so, unless it holds a
//!    certificate and policy says nothing of that. Others may not, and neither may who is meant for a
//!    segment that nobody described, where any is.
//! 2. Whatever changes a device or a credential is a journal entry, here or at another replica, and each
//!    wakes this task. It reads on in the journal, and looks again only at the devices named there.
//! 3. A device of which a person ended a session is without credentials until the session is over, or
//!    [`LONGEST_END`] has passed: every replica sees the journal entry, and so every gate is told. One
//!    that begins meanwhile reads back for it.
//! 4. A change makes a version; without one there is a new one after [`REFRESH`], so that a gate
//!    can tell a quiet controller from a dead one, and gets a fresh revocation list in time.
//! 5. Where a file is configured it is written whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast::error::RecvError;
use vouchsafe_api::gate::{
    AdmittedCredential, AdmittedStation, SegmentDefinition, StateDifference,
};
use vouchsafe_fleet::admission::ClaimedAddress;
use vouchsafe_fleet::{Action, Device, DeviceId, State, Subject};
use vouchsafe_home::HomeError;
use vouchsafe_store::{DeviceFilter, DeviceKey, Positioned};

use super::shared::{Admitted, Progress};
use super::{definition, reload_segments};
use crate::controller::{Controller, Fault};
use crate::revocation;

/// Longest time between two versions.
const REFRESH: Duration = Duration::from_secs(300);

/// Pause after a version, so that a crowd of changes makes few.
const PAUSE: Duration = Duration::from_millis(20);

/// Pause after what went wrong.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// For how long a device is without credentials at most since a session of it was ended.
const LONGEST_END: SignedDuration = SignedDuration::from_secs(30);

/// How often it is looked whether that session is over, while there is one.
const LOOK: Duration = Duration::from_millis(100);

/// Rows read at once.
const PAGE: u32 = 500;

/// Most pages of the journal that are read back for sessions that were ended a moment ago.
const PAGES_BACK: usize = 20;

/// Most certificates of one device that open the network: the newest.
const MAX_CERTIFICATES: usize = 16;

/// The task that keeps the desired state.
pub struct DesiredStates {
    controller: Controller,
    file: Option<PathBuf>,
    /// How far the journal was read.
    position: u64,
    /// Sessions that people ended and that are not over: whose, and until when that is waited for.
    ending: BTreeMap<String, (DeviceId, Timestamp)>,
    /// The names of the segments that are described.
    segments: BTreeSet<String>,
}

/// What differs since the last version.
#[derive(Debug, Default)]
struct Changes {
    /// Everything was read anew.
    all: bool,
    segments: Option<Vec<SegmentDefinition>>,
    credentials: Named<AdmittedCredential>,
    stations: Named<AdmittedStation>,
}

impl Changes {
    fn is_none(&self) -> bool {
        !self.all
            && self.segments.is_none()
            && self.credentials.is_none()
            && self.stations.is_none()
    }
}

/// What is new or different, and the names of what is gone.
#[derive(Debug)]
struct Named<T> {
    put: Vec<T>,
    remove: Vec<String>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self {
            put: Vec::new(),
            remove: Vec::new(),
        }
    }
}

impl<T: Clone + PartialEq> Named<T> {
    fn note(&mut self, before: &[T], after: &[T], name: impl Fn(&T) -> &String) {
        let names: BTreeSet<&String> = after.iter().map(&name).collect();
        let gone = before.iter().filter(|it| !names.contains(name(it)));
        self.remove.extend(gone.map(|it| name(it).clone()));
        let new = after.iter().filter(|it| !before.contains(it));
        self.put.extend(new.cloned());
    }

    fn is_none(&self) -> bool {
        self.put.is_empty() && self.remove.is_empty()
    }
}

/// A device of which a row is damaged stays out, and keeps nobody else out.
fn nothing_if_damaged(id: DeviceId, read: Result<Admitted, Fault>) -> Result<Admitted, Fault> {
    match read {
        Err(fault) if fault.is_damage() => {
            tracing::error!(device = %id, %fault, "not admitted");
            Ok(Admitted::default())
        }
        read => read,
    }
}

impl DesiredStates {
    /// The state, also in this file where there is one; nothing is read yet.
    pub fn new(controller: Controller, file: Option<PathBuf>) -> Self {
        if file.is_some() {
            controller.gates.need();
        }
        Self {
            controller,
            file,
            position: 0,
            ending: BTreeMap::new(),
            segments: BTreeSet::new(),
        }
    }

    /// Steps 1 to 5, from the moment somebody wants a desired state, until the controller stops.
    pub async fn keep(mut self) {
        let mut stopping = self.controller.stopping.subscribe();
        let mut needed = self.controller.gates.needed.subscribe();
        let has_gates = self.controller.store.gates(None, 1).await;
        if has_gates.map_or(true, |gates| !gates.is_empty()) {
            self.controller.gates.need();
        }
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            _ = needed.wait_for(|needed| *needed) => {}
        }
        let mut wake = self.controller.store.subscribe();
        let mut is_read = false;
        loop {
            let read = if is_read {
                self.read_on().await
            } else {
                self.read_all().await
            };
            let told = match read {
                Ok(changes) => self.tell(changes).await,
                Err(fault) => Err(fault),
            };
            match told {
                Ok(()) => is_read = true,
                Err(fault) => {
                    tracing::error!(%fault, "the desired state is not up to date");
                    // What was not read is not known: begin anew.
                    is_read = false;
                }
            }
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => return,
                woken = wake.recv() => if matches!(woken, Err(RecvError::Closed)) {
                    return;
                },
                () = tokio::time::sleep(self.pause(is_read)) => {}
            }
            // All that happened up to here is seen by the next look.
            wake = wake.resubscribe();
        }
    }

    /// How long the next look can wait where nothing wakes this task.
    fn pause(&self, is_read: bool) -> Duration {
        match is_read {
            false => AFTER_FAULT,
            true if self.ending.is_empty() => REFRESH,
            true => LOOK,
        }
    }

    /// Step 1.
    async fn read_all(&mut self) -> Result<Changes, Fault> {
        // Before the devices are read, so that nothing falls between.
        self.position = self.controller.store.position();
        self.note_recent_ends().await?;
        let segments = self.segments().await?;
        let mut addresses = self.all_addresses().await?;
        let mut admitted = BTreeMap::new();
        for state in [State::Onboarded, State::Quarantined] {
            let mut after = None;
            while let Some(page) = self.page(state, &mut after).await? {
                for device in page {
                    let addresses = addresses.remove(&device.id).unwrap_or_default();
                    let of_device = self.of_device(&device, &addresses).await;
                    let of_device = nothing_if_damaged(device.id, of_device)?;
                    if !of_device.is_nothing() {
                        admitted.insert(device.id, of_device);
                    }
                }
            }
        }
        // Who never onboarded may come in by an address.
        for (id, addresses) in addresses {
            let of_device = nothing_if_damaged(id, self.look_at(id, Some(addresses)).await)?;
            if !of_device.is_nothing() {
                admitted.insert(id, of_device);
            }
        }
        let mut current = self.controller.gates.current();
        current.admitted = admitted;
        current.segments = segments;
        Ok(Changes {
            all: true,
            ..Changes::default()
        })
    }

    /// The next devices in a state, until there are no more.
    async fn page(
        &self,
        state: State,
        after: &mut Option<DeviceKey>,
    ) -> Result<Option<Vec<Device>>, Fault> {
        let filter = DeviceFilter {
            state: Some(state),
            ..DeviceFilter::default()
        };
        let store = &self.controller.store;
        let page = store
            .readable_devices(&filter, after.as_ref(), PAGE)
            .await?;
        *after = page.last;
        Ok(after.as_ref().map(|_| page.rows))
    }

    /// The MAC addresses that policy lets in, by device.
    async fn all_addresses(&self) -> Result<BTreeMap<DeviceId, Vec<ClaimedAddress>>, Fault> {
        let mut all: BTreeMap<DeviceId, Vec<ClaimedAddress>> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.controller.store.all_addresses(after, PAGE).await?;
            if page.last.is_none() {
                return Ok(all);
            }
            after = page.last;
            let granted = page.rows.into_iter().filter(|it| it.grant.is_some());
            for address in granted {
                all.entry(address.device).or_default().push(address);
            }
        }
    }

    async fn segments(&mut self) -> Result<Vec<SegmentDefinition>, Fault> {
        let segments = reload_segments(&self.controller).await?;
        self.segments = segments.iter().map(|each| each.name.clone()).collect();
        Ok(segments.into_iter().map(definition).collect())
    }

    /// Step 2.
    async fn read_on(&mut self) -> Result<Changes, Fault> {
        let mut changes = Changes::default();
        let mut changed = BTreeSet::new();
        let mut segments = false;
        loop {
            let store = &self.controller.store;
            let entries = store.journal_since(self.position, PAGE).await?;
            let Some(last) = entries.last() else {
                break;
            };
            self.position = last.position;
            for entry in &entries {
                match entry.subject {
                    Subject::Device(id) => {
                        changed.insert(id);
                        self.note_end(id, entry, self.controller.clock.now());
                    }
                    Subject::Site if !segments => {
                        let action = entry.sealed.entry().ok().map(|entry| entry.action);
                        segments = matches!(
                            action,
                            Some(Action::SegmentChanged | Action::SegmentRemoved)
                        );
                    }
                    _ => {}
                }
            }
        }
        self.forget_ended(&mut changed).await?;
        if segments {
            let before = std::mem::take(&mut self.segments);
            let segments = self.segments().await?;
            changed.extend(self.meant_for_others(&before).await?);
            self.controller
                .gates
                .current()
                .segments
                .clone_from(&segments);
            changes.segments = Some(segments);
        }
        for id in changed {
            let after = nothing_if_damaged(id, self.look_at(id, None).await)?;
            self.take(id, after, &mut changes);
        }
        Ok(changes)
    }

    /// Devices that the segments described before and those of now treat differently.
    async fn meant_for_others(
        &self,
        before: &BTreeSet<String>,
    ) -> Result<BTreeSet<DeviceId>, Fault> {
        let mut found = BTreeSet::new();
        let others: BTreeSet<_> = before.symmetric_difference(&self.segments).collect();
        if others.is_empty() {
            return Ok(found);
        }
        // Where none is described, any may be named.
        let all = before.is_empty() || self.segments.is_empty();
        let differs = |name: Option<&String>| name.is_some_and(|it| all || others.contains(it));
        let quarantine = &self.controller.config.gate.quarantine_segment;
        for state in [State::Onboarded, State::Quarantined] {
            let moves = state == State::Quarantined && others.contains(quarantine);
            let mut after = None;
            while let Some(page) = self.page(state, &mut after).await? {
                let differing = page
                    .iter()
                    .filter(|device| moves || differs(device.segment.as_ref()));
                found.extend(differing.map(|device| device.id));
            }
        }
        for (device, addresses) in self.all_addresses().await? {
            let mut granted = addresses.iter().filter_map(|it| it.grant.as_ref());
            if granted.any(|grant| differs(grant.segment.as_ref())) {
                found.insert(device);
            }
        }
        Ok(found)
    }

    /// Step 3, its beginning: the end was told at `told`.
    fn note_end(&mut self, device: DeviceId, entry: &Positioned, told: Timestamp) {
        let Ok(entry) = entry.sealed.entry() else {
            return;
        };
        if entry.action == Action::SessionEnded
            && let Some(session) = entry.data.get("session")
        {
            let until = told.saturating_add(LONGEST_END).unwrap_or(Timestamp::MAX);
            self.ending.insert(session.clone(), (device, until));
        }
    }

    /// Step 3, for what was told before this run: read back as far as it may still go on.
    async fn note_recent_ends(&mut self) -> Result<(), Fault> {
        let now = self.controller.clock.now();
        let since = now.saturating_sub(LONGEST_END).unwrap_or(Timestamp::MIN);
        let mut behind = self.position;
        for _ in 0..PAGES_BACK {
            let from = behind.saturating_sub(u64::from(PAGE));
            let mut entries = self.controller.store.journal_since(from, PAGE).await?;
            entries.retain(|entry| entry.position <= behind);
            let mut is_old = from == 0;
            for entry in &entries {
                let at = entry.sealed.entry().map_or(now, |entry| entry.at);
                is_old |= at < since;
                if let Subject::Device(id) = entry.subject
                    && at >= since
                {
                    // A clock that was ahead keeps nobody out for longer.
                    self.note_end(id, entry, at.min(now));
                }
            }
            if is_old {
                break;
            }
            behind = from;
        }
        Ok(())
    }

    /// Step 3, its end.
    async fn forget_ended(&mut self, changed: &mut BTreeSet<DeviceId>) -> Result<(), Fault> {
        let now = self.controller.clock.now();
        let mut over = Vec::new();
        for (id, (device, until)) in &self.ending {
            let session = self.controller.store.session(id).await?;
            if session.is_none_or(|session| session.ended.is_some()) || *until <= now {
                over.push(id.clone());
                changed.insert(*device);
            }
        }
        self.ending.retain(|id, _| !over.contains(id));
        Ok(())
    }

    /// Notes what differs for one device.
    fn take(&self, id: DeviceId, after: Admitted, changes: &mut Changes) {
        let mut current = self.controller.gates.current();
        let before = current.admitted.remove(&id).unwrap_or_default();
        changes
            .credentials
            .note(&before.credentials, &after.credentials, |it| &it.credential);
        changes
            .stations
            .note(&before.stations, &after.stations, |it| &it.mac);
        if !after.is_nothing() {
            current.admitted.insert(id, after);
        }
    }

    /// With what the device of this name may come in; its addresses are read where they are not known.
    async fn look_at(
        &self,
        id: DeviceId,
        addresses: Option<Vec<ClaimedAddress>>,
    ) -> Result<Admitted, Fault> {
        let store = &self.controller.store;
        let Some(device) = store.device(id).await? else {
            return Ok(Admitted::default());
        };
        let addresses = match addresses {
            Some(known) => known,
            None => store.addresses(id).await?,
        };
        self.of_device(&device, &addresses).await
    }

    /// With what a device may come in. A newer certificate leaves the one before it valid until its own end:
    /// the device may not have the newer one yet.
    async fn of_device(
        &self,
        device: &Device,
        addresses: &[ClaimedAddress],
    ) -> Result<Admitted, Fault> {
        let now = self.controller.clock.now();
        let granted = addresses.iter().filter_map(|address| {
            let grant = address.granted(now)?;
            Some((address.mac, grant))
        });
        let granted: Vec<_> = granted.collect();
        let is_in = device.state == State::Onboarded
            || matches!(device.state, State::Claimed | State::Onboarding) && !granted.is_empty();
        let quarantine = &self.controller.config.gate.quarantine_segment;
        let quarantine = match device.state {
            State::Quarantined if self.segments.contains(quarantine) => Some(quarantine.clone()),
            _ if is_in => None,
            _ => return Ok(Admitted::default()),
        };
        if self.ending.values().any(|(ending, _)| *ending == device.id) {
            return Ok(Admitted::default());
        }
        let store = &self.controller.store;
        let credentials = store.credentials_that_count(device.id, now).await?;
        let holds_credential = !credentials.is_empty();
        let stations = granted
            .into_iter()
            .filter(|(_, grant)| grant.despite_credential || !holds_credential)
            .filter(|(_, grant)| quarantine.is_some() || self.leads(device, grant.segment.as_ref()))
            .map(|(mac, grant)| AdmittedStation {
                mac: mac.to_string(),
                device: device.id.to_string(),
                segment: quarantine.clone().or_else(|| grant.segment.clone()),
                expires_at: grant.expires_at,
            });
        let opens = quarantine.is_some()
            || device.state == State::Onboarded && self.leads(device, device.segment.as_ref());
        let credentials = credentials.into_iter().rev().filter(|_| opens);
        let credentials = credentials
            .take(MAX_CERTIFICATES)
            .map(|credential| AdmittedCredential {
                credential: credential.id.to_string(),
                device: device.id.to_string(),
                segment: quarantine.clone().or_else(|| device.segment.clone()),
                expires_at: credential.not_after,
            });
        Ok(Admitted {
            credentials: credentials.collect(),
            stations: stations.collect(),
        })
    }

    /// Whether the device may be put there. A gate confines nobody in a segment that it does not know, so
    /// where any is described, a device of one that is not stays out.
    fn leads(&self, device: &Device, segment: Option<&String>) -> bool {
        let Some(name) = segment else { return true };
        let leads = self.segments.is_empty() || self.segments.contains(name);
        if !leads {
            tracing::warn!(
                device = %device.id, segment = name,
                "not admitted: there is no such segment; describe it, or claim the device for another"
            );
        }
        leads
    }

    /// Steps 4 and 5.
    async fn tell(&mut self, changes: Changes) -> Result<(), Fault> {
        let list = revocation::crl(&self.controller).await?;
        let lists = vec![STANDARD.encode(&list.der)];
        let now = self.controller.clock.now();
        let document = self.advance(changes, lists, now);
        if let (Some(document), Some(file)) = (document, &self.file) {
            let text =
                serde_json::to_vec(&document).map_err(|error| Fault::Sign(error.to_string()))?;
            let path = file.clone();
            tokio::task::spawn_blocking(move || vouchsafe_keystore::write_file(&path, &text))
                .await
                .map_err(|error| Fault::Sign(error.to_string()))?
                .map_err(HomeError::from)?;
        }
        let version = self.controller.gates.current().version;
        self.controller.gates.reached(Progress {
            version,
            position: self.position,
        });
        Ok(())
    }

    /// The next version, if there is one, as a file would hold it.
    fn advance(
        &self,
        changes: Changes,
        lists: Vec<String>,
        now: Timestamp,
    ) -> Option<vouchsafe_api::DesiredState> {
        let mut current = self.controller.gates.current();
        let is_due = now.duration_since(current.issued_at).unsigned_abs() >= REFRESH;
        let new_lists = (current.lists != lists).then_some(lists);
        if changes.is_none() && new_lists.is_none() && !is_due {
            return None;
        }
        if let Some(lists) = &new_lists {
            current.lists.clone_from(lists);
        }
        let (from, to) = (current.version, current.next(now));
        if changes.all {
            current.replace(to, now);
        } else {
            current.advance(StateDifference {
                from,
                to,
                issued_at: now,
                revocation_lists: new_lists,
                segments: changes.segments,
                put: changes.credentials.put,
                remove: changes.credentials.remove,
                stations_put: changes.stations.put,
                stations_remove: changes.stations.remove,
            });
        }
        self.file.is_some().then(|| current.document())
    }
}
