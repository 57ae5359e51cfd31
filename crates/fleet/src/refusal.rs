//! Why something is refused: a stable code, a sentence for people, the rule it rests on.

use crate::journal::Reason;
use crate::text::text_enum;

text_enum! {
    /// Every reason for which a decision can be no. The codes are stable: they stand in
    /// journals, in the API and in telemetry.
    pub enum Refusal {
        /// The birth certificate leads to no manufacturer known here.
        UnknownManufacturer = "unknown-manufacturer",
        /// The manufacturer is known, but nobody has trusted it yet.
        ManufacturerNotTrusted = "manufacturer-not-trusted",
        /// The manufacturer is blocked.
        ManufacturerBlocked = "manufacturer-blocked",
        /// No MASA of this manufacturer is trusted, so none is asked.
        MasaNotTrusted = "masa-not-trusted",
        /// The device is in no inventory here.
        UnknownDevice = "unknown-device",
        /// The device belongs to somebody else.
        OtherOwner = "other-owner",
        /// The device is known, but nobody claimed it.
        NotClaimed = "not-claimed",
        /// Its owner gave the device up.
        DeviceReleased = "device-released",
        /// The device left service.
        DeviceRetired = "device-retired",
        /// The device is cut off.
        DeviceQuarantined = "device-quarantined",
        /// The life cycle has no such step from where the device is.
        WrongState = "wrong-state",
        /// The life cycle has that step, but not for whoever asks.
        ActorMayNot = "actor-may-not",
        /// The device shows another birth key than before.
        IdevidKeyDiffers = "idevid-key-differs",
        /// Policy says no.
        PolicyDenied = "policy-denied",
        /// A person said no.
        ApprovalDenied = "approval-denied",
        /// The request was answered before, too long ago to answer it alike.
        Replayed = "replayed",
        /// The nonce was used in another request.
        NonceReused = "nonce-reused",
        /// The request waited for approval for more than four days.
        PendingTooLong = "pending-too-long",
        /// The MASA refused.
        MasaRefused = "masa-refused",
        /// The MASA's audit log shows what the owner's policy does not accept.
        AuditLogUnacceptable = "audit-log-unacceptable",
        /// Nothing is waiting for an answer.
        NothingPending = "nothing-pending",
        /// The device has no voucher yet.
        NoVoucherYet = "no-voucher-yet",
        /// The device itself refused its voucher.
        VoucherRejected = "voucher-rejected",
        /// The key belongs to another device.
        KeyOfAnotherDevice = "key-of-another-device",
        /// Nobody was given this credential here.
        CredentialUnknown = "credential-unknown",
        /// The credential was revoked.
        CredentialRevoked = "credential-revoked",
        /// The credential was replaced by one that works.
        CredentialSuperseded = "credential-superseded",
        /// The credential has run out.
        CredentialExpired = "credential-expired",
        /// The credential belongs to another device.
        CredentialOfAnother = "credential-of-another",
        /// The device holds as many certificates as it may.
        TooManyCredentials = "too-many-credentials",
        /// The birth certificate may not be used for a further credential.
        IdevidReenrolForbidden = "idevid-reenrol-forbidden",
        /// The credential is not active.
        CredentialNotActive = "credential-not-active",
        /// The device is in the inventory already.
        AlreadyClaimed = "already-claimed",
        /// The record names another owner.
        NotOurs = "not-ours",
        /// The journal that came with the device does not verify.
        JournalBroken = "journal-broken",
        /// The journal that came with the device is not about its sale.
        JournalIncomplete = "journal-incomplete",
        /// No serial number, or one that is too long or not printable.
        BadSerial = "bad-serial",
        /// The serial number has an identity already, with another key.
        SerialTaken = "serial-taken",
        /// The device was sold to somebody else.
        AlreadySold = "already-sold",
        /// The device has no owner.
        NotSold = "not-sold",
        /// The release statement is not about the ownership that lasts now.
        StatementOutOfTime = "statement-out-of-time",
        /// The MASA does not know the requester as an owner.
        OwnerUnknown = "owner-unknown",
        /// The MASA serves this owner no longer.
        OwnerBlocked = "owner-blocked",
        /// The registrar's certificate was revoked.
        RegistrarRevoked = "registrar-revoked",
        /// A voucher without nonce is not issued here.
        NoncelessForbidden = "nonceless-forbidden",
        /// A voucher request without the device's own signed request is not accepted here.
        PriorRequestMissing = "prior-request-missing",
        /// Whoever asks for the audit log never owned the device.
        NeverOwner = "never-owner",
        /// The policy cannot be read.
        PolicyUnreadable = "policy-unreadable",
        /// The token is revoked already.
        TokenRevoked = "token-revoked",
        /// Nobody could administer this site any more.
        LastAdministrator = "last-administrator",
        /// No device with this bootstrapping key is in the inventory.
        UnknownBootstrappingKey = "unknown-bootstrapping-key",
        /// The bootstrapping key was claimed for two devices, and nobody has settled whose it is.
        BootstrappingKeyConflict = "bootstrapping-key-conflict",
        /// The bootstrapping information cannot be used.
        BadBootstrappingKey = "bad-bootstrapping-key",
        /// The device did not prove its bootstrapping key.
        DeviceUnproved = "device-unproved",
        /// The device asks for another role than the one it was claimed for.
        RoleDiffers = "role-differs",
        /// No network is meant for this device.
        NoNetwork = "no-network",
        /// Several networks fit, and nobody has said which.
        NetworkAmbiguous = "network-ambiguous",
        /// Access points cannot be configured for a network of this kind.
        NetworkNotForRole = "network-not-for-role",
        /// A shown connector proves too little for a passphrase or a certificate.
        ConnectorNotEnough = "connector-not-enough",
        /// So many connectors of the device are good that another needs its bootstrapping key.
        TooManyConnectors = "too-many-connectors",
        /// There is no network of this name.
        NetworkUnknown = "network-unknown",
        /// There is a network of this name already.
        NetworkExists = "network-exists",
        /// Devices are meant for this network or have a credential of it.
        NetworkInUse = "network-in-use",
        /// The description of the network cannot be carried out.
        BadNetwork = "bad-network",
        /// There are as many networks as there can be.
        TooManyNetworks = "too-many-networks",
        /// This is no MAC address that a station can have.
        BadAddress = "bad-address",
        /// The MAC address was claimed for two devices, and nobody has settled whose it is.
        AddressConflict = "address-conflict",
        /// The device has as many MAC addresses as one may have.
        TooManyAddresses = "too-many-addresses",
        /// Nobody claimed this MAC address for this device.
        AddressUnknown = "address-unknown",
        /// Policy does not say that the device may come in by its MAC address.
        AddressNotAllowed = "address-not-allowed",
        /// The device holds a certificate, and must prove that.
        CredentialHeld = "credential-held",
        /// What is stated has no name, is too long, or has run out already.
        BadStatement = "bad-statement",
        /// As much is stated of the device as may be.
        TooManyStatements = "too-many-statements",
        /// More is claimed about the device than policy gets to see.
        TooManyClaims = "too-many-claims",
        /// There is no segment of this name.
        SegmentUnknown = "segment-unknown",
        /// There is a segment of this name already.
        SegmentExists = "segment-exists",
        /// Devices or networks are meant for this segment.
        SegmentInUse = "segment-in-use",
        /// Without any segment policy could name what confines nobody.
        LastSegment = "last-segment",
        /// The description of the segment cannot be put in force.
        BadSegment = "bad-segment",
        /// There are as many segments as there can be.
        TooManySegments = "too-many-segments",
        /// There is no gate of this name, or the certificate is no gate's.
        GateUnknown = "gate-unknown",
        /// There is a gate of this name already.
        GateExists = "gate-exists",
        /// Trust in the gate has ended.
        GateRevoked = "gate-revoked",
        /// The gate's certificate has run out.
        GateExpired = "gate-expired",
        /// No gate was given this token.
        GateTokenUnknown = "gate-token-unknown",
        /// The token was used before.
        GateTokenUsed = "gate-token-used",
        /// The token has run out.
        GateTokenExpired = "gate-token-expired",
        /// The name cannot stand in a gate's certificate.
        BadGate = "bad-gate",
        /// There are as many gates as there can be.
        TooManyGates = "too-many-gates",
        /// The gate has as many certificates that count as one may have.
        TooManyGateCertificates = "too-many-gate-certificates",
        /// The report of a gate holds more than one may, or what no gate can know.
        BadReport = "bad-report",
        /// There is no such session, or it has ended.
        SessionUnknown = "session-unknown",
    }
}

