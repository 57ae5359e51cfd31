//! The data folder: what `vouchsafe manufacturer init` makes and every other command opens.
//!
//! | file | what |
//! | --- | --- |
//! | `config.toml` | [`Config`]; written last, so a folder that has it is whole |
//! | `keys/` | private keys, sealed (unless configuration puts them elsewhere) |
//! | `root-ca.pem` | the root that signs birth certificates: give it to whoever must recognise devices |
//! | `masa-ca.pem` | the root of everything the MASA signs: manifests verify against it |
//! | `masa.pem` | the certificate that signs vouchers and manifests, and its issuer |
//! | `masa-anchors.pem` | what devices and registrars trust of this MASA |
//! | `masa-tls.pem` | the MASA listener's certificate and its issuer |
//! | `line-ca.pem` | the root of the factory line |
//! | `line.pem` | the line listener's certificate and its issuer |
//! | `store.db` | state and journal (unless configuration puts them elsewhere) |
//!
//! [`init`] may be repeated until it succeeds: what is there is kept, what is missing is made.
//!
//! # Why three roots
//!
//! A device's key must never pass for its maker's. If birth certificates and voucher signers hung
//! from one root, every device in the field could sign vouchers and manifests, since the path alone
//! would not tell them apart. The line has a root of its own for the same reason.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use vouchsafe_fleet::ManufacturerId;
use vouchsafe_home::{
    BACKDATE, CONFIG_FILE, HomeError, ServerIdentity, key, key_store, read_chain, server_identity,
    store_url, validity, write_chain,
};
use vouchsafe_keystore::{KeyStore, random, write_file};
use vouchsafe_net::{Clock, Identity};
use vouchsafe_trust::{
    Anchors, Authority, Certificate, IssueError, Name, Profile, Signer, Validity, oid,
};

use crate::config::Config;

/// How long the certificate of a line station lives.
const STATION_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 365 * 5);

/// The opened data folder: configuration, authorities and identities, but no store.
#[derive(Debug)]
pub struct Home {
    /// Where it is.
    pub dir: PathBuf,
    /// What it says.
    pub config: Config,
    /// Signs birth certificates.
    pub root: Authority,
    /// Signs the certificates of the MASA.
    pub masa: Authority,
    /// Signs the certificates of the factory line.
    pub line: Authority,
    /// Who this manufacturer is, computed from the root's key.
    pub id: ManufacturerId,
    /// The voucher signer's certificate, then its issuer.
    pub voucher_chain: Vec<Certificate>,
    /// The voucher signer.
    pub voucher_signer: Arc<dyn Signer>,
    /// What devices and registrars trust of this MASA: its root, and the signer itself for
    /// vouchers that carry no certificates (constrained voucher draft §6.8).
    pub masa_anchors: Anchors,
    keys: KeyStore,
    clock: Clock,
}

/// Makes a data folder, or completes one that was left half made. Blocks on files and keys.
///
/// # Errors
/// [`HomeError::Present`] when there is nothing to do; else as opening.
pub fn init(dir: &Path, config: &Config, clock: &Clock) -> Result<Home, HomeError> {
    config.check()?;
    let config_file = dir.join(CONFIG_FILE);
    if config_file.exists() {
        return Err(HomeError::Present(dir.to_owned()));
    }
    let home = Home::new(dir, config.clone(), clock.clone(), true)?;
    home.masa_identity()?;
    home.line_identity()?;
    write_file(&config_file, config.to_toml().as_bytes())?;
    Ok(home)
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
                init: "vouchsafe manufacturer init",
            });
        }
        Self::new(dir, Config::read(&config_file)?, clock.clone(), false)
    }

    fn new(dir: &Path, config: Config, clock: Clock, make: bool) -> Result<Self, HomeError> {
        let keys = KeyStore::open_uri(&key_store(dir, &config.keys.store)?)?;
        let maker = Maker {
            dir,
            config: &config,
            keys: &keys,
            now: clock.now(),
            make,
        };
        let root = maker.root(
            "root-ca",
            "birth certificate root",
            Profile::manufacturer_root,
        )?;
        let masa = maker.root("masa-ca", "MASA root", Profile::domain_ca)?;
        let line = maker.root("line-ca", "factory line root", Profile::domain_ca)?;
        let (voucher_chain, voucher_signer) = maker.voucher_signer(&masa)?;
        let mut anchors = vec![masa.certificate().clone()];
        anchors.extend(voucher_chain.first().cloned());
        write_chain(&dir.join("masa-anchors.pem"), &anchors)?;
        let masa_anchors =
            Anchors::new(anchors).map_err(|_| HomeError::Empty(dir.join("masa-anchors.pem")))?;
        let id = ManufacturerId::of_anchor(root.certificate().public_key().spki_der());
        Ok(Self {
            dir: dir.to_owned(),
            config,
            root,
            masa,
            line,
            id,
            voucher_chain,
            voucher_signer,
            masa_anchors,
            keys,
            clock,
        })
    }

    /// The store's address, relative files taken from the data folder.
    #[must_use]
    pub fn store_url(&self) -> String {
        store_url(&self.dir, &self.config.store.url)
    }

    /// The MASA listener's identity. Made anew when it is missing, when its names are no longer
    /// those of the configuration, or after two thirds of its life.
    ///
    /// # Errors
    /// As opening.
    pub fn masa_identity(&self) -> Result<Identity, HomeError> {
        self.server_identity("masa-tls", &self.masa, &self.config.masa.names)
    }

    /// The line listener's identity; otherwise like [`Home::masa_identity`].
    ///
    /// # Errors
    /// As opening.
    pub fn line_identity(&self) -> Result<Identity, HomeError> {
        self.server_identity("line", &self.line, &self.config.line.names)
    }

    /// Makes the identity of a line station: a folder to be carried there, with `station.pem` (the
    /// certificate and its issuer), its key in a key store beside it, and `line-ca.pem`. A folder
    /// that has a station already is kept.
    ///
    /// # Errors
    /// As opening, and [`HomeError::Present`].
    pub fn line_station(&self, name: &str, folder: &Path) -> Result<Certificate, HomeError> {
        let file = folder.join("station.pem");
        if file.exists() {
            return Err(HomeError::Present(folder.to_owned()));
        }
        let issue = |source| HomeError::Issue {
            what: "the line station",
            source,
        };
        let keys = KeyStore::open_uri(&key_store(folder, STATION_KEY_STORE)?)?;
        let signer = key(&keys, "station", self.config.algorithm())?;
        let subject = self.name(name).map_err(issue)?;
        let certificate = self
            .line
            .issue(
                &Profile::tls_client(subject),
                signer.public_key(),
                &random::serial(),
                validity(self.clock.now(), STATION_LIFETIME),
            )
            .map_err(issue)?;
        let anchor = self.line.certificate();
        write_chain(&folder.join("line-ca.pem"), std::slice::from_ref(anchor))?;
        write_chain(&file, &[certificate.clone(), anchor.clone()])?;
        Ok(certificate)
    }

    fn name(&self, common: &str) -> Result<Name, IssueError> {
        Name::new(&[
            (oid::ORGANIZATION, &self.config.name),
            (oid::COMMON_NAME, common),
        ])
    }

    fn server_identity(
        &self,
        label: &'static str,
        authority: &Authority,
        names: &[String],
    ) -> Result<Identity, HomeError> {
        server_identity(&ServerIdentity {
            dir: &self.dir,
            label,
            keys: &self.keys,
            algorithm: self.config.algorithm(),
            authority,
            organization: &self.config.name,
            common_name: label,
            names,
            profile: |subject| Profile::tls_server(subject, &[]),
            now: self.clock.now(),
        })
    }
}

