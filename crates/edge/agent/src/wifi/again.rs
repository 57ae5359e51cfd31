//! Reconfiguration: a device that was configured before shows its connector in place of its
//! bootstrapping key, and the controller shows one too (Wi-Fi Easy Connect 3.0 §6.5).
//!
//! 1. [`Before`]: what the device was given, with the key that protects its privacy. A connector that
//!    has ended meanwhile is good enough: a newer one is what the device asks for.
//! 2. [`announce`]: it names the signing key that it trusts, and itself for nobody else to see.
//! 3. [`answer`]: the controller's connector is checked, ours is shown; the controller confirms.

use jiff::Timestamp;
use vouchsafe_dpp::announcement::{EnrolleeIdentity, ReconfigurationAnnouncement};
use vouchsafe_dpp::authentication::Entropy;
use vouchsafe_dpp::configuration::ConnectionStatus;
use vouchsafe_dpp::connector::{CSignPublicKey, Connector, VerifiedConnector};
use vouchsafe_dpp::reconfiguration::{AwaitConfirm, Device};
use vouchsafe_dpp::{BootstrappingPublicKey, Point, PrivateKey, Status};
use vouchsafe_keystore::random;
use vouchsafe_trust::Secret;

use super::WifiError;
use super::configuration::Configuration;

/// What a device was configured with, for the controller that knows it by that.
#[derive(Debug, Clone)]
pub struct Before {
    connector: VerifiedConnector,
    key: PrivateKey,
    c_sign: CSignPublicKey,
    privacy_key: Point,
    ssid: Vec<u8>,
}

impl Before {
    /// Step 1: of the first network that has all that it takes; none when none has.
    pub(crate) fn of(configuration: &Configuration) -> Option<Self> {
        configuration.networks.iter().find_map(|network| {
            let given = network.connector.as_ref()?;
            let privacy_key = point(given.pp_key.as_deref()?)?;
            let c_sign = CSignPublicKey::new(point(&given.csign)?);
            // It was checked when it was given, and by the time of then it is whole.
            let connector = Connector::parse(&given.text)
                .and_then(|text| text.verify(std::slice::from_ref(&c_sign), configuration.at))
                .ok()?;
            let public = &connector.content().net_access_key;
            let scalar = scalar_of(&given.net_access_key)?;
            let key = PrivateKey::from_bytes(public.curve(), scalar.expose()).ok()?;
            connector.check_key(key.public()).ok()?;
            Some(Self {
                connector,
                key,
                c_sign,
                privacy_key,
                ssid: network.ssid.clone(),
            })
        })
    }
}

/// Step 2. Nobody but the controller can tell two announcements of one device from those of two.
pub(crate) fn announce(before: &Before) -> Result<Vec<u8>, WifiError> {
    let seed = || Secret::new(random::bytes::<80>().to_vec());
    let curve = before.privacy_key.curve();
    let identity = EnrolleeIdentity::from_seed(curve, seed().expose())?;
    let announcement = ReconfigurationAnnouncement::new(
        &before.c_sign,
        &before.privacy_key,
        &identity,
        before.key.curve(),
        seed().expose(),
    )?;
    Ok(announcement.write()?)
}

/// Step 3.
pub(crate) fn answer(
    before: &Before,
    request: &[u8],
    now: Timestamp,
) -> Result<(Vec<u8>, AwaitConfirm), WifiError> {
    let device = Device {
        connector: before.connector.clone(),
        key: before.key.clone(),
        c_sign: before.c_sign.clone(),
    };
    let status = ConnectionStatus {
        result: Status::NoAccessPoint,
        ssid: Some(before.ssid.clone()),
        channel_list: None,
    };
    let entropy = Entropy::new(random::bytes());
    Ok(device.answer(request, &status, &entropy, now)?)
}

fn point(spki: &[u8]) -> Option<Point> {
    let key = BootstrappingPublicKey::from_spki_der(spki).ok()?;
    Some(key.point().clone())
}

/// The number in an ECPrivateKey (RFC 5915 §3), DER.
fn scalar_of(key: &Secret) -> Option<Secret> {
    let (tag, rest) = key.expose().split_first()?;
    let (first, rest) = rest.split_first()?;
    let body = match (*tag, *first) {
        (0x30, 0..=0x7f) => rest,
        (0x30, 0x81) => rest.get(1..)?,
        (0x30, 0x82) => rest.get(2..)?,
        _ => return None,
    };
    let (length, rest) = body.strip_prefix(&[2, 1, 1, 4])?.split_first()?;
    let scalar = rest.get(..usize::from(*length))?;
    Some(Secret::new(scalar.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_dpp::Curve;

    #[test]
    fn the_number_of_a_key_comes_back_from_its_der() {
        for curve in Curve::AVAILABLE {
            let key = PrivateKey::from_seed(curve, &[9; 80]).unwrap();
            let scalar = scalar_of(&key.to_sec1_der()).unwrap();
            assert_eq!(scalar.expose(), key.to_bytes().expose(), "{curve}");
        }
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 3, 2, 1, 1],
            &[0x31, 0],
            &[0x30, 0x83, 0],
        ] {
            assert!(scalar_of(&Secret::new(bad.to_vec())).is_none());
        }
    }
}
