//! The controller's own keys for Wi-Fi Easy Connect.
//!
//! | key | what for | where |
//! | --- | --- | --- |
//! | `dpp/bootstrapping.sealed` | devices and access points know this controller by it | sealed file |
//! | `dpp-signing-TIME` | signs connectors (C-sign key) | key store |
//! | `dpp/privacy-TIME.sealed` | opens what devices send that were configured under the signing key of the same time (`ppKey`) | sealed file |
//!
//! `TIME` is when the signing key was made, in seconds since 1970 and 12 digits, so that the newest
//! is the last. Connectors are signed with the newest; older ones stay for as long as
//! configuration says (`dpp.signing_key_overlap`), because a device that knows no other signer can
//! only be reconfigured by it. Then they are deleted.
//!
//! The bootstrapping key never changes by itself: access points are configured with its hash, and
//! devices may carry its URI in print.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use vouchsafe_dpp::connector::{CSignKey, ConnectorContent};
use vouchsafe_dpp::object::NetRole;
use vouchsafe_dpp::reconfiguration::ConfiguratorConnector;
use vouchsafe_dpp::{BootstrappingKey, Curve, Error, PrivateKey};
use vouchsafe_home::HomeError;
use vouchsafe_keystore::random;
use vouchsafe_keystore::{Algorithm, KeyStore, Sealer};
use vouchsafe_trust::Secret;

/// The curve of the controller's own keys. Every device must know it (Wi-Fi Easy Connect 3.0 §3.2.2).
const CURVE: Curve = Curve::P256;

/// Beginning of the labels of signing keys.
const SIGNING: &str = "dpp-signing-";

/// Seed for a private key: longer than any scalar, so that reducing it leaves no bias.
pub(super) const SEED: usize = 80;

/// All keys of this controller. Cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    store: Arc<KeyStore>,
    sealer: Sealer,
    bootstrapping: Arc<BootstrappingKey>,
    overlap: SignedDuration,
    ring: RwLock<Arc<Ring>>,
}

/// The signing keys that count.
#[derive(Debug)]
pub struct Ring {
    /// Signs whatever is new.
    pub current: SigningKey,
    /// Were replaced, the newest first; their connectors still count.
    pub older: Vec<SigningKey>,
}

impl Ring {
    /// All of them, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.older)
    }

    /// The one that a reconfiguration announcement names.
    pub(super) fn named(&self, c_sign_hash: &[u8; 32]) -> Option<&SigningKey> {
        self.all()
            .find(|key| key.c_sign.public().hash() == *c_sign_hash)
    }
}

/// A signing key, and the privacy key that devices got with it.
pub struct SigningKey {
    /// Signs connectors.
    pub c_sign: CSignKey,
    /// Opens the identities of reconfiguration announcements.
    pub privacy: PrivateKey,
    /// When it was made.
    pub since: Timestamp,
    /// Connectors of our own by it, in the order of [`Curve::ALL`].
    own: [OnceLock<ConfiguratorConnector>; Curve::ALL.len()],
    /// Held by who makes one.
    making: Mutex<()>,
}

impl SigningKey {
    /// Our own connector on this curve, if it was made already.
    pub(super) fn kept_connector(&self, curve: Curve) -> Option<&ConfiguratorConnector> {
        self.own.get(curve as usize)?.get()
    }

    /// Our own connector on this curve: what makes us a configurator for who is reconfigured. It is signed
    /// once and kept, since anybody can ask for it who knows the hash of the signing key, which is public.
    /// Blocks while it is made.
    pub(super) fn own_connector(
        &self,
        curve: Curve,
        now: Timestamp,
    ) -> Result<ConfiguratorConnector, Error> {
        let _alone = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = self.kept_connector(curve) {
            return Ok(kept.clone());
        }
        let seed = Secret::new(random::bytes::<SEED>().to_vec());
        let key = PrivateKey::from_seed(curve, seed.expose())?;
        // Without an expiry: a device's clock may be wrong by years.
        let content = ConnectorContent::for_any_group(NetRole::Configurator, key.public().clone());
        let connector = self.c_sign.issue(&content)?;
        let verified = connector.verify(std::slice::from_ref(self.c_sign.public()), now)?;
        let own = ConfiguratorConnector::new(&verified, key)?;
        if let Some(place) = self.own.get(curve as usize) {
            // Nobody else makes one.
            let _first = place.set(own.clone());
        }
        Ok(own)
    }
}

impl Keys {
    /// Opens the keys under a data folder; makes those that are missing. Blocks.
    ///
    /// # Errors
    /// [`HomeError::Keys`] when a key cannot be made, opened or read.
    pub(crate) fn open(
        dir: &Path,
        store: Arc<KeyStore>,
        sealer: Sealer,
        overlap: SignedDuration,
        now: Timestamp,
    ) -> Result<Self, HomeError> {
        let folder = dir.join("dpp");
        let bootstrapping = sealed_key(&sealer, &folder, "bootstrapping")?;
        let ring = read_ring(&store, &sealer, &folder, overlap, now)?;
        Ok(Self(Arc::new(Inner {
            folder,
            store,
            sealer,
            bootstrapping: Arc::new(BootstrappingKey::new(bootstrapping)),
            overlap,
            ring: RwLock::new(Arc::new(ring)),
        })))
    }

