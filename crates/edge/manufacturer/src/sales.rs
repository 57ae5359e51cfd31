//! The sales desk: owners, sales, returns.

use vouchsafe_fleet::decide::{self, Outcome, SellFacts};
use vouchsafe_fleet::{
    Actor, Device, DeviceId, Digest, Evidence, Owner, OwnerId, Reason, Refusal, ReleaseStatement,
};
use vouchsafe_trust::{Certificate, PathRules, Usage, cms};

use crate::batch::Progress;
use crate::factory::{Factory, FactoryError, Settled, settled};

/// Owners looked through at once when one is named.
const PAGE: u32 = 1024;

/// Sales that are made durable together.
const SALES_AT_ONCE: usize = 64;

/// Who gives a device up.
#[derive(Debug, Clone, Copy)]
pub enum ReleaseBy<'a> {
    /// The owner: a statement signed by its registrar (CMS, DER).
    Statement(&'a [u8]),
    /// The manufacturer, against the owner's silence: it must say why.
    Order {
        /// The device.
        serial: &'a str,
        /// Why; goes into the journal.
        reason: &'a str,
    },
}

impl Factory {
    /// Makes an owner known by its domain CA, or renames it.
    ///
    /// # Errors
    /// [`FactoryError::NotAnAuthority`], and those of the store.
    pub async fn add_owner(
        &self,
        actor: &Actor,
        name: &str,
        domain_ca: &Certificate,
    ) -> Result<Owner, FactoryError> {
        if !domain_ca.is_ca() {
            return Err(FactoryError::NotAnAuthority(domain_ca.subject_text()));
        }
        let id = OwnerId::of_domain_ca(domain_ca.public_key().spki_der());
        self.put_owner(actor, id, |now, existing| Owner {
            id,
            name: name.chars().take(128).collect(),
            domain_ca_der: Some(domain_ca.der().to_vec()),
            blocked: existing.and_then(|owner| owner.blocked.clone()),
            created_at: now,
            updated_at: now,
        })
        .await
    }

