//! What a store keeps of Wi-Fi Easy Connect, in memory.

use std::collections::BTreeMap;

use vouchsafe_fleet::wifi::*;
use vouchsafe_fleet::*;

#[derive(Default)]
pub(crate) struct Wifi {
    pub(crate) networks: BTreeMap<String, Network>,
    pub(crate) keys: BTreeMap<Digest, BootstrappingKey>,
    pub(crate) announcements: BTreeMap<Digest, Announcement>,
    pub(crate) access: BTreeMap<CredentialId, AccessCredential>,
    pub(crate) standings: BTreeMap<DeviceId, Standing>,
}

impl Wifi {
    pub(crate) fn holdings(&self, device: DeviceId) -> Holdings {
        let mut access: Vec<_> = self.access.values().cloned().collect();
        access.retain(|it| {
            it.device == device && !matches!(it.status, CredentialStatus::Revoked { .. })
        });
        Holdings {
            standing: self.standings.get(&device).cloned(),
            access,
        }
    }

    pub(crate) fn holds(&self, guard: &wifi::Guard) -> bool {
        match guard {
            wifi::Guard::NetworkVersion { name, expected } => {
                self.networks.get(name).map_or(0, |it| it.version) == *expected
            }
            wifi::Guard::NetworkUnused { name } => {
                let meant = |it: &Standing| {
                    it.wanted.as_ref() == Some(name)
                        || it.given.as_ref().is_some_and(|it| it.network == *name)
                };
                !self.standings.values().any(meant)
                    && !self
                        .access
                        .values()
                        .any(|it| it.network == *name && it.status == CredentialStatus::Active)
            }
            wifi::Guard::KeyVersion { id, expected } => {
                self.keys.get(id).map_or(0, |it| it.version) == *expected
            }
            wifi::Guard::AccessActive { id } => {
                self.access.get(id).map(|it| it.status) == Some(CredentialStatus::Active)
            }
        }
    }

    pub(crate) fn apply(&mut self, change: wifi::Change) {
        match change {
            wifi::Change::PutNetwork(network) => {
                self.networks.insert(network.name.clone(), *network);
            }
            wifi::Change::RemoveNetwork { name, expected } => {
                assert_eq!(self.networks.remove(&name).unwrap().version, expected);
            }
            wifi::Change::PutKey(key) => {
                self.keys.insert(key.id, *key);
            }
            wifi::Change::RemoveKey { id, expected } => {
                assert_eq!(self.keys.remove(&id).unwrap().version, expected);
            }
            wifi::Change::PutAnnouncement(announcement) => {
                self.announcements.insert(announcement.hash, *announcement);
            }
            wifi::Change::ForgetAnnouncement { hash } => {
                self.announcements.remove(&hash);
            }
            wifi::Change::PutAccess(access) => {
                self.access.insert(access.id.clone(), *access);
            }
            wifi::Change::SetAccessStatus { id, status } => {
                self.access.get_mut(&id).unwrap().status = status;
            }
            wifi::Change::ConfirmAccess { id, at } => {
                self.access.get_mut(&id).unwrap().confirmed_at = Some(at);
            }
            wifi::Change::PutStanding(standing) => {
                self.standings.insert(standing.device, *standing);
            }
        }
    }
}
