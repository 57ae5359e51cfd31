//! Devices that come in by Wi-Fi Easy Connect. The life cycle, the policy and the refusals are
//! those of BRSKI; what differs is what a device shows.
//!
//! 1. A device announces itself, or calls ([`announcement`]). Nothing is proved yet, so this
//!    changes nothing; but who would be refused anyway is refused here, and written down within
//!    bounds.
//! 2. Device and network authenticate each other; what fails there is written down by
//!    [`attempt_failed`].
//! 3. The device asks for its configuration ([`configure`]): allowed for one network, told to wait
//!    for a person, or refused. The permit names what the caller makes: a connector, a
//!    passphrase, a certificate.
//! 4. [`ConfigurePermit::issue`] turns these into a commit. If a guard fails, somebody else was
//!    faster: what was made is thrown away, and the facts decide anew.
//! 5. The device says whether it took the configuration ([`configured`]).
//!
//! A device that shows its connector instead of its bootstrapping key begins at step 3: that is
//! how it is reconfigured for another network, which a person asks for by [`assign_network`].
//!
//! A request that waits for a person is kept as the same record as a voucher request that waits,
//! so people approve both in the same way ([`approve`](super::approve)).

mod claim;
mod configure;
mod configured;
mod knock;
mod merge;
mod network;

pub(super) use claim::import_key;
pub use claim::{
    ClaimUriFacts, ClaimedKey, ImportKey, RemoveKeyFacts, SettleKeyFacts, claim_uri, device_of,
    network_gone, remove_key, settle_key,
};
pub use configure::{ConfigureFacts, ConfigurePermit, Configured, IssuedAccess, Proof, configure};
pub use configured::{ConfiguredFacts, ReportStage, configured};
pub use knock::{
    AnnouncementFacts, FailedFacts, GuessFacts, Known, announcement, attempt_failed, code_guessed,
};
pub use merge::Labelled;
pub(super) use merge::{Occasion, merge};
pub use network::{
    AssignFacts, NetworkFacts, assign_network, change_network, put_network, remove_network,
    replace_signing_key,
};

use crate::device::Device;
use crate::ids::OwnerId;
use crate::journal::Evidence;
use crate::lifecycle::State;
use crate::manufacturer::{Manufacturer, ManufacturerTrust};
use crate::refusal::Refusal;
use crate::wifi::BootstrappingKey;

/// The device is ours and may come in, and nobody disputes its key.
fn check_known(
    key: Option<&BootstrappingKey>,
    device: &Device,
    manufacturer: Option<&Manufacturer>,
    owner: OwnerId,
) -> Result<(), Refusal> {
    if let Some(key) = key {
        if key.device != device.id {
            return Err(Refusal::KeyOfAnotherDevice);
        }
        if key.conflict.is_some() {
            return Err(Refusal::BootstrappingKeyConflict);
        }
    }
    if manufacturer.is_some_and(|maker| maker.trust == ManufacturerTrust::Blocked) {
        return Err(Refusal::ManufacturerBlocked);
    }
    if !matches!(
        device.state,
        State::Claimed | State::Onboarding | State::Onboarded
    ) {
        return Err(super::wrong_state(device.state));
    }
    if device.owner != Some(owner) {
        return Err(Refusal::OtherOwner);
    }
    Ok(())
}

/// The bootstrapping key as evidence: its hash is that of its SubjectPublicKeyInfo.
fn evidence_of(key: &BootstrappingKey) -> Evidence {
    Evidence::new("bootstrapping-key", key.id)
}
