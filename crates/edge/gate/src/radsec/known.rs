//! Which client a certificate belongs to.

use std::path::Path;

use jiff::Timestamp;
use vouchsafe_trust::{
    Anchors, Certificate, PathRules, Revocation, SubjectAltName, Usage, oid, verify_path,
};

use super::config::{RadsecClientConfig, fingerprint};
use crate::config::read_text;
use crate::error::GateError;
use crate::lanes::Lanes;

/// Largest file with an authority that is read, in octets.
const MAX_ANCHOR_FILE: u64 = 1024 * 1024;

/// The RadSec clients with their numbers.
pub(crate) struct Known(Vec<(u32, Mark)>);

/// By what a client is known.
enum Mark {
    /// This very certificate.
    Certificate([u8; 32]),
    /// A name in a certificate under this authority; under the domain CA without.
    Host {
        name: String,
        anchor: Option<Certificate>,
    },
}

impl Known {
    /// Clients are numbered from `first` on.
    pub(crate) fn read(configs: &[RadsecClientConfig], first: u32) -> Result<Self, GateError> {
        let mark = |config: &RadsecClientConfig| {
            if let Some(certificate) = config.certificate.as_deref().and_then(fingerprint) {
                return Ok(Mark::Certificate(certificate));
            }
            Ok(Mark::Host {
                name: config.host.clone().unwrap_or_default(),
                anchor: config.anchor.as_deref().map(read_anchor).transpose()?,
            })
        };
        let marks: Vec<Mark> = configs.iter().map(mark).collect::<Result<_, GateError>>()?;
        Ok(Self((first..).zip(marks).collect()))
    }

    /// Whose chain this is; otherwise why it is nobody's. The key of its first certificate is proved.
    pub(crate) fn who(
        &self,
        chain: &[Certificate],
        lanes: &Lanes,
        now: Timestamp,
    ) -> Result<u32, &'static str> {
        let (leaf, others) = chain.split_first().ok_or("no-certificate")?;
        let fits = |mark: &Mark| match mark {
            Mark::Certificate(fingerprint) => {
                leaf.fingerprint_sha256() == *fingerprint
                    && leaf.not_before() <= now
                    && now <= leaf.not_after()
            }
            Mark::Host { name, anchor } => {
                is_named(leaf, name)
                    && match anchor {
                        Some(anchor) => {
                            let anchors = Anchors::one(anchor.clone());
                            is_vouched_for(leaf, others, &anchors, Revocation::NotChecked, now)
                        }
                        None => {
                            let trust = lanes.trust();
                            is_no_device(leaf)
                                && is_vouched_for(
                                    leaf,
                                    others,
                                    &trust.anchors,
                                    trust.revocation.clone(),
                                    now,
                                )
                        }
                    }
            }
        };
        let found = self.0.iter().find(|(_, mark)| fits(mark));
        found
            .map(|(number, _)| *number)
            .ok_or("radsec-client-unknown")
    }
}

/// Certificates of devices lead to the domain CA too, and never name servers.
fn is_no_device(leaf: &Certificate) -> bool {
    let usages = leaf.extended_key_usages().ok().flatten();
    usages.is_some_and(|usages| usages.contains(&oid::SERVER_AUTH))
}

/// RFC 6614 §2.3: the name stands in the certificate.
fn is_named(leaf: &Certificate, name: &str) -> bool {
    let alternatives = leaf.subject_alt_names().unwrap_or_default();
    let named = alternatives
        .iter()
        .any(|each| matches!(each, SubjectAltName::Dns(found) if found.eq_ignore_ascii_case(name)));
    named
        || leaf
            .common_name()
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
}

fn is_vouched_for(
    leaf: &Certificate,
    others: &[Certificate],
    anchors: &Anchors,
    revocation: Revocation,
    now: Timestamp,
) -> bool {
    let rules = PathRules::strict(now, Usage::TlsClient).with_revocation(revocation);
    verify_path(leaf, others, anchors, &rules).is_ok()
}

fn read_anchor(path: &Path) -> Result<Certificate, GateError> {
    let text = read_text(path, MAX_ANCHOR_FILE)?;
    Certificate::from_pem(&text).map_err(|error| GateError::content(path, error))
}
