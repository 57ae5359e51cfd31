//! One entry, before it is sealed.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::ids::{DeviceId, Digest, GateId, ManufacturerId};
use crate::text::{text_enum, unknown_text};

/// Whose chain an entry belongs to. Written `device:…`, `gate:…`, `manufacturer:…` or `site`; the variants
/// stand in the order of these texts, which is that of a checkpoint's leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A device; its chain travels with it.
    Device(DeviceId),
    /// A gate of this site.
    Gate(GateId),
    /// A manufacturer, at the owner's controller.
    Manufacturer(ManufacturerId),
    /// The installation itself: policy, tokens, owners, strangers at the door.
    Site,
}

impl Subject {
    /// Reads the written form.
    ///
    /// # Errors
    /// [`Error::UnknownText`] or [`Error::BadIdentifier`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            Some(("device", id)) => DeviceId::parse(id).map(Self::Device),
            Some(("gate", id)) => GateId::parse(id).map(Self::Gate),
            Some(("manufacturer", id)) => ManufacturerId::parse(id).map(Self::Manufacturer),
            None if text == "site" => Ok(Self::Site),
            _ => Err(unknown_text("Subject", text)),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => write!(f, "device:{id}"),
            Self::Manufacturer(id) => write!(f, "manufacturer:{id}"),
            Self::Gate(id) => write!(f, "gate:{id}"),
            Self::Site => f.write_str("site"),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

text_enum! {
    /// What was done.
    pub enum Action {
        /// The factory gave the device its identity.
        Provisioned = "provisioned",
        /// The manufacturer recorded a sale.
        Sold = "sold",
        /// The device came into the inventory with its manufacturer's record.
        Imported = "imported",
        /// The device came into the inventory by hand, or by its record.
        Claimed = "claimed",
        /// A device that is in no inventory showed itself.
        UnknownSeen = "unknown-seen",
        /// A request was refused; the reasons say why.
        RequestRefused = "request-refused",
        /// A voucher request waits for a person.
        ApprovalAsked = "approval-asked",
        /// A person, or policy, let a waiting request pass.
        Approved = "approved",
        /// A person turned a waiting request down.
        ApprovalDenied = "approval-denied",
        /// A voucher request goes to the MASA.
        VoucherRequested = "voucher-requested",
        /// The MASA's voucher arrived and goes to the device.
        VoucherObtained = "voucher-obtained",
        /// The MASA refused.
        VoucherRefused = "voucher-refused",
        /// The MASA issued a voucher.
        VoucherIssued = "voucher-issued",
        /// The device says that it accepts the voucher.
        VoucherAccepted = "voucher-accepted",
        /// The device says that it refuses the voucher.
        VoucherRejected = "voucher-rejected",
        /// The MASA's audit log was handed out.
        AuditLogRead = "audit-log-read",
        /// The MASA's audit log was judged by the owner's policy.
        AuditLogJudged = "audit-log-judged",
        /// Onboarding began without a voucher.
        OnboardingStarted = "onboarding-started",
        /// An onboarded device began anew with its birth certificate.
        OnboardingRestarted = "onboarding-restarted",
        /// A first credential was issued.
        CredentialIssued = "credential-issued",
        /// A credential was issued in place of an older one.
        CredentialRenewed = "credential-renewed",
        /// A credential was revoked.
        CredentialRevoked = "credential-revoked",
        /// The device says that its credential works.
        EnrolmentConfirmed = "enrolment-confirmed",
        /// The device says that enrolment failed.
        EnrolmentFailed = "enrolment-failed",
        /// The device was cut off.
        Quarantined = "quarantined",
        /// The device was let in again.
        Restored = "restored",
        /// The owner gave the device up.
        Released = "released",
        /// The device left service.
        Retired = "retired",
        /// A manufacturer became known or its trust changed.
        ManufacturerChanged = "manufacturer-changed",
        /// An owner became known or was changed.
        OwnerChanged = "owner-changed",
        /// Another policy came into force.
        PolicyChanged = "policy-changed",
        /// A Wi-Fi network was described or changed.
        NetworkChanged = "network-changed",
        /// A Wi-Fi network was removed.
        NetworkRemoved = "network-removed",
        /// A device's bootstrapping key became known, or as what it may be configured changed.
        BootstrappingKeyAdded = "bootstrapping-key-added",
        /// A device's bootstrapping key was removed.
        BootstrappingKeyRemoved = "bootstrapping-key-removed",
        /// A bootstrapping key was claimed for a second device.
        BootstrappingKeyConflict = "bootstrapping-key-conflict",
        /// A person settled whose a bootstrapping key is.
        BootstrappingKeySettled = "bootstrapping-key-settled",
        /// A device that was claimed by its label, and the one that its manufacturer's record names,
        /// are one.
        DeviceMerged = "device-merged",
        /// A person meant a device for a network.
        NetworkAssigned = "network-assigned",
        /// Another key signs connectors from now on.
        SigningKeyReplaced = "signing-key-replaced",
        /// A segment was described or changed.
        SegmentChanged = "segment-changed",
        /// A segment was removed.
        SegmentRemoved = "segment-removed",
        /// A gate was given a token with which it enrols.
        GateInvited = "gate-invited",
        /// A gate used its token and got a certificate.
        GateEnrolled = "gate-enrolled",
        /// A gate got a certificate in place of an older one.
        GateRenewed = "gate-renewed",
        /// Trust in a gate ended.
        GateRemoved = "gate-removed",
        /// A gate confirmed that a session of the device is over that had to end.
        CutOff = "cut-off",
        /// A session of the device was ended; it may begin another.
        SessionEnded = "session-ended",
        /// Somebody said that a MAC address is the device's.
        AddressClaimed = "address-claimed",
        /// The device's MAC address was claimed for another device.
        AddressConflict = "address-conflict",
        /// A person settled whose a MAC address is.
        AddressSettled = "address-settled",
        /// A MAC address is no longer the device's.
        AddressRemoved = "address-removed",
        /// Policy lets the device in by its MAC address.
        AddressAdmitted = "address-admitted",
        /// Policy does not let the device in by its MAC address, or no longer.
        AddressRefused = "address-refused",
        /// Somebody stated something of the device.
        Stated = "stated",
        /// An API token was made.
        TokenCreated = "token-created",
        /// An API token was revoked.
        TokenRevoked = "token-revoked",
    }
}

text_enum! {
    /// What sort of actor did it.
    pub enum ActorKind {
        /// A person, or a program with a token; `name` is the token's name.
        Person = "person",
        /// A device; `name` is its serial number.
        Device = "device",
        /// A manufacturer or its sales channel.
        Manufacturer = "manufacturer",
        /// A factory line station.
        Factory = "factory",
        /// A registrar, as the MASA sees it; `name` is its owner.
        Registrar = "registrar",
        /// A MASA, as the registrar sees it; `name` is its address.
        Masa = "masa",
        /// Policy; `name` is its digest.
        Policy = "policy",
        /// A gate; `name` is its name.
        Gate = "gate",
        /// This program on its own account.
        System = "system",
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What sort of actor.
    pub kind: ActorKind,
    /// Which one.
    pub name: String,
}

impl Actor {
    /// An actor of this kind and name.
    pub fn new(kind: ActorKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }
}

/// Why: a stable code for programs, a sentence for people, the rule it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable kebab-case word.
    pub code: String,
    /// A sentence.
    pub text: String,
    /// The rule, such as `RFC 8995 §5.5.4` or `owner policy`.
    pub section: String,
}

impl Reason {
    /// A reason of these three parts.
    pub fn new(
        code: impl Into<String>,
        text: impl Into<String>,
        section: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            text: text.into(),
            section: section.into(),
        }
    }
}

