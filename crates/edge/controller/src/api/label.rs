//! A device that is known by its label alone, when a manifest names its key.

use vouchsafe_fleet::admission::ClaimedAddress;
use vouchsafe_fleet::decide::wifi::Labelled;
use vouchsafe_fleet::wifi::{BootstrappingKey, Holdings};
use vouchsafe_fleet::{Claim, ClaimSubject, Credential, Device, DeviceId, Ownership};
use vouchsafe_store::{KeyFilter, Store};

use super::problem::Failure;

/// Claims that a device takes along when it is merged with another.
const MAX_CLAIMS: u32 = 256;

/// What is stored about a device that is known by its label alone, and of the device that its key is
/// claimed for now.
pub(super) struct Label {
    device: Device,
    holdings: Holdings,
    certificates: Vec<Credential>,
    addresses: Vec<ClaimedAddress>,
    claims: Vec<Claim>,
    ownership: Option<Ownership>,
    keys: Vec<BootstrappingKey>,
    other_keys: Vec<BootstrappingKey>,
    other_holdings: Holdings,
}

impl Label {
    /// None unless `key` belongs to a device that is named after it, and which is not `id`.
    pub(super) async fn find(
        store: &Store,
        key: &BootstrappingKey,
        id: DeviceId,
    ) -> Result<Option<Self>, Failure> {
        let label = DeviceId::of_bootstrapping_key(key.id);
        if key.device != label || id == label {
            return Ok(None);
        }
        let Some(device) = store.device(label).await? else {
            return Ok(None);
        };
        let keys_of = |device| KeyFilter {
            device: Some(device),
            conflicts: false,
        };
        let about = ClaimSubject::Device { id: label };
        Ok(Some(Self {
            device,
            holdings: store.holdings(label).await?,
            certificates: store.credentials(label).await?,
            addresses: store.addresses(label).await?,
            claims: store.claims(&about, MAX_CLAIMS).await?,
            ownership: store.current_ownership(label).await?,
            // One more than the one it may have is enough to know.
            keys: store.bootstrapping_keys(&keys_of(label), None, 2).await?,
            other_keys: store.bootstrapping_keys(&keys_of(id), None, 1).await?,
            other_holdings: store.holdings(id).await?,
        }))
    }

    pub(super) fn facts(&self) -> Labelled<'_> {
        Labelled {
            device: &self.device,
            holdings: &self.holdings,
            certificates: &self.certificates,
            addresses: &self.addresses,
            claims: &self.claims,
            ownership: self.ownership.as_ref(),
            keys: &self.keys,
            other_keys: &self.other_keys,
            other_holdings: &self.other_holdings,
        }
    }
}
