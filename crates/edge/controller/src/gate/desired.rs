//! The task that keeps the desired state of network admission.
//!
//! 1. At the start everything is read: a device that has onboarded may come in with each certificate of
//!    its own that was not revoked. A device in quarantine may come in to the quarantine segment, if
//!    there is one. Others may not.
//! 2. Whatever changes a device or a credential is a journal entry, here or at another replica, and each
//!    wakes this task. It reads on in the journal, and looks again only at the devices named there.
//! 3. A change makes a version; without one there is a new one after [`REFRESH`], so that a gate
//!    can tell a quiet controller from a dead one, and gets a fresh revocation list in time.
//! 4. Where a file is configured it is written whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use vouchsafe_api::gate::{AdmittedCredential, SegmentDefinition, StateDifference};
use vouchsafe_fleet::{Action, CredentialStatus, Device, DeviceId, State, Subject};
use vouchsafe_store::{DeviceFilter, DeviceKey};

use super::shared::Progress;
use super::{definition, reload_segments};
use crate::controller::{Controller, Fault};
use crate::home::HomeError;
use crate::revocation;

/// Longest time between two versions.
const REFRESH: Duration = Duration::from_secs(300);

/// Pause after a version, so that a crowd of changes makes few.
const PAUSE: Duration = Duration::from_millis(20);

/// Pause after what went wrong.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// Rows read at once.
const PAGE: u32 = 500;

/// Most certificates of one device that open the network: the newest.
const MAX_CERTIFICATES: usize = 16;

/// The task that keeps the desired state.
pub struct DesiredStates {
    controller: Controller,
    file: Option<PathBuf>,
    /// How far the journal was read.
    position: u64,
    /// Devices that were withheld at the last look.
    withheld: BTreeSet<DeviceId>,
    has_quarantine: bool,
}

/// What differs since the last version.
#[derive(Debug, Default)]
struct Changes {
    /// Everything was read anew.
    all: bool,
    segments: Option<Vec<SegmentDefinition>>,
    put: Vec<AdmittedCredential>,
    remove: Vec<String>,
}

impl Changes {
    fn is_none(&self) -> bool {
        !self.all && self.segments.is_none() && self.put.is_empty() && self.remove.is_empty()
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
            withheld: BTreeSet::new(),
            has_quarantine: false,
        }
    }

    /// Steps 1 to 4, from the moment somebody wants a desired state, until the controller stops.
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
                () = self.controller.gates.nudge.notified() => {}
                () = tokio::time::sleep(if is_read { REFRESH } else { AFTER_FAULT }) => {}
            }
            // All that happened up to here is seen by the next look.
            wake = wake.resubscribe();
        }
    }

    /// Step 1.
    async fn read_all(&mut self) -> Result<Changes, Fault> {
        // Before the devices are read, so that nothing falls between.
        self.position = self.controller.store.position();
        self.withheld = self.controller.gates.withheld();
        let segments = self.segments().await?;
        let mut admitted = BTreeMap::new();
        for state in [State::Onboarded, State::Quarantined] {
            for device in self.devices(state).await? {
                let credentials = self.credentials(&device).await?;
                if !credentials.is_empty() {
                    admitted.insert(device.id, credentials);
                }
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

    async fn devices(&self, state: State) -> Result<Vec<Device>, Fault> {
        let mut devices = Vec::new();
        let mut after: Option<DeviceKey> = None;
        let filter = DeviceFilter {
            state: Some(state),
            ..DeviceFilter::default()
        };
        // In quarantine nobody comes in without a segment for it.
        if state != State::Onboarded && !self.has_quarantine {
            return Ok(devices);
        }
        loop {
            let store = &self.controller.store;
            let page = store.devices(&filter, after.as_ref(), PAGE).await?;
            after = page.last().map(DeviceKey::of);
            let is_last = page.len() < PAGE as usize;
            devices.extend(page);
            if is_last {
                return Ok(devices);
            }
        }
    }

    async fn segments(&mut self) -> Result<Vec<SegmentDefinition>, Fault> {
        let segments = reload_segments(&self.controller).await?;
        let quarantine = &self.controller.config.gate.quarantine_segment;
        self.has_quarantine = segments.iter().any(|segment| segment.name == *quarantine);
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
        let withheld = self.controller.gates.withheld();
        changed.extend(withheld.symmetric_difference(&self.withheld).copied());
        self.withheld = withheld;
        if segments {
            let before = self.has_quarantine;
            let segments = self.segments().await?;
            self.controller
                .gates
                .current()
                .segments
                .clone_from(&segments);
            changes.segments = Some(segments);
            if before != self.has_quarantine {
                self.has_quarantine = true;
                let quarantined = self.devices(State::Quarantined).await?;
                self.has_quarantine = !before;
                changed.extend(quarantined.iter().map(|device| device.id));
            }
        }
        for id in changed {
            let credentials = match self.controller.store.device(id).await? {
                Some(device) => self.credentials(&device).await?,
                None => Vec::new(),
            };
            self.take(id, credentials, &mut changes);
        }
        Ok(changes)
    }

    /// Notes what differs for one device.
    fn take(&self, id: DeviceId, after: Vec<AdmittedCredential>, changes: &mut Changes) {
        let mut current = self.controller.gates.current();
        let before = current.admitted.remove(&id).unwrap_or_default();
        let names: BTreeSet<&str> = after.iter().map(|it| it.credential.as_str()).collect();
        let gone = before
            .iter()
            .filter(|it| !names.contains(it.credential.as_str()));
        changes.remove.extend(gone.map(|it| it.credential.clone()));
        let new = after.iter().filter(|it| !before.contains(it));
        changes.put.extend(new.cloned());
        if !after.is_empty() {
            current.admitted.insert(id, after);
        }
    }

    /// A newer certificate leaves the one before it valid until its own end: the device may not have
    /// the newer one yet.
    async fn credentials(&self, device: &Device) -> Result<Vec<AdmittedCredential>, Fault> {
        let segment = match device.state {
            State::Onboarded => device.segment.clone(),
            State::Quarantined if self.has_quarantine => {
                Some(self.controller.config.gate.quarantine_segment.clone())
            }
            _ => return Ok(Vec::new()),
        };
        if self.withheld.contains(&device.id) {
            return Ok(Vec::new());
        }
        let now = self.controller.clock.now();
        let all = self.controller.store.credentials(device.id).await?;
        let counts = all.into_iter().rev().filter(|credential| {
            let is_revoked = matches!(credential.status, CredentialStatus::Revoked { .. });
            !is_revoked && credential.not_after > now
        });
        Ok(counts
            .take(MAX_CERTIFICATES)
            .map(|credential| AdmittedCredential {
                credential: credential.id.to_string(),
                device: device.id.to_string(),
                segment: segment.clone(),
                expires_at: credential.not_after,
            })
            .collect())
    }

    /// Steps 3 and 4.
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
        // Versions must grow over restarts too, and the time does.
        let by_time = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let from = current.version;
        let to = by_time.max(from + 1);
        if changes.all {
            current.replace(to, now);
        } else {
            current.advance(StateDifference {
                from,
                to,
                issued_at: now,
                revocation_lists: new_lists,
                segments: changes.segments,
                put: changes.put,
                remove: changes.remove,
                stations_put: Vec::new(),
                stations_remove: Vec::new(),
            });
        }
        self.file.is_some().then(|| current.document())
    }
}