/// A document that a decision rests on, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is, such as `pledge-voucher-request`, `manifest`, `csr`.
    pub kind: String,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

impl Evidence {
    /// Evidence of this kind with this digest.
    pub fn new(kind: impl Into<String>, sha256: Digest) -> Self {
        Self {
            kind: kind.into(),
            sha256,
        }
    }
}

/// One journal entry. Its canonical text is its JSON in the order declared here, without
/// white space; `data` is ordered by key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose chain.
    pub subject: Subject,
    /// What was done.
    pub action: Action,
    /// Who did it.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reasons: Vec<Reason>,
    /// On which evidence.
    pub evidence: Vec<Evidence>,
    /// Further particulars by name; never a secret.
    pub data: BTreeMap<String, String>,
}

impl Entry {
    /// An entry without reasons, evidence and particulars.
    #[must_use]
    pub const fn new(subject: Subject, action: Action, actor: Actor, at: Timestamp) -> Self {
        Self {
            subject,
            action,
            actor,
            at,
            reasons: Vec::new(),
            evidence: Vec::new(),
            data: BTreeMap::new(),
        }
    }

    /// The same entry with one more reason.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reasons.push(reason);
        self
    }

    /// The same entry with one more piece of evidence.
    #[must_use]
    pub fn on(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// The same entry with one more particular.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.data.insert(name.to_owned(), value.to_string());
        self
    }

    /// The canonical text that is hashed and stored.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        // Strings, string-keyed maps and lists of those always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store gives chains in the order of their texts, and a checkpoint must not depend on who sorted.
    #[test]
    fn subjects_are_in_the_order_of_their_texts() {
        let subjects = [
            Subject::Device(DeviceId([9; 16])),
            Subject::Gate(GateId([8; 16])),
            Subject::Manufacturer(ManufacturerId([7; 16])),
            Subject::Site,
        ];
        let texts = subjects.map(|subject| subject.to_string());
        assert!(subjects.is_sorted() && texts.is_sorted(), "{texts:?}");
    }
}
