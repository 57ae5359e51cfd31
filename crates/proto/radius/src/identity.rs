//! Does the identity that a peer announced fit the certificate that it proved?

use vouchsafe_trust::{Certificate, SubjectAltName};

use crate::error::Refusal;

/// The identity is sent before anything is proved, so it decides nothing (RFC 5216 §5.2). But one that
/// names somebody else is a lie, and ends up in logs and in other people's routing: refused.
///
/// Accepted are anonymous ones (`@realm`, `anonymous`, `anonymous@realm`, nothing; RFC 9190 §2.1.8), and
/// the names of the certificate: common name, serial number, DNS names, URIs, mail addresses; with or
/// without `@realm`, and behind `host/` as some systems write machines.
pub fn check_identity(identity: &str, certificate: &Certificate) -> Result<(), Refusal> {
    let local = identity
        .rsplit_once('@')
        .map_or(identity, |(local, _)| local);
    if local.is_empty() || local.eq_ignore_ascii_case("anonymous") {
        return Ok(());
    }
    let whole = identity.strip_prefix("host/").unwrap_or(identity);
    let local = local.strip_prefix("host/").unwrap_or(local);
    let fits = |name: &str| name.eq_ignore_ascii_case(whole) || name.eq_ignore_ascii_case(local);
    let subject = [
        certificate.common_name(),
        certificate.subject_serial_number(),
    ];
    if subject.into_iter().flatten().any(fits) {
        return Ok(());
    }
    let alternatives = certificate.subject_alt_names().unwrap_or_default();
    let named = alternatives.iter().any(|name| match name {
        SubjectAltName::Dns(name) | SubjectAltName::Uri(name) | SubjectAltName::Email(name) => {
            fits(name)
        }
        _ => false,
    });
    if named {
        Ok(())
    } else {
        Err(Refusal::IdentityMismatch)
    }
}
