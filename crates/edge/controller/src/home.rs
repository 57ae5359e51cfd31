//! The data folder: what `vouchsafe init` makes and `vouchsafe serve` opens.
//!
//! | file | what |
//! | --- | --- |
//! | `config.toml` | [`Config`]; written last, so a folder that has it is whole |
//! | `keys/` | private keys, sealed (unless configuration puts them elsewhere) |
//! | `dpp/` | the controller's own keys for Wi-Fi Easy Connect, sealed |
//! | `domain-ca.pem` | the domain CA: give it to manufacturers, they sell to it |
//! | `registrar.pem` | the registrar's certificate and its issuer |
//! | `api.pem` | the API's certificate and its issuer |
//! | `admin.token` | the first API token, mode 0600 |
//! | `store.db` | state and journal (unless configuration puts them elsewhere) |
//!
//! [`initialise`] may be repeated: what is there is kept, what is missing is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use vouchsafe_fleet::{Actor, ActorKind, Owner, OwnerId, Role, Token, TokenId, decide};
use vouchsafe_home::{
    CONFIG_FILE, HomeError, ServerIdentity, key, key_store, read_chain, server_identity, store_url,
    validity, write_chain,
};
use vouchsafe_keystore::{Algorithm, KeyStore, Sealer, random, write_file};
use vouchsafe_net::{Clock, Identity};
use vouchsafe_store::{CommitError, OpenError, ReadError, Store, StoreConfig};
use vouchsafe_trust::{Authority, Name, Profile, oid};

use crate::config::Config;
use crate::dpp::Keys;

/// How long the domain CA lives.
const CA_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 365 * 20);

/// Why a data folder could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// Its files.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// The store cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// The opened data folder: configuration, authority and identities, but no store.
#[derive(Debug)]
pub struct Home {
    /// Where it is.
    pub dir: PathBuf,
    /// What it says.
    pub config: Config,
    /// The domain CA.
    pub authority: Authority,
    /// Who this owner is, computed from the domain CA's key.
    pub owner: OwnerId,
    keys: Arc<KeyStore>,
    clock: Clock,
}

/// Makes a data folder with its first admin token, or completes one that was left half made.
///
/// # Errors
/// [`InitError`]; [`HomeError::Present`] when there is nothing to do.
pub async fn initialise(dir: &Path, config: &Config, clock: &Clock) -> Result<Home, InitError> {
    config.check().map_err(HomeError::from)?;
    let config_file = dir.join(CONFIG_FILE);
    if config_file.exists() {
        return Err(HomeError::Present(dir.to_owned()).into());
    }
    let (folder, wanted, time) = (dir.to_owned(), config.clone(), clock.clone());
    let making = tokio::task::spawn_blocking(move || make(&folder, &wanted, &time));
    let home = making.await.map_err(|error| HomeError::Read {
        path: dir.to_owned(),
        source: std::io::Error::other(error),
    })??;
    let store = Store::open(StoreConfig::from_url(&home.store_url())?).await?;
    let recorded = record(&home, &store, clock.now()).await;
    store.close().await;
    recorded?;
    write_file(&config_file, config.to_toml().as_bytes()).map_err(HomeError::from)?;
    Ok(home)
}

/// Keys and certificates. Blocks.
fn make(dir: &Path, config: &Config, clock: &Clock) -> Result<Home, HomeError> {
    let keys = KeyStore::open_uri(&key_store(dir, &config.keys.store)?)?;
    let signer = key(&keys, "domain-ca", Algorithm::EcdsaP256)?;
    let ca_file = dir.join("domain-ca.pem");
    let authority = if ca_file.exists() {
        Authority::new(read_chain(&ca_file)?, signer)
    } else {
        let now = clock.now();
        let subject = Name::new(&[
            (oid::ORGANIZATION, &config.name),
            (oid::COMMON_NAME, "Vouchsafe domain CA"),
        ]);
        subject.and_then(|subject| {
            let profile = Profile::domain_ca(subject);
            Authority::self_signed(
                &profile,
                &random::serial(),
                validity(now, CA_LIFETIME),
                signer,
            )
        })
    }
    .map_err(|source| HomeError::Issue {
        what: "the domain CA",
        source,
    })?;
    write_chain(&ca_file, authority.chain())?;
    let home = Home::new(
        dir,
        config.clone(),
        authority,
        Arc::new(keys),
        clock.clone(),
    );
    home.registrar_identity()?;
    home.api_identity()?;
    Ok(home)
}

