//! The network that all servers stand in: an authority, its list, the server's certificate, devices.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use vouchsafe_keystore::{Algorithm, KeyStore};
use vouchsafe_net::Clock;
use vouchsafe_radius::{Connector, Shared, Trust, Versions};
use vouchsafe_trust::{
    Anchors, Authority, Certificate, Crl, CrlContent, Name, Profile, PublicKey, Revocation,
    RevocationReason, RevokedCertificate, Secret, Signer, SoftwareSigner, Validity, oid,
};

use crate::bench::world::KEYS;

/// What the load generator and every server share.
pub(super) const SECRET: &str = "a secret of thirty-two characters";

/// Devices that come in; as many certificates as the authority makes in a moment.
const PRESENT: usize = 64;

/// Certificates on the list besides the one that tries.
const REVOKED: usize = 100;

/// Who is there.
pub(super) struct Network {
    pub(super) authority: Authority,
    pub(super) list: Crl,
    pub(super) devices: Vec<Device>,
    /// Its certificate is on the list.
    pub(super) revoked: Device,
    /// Those with whom something else is wrong.
    others: Vec<(Kind, Device)>,
    /// Credentials in the desired state.
    admitted: usize,
    validity: Validity,
    provider: Arc<CryptoProvider>,
}

/// What may be wrong with a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Admitted,
    NotAdmitted,
    Revoked,
    Expired,
    NotYetValid,
    Stranger,
    WithoutTheKey,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Admitted,
        Self::NotAdmitted,
        Self::Revoked,
        Self::Expired,
        Self::NotYetValid,
        Self::Stranger,
        Self::WithoutTheKey,
    ];

    pub(super) fn may(self) -> bool {
        self == Self::Admitted
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::NotAdmitted => "genuine, not admitted",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
            Self::Stranger => "of another authority",
            Self::WithoutTheKey => "a copied certificate, another key",
        }
    }
}

/// A certificate and its key.
pub(super) struct Device {
    pub(super) certificate: Certificate,
    key: Arc<CertifiedKey>,
}

impl Network {
    /// A network in which `admitted` credentials may come in.
    pub(super) fn new(admitted: usize) -> anyhow::Result<Self> {
        let now = Clock::system().now();
        let hour = SignedDuration::from_hours(1);
        let validity = Validity::new(now - hour, now + hour * 24);
        let profile = Profile::domain_ca(Name::common("Bench CA")?);
        let signer: Arc<dyn Signer> = Arc::new(SoftwareSigner::from_pkcs8_der(&new_key()?)?);
        let authority = Authority::self_signed(&profile, &serial()?, validity, signer)?;
        let devices = (0..PRESENT)
            .map(|number| Device::new(&authority, &format!("BENCH-{number}"), validity))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let revoked = Device::new(&authority, "BENCH-REVOKED", validity)?;
        let mut serials = vec![revoked.certificate.serial().to_vec()];
        for _ in 0..REVOKED {
            serials.push(serial()?.to_vec());
        }
        let list = list(&authority, serials, now)?;
        let elsewhere = Authority::self_signed(
            &profile,
            &serial()?,
            validity,
            Arc::new(SoftwareSigner::from_pkcs8_der(&new_key()?)?),
        )?;
        let device = |authority: &Authority, validity| Device::new(authority, "BENCH-0", validity);
        let mut copied = device(&authority, validity)?;
        copied.takes_the_key_of(&device(&authority, validity)?);
        let others = vec![
            (Kind::NotAdmitted, device(&authority, validity)?),
            (
                Kind::Expired,
                device(&authority, Validity::new(now - hour * 2, now - hour))?,
            ),
            (
                Kind::NotYetValid,
                device(&authority, Validity::new(now + hour, now + hour * 2))?,
            ),
            (Kind::Stranger, device(&elsewhere, validity)?),
            (Kind::WithoutTheKey, copied),
        ];
        Ok(Self {
            authority,
            list,
            devices,
            revoked,
            others,
            admitted,
            validity,
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        })
    }

    /// The secret as the crate wants it.
    pub(super) fn shared() -> Shared {
        Shared::new(Secret::new(SECRET.into()))
    }

    /// A device of this kind.
    pub(super) fn device(&self, kind: Kind, number: usize) -> anyhow::Result<&Device> {
        let found = match kind {
            Kind::Admitted => self.devices.get(number % self.devices.len().max(1)),
            Kind::Revoked => Some(&self.revoked),
            kind => self
                .others
                .iter()
                .find_map(|(of, device)| (*of == kind).then_some(device)),
        };
        found.context("no such device")
    }

    /// The number of the station that a device has: one, however often it comes.
    pub(super) fn station(&self, kind: Kind, number: usize) -> usize {
        match kind {
            Kind::Admitted => number % self.devices.len().max(1),
            _ => number,
        }
    }

    /// How a device speaks.
    pub(super) fn connector(&self, device: &Device, versions: Versions) -> Connector {
        let trust = Trust {
            anchors: Anchors::one(self.authority.certificate().clone()),
            revocation: Revocation::NotChecked,
        };
        Connector::new(self.provider.clone(), device.key.clone(), trust, None)
            .with_versions(versions)
    }