    /// Stops serving an owner, or serves it again (`None`).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn block_owner(
        &self,
        actor: &Actor,
        owner: &Owner,
        why: Option<&str>,
    ) -> Result<Owner, FactoryError> {
        self.put_owner(actor, owner.id, |_, existing| Owner {
            blocked: why.map(|why| why.chars().take(256).collect()),
            ..existing.unwrap_or(owner).clone()
        })
        .await
    }

    async fn put_owner(
        &self,
        actor: &Actor,
        id: OwnerId,
        wanted: impl Fn(jiff::Timestamp, Option<&Owner>) -> Owner,
    ) -> Result<Owner, FactoryError> {
        let wanted = &wanted;
        let outcome = self
            .settle(|| async move {
                let now = self.clock.now();
                let existing = self.store.owner(id).await?;
                let wanted = wanted(now, existing.as_ref());
                Ok(decide::put_owner(now, actor, existing.as_ref(), wanted))
            })
            .await?;
        let owner = accepted(outcome)?;
        self.owners.remember(&owner).await?;
        Ok(owner)
    }

    /// The owner of this name or id.
    ///
    /// # Errors
    /// [`FactoryError::NoSuchOwner`], [`FactoryError::AmbiguousOwner`].
    pub async fn owner(&self, name: &str) -> Result<Owner, FactoryError> {
        if let Ok(id) = OwnerId::parse(name)
            && let Some(owner) = self.store.owner(id).await?
        {
            return Ok(owner);
        }
        let mut found = None;
        let mut after = None;
        loop {
            let page = self.store.owners(after, PAGE).await?;
            after = page.last().map(|owner| owner.id);
            let full = page.len() == PAGE as usize;
            for owner in page.into_iter().filter(|owner| owner.name == name) {
                if found.replace(owner).is_some() {
                    return Err(FactoryError::AmbiguousOwner(name.to_owned()));
                }
            }
            if !full {
                return found.ok_or_else(|| FactoryError::NoSuchOwner(name.to_owned()));
            }
        }
    }

    /// The device with this serial number.
    ///
    /// # Errors
    /// [`FactoryError::NoSuchDevice`].
    pub async fn device(&self, serial: &str) -> Result<Device, FactoryError> {
        let id = DeviceId::new(self.home.id, serial);
        let device = self.store.device(id).await?;
        device.ok_or_else(|| FactoryError::NoSuchDevice(serial.to_owned()))
    }

    /// Records that a device was sold to an owner. The same sale again changes nothing.
    ///
    /// # Errors
    /// [`FactoryError::NoSuchDevice`]; [`FactoryError::Refused`] with `already-sold`,
    /// `owner-blocked`, `device-retired`.
    pub async fn sell(
        &self,
        actor: &Actor,
        serial: &str,
        owner: &Owner,
    ) -> Result<Device, FactoryError> {
        let outcome = self.settle(|| self.sale(actor, serial, owner)).await?;
        accepted(outcome)
    }

    /// Says what a sale would come to, and changes nothing.
    ///
    /// # Errors
    /// As [`Factory::sell`].
    pub async fn rehearse_sale(
        &self,
        actor: &Actor,
        serial: &str,
        owner: &Owner,
    ) -> Result<Device, FactoryError> {
        accepted(self.sale(actor, serial, owner).await?)
    }

    async fn sale(
        &self,
        actor: &Actor,
        serial: &str,
        owner: &Owner,
    ) -> Result<Outcome<Device>, FactoryError> {
        let device = self.device(serial).await?;
        let owner = self.store.owner(owner.id).await?.unwrap_or(owner.clone());
        let current = self.store.current_ownership(device.id).await?;
        Ok(decide::sell(&SellFacts {
            now: self.clock.now(),
            actor,
            device: &device,
            owner: &owner,
            current: current.as_ref(),
        }))
    }

    /// Records the sale of many devices, several at a time; `progress` is told now and then. It
    /// stops at the first in the list that cannot be sold: those before it are sold, and so may be some
    /// that stand right behind it.
    ///
    /// # Errors
    /// [`FactoryError::Device`] with that first one, and why as [`Factory::sell`].
    pub async fn sell_all(
        &self,
        actor: &Actor,
        serials: &[String],
        owner: &Owner,
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Vec<Device>, FactoryError> {
        let mut sold = Vec::new();
        for some in serials.chunks(SALES_AT_ONCE) {
            let mut sales = Vec::with_capacity(some.len());
            for serial in some {
                let (factory, actor) = (self.clone(), actor.clone());
                let (serial, owner) = (serial.clone(), owner.clone());
                sales.push(tokio::spawn(async move {
                    let sale = factory.sell(&actor, &serial, &owner).await;
                    sale.map_err(FactoryError::of(&serial))
                }));
            }
            // Each comes to its end, so that nothing is open when one went wrong.
            let mut ended = Vec::with_capacity(some.len());
            for sale in sales {
                ended.push(sale.await.map_err(|_| FactoryError::Broken).flatten());
            }
            for sale in ended {
                sold.push(sale?);
            }
            progress(&Progress {
                made: sold.len() as u64,
                total: Some(serials.len() as u64),
                ..Progress::default()
            });
        }
        sold.sort_by(|one, other| one.serial.cmp(&other.serial));
        Ok(sold)
    }

    /// Ends an ownership, so that the device can be sold again.
    ///
    /// # Errors
    /// [`FactoryError::Refused`] with `not-sold` or `other-owner`; a statement that does not hold.
    pub async fn release(&self, actor: &Actor, by: ReleaseBy<'_>) -> Result<Device, FactoryError> {
        let end = &self.end(by)?;
        accepted(self.settle(|| self.ending(actor, end)).await?)
    }

    /// Says what a release would come to, and changes nothing.
    ///
    /// # Errors
    /// As [`Factory::release`].
    pub async fn rehearse_release(
        &self,
        actor: &Actor,
        by: ReleaseBy<'_>,
    ) -> Result<Device, FactoryError> {
        accepted(self.ending(actor, &self.end(by)?).await?)
    }

    /// Which ownership ends, and on whose word.
    fn end(&self, by: ReleaseBy<'_>) -> Result<End, FactoryError> {
        let because = |code: &str, said: &str| {
            let said: String = said.chars().take(512).collect();
            Reason::new(code, said, "manufacturer policy")
        };
        match by {
            ReleaseBy::Statement(bytes) => {
                let statement = self.statement(bytes)?;
                Ok(End {
                    said: Some((statement.owner, statement.released_at)),
                    reason: because("owner-statement", &statement.reason),
                    evidence: Some(Evidence::new("release-statement", Digest::of(bytes))),
                    serial: statement.serial,
                })
            }
            ReleaseBy::Order { serial, reason } => Ok(End {
                serial: serial.to_owned(),
                said: None,
                reason: because("manufacturer-order", reason),
                evidence: None,
            }),
        }
    }

    /// Reads a release statement and proves that a registrar of the owner it names signed it.
    fn statement(&self, bytes: &[u8]) -> Result<ReleaseStatement, FactoryError> {
        let unverified = cms::parse(bytes)?;
        let owner = self
            .owners
            .behind(unverified.certificates())
            .ok_or_else(|| refused(Refusal::OwnerUnknown))?;
        let rules = PathRules::strict(self.clock.now(), Usage::Registrar)
            .with_revocation(owner.revocation(false));
        let signed = unverified.verify(&owner.anchors, &rules)?;
        Ok(ReleaseStatement::read(
            &signed.content,
            self.home.id,
            owner.id,
        )?)
    }

    async fn ending(&self, actor: &Actor, end: &End) -> Result<Outcome<Device>, FactoryError> {
        let device = self.device(&end.serial).await?;
        let current = self.store.current_ownership(device.id).await?;
        let named = end.said.map(|(owner, _)| owner);
        let owner = match named.or(current.as_ref().map(|current| current.owner)) {
            Some(owner) => owner,
            None => return Err(refused(Refusal::NotSold)),
        };
        let owner = self
            .store
            .owner(owner)
            .await?
            .ok_or_else(|| refused(Refusal::OwnerUnknown))?;
        let facts = SellFacts {
            now: self.clock.now(),
            actor,
            device: &device,
            owner: &owner,
            current: current.as_ref(),
        };
        let stated_at = end.said.map(|(_, stated_at)| stated_at);
        let mut outcome = decide::release_ownership(&facts, stated_at);
        for entry in &mut outcome.commit.entries {
            entry.reasons.push(end.reason.clone());
            entry.evidence.extend(end.evidence.clone());
        }
        Ok(outcome)
    }
}

/// An ownership that ends.
struct End {
    serial: String,
    /// The owner whose word it is, and when it was given.
    said: Option<(OwnerId, jiff::Timestamp)>,
    reason: Reason,
    evidence: Option<Evidence>,
}

pub(crate) fn refused(refusal: Refusal) -> FactoryError {
    FactoryError::Refused {
        refusal,
        reasons: vec![refusal.reason()],
    }
}

/// What was accepted; nothing here gives stored answers.
fn accepted<D>(outcome: Outcome<D>) -> Result<D, FactoryError> {
    match settled(outcome)? {
        Settled::Accepted(accepted) => Ok(accepted),
        Settled::Replayed(_) => Err(FactoryError::Contended),
    }
}
