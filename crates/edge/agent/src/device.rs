//! What every attempt needs: identity, keys, memory, clock, and who is told.

use jiff::{SignedDuration, Timestamp};
use vouchsafe_net::{Clock, ConnectorOptions, Identity, ServerTrust};
use vouchsafe_trust::Anchors;

use crate::birth::Birth;
use crate::config::{ClockTrust, Config};
use crate::error::LocalError;
use crate::event::{Event, Events, Record};
use crate::folder::{AttemptEnd, Credential, Folder};
use crate::keys::Keys;

/// The device, opened.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) birth: Birth,
    pub(crate) keys: Keys,
    pub(crate) folder: Folder,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
}

impl Device {
    /// The time by the device's own clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time, if the clock can be relied on: one that is behind the birth certificate has lost
    /// its time, whatever the configuration says (RFC 8995 §2.6.1).
    pub(crate) fn trusted_now(&self) -> Result<Option<Timestamp>, LocalError> {
        let now = self.now();
        let plausible = now >= self.birth.idevid()?.not_before();
        Ok((self.config.clock == ClockTrust::Trusted && plausible).then_some(now))
    }

    /// The time as the voucher corrected it.
    pub(crate) fn corrected_now(&self, correction: i64) -> Timestamp {
        corrected(self.now(), correction)
    }

    /// TLS that believes nothing yet, with the birth certificate (RFC 8995 §5.1).
    pub(crate) async fn provisional(&self) -> Result<ConnectorOptions, LocalError> {
        let signer = self.keys.birth().await?;
        let identity = Identity::new(self.birth.chain.clone(), signer)?;
        Ok(ConnectorOptions::new(ServerTrust::Provisional).with_identity(identity))
    }

    /// TLS to the domain's registrar, with the birth certificate.
    pub(crate) async fn as_born(&self, known: &Credential) -> Result<ConnectorOptions, LocalError> {
        let signer = self.keys.birth().await?;
        let identity = Identity::new(self.birth.chain.clone(), signer)?;
        Ok(self
            .known(&known.anchors, known.stored.clock_correction)
            .with_identity(identity))
    }

    /// TLS to the domain's registrar, with the domain's credential.
    pub(crate) async fn as_member(
        &self,
        credential: &Credential,
    ) -> Result<ConnectorOptions, LocalError> {
        let signer = self.keys.load(&credential.stored.label).await?;
        let identity = Identity::new(credential.chain.clone(), signer)?;
        let options = self.known(&credential.anchors, credential.stored.clock_correction);
        Ok(options.with_identity(identity))
    }

    fn known(&self, anchors: &Anchors, correction: i64) -> ConnectorOptions {
        let mut options =
            ConnectorOptions::new(ServerTrust::RegistrationAuthority(anchors.clone()));
        options.clock = match correction {
            0 => self.clock.clone(),
            // A connection is made within seconds, so for its checks the time may stand still.
            correction => Clock::fixed(self.corrected_now(correction)),
        };
        options
    }

    pub(crate) fn tell(&self, event: Event) {
        let serial = self.birth.device.serial.clone();
        self.events.tell(&Record {
            at: self.now(),
            serial,
            event,
        });
    }

    pub(crate) fn note(
        &self,
        registrar: &str,
        result: &str,
        section: &str,
        text: String,
    ) -> Result<(), LocalError> {
        self.folder.note(&AttemptEnd {
            at: self.now(),
            registrar: registrar.to_owned(),
            result: result.to_owned(),
            section: section.to_owned(),
            text,
        })
    }
}

/// `now` moved by some milliseconds; the ends of time stop it.
pub(crate) fn corrected(now: Timestamp, correction: i64) -> Timestamp {
    let end = if correction < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    now.checked_add(SignedDuration::from_millis(correction))
        .unwrap_or(end)
}
