//! What anybody can make for themselves: keys, a certification authority, certificates that say
//! whatever they like.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use vouchsafe_keystore::{Algorithm, generate_pkcs8};
use vouchsafe_net::Identity;
use vouchsafe_trust::{
    Authority, Name, Profile, Signer, SoftwareSigner, SubjectAltName, Validity, oid,
};

/// An authority that nobody else knows.
pub(super) struct Pretender {
    pub(super) authority: Authority,
    organization: String,
    now: Timestamp,
}

impl Pretender {
    /// A new one.
    pub(super) fn new(
        organization: &str,
        profile: fn(Name) -> Profile,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let subject = name(organization, "root")?;
        let authority =
            Authority::self_signed(&profile(subject), &random()?, valid(now), fresh_signer()?)
                .context("a root")?;
        Ok(Self {
            authority,
            organization: organization.to_owned(),
            now,
        })
    }

    /// A registrar at 127.0.0.1.
    pub(super) fn registrar(&self) -> anyhow::Result<Identity> {
        self.identity(Profile::registrar(
            name(&self.organization, "registrar")?,
            &[],
        ))
    }

    /// A signer of vouchers.
    pub(super) fn masa(&self) -> anyhow::Result<Identity> {
        self.identity(Profile::voucher_signer(name(&self.organization, "MASA")?))
    }

    fn identity(&self, mut profile: Profile) -> anyhow::Result<Identity> {
        profile.subject_alt_names = vec![
            SubjectAltName::Dns("localhost".to_owned()),
            SubjectAltName::Ip(vec![127, 0, 0, 1]),
        ];
        let signer = fresh_signer()?;
        let leaf = self
            .authority
            .issue(&profile, signer.public_key(), &random()?, valid(self.now))
            .context("a certificate")?;
        let mut chain = vec![leaf];
        chain.extend_from_slice(self.authority.chain());
        Ok(Identity::new(chain, signer)?)
    }
}

/// `O=organization, CN=common`.
fn name(organization: &str, common: &str) -> anyhow::Result<Name> {
    let common = format!("{organization} {common}");
    let attributes = [
        (oid::ORGANIZATION, organization),
        (oid::COMMON_NAME, common.as_str()),
    ];
    Name::new(&attributes).context("a name")
}

/// A key in memory.
pub(super) fn fresh_signer() -> anyhow::Result<Arc<dyn Signer>> {
    let key = generate_pkcs8(Algorithm::EcdsaP256)?;
    Ok(Arc::new(SoftwareSigner::from_pkcs8_der(key.expose())?))
}

/// A serial number.
pub(super) fn random() -> anyhow::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("no randomness"))?;
    Ok(bytes)
}

/// For as long as a demo could last.
fn valid(now: Timestamp) -> Validity {
    let day = SignedDuration::from_hours(24);
    Validity::new(
        now.saturating_sub(day).unwrap_or(now),
        now.saturating_add(day * 30).unwrap_or(now),
    )
}
