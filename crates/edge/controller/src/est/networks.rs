//! Which networks a device may come into with its certificate ([`vouchsafe_brski::networks`]).
//!
//! 1. Who asks: a device with a certificate of this domain that still counts.
//! 2. It is in service, or about to be.
//! 3. The networks with certificates that fit the device's segment; where a person meant it for one, that one.
//!
//! Nothing changes by it, so nothing is journaled.

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use vouchsafe_brski::networks::{self, MAX_NETWORKS};
use vouchsafe_fleet::credential::CredentialStatus;
use vouchsafe_fleet::wifi::{self, for_members};
use vouchsafe_fleet::{Refusal, State as Life};
use vouchsafe_net::Peer;

use crate::controller::Controller;
use crate::registrar::{Answer, Proved, prove};

/// The handler.
pub(super) async fn tell(
    State(controller): State<Controller>,
    Extension(peer): Extension<Peer>,
) -> Response {
    match told(&controller, &peer).await {
        Ok(told) => {
            let kind = [(header::CONTENT_TYPE, networks::MEDIA_TYPE)];
            (kind, networks::to_json(&told)).into_response()
        }
        Err(answer) => answer.into_response(),
    }
}

async fn told(controller: &Controller, peer: &Peer) -> Result<Vec<networks::Network>, Answer> {
    let no = |refusal: Refusal| Answer::refused(refusal, vec![refusal.reason()]);
    // 1
    let proved = prove(controller, peer, controller.clock.now()).await?;
    let credential = match proved {
        Some(Proved::Domain { credential }) => credential,
        // A birth certificate opens no network, so it need not know their names.
        Some(Proved::Birth(_)) | None => return Err(no(Refusal::CredentialUnknown)),
    };
    match credential.status {
        CredentialStatus::Active if credential.not_after > controller.clock.now() => {}
        CredentialStatus::Active => return Err(no(Refusal::CredentialExpired)),
        CredentialStatus::Superseded => return Err(no(Refusal::CredentialSuperseded)),
        CredentialStatus::Revoked { .. } => return Err(no(Refusal::CredentialRevoked)),
    }
    // 2
    let device = controller.store.device(credential.device).await?;
    let device = device.ok_or_else(|| no(Refusal::UnknownDevice))?;
    if !matches!(device.state, Life::Onboarding | Life::Onboarded) {
        return Err(no(Refusal::CredentialNotActive));
    }
    // 3
    let most = u32::try_from(wifi::MAX_NETWORKS).unwrap_or(u32::MAX);
    let all = controller.store.networks(None, most).await?;
    let standing = controller.store.wifi_standing(device.id).await?;
    let wanted = standing.and_then(|standing| standing.wanted);
    let fitting = for_members(&all, wanted.as_deref(), device.segment.as_deref());
    Ok(fitting
        .into_iter()
        .map(|network| networks::Network {
            ssid: network.ssid.clone(),
            server_name: network.server_name.clone(),
        })
        // One that the device cannot take would cost it the others as well.
        .filter(|network| network.check().is_ok())
        .take(MAX_NETWORKS)
        .collect())
}
