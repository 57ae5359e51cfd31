//! Step 4: what a permit allowed is made, and stored before it leaves.

use jiff::Timestamp;

use super::ConfigurePermit;
use crate::commit::{Change, Commit, Guard};
use crate::credential::{Credential, CredentialStatus};
use crate::decide::enrol::{put_certificate, still_trusted};
use crate::decide::wish::use_up;
use crate::decide::{IssuedCertificate, Outcome, device_entry, put_device};
use crate::device::Device;
use crate::ids::{CredentialId, Digest};
use crate::journal::{Action, Actor, ActorKind, Evidence};
use crate::wifi::{
    self, AccessCredential, AccessKind, DeviceRole, Given, Network, SealedPassphrase, Standing,
};

/// What the caller made under a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuedAccess {
    /// A connector was signed.
    Connector {
        /// Drawn at random: 32 hexadecimal digits.
        id: CredentialId,
        /// SHA-256 of the SubjectPublicKeyInfo of its `netAccessKey`.
        net_access_key_sha256: Digest,
        /// `kid` of the C-sign key.
        signed_by: String,
        /// When it runs out.
        expires_at: Option<Timestamp>,
    },
    /// A passphrase was drawn and sealed.
    Passphrase {
        /// Drawn at random: 32 hexadecimal digits.
        id: CredentialId,
        /// By which the access point finds it.
        identifier: String,
        /// The passphrase, sealed.
        sealed: SealedPassphrase,
    },
    /// A certificate was signed.
    Certificate {
        /// The certificate.
        issued: IssuedCertificate,
        /// SHA-256 of the certificate request (DER).
        request_sha256: Digest,
        /// SHA-256 of the SubjectPublicKeyInfo that was certified.
        key_spki_sha256: Digest,
    },
}

/// What is stored and may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The device as it is now.
    pub device: Device,
    /// What it was given.
    pub given: Given,
    /// Its access credentials from now on.
    pub access: Vec<AccessCredential>,
    /// Its certificate, if it got one.
    pub certificate: Option<Credential>,
}

impl ConfigurePermit {
    /// The device that may be configured.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// The network it may be configured for, which says what to make.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// As what.
    #[must_use]
    pub const fn role(&self) -> DeviceRole {
        self.role
    }

    /// The segment the device belongs to, if there is one.
    #[must_use]
    pub fn segment(&self) -> Option<&str> {
        self.next.segment.as_deref()
    }

    /// Step 4: what the device gets exists; store it before it leaves. What it had before is
    /// superseded, and access points forget it.
    pub fn issue(self, issued: Vec<IssuedAccess>) -> Outcome<Configured> {
        let mut commit = Commit::default();
        self.guard(&mut commit);
        let mut configured = Configured {
            device: self.next.clone(),
            given: self.given.clone(),
            access: Vec::new(),
            certificate: None,
        };
        let mut evidence = self.evidence.clone();
        for one in issued {
            match self.credential(one) {
                Issued::Access(access) => {
                    commit
                        .changes
                        .push(Change::Wifi(wifi::Change::PutAccess(Box::new(
                            access.clone(),
                        ))));
                    configured.access.push(access);
                }
                Issued::Certificate(credential) => {
                    put_certificate(&mut commit, &credential, &self.superseded);
                    evidence.push(Evidence::new(
                        "certificate",
                        Digest::of(&credential.certificate_der),
                    ));
                    let given = &mut configured.given;
                    given.certificate = Some(credential.id.clone());
                    let key = given.key.filter(|key| !given.certified_by.contains(key));
                    given.certified_by.extend(key);
                    configured.certificate = Some(credential);
                }
            }
        }
        for id in &self.superseded_access {
            commit
                .changes
                .push(Change::Wifi(wifi::Change::SetAccessStatus {
                    id: id.clone(),
                    status: CredentialStatus::Superseded,
                }));
        }
        let standing = Standing {
            device: self.device.id,
            wanted: self.standing.and_then(|standing| standing.wanted),
            given: Some(configured.given.clone()),
            updated_at: self.now,
        };
        commit
            .changes
            .push(Change::Wifi(wifi::Change::PutStanding(Box::new(standing))));
        for claim in self.claims {
            commit.changes.push(Change::PutClaim(Box::new(claim)));
        }
        let actor = Actor::new(ActorKind::Device, &self.device.serial);
        for action in self.actions {
            let mut entry = device_entry(&self.device, action, &actor, self.now)
                .with("method", "dpp")
                .with("assurance", self.given.assurance);
            entry.evidence.clone_from(&evidence);
            if matches!(action, Action::CredentialIssued | Action::CredentialRenewed) {
                entry.reasons.clone_from(&self.reasons);
                entry = entry
                    .with("network", &self.network.name)
                    .with("network-version", self.network.version)
                    .with("role", self.role);
                for access in &configured.access {
                    entry = entry.with(access.kind.as_str(), &access.id);
                }
                if let Some(credential) = &configured.certificate {
                    entry = entry.with("certificate", &credential.id);
                }
            }
            commit.entries.push(entry);
        }
        Outcome::accept(configured, commit)
    }

    /// What must still be so: device, network, key, approval, and what is superseded.
    fn guard(&self, commit: &mut Commit) {
        put_device(commit, &self.device, self.next.clone());
        still_trusted(commit, self.manufacturer);
        commit.guards.push(Guard::Wifi(wifi::Guard::NetworkVersion {
            name: self.network.name.clone(),
            expected: self.network.version,
        }));
        if let Some((id, expected)) = self.key {
            commit
                .guards
                .push(Guard::Wifi(wifi::Guard::KeyVersion { id, expected }));
        }
        for id in self.superseded_access.iter().chain(&self.shown) {
            commit
                .guards
                .push(Guard::Wifi(wifi::Guard::AccessActive { id: id.clone() }));
        }
        if let Some(record) = &self.approval {
            use_up(commit, record, self.now);
        }
    }

    fn credential(&self, issued: IssuedAccess) -> Issued {
        let access = |id, kind, expires_at| {
            Issued::Access(AccessCredential {
                id,
                device: self.device.id,
                network: self.network.name.clone(),
                kind,
                expires_at,
                status: CredentialStatus::Active,
                issued_at: self.now,
                confirmed_at: None,
            })
        };
        match issued {
            IssuedAccess::Connector {
                id,
                net_access_key_sha256,
                signed_by,
                expires_at,
            } => access(
                id,
                AccessKind::Connector {
                    net_access_key_sha256,
                    signed_by,
                },
                expires_at,
            ),
            IssuedAccess::Passphrase {
                id,
                identifier,
                sealed,
            } => access(id, AccessKind::Passphrase { identifier, sealed }, None),
            IssuedAccess::Certificate {
                issued,
                request_sha256,
                key_spki_sha256,
            } => Issued::Certificate(Credential {
                id: issued.id,
                device: self.device.id,
                spki_sha256: key_spki_sha256,
                request_sha256,
                not_before: issued.not_before,
                not_after: issued.not_after,
                status: CredentialStatus::Active,
                issued_at: self.now,
                confirmed_at: None,
                certificate_der: issued.der,
            }),
        }
    }
}

enum Issued {
    Access(AccessCredential),
    Certificate(Credential),
}
