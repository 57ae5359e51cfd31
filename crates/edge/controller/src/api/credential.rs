//! Credentials of this domain: the list, and taking one back.

use vouchsafe_api::RevocationReason;

/// The stored word for a reason.
pub(super) fn stored_reason(reason: RevocationReason) -> vouchsafe_fleet::RevocationReason {
    use vouchsafe_fleet::RevocationReason as Stored;
    match reason {
        RevocationReason::Unspecified => Stored::Unspecified,
        RevocationReason::KeyCompromise => Stored::KeyCompromise,
        RevocationReason::AffiliationChanged => Stored::AffiliationChanged,
        RevocationReason::Superseded => Stored::Superseded,
        RevocationReason::CessationOfOperation => Stored::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn => Stored::PrivilegeWithdrawn,
    }
}
