//! Who buys: owners by the key of their domain CA, kept in memory with the revocation lists they
//! handed in.
//!
//! Lists lie in `crls/OWNER.crl` of the data folder. A list proves itself, so it may come from
//! anybody: it counts if the owner's domain CA signed it and it is newer than the one at hand.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::Mutex;
use vouchsafe_fleet::{Owner, OwnerId};
use vouchsafe_home::HomeError;
use vouchsafe_keystore::write_file;
use vouchsafe_store::Store;
use vouchsafe_trust::{Anchors, Certificate, Crl, Revocation};

use crate::factory::{FactoryError, off_thread};

/// Owners that are read at once.
const PAGE: u32 = 1024;

/// An owner whose domain CA was handed over.
#[derive(Debug, Clone)]
pub struct KnownOwner {
    /// Who.
    pub id: OwnerId,
    /// The domain CA, where the paths of its registrars must end.
    pub anchors: Anchors,
    /// The latest revocation list of that CA.
    pub crl: Option<Crl>,
}

impl KnownOwner {
    /// What path validation shall know about revoked registrars. With `required`, a certificate that
    /// names a list which is not at hand is refused.
    #[must_use]
    pub fn revocation(&self, required: bool) -> Revocation {
        match &self.crl {
            None if !required => Revocation::NotChecked,
            crl => Revocation::Checked {
                lists: crl.iter().cloned().collect(),
                unknown_is_fatal: required,
            },
        }
    }
}

/// The owners in memory. A row changed by another program is seen when it is asked for by id,
/// since decisions read the store.
#[derive(Debug)]
pub struct Owners {
    folder: PathBuf,
    known: Arc<RwLock<HashMap<OwnerId, Arc<KnownOwner>>>>,
    /// Whoever reads or replaces a list.
    turn: Arc<Mutex<()>>,
}

impl Owners {
    pub(crate) async fn load(dir: &Path, store: &Store) -> Result<Self, FactoryError> {
        let owners = Self {
            folder: dir.join("crls"),
            known: Arc::default(),
            turn: Arc::default(),
        };
        let mut after = None;
        loop {
            let page = store.owners(after, PAGE).await?;
            for owner in &page {
                owners.remember(owner).await?;
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = Some(last.id),
                _ => return Ok(owners),
            }
        }
    }

    /// The owner with this domain CA, if it is known with its certificate.
    #[must_use]
    pub fn known(&self, id: OwnerId) -> Option<Arc<KnownOwner>> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// The owner to which one of these certificates leads: by its own key, or by the key identifier
    /// of its issuer where the issuer was not sent.
    #[must_use]
    pub(crate) fn behind(&self, chain: &[Certificate]) -> Option<Arc<KnownOwner>> {
        let by_key = chain.iter().find_map(|certificate| {
            self.known(OwnerId::of_domain_ca(certificate.public_key().spki_der()))
        });
        by_key.or_else(|| {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let issuers: Vec<&[u8]> = chain
                .iter()
                .take(MAX_TRIED)
                .filter_map(Certificate::authority_key_identifier)
                .collect();
            known
                .values()
                .find(|owner| {
                    let anchor = owner.anchors.certificates().first();
                    anchor
                        .and_then(Certificate::key_identifier)
                        .is_some_and(|identifier| issuers.contains(&identifier))
                })
                .cloned()
        })
    }

    /// Takes an owner into memory, together with its revocation list.
    pub(crate) async fn remember(&self, owner: &Owner) -> Result<(), FactoryError> {
        let Some(der) = &owner.domain_ca_der else {
            return Ok(());
        };
        let anchor = Certificate::from_der(der)?;
        let _turn = self.turn.lock().await;
        let file = self.file(owner.id);
        let crl = off_thread(move || read_list(&file)).await??;
        let known = KnownOwner {
            id: owner.id,
            anchors: Anchors::one(anchor),
            crl,
        };
        put(&self.known, known);
        Ok(())
    }

    /// Takes a revocation list that the owner's domain CA signed, keeps it, and uses it from now
    /// on. One that is not newer than the one at hand changes nothing, and `false` comes back.
    ///
    /// # Errors
    /// A list that no known owner signed, or one that cannot be kept.
    pub async fn take_revocation_list(
        &self,
        der: &[u8],
        now: Timestamp,
    ) -> Result<bool, FactoryError> {
        let crl = Crl::from_der(der).map_err(FactoryError::RevocationList)?;
        // Between the look at the one at hand and the change nobody else puts a list.
        let turn = self.turn.clone().lock_owned().await;
        let owner = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known
                .values()
                .find(|owner| {
                    let anchor = owner.anchors.certificates().first();
                    anchor.is_some_and(|anchor| {
                        anchor.subject() == crl.issuer() && crl.clone().verify(anchor, now).is_ok()
                    })
                })
                .cloned()
        };
        let owner = owner.ok_or_else(|| FactoryError::NoSuchOwner(crl.issuer().to_string()))?;
        let newer = owner
            .crl
            .as_ref()
            .is_none_or(|old| crl.this_update() > old.this_update());
        if !newer {
            return Ok(false);
        }
        let (file, der) = (self.file(owner.id), der.to_vec());
        let known = self.known.clone();
        let kept = off_thread(move || {
            // What is kept is used at once, also when whoever brought it went away meanwhile.
            let _turn = turn;
            write_file(&file, &der)?;
            let owner = KnownOwner {
                crl: Some(crl),
                ..KnownOwner::clone(&owner)
            };
            put(&known, owner);
            Ok::<_, vouchsafe_keystore::Error>(())
        });
        kept.await??;
        Ok(true)
    }

    fn file(&self, id: OwnerId) -> PathBuf {
        self.folder.join(format!("{id}.crl"))
    }
}

fn put(known: &RwLock<HashMap<OwnerId, Arc<KnownOwner>>>, owner: KnownOwner) {
    known
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(owner.id, Arc::new(owner));
}

/// The list that is kept, if any. One that cannot be read is not none: without it a registrar that was
/// revoked would pass.
fn read_list(file: &Path) -> Result<Option<Crl>, HomeError> {
    let path = file.to_owned();
    match std::fs::read(file) {
        Ok(der) => match Crl::from_der(&der) {
            Ok(crl) => Ok(Some(crl)),
            Err(source) => Err(HomeError::Certificate { path, source }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HomeError::Read { path, source }),
    }
}

/// Certificates of a request that are tried as a way to an owner.
const MAX_TRIED: usize = 8;
