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

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use vouchsafe_fleet::{Actor, ActorKind, Owner, OwnerId, Role, Token, TokenId, decide};
use vouchsafe_keystore::random;
use vouchsafe_keystore::{Algorithm, KeyStore, Sealer, StoreUri, write_file};
use vouchsafe_net::{Clock, Identity};
use vouchsafe_store::{CommitError, OpenError, ReadError, Store, StoreConfig};
use vouchsafe_trust::{
    Authority, Certificate, Name, Profile, Signer, SubjectAltName, Validity, oid,
};

use crate::config::{Config, ConfigError};
use crate::dpp::Keys;

/// How long the domain CA lives.
const CA_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 365 * 20);

/// How long the registrar's and the API's certificates live; they are renewed by `serve`.
const SERVER_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 365);

/// Certificates begin this long before they are made, for clocks that are a little behind.
pub(crate) const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// Why a data folder cannot be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// There is no `config.toml`.
    #[error("{0} holds no config.toml: run `vouchsafe init --dir {0}` first")]
    Absent(PathBuf),
    /// `init` found a configuration already.
    #[error("{0} is a data folder already: its config.toml is kept as it is")]
    Present(PathBuf),
    /// The configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A private key could not be made, opened or used, or a file not be written.
    #[error(transparent)]
    Keys(#[from] vouchsafe_keystore::Error),
    /// A certificate could not be read.
    #[error("{path}: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: vouchsafe_trust::ParseError,
    },
    /// A certificate could not be issued, or does not belong to its key.
    #[error("certificate for {what}: {source}")]
    Issue {
        /// Which certificate.
        what: &'static str,
        /// What is wrong.
        source: vouchsafe_trust::IssueError,
    },
    /// A chain and its key do not make a TLS identity.
    #[error("{what}: {source}")]
    Identity {
        /// Which identity.
        what: &'static str,
        /// What is wrong.
        source: vouchsafe_net::IdentityError,
    },
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
/// [`HomeError::Present`] when there is nothing to do; else as opening.
pub async fn initialise(dir: &Path, config: &Config, clock: &Clock) -> Result<Home, HomeError> {
    config.check()?;
    let config_file = dir.join("config.toml");
    if config_file.exists() {
        return Err(HomeError::Present(dir.to_owned()));
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
    write_file(&config_file, config.to_toml().as_bytes())?;
    Ok(home)
}

/// Keys and certificates. Blocks.
fn make(dir: &Path, config: &Config, clock: &Clock) -> Result<Home, HomeError> {
    let keys = KeyStore::open_uri(&key_store_address(dir, config)?)?;
    let signer = key(&keys, "domain-ca")?;
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
async fn record(home: &Home, store: &Store, now: Timestamp) -> Result<(), HomeError> {
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
    Ok(write_file(&token_file, format!("{secret}\n").as_bytes())?)
}

impl Home {
    /// Opens a data folder. Blocks on files and keys.
    ///
    /// # Errors
    /// [`HomeError`], which names the file and the next step.
    pub fn open(dir: &Path, clock: &Clock) -> Result<Self, HomeError> {
        let config_file = dir.join("config.toml");
        if !config_file.exists() {
            return Err(HomeError::Absent(dir.to_owned()));
        }
        let config = Config::read(&config_file)?;
        let keys = KeyStore::open_uri(&key_store_address(dir, &config)?)?;
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
        match self.config.store.url.strip_prefix("sqlite:") {
            Some(file) if !file.starts_with('/') => {
                format!("sqlite:{}", self.dir.join(file).display())
            }
            _ => self.config.store.url.clone(),
        }
    }

    /// The keys for Wi-Fi Easy Connect; made when they are missing. Blocks.
    ///
    /// # Errors
    /// As opening.
    pub fn dpp_keys(&self) -> Result<Keys, HomeError> {
        let sealer = Sealer::beside(&key_store_address(&self.dir, &self.config)?)?;
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
        what: &'static str,
        names: &[String],
        profile: impl Fn(Name) -> Profile,
    ) -> Result<Identity, HomeError> {
        let issue = |source| HomeError::Issue { what, source };
        let file = self.dir.join(format!("{what}.pem"));
        let signer = key(&self.keys, what)?;
        let subject = Name::new(&[
            (oid::ORGANIZATION, &self.config.name),
            (oid::COMMON_NAME, &format!("Vouchsafe {what}")),
        ])
        .map_err(issue)?;
        let mut profile = profile(subject);
        profile.subject_alt_names = names.iter().map(|name| alternative_name(name)).collect();
        let now = self.clock.now();
        let chain = match read_chain(&file) {
            Ok(chain) if self.still_good(&chain, &profile, &*signer, now) => chain,
            _ => {
                let leaf = self
                    .authority
                    .issue(
                        &profile,
                        signer.public_key(),
                        &random::serial(),
                        validity(now, SERVER_LIFETIME),
                    )
                    .map_err(issue)?;
                let mut chain = vec![leaf];
                chain.extend_from_slice(self.authority.chain());
                write_chain(&file, &chain)?;
                chain
            }
        };
        Identity::new(chain, signer).map_err(|source| HomeError::Identity { what, source })
    }

    fn still_good(
        &self,
        chain: &[Certificate],
        profile: &Profile,
        signer: &dyn Signer,
        now: Timestamp,
    ) -> bool {
        let Some(leaf) = chain.first() else {
            return false;
        };
        leaf.public_key() == signer.public_key()
            && leaf
                .verify_signature(self.authority.certificate().public_key())
                .is_ok()
            && leaf
                .subject_alt_names()
                .is_ok_and(|names| names == profile.subject_alt_names)
            && now < renewal_time(leaf)
    }
}

/// When a certificate should be renewed: after two thirds of its life.
pub(crate) fn renewal_time(certificate: &Certificate) -> Timestamp {
    let life = certificate
        .not_after()
        .duration_since(certificate.not_before());
    let two_thirds = Duration::try_from(life).unwrap_or_default() / 3 * 2;
    certificate
        .not_before()
        .saturating_add(two_thirds)
        .unwrap_or(Timestamp::MAX)
}

/// From a little before `now` for `lifetime`.
pub(crate) fn validity(now: Timestamp, lifetime: SignedDuration) -> Validity {
    let not_before = now.saturating_sub(BACKDATE).unwrap_or(now);
    Validity::new(
        not_before,
        now.saturating_add(lifetime).unwrap_or(Timestamp::MAX),
    )
}

fn alternative_name(name: &str) -> SubjectAltName {
    match name.parse() {
        Ok(IpAddr::V4(address)) => SubjectAltName::Ip(address.octets().to_vec()),
        Ok(IpAddr::V6(address)) => SubjectAltName::Ip(address.octets().to_vec()),
        Err(_) => SubjectAltName::Dns(name.to_owned()),
    }
}

fn key(keys: &KeyStore, label: &str) -> Result<Arc<dyn Signer>, HomeError> {
    match keys.load(label) {
        Err(vouchsafe_keystore::Error::NotFound { .. }) => {
            Ok(keys.create(label, Algorithm::EcdsaP256)?)
        }
        other => Ok(other?),
    }
}

/// The key store's address with relative paths taken from the data folder.
fn key_store_address(dir: &Path, config: &Config) -> Result<StoreUri, HomeError> {
    let mut address: StoreUri = config
        .keys
        .store
        .parse()
        .map_err(vouchsafe_keystore::Error::from)?;
    address.resolve_from(dir);
    Ok(address)
}

fn read_chain(path: &Path) -> Result<Vec<Certificate>, HomeError> {
    let pem = std::fs::read_to_string(path).map_err(|source| HomeError::Read {
        path: path.to_owned(),
        source,
    })?;
    Certificate::many_from_pem(&pem).map_err(|source| HomeError::Certificate {
        path: path.to_owned(),
        source,
    })
}

fn write_chain(path: &Path, chain: &[Certificate]) -> Result<(), HomeError> {
    let pem: String = chain.iter().map(Certificate::pem).collect();
    Ok(write_file(path, pem.as_bytes())?)
}
