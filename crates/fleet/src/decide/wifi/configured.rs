//! Step 5: what a device says of its configuration.

use jiff::Timestamp;

use crate::claim::{Claim, ClaimSubject, Strength};
use crate::commit::{Change, Commit, Guard};
use crate::credential::CredentialStatus;
use crate::decide::{Outcome, device_entry, put_device, touched};
use crate::device::Device;
use crate::ids::{CredentialId, Digest};
use crate::journal::{Action, Actor, ActorKind, Evidence, Reason};
use crate::wifi::{self, AccessCredential, Given, Holdings, Standing};
/// What a device reports about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportStage {
    /// Whether it takes the configuration (Configuration Result).
    Configuration,
    /// Whether it got into the network (Connection Status Result).
    Connection,
}

impl ReportStage {
    const fn message(self) -> &'static str {
        match self {
            Self::Configuration => "configuration-result",
            Self::Connection => "connection-status",
        }
    }
}

/// What a device says of its configuration, in a message that only it can have made.
#[derive(Debug, Clone, Copy)]
pub struct ConfiguredFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The device.
    pub device: &'a Device,
    /// What it holds.
    pub holdings: &'a Holdings,
    /// What it was given in the exchange that it reports on.
    pub given: &'a Given,
    /// The access credentials that belong to that.
    pub access: &'a [CredentialId],
    /// What it reports about.
    pub stage: ReportStage,
    /// Whether that worked.
    pub success: bool,
    /// What it says, such as the name of a status.
    pub said: &'a str,
    /// SHA-256 of the message.
    pub message_sha256: Digest,
}

/// Step 5: the device reports. A no changes nothing: its next try gets it something newer.
pub fn configured(facts: &ConfiguredFacts<'_>) -> Outcome<()> {
    let actor = Actor::new(ActorKind::Device, &facts.device.serial);
    let mut commit = Commit::default();
    let action = if facts.success {
        Action::EnrolmentConfirmed
    } else {
        Action::EnrolmentFailed
    };
    let said: String = facts.said.chars().take(512).collect();
    if facts.stage == ReportStage::Connection {
        commit
            .changes
            .push(Change::PutClaim(Box::new(connection(facts, &said))));
    }
    let mut entry = device_entry(facts.device, action, &actor, facts.now)
        .on(Evidence::new(facts.stage.message(), facts.message_sha256))
        .with("method", "dpp");
    entry = entry.with("network", &facts.given.network);
    let standing = facts.holdings.standing.as_ref();
    // Another exchange may have given it something newer meanwhile.
    let current = standing.and_then(|standing| {
        let given = standing.given.as_ref()?;
        (given.at == facts.given.at && given.confirmed_at.is_none()).then_some((standing, given))
    });
    if facts.success {
        if let Some((standing, given)) = current {
            put_device(&mut commit, facts.device, touched(facts.device, facts.now));
            confirm(&mut commit, facts, standing, given);
        }
    } else {
        entry = entry.because(Reason::new("device-said", said, "Wi-Fi Easy Connect 3.0"));
    }
    commit.entries.push(entry);
    Outcome::accept((), commit)
}

/// How joining went, as policy gets to see it: the device's own word.
fn connection(facts: &ConfiguredFacts<'_>, said: &str) -> Claim {
    Claim {
        issuer: "device".to_owned(),
        subject: ClaimSubject::Device {
            id: facts.device.id,
        },
        kind: "said-connection".to_owned(),
        value: said.to_owned().into(),
        strength: Strength::Stated,
        issued_at: facts.now,
        expires_at: None,
        evidence: Some(facts.message_sha256),
        signature: None,
    }
}

fn confirm(commit: &mut Commit, facts: &ConfiguredFacts<'_>, standing: &Standing, given: &Given) {
    let mine = |access: &&AccessCredential| {
        access.status == CredentialStatus::Active && facts.access.contains(&access.id)
    };
    for access in facts.holdings.access.iter().filter(mine) {
        commit
            .changes
            .push(Change::Wifi(wifi::Change::ConfirmAccess {
                id: access.id.clone(),
                at: facts.now,
            }));
    }
    let standing = Standing {
        given: Some(Given {
            confirmed_at: Some(facts.now),
            ..given.clone()
        }),
        updated_at: facts.now,
        ..standing.clone()
    };
    commit
        .changes
        .push(Change::Wifi(wifi::Change::PutStanding(Box::new(standing))));
    if let Some(id) = &given.certificate {
        commit
            .guards
            .push(Guard::CredentialActive { id: id.clone() });
        commit.changes.push(Change::ConfirmCredential {
            id: id.clone(),
            at: facts.now,
        });
    }
}
