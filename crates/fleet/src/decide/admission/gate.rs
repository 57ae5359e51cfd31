//! Gates: invited, enrolled, renewed, removed.

use jiff::Timestamp;

use crate::admission::{
    self, Gate, GateCredential, GateToken, MAX_GATE_CREDENTIALS, MAX_GATES, TOKEN_LIFETIME,
};
use crate::commit::{Change, Commit, Guard};
use crate::decide::stranger::sighting;
use crate::decide::{IssuedCertificate, Outcome, Strangers};
use crate::ids::{DeviceId, Digest, ManufacturerId};
use crate::journal::{Action, Actor, ActorKind, Entry, Evidence, Subject};
use crate::refusal::Refusal;

/// Adds a gate, with the digest of a new token. One that was removed may come anew under its name.
pub fn add_gate(
    now: Timestamp,
    actor: &Actor,
    existing: Option<&Gate>,
    count: usize,
    name: &str,
    token_sha256: Digest,
) -> Outcome<Gate> {
    let gate = Gate {
        name: name.to_owned(),
        token: token(now, token_sha256),
        credential: None,
        credential_ends_at: None,
        removed_at: None,
        version: existing.map_or(0, |gate| gate.version).saturating_add(1),
        created_at: now,
        updated_at: now,
    };
    let refusal = match existing {
        Some(existing) if existing.removed_at.is_none() => Some(Refusal::GateExists),
        None if count >= MAX_GATES => Some(Refusal::TooManyGates),
        _ => gate.check().err(),
    };
    if let Some(refusal) = refusal {
        let name: String = name.chars().take(64).collect();
        let entry = Entry::new(Subject::Site, Action::RequestRefused, actor.clone(), now);
        return Outcome::refuse(refusal, &[], entry.with("gate", name));
    }
    put(now, actor, existing, gate, Action::GateInvited)
}

/// Gives a gate another token; the one before is good no longer. Its certificate stays.
pub fn invite_gate(
    now: Timestamp,
    actor: &Actor,
    gate: &Gate,
    token_sha256: Digest,
) -> Outcome<Gate> {
    if gate.removed_at.is_some() {
        let entry = entry(gate, Action::RequestRefused, actor, now);
        return Outcome::refuse(Refusal::GateRevoked, &[], entry);
    }
    let next = Gate {
        token: token(now, token_sha256),
        version: gate.version.saturating_add(1),
        updated_at: now,
        ..gate.clone()
    };
    put(now, actor, Some(gate), next, Action::GateInvited)
}

/// Ends trust in a gate: its token is good no longer, and its credentials are revoked.
pub fn remove_gate(
    now: Timestamp,
    actor: &Actor,
    gate: &Gate,
    credentials: &[GateCredential],
) -> Outcome<Gate> {
    let next = Gate {
        removed_at: Some(now),
        version: gate.version.saturating_add(1),
        updated_at: now,
        ..gate.clone()
    };
    let mut outcome = put(now, actor, Some(gate), next, Action::GateRemoved);
    for credential in credentials.iter().filter(|it| it.revoked_at.is_none()) {
        outcome.commit.changes.push(put_credential(GateCredential {
            revoked_at: Some(now),
            ..credential.clone()
        }));
        let revoked = entry(gate, Action::CredentialRevoked, actor, now);
        let revoked = revoked.with("credential", &credential.id);
        outcome.commit.entries.push(revoked);
    }
    outcome
}

/// A gate that shows a token.
#[derive(Debug, Clone, Copy)]
pub struct EnrolGateFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The gate of the name that it gave, if there is one.
    pub gate: Option<&'a Gate>,
    /// SHA-256 of the token that it showed.
    pub token_sha256: Digest,
    /// What is remembered of [`shown_token`].
    pub strangers: Strangers,
    /// The request for a certificate.
    pub evidence: &'a Evidence,
}

