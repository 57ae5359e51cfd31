//! Who calls, and whether that role may.
//!
//! A token is 32 random bytes; the store knows its SHA-256 alone, and looks it up by that. To find a
//! token by timing one would have to find a preimage, so the look-up needs no constant time.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use vouchsafe_api::route::{self, Access, Route};
use vouchsafe_api::{Code, Problem, Role, may};
use vouchsafe_fleet::{Actor, ActorKind, Digest, Token};
use vouchsafe_keystore::random;

use super::problem::Failure;
use crate::controller::Controller;

/// How a token's text begins, so that people and secret scanners know it.
const PREFIX: &str = "vs_";

/// Longest Authorization header that is looked at, in bytes.
const MAX_HEADER: usize = 256;

/// What a route's check needs.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) controller: Controller,
    pub(super) route: &'static Route,
}

/// Whose token it was. Handlers take it as an extension.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The token, without its secret.
    pub(crate) token: Token,
    /// Its role as the contract names it.
    pub(crate) role: Role,
}

impl Caller {
    /// The same as the journal names it.
    pub(crate) fn actor(&self) -> Actor {
        Actor::new(ActorKind::Person, &self.token.name)
    }

    /// Whether it may change devices in service, as who revokes them may.
    pub(crate) fn runs_devices(&self) -> bool {
        may(self.role, &route::REVOKE_DEVICE)
    }
}

/// A new token's secret, to be shown once, and the digest to be stored.
pub(crate) fn new_secret() -> (String, Digest) {
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::bytes::<32>()));
    let digest = Digest::of(secret.as_bytes());
    (secret, digest)
}

/// The check in front of a route: 401 without a valid token, 403 with a role that may not.
pub(super) async fn check(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    if guard.route.access == Access::Open {
        return next.run(request).await;
    }
    match caller(&guard, request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    }
}

async fn caller(guard: &Guard, headers: &HeaderMap) -> Result<Caller, Failure> {
    let missing = |detail: &str| {
        Problem::new(Code::Unauthenticated, detail).next_step(
            "send `Authorization: Bearer …`; the first token is in the data folder's admin.token",
        )
    };
    let header = headers
        .get(header::AUTHORIZATION)
        .filter(|header| header.len() <= MAX_HEADER)
        .and_then(|header| header.to_str().ok())
        .ok_or_else(|| missing("there is no token"))?;
    let secret = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim())
        .ok_or_else(|| missing("the Authorization header holds no bearer token"))?;
    let token = guard
        .controller
        .store
        .token_by_secret(Digest::of(secret.as_bytes()))
        .await?
        .filter(|token| token.is_valid(guard.controller.clock.now()))
        .ok_or_else(|| missing("the token is unknown, has run out, or was revoked"))?;
    let role = role(token.role);
    if !may(role, guard.route) {
        return Err(Problem::new(
            Code::Forbidden,
            format!(
                "the role {role} may not {}",
                guard.route.id.replace('_', " ")
            ),
        )
        .next_step("ask an admin for a token with another role")
        .into());
    }
    Ok(Caller { token, role })
}

/// The contract's word for a stored role.
pub(super) fn role(role: vouchsafe_fleet::Role) -> Role {
    match role {
        vouchsafe_fleet::Role::Admin => Role::Admin,
        vouchsafe_fleet::Role::Operator => Role::Operator,
        vouchsafe_fleet::Role::Installer => Role::Installer,
        vouchsafe_fleet::Role::Auditor => Role::Auditor,
        vouchsafe_fleet::Role::DeviceLine => Role::DeviceLine,
    }
}

/// The stored word for a role of the contract.
pub(super) fn stored_role(role: Role) -> vouchsafe_fleet::Role {
    match role {
        Role::Admin => vouchsafe_fleet::Role::Admin,
        Role::Operator => vouchsafe_fleet::Role::Operator,
        Role::Installer => vouchsafe_fleet::Role::Installer,
        Role::Auditor => vouchsafe_fleet::Role::Auditor,
        Role::DeviceLine => vouchsafe_fleet::Role::DeviceLine,
    }
}
