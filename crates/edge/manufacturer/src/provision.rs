//! One identity for one device.
//!
//! 1. The key exists: the device made it and sent a request whose signature proves it, or the
//!    factory makes it.
//! 2. What is known about the serial number and the key is loaded.
//! 3. Decide: one identity a serial number, one serial number a key.
//! 4. The root signs: the subject carries the serial number (RFC 8995 §2.3.1), the validity has no
//!    end (§2.6.2), the MASA is named (§2.3.2).
//! 5. Commit; only then the certificate leaves.

use std::path::Path;

use vouchsafe_fleet::decide::wifi::ImportKey;
use vouchsafe_fleet::decide::{self, Outcome, ProvisionFacts};
use vouchsafe_fleet::{Actor, Device, DeviceId, Digest, KeyOrigin, Refusal};
use vouchsafe_home::BACKDATE;
use vouchsafe_keystore::{Algorithm, random};
use vouchsafe_trust::{
    Authority, Certificate, CertificateRequest, HardwareModuleName, Name, Profile, PublicKey,
    Validity, Verified, oid,
};

use crate::birth::{self, Birth};
use crate::bootstrapping::{Bootstrapping, LabelOf, LabelText};
use crate::factory::{Factory, FactoryError, Settled, off_thread, settled};
use crate::sales::refused;

/// A device to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// Its serial number: 1 to 64 printable characters.
    pub serial: String,
    /// Its model.
    pub model: Option<String>,
    /// How its key came into being. Of the five methods in NIST SP 1800-36B, `device` is the first,
    /// `hardware` the second and the fourth, `factory` the third; the fifth, a key derived from a seed
    /// that the maker keeps, is not offered.
    pub key_origin: KeyOrigin,
    /// The URI of its bootstrapping key for Wi-Fi Easy Connect, if it has one: the private half is in
    /// the device, or will be.
    pub dpp_uri: Option<String>,
}

/// A device whose keys are made here.
#[derive(Debug, Clone, Copy)]
pub struct MadeHere<'a> {
    /// Its serial number: 1 to 64 printable characters.
    pub serial: &'a str,
    /// Its model.
    pub model: Option<&'a str>,
    /// The algorithm of its birth key.
    pub algorithm: Algorithm,
    /// Which bootstrapping key it gets, if any.
    pub bootstrapping: Option<&'a Bootstrapping>,
    /// The radio's address, for the label.
    pub mac: Option<&'a str>,
}

/// A device's new identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The birth certificate, then its issuers.
    pub chain: Vec<Certificate>,
    /// Whose vouchers the device shall believe.
    pub masa_anchors: Vec<Certificate>,
    /// Whether it was given out before: the same key asked again.
    pub repeated: bool,
}

impl Factory {
    /// Gives an identity to a device that made its own key and asks for it by a PKCS #10 request
    /// (DER). Of the request only the key counts. The same key for the same serial number gets the
    /// same certificate again.
    ///
    /// # Errors
    /// [`FactoryError::Request`] without proof of possession; [`FactoryError::Refused`] with
    /// `serial-taken`, `key-of-another-device` or `bad-serial`; [`FactoryError::Uri`].
    pub async fn provision_from_csr(
        &self,
        actor: &Actor,
        device: &NewDevice,
        request: &[u8],
    ) -> Result<Identity, FactoryError> {
        // 1
        let request: Verified<CertificateRequest> = CertificateRequest::verify(request)?;
        self.identity(actor, device, request.public_key()).await
    }

    /// Makes the keys here, gives them an identity, and writes the birth folder. The keys are in the
    /// folder before anything is certified, so a run that was broken off can be repeated.
    ///
    /// # Errors
    /// As [`Factory::provision_from_csr`]; [`FactoryError::Bootstrapping`]; and when the folder cannot
    /// be written.
    pub async fn provision_made_here(
        &self,
        actor: &Actor,
        made: MadeHere<'_>,
        folder: &Path,
    ) -> Result<Identity, FactoryError> {
        let (home, serial) = (folder.to_owned(), made.serial.to_owned());
        let (algorithm, mac) = (made.algorithm, made.mac.map(str::to_owned));
        let bootstrapping = made.bootstrapping.cloned();
        let (public_key, dpp_uri) = off_thread(move || {
            let label = LabelOf {
                serial: &serial,
                mac: mac.as_deref(),
            };
            birth::keys(&home, algorithm, bootstrapping.as_ref(), label)
        })
        .await??;
        let device = NewDevice {
            serial: made.serial.to_owned(),
            model: made.model.map(str::to_owned),
            key_origin: KeyOrigin::Factory,
            dpp_uri,
        };
        let identity = self.identity(actor, &device, &public_key).await?;
        let (folder, written) = (folder.to_owned(), identity.clone());
        off_thread(move || {
            let birth = Birth {
                serial: &device.serial,
                model: device.model.as_deref(),
                chain: &written.chain,
                masa_anchors: &written.masa_anchors,
                dpp_uri: device.dpp_uri.as_deref(),
            };
            birth::write(&folder, &birth)
        })
        .await??;
        Ok(identity)
    }

