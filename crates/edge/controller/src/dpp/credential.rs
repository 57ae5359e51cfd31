//! What a device is given: its own connector, passphrase or certificate, as the network asks for.
//!
//! Everything is made under a permit and thrown away if the commit fails. A passphrase is in the
//! message to the device and, sealed, in the store; nowhere else.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use vouchsafe_dpp::connector::{ConnectorContent, Group};
use vouchsafe_dpp::object::{
    Akm, CAPABILITY_SAE_PASSWORD_IDENTIFIER, ConfigurationObject, ConnectorCredential, Credential,
    CredentialParts, EnterpriseCredential, NetRole, Password, Ssid,
};
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{BootstrappingPublicKey, Error, Misuse, Point};
use vouchsafe_fleet::decide::wifi::{ConfigurePermit, IssuedAccess};
use vouchsafe_fleet::wifi::{DeviceRole, Network, NetworkCredential, SealedPassphrase};
use vouchsafe_fleet::{CredentialId, DeviceId, Digest, Reason};
use vouchsafe_keystore::random;
use vouchsafe_store::KeyFilter;
use vouchsafe_trust::{Certificate, CertificateRequest, Verified};

use super::failure::Failure;
use super::keys::Ring;
use super::passphrase::Passphrase;
use crate::controller::{Controller, Fault};
use crate::issue;

/// Bootstrapping keys of one device that are looked through for its address.
const MAX_KEYS: u32 = 16;

/// What an authenticated device brings along.
#[derive(Debug)]
pub(super) struct Asked {
    /// Its protocol key, which becomes its `netAccessKey`.
    pub(super) net_access_key: Point,
    /// The protocol version that both speak.
    pub(super) version: u8,
    /// The capability bits of its request.
    pub(super) capabilities: u32,
    /// Its address, where its URI has it.
    pub(super) mac: Option<[u8; 6]>,
    /// Its request for a certificate.
    pub(super) certificate_request: Option<Verified<CertificateRequest>>,
}

/// What was made for a device.
#[derive(Debug)]
pub(super) struct Made {
    /// For the device.
    pub(super) objects: Vec<ConfigurationObject>,
    /// For the store.
    pub(super) issued: Vec<IssuedAccess>,
}

/// Makes what the permit's network asks for.
///
/// # Errors
/// [`Failure::Refused`] when this device could not use it, [`Failure::Fault`] when a key fails.
pub(super) async fn make(
    controller: &Controller,
    permit: &ConfigurePermit,
    asked: &Asked,
) -> Result<Made, Failure> {
    let network = permit.network();
    let ring = controller.dpp.ring();
    let mut issued = Vec::new();
    // Also beside other kinds: it is how the device proves itself when it is reconfigured.
    let now = controller.clock.now();
    let connector = connector(permit, asked, ring, now, &mut issued).await?;
    let mut parts = CredentialParts {
        connector: Some(connector),
        ..CredentialParts::default()
    };
    let akm = akm(network, permit.role(), asked);
    if akm.has_sae() || akm.has_psk() {
        parts.password = Some(password(controller, akm, asked, &mut issued)?);
    }
    if network.gives_certificate() {
        let request = asked.certificate_request.as_ref();
        let request = request
            .ok_or(Error::from(Misuse::CredentialParts))
            .map_err(sign)?;
        parts.enterprise = Some(certificate(controller, permit, request, &mut issued).await?);
    }
    let ssid = Ssid::new(network.ssid.as_bytes()).map_err(sign)?;
    let credential = Credential::new(akm, parts).map_err(sign)?;
    Ok(Made {
        objects: vec![ConfigurationObject::new(ssid, credential)],
        issued,
    })
}

/// A station's address, as its bootstrapping information has it.
///
/// # Errors
/// [`Fault::Read`].
pub(super) async fn address(
    controller: &Controller,
    device: DeviceId,
) -> Result<Option<[u8; 6]>, Fault> {
    let filter = KeyFilter {
        device: Some(device),
        conflicts: false,
    };
    let keys = controller.store.bootstrapping_keys(&filter, None, MAX_KEYS);
    let uris = keys.await?;
    Ok(uris
        .iter()
        .find_map(|key| BootstrappingUri::parse(&key.uri).ok()?.mac))
}

/// The methods that are left to this device. Access points take part by their connector alone, and
/// read passphrases from their files.
fn akm(network: &Network, role: DeviceRole, asked: &Asked) -> Akm {
    let findable = sae_entry(asked).is_some();
    match (network.credential, network.fallback) {
        (NetworkCredential::Connector, true) if role == DeviceRole::Station && findable => {
            Akm::DppSae
        }
        (NetworkCredential::Connector, _) => Akm::Dpp,
        (NetworkCredential::Certificate, _) => Akm::Dot1x,
        (NetworkCredential::Sae, true) if findable => Akm::PskSae,
        (NetworkCredential::Sae, true) | (NetworkCredential::Psk, _) => Akm::Psk,
        (NetworkCredential::Sae, false) => Akm::Sae,
    }
}