/// Where a station's key is, seen from its folder. The folder is carried to the station whole, so
/// the sealing key goes along; protect the folder.
pub const STATION_KEY_STORE: &str = "file:keys?sealing-key=sealing.key";

/// Makes or opens the parts of a data folder.
struct Maker<'a> {
    dir: &'a Path,
    config: &'a Config,
    keys: &'a KeyStore,
    now: Timestamp,
    make: bool,
}

impl Maker<'_> {
    fn signer(&self, label: &str) -> Result<Arc<dyn Signer>, HomeError> {
        if self.make {
            key(self.keys, label, self.config.algorithm())
        } else {
            Ok(self.keys.load(label)?)
        }
    }

    fn root(
        &self,
        what: &'static str,
        name: &str,
        profile: fn(Name) -> Profile,
    ) -> Result<Authority, HomeError> {
        let issue = |source| HomeError::Issue { what, source };
        let signer = self.signer(what)?;
        let file = self.dir.join(format!("{what}.pem"));
        if file.exists() || !self.make {
            return Authority::new(read_chain(&file)?, signer).map_err(issue);
        }
        let profile = profile(self.name(name).map_err(issue)?);
        let authority = Authority::self_signed(&profile, &random::serial(), self.lasting(), signer)
            .map_err(issue)?;
        write_chain(&file, authority.chain())?;
        Ok(authority)
    }

    fn voucher_signer(
        &self,
        masa: &Authority,
    ) -> Result<(Vec<Certificate>, Arc<dyn Signer>), HomeError> {
        let issue = |source| HomeError::Issue {
            what: "the voucher signer",
            source,
        };
        let signer = self.signer("masa")?;
        let file = self.dir.join("masa.pem");
        let chain = if file.exists() || !self.make {
            read_chain(&file)?
        } else {
            let profile = Profile::voucher_signer(self.name("MASA").map_err(issue)?);
            let leaf = masa
                .issue(
                    &profile,
                    signer.public_key(),
                    &random::serial(),
                    self.lasting(),
                )
                .map_err(issue)?;
            let chain = vec![leaf, masa.certificate().clone()];
            write_chain(&file, &chain)?;
            chain
        };
        let leaf = chain
            .first()
            .ok_or_else(|| HomeError::Empty(file.clone()))?;
        if leaf.public_key() != signer.public_key() {
            return Err(issue(IssueError::KeyMismatch));
        }
        Ok((chain, signer))
    }

    fn name(&self, common: &str) -> Result<Name, IssueError> {
        Name::new(&[
            (oid::ORGANIZATION, &self.config.name),
            (oid::COMMON_NAME, &format!("{} {common}", self.config.name)),
        ])
    }

    /// Devices carry these certificates for as long as they last (RFC 8995 §2.6.2).
    fn lasting(&self) -> Validity {
        Validity::without_end(self.now.saturating_sub(BACKDATE).unwrap_or(self.now))
    }
}
