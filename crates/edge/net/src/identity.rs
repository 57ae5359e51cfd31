//! Who we are on a connection: a chain and the signer for its key.
//!
//! The signer may be a file, a token or a TPM ([`vouchsafe_trust::Signer`]); TLS never sees the key.
//! Chains go out as they are, so that an X.509 v1 IDevID or one with odd extensions works.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer as TlsSigner, SigningKey};
use rustls_pki_types::CertificateDer;
use vouchsafe_trust::{Certificate, SignatureAlgorithm, Signer};

/// A certificate chain, leaf first, and the signer for the leaf's key.
#[derive(Clone)]
pub struct Identity {
    chain: Arc<[Certificate]>,
    signer: Arc<dyn Signer>,
    key: Arc<CertifiedKey>,
}

impl Identity {
    /// Joins a chain (leaf first, then whatever the peer should see) and the signer of its leaf.
    ///
    /// # Errors
    ///
    /// The chain is empty, the signer holds another key than the leaf certifies, or its algorithm
    /// does not exist in TLS.
    pub fn new(chain: Vec<Certificate>, signer: Arc<dyn Signer>) -> Result<Self, IdentityError> {
        let leaf = chain.first().ok_or(IdentityError::EmptyChain)?;
        if leaf.public_key() != signer.public_key() {
            return Err(IdentityError::KeyMismatch);
        }
        let scheme = scheme(signer.algorithm()).ok_or(IdentityError::UnsupportedKey)?;
        let certificates = chain
            .iter()
            .map(|each| CertificateDer::from(each.der().to_vec()))
            .collect();
        let key = Arc::new(TlsKey {
            signer: signer.clone(),
            scheme,
        });
        let key = Arc::new(CertifiedKey::new(certificates, key));
        Ok(Self {
            chain: chain.into(),
            signer,
            key,
        })
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &Arc<[Certificate]> {
        &self.chain
    }

    /// The signer of the leaf's key.
    pub fn signer(&self) -> &Arc<dyn Signer> {
        &self.signer
    }

    /// Chain and key as TLS takes them, for a protocol that carries TLS inside (EAP-TLS).
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.chain.first().map(|leaf| leaf.subject_text());
        f.debug_struct("Identity")
            .field("subject", &subject)
            .field("certificates", &self.chain.len())
            .finish()
    }
}

/// Why a chain and a signer do not make an [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// No certificate at all.
    #[error("the certificate chain is empty")]
    EmptyChain,
    /// The leaf certifies another key.
    #[error("the first certificate of the chain is not for this private key")]
    KeyMismatch,
    /// The key's algorithm cannot sign in TLS.
    #[error("keys of this kind cannot be used in TLS")]
    UnsupportedKey,
}

/// An identity that can be replaced while it is in use: connections that exist keep the old one,
/// the next one sees the new one. Clones share it.
#[derive(Clone)]
pub struct ReloadableIdentity(Arc<RwLock<Arc<Identity>>>);

impl ReloadableIdentity {
    /// Starts with `identity`.
    pub fn new(identity: Identity) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(identity))))
    }

    /// From now on new connections use `identity`.
    pub fn replace(&self, identity: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }

    /// The identity that a connection made now would use.
    pub fn current(&self) -> Arc<Identity> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl From<Identity> for ReloadableIdentity {
    fn from(identity: Identity) -> Self {
        Self::new(identity)
    }
}

impl fmt::Debug for ReloadableIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReloadableIdentity")
            .field(&self.current())
            .finish()
    }
}

/// Presents one identity, whatever the peer names as server or as acceptable issuers.
#[derive(Debug)]
pub(crate) struct Presents(pub(crate) Arc<CertifiedKey>);

impl ResolvesServerCert for Presents {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl ResolvesClientCert for Presents {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.key.choose_scheme(schemes).map(|_| self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

struct TlsKey {
    signer: Arc<dyn Signer>,
    scheme: SignatureScheme,
}

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn TlsSigner>> {
        offered.contains(&self.scheme).then(|| {
            Box::new(Self {
                signer: self.signer.clone(),
                scheme: self.scheme,
            }) as _
        })
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        match self.scheme {
            SignatureScheme::ED25519 => rustls::SignatureAlgorithm::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ECDSA_NISTP521_SHA512 => rustls::SignatureAlgorithm::ECDSA,
            _ => rustls::SignatureAlgorithm::RSA,
        }
    }
}

impl TlsSigner for TlsKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        // X.509 and TLS write ECDSA and EdDSA signatures alike.
        self.signer
            .sign(message)
            .map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsKey({:?})", self.scheme)
    }
}

fn scheme(algorithm: SignatureAlgorithm) -> Option<SignatureScheme> {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => Some(SignatureScheme::ECDSA_NISTP256_SHA256),
        SignatureAlgorithm::EcdsaP384Sha384 => Some(SignatureScheme::ECDSA_NISTP384_SHA384),
        SignatureAlgorithm::EcdsaP521Sha512 => Some(SignatureScheme::ECDSA_NISTP521_SHA512),
        SignatureAlgorithm::Ed25519 => Some(SignatureScheme::ED25519),
        _ => None,
    }
}