    async fn identity(
        &self,
        actor: &Actor,
        device: &NewDevice,
        key: &PublicKey,
    ) -> Result<Identity, FactoryError> {
        let outcome = self
            .settle(|| self.try_identity(actor, device, key))
            .await?;
        // 5
        let (leaf, repeated) = match settled(outcome)? {
            Settled::Accepted(device) => (device.idevid_der.unwrap_or_default(), false),
            Settled::Replayed(stored) => (stored.body, true),
        };
        let result = if repeated { "repeated" } else { "issued" };
        metrics::counter!("vouchsafe_identities_total", "result" => result).increment(1);
        let mut chain = vec![Certificate::from_der(&leaf)?];
        chain.extend_from_slice(self.home.root.chain());
        Ok(Identity {
            chain,
            masa_anchors: self.home.masa_anchors.certificates().to_vec(),
            repeated,
        })
    }

    /// Steps 2 to 4.
    async fn try_identity(
        &self,
        actor: &Actor,
        device: &NewDevice,
        key: &PublicKey,
    ) -> Result<Outcome<Device>, FactoryError> {
        // 2
        let key_spki_sha256 = Digest(key.sha256());
        let id = DeviceId::new(self.home.id, &device.serial);
        let existing = self.store.device(id).await?;
        let key_holder = self.store.key_holder(key_spki_sha256).await?;
        let label = device.dpp_uri.as_deref().map(LabelText::read).transpose()?;
        let known = match &label {
            Some(label) => self.store.bootstrapping_key(label.id()).await?,
            None => None,
        };
        // 3
        let outcome = decide::provision(&ProvisionFacts {
            now: self.clock.now(),
            actor,
            manufacturer: self.home.id,
            serial: &device.serial,
            model: device.model.as_deref(),
            mud_url: self.home.config.mud_url(device.model.as_deref()),
            key_origin: device.key_origin,
            key_spki_sha256,
            existing: existing.as_ref(),
            key_holder,
            bootstrapping: label.as_ref().map(|label| ImportKey {
                key: label.facts(),
                known: known.as_ref(),
            }),
        });
        match outcome.or_other() {
            Ok((permit, _)) => {
                // 4
                let press = Press::new(self);
                let (key, device) = (key.clone(), device.clone());
                let certificate = if press.may_block() {
                    off_thread(move || press.issue(&device, &key)).await??
                } else {
                    press.issue(&device, &key)?
                };
                Ok(permit.issue(certificate.der().to_vec()))
            }
            Err(other) => Ok(other),
        }
    }
}

/// What stamps birth certificates: all that workers need, and nothing of the store.
#[derive(Debug, Clone)]
pub(crate) struct Press {
    factory: Factory,
}

impl Press {
    pub(crate) fn new(factory: &Factory) -> Self {
        Self {
            factory: factory.clone(),
        }
    }

    pub(crate) fn may_block(&self) -> bool {
        self.root().signer().may_block()
    }

    fn root(&self) -> &Authority {
        &self.factory.home.root
    }

    /// The birth certificate of this device for this key.
    pub(crate) fn issue(
        &self,
        device: &NewDevice,
        key: &PublicKey,
    ) -> Result<Certificate, FactoryError> {
        let config = &self.factory.home.config;
        // X.520 gives serialNumber the type PrintableString, whose alphabet is smaller than ASCII.
        Name::new(&[(oid::SERIAL_NUMBER, &device.serial)])
            .map_err(|_| refused(Refusal::BadSerial))?;
        let mut subject = vec![(oid::ORGANIZATION, config.name.as_str())];
        if let Some(model) = &device.model {
            subject.push((oid::COMMON_NAME, model));
        }
        subject.push((oid::SERIAL_NUMBER, &device.serial));
        let mut profile = Profile::idevid(Name::new(&subject)?, Some(&config.masa_url))?;
        if let Some(url) = config.mud_url(device.model.as_deref()) {
            profile = profile.with_mud_url(url);
        }
        if let Ok(Some(hardware_type)) = config.hardware_type() {
            profile = profile.with_hardware_module_name(&HardwareModuleName {
                hardware_type,
                serial: device.serial.clone().into_bytes(),
            });
        }
        let now = self.factory.clock.now();
        let not_before = now.saturating_sub(BACKDATE).unwrap_or(now);
        Ok(self.root().issue(
            &profile,
            key,
            &random::serial(),
            Validity::without_end(not_before),
        )?)
    }
}
