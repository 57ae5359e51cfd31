//! The certificates that this domain gives to devices and gates, by whatever protocol they ask.

use jiff::SignedDuration;
use vouchsafe_api::route;
use vouchsafe_fleet::admission::Gate;
use vouchsafe_fleet::decide::IssuedCertificate;
use vouchsafe_fleet::{CredentialId, Device};
use vouchsafe_home::validity;
use vouchsafe_keystore::random;
use vouchsafe_trust::{Name, Profile, PublicKey, SubjectAltName, oid};

use crate::controller::{Controller, Fault};

/// The CA signs a certificate for a device's key. The caller holds a permit for both.
///
/// # Errors
/// [`Fault::Sign`].
pub(crate) async fn certify(
    controller: &Controller,
    device: &Device,
    key: &PublicKey,
) -> Result<IssuedCertificate, Fault> {
    let profile = profile(controller, device).map_err(Fault::Sign)?;
    sign(controller, profile, key).await
}

/// The CA signs a certificate for a gate's key. The caller holds a permit for both.
///
/// # Errors
/// [`Fault::Sign`].
pub(crate) async fn certify_gate(
    controller: &Controller,
    gate: &Gate,
    key: &PublicKey,
) -> Result<IssuedCertificate, Fault> {
    let subject = Name::common(&gate.name).map_err(|error| Fault::Sign(error.to_string()))?;
    let mut profile = Profile::gate(subject, &[&gate.name]);
    say_where(controller, &mut profile);
    sign(controller, profile, key).await
}

async fn sign(
    controller: &Controller,
    profile: Profile,
    key: &PublicKey,
) -> Result<IssuedCertificate, Fault> {
    let now = controller.clock.now();
    let lifetime = SignedDuration::try_from(controller.config.ldevid.lifetime.duration())
        .unwrap_or(SignedDuration::MAX);
    let validity = validity(now, lifetime);
    let authority = controller.authority.clone();
    let key = key.clone();
    let serial = random::serial();
    let certificate = if authority.signer().may_block() {
        tokio::task::spawn_blocking(move || authority.issue(&profile, &key, &serial, validity))
            .await
            .map_err(|error| Fault::Sign(error.to_string()))?
    } else {
        authority.issue(&profile, &key, &serial, validity)
    }
    .map_err(|error| Fault::Sign(error.to_string()))?;
    Ok(IssuedCertificate {
        id: CredentialId(certificate.serial_hex()),
        der: certificate.der().to_vec(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
    })
}

/// The LDevID as configuration describes it.
fn profile(controller: &Controller, device: &Device) -> Result<Profile, String> {
    let config = &controller.config.ldevid;
    let mut subject = Vec::with_capacity(2);
    if !config.organization.is_empty() {
        subject.push((oid::ORGANIZATION, config.organization.as_str()));
    }
    subject.push((oid::SERIAL_NUMBER, device.serial.as_str()));
    let subject = Name::new(&subject).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    if !config.domain.is_empty() {
        names.push(SubjectAltName::Email(format!(
            "{}@{}",
            device.serial, config.domain
        )));
    }
    let mut profile = Profile::ldevid(subject, names);
    say_where(controller, &mut profile);
    Ok(profile)
}

/// Where others learn whether the certificate still counts.
fn say_where(controller: &Controller, profile: &mut Profile) {
    let url = controller.config.ldevid.pki_url.trim_end_matches('/');
    if !url.is_empty() {
        let under = |path: &str| format!("{url}{path}");
        profile.crl_urls = vec![under(route::SHOW_CRL.path)];
        profile.ocsp_urls = vec![under(route::ASK_OCSP.path)];
    }
}
