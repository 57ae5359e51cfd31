//! Credentials of this domain: the list, and taking one back.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use vouchsafe_api::{
    Credential, CredentialFilter, CredentialState, Page, PageQuery, Problem, RevocationReason,
    Revoke, WaitQuery,
};
use vouchsafe_fleet::decide::{self, OperateFacts};
use vouchsafe_fleet::wifi::Holdings;
use vouchsafe_fleet::{CredentialId, CredentialStatus, DeviceId};

use super::device::find as find_device;
use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body, bad_after, reason};
use super::{Caller, page, pem_of};
use crate::controller::Controller;
use crate::gate::{Wanted, enforcement};

/// Longest serial number of a certificate, in hexadecimal digits (RFC 5280 §4.1.2.2).
const MAX_ID: usize = 40;

pub(super) async fn list_credentials(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
    Asked(filter): Asked<CredentialFilter>,
) -> Result<Json<Page<Credential>>, Failure> {
    let limit = query.effective_limit();
    let behind = query
        .after
        .map(|text| id(&text).ok_or_else(bad_after))
        .transpose()?;
    let wanted = vouchsafe_store::CredentialFilter {
        device: filter
            .device
            .as_deref()
            .map(DeviceId::parse)
            .transpose()
            .map_err(|_| bad_request("`device` must be an id of 32 hexadecimal digits"))?,
        status: filter.state.map(|state| match state {
            CredentialState::Active => "active",
            CredentialState::Superseded => "superseded",
            CredentialState::Revoked => "revoked",
        }),
    };
    let store = &controller.store;
    let rows = store
        .list_credentials(&wanted, behind.as_ref(), limit)
        .await?;
    Ok(Json(page(rows, limit, |row| row.id.to_string(), shown)))
}

pub(super) async fn show_credential(
    State(controller): State<Controller>,
    Path(id): Path<String>,
) -> Result<Json<Credential>, Failure> {
    Ok(Json(shown(find(&controller, &id).await?)))
}

pub(super) async fn revoke_credential(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Asked(wait): Asked<WaitQuery>,
    Body(revoke): Body<Revoke>,
) -> Result<Json<Credential>, Failure> {
    let said = [reason(&revoke.reason)?];
    let why = stored_reason(revoke.revocation_reason);
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let credential = find(&controller, &id).await?;
            let device = find_device(&controller, &credential.device.to_string()).await?;
            let facts = OperateFacts {
                now: controller.clock.now(),
                actor: &actor,
                device: &device,
                credentials: &[],
                wifi: Holdings::NONE,
                addresses: &[],
                ownership: None,
                reasons: &said,
                evidence: &[],
            };
            Ok(decide::revoke(&facts, &credential, why))
        })
        .await?;
    accepted(outcome.decision)?;
    let credential = find(&controller, &id).await?;
    let wanted = Wanted {
        device: credential.device,
        wait: wait.wait,
        revoked: true,
    };
    let reached = enforcement(&controller, wanted).await?;
    Ok(Json(Credential {
        enforcement: Some(reached),
        ..shown(credential)
    }))
}

async fn find(controller: &Controller, text: &str) -> Result<vouchsafe_fleet::Credential, Failure> {
    let found = match id(text) {
        Some(id) => controller.store.credential(&id).await?,
        None => None,
    };
    found.ok_or_else(|| Problem::not_found("cert", text).into())
}

fn id(text: &str) -> Option<CredentialId> {
    let hexadecimal = text.bytes().all(|digit| digit.is_ascii_hexdigit());
    (hexadecimal && !text.is_empty() && text.len() <= MAX_ID)
        .then(|| CredentialId(text.to_ascii_lowercase()))
}

fn shown(credential: vouchsafe_fleet::Credential) -> Credential {
    let (state, revoked) = match credential.status {
        CredentialStatus::Active => (CredentialState::Active, None),
        CredentialStatus::Superseded => (CredentialState::Superseded, None),
        CredentialStatus::Revoked { reason, at } => (CredentialState::Revoked, Some((at, reason))),
    };
    Credential {
        id: credential.id.to_string(),
        device: credential.device.to_string(),
        state,
        certificate_pem: pem_of(&credential.certificate_der),
        spki_sha256: credential.spki_sha256.to_string(),
        not_before: credential.not_before,
        not_after: credential.not_after,
        revoked_at: revoked.map(|(at, _)| at),
        revocation_reason: revoked.map(|(_, reason)| shown_reason(reason)),
        enforcement: None,
    }
}

/// The contract's word for a reason.
pub(super) fn shown_reason(reason: vouchsafe_fleet::RevocationReason) -> RevocationReason {
    use vouchsafe_fleet::RevocationReason as Stored;
    match reason {
        Stored::Unspecified => RevocationReason::Unspecified,
        Stored::KeyCompromise => RevocationReason::KeyCompromise,
        Stored::AffiliationChanged => RevocationReason::AffiliationChanged,
        Stored::Superseded => RevocationReason::Superseded,
        Stored::CessationOfOperation => RevocationReason::CessationOfOperation,
        Stored::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
    }
}

/// The stored word for a reason.
pub(super) fn stored_reason(reason: RevocationReason) -> vouchsafe_fleet::RevocationReason {
    use vouchsafe_fleet::RevocationReason as Stored;
    match reason {
        RevocationReason::Unspecified => Stored::Unspecified,
        RevocationReason::KeyCompromise => Stored::KeyCompromise,
        RevocationReason::AffiliationChanged => Stored::AffiliationChanged,
        RevocationReason::Superseded => Stored::Superseded,
        RevocationReason::CessationOfOperation => Stored::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn => Stored::PrivilegeWithdrawn,
    }
}
