//! Requests that are refused before there is anything to decide are journaled all the same.

use jiff::Timestamp;
use vouchsafe_fleet::decide::{self, Strangers};
use vouchsafe_fleet::{Actor, ActorKind, DeviceId, Evidence, ManufacturerId, Reason};
use vouchsafe_net::Peer;
use vouchsafe_trust::Certificate;

use super::Answer;
use crate::controller::{Controller, Fault};

/// Journals a request that broke a rule, before its sender is told. A device of the inventory
/// whose identity is `proved` has it in its own journal. Anybody else is a stranger, and is
/// written down once and as far as there is room.
///
/// # Errors
/// [`Fault`] of the store, as an answer.
pub(crate) async fn note(
    controller: &Controller,
    peer: &Peer,
    proved: Option<DeviceId>,
    evidence: impl Into<Option<Evidence>>,
    reason: Reason,
    now: Timestamp,
) -> Result<(), Answer> {
    let device = match proved {
        Some(id) => controller.store.device(id).await?,
        None => None,
    };
    let serial = peer
        .certificate()
        .and_then(Certificate::subject_serial_number)
        .unwrap_or("unknown");
    let evidence = evidence.into().into_iter().collect();
    let commit = match &device {
        Some(device) => decide::refused_request(
            now,
            Actor::new(ActorKind::Device, serial),
            Some(device),
            Strangers::default(),
            reason,
            evidence,
        ),
        None => {
            let name = proved.unwrap_or_else(|| shown_name(peer, serial));
            let strangers = controller.strangers(name, now).await?;
            decide::refused_stranger(now, name, serial, strangers, reason, evidence)
        }
    };
    controller
        .commit(commit)
        .await
        .map_err(|error| Fault::Commit(error).into())
}

/// The name that a stranger would have if the top of its chain were its manufacturer.
fn shown_name(peer: &Peer, serial: &str) -> DeviceId {
    let manufacturer = peer.chain.last().map_or(ManufacturerId([0; 16]), |top| {
        ManufacturerId::of_anchor(top.public_key().spki_der())
    });
    DeviceId::new(manufacturer, serial)
}
