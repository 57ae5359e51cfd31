//! This domain, and the other owners it knows by name.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use vouchsafe_api::{AddOwner, Code, Owner, Page, PageQuery, Problem, Site};
use vouchsafe_fleet::{OwnerId, decide};
use vouchsafe_trust::Certificate;

use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body, after, name};
use super::{Caller, page, pem_of};
use crate::controller::Controller;

pub(super) async fn show_site(State(controller): State<Controller>) -> Result<Json<Site>, Failure> {
    let registrar = controller.registrar.current();
    Ok(Json(Site {
        owner: controller.owner.to_string(),
        name: controller.config.name.clone(),
        domain_ca_pem: controller.authority.certificate().pem(),
        registrar_pem: registrar
            .chain()
            .first()
            .map(Certificate::pem)
            .unwrap_or_default(),
        registrar_url: controller.registrar_url().to_owned(),
    }))
}

pub(super) async fn list_owners(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<Owner>>, Failure> {
    let limit = query.effective_limit();
    let behind = after::<OwnerId>(query.after.as_deref())?;
    let owners = controller.store.owners(behind, limit).await?;
    Ok(Json(page(
        owners,
        limit,
        |owner| owner.id.to_string(),
        |owner| shown(&controller, owner),
    )))
}

pub(super) async fn add_owner(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Body(add): Body<AddOwner>,
) -> Result<(StatusCode, Json<Owner>), Failure> {
    let name = name(&add.name)?;
    let certificate = Certificate::from_pem(&add.domain_ca_pem)
        .map_err(|error| bad_request(format!("`domain_ca_pem` cannot be read: {error}")))?;
    if !certificate.is_ca() {
        return Err(bad_request("`domain_ca_pem` is not the certificate of an authority").into());
    }
    let id = OwnerId::of_domain_ca(certificate.public_key().spki_der());
    let outcome = controller
        .settle_as(async || {
            if controller.store.owner(id).await?.is_some() {
                let known = format!("the owner {id} is known already");
                return Err(Failure(Problem::new(Code::AlreadyExists, known)));
            }
            let now = controller.clock.now();
            let wanted = vouchsafe_fleet::Owner {
                id,
                name: name.clone(),
                domain_ca_der: Some(certificate.der().to_vec()),
                blocked: None,
                created_at: now,
                updated_at: now,
            };
            Ok(decide::put_owner(now, &caller.actor(), None, wanted))
        })
        .await?;
    let owner = accepted(outcome.decision)?;
    Ok((StatusCode::CREATED, Json(shown(&controller, owner))))
}

fn shown(controller: &Controller, owner: vouchsafe_fleet::Owner) -> Owner {
    Owner {
        id: owner.id.to_string(),
        this_site: owner.id == controller.owner,
        name: owner.name,
        domain_ca_pem: owner
            .domain_ca_der
            .as_deref()
            .map(pem_of)
            .unwrap_or_default(),
        created_at: owner.created_at,
    }
}
