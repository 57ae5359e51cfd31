//! Tokens: who may call the API.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::{SignedDuration, Timestamp};
use vouchsafe_api::{CreateToken, CreatedToken, Page, PageQuery, Problem, Token};
use vouchsafe_fleet::decide::{self, Outcome};
use vouchsafe_fleet::{Role, TokenId};
use vouchsafe_keystore::random;

use super::auth::{new_secret, role, stored_role};
use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body, after, name};
use super::{Caller, page};
use crate::controller::Controller;

/// Tokens read at once.
const PAGE: u32 = 100;

/// Days for which a token may be made.
const DAYS: std::ops::RangeInclusive<u32> = 1..=3650;

pub(super) async fn list_tokens(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<Token>>, Failure> {
    let limit = query.effective_limit();
    let behind = after::<TokenId>(query.after.as_deref())?;
    let tokens = controller.store.tokens(behind, limit).await?;
    Ok(Json(page(
        tokens,
        limit,
        |token| token.id.to_string(),
        shown,
    )))
}

pub(super) async fn create_token(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Body(create): Body<CreateToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Failure> {
    let name = name(&create.name)?;
    let now = controller.clock.now();
    let expires_at = match create.expires_in_days {
        None => None,
        Some(days) if DAYS.contains(&days) => now
            .checked_add(SignedDuration::from_hours(24 * i64::from(days)))
            .ok(),
        Some(_) => return Err(bad_request("`expires_in_days` must lie between 1 and 3650").into()),
    };
    let (secret, secret_sha256) = new_secret();
    let token = vouchsafe_fleet::Token {
        id: TokenId(random::bytes()),
        name,
        role: stored_role(create.role),
        secret_sha256,
        created_at: now,
        expires_at,
        revoked_at: None,
    };
    let outcome = controller
        .settle(async || Ok(decide::create_token(now, &caller.actor(), token.clone())))
        .await?;
    let token = shown(accepted(outcome.decision)?);
    Ok((StatusCode::CREATED, Json(CreatedToken { token, secret })))
}

/// Revokes; a token that is revoked already stays so, and nothing is written.
pub(super) async fn revoke_token(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let found = match id.parse() {
                Ok(parsed) => controller.store.token(parsed).await?,
                Err(_) => None,
            };
            let token = found.ok_or_else(|| Problem::not_found("token", &id))?;
            if token.revoked_at.is_some() {
                return Ok(Outcome::nothing(token));
            }
            let now = controller.clock.now();
            let other = another_administrator(&controller, &token, now).await?;
            Ok(decide::revoke_token(now, &caller.actor(), &token, other))
        })
        .await?;
    accepted(outcome.decision)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The token of somebody else than `token`'s bearer who administers this site.
async fn another_administrator(
    controller: &Controller,
    token: &vouchsafe_fleet::Token,
    now: Timestamp,
) -> Result<Option<TokenId>, Failure> {
    let mut after = None;
    loop {
        let page = controller.store.tokens(after, PAGE).await?;
        after = page.last().map(|last| last.id);
        let mut others = page.iter().filter(|other| other.id != token.id);
        let other = others.find(|other| other.role == Role::Admin && other.is_valid(now));
        if other.is_some() || page.len() < PAGE as usize {
            return Ok(other.map(|other| other.id));
        }
    }
}

fn shown(token: vouchsafe_fleet::Token) -> Token {
    Token {
        id: token.id.to_string(),
        name: token.name,
        role: role(token.role),
        created_at: token.created_at,
        expires_at: token.expires_at,
        revoked_at: token.revoked_at,
    }
}
