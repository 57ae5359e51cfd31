//! Certificates of this service's own listeners.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use vouchsafe_keystore::{Algorithm, KeyStore, random};
use vouchsafe_net::Identity;
use vouchsafe_trust::{
    Authority, Certificate, Name, Profile, Signer, SubjectAltName, Validity, oid,
};

use crate::{HomeError, key, read_chain, write_chain};

/// How long a listener's certificate lives; it is renewed by `serve`.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 365);

/// Certificates begin this long before they are made, for clocks that are a little behind.
pub const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// What a listener's certificate is made of.
#[derive(Debug, Clone, Copy)]
pub struct ServerIdentity<'a> {
    /// The data folder; the chain is in `LABEL.pem` of it.
    pub dir: &'a Path,
    /// The key's label.
    pub label: &'static str,
    /// Where the key is.
    pub keys: &'a KeyStore,
    /// What key is made where there is none.
    pub algorithm: Algorithm,
    /// Who signs.
    pub authority: &'a Authority,
    /// The organisation in its name.
    pub organization: &'a str,
    /// The common name in it.
    pub common_name: &'a str,
    /// DNS names and IP addresses by which clients call.
    pub names: &'a [String],
    /// What it is for: a profile for this subject and no names yet.
    pub profile: fn(Name) -> Profile,
    /// The time.
    pub now: Timestamp,
}

/// A listener's identity. Made anew when it is missing, when its names are no longer those of the
/// configuration, or after two thirds of its life. Blocks on files and keys.
///
/// # Errors
/// [`HomeError`], which names the file or the certificate.
pub fn server_identity(wanted: &ServerIdentity<'_>) -> Result<Identity, HomeError> {
    let what = wanted.label;
    let issue = |source| HomeError::Issue { what, source };
    let file = wanted.dir.join(format!("{what}.pem"));
    let signer = key(wanted.keys, what, wanted.algorithm)?;
    let subject = Name::new(&[
        (oid::ORGANIZATION, wanted.organization),
        (oid::COMMON_NAME, wanted.common_name),
    ]);
    let mut profile = (wanted.profile)(subject.map_err(issue)?);
    let names = wanted.names.iter().map(|name| alternative_name(name));
    profile.subject_alt_names = names.collect();
    let chain = match read_chain(&file) {
        Ok(chain) if still_good(&chain, wanted, &profile, &*signer) => chain,
        _ => {
            let authority = wanted.authority;
            let leaf = authority.issue(
                &profile,
                signer.public_key(),
                &random::serial(),
                validity(wanted.now, LIFETIME),
            );
            let mut chain = vec![leaf.map_err(issue)?];
            chain.extend_from_slice(authority.chain());
            write_chain(&file, &chain)?;
            chain
        }
    };
    Identity::new(chain, signer).map_err(|source| HomeError::Identity { what, source })
}

fn still_good(
    chain: &[Certificate],
    wanted: &ServerIdentity<'_>,
    profile: &Profile,
    signer: &dyn Signer,
) -> bool {
    let Some(leaf) = chain.first() else {
        return false;
    };
    let issuer = wanted.authority.certificate();
    leaf.public_key() == signer.public_key()
        && leaf.verify_signature(issuer.public_key()).is_ok()
        && leaf
            .subject_alt_names()
            .is_ok_and(|names| names == profile.subject_alt_names)
        && wanted.now < renewal_time(leaf)
}

/// When a certificate should be renewed: after two thirds of its life.
#[must_use]
pub fn renewal_time(certificate: &Certificate) -> Timestamp {
    let begin = certificate.not_before();
    let life = certificate.not_after().duration_since(begin);
    let two_thirds = Duration::try_from(life).unwrap_or_default() / 3 * 2;
    begin.saturating_add(two_thirds).unwrap_or(Timestamp::MAX)
}

/// From a little before `now` for `lifetime`.
#[must_use]
pub fn validity(now: Timestamp, lifetime: SignedDuration) -> Validity {
    let not_before = now.saturating_sub(BACKDATE).unwrap_or(now);
    let not_after = now.saturating_add(lifetime).unwrap_or(Timestamp::MAX);
    Validity::new(not_before, not_after)
}

fn alternative_name(name: &str) -> SubjectAltName {
    match name.parse() {
        Ok(IpAddr::V4(address)) => SubjectAltName::Ip(address.octets().to_vec()),
        Ok(IpAddr::V6(address)) => SubjectAltName::Ip(address.octets().to_vec()),
        Err(_) => SubjectAltName::Dns(name.to_owned()),
    }
}
