//! What administrators decide about others than devices: manufacturers, owners, policy, tokens.

use jiff::{SignedDuration, Timestamp};

use super::Outcome;
use crate::commit::{Change, Commit, Guard, PolicyRecord};
use crate::ids::TokenId;
use crate::journal::{Action, Actor, Entry, Evidence, Subject};
use crate::manufacturer::Manufacturer;
use crate::owner::Owner;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::token::{Role, Token};

/// Makes a manufacturer known, or changes what is known and how far it is trusted. `wanted`'s
/// version and times are set here.
pub fn put_manufacturer(
    now: Timestamp,
    actor: &Actor,
    existing: Option<&Manufacturer>,
    wanted: Manufacturer,
) -> Outcome<Manufacturer> {
    let expected = existing.map_or(0, |existing| existing.version);
    let manufacturer = Manufacturer {
        version: expected.saturating_add(1),
        created_at: existing.map_or(now, |existing| existing.created_at),
        updated_at: now,
        ..wanted
    };
    let mut entry = Entry::new(
        Subject::Manufacturer(manufacturer.id),
        Action::ManufacturerChanged,
        actor.clone(),
        now,
    )
    .with("name", &manufacturer.name)
    .with("trust", manufacturer.trust);
    if let Some(existing) = existing {
        entry = entry.with("trust-before", existing.trust);
    }
    let commit = Commit {
        guards: vec![Guard::ManufacturerVersion {
            id: manufacturer.id,
            expected,
        }],
        changes: vec![Change::PutManufacturer(Box::new(manufacturer.clone()))],
        entries: vec![entry],
    };
    Outcome::accept(manufacturer, commit)
}

/// Makes an owner known, or changes what is known, including whether it is served.
pub fn put_owner(
    now: Timestamp,
    actor: &Actor,
    existing: Option<&Owner>,
    wanted: Owner,
) -> Outcome<Owner> {
    let owner = Owner {
        created_at: existing.map_or(now, |existing| existing.created_at),
        updated_at: now,
        ..wanted
    };
    let mut entry = Entry::new(Subject::Site, Action::OwnerChanged, actor.clone(), now)
        .with("owner", owner.id)
        .with("name", &owner.name);
    if let Some(why) = &owner.blocked {
        entry = entry.with("blocked", why);
    }
    let commit = Commit {
        changes: vec![Change::PutOwner(Box::new(owner.clone()))],
        entries: vec![entry],
        ..Commit::default()
    };
    Outcome::accept(owner, commit)
}

/// Puts a policy in force. One that cannot be read is refused, and the old one stays. The latest is in force,
/// so it is later than the one `before`, also after the clock went back.
pub fn put_policy(
    now: Timestamp,
    actor: &Actor,
    before: Option<Timestamp>,
    text: &str,
) -> Outcome<Policy> {
    let entry = Entry::new(Subject::Site, Action::PolicyChanged, actor.clone(), now);
    let policy = match Policy::load(text) {
        Ok(policy) => policy,
        Err(error) => {
            let entry = Entry {
                action: Action::RequestRefused,
                ..entry
            };
            let why = crate::journal::Reason::new(
                "policy-error",
                error.to_string().chars().take(512).collect::<String>(),
                "owner policy",
            );
            return Outcome::refuse(Refusal::PolicyUnreadable, &[why], entry);
        }
    };
    let record = PolicyRecord {
        id: policy.id(),
        text: text.to_owned(),
        since: before.map_or(now, |before| now.max(just_after(before))),
        by: actor.name.clone(),
    };
    let commit = Commit {
        entries: vec![entry.on(Evidence::new("policy", record.id))],
        changes: vec![Change::PutPolicy(Box::new(record))],
        ..Commit::default()
    };
    Outcome::accept(policy, commit)
}

/// The next moment that a store tells apart.
fn just_after(time: Timestamp) -> Timestamp {
    time.saturating_add(SignedDuration::from_millis(1))
        .unwrap_or(Timestamp::MAX)
}

/// Makes an API token.
pub fn create_token(now: Timestamp, actor: &Actor, token: Token) -> Outcome<Token> {
    let entry = Entry::new(Subject::Site, Action::TokenCreated, actor.clone(), now)
        .with("token", token.id)
        .with("name", &token.name)
        .with("role", token.role);
    let commit = Commit {
        changes: vec![Change::PutToken(Box::new(token.clone()))],
        entries: vec![entry],
        ..Commit::default()
    };
    Outcome::accept(token, commit)
}

/// Revokes an API token. `other` is another administrator's token that counts at `now`: the last one stays,
/// also of two who revoke each other's, since nobody could make another through the API.
pub fn revoke_token(
    now: Timestamp,
    actor: &Actor,
    token: &Token,
    other: Option<TokenId>,
) -> Outcome<Token> {
    let entry = Entry::new(Subject::Site, Action::TokenRevoked, actor.clone(), now)
        .with("token", token.id)
        .with("name", &token.name);
    let needs_another = token.role == Role::Admin && token.is_valid(now);
    let is_last = needs_another && other.is_none();
    let refusal = match token.revoked_at {
        Some(_) => Some(Refusal::TokenRevoked),
        None => is_last.then_some(Refusal::LastAdministrator),
    };
    if let Some(refusal) = refusal {
        let entry = Entry {
            action: Action::RequestRefused,
            ..entry
        };
        return Outcome::refuse(refusal, &[], entry);
    }
    let token = Token {
        revoked_at: Some(now),
        ..token.clone()
    };
    let stays = other.filter(|_| needs_another);
    let commit = Commit {
        guards: stays
            .map(|id| Guard::TokenValid { id, at: now })
            .into_iter()
            .collect(),
        changes: vec![Change::PutToken(Box::new(token.clone()))],
        entries: vec![entry],
    };
    Outcome::accept(token, commit)
}
