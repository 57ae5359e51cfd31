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

    /// The time, if the clock can be relied on.
    pub(crate) fn trusted_now(&self) -> Result<Option<Timestamp>, LocalError> {
        self.birth.trusted(&self.config, self.now())
    }

    /// The best time there is; see [`Birth::effective_now`].
    pub(crate) fn effective_now(&self, correction: i64) -> Result<Timestamp, LocalError> {
        self.birth
            .effective_now(&self.config, self.now(), correction)
    }

    /// Whether the credential in force has ended.
    pub(crate) fn has_ended(&self) -> Result<bool, LocalError> {
        let Some(credential) = self.folder.credential()? else {
            return Ok(false);
        };
        let now = self.effective_now(credential.stored.clock_correction)?;
        Ok(now > credential.leaf.not_after())
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
        let options = self.known(&known.anchors, known.stored.clock_correction)?;
        Ok(options.with_identity(identity))
    }

    /// TLS to the domain's registrar, with the domain's credential.
    pub(crate) async fn as_member(
        &self,
        credential: &Credential,
    ) -> Result<ConnectorOptions, LocalError> {
        let signer = self.keys.load(&credential.stored.label).await?;
        let identity = Identity::new(credential.chain.clone(), signer)?;
        let options = self.known(&credential.anchors, credential.stored.clock_correction)?;
        Ok(options.with_identity(identity))
    }

    /// Whether the credential's key is where it was. A token may have been cleared, or lost.
    pub(crate) async fn has_key(&self, credential: &Credential) -> Result<bool, LocalError> {
        match self.keys.load(&credential.stored.label).await {
            Err(LocalError::Keys(vouchsafe_keystore::Error::NotFound { .. })) => Ok(false),
            loaded => loaded.map(|_| true),
        }
    }

    fn known(&self, anchors: &Anchors, correction: i64) -> Result<ConnectorOptions, LocalError> {
        // Gates and other servers of the domain have its certificates too.
        let mut options = ConnectorOptions::new(ServerTrust::Registrar(anchors.clone()));
        options.clock = match self.trusted_now()? {
            Some(_) => self.clock.clone(),
            // A connection is made within seconds, so for its checks the time may stand still.
            None => Clock::fixed(self.effective_now(correction)?),
        };
        Ok(options)
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

impl Birth {
    /// `now`, if the clock can be relied on: one that is behind the birth certificate has lost its
    /// time, whatever the configuration says (RFC 8995 §2.6.1).
    fn trusted(&self, config: &Config, now: Timestamp) -> Result<Option<Timestamp>, LocalError> {
        let plausible = now >= self.idevid()?.not_before();
        Ok((config.clock == ClockTrust::Trusted && plausible).then_some(now))
    }

    /// The best time there is: the device's own, or while that cannot be relied on, the same
    /// moved by what the voucher taught, in milliseconds. A clock that was set meanwhile is right
    /// again by itself.
    pub(crate) fn effective_now(
        &self,
        config: &Config,
        now: Timestamp,
        correction: i64,
    ) -> Result<Timestamp, LocalError> {
        let end = if correction < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        let moved = now
            .checked_add(SignedDuration::from_millis(correction))
            .unwrap_or(end);
        Ok(self.trusted(config, now)?.unwrap_or(moved))
    }
}