/// A permit to issue one certificate to a gate. Only this module makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct GatePermit {
    gate: Gate,
    now: Timestamp,
    evidence: Evidence,
    /// The token is used up by this.
    by_token: bool,
    /// The credential that is replaced.
    renews: Option<GateCredential>,
}

/// The name under which a token that counts no longer is remembered, so that it is journaled once.
#[must_use]
pub fn shown_token(token_sha256: &Digest) -> DeviceId {
    DeviceId::new(ManufacturerId::NONE, &format!("token {token_sha256}"))
}

/// Whether a gate gets its first certificate. Whoever has the right token is told what is wrong
/// with it, and the gate's journal says so, once for each token in [`STRANGER_MEMORY`](crate::decide::STRANGER_MEMORY); whoever has not is told nothing about the gate, and is the caller's to
/// write down as a stranger, as far as there is room.
pub fn enrol_gate(facts: &EnrolGateFacts<'_>) -> Outcome<GatePermit> {
    let gate = match facts.gate {
        Some(gate) if gate.token.is(&facts.token_sha256) => gate,
        // As long for a name that nobody has.
        _ => return Outcome::nobody(Refusal::GateTokenUnknown),
    };
    let usable = match gate.removed_at {
        Some(_) => Err(Refusal::GateRevoked),
        None => gate.token.usable(facts.now),
    };
    if let Err(refusal) = usable {
        if !facts.strangers.has_room() {
            return Outcome::nobody(refusal);
        }
        let actor = Actor::new(ActorKind::Gate, &gate.name);
        let entry = entry(gate, Action::RequestRefused, &actor, facts.now);
        let mut outcome = Outcome::refuse(refusal, &[], entry.on(facts.evidence.clone()));
        let id = shown_token(&facts.token_sha256);
        let serial = format!("gate {}", gate.name).chars().take(64).collect();
        let seen = sighting(facts.now, id, None, serial);
        outcome.commit.changes.push(seen);
        return outcome;
    }
    Outcome::accept(
        GatePermit {
            gate: gate.clone(),
            now: facts.now,
            evidence: facts.evidence.clone(),
            by_token: true,
            renews: None,
        },
        Commit::default(),
    )
}

/// A gate that shows its certificate.
#[derive(Debug, Clone, Copy)]
pub struct RenewGateFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The gate.
    pub gate: Option<&'a Gate>,
    /// The certificate that it proved.
    pub credential: &'a GateCredential,
    /// Its certificates that were not revoked.
    pub held: &'a [GateCredential],
    /// The request for another.
    pub evidence: &'a Evidence,
}

/// Whether a gate gets another certificate. A no costs no entry, as at the link: whose trust has
/// ended asks again and again.
pub fn renew_gate(facts: &RenewGateFacts<'_>) -> Outcome<GatePermit> {
    let counts = |held: &&GateCredential| held.revoked_at.is_none() && held.not_after >= facts.now;
    match known_gate(facts.now, facts.gate, facts.credential) {
        Ok(_) if facts.held.iter().filter(counts).count() >= MAX_GATE_CREDENTIALS => {
            Outcome::nobody(Refusal::TooManyGateCertificates)
        }
        Ok(gate) => Outcome::accept(
            GatePermit {
                gate: gate.clone(),
                now: facts.now,
                evidence: facts.evidence.clone(),
                by_token: false,
                renews: Some(facts.credential.clone()),
            },
            Commit::default(),
        ),
        Err(refusal) => Outcome::nobody(refusal),
    }
}

