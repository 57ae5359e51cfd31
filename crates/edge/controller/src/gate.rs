//! The desired state of network admission, for the gate on this machine.
//!
//! 1. At the start everything is read: a device that has onboarded may come in with each certificate of
//!    its own that was not revoked. A device that is quarantined, released or retired may not.
//! 2. Whatever changes a device or a credential is a journal entry, here or at another replica, and each
//!    wakes this task. It reads on in the journal, and looks again only at the devices named there.
//! 3. The file is written whole or not at all, with a version that grows; anew after [`REFRESH`] at the
//!    latest, so that a gate can tell a quiet controller from a dead one, and gets a fresh revocation
//!    list in time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use vouchsafe_api::{AdmittedCredential, DesiredState};
use vouchsafe_fleet::{CredentialStatus, Device, DeviceId, State, Subject};
use vouchsafe_store::{CredentialFilter, DeviceFilter, DeviceKey};

use crate::controller::{Controller, Fault};
use crate::home::HomeError;
use crate::revocation;

/// Longest time between two versions.
const REFRESH: Duration = Duration::from_secs(300);

/// Pause after a version, so that a crowd of changes makes few.
const PAUSE: Duration = Duration::from_millis(20);

/// Rows read at once.
const PAGE: u32 = 500;

/// Most certificates of one device that open the network.
const MAX_CERTIFICATES: u32 = 16;

/// The task that writes the desired state.
pub struct DesiredStateFile {
    controller: Controller,
    file: PathBuf,
    admitted: BTreeMap<DeviceId, Vec<AdmittedCredential>>,
    /// How far the journal was read.
    position: u64,
    /// What the last version said of revocation, and when it was written.
    written: Option<(Bytes, Timestamp)>,
    version: u64,
}

impl DesiredStateFile {
    /// The state in this file; nothing is written yet.
    pub fn new(controller: Controller, file: PathBuf) -> Self {
        Self {
            controller,
            file,
            admitted: BTreeMap::new(),
            position: 0,
            written: None,
            version: 0,
        }
    }

    /// Steps 1 to 3, until the controller stops.
    pub async fn keep(mut self) {
        let mut wake = self.controller.store.subscribe();
        let mut stopping = self.controller.stopping.subscribe();
        let mut is_read = false;
        loop {
            let read = if is_read {
                self.read_on().await
            } else {
                self.read_all().await.map(|()| true)
            };
            let written = match read {
                Ok(changed) => self.write(changed).await,
                Err(fault) => Err(fault),
            };
            match written {
                Ok(()) => is_read = true,
                Err(fault) => {
                    let file = self.file.display();
                    tracing::error!(%fault, %file, "the desired state is not up to date");
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
                () = tokio::time::sleep(if is_read { REFRESH } else { PAUSE * 50 }) => {}
            }
            // All that happened up to here is seen by the next look.
            wake = wake.resubscribe();
        }
    }

    /// Step 1.
    async fn read_all(&mut self) -> Result<(), Fault> {
        // Before the devices are read, so that nothing falls between.
        self.position = self.controller.store.position();
        let mut admitted = BTreeMap::new();
        let mut after: Option<DeviceKey> = None;
        loop {
            let store = &self.controller.store;
            let filter = DeviceFilter {
                state: Some(State::Onboarded),
                ..DeviceFilter::default()
            };
            let page = store.devices(&filter, after.as_ref(), PAGE).await?;
            after = page.last().map(DeviceKey::of);
            for device in &page {
                admitted.insert(device.id, self.credentials(device).await?);
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        self.admitted = admitted;
        Ok(())
    }

    /// Step 2; whether anything is different now.
    async fn read_on(&mut self) -> Result<bool, Fault> {
        let mut is_different = false;
        let mut changed = BTreeSet::new();
        loop {
            let store = &self.controller.store;
            let entries = store.journal_since(self.position, PAGE).await?;
            let Some(last) = entries.last() else {
                break;
            };
            self.position = last.position;
            changed.extend(entries.iter().filter_map(|entry| match entry.subject {
                Subject::Device(id) => Some(id),
                _ => None,
            }));
        }
        for id in changed {
            let device = self.controller.store.device(id).await?;
            match device.filter(|device| device.state == State::Onboarded) {
                Some(device) => {
                    let credentials = self.credentials(&device).await?;
                    let before = self.admitted.insert(id, credentials);
                    is_different |= before.as_ref() != self.admitted.get(&id);
                }
                None => is_different |= self.admitted.remove(&id).is_some(),
            }
        }
        Ok(is_different)
    }

    /// A newer certificate leaves the one before it valid until its own end: the device may not have
    /// the newer one yet.
    async fn credentials(&self, device: &Device) -> Result<Vec<AdmittedCredential>, Fault> {
        let filter = CredentialFilter {
            device: Some(device.id),
            status: None,
        };
        let store = &self.controller.store;
        let now = self.controller.clock.now();
        let mut admitted = Vec::new();
        let mut after = None;
        loop {
            let page = store
                .list_credentials(&filter, after.as_ref(), MAX_CERTIFICATES)
                .await?;
            after = page.last().map(|credential| credential.id.clone());
            let full = page.len() == MAX_CERTIFICATES as usize;
            admitted.extend(page.into_iter().filter_map(|credential| {
                let is_revoked = matches!(credential.status, CredentialStatus::Revoked { .. });
                (!is_revoked && credential.not_after > now).then(|| AdmittedCredential {
                    credential: credential.id.to_string(),
                    device: device.id.to_string(),
                    segment: device.segment.clone(),
                    expires_at: credential.not_after,
                })
            }));
            if !full || admitted.len() >= MAX_CERTIFICATES as usize {
                return Ok(admitted);
            }
        }
    }

    /// Step 3.
    async fn write(&mut self, changed: bool) -> Result<(), Fault> {
        let list = revocation::crl(&self.controller).await?;
        let now = self.controller.clock.now();
        if let Some((before, at)) = &self.written {
            let is_due = now.duration_since(*at).unsigned_abs() >= REFRESH;
            if !changed && !is_due && *before == list {
                return Ok(());
            }
        }
        // Versions must grow over restarts too, and the time does.
        let by_time = u64::try_from(now.as_millisecond()).unwrap_or(0);
        self.version = by_time.max(self.version + 1);
        let state = DesiredState {
            version: self.version,
            issued_at: now,
            revocation_lists: vec![STANDARD.encode(&list)],
            admitted: self.admitted.values().flatten().cloned().collect(),
            segments: Vec::new(),
            stations: Vec::new(),
        };
        let text = serde_json::to_vec(&state).map_err(|error| Fault::Sign(error.to_string()))?;
        let path = self.file.clone();
        tokio::task::spawn_blocking(move || vouchsafe_keystore::write_file(&path, &text))
            .await
            .map_err(|error| Fault::Sign(error.to_string()))?
            .map_err(HomeError::from)?;
        self.written = Some((list, now));
        Ok(())
    }
}
