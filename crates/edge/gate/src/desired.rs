//! What the controller wants: who may come in, and which lists count.
//!
//! A document has a version. An older one than the gate has seen is refused, so that nobody brings back a
//! device by replaying the state of yesterday. What it says of certificates counts only under the
//! anchor that stands in the gate's own configuration.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use vouchsafe_api::DesiredState;
use vouchsafe_radius::{Segment, Trust};
use vouchsafe_trust::{Anchors, Certificate, Crl, Revocation};

/// Most credentials in a document.
pub const MAX_ADMITTED: usize = 1_000_000;

/// Why a document is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// Not such a document.
    #[error("not a desired state: {0}")]
    Malformed(String),
    /// Older than what the gate already had.
    #[error("version {offered} is older than version {known}, which was already in force")]
    Older {
        /// The document's version.
        offered: u64,
        /// The gate's.
        known: u64,
    },
    /// A list is not the domain CA's, or is stale.
    #[error("revocation list: {0}")]
    List(String),
}

impl DesiredError {
    /// Stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "state-malformed",
            Self::Older { .. } => "state-older",
            Self::List(_) => "state-list",
        }
    }
}

/// A document whose parts were read and proved.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Its version.
    pub version: u64,
    /// When it was written.
    pub issued_at: Timestamp,
    admitted: BTreeMap<String, Entry>,
    lists: Vec<Crl>,
    anchor: Certificate,
}

/// What is known about an admitted credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub device: String,
    /// Where it belongs.
    pub segment: Option<Segment>,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Desired {
    /// Reads a document; `known` is the version already in force.
    ///
    /// # Errors
    /// [`DesiredError`]. What was in force stays so.
    pub fn read(
        text: &str,
        anchor: &Certificate,
        known: Option<u64>,
        now: Timestamp,
    ) -> Result<Self, DesiredError> {
        let malformed = |problem: &dyn ToString| DesiredError::Malformed(problem.to_string());
        let document: DesiredState =
            serde_json::from_str(text).map_err(|error| malformed(&error))?;
        Self::of(document, anchor, known, now)
    }

    /// As [`Desired::read`], of a document that was parsed before.
    ///
    /// # Errors
    /// [`DesiredError`]. What was in force stays so.
    pub fn of(
        document: DesiredState,
        anchor: &Certificate,
        known: Option<u64>,
        now: Timestamp,
    ) -> Result<Self, DesiredError> {
        let malformed = |problem: &dyn ToString| DesiredError::Malformed(problem.to_string());
        if let Some(known) = known
            && document.version < known
        {
            return Err(DesiredError::Older {
                offered: document.version,
                known,
            });
        }
        if document.admitted.len() > MAX_ADMITTED {
            return Err(malformed(&"too many credentials"));
        }
        let mut lists = Vec::new();
        for list in &document.revocation_lists {
            let refused = |problem: &dyn ToString| DesiredError::List(problem.to_string());
            let der = STANDARD.decode(list).map_err(|error| refused(&error))?;
            let list = Crl::from_der(&der).map_err(|error| refused(&error))?;
            // Proved here once, so that a list that cannot help does not replace one that does.
            let proved = list.verify(anchor, now).map_err(|error| refused(&error))?;
            lists.push(proved.into_inner());
        }
        if lists.is_empty() {
            return Err(DesiredError::List("there is none".to_owned()));
        }
        let mut admitted = BTreeMap::new();
        for each in document.admitted {
            let segment = each.segment.as_deref().map(Segment::new).transpose();
            let entry = Entry {
                device: each.device,
                segment: segment.map_err(|error| malformed(&error))?,
                expires_at: each.expires_at,
            };
            admitted.insert(each.credential, entry);
        }
        Ok(Self {
            version: document.version,
            issued_at: document.issued_at,
            admitted,
            lists,
            anchor: anchor.clone(),
        })
    }

    /// What is known about a credential that may come in.
    pub fn admitted(&self, credential: &str) -> Option<&Entry> {
        self.admitted.get(credential)
    }

    /// How many credentials may come in.
    pub fn len(&self) -> usize {
        self.admitted.len()
    }

    /// Whether nobody may come in.
    pub fn is_empty(&self) -> bool {
        self.admitted.is_empty()
    }

    /// Whom to believe in a handshake. Without a fresh list of the CA nobody.
    pub fn trust(&self) -> Trust {
        Trust {
            anchors: Anchors::one(self.anchor.clone()),
            revocation: Revocation::Checked {
                lists: self.lists.clone(),
                unknown_is_fatal: true,
            },
        }
    }
}
