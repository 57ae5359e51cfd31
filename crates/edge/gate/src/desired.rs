//! What the controller wants: who may come in, where to, and which lists count.
//!
//! A document has a version. An older one than the gate has seen is refused, so that nobody brings back a
//! device by replaying the state of yesterday. What it says of certificates counts only under the
//! anchor that stands in the gate's own configuration.
//!
//! A difference is read and proved by itself ([`Difference::of`]), and then applied ([`Desired::apply`]) in as
//! many steps as it has entries, however many devices there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use vouchsafe_api::gate::{AdmittedStation, StateDifference};
use vouchsafe_api::{AdmittedCredential, DesiredState};
use vouchsafe_radius::attribute::mac_address;
use vouchsafe_radius::{Segment, Trust};
use vouchsafe_trust::{Anchors, Certificate, Crl, Revocation, RevocationError};

use crate::segment::Segments;

/// Most credentials in a document, and most stations.
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
    /// A list is not the domain CA's.
    #[error("revocation list: {0}")]
    List(String),
    /// A list is no longer valid, or not yet: another time may say otherwise.
    #[error("revocation list: stale or not yet valid")]
    ListTime,
    /// It changes another version than ours.
    #[error("the difference begins at version {from}, and version {ours} is in force")]
    OtherBeginning {
        /// The version that it changes.
        from: u64,
        /// The gate's.
        ours: u64,
    },
}

impl DesiredError {
    /// Stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "state-malformed",
            Self::Older { .. } => "state-older",
            Self::List(_) => "state-list",
            Self::ListTime => "state-list-time",
            Self::OtherBeginning { .. } => "state-difference",
        }
    }

    /// Whether the same document may be good at another time.
    pub fn depends_on_time(&self) -> bool {
        matches!(self, Self::ListTime)
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
    stations: BTreeMap<[u8; 6], Entry>,
    segments: Arc<Segments>,
    lists: Vec<Crl>,
    anchor: Certificate,
}

/// What is known about an admitted credential or station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub device: String,
    /// Where it belongs.
    pub segment: Option<Segment>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A difference whose parts were read and proved.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The version that it changes.
    pub from: u64,
    /// The version that it makes.
    pub to: u64,
    issued_at: Timestamp,
    lists: Option<Vec<Crl>>,
    segments: Option<Arc<Segments>>,
    credentials: Vec<(String, Option<Entry>)>,
    stations: Vec<([u8; 6], Option<Entry>)>,
}

/// What a link brings.
#[derive(Debug, Clone)]
pub enum Update {
    /// Everything anew.
    Whole(Box<Desired>),
    /// What changed.
    Difference(Box<Difference>),
}

/// What a difference changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Credentials that are new, different or gone.
    pub credentials: Vec<String>,
    /// Stations that are new, different or gone.
    pub stations: Vec<[u8; 6]>,
    /// Whether other lists count now: handshakes must be told.
    pub lists: bool,
    /// Whether segments are others now.
    pub segments: bool,
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
        if let Some(known) = known
            && document.version < known
        {
            return Err(DesiredError::Older {
                offered: document.version,
                known,
            });
        }
        if document.admitted.len().max(document.stations.len()) > MAX_ADMITTED {
            return Err(malformed(&"too many credentials or stations"));
        }
        let credentials = document.admitted.into_iter().map(credential);
        let stations = document.stations.into_iter().map(station);
        Ok(Self {
            version: document.version,
            issued_at: document.issued_at,
            lists: prove(&document.revocation_lists, anchor, now)?,
            segments: segments(document.segments)?,
            admitted: credentials.collect::<Result<_, _>>()?,
            stations: stations.collect::<Result<_, _>>()?,
            anchor: anchor.clone(),
        })
    }

    /// Makes this the state that `difference` leads to, in as many steps as that has entries.
    ///
    /// # Errors
    /// It changes another version, or leads to too much. Then nothing changed.
    pub fn apply(&mut self, difference: Difference) -> Result<Changes, DesiredError> {
        if difference.from != self.version {
            return Err(DesiredError::OtherBeginning {
                from: difference.from,
                ours: self.version,
            });
        }
        if length_with(&self.admitted, &difference.credentials) > MAX_ADMITTED
            || length_with(&self.stations, &difference.stations) > MAX_ADMITTED
        {
            return Err(malformed(&"too many credentials or stations"));
        }
        let mut changes = Changes {
            lists: difference.lists.is_some(),
            ..Changes::default()
        };
        self.version = difference.to;
        self.issued_at = difference.issued_at;
        if let Some(lists) = difference.lists {
            self.lists = lists;
        }
        if let Some(segments) = difference.segments {
            changes.segments = *segments != *self.segments;
            self.segments = segments;
        }
        for (credential, entry) in difference.credentials {
            changes.credentials.push(credential.clone());
            match entry {
                Some(entry) => self.admitted.insert(credential, entry),
                None => self.admitted.remove(&credential),
            };
        }
        for (mac, entry) in difference.stations {
            changes.stations.push(mac);
            match entry {
                Some(entry) => self.stations.insert(mac, entry),
                None => self.stations.remove(&mac),
            };
        }
        Ok(changes)
    }

    /// What is known about a credential that may come in.
    pub fn admitted(&self, credential: &str) -> Option<&Entry> {
        self.admitted.get(credential)
    }

    /// What is known about a station that may come in by its MAC address.
    pub fn station(&self, mac: [u8; 6]) -> Option<&Entry> {
        self.stations.get(&mac)
    }

    /// Whether stations may come in by their MAC address.
    pub fn has_stations(&self) -> bool {
        !self.stations.is_empty()
    }

    /// The segments.
    pub fn segments(&self) -> &Arc<Segments> {
        &self.segments
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
        trust(&self.anchor, &self.lists)
    }
}

