//! The release statement: an owner's word that it gives up a device, for the manufacturer, which
//! may then sell the device again.
//!
//! 1. The owner's controller releases the device, fills a [`ReleaseStatement`] and has its
//!    registrar sign the JSON (CMS, the registrar's chain with it); the signature is the caller's
//!    business.
//! 2. The manufacturer verifies the signature up to the domain CA of the owner that the statement
//!    names, the signer being a registrar (cmcRA), and only then calls [`ReleaseStatement::read`].
//! 3. `decide::release_ownership` ends the ownership, if the statement was made while it lasted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, ManufacturerId, OwnerId};

/// What `format` says in this version.
pub const RELEASE_FORMAT: &str = "vouchsafe-release/1";

/// Largest statement in bytes that is read.
pub const MAX_RELEASE: usize = 16 * 1024;

/// One device given up by one owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseStatement {
    /// [`RELEASE_FORMAT`].
    pub format: String,
    /// Who made the device.
    pub manufacturer: ManufacturerId,
    /// Its serial number.
    pub serial: String,
    /// Who gives it up.
    pub owner: OwnerId,
    /// When.
    pub released_at: Timestamp,
    /// Why, in the owner's words.
    pub reason: String,
    /// Who is to have it next, if the owner says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_owner: Option<OwnerId>,
}

/// Why a statement was refused, though its signature holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It is over [`MAX_RELEASE`] bytes, or no JSON of this form.
    #[error("the release statement cannot be read: {message}")]
    Malformed {
        /// What the reader said.
        message: String,
    },
    /// It has another format or version.
    #[error("the statement says its format is {found:?}; this program reads {RELEASE_FORMAT}")]
    Format {
        /// What it says (at most 64 characters).
        found: String,
    },
    /// It is about another maker's device.
    #[error("the statement is about a device of manufacturer {found}, not of this one")]
    OtherManufacturer {
        /// Whose device it is about.
        found: ManufacturerId,
    },
    /// The one who signed is not the one who gives the device up.
    #[error("the statement is signed for owner {signer}, but speaks for {named}")]
    OtherOwner {
        /// The owner whose registrar signed.
        signer: OwnerId,
        /// The owner that is named.
        named: OwnerId,
    },
}

impl ReleaseStatement {
    /// Step 2: reads a statement that a registrar of `signer` signed, about a device that
    /// `manufacturer` made.
    ///
    /// # Errors
    /// [`ReleaseError`] for the first fault.
    pub fn read(
        json: &[u8],
        manufacturer: ManufacturerId,
        signer: OwnerId,
    ) -> Result<Self, ReleaseError> {
        let malformed = |message| Err(ReleaseError::Malformed { message });
        if json.len() > MAX_RELEASE {
            return malformed(format!("{} bytes are over {MAX_RELEASE}", json.len()));
        }
        let statement: Self = match serde_json::from_slice(json) {
            Ok(statement) => statement,
            Err(error) => return malformed(error.to_string()),
        };
        if statement.format != RELEASE_FORMAT {
            let found = statement.format.chars().take(64).collect();
            return Err(ReleaseError::Format { found });
        }
        if statement.manufacturer != manufacturer {
            let found = statement.manufacturer;
            return Err(ReleaseError::OtherManufacturer { found });
        }
        if statement.owner != signer {
            let named = statement.owner;
            return Err(ReleaseError::OtherOwner { signer, named });
        }
        Ok(statement)
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        DeviceId::new(self.manufacturer, &self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKER: ManufacturerId = ManufacturerId([1; 16]);
    const OWNER: OwnerId = OwnerId([2; 16]);

    fn statement() -> ReleaseStatement {
        ReleaseStatement {
            format: RELEASE_FORMAT.to_owned(),
            manufacturer: MAKER,
            serial: "A-1".to_owned(),
            owner: OWNER,
            released_at: Timestamp::UNIX_EPOCH,
            reason: "sold on".to_owned(),
            next_owner: None,
        }
    }

    fn read(statement: &ReleaseStatement) -> Result<ReleaseStatement, ReleaseError> {
        ReleaseStatement::read(&serde_json::to_vec(statement).unwrap(), MAKER, OWNER)
    }

    #[test]
    fn a_sound_statement_is_read_back() {
        assert_eq!(read(&statement()).unwrap(), statement());
        assert_eq!(statement().device(), DeviceId::new(MAKER, "A-1"));
    }

    #[test]
    fn nobody_gives_up_what_is_anothers() {
        let mut forged = statement();
        forged.owner = OwnerId([3; 16]);
        let named = forged.owner;
        assert_eq!(
            read(&forged),
            Err(ReleaseError::OtherOwner {
                signer: OWNER,
                named
            })
        );
        let mut forged = statement();
        forged.manufacturer = ManufacturerId([3; 16]);
        assert!(matches!(
            read(&forged),
            Err(ReleaseError::OtherManufacturer { .. })
        ));
    }

    #[test]
    fn another_format_and_truncations_are_refused() {
        let mut other = statement();
        other.format = "vouchsafe-release/2".to_owned();
        assert!(matches!(read(&other), Err(ReleaseError::Format { .. })));
        let json = serde_json::to_vec(&statement()).unwrap();
        for end in 0..json.len() {
            assert!(ReleaseStatement::read(&json[..end], MAKER, OWNER).is_err());
        }
        let long = vec![b' '; MAX_RELEASE + 1];
        assert!(ReleaseStatement::read(&long, MAKER, OWNER).is_err());
    }
}
