//! What a decision wants stored: changes, journal entries, and the guards that must still hold.
//! Only data. The store applies all of it in one transaction or none.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::audit::{AuditEvent, AuditTruncation};
use crate::claim::{Claim, ClaimSubject};
use crate::credential::{Credential, CredentialStatus};
use crate::device::Device;
use crate::ids::{CredentialId, DeviceId, Digest, ManufacturerId, OwnerId, TokenId, VoucherId};
use crate::journal::{ChainHead, Entry, Sealed, Subject};
use crate::manufacturer::Manufacturer;
use crate::owner::{Owner, Ownership};
use crate::token::Token;
use crate::voucher::VoucherRecord;
use crate::{admission, wifi};

/// One transaction: guards are checked first, then changes applied in order, then the entries
/// sealed onto their chains in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// What must still be true.
    pub guards: Vec<Guard>,
    /// What changes.
    pub changes: Vec<Change>,
    /// What the journal says about it.
    pub entries: Vec<Entry>,
}

impl Commit {
    /// Whether there is nothing to store.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.guards.is_empty() && self.changes.is_empty() && self.entries.is_empty()
    }
}

/// Something the decision took for granted. If it no longer holds, the race is lost and nothing
/// is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "guard", rename_all = "kebab-case")]
pub enum Guard {
    /// There is no such device.
    DeviceAbsent {
        /// The device.
        id: DeviceId,
    },
    /// The device has this version.
    DeviceVersion {
        /// The device.
        id: DeviceId,
        /// Its version before the change.
        expected: u64,
    },
    /// There is no record of this voucher request.
    VoucherAbsent {
        /// The record.
        id: VoucherId,
    },
    /// The voucher record has this version.
    VoucherVersion {
        /// The record.
        id: VoucherId,
        /// Its version before the change.
        expected: u64,
    },
    /// No voucher record of this device has this nonce.
    NonceUnused {
        /// The device.
        device: DeviceId,
        /// The nonce as spelled.
        nonce: String,
    },
    /// No credential of another device, and no birth certificate of another device, has this key.
    KeyUnused {
        /// SHA-256 of the SubjectPublicKeyInfo.
        spki_sha256: Digest,
        /// The device that may have it.
        device: DeviceId,
    },
    /// No credential answers this request yet.
    RequestUnanswered {
        /// The device.
        device: DeviceId,
        /// SHA-256 of the request.
        request_sha256: Digest,
    },
    /// The credential is active.
    CredentialActive {
        /// The credential.
        id: CredentialId,
    },
    /// The device's current owner is this one (`None`: it has none).
    CurrentOwner {
        /// The device.
        device: DeviceId,
        /// The owner with an ownership that has not ended.
        expected: Option<OwnerId>,
    },
    /// The manufacturer has this version; 0 means that there is no such manufacturer.
    ManufacturerVersion {
        /// The manufacturer.
        id: ManufacturerId,
        /// Its version before the change.
        expected: u64,
    },
    /// The API token counts.
    TokenValid {
        /// The token.
        id: TokenId,
        /// When.
        at: Timestamp,
    },
    /// The subject's journal ends here. Only import needs it; else the store takes the head it finds.
    JournalHead {
        /// Whose chain.
        subject: Subject,
        /// Its head.
        expected: ChainHead,
    },
    /// Something about Wi-Fi.
    Wifi(wifi::Guard),
    /// Something about network admission.
    Admission(admission::Guard),
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", content = "value", rename_all = "kebab-case")]
pub enum Change {
    /// Insert or replace a device. The store keeps its own `journal_seq` and `journal_head`.
    PutDevice(Box<Device>),
    /// Insert or replace a credential.
    PutCredential(Box<Credential>),
    /// Change a credential's status.
    SetCredentialStatus {
        /// The credential.
        id: CredentialId,
        /// Its new status.
        status: CredentialStatus,
    },
    /// The device reported that a credential works.
    ConfirmCredential {
        /// The credential.
        id: CredentialId,
        /// When.
        at: Timestamp,
    },
    /// Insert or replace a voucher record.
    PutVoucher(Box<VoucherRecord>),
    /// Insert or replace a manufacturer.
    PutManufacturer(Box<Manufacturer>),
    /// Insert or replace an owner.
    PutOwner(Box<Owner>),
    /// Insert or replace a stretch of ownership (key: device, owner, since).
    PutOwnership(Ownership),
    /// Add an event to a device's audit log.
    AppendAudit(AuditEvent),
    /// Drop the oldest events with this domain and nonce kind, and set the counters
    /// (RFC 8995 §5.8.1).
    TruncateAudit {
        /// The device.
        device: DeviceId,
        /// The events to drop, by their time and domain.
        drop: Vec<AuditEvent>,
        /// The counters afterwards.
        counters: AuditTruncation,
    },
    /// Insert or replace a token.
    PutToken(Box<Token>),
    /// Insert or replace a claim (key: issuer, subject, kind).
    PutClaim(Box<Claim>),
    /// Forget what an issuer claimed about a subject and what has run out. Done after all claims of the same
    /// commit are put.
    ForgetClaims {
        /// About whom.
        subject: ClaimSubject,
        /// Who said so.
        issuer: String,
        /// What ended until then is forgotten.
        ended_by: Timestamp,
    },
    /// Put a chain that came with a device in front of an empty chain. Already verified.
    AdoptJournal {
        /// Whose chain.
        subject: Subject,
        /// Its entries from the first.
        chain: Vec<Sealed>,
    },
    /// Remember that a stranger was seen, so that it is journaled once and not on each try.
    /// The store forgets sightings that have expired.
    PutSighting(Sighting),
    /// Another policy is in force.
    PutPolicy(Box<PolicyRecord>),
    /// A change to networks, bootstrapping keys, announcements or access credentials.
    Wifi(wifi::Change),
    /// A change to segments, gates and sessions.
    Admission(admission::Change),
}

/// A device that is in no inventory and showed itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The name it would have.
    pub device: DeviceId,
    /// Its manufacturer's trust anchor is this one; none when unknown.
    pub manufacturer: Option<ManufacturerId>,
    /// Its serial number, as its certificate says.
    pub serial: String,
    /// When it was first seen.
    pub at: Timestamp,
    /// When it may be forgotten.
    pub expires_at: Timestamp,
}

/// A policy that is or was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// SHA-256 of the text.
    pub id: Digest,
    /// The Rego text.
    pub text: String,
    /// When it came into force; the latest one counts.
    pub since: Timestamp,
    /// Who put it there, by name.
    pub by: String,
}