/// Whether a certificate that was proved is that of a gate in good standing. Costs no entry: a gate
/// whose trust has ended asks again and again.
///
/// # Errors
/// [`Refusal::GateUnknown`], [`Refusal::GateRevoked`] or [`Refusal::GateExpired`].
pub fn known_gate<'a>(
    now: Timestamp,
    gate: Option<&'a Gate>,
    credential: &GateCredential,
) -> Result<&'a Gate, Refusal> {
    let gate = gate.filter(|gate| gate.name == credential.gate);
    match gate.ok_or(Refusal::GateUnknown)? {
        _ if credential.revoked_at.is_some() => Err(Refusal::GateRevoked),
        gate if gate.removed_at.is_some() => Err(Refusal::GateRevoked),
        _ if credential.not_after < now => Err(Refusal::GateExpired),
        gate => Ok(gate),
    }
}

impl GatePermit {
    /// For whom.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The certificate was signed: what to store before it leaves. The one before stays good until its own
    /// end, since the gate may not get this one; where a gate enrols anew, the one before is revoked.
    pub fn issue(
        self,
        issued: &IssuedCertificate,
        earlier: &[GateCredential],
    ) -> Outcome<GateCredential> {
        let Self {
            gate,
            now,
            evidence,
            by_token,
            renews,
        } = self;
        let credential = GateCredential {
            id: issued.id.clone(),
            gate: gate.name.clone(),
            sha256: Digest::of(&issued.der),
            not_after: issued.not_after,
            revoked_at: None,
        };
        let mut next = Gate {
            credential: Some(credential.id.clone()),
            credential_ends_at: Some(issued.not_after),
            version: gate.version.saturating_add(1),
            updated_at: now,
            ..gate.clone()
        };
        if by_token {
            next.token.used_at = Some(now);
        }
        let action = if by_token {
            Action::GateEnrolled
        } else {
            Action::GateRenewed
        };
        let actor = Actor::new(ActorKind::Gate, &gate.name);
        let mut outcome = put(now, &actor, Some(&gate), next, action);
        if let Some(entry) = outcome.commit.entries.first_mut() {
            *entry = entry
                .clone()
                .with("credential", &credential.id)
                .on(evidence);
        }
        let commit = &mut outcome.commit;
        if let Some(renews) = renews {
            let good = admission::Guard::GateCredentialGood { id: renews.id };
            commit.guards.push(Guard::Admission(good));
        }
        commit.changes.push(put_credential(credential.clone()));
        if by_token {
            // With another folder it counts its reports from the beginning.
            let gate = gate.name.clone();
            let forget = admission::Change::ForgetStanding { gate };
            commit.changes.push(Change::Admission(forget));
        }
        for old in earlier.iter().filter(|old| old.revoked_at.is_none()) {
            commit.changes.push(put_credential(GateCredential {
                revoked_at: Some(now),
                ..old.clone()
            }));
            let revoked = self::entry(&gate, Action::CredentialRevoked, &actor, now);
            commit.entries.push(revoked.with("credential", &old.id));
        }
        outcome.map(|_| credential)
    }
}

fn token(now: Timestamp, sha256: Digest) -> GateToken {
    GateToken {
        sha256,
        expires_at: now.saturating_add(TOKEN_LIFETIME).unwrap_or(Timestamp::MAX),
        used_at: None,
    }
}

fn put(
    now: Timestamp,
    actor: &Actor,
    before: Option<&Gate>,
    next: Gate,
    action: Action,
) -> Outcome<Gate> {
    let commit = Commit {
        guards: vec![Guard::Admission(admission::Guard::GateVersion {
            name: next.name.clone(),
            expected: before.map_or(0, |gate| gate.version),
        })],
        changes: vec![Change::Admission(admission::Change::PutGate(Box::new(
            next.clone(),
        )))],
        entries: vec![entry(&next, action, actor, now)],
    };
    Outcome::accept(next, commit)
}

fn put_credential(credential: GateCredential) -> Change {
    Change::Admission(admission::Change::PutGateCredential(Box::new(credential)))
}

fn entry(gate: &Gate, action: Action, actor: &Actor, now: Timestamp) -> Entry {
    Entry::new(Subject::Gate(gate.id()), action, actor.clone(), now).with("gate", &gate.name)
}