    /// Writes a gate's folder: its key and certificate, the anchor, the desired state, its settings.
    pub(super) fn furnish_gate(&self, dir: &Path) -> anyhow::Result<()> {
        let mut uri: vouchsafe_keystore::StoreUri = KEYS.parse()?;
        uri.resolve_from(dir);
        let key = KeyStore::open_uri(&uri)?.create("gate", Algorithm::EcdsaP256)?;
        let certificate = self.server_certificate(key.public_key())?;
        std::fs::write(dir.join("gate.pem"), certificate.pem())?;
        std::fs::write(dir.join("anchor.pem"), self.authority.certificate().pem())?;
        std::fs::write(dir.join("secret"), SECRET)?;
        std::fs::write(dir.join("desired.json"), self.desired_state()?.to_string())?;
        let text = format!(
            "[identity]\nchain = \"gate.pem\"\nkeys = \"{KEYS}\"\n\
             [state]\nanchor = \"anchor.pem\"\nfile = \"desired.json\"\n\
             [radius]\nlisten = \"127.0.0.1:0\"\naccounting = \"127.0.0.1:0\"\n\
             [[radius.client]]\nname = \"bench\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n"
        );
        std::fs::write(dir.join("gate.toml"), text)?;
        Ok(())
    }

    /// Writes what other servers read: `ca.pem` with the list behind the authority, `server.pem`,
    /// `server.key`.
    pub(super) fn furnish_other(&self, dir: &Path) -> anyhow::Result<()> {
        let key = new_key()?;
        let signer = SoftwareSigner::from_pkcs8_der(&key)?;
        let certificate = self.server_certificate(signer.public_key())?;
        let list = pem("X509 CRL", self.list.der());
        let authority = self.authority.certificate().pem() + &list;
        std::fs::write(dir.join("ca.pem"), authority)?;
        std::fs::write(dir.join("server.pem"), certificate.pem())?;
        std::fs::write(dir.join("server.key"), pem("PRIVATE KEY", &key))?;
        Ok(())
    }

    fn server_certificate(&self, key: &PublicKey) -> anyhow::Result<Certificate> {
        let profile = Profile::tls_server(Name::common("gate")?, &["gate.example"]);
        Ok(self
            .authority
            .issue(&profile, key, &serial()?, self.validity)?)
    }

    fn desired_state(&self) -> anyhow::Result<Value> {
        let until = self.validity.not_after;
        let mut admitted = Vec::with_capacity(self.admitted);
        for number in 0..self.admitted {
            let credential = match self.devices.get(number) {
                Some(device) => device.certificate.serial_hex(),
                None => serial()?.map(|octet| format!("{octet:02x}")).concat(),
            };
            admitted.push(json!({
                "credential": credential,
                "device": format!("01890a5d-ac96-774b-bcce-{number:012}"),
                "segment": format!("segment-{}", number % 8),
                "expires_at": until,
            }));
        }
        Ok(json!({
            "version": 1,
            "issued_at": Clock::system().now(),
            "revocation_lists": [STANDARD.encode(self.list.der())],
            "admitted": admitted,
        }))
    }
}

impl Device {
    fn new(authority: &Authority, name: &str, validity: Validity) -> anyhow::Result<Self> {
        let key = new_key()?;
        let signer = SoftwareSigner::from_pkcs8_der(&key)?;
        let profile = Profile::ldevid(Name::new(&[(oid::SERIAL_NUMBER, name)])?, Vec::new());
        let certificate = authority.issue(&profile, signer.public_key(), &serial()?, validity)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        Ok(Self {
            certificate,
            key: Arc::new(CertifiedKey::new(chain, signer)),
        })
    }
}

impl Device {
    /// From now on it shows its own certificate and signs with another's key.
    fn takes_the_key_of(&mut self, other: &Self) {
        let chain = self.key.cert.clone();
        self.key = Arc::new(CertifiedKey::new(chain, other.key.key.clone()));
    }
}

fn list(authority: &Authority, serials: Vec<Vec<u8>>, now: Timestamp) -> anyhow::Result<Crl> {
    let entries: Vec<_> = serials
        .into_iter()
        .map(|serial| RevokedCertificate {
            serial,
            at: now,
            reason: RevocationReason::KeyCompromise,
        })
        .collect();
    let content = CrlContent {
        number: 1,
        this_update: now - SignedDuration::from_secs(60),
        next_update: now + SignedDuration::from_hours(24),
        entries: &entries,
    };
    Ok(authority.crl(&content)?)
}

fn new_key() -> anyhow::Result<Vec<u8>> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
    Ok(key.ok().context("no key could be made")?.as_ref().to_vec())
}

fn serial() -> anyhow::Result<[u8; 16]> {
    Ok(random::<16>()?.map(|octet| octet & 0x7f | 1))
}

/// Random octets.
pub(super) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .ok()
        .context("no randomness")?;
    Ok(bytes)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}