/// This owner and the first admin token, whose secret is in the file before the folder is whole.
async fn record(home: &Home, store: &Store, now: Timestamp) -> Result<(), InitError> {
    let actor = Actor::new(ActorKind::System, "init");
    let existing = store.owner(home.owner).await?;
    if existing.is_none() {
        let wanted = Owner {
            id: home.owner,
            name: home.config.name.clone(),
            domain_ca_der: Some(home.authority.certificate().der().to_vec()),
            blocked: None,
            created_at: now,
            updated_at: now,
        };
        let outcome = decide::put_owner(now, &actor, None, wanted);
        store.commit(outcome.commit).await?;
    }
    let token_file = home.token_file();
    if token_file.exists() {
        return Ok(());
    }
    let (secret, secret_sha256) = crate::api::new_secret();
    let token = Token {
        id: TokenId(random::bytes()),
        name: "admin".to_owned(),
        role: Role::Admin,
        secret_sha256,
        created_at: now,
        expires_at: None,
        revoked_at: None,
    };
    let outcome = decide::create_token(now, &actor, token);
    store.commit(outcome.commit).await?;
    let secret = format!("{secret}\n");
    Ok(write_file(&token_file, secret.as_bytes()).map_err(HomeError::from)?)
}

impl Home {
    /// Opens a data folder. Blocks on files and keys.
    ///
    /// # Errors
    /// [`HomeError`], which names the file and the next step.
    pub fn open(dir: &Path, clock: &Clock) -> Result<Self, HomeError> {
        let config_file = dir.join(CONFIG_FILE);
        if !config_file.exists() {
            return Err(HomeError::Absent {
                dir: dir.to_owned(),
                init: "vouchsafe init",
            });
        }
        let config = Config::read(&config_file)?;
        let keys = KeyStore::open_uri(&key_store(dir, &config.keys.store)?)?;
        let chain = read_chain(&dir.join("domain-ca.pem"))?;
        let authority =
            Authority::new(chain, keys.load("domain-ca")?).map_err(|source| HomeError::Issue {
                what: "the domain CA",
                source,
            })?;
        Ok(Self::new(
            dir,
            config,
            authority,
            Arc::new(keys),
            clock.clone(),
        ))
    }

    fn new(
        dir: &Path,
        config: Config,
        authority: Authority,
        keys: Arc<KeyStore>,
        clock: Clock,
    ) -> Self {
        let spki = authority.certificate().public_key().spki_der();
        Self {
            dir: dir.to_owned(),
            owner: OwnerId::of_domain_ca(spki),
            config,
            authority,
            keys,
            clock,
        }
    }

    /// The store's address, relative files taken from the data folder.
    pub fn store_url(&self) -> String {
        store_url(&self.dir, &self.config.store.url)
    }

    /// The keys for Wi-Fi Easy Connect; made when they are missing. Blocks.
    ///
    /// # Errors
    /// As opening.
    pub fn dpp_keys(&self) -> Result<Keys, HomeError> {
        let sealer = Sealer::beside(&key_store(&self.dir, &self.config.keys.store)?)?;
        let overlap = self.config.dpp.signing_key_overlap.duration();
        Keys::open(
            &self.dir,
            Arc::clone(&self.keys),
            sealer,
            SignedDuration::try_from(overlap).unwrap_or(SignedDuration::MAX),
            self.clock.now(),
        )
    }

    /// The file of the first API token.
    pub fn token_file(&self) -> PathBuf {
        self.dir.join("admin.token")
    }

    /// The registrar's identity: cmcRA, serverAuth, clientAuth. Made anew when it is missing,
    /// when its names are no longer those of the configuration, or after two thirds of its life.
    ///
    /// # Errors
    /// As opening.
    pub fn registrar_identity(&self) -> Result<Identity, HomeError> {
        self.server_identity("registrar", &self.config.registrar.names, |subject| {
            Profile::registrar(subject, &[])
        })
    }

    /// The API's identity; otherwise like [`Home::registrar_identity`].
    ///
    /// # Errors
    /// As opening.
    pub fn api_identity(&self) -> Result<Identity, HomeError> {
        self.server_identity("api", &self.config.api.names, |subject| {
            Profile::tls_server(subject, &[])
        })
    }

    fn server_identity(
        &self,
        label: &'static str,
        names: &[String],
        profile: fn(Name) -> Profile,
    ) -> Result<Identity, HomeError> {
        server_identity(&ServerIdentity {
            dir: &self.dir,
            label,
            keys: &self.keys,
            algorithm: Algorithm::EcdsaP256,
            authority: &self.authority,
            organization: &self.config.name,
            common_name: &format!("Vouchsafe {label}"),
            names,
            profile,
            now: self.clock.now(),
        })
    }
}
