//! From the objects of an offer to what the device keeps.

use jiff::Timestamp;
use vouchsafe_dpp::object::ConfigurationObject;
use vouchsafe_dpp::{BootstrappingPublicKey, Point};
use vouchsafe_trust::Secret;

use super::configuration::{Certificate, Configuration, Connector, MAX_NETWORKS, Network};
use super::enrollee::Offer;
use super::{UnusableConfiguration, WifiError, certificate};

/// What an offer gives, with the secrets that the device brought itself.
pub(crate) fn configuration(
    offer: &Offer,
    from: &str,
    now: Timestamp,
) -> Result<Configuration, WifiError> {
    let authenticated = offer.authenticated();
    let mut networks = Vec::new();
    for object in offer.objects().iter().take(MAX_NETWORKS) {
        networks.push(network(object, offer, now)?);
    }
    Ok(Configuration {
        at: now,
        from: from.to_owned(),
        mutual: authenticated.mutual(),
        version: authenticated.version(),
        networks,
    })
}

fn network(
    object: &ConfigurationObject,
    offer: &Offer,
    now: Timestamp,
) -> Result<Network, WifiError> {
    let own = offer.authenticated().own_protocol_key();
    let credential = &object.credential;
    let connector = match credential.connector() {
        None => None,
        Some(given) => {
            let verified = given.verify(own.public(), now)?;
            Some(Connector {
                text: given.connector.as_str().to_owned(),
                csign: public_key(given.c_sign.point()),
                pp_key: given.privacy_key.as_ref().map(public_key),
                net_access_key: own.to_sec1_der(),
                expires: verified.content().expiry,
            })
        }
    };
    let certificate = match (credential.enterprise(), offer.certificate_key()) {
        (None, _) => None,
        (Some(_), None) => return Err(UnusableConfiguration::OtherKey.into()),
        (Some(given), Some(key)) => Some(Certificate {
            chain: certificate::chain_of(&given.certificate_bag)?,
            key: key.clone(),
            server_ca: given
                .ca_certificate
                .as_deref()
                .map(certificate::authority_of)
                .transpose()?,
            server_name: given.trusted_server_name.clone(),
        }),
    };
    let password = credential.password();
    let text = password.and_then(|password| password.expose_text());
    let psk = password.and_then(|password| password.expose_psk());
    let network = Network {
        ssid: object.ssid.octets().to_vec(),
        akm: credential.akm().name().to_owned(),
        passphrase: text.map(|text| Secret::new(text.as_bytes().to_vec())),
        identifier: password.and_then(|password| password.identifier().map(str::to_owned)),
        psk: psk.map(|psk| Secret::new(psk.to_vec())),
        connector,
        certificate,
    };
    network.check()?;
    Ok(network)
}

/// SubjectPublicKeyInfo with compressed point, DER: what supplicants take.
fn public_key(point: &Point) -> Vec<u8> {
    BootstrappingPublicKey::new(point.clone()).spki_der()
}
