//! Keys in a TPM 2.0: made by it, wrapped by it, used in it.
//!
//! Nothing is stored in the TPM's few persistent slots: each key is a file `DIR/LABEL.tpm` that
//! holds the public area and the private area as the TPM wrapped it, worthless anywhere else. The
//! wrapping key is a P-256 storage key that the TPM derives from its owner seed each time, so
//! clearing the TPM destroys all keys. Owner authorization must be empty, as it is by default.
//!
//! A key's authorization value is derived from its label: a blob put under another label does not
//! sign. Such keys are exempt from the TPM's lock-out, which guards guessable passwords.

mod blob;
mod device;

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use vouchsafe_trust::{PublicKey, Secret, SignError, SignatureAlgorithm, Signer};

use self::blob::{Blob, MAX_BLOB_BYTES};
use self::device::{Device, Use};
use crate::key_folder::KeyFolder;
use crate::{Algorithm, Error, HardwareProblem, KeyAgreement, StoreKind, agreement, ecdsa};

#[derive(Debug)]
pub(crate) struct TpmStore {
    device: Arc<Device>,
    folder: KeyFolder,
}

impl TpmStore {
    pub(crate) fn open(tcti: &str, keys: &Path) -> Result<Self, Error> {
        let device = Device::shared(tcti);
        let (folder, ()) = KeyFolder::open(keys, ".tpm", |_| device.check())?;
        Ok(Self { device, folder })
    }

    pub(crate) fn create(
        &self,
        label: &str,
        algorithm: Algorithm,
    ) -> Result<Arc<dyn Signer>, Error> {
        if algorithm == Algorithm::Ed25519 {
            return Err(Error::AlgorithmUnsupported {
                algorithm,
                store: StoreKind::Tpm,
            });
        }
        let blob = self.device.create(label, algorithm, Use::Sign)?;
        let signer = self.signer(label, blob.clone())?;
        self.folder.create(label, &blob.encode(label))?;
        Ok(signer)
    }

    pub(crate) fn create_agreement(
        &self,
        label: &str,
        algorithm: Algorithm,
    ) -> Result<Arc<dyn KeyAgreement>, Error> {
        let blob = self.device.create(label, algorithm, Use::Agree)?;
        let key = self.agreement(label, blob.clone())?;
        self.folder.create(label, &blob.encode(label))?;
        Ok(key)
    }

    pub(crate) fn load(&self, label: &str) -> Result<Arc<dyn Signer>, Error> {
        let blob = self.read(label)?;
        self.signer(label, blob)
    }

    pub(crate) fn load_agreement(&self, label: &str) -> Result<Arc<dyn KeyAgreement>, Error> {
        let blob = self.read(label)?;
        self.agreement(label, blob)
    }

    fn read(&self, label: &str) -> Result<Blob, Error> {
        let contents = self.folder.read(label, MAX_BLOB_BYTES)?;
        Blob::decode(label, &contents).map_err(|problem| self.folder.problem(label, problem))
    }

    pub(crate) fn delete(&self, label: &str) -> Result<(), Error> {
        self.folder.delete(label)
    }

    pub(crate) fn list(&self) -> Result<Vec<String>, Error> {
        self.folder.labels()
    }

    /// The key, after it has shown that the blob belongs to this TPM and label.
    fn agreement(&self, label: &str, blob: Blob) -> Result<Arc<dyn KeyAgreement>, Error> {
        let (algorithm, point, _) = device::public_key(&blob).ok_or_else(|| self.garbled(label))?;
        let key = TpmAgreement {
            device: self.device.clone(),
            label: label.to_owned(),
            blob,
            algorithm,
            point,
        };
        agreement::check(&key, &self.device.what(), label)?;
        Ok(Arc::new(key))
    }

    fn garbled(&self, label: &str) -> Error {
        let label = label.to_owned();
        Error::hardware(self.device.what(), HardwareProblem::SelfTest { label })
    }

    /// The signer, after it has shown that the blob belongs to this TPM and label.
    fn signer(&self, label: &str, blob: Blob) -> Result<Arc<dyn Signer>, Error> {
        let failed = |problem| Error::hardware(self.device.what(), problem);
        let (algorithm, _, public_key) =
            device::public_key(&blob).ok_or_else(|| self.garbled(label))?;
        let device = self.device.clone();
        let signer = TpmSigner {
            device,
            label: label.to_owned(),
            blob,
            algorithm,
            public_key,
        };
        let message = b"vouchsafe key self-test";
        let signature = signer.try_sign(message)?;
        signer
            .public_key
            .verify(signer.algorithm(), message, &signature)
            .map_err(|_| {
                failed(HardwareProblem::SelfTest {
                    label: label.to_owned(),
                })
            })?;
        Ok(Arc::new(signer))
    }
}

#[derive(Debug)]
struct TpmAgreement {
    device: Arc<Device>,
    label: String,
    blob: Blob,
    algorithm: Algorithm,
    point: Vec<u8>,
}

impl KeyAgreement for TpmAgreement {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn public_point(&self) -> &[u8] {
        &self.point
    }

    fn agree_x(&self, peer: &[u8]) -> Result<Secret, Error> {
        let length = ecdsa::coordinate_bytes(self.algorithm).unwrap_or_default();
        self.device.agree_x(&self.label, &self.blob, peer, length)
    }
}

#[derive(Debug)]
struct TpmSigner {
    device: Arc<Device>,
    label: String,
    blob: Blob,
    algorithm: Algorithm,
    public_key: PublicKey,
}

impl TpmSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let hash = match self.algorithm {
            Algorithm::EcdsaP384 => digest::digest(&digest::SHA384, message),
            Algorithm::EcdsaP256 | Algorithm::Ed25519 => digest::digest(&digest::SHA256, message),
        };
        self.device.sign(&self.label, &self.blob, hash.as_ref())
    }
}

impl Signer for TpmSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm.signature_algorithm()
    }

    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.try_sign(message).map_err(|error| {
            tracing::warn!(%error, "signing failed");
            match error {
                Error::Hardware {
                    problem: HardwareProblem::TpmMissing { .. },
                    ..
                } => SignError::Unavailable,
                _ => SignError::Failed,
            }
        })
    }

    fn may_block(&self) -> bool {
        true
    }
}
