//! Does this chain lead to an anchor that the caller names, and may the leaf be used so?
//!
//! 1. From the leaf, look for an issuer among the anchors, then among the certificates at hand,
//!    by name and key identifier (RFC 5280 §6.1.3 (a)(4)).
//! 2. A candidate must be allowed to issue: basicConstraints, keyUsage, pathLenConstraint,
//!    validity, no critical extension that we do not know (§6.1.4 (k)–(o)).
//! 3. The signature of the one below must verify under its key (§6.1.3 (a)(1)).
//! 4. Back out of dead ends, within a budget of signature checks, to at most
//!    [`MAX_PATH_LENGTH`] certificates.
//! 5. Ask the revocation lists that the rules carry (§6.3.3).
//! 6. Judge the leaf last, so that a stranger's certificate is first of all a stranger's (§6.1.5).
//!
//! Anchors are whole certificates and are held to the same rules as intermediates, except that
//! nobody verifies their own signature, and that version 1 anchors stand for name and key alone.
//! Stricter than RFC 5280: names match byte for byte, nameConstraints are refused, and so are
//! certification authorities used as end entities.

use jiff::Timestamp;

use crate::certificate::{Certificate, KeyUsage};
use crate::error::{ParseError, PathError};
use crate::oid::{self, Oid};
use crate::revocation::Revocation;
use crate::verified::Verified;

/// Most certificates in a path, leaf and anchor included.
pub const MAX_PATH_LENGTH: usize = 8;

/// Most intermediate certificates that a peer may offer.
pub const MAX_INTERMEDIATES: usize = 32;

/// Most signatures that are checked for one path.
pub const SIGNATURE_BUDGET: usize = 24;

/// Certificates that the caller trusts. Never empty: nothing means "trust anybody".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchors(Vec<Certificate>);

impl Anchors {
    /// The anchors; at least one, else [`PathError::NoAnchors`].
    pub fn new(certificates: Vec<Certificate>) -> Result<Self, PathError> {
        if certificates.is_empty() {
            return Err(PathError::NoAnchors);
        }
        Ok(Self(certificates))
    }

    /// A single anchor.
    pub fn one(certificate: Certificate) -> Self {
        Self(vec![certificate])
    }

    /// The certificates, at least one.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }
}

/// What the leaf is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// To sign, for no purpose that extKeyUsage would have to name.
    Any,
    /// TLS server: serverAuth, if extKeyUsage is present.
    TlsServer,
    /// TLS client: clientAuth, if extKeyUsage is present.
    TlsClient,
    /// Registrar: cmcRA, which must be present (RFC 8995 §5.5.4, RFC 7030 §3.6.1).
    Registrar,
    /// OCSP responder: OCSPSigning, which must be present (RFC 6960 §4.2.2.2).
    OcspSigning,
    /// Certification authority: must be one.
    CertificateAuthority,
}

/// How forgiving the check is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything, as the module page says.
    Strict,
    /// For device identities as they are in the field: extKeyUsage is not looked at, the leaf may
    /// carry the CA flag, and the manufacturer's rules may forgive more.
    Idevid(IdevidRules),
}

/// What to forgive the identities of one manufacturer. The default forgives nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdevidRules {
    /// Ignore notAfter along the whole path (RFC 8995 §2.6.2).
    pub ignore_expiry: bool,
    /// Accept leaves of X.509 version 1.
    pub allow_v1: bool,
    /// Critical extensions to pass over although they are not understood.
    pub allow_unknown_critical: Vec<Oid>,
}

/// By which rules a path is judged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PathRules {
    /// The instant for which the path must be valid.
    pub at: Timestamp,
    /// What the leaf is to be used for.
    pub usage: Usage,
    /// How forgiving the check is.
    pub mode: Mode,
    /// What is known about revocation.
    pub revocation: Revocation,
}

impl PathRules {
    /// Strict rules, revocation not checked.
    pub fn strict(at: Timestamp, usage: Usage) -> Self {
        Self {
            at,
            usage,
            mode: Mode::Strict,
            revocation: Revocation::NotChecked,
        }
    }

    /// Rules for device identities; usage [`Usage::Any`], revocation not checked.
    pub fn idevid(at: Timestamp, rules: IdevidRules) -> Self {
        Self {
            at,
            usage: Usage::Any,
            mode: Mode::Idevid(rules),
            revocation: Revocation::NotChecked,
        }
    }