/// How an access point is going to find this device's SAE password.
enum SaeEntry {
    Address,
    Identifier,
}

fn sae_entry(asked: &Asked) -> Option<SaeEntry> {
    let knows_identifiers =
        asked.version >= 3 && asked.capabilities & CAPABILITY_SAE_PASSWORD_IDENTIFIER != 0;
    match asked.mac {
        Some(_) => Some(SaeEntry::Address),
        None => knows_identifiers.then_some(SaeEntry::Identifier),
    }
}

async fn connector(
    permit: &ConfigurePermit,
    asked: &Asked,
    ring: Arc<Ring>,
    now: Timestamp,
    issued: &mut Vec<IssuedAccess>,
) -> Result<ConnectorCredential, Failure> {
    let network = permit.network();
    // Whole seconds, as the connector writes it.
    let expires_at = network.lifetime_days.and_then(|days| {
        let end = now.saturating_add(SignedDuration::from_hours(24 * i64::from(days)));
        Timestamp::from_second(end.ok()?.as_second()).ok()
    });
    let content = ConnectorContent {
        // A connector of one network must not open another one of the same owner.
        groups: vec![Group {
            id: network.name.clone(),
            role: match permit.role() {
                DeviceRole::Station => NetRole::Station,
                DeviceRole::AccessPoint => NetRole::AccessPoint,
            },
        }],
        net_access_key: asked.net_access_key.clone(),
        expiry: expires_at,
        version: (asked.version >= 3).then_some(asked.version),
    };
    let connector = if ring.current.c_sign.signer().may_block() {
        let ring = Arc::clone(&ring);
        tokio::task::spawn_blocking(move || ring.current.c_sign.issue(&content))
            .await
            .map_err(|error| Fault::Sign(error.to_string()))?
    } else {
        ring.current.c_sign.issue(&content)
    }
    .map_err(sign)?;
    let key = &ring.current;
    let c_sign = key.c_sign.public().clone();
    let public = BootstrappingPublicKey::new(asked.net_access_key.clone());
    issued.push(IssuedAccess::Connector {
        id: credential_id(),
        net_access_key_sha256: Digest(*public.hash()),
        signed_by: c_sign.kid().to_owned(),
        expires_at,
    });
    Ok(ConnectorCredential {
        connector,
        c_sign,
        privacy_key: Some(key.privacy.public().clone()),
    })
}

fn password(
    controller: &Controller,
    akm: Akm,
    asked: &Asked,
    issued: &mut Vec<IssuedAccess>,
) -> Result<Password, Failure> {
    let id = credential_id();
    let identifier = id.as_str().to_owned();
    let passphrase = Passphrase::random();
    let sealed = passphrase.seal(controller.dpp.sealer(), &id)?;
    let mut password = Password::passphrase(passphrase.expose()).map_err(sign)?;
    if akm.has_sae() {
        match sae_entry(asked) {
            Some(SaeEntry::Address) => {}
            Some(SaeEntry::Identifier) => password = password.with_identifier(&identifier),
            None => return Err(no_way_to_find_the_password()),
        }
    }
    issued.push(IssuedAccess::Passphrase {
        id,
        identifier,
        sealed: SealedPassphrase(sealed),
    });
    Ok(password)
}

async fn certificate(
    controller: &Controller,
    permit: &ConfigurePermit,
    request: &CertificateRequest,
    issued: &mut Vec<IssuedAccess>,
) -> Result<EnterpriseCredential, Failure> {
    let key = request.public_key();
    let certified = issue::certify(controller, permit.device(), key).await?;
    let leaf =
        Certificate::from_der(&certified.der).map_err(|error| Fault::Sign(error.to_string()))?;
    issued.push(IssuedAccess::Certificate {
        issued: certified,
        request_sha256: Digest::of(request.der()),
        key_spki_sha256: Digest(key.sha256()),
    });
    let ca = controller.authority.certificate();
    let mut enterprise = EnterpriseCredential::new(&[leaf, ca.clone()], Some(ca));
    enterprise
        .trusted_server_name
        .clone_from(&permit.network().server_name);
    Ok(enterprise)
}

/// Names that cannot be guessed, and that hostapd's files can hold.
fn credential_id() -> CredentialId {
    let bytes: [u8; 16] = random::bytes();
    CredentialId(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn no_way_to_find_the_password() -> Failure {
    Failure::Refused(vec![Reason::new(
        "station-address-unknown",
        "An access point finds an SAE password by the station's address or by an identifier. The \
         device's URI has no address (M:), and the device knows no identifiers.",
        "unique credential per device",
    )])
}

fn sign(error: Error) -> Failure {
    Fault::Sign(error.to_string()).into()
}
