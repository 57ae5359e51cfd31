//! The certificates of an enterprise network (Wi-Fi Easy Connect 3.0 §4.5.4): `certBag` is a CMS
//! message of certificates only, `caCert` one certificate.

use vouchsafe_trust::{Certificate, cms};

use super::UnusableConfiguration;
use crate::birth::pem;

/// The most certificates of a bag.
const MAX_CERTIFICATES: usize = 16;

/// The certificates of a bag, PEM, leaf first.
pub(crate) fn chain_of(bag: &[u8]) -> Result<String, UnusableConfiguration> {
    let unreadable = |_| UnusableConfiguration::Certificates;
    let mut certificates = cms::parse_certs_only(bag).map_err(unreadable)?;
    certificates.truncate(MAX_CERTIFICATES);
    if certificates.is_empty() {
        return Err(UnusableConfiguration::Certificates);
    }
    // The device's own certificate is the one that is no authority's.
    certificates.sort_by_key(Certificate::is_ca);
    Ok(pem(&certificates))
}

/// The authority of the authentication server, PEM.
pub(crate) fn authority_of(der: &[u8]) -> Result<String, UnusableConfiguration> {
    let certificate =
        Certificate::from_der(der).map_err(|_| UnusableConfiguration::Certificates)?;
    Ok(certificate.pem())
}