    /// The same rules with revocation checked.
    #[must_use]
    pub fn with_revocation(mut self, revocation: Revocation) -> Self {
        self.revocation = revocation;
        self
    }

    fn idevid_rules(&self) -> Option<&IdevidRules> {
        match &self.mode {
            Mode::Strict => None,
            Mode::Idevid(rules) => Some(rules),
        }
    }
}

/// A path from a leaf to an anchor; a single certificate when the leaf is itself an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Certificate>);

impl Path {
    /// Leaf first, anchor last.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// The certificate that was judged.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.0.first()
    }

    /// The anchor that the path ends in.
    pub fn anchor(&self) -> Option<&Certificate> {
        self.0.last()
    }
}

/// Finds and checks a path from `leaf` over `intermediates` (any order, strangers among them are
/// ignored) to one of `anchors`. `depth` in errors counts from the leaf, which is 0.
pub fn verify_path(
    leaf: &Certificate,
    intermediates: &[Certificate],
    anchors: &Anchors,
    rules: &PathRules,
) -> Result<Verified<Path>, PathError> {
    if intermediates.len() > MAX_INTERMEDIATES {
        return Err(PathError::TooManyCertificates {
            limit: MAX_INTERMEDIATES,
        });
    }
    let mut search = Search {
        intermediates,
        anchors,
        rules,
        signatures: 0,
        best_error: None,
    };
    let mut path = vec![leaf.clone()];
    if !anchors.certificates().contains(leaf) && !search.extend(&mut path)? {
        return Err(search
            .best_error
            .unwrap_or(PathError::UnknownIssuer { depth: 0 }));
    }
    check_leaf(leaf, path.len() == 1, rules)?;
    Ok(Verified::new(Path(path)))
}

struct Search<'a> {
    intermediates: &'a [Certificate],
    anchors: &'a Anchors,
    rules: &'a PathRules,
    signatures: usize,
    /// The first thing found wrong with a candidate, for when there is no other way.
    best_error: Option<PathError>,
}

impl Search<'_> {
    /// Steps 1 to 5 from the last certificate of `path`; true when an anchor was reached.
    /// An error ends the whole search.
    fn extend(&mut self, path: &mut Vec<Certificate>) -> Result<bool, PathError> {
        let depth = path.len() - 1;
        let Some(current) = path.last().cloned() else {
            return Ok(false);
        };
        let (anchors, intermediates) = (self.anchors, self.intermediates);
        let trusted = anchors.certificates().iter().map(|anchor| (anchor, true));
        let offered = intermediates.iter().map(|offer| (offer, false));
        let mut found_issuer = false;
        for (issuer, is_anchor) in trusted.chain(offered) {
            // A certificate that came up before would make a loop.
            if !may_have_issued(issuer, &current) || path.contains(issuer) {
                continue;
            }
            found_issuer = true;
            if path.len() >= MAX_PATH_LENGTH {
                self.note(PathError::TooLong {
                    limit: MAX_PATH_LENGTH,
                });
                continue;
            }
            if let Err(error) = self.check_link(path, &current, issuer, is_anchor) {
                if matches!(error, PathError::SignatureBudget { .. }) {
                    return Err(error);
                }
                // Another certificate of the issuer's key may sign no lists; that takes nothing back.
                let is_revoked = matches!(error, PathError::Revoked { .. });
                self.note(error);
                if is_revoked {
                    return Ok(false);
                }
                continue;
            }
            path.push(issuer.clone());
            if is_anchor || self.extend(path)? {
                return Ok(true);
            }
            path.pop();
        }
        if !found_issuer && depth > 0 {
            self.note(PathError::UnknownIssuer { depth });
        }
        Ok(false)
    }

    fn note(&mut self, error: PathError) {
        self.best_error.get_or_insert(error);
    }

    fn check_link(
        &mut self,
        path: &[Certificate],
        current: &Certificate,
        issuer: &Certificate,
        is_anchor: bool,
    ) -> Result<(), PathError> {
        let depth = path.len();
        check_issuer(issuer, path, is_anchor, self.rules)?;
        if self.signatures >= SIGNATURE_BUDGET {
            return Err(PathError::SignatureBudget {
                limit: SIGNATURE_BUDGET,
            });
        }
        self.signatures += 1;
        // RFC 5280 §6.1.3 (a)(1)
        current
            .verify_signature(issuer.public_key())
            .map_err(|reason| PathError::Signature {
                depth: depth - 1,
                reason,
            })?;
        self.check_revocation(current, issuer, depth - 1)
    }

    /// RFC 5280 §6.3.3, for the lists that are at hand.
    fn check_revocation(
        &mut self,
        certificate: &Certificate,
        issuer: &Certificate,
        depth: usize,
    ) -> Result<(), PathError> {
        let Revocation::Checked {
            lists,
            unknown_is_fatal,
        } = &self.rules.revocation
        else {
            return Ok(());
        };
        let mut covered = false;
        for list in lists
            .iter()
            .filter(|list| list.issuer() == issuer.subject())
        {
            if self.signatures >= SIGNATURE_BUDGET {
                return Err(PathError::SignatureBudget {
                    limit: SIGNATURE_BUDGET,
                });
            }
            self.signatures += 1;
            if list.this_update() > self.rules.at || list.check_origin(issuer).is_err() {
                continue;
            }
            // A list that has aged clears nobody; what it revoked stays revoked.
            if list.entry(certificate.serial()).is_some() {
                return Err(PathError::Revoked { depth });
            }
            covered |= list.is_fresh(self.rules.at);
        }
        if covered || !unknown_is_fatal {
            Ok(())
        } else {
            Err(PathError::RevocationUnknown { depth })
        }
    }
}

