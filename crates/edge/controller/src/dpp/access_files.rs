//! Keeps hostapd's passphrase files as the store has it.
//!
//! 1. Whatever changes a device, a credential or a network is a journal entry, here or at another
//!    replica, and each wakes this task. So no handler can forget to tell it.
//! 2. It reads which passphrases are in force, and writes the files whose contents differ from what
//!    it wrote last. The credential of a device that was revoked or quarantined is not among them.
//!    The first time, files of ours that no network has any more are emptied.
//! 3. Wakings in quick succession are taken together ([`PAUSE`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use vouchsafe_fleet::wifi::{AccessCredential, AccessKind, Network, NetworkCredential};
use vouchsafe_fleet::{CredentialId, Digest};
use vouchsafe_home::HomeError;

use super::credential::address;
use super::hostapd::{self, Kind, Line};
use super::passphrase::Passphrase;
use crate::controller::{Controller, Fault};

/// Between two looks at the store.
const PAUSE: Duration = Duration::from_millis(250);

/// A look without being woken: what was missed is made good.
const POLL: Duration = Duration::from_secs(60);

/// After how long what could not be written is tried again.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// Rows read at once.
const PAGE: u32 = 500;

/// The task that writes the files.
pub struct AccessFiles {
    controller: Controller,
    folder: PathBuf,
    /// Opened once each; they never change.
    lines: BTreeMap<CredentialId, Line>,
    /// What each file holds.
    written: BTreeMap<PathBuf, Digest>,
    /// Whether files of an earlier run were looked for, and emptied.
    looked: bool,
}

impl AccessFiles {
    /// Files in this folder; nothing is written yet.
    pub const fn new(controller: Controller, folder: PathBuf) -> Self {
        Self {
            controller,
            folder,
            lines: BTreeMap::new(),
            written: BTreeMap::new(),
            looked: false,
        }
    }

    /// Steps 1 to 3, until the controller stops.
    pub async fn keep(mut self) {
        let mut wake = self.controller.store.subscribe();
        let mut stopping = self.controller.stopping.subscribe();
        loop {
            let written = self.write().await;
            let pause = if written.is_ok() { POLL } else { AFTER_FAULT };
            if let Err(fault) = written {
                tracing::error!(%fault, folder = %self.folder.display(), "passphrase files are not up to date");
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
                () = tokio::time::sleep(pause) => {}
            }
            // All that happened up to here is seen by the next look.
            wake = wake.resubscribe();
        }
    }

    /// Step 2.
    async fn write(&mut self) -> Result<(), Fault> {
        let networks = self.controller.store.networks(None, PAGE).await?;
        let mut wanted = BTreeMap::new();
        let mut in_force = BTreeSet::new();
        for network in &networks {
            let kinds = kinds(network);
            if kinds.is_empty() {
                continue;
            }
            let members = self.members(&network.name).await?;
            let lines: Vec<&Line> = members.iter().filter_map(|id| self.lines.get(id)).collect();
            for kind in kinds {
                let file = kind.file(&self.folder, &network.name);
                wanted.insert(file, hostapd::contents(*kind, &lines));
            }
            in_force.extend(members);
        }
        self.lines.retain(|id, _| in_force.contains(id));
        // What cannot be read or written keeps no other file from losing whom it must.
        let mut failed = None;
        // A network that gives passphrases no longer has nobody in its files.
        let mut written: Vec<PathBuf> = self.written.keys().cloned().collect();
        if !self.looked {
            // Nor one that stopped while nobody was here to see it.
            let folder = self.folder.clone();
            let found = tokio::task::spawn_blocking(move || hostapd::ours(&folder));
            match found
                .await
                .map_err(|error| Fault::Sign(error.to_string()))?
            {
                Ok(found) => written.extend(found),
                Err(source) => {
                    let path = self.folder.clone();
                    failed = Some(HomeError::Read { path, source });
                }
            }
        }
        for file in written {
            wanted
                .entry(file)
                .or_insert_with(|| hostapd::contents(Kind::Psk, &[]));
        }
        for (file, contents) in wanted {
            let digest = Digest::of(contents.expose());
            if self.written.get(&file) == Some(&digest) {
                continue;
            }
            let path = file.clone();
            let writing = tokio::task::spawn_blocking(move || {
                vouchsafe_keystore::write_file(&path, contents.expose())
            });
            let written = writing
                .await
                .map_err(|error| Fault::Sign(error.to_string()))?;
            if let Err(error) = written {
                failed = Some(HomeError::from(error));
                continue;
            }
            tracing::info!(file = %file.display(), "passphrases written");
            self.written.insert(file, digest);
        }
        self.looked |= failed.is_none();
        failed.map_or(Ok(()), |failed| Err(failed.into()))
    }

    /// The credentials in force of a network, opened.
    async fn members(&mut self, network: &str) -> Result<Vec<CredentialId>, Fault> {
        let (mut members, mut after) = (Vec::new(), None);
        loop {
            let store = &self.controller.store;
            let page = store
                .passphrases_in_force(network, after.as_ref(), PAGE)
                .await?;
            if page.last.is_none() {
                return Ok(members);
            }
            after = page.last;
            for access in page.rows {
                if !self.lines.contains_key(&access.id)
                    && let Some(line) = self.line(&access).await?
                {
                    self.lines.insert(access.id.clone(), line);
                }
                members.push(access.id);
            }
        }
    }

    async fn line(&self, access: &AccessCredential) -> Result<Option<Line>, Fault> {
        let AccessKind::Passphrase { identifier, sealed } = &access.kind else {
            return Ok(None);
        };
        let sealer = self.controller.dpp.sealer();
        let passphrase = match Passphrase::unseal(sealer, &access.id, &sealed.0) {
            Ok(passphrase) => passphrase,
            // One that cannot be opened must not keep the others out.
            Err(fault) => {
                tracing::error!(credential = %access.id, %fault, "a passphrase cannot be opened");
                return Ok(None);
            }
        };
        Ok(Some(Line {
            identifier: identifier.clone(),
            mac: address(&self.controller, access.device).await?,
            passphrase,
        }))
    }
}

impl std::fmt::Debug for AccessFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessFiles")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Which files a network's devices belong into.
const fn kinds(network: &Network) -> &'static [Kind] {
    match (network.credential, network.fallback) {
        (NetworkCredential::Connector, true) | (NetworkCredential::Sae, false) => &[Kind::Sae],
        (NetworkCredential::Sae, true) => &[Kind::Sae, Kind::Psk],
        (NetworkCredential::Psk, _) => &[Kind::Psk],
        (NetworkCredential::Connector, false) | (NetworkCredential::Certificate, _) => &[],
    }
}
