//! The manufacturers known here, parsed once and looked up for every connection.
//!
//! A snapshot is replaced as a whole when a manufacturer changes, so a handler works with one
//! state of things from its first step to its last.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use vouchsafe_brski::idevid;
use vouchsafe_fleet::{Manufacturer, ManufacturerId, ManufacturerTrust};
use vouchsafe_net::{
    Connector, ConnectorOptions, Pool, PoolLimits, ReloadableIdentity, ServerTrust,
};
use vouchsafe_trust::{Anchors, Certificate, IdevidRules, Oid, Path, Verified};

use crate::config::MasaConfig;

/// Manufacturers with the same name in their anchor that are tried for one certificate.
const MAX_NAMESAKES: usize = 4;

/// A manufacturer with its certificates parsed and a pool of connections to its MASA.
#[derive(Debug)]
pub struct KnownManufacturer {
    /// As stored.
    pub record: Manufacturer,
    /// Trust anchors of its IDevIDs.
    pub anchors: Anchors,
    /// Accepted departures in its IDevIDs.
    pub idevid_rules: IdevidRules,
    /// Connections to its MASA, trusted by its MASA anchors alone; none without such anchors.
    pub masa: Option<Pool>,
}

/// All manufacturers at one moment.
#[derive(Debug, Default)]
pub struct Catalogue {
    by_id: BTreeMap<ManufacturerId, Arc<KnownManufacturer>>,
    /// By the subject (DER) of each anchor: what the top of a device's chain names as its issuer.
    by_anchor_subject: BTreeMap<Vec<u8>, Vec<ManufacturerId>>,
}

/// The current catalogue. Cheap to clone; all clones see a replacement.
#[derive(Debug, Clone, Default)]
pub struct Manufacturers(Arc<RwLock<Arc<Catalogue>>>);

impl Manufacturers {
    /// The state of things now.
    pub fn current(&self) -> Arc<Catalogue> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another state in force. Pools of manufacturers that did not change live on. Says whether one
    /// that was here before is trusted otherwise now.
    pub fn replace(
        &self,
        mut records: Vec<Manufacturer>,
        identity: &ReloadableIdentity,
        config: &MasaConfig,
    ) -> bool {
        let before = self.current();
        let mut catalogue = Catalogue::default();
        let mut otherwise = false;
        // Those that a person decided on come first: anybody can show a certificate with a known
        // name, and only so many candidates are tried.
        records.sort_by_key(|record| {
            matches!(
                record.trust,
                ManufacturerTrust::Unknown | ManufacturerTrust::Seen
            )
        });
        for record in records {
            let known = before.by_id.get(&record.id);
            otherwise |= known.is_some_and(|known| known.record.trust != record.trust);
            let known = match known {
                Some(known) if known.record == record => Arc::clone(known),
                _ => match KnownManufacturer::parse(record, identity, config) {
                    Some(known) => Arc::new(known),
                    None => continue,
                },
            };
            for anchor in known.anchors.certificates() {
                let subject = anchor.subject().der().to_vec();
                catalogue
                    .by_anchor_subject
                    .entry(subject)
                    .or_default()
                    .push(known.record.id);
            }
            catalogue.by_id.insert(known.record.id, known);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalogue);
        otherwise
    }
}

impl Catalogue {
    /// The manufacturer of this name.
    pub fn manufacturer(&self, id: ManufacturerId) -> Option<&Arc<KnownManufacturer>> {
        self.by_id.get(&id)
    }

    /// The manufacturer to whose anchors a device's chain leads, and the proved path (RFC 8995
    /// §5.3). The first error is told when there are candidates by name and none proves.
    ///
    /// # Errors
    /// The path error of the last candidate, or `None` when no anchor has the name that the chain asks for.
    pub fn prove(
        &self,
        chain: &[Certificate],
        now: Timestamp,
    ) -> Result<(&Arc<KnownManufacturer>, Verified<Path>), Option<vouchsafe_brski::Error>> {
        let mut refused = None;
        // A device may send its root along or not, so every name in the chain may be an anchor's.
        for certificate in chain {
            let named = self.by_anchor_subject.get(certificate.issuer().der());
            for id in named.into_iter().flatten().take(MAX_NAMESAKES) {
                let Some(known) = self.by_id.get(id) else {
                    continue;
                };
                let rules = &known.idevid_rules;
                match idevid::verify_device_chain(chain, &known.anchors, rules, now) {
                    Ok(path) => return Ok((known, path)),
                    Err(error) => refused = Some(error),
                }
            }
        }
        Err(refused)
    }
}

impl KnownManufacturer {
    /// `None` when an anchor cannot be read: such a record is as good as none, and its devices
    /// are refused as unknown.
    fn parse(
        record: Manufacturer,
        identity: &ReloadableIdentity,
        config: &MasaConfig,
    ) -> Option<Self> {
        let Some(anchors) = anchors(&record.anchors) else {
            tracing::error!(manufacturer = %record.id, "its trust anchors cannot be read");
            return None;
        };
        let masa = anchors_of_masa(&record).map(|trusted| {
            let mut options = ConnectorOptions::new(ServerTrust::Anchors(trusted))
                .with_identity(identity.clone());
            options.response_timeout = config.timeout.duration();
            options.response_bytes = vouchsafe_brski::MAX_MESSAGE_LEN;
            let limits = PoolLimits {
                connections_per_origin: config.connections,
                ..PoolLimits::default()
            };
            Pool::new(Connector::new(options), limits)
        });
        let rules = &record.idevid_rules;
        let idevid_rules = IdevidRules {
            ignore_expiry: rules.ignore_expiry,
            allow_v1: rules.allow_v1,
            allow_unknown_critical: rules
                .allow_unknown_critical
                .iter()
                .filter_map(|text| Oid::new(text).ok())
                .collect(),
        };
        Some(Self {
            anchors,
            masa,
            idevid_rules,
            record,
        })
    }
}

fn anchors_of_masa(record: &Manufacturer) -> Option<Anchors> {
    anchors(&record.masa_anchors)
}

fn anchors(certificates: &[Vec<u8>]) -> Option<Anchors> {
    let parsed: Result<Vec<_>, _> = certificates
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect();
    Anchors::new(parsed.ok()?).ok()
}