/// RFC 5280 §6.1.3 (a)(4): names chain. Key identifiers, where both are present, narrow the choice
/// (§4.2.1.1).
fn may_have_issued(issuer: &Certificate, subject: &Certificate) -> bool {
    issuer.subject() == subject.issuer()
        && match (subject.authority_key_identifier(), issuer.key_identifier()) {
            (Some(wanted), Some(offered)) => wanted == offered,
            _ => true,
        }
}

/// May `issuer` stand above the certificates of `path`? RFC 5280 §6.1.4 (k)–(o).
fn check_issuer(
    issuer: &Certificate,
    path: &[Certificate],
    is_anchor: bool,
    rules: &PathRules,
) -> Result<(), PathError> {
    let depth = path.len();
    issuer
        .public_key()
        .check()
        .map_err(|reason| PathError::Key { depth, reason })?;
    check_validity(issuer, depth, rules)?;
    if issuer.version() < 3 {
        // RFC 5280 §6.1.1 (d): an anchor is a name and a key; version 1 can say no more.
        return if is_anchor {
            Ok(())
        } else {
            Err(PathError::Version { depth })
        };
    }
    check_critical_extensions(issuer, depth, rules)?;
    // §6.1.4 (k)
    let constraints = issuer
        .basic_constraints()
        .map_err(malformed(depth, oid::BASIC_CONSTRAINTS))?
        .unwrap_or_default();
    if !constraints.ca {
        return Err(PathError::NotACertificateAuthority { depth });
    }
    // §6.1.4 (l)–(m): self-issued certificates do not count, the leaf neither.
    if let Some(limit) = constraints.path_length {
        let between = path
            .iter()
            .skip(1)
            .filter(|certificate| !certificate.is_self_issued())
            .count();
        if u32::try_from(between).unwrap_or(u32::MAX) > limit {
            return Err(PathError::PathLength { depth });
        }
    }
    // §6.1.4 (n)
    check_key_usage(issuer, KeyUsage::KEY_CERT_SIGN, depth)?;
    // §4.2.1.12: purposes of an authority, where stated, limit those of its subjects.
    match rules.mode {
        Mode::Strict => check_purpose(issuer, rules.usage, false, depth),
        Mode::Idevid(_) => Ok(()),
    }
}

/// RFC 5280 §6.1.5, and what the usage asks for.
fn check_leaf(leaf: &Certificate, is_anchor: bool, rules: &PathRules) -> Result<(), PathError> {
    let depth = 0;
    let idevid = rules.idevid_rules();
    leaf.public_key()
        .check()
        .map_err(|reason| PathError::Key { depth, reason })?;
    check_validity(leaf, depth, rules)?;
    if leaf.version() < 3 && !idevid.is_some_and(|rules| rules.allow_v1) {
        return Err(PathError::Version { depth });
    }
    check_critical_extensions(leaf, depth, rules)?;
    let is_ca = leaf
        .basic_constraints()
        .map_err(malformed(depth, oid::BASIC_CONSTRAINTS))?
        .unwrap_or_default()
        .ca;
    if rules.usage == Usage::CertificateAuthority {
        if !is_ca {
            return Err(PathError::NotACertificateAuthority { depth });
        }
        return check_key_usage(leaf, KeyUsage::KEY_CERT_SIGN, depth);
    }
    // An authority's key signs certificates and nothing else, unless it was pinned for more.
    if is_ca && !is_anchor && idevid.is_none() {
        return Err(PathError::AuthorityAsEndEntity { depth });
    }
    check_key_usage(leaf, KeyUsage::DIGITAL_SIGNATURE, depth)?;
    match rules.mode {
        Mode::Strict => check_purpose(leaf, rules.usage, true, depth),
        Mode::Idevid(_) => Ok(()),
    }
}

