//! The device's keys, off the reactor, since files and hardware may make one wait.

use std::sync::Arc;

use vouchsafe_keystore::{Algorithm, KeyStore, StoreUri};
use vouchsafe_trust::Signer;

use crate::error::LocalError;
use crate::random;

/// The key store, and which of its keys are ours.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    store: Arc<KeyStore>,
    /// Label of the IDevID's key.
    birth: String,
}

impl Keys {
    pub(crate) async fn open(uri: StoreUri, birth: &str) -> Result<Self, LocalError> {
        let store = blocking(move || KeyStore::open_uri(&uri)).await??;
        Ok(Self {
            store: Arc::new(store),
            birth: birth.to_owned(),
        })
    }

    /// The IDevID's key.
    pub(crate) async fn birth(&self) -> Result<Arc<dyn Signer>, LocalError> {
        self.load(&self.birth).await
    }

    pub(crate) async fn load(&self, label: &str) -> Result<Arc<dyn Signer>, LocalError> {
        let (store, label) = (Arc::clone(&self.store), label.to_owned());
        Ok(blocking(move || store.load(&label)).await??)
    }

    /// A label for a key that does not exist yet. Several devices may share one token, so it
    /// begins with the label of the birth key.
    pub(crate) fn fresh_label(&self) -> Result<String, LocalError> {
        let number = u64::from_be_bytes(random::bytes()?);
        Ok(format!("{}{number:016x}", self.prefix()))
    }

    /// The key with this label, made now if a crash came before it was.
    pub(crate) async fn load_or_create(
        &self,
        label: &str,
        algorithm: Algorithm,
    ) -> Result<Arc<dyn Signer>, LocalError> {
        let (store, label) = (Arc::clone(&self.store), label.to_owned());
        let made = blocking(move || match store.load(&label) {
            Err(vouchsafe_keystore::Error::NotFound { .. }) => store.create(&label, algorithm),
            loaded => loaded,
        });
        Ok(made.await??)
    }

    /// Destroys a key; one that is gone already is fine.
    pub(crate) async fn delete(&self, label: &str) -> Result<(), LocalError> {
        let (store, label) = (Arc::clone(&self.store), label.to_owned());
        Ok(blocking(move || match store.delete(&label) {
            Err(vouchsafe_keystore::Error::NotFound { .. }) => Ok(()),
            deleted => deleted,
        })
        .await??)
    }

    /// Destroys all keys that the agent made, but those in `keep`, and says how many.
    pub(crate) async fn delete_all_but(&self, keep: &[String]) -> Result<usize, LocalError> {
        let (store, prefix, keep) = (Arc::clone(&self.store), self.prefix(), keep.to_vec());
        Ok(blocking(move || {
            let mut deleted = 0;
            for label in store.list()? {
                if label.starts_with(&prefix) && !keep.contains(&label) {
                    store.delete(&label)?;
                    deleted += 1;
                }
            }
            Ok::<_, vouchsafe_keystore::Error>(deleted)
        })
        .await??)
    }

    fn prefix(&self) -> String {
        format!("{}.ldevid-", self.birth)
    }
}

/// Runs what may make one wait where nobody else waits.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LocalError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| LocalError::Thread)
}