    /// The controller's bootstrapping key: hash and URI are made from its public half.
    pub fn bootstrapping(&self) -> Arc<BootstrappingKey> {
        Arc::clone(&self.0.bootstrapping)
    }

    /// Seals passphrases.
    pub(crate) fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    /// The signing keys that count now.
    pub fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.0.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes another signing key. It is in force after [`Keys::refresh`], and the one before stays
    /// for the overlap; or it is given up again. Blocks.
    ///
    /// # Errors
    /// [`HomeError::Keys`]; then nothing has changed.
    pub fn make(&self, now: Timestamp) -> Result<SigningKey, HomeError> {
        let Inner {
            folder,
            store,
            sealer,
            ..
        } = &*self.0;
        // Two keys of one second would have one name.
        let after = self.ring().current.since.as_second().saturating_add(1);
        let time = now.as_second().max(after);
        make_signing_key(store, sealer, folder, time)?;
        open_signing_key(store, sealer, folder, time)
    }

    /// Deletes a signing key that was never in force. Blocks.
    ///
    /// # Errors
    /// [`HomeError::Keys`].
    pub(crate) fn give_up(&self, key: &SigningKey) -> Result<(), HomeError> {
        forget(&self.0.store, &self.0.folder, key.since.as_second())
    }

    /// Forgets signing keys whose overlap is over, and learns of those that another process made.
    /// Blocks.
    ///
    /// # Errors
    /// [`HomeError::Keys`].
    pub fn refresh(&self, now: Timestamp) -> Result<(), HomeError> {
        let ring = self.read(now)?;
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        Ok(())
    }