/// RFC 5280 §6.1.3 (a)(2)
fn check_validity(
    certificate: &Certificate,
    depth: usize,
    rules: &PathRules,
) -> Result<(), PathError> {
    if rules.at < certificate.not_before() {
        return Err(PathError::NotYetValid { depth });
    }
    // notAfter is inclusive and counts whole seconds (§4.1.2.5).
    let expired = rules.at.as_second() > certificate.not_after().as_second();
    if expired
        && !rules
            .idevid_rules()
            .is_some_and(|rules| rules.ignore_expiry)
    {
        return Err(PathError::Expired { depth });
    }
    Ok(())
}

/// RFC 5280 §4.2: a critical extension that is not processed refuses the certificate.
fn check_critical_extensions(
    certificate: &Certificate,
    depth: usize,
    rules: &PathRules,
) -> Result<(), PathError> {
    for extension in certificate.extensions() {
        let allowed = rules
            .idevid_rules()
            .is_some_and(|rules| rules.allow_unknown_critical.contains(&extension.oid));
        match extension.oid {
            _ if allowed => {}
            // §4.2.1.10: to pass over a constraint, critical or not, would widen trust.
            oid::NAME_CONSTRAINTS => return Err(PathError::NameConstraints { depth }),
            oid::BASIC_CONSTRAINTS
            | oid::KEY_USAGE
            | oid::EXTENDED_KEY_USAGE
            | oid::SUBJECT_ALT_NAME
            // §6.1.1 (c): any policy will do, so the policy tree cannot become empty.
            | oid::CERTIFICATE_POLICIES
            | oid::SUBJECT_KEY_IDENTIFIER
            | oid::AUTHORITY_KEY_IDENTIFIER => {}
            extension_oid if extension.critical => {
                return Err(PathError::UnknownCriticalExtension {
                    depth,
                    extension: extension_oid,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// RFC 5280 §4.2.1.3: if present, keyUsage must allow what is done with the key.
fn check_key_usage(
    certificate: &Certificate,
    needed: KeyUsage,
    depth: usize,
) -> Result<(), PathError> {
    match certificate.key_usage() {
        Ok(Some(usage)) if !usage.contains(needed) => Err(PathError::KeyUsage { depth }),
        Ok(_) => Ok(()),
        Err(error) => Err(malformed(depth, oid::KEY_USAGE)(error)),
    }
}

/// RFC 5280 §4.2.1.12: if present, extKeyUsage must contain the purpose or anyExtendedKeyUsage.
fn check_purpose(
    certificate: &Certificate,
    usage: Usage,
    is_leaf: bool,
    depth: usize,
) -> Result<(), PathError> {
    let (purpose, must_be_named) = match usage {
        Usage::Any | Usage::CertificateAuthority => return Ok(()),
        Usage::TlsServer => (oid::SERVER_AUTH, false),
        Usage::TlsClient => (oid::CLIENT_AUTH, false),
        Usage::Registrar => (oid::CMC_RA, true),
        Usage::OcspSigning => (oid::OCSP_SIGNING, true),
    };
    let allowed = match certificate
        .extended_key_usages()
        .map_err(malformed(depth, oid::EXTENDED_KEY_USAGE))?
    {
        None => !(must_be_named && is_leaf),
        Some(purposes) => {
            purposes.contains(&purpose)
                || (!(must_be_named && is_leaf) && purposes.contains(&oid::ANY_EXTENDED_KEY_USAGE))
        }
    };
    if allowed {
        Ok(())
    } else {
        Err(PathError::ExtendedKeyUsage { depth })
    }
}

fn malformed(depth: usize, extension: Oid) -> impl FnOnce(ParseError) -> PathError {
    move |_| PathError::MalformedExtension { depth, extension }
}