text_enum! {
    /// What sort of no it is. The edge maps it to a status.
    pub enum RefusalKind {
        /// The device, owner or record is not known (404).
        Unknown = "unknown",
        /// Known, but not allowed; an administrator could change that (403).
        Forbidden = "forbidden",
        /// What is asked for cannot be given in this form or to this device (406).
        NotAcceptable = "not-acceptable",
        /// It contradicts what is stored (409).
        Conflict = "conflict",
        /// The request itself is wrong (400).
        Malformed = "malformed",
    }
}

impl Refusal {
    /// The stable kebab-case code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.as_str()
    }

    /// What sort of no it is.
    #[must_use]
    pub const fn kind(self) -> RefusalKind {
        match self {
            Self::UnknownManufacturer
            | Self::UnknownDevice
            | Self::NothingPending
            | Self::NeverOwner
            | Self::OwnerUnknown
            | Self::CredentialUnknown
            | Self::UnknownBootstrappingKey
            | Self::NetworkUnknown
            | Self::AddressUnknown
            | Self::SegmentUnknown
            | Self::SessionUnknown => RefusalKind::Unknown,
            Self::ManufacturerNotTrusted
            | Self::ManufacturerBlocked
            | Self::MasaNotTrusted
            | Self::OtherOwner
            | Self::NotClaimed
            | Self::DeviceReleased
            | Self::DeviceRetired
            | Self::DeviceQuarantined
            | Self::IdevidKeyDiffers
            | Self::PolicyDenied
            | Self::TooManyClaims
            | Self::ApprovalDenied
            | Self::Replayed
            | Self::NonceReused
            | Self::PendingTooLong
            | Self::NoVoucherYet
            | Self::VoucherRejected
            | Self::CredentialRevoked
            | Self::CredentialSuperseded
            | Self::CredentialExpired
            | Self::CredentialOfAnother
            | Self::TooManyCredentials
            | Self::IdevidReenrolForbidden
            | Self::OwnerBlocked
            | Self::RegistrarRevoked
            | Self::NotOurs
            | Self::ActorMayNot
            | Self::DeviceUnproved
            | Self::RoleDiffers
            | Self::NoNetwork
            | Self::NetworkAmbiguous
            | Self::NetworkNotForRole
            | Self::ConnectorNotEnough
            | Self::TooManyConnectors
            | Self::AddressNotAllowed
            | Self::CredentialHeld
            | Self::GateUnknown
            | Self::GateRevoked
            | Self::GateExpired
            | Self::GateTokenUnknown
            | Self::GateTokenUsed
            | Self::GateTokenExpired => RefusalKind::Forbidden,
            Self::MasaRefused
            | Self::AuditLogUnacceptable
            | Self::NoncelessForbidden
            | Self::PriorRequestMissing => RefusalKind::NotAcceptable,
            Self::WrongState
            | Self::KeyOfAnotherDevice
            | Self::CredentialNotActive
            | Self::AlreadyClaimed
            | Self::SerialTaken
            | Self::AlreadySold
            | Self::NotSold
            | Self::StatementOutOfTime
            | Self::TokenRevoked
            | Self::LastAdministrator
            | Self::BootstrappingKeyConflict
            | Self::AddressConflict
            | Self::TooManyAddresses
            | Self::TooManyStatements
            | Self::NetworkExists
            | Self::NetworkInUse
            | Self::TooManyNetworks
            | Self::SegmentExists
            | Self::SegmentInUse
            | Self::LastSegment
            | Self::TooManySegments
            | Self::GateExists
            | Self::TooManyGates
            | Self::TooManyGateCertificates => RefusalKind::Conflict,
            Self::JournalBroken
            | Self::JournalIncomplete
            | Self::BadSerial
            | Self::PolicyUnreadable
            | Self::BadBootstrappingKey
            | Self::BadNetwork
            | Self::BadAddress
            | Self::BadStatement
            | Self::BadSegment
            | Self::BadGate
            | Self::BadReport => RefusalKind::Malformed,
        }
    }

    /// One sentence for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        self.text_and_section().0
    }

    /// The rule it rests on.
    #[must_use]
    pub const fn section(self) -> &'static str {
        self.text_and_section().1
    }

    /// Code, sentence and section for the journal.
    #[must_use]
    pub fn reason(self) -> Reason {
        Reason::new(self.code(), self.sentence(), self.section())
    }

    const fn text_and_section(self) -> (&'static str, &'static str) {
        match self {
            Self::UnknownManufacturer => (
                "No trusted manufacturer stands behind this birth certificate.",
                "RFC 8995 §5.3",
            ),
            Self::ManufacturerNotTrusted => (
                "This manufacturer was seen, but an administrator has not decided to trust it.",
                "RFC 8995 §5.3",
            ),
            Self::ManufacturerBlocked => (
                "An administrator has blocked this manufacturer.",
                "owner policy",
            ),
            Self::MasaNotTrusted => (
                "No MASA of this manufacturer is trusted, so none is asked for a voucher.",
                "RFC 8995 §5.4",
            ),
            Self::UnknownDevice => ("No such device is in the inventory.", "RFC 8995 §5.3"),
            Self::OtherOwner => ("The device belongs to another owner.", "RFC 8995 §5.5.4"),
            Self::NotClaimed => (
                "The device is known, but nobody has claimed it for this network.",
                "RFC 8995 §5.3",
            ),
            Self::DeviceReleased => (
                "The device was released and no longer belongs to this network.",
                "owner policy",
            ),
            Self::DeviceRetired => ("The device was retired for good.", "owner policy"),
            Self::DeviceQuarantined => (
                "The device is in quarantine and stays out until it is restored.",
                "owner policy",
            ),
            Self::WrongState => (
                "The device's life cycle has no such step from where it is.",
                "device life cycle",
            ),
            Self::ActorMayNot => (
                "Whoever asks may not do that to a device.",
                "device life cycle",
            ),
            Self::IdevidKeyDiffers => (
                "The device shows another birth key than the one it is known by.",
                "RFC 8995 §2.3",
            ),
            Self::PolicyDenied => ("The owner's policy refuses this device.", "owner policy"),
            Self::ApprovalDenied => ("A person has refused this device.", "owner policy"),
            Self::Replayed => ("This very request was answered before.", "RFC 8995 §5.2"),
            Self::NonceReused => (
                "The nonce was already used in another request of this device.",
                "RFC 8995 §5.2",
            ),
            Self::PendingTooLong => (
                "The request has waited for approval for more than four days.",
                "RFC 8995 §5.6",
            ),
            Self::MasaRefused => (
                "The manufacturer's MASA refused to issue a voucher.",
                "RFC 8995 §5.6",
            ),
            Self::AuditLogUnacceptable => (
                "The MASA's audit log shows what this owner does not accept.",
                "RFC 8995 §5.8.3",
            ),
            Self::NothingPending => (
                "No request of this device is waiting for an answer.",
                "owner policy",
            ),
            Self::NoVoucherYet => (
                "The device has no voucher for this network yet.",
                "RFC 8995 §5.9",
            ),
            Self::VoucherRejected => ("The device has refused its voucher.", "RFC 8995 §5.7"),
            Self::KeyOfAnotherDevice => (
                "The key in the request belongs to another device.",
                "unique credential per device",
            ),
            Self::CredentialUnknown => ("Nobody was given this credential here.", "owner policy"),
            Self::CredentialRevoked => ("The credential was revoked.", "RFC 7030 §3.3.2"),
            Self::CredentialSuperseded => (
                "The credential was replaced, and its successor works.",
                "owner policy",
            ),
            Self::CredentialExpired => ("The credential has run out.", "RFC 5280 §4.1.2.5"),
            Self::CredentialOfAnother => (
                "The credential belongs to another device.",
                "RFC 7030 §4.2.2",
            ),
            Self::TooManyCredentials => (
                "The device holds 64 certificates that have not run out: revoke what it does not need.",
                "owner policy",
            ),
            Self::IdevidReenrolForbidden => (
                "A further credential needs the present one; the birth certificate is not enough.",
                "owner policy",
            ),
            Self::CredentialNotActive => {
                ("The credential is not active any more.", "RFC 5280 §5.3")
            }
            Self::AlreadyClaimed => (
                "The device is in the inventory already.",
                "device life cycle",
            ),
            Self::NotOurs => (
                "The manufacturer's record names another owner.",
                "owner policy",
            ),
            Self::JournalBroken => (
                "The journal that came with the device does not verify.",
                "journal",
            ),
            Self::JournalIncomplete => (
                "The journal that came with the device does not record its sale to this owner.",
                "journal",
            ),
            Self::BadSerial => (
                "A serial number has 1 to 64 printable characters.",
                "RFC 8995 §2.3.1",
            ),
            Self::SerialTaken => (
                "This serial number already has an identity with another key.",
                "unique credential per device",
            ),
            Self::AlreadySold => (
                "The device belongs to another owner, who has not released it.",
                "manufacturer policy",
            ),
            Self::NotSold => ("The device has no owner.", "manufacturer policy"),
            Self::StatementOutOfTime => (
                "The release statement is dated before the present ownership began, or in the \
                 future.",
                "manufacturer policy",
            ),
            Self::OwnerUnknown => (
                "The manufacturer does not know this registrar's owner.",
                "RFC 8995 §5.5.4",
            ),
            Self::OwnerBlocked => (
                "The manufacturer serves this owner no longer.",
                "RFC 8995 §5.5.4",
            ),
            Self::RegistrarRevoked => (
                "The registrar's certificate was revoked.",
                "RFC 8995 §5.5.3",
            ),
            Self::NoncelessForbidden => (
                "This MASA issues no voucher without a nonce to this requester.",
                "RFC 8995 §5.5.1",
            ),
            Self::PriorRequestMissing => (
                "This MASA wants to see the device's own signed request.",
                "RFC 8995 §5.5.5",
            ),
            Self::NeverOwner => (
                "Only current and former owners may read a device's audit log.",
                "RFC 8995 §5.8",
            ),
            Self::PolicyUnreadable => ("The policy cannot be read.", "owner policy"),
            Self::TokenRevoked => ("The token was revoked already.", "owner policy"),
            Self::LastAdministrator => (
                "It is the last administrator's token: make another one first.",
                "owner policy",
            ),
            Self::UnknownBootstrappingKey => (
                "No device with this bootstrapping key is in the inventory.",
                "Wi-Fi Easy Connect 3.0",
            ),
            Self::BootstrappingKeyConflict => (
                "The bootstrapping key was claimed for two devices; a person must settle whose it \
                 is.",
                "unique credential per device",
            ),
            Self::BadBootstrappingKey => (
                "The bootstrapping information cannot be used.",
                "Wi-Fi Easy Connect 3.0",
            ),
            Self::DeviceUnproved => (
                "The device did not prove the key on its label.",
                "owner policy",
            ),
            Self::RoleDiffers => (
                "The device asks to be something else than it was claimed as.",
                "owner policy",
            ),
            Self::NoNetwork => ("No network is meant for this device.", "owner policy"),
            Self::NetworkAmbiguous => (
                "Several networks fit this device, and nobody has said which.",
                "owner policy",
            ),
            Self::NetworkNotForRole => (
                "An access point can only be configured for a network with connectors.",
                "unique credential per device",
            ),
            Self::ConnectorNotEnough => (
                "A connector proves too little to be given a passphrase or a certificate; the \
                 bootstrapping key does.",
                "unique credential per device",
            ),
            Self::TooManyConnectors => (
                "16 connectors of the device are good: let it show its bootstrapping key, or revoke them.",
                "unique credential per device",
            ),
            Self::NetworkUnknown => ("There is no network of this name.", "owner policy"),
            Self::NetworkExists => ("There is a network of this name already.", "owner policy"),
            Self::NetworkInUse => (
                "Devices are meant for this network or have a credential of it.",
                "owner policy",
            ),
            Self::BadNetwork => (
                "A network needs a name of lower-case letters, digits and hyphens, an SSID of 1 to \
                 32 bytes, and options that fit its kind of credential.",
                "owner policy",
            ),
            Self::TooManyNetworks => (
                "There are as many networks as there can be.",
                "owner policy",
            ),
            Self::BadAddress => (
                "A station's MAC address is twelve hexadecimal digits, not all zero, and no group \
                 address.",
                "IEEE 802 §8.2.2",
            ),
            Self::AddressConflict => (
                "The MAC address was claimed for two devices; a person must settle whose it is.",
                "owner policy",
            ),
            Self::TooManyAddresses => (
                "The device has as many MAC addresses as one may have.",
                "owner policy",
            ),
            Self::AddressUnknown => (
                "Nobody claimed this MAC address for this device.",
                "owner policy",
            ),
            Self::AddressNotAllowed => (
                "Policy does not say that the device may come in by its MAC address.",
                "owner policy",
            ),
            Self::CredentialHeld => (
                "The device holds a certificate of this domain, and must prove that.",
                "owner policy",
            ),
            Self::BadStatement => (
                "A statement needs a kind of 1 to 64 lower-case letters, digits and hyphens, a value of at \
                 most 1024 bytes, and an end that is to come, if any.",
                "owner policy",
            ),
            Self::TooManyStatements => (
                "As much is stated of the device as may be; take something back first.",
                "owner policy",
            ),
            Self::TooManyClaims => (
                "More is claimed about the device than policy looks at, so it was not asked.",
                "owner policy",
            ),
            Self::SegmentUnknown => ("There is no segment of this name.", "owner policy"),
            Self::SegmentExists => ("There is a segment of this name already.", "owner policy"),
            Self::SegmentInUse => (
                "Devices or networks are meant for this segment.",
                "owner policy",
            ),
            Self::LastSegment => (
                "The last segment stays: without any, policy could name one that confines nobody. \
                 Describe another first.",
                "owner policy",
            ),
            Self::BadSegment => (
                "A segment needs a name of at most 32 lower-case letters, digits and hyphens, a \
                 VLAN from 1 to 4094 or none, and destinations that are addresses or networks, \
                 with a port only beside a protocol.",
                "owner policy",
            ),
            Self::TooManySegments => (
                "There are as many segments as there can be.",
                "owner policy",
            ),
            Self::GateUnknown => ("This is no gate of this domain.", "network admission"),
            Self::GateExists => ("There is a gate of this name already.", "owner policy"),
            Self::GateRevoked => ("Trust in this gate has ended.", "network admission"),
            Self::GateExpired => ("The gate's certificate has run out.", "RFC 5280 §4.1.2.5"),
            Self::GateTokenUnknown => (
                "No gate of this name was given this token.",
                "RFC 7030 §3.2.3",
            ),
            Self::GateTokenUsed => (
                "The token was used before: make another one for this gate.",
                "RFC 7030 §3.2.3",
            ),
            Self::GateTokenExpired => (
                "The token has run out: make another one for this gate.",
                "RFC 7030 §3.2.3",
            ),
            Self::BadGate => (
                "A gate needs a name of 1 to 63 lower-case letters, digits and hyphens.",
                "owner policy",
            ),
            Self::TooManyGates => ("There are as many gates as there can be.", "owner policy"),
            Self::TooManyGateCertificates => (
                "The gate has as many certificates as one may have: wait until one has run out, or enrol it anew.",
                "owner policy",
            ),
            Self::BadReport => (
                "The report holds more than one may, or what no gate can know.",
                "network admission",
            ),
            Self::SessionUnknown => (
                "There is no such session, or it has ended.",
                "network admission",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_code_a_sentence_and_a_rule() {
        let table: Vec<String> = Refusal::ALL
            .iter()
            .map(|refusal| {
                assert!(
                    refusal
                        .code()
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
                );
                assert!(refusal.sentence().ends_with('.'));
                format!(
                    "{:<26} {:<15} {:<28} {}",
                    refusal.code(),
                    refusal.kind(),
                    refusal.section(),
                    refusal.sentence()
                )
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