    fn read(&self, now: Timestamp) -> Result<Ring, HomeError> {
        let Inner {
            folder,
            store,
            sealer,
            overlap,
            ..
        } = &*self.0;
        read_ring(store, sealer, folder, *overlap, now)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// The keys in the store, the newest first; makes the first one, deletes those whose time is over.
fn read_ring(
    store: &KeyStore,
    sealer: &Sealer,
    folder: &Path,
    overlap: SignedDuration,
    now: Timestamp,
) -> Result<Ring, HomeError> {
    let mut times: Vec<i64> = store
        .list()?
        .iter()
        .filter_map(|label| label.strip_prefix(SIGNING)?.parse().ok())
        .collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    if times.is_empty() {
        make_signing_key(store, sealer, folder, now.as_second())?;
        times.push(now.as_second());
    }
    let mut keys = Vec::with_capacity(times.len());
    let mut replaced_at: Option<Timestamp> = None;
    for time in times {
        let over = replaced_at.is_some_and(|at| now.duration_since(at) > overlap);
        if over {
            forget(store, folder, time)?;
            continue;
        }
        let key = open_signing_key(store, sealer, folder, time)?;
        replaced_at = Some(key.since);
        keys.push(key);
    }
    let mut keys = keys.into_iter();
    match keys.next() {
        Some(current) => Ok(Ring {
            current,
            older: keys.collect(),
        }),
        // The newest is never over.
        None => Err(HomeError::Keys(vouchsafe_keystore::Error::NotFound {
            label: SIGNING.to_owned(),
            place: store.kind().to_string(),
        })),
    }
}

fn signing_label(time: i64) -> String {
    format!("{SIGNING}{time:012}")
}

fn privacy_name(time: i64) -> String {
    format!("privacy-{time:012}")
}

/// The signing key is made last: without it nothing refers to the other.
fn make_signing_key(
    store: &KeyStore,
    sealer: &Sealer,
    folder: &Path,
    time: i64,
) -> Result<(), HomeError> {
    sealed_key(sealer, folder, &privacy_name(time))?;
    store.create(&signing_label(time), Algorithm::EcdsaP256)?;
    Ok(())
}

fn open_signing_key(
    store: &KeyStore,
    sealer: &Sealer,
    folder: &Path,
    time: i64,
) -> Result<SigningKey, HomeError> {
    let label = signing_label(time);
    let signer = store.load(&label)?;
    Ok(SigningKey {
        c_sign: CSignKey::new(signer).map_err(|_| not_a_key(&label))?,
        privacy: sealed_key(sealer, folder, &privacy_name(time))?,
        since: Timestamp::from_second(time).unwrap_or(Timestamp::UNIX_EPOCH),
        own: Default::default(),
        making: Mutex::default(),
    })
}

fn forget(store: &KeyStore, folder: &Path, time: i64) -> Result<(), HomeError> {
    tracing::info!(label = %signing_label(time), "a signing key is deleted");
    match store.delete(&signing_label(time)) {
        Ok(()) | Err(vouchsafe_keystore::Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let path = key_file(folder, &privacy_name(time));
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(HomeError::Read { path, source })
        }
        _ => Ok(()),
    }
}

/// The key in a sealed file; made when there is none.
fn sealed_key(sealer: &Sealer, folder: &Path, name: &str) -> Result<PrivateKey, HomeError> {
    let path = key_file(folder, name);
    let label = format!("dpp/{name}");
    if path.exists() {
        return read_key(sealer.read(&path, &label)?, &label);
    }
    let seed = Secret::new(random::bytes::<SEED>().to_vec());
    let key = PrivateKey::from_seed(CURVE, seed.expose()).map_err(|_| not_a_key(&label))?;
    std::fs::create_dir_all(folder).map_err(|source| HomeError::Read {
        path: folder.to_owned(),
        source,
    })?;
    sealer.write(&path, &label, key.to_bytes().expose())?;
    Ok(key)
}

fn key_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.sealed"))
}

fn read_key(bytes: Secret, label: &str) -> Result<PrivateKey, HomeError> {
    PrivateKey::from_bytes(CURVE, bytes.expose()).map_err(|_| not_a_key(label))
}

fn not_a_key(label: &str) -> HomeError {
    HomeError::Keys(vouchsafe_keystore::Error::NotAPrivateKey {
        label: label.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use vouchsafe_dpp::Agreement as _;
    use vouchsafe_trust::{PublicKey, SignError, SignatureAlgorithm, Signer};

    use super::*;

    fn open(dir: &Path, now: Timestamp) -> Keys {
        let address = format!(
            "file:{}?sealing-key={}",
            dir.join("keys").display(),
            dir.join("sealing.key").display()
        );
        let store = Arc::new(KeyStore::open(&address).unwrap());
        let sealer = Sealer::beside(&address.parse().unwrap()).unwrap();
        Keys::open(dir, store, sealer, SignedDuration::from_hours(1), now).unwrap()
    }

    fn public(key: &SigningKey) -> Vec<u8> {
        key.c_sign.signer().public_key().spki_der().to_vec()
    }

    #[test]
    fn the_keys_are_the_same_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let one = open(dir.path(), now);
        let other = open(dir.path(), now);
        let hash = |keys: &Keys| *keys.bootstrapping().public_key().hash();
        assert_eq!(hash(&one), hash(&other));
        let current = |keys: &Keys| public(&keys.ring().current);
        assert_eq!(current(&one), current(&other));
    }

    /// Counts what it signs.
    #[derive(Debug)]
    struct Counting {
        signer: Arc<dyn Signer>,
        signed: AtomicUsize,
    }

    impl Signer for Counting {
        fn algorithm(&self) -> SignatureAlgorithm {
            self.signer.algorithm()
        }

        fn public_key(&self) -> &PublicKey {
            self.signer.public_key()
        }

        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
            self.signed.fetch_add(1, Ordering::Relaxed);
            self.signer.sign(message)
        }
    }

    /// Anybody who knows the hash of the signing key can announce itself without end.
    #[test]
    fn a_connector_of_our_own_is_signed_once_for_each_curve() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let keys = open(dir.path(), now);
        let signer = Arc::new(Counting {
            signer: Arc::clone(keys.ring().current.c_sign.signer()),
            signed: AtomicUsize::new(0),
        });
        let key = SigningKey {
            c_sign: CSignKey::new(signer.clone()).unwrap(),
            ..keys.make(now).unwrap()
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for curve in Curve::ALL {
                        let made = key.own_connector(curve, now);
                        assert_eq!(made.is_ok(), curve != Curve::Bp512);
                    }
                });
            }
        });
        assert_eq!(signer.signed.load(Ordering::Relaxed), Curve::ALL.len() - 1);
    }

    #[test]
    fn a_signing_key_that_was_replaced_stays_for_the_overlap_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let keys = open(dir.path(), now);
        let first = public(&keys.ring().current);
        // Twice in one second: three keys.
        for _ in 0..2 {
            keys.make(now).unwrap();
            keys.refresh(now).unwrap();
        }
        let ring = keys.ring();
        assert_ne!(public(&ring.current), first);
        assert_eq!(ring.older.len(), 2);
        assert_eq!(public(ring.older.last().unwrap()), first);
        let later = now + SignedDuration::from_mins(59);
        keys.refresh(later).unwrap();
        assert_eq!(keys.ring().older.len(), 2);
        keys.refresh(later + SignedDuration::from_mins(2)).unwrap();
        assert!(keys.ring().older.is_empty());
        assert_eq!(public(&keys.ring().current), public(&ring.current));
        // One sealed file for the bootstrapping key, one for the privacy key that is left.
        assert_eq!(
            std::fs::read_dir(dir.path().join("dpp")).unwrap().count(),
            2
        );
    }
}