impl Difference {
    /// Whom to believe in a handshake from now on, if that changes.
    pub fn trust(&self, anchor: &Certificate) -> Option<Trust> {
        Some(trust(anchor, self.lists.as_ref()?))
    }

    /// Reads and proves a difference.
    ///
    /// # Errors
    /// [`DesiredError`]: it leads back, or something in it is not what it should be.
    pub fn of(
        document: StateDifference,
        anchor: &Certificate,
        now: Timestamp,
    ) -> Result<Self, DesiredError> {
        if document.to <= document.from {
            return Err(DesiredError::Older {
                offered: document.to,
                known: document.from,
            });
        }
        // Removals count before additions: what is in both stays.
        let mut credentials: BTreeMap<_, _> = document
            .remove
            .into_iter()
            .map(|gone| (gone, None))
            .collect();
        for put in document.put {
            let (name, entry) = credential(put)?;
            credentials.insert(name, Some(entry));
        }
        let mut stations = BTreeMap::new();
        for gone in document.stations_remove {
            stations.insert(mac(&gone)?, None);
        }
        for put in document.stations_put {
            let (mac, entry) = station(put)?;
            stations.insert(mac, Some(entry));
        }
        let lists = document.revocation_lists;
        let lists = lists.map(|lists| prove(&lists, anchor, now)).transpose()?;
        Ok(Self {
            from: document.from,
            to: document.to,
            issued_at: document.issued_at,
            lists,
            segments: document.segments.map(segments).transpose()?,
            credentials: credentials.into_iter().collect(),
            stations: stations.into_iter().collect(),
        })
    }
}

fn trust(anchor: &Certificate, lists: &[Crl]) -> Trust {
    Trust {
        anchors: Anchors::one(anchor.clone()),
        revocation: Revocation::Checked {
            lists: lists.to_vec(),
            unknown_is_fatal: true,
        },
    }
}

/// How many there are once the changes are made.
fn length_with<K: Ord>(have: &BTreeMap<K, Entry>, changes: &[(K, Option<Entry>)]) -> usize {
    let (mut new, mut gone) = (0, 0);
    for (key, entry) in changes {
        match (have.contains_key(key), entry) {
            (false, Some(_)) => new += 1,
            (true, None) => gone += 1,
            _ => {}
        }
    }
    (have.len() + new).saturating_sub(gone)
}

fn malformed(problem: &dyn ToString) -> DesiredError {
    DesiredError::Malformed(problem.to_string())
}

fn segments(
    definitions: Vec<vouchsafe_api::gate::SegmentDefinition>,
) -> Result<Arc<Segments>, DesiredError> {
    let segments = Segments::read(definitions).map_err(DesiredError::Malformed)?;
    Ok(Arc::new(segments))
}

fn credential(each: AdmittedCredential) -> Result<(String, Entry), DesiredError> {
    let entry = entry(each.device, each.segment.as_deref(), each.expires_at)?;
    Ok((each.credential, entry))
}

fn station(each: AdmittedStation) -> Result<([u8; 6], Entry), DesiredError> {
    let entry = entry(each.device, each.segment.as_deref(), each.expires_at)?;
    Ok((mac(&each.mac)?, entry))
}

fn entry(
    device: String,
    segment: Option<&str>,
    expires_at: Timestamp,
) -> Result<Entry, DesiredError> {
    let segment = segment.map(Segment::new).transpose();
    Ok(Entry {
        device,
        segment: segment.map_err(|error| malformed(&error))?,
        expires_at,
    })
}

/// A group's address, or nobody's, is no station.
fn mac(text: &str) -> Result<[u8; 6], DesiredError> {
    let mac = mac_address(text).filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6]);
    mac.ok_or_else(|| malformed(&format!("`{text}` is no station's MAC address")))
}

/// Proved here once, so that a list that cannot help does not replace one that does.
fn prove(texts: &[String], anchor: &Certificate, now: Timestamp) -> Result<Vec<Crl>, DesiredError> {
    let refused = |problem: &dyn ToString| DesiredError::List(problem.to_string());
    let mut lists = Vec::new();
    for text in texts {
        let der = STANDARD.decode(text).map_err(|error| refused(&error))?;
        let list = Crl::from_der(&der).map_err(|error| refused(&error))?;
        let proved = list.verify(anchor, now).map_err(|error| match error {
            RevocationError::Stale => DesiredError::ListTime,
            error => refused(&error),
        })?;
        lists.push(proved.into_inner());
    }
    if lists.is_empty() {
        return Err(DesiredError::List("there is none".to_owned()));
    }
    Ok(lists)
}
