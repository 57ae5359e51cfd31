//! One connection to a TPM, shared by all its keys, opened anew when it is lost.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_lc_rs::digest;
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::{
    Auth, Digest, EccParameter, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme,
    Private, Public, PublicBuilder, PublicEccParametersBuilder, Signature, SignatureScheme,
    SymmetricDefinitionObject,
};
use tss_esapi::tcti_ldr::TctiNameConf;
use tss_esapi::traits::{Marshall, UnMarshall};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;
use tss_esapi::{Context, Error as TpmError};
use vouchsafe_trust::{PublicKey, Secret};

use super::blob::Blob;
use crate::{Algorithm, Error, HardwareProblem, ecdsa};

type Attempt<T> = Result<T, TpmError>;

/// Most TPMs serve one connection at a time: the stores of a process share it.
static SHARED: Mutex<BTreeMap<String, Weak<Device>>> = Mutex::new(BTreeMap::new());

pub(super) struct Device {
    tcti: String,
    connection: Mutex<Option<Connection>>,
}

struct Connection {
    context: Context,
    /// TPMs have as few as three slots; one is kept for the key that signed last.
    loaded: Option<(String, Vec<u8>, KeyHandle)>,
}

impl Device {
    pub(super) fn shared(tcti: &str) -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = shared.get(tcti).and_then(Weak::upgrade) {
            return device;
        }
        let device = Arc::new(Self {
            tcti: tcti.to_owned(),
            connection: Mutex::new(None),
        });
        shared.insert(tcti.to_owned(), Arc::downgrade(&device));
        device
    }

    /// The TPM in words, for messages.
    pub(super) fn what(&self) -> String {
        format!("TPM {}", self.tcti)
    }

    /// Sees that the TPM is there and that its owner hierarchy is ours to use.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.run("make the storage key", |connection| {
            let parent = connection.parent()?;
            connection.context.flush_context(parent.into())
        })
    }

    pub(super) fn create(
        &self,
        label: &str,
        algorithm: Algorithm,
        purpose: Use,
    ) -> Result<Blob, Error> {
        self.run("make key", |connection| {
            connection.unload()?;
            let parent = connection.parent()?;
            let made = connection.context.execute_with_nullauth_session(|context| {
                let auth = Some(authorization(label)?);
                context.create(
                    parent,
                    key_public(algorithm, purpose)?,
                    auth,
                    None,
                    None,
                    None,
                )
            });
            connection.context.flush_context(parent.into())?;
            let made = made?;
            Ok(Blob {
                public: made.out_public.marshall()?,
                private: made.out_private.to_vec(),
            })
        })
    }

    /// The x coordinate of the key times `peer`, an uncompressed point (TPM 2.0 Part 3 §14.5).
    pub(super) fn agree_x(
        &self,
        label: &str,
        blob: &Blob,
        peer: &[u8],
        length: usize,
    ) -> Result<Secret, Error> {
        let refused = |reason: &str| {
            let problem = HardwareProblem::Refused {
                doing: "agree",
                reason: reason.to_owned(),
            };
            Error::hardware(self.what(), problem)
        };
        let (x, y) = peer
            .strip_prefix(&[4])
            .and_then(|coordinates| coordinates.split_at_checked(length))
            .filter(|(_, y)| y.len() == length)
            .ok_or_else(|| refused("the peer's point is not one of the curve"))?;
        let product = self.run("agree", |connection| {
            let key = connection.load(label, blob)?;
            let point = EccPoint::new(
                EccParameter::try_from(x.to_vec())?,
                EccParameter::try_from(y.to_vec())?,
            );
            connection
                .context
                .execute_with_nullauth_session(|context| context.ecdh_z_gen(key, point))
        })?;
        // Some TPMs leave leading zeros out.
        let found: &[u8] = product.x();
        let padding = length
            .checked_sub(found.len())
            .ok_or_else(|| refused("no secret of the key's length came out"))?;
        let mut secret = Vec::with_capacity(length);
        secret.resize(padding, 0);
        secret.extend_from_slice(found);
        Ok(Secret::new(secret))
    }

    /// Signs a hash that is as long as the key's own; the result is DER.
    pub(super) fn sign(&self, label: &str, blob: &Blob, hash: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.run("sign", |connection| {
            let key = connection.load(label, blob)?;
            let validation = TPMT_TK_HASHCHECK {
                tag: TPM2_ST_HASHCHECK,
                hierarchy: TPM2_RH_NULL,
                digest: Default::default(),
            };
            connection.context.execute_with_nullauth_session(|context| {
                context.sign(
                    key,
                    Digest::try_from(hash)?,
                    SignatureScheme::Null,
                    validation.try_into()?,
                )
            })
        });
        let refused = |reason: String| {
            Error::hardware(
                self.what(),
                HardwareProblem::Refused {
                    doing: "sign",
                    reason,
                },
            )
        };
        match signature {
            Ok(Signature::EcDsa(signature)) => {
                ecdsa::signature_der(signature.signature_r(), signature.signature_s())
                    .ok_or_else(|| refused("r or s is zero".into()))
            }
            Ok(_) => Err(refused("not an ECDSA signature".into())),
            Err(Error::Hardware {
                problem: HardwareProblem::Refused { reason, .. },
                what,
            }) => {
                let label = label.to_owned();
                Err(Error::hardware(
                    what,
                    HardwareProblem::ForeignBlob { label, reason },
                ))
            }
            Err(error) => Err(error),
        }
    }

    /// Does something over the connection, a second time over a new one when the first fails: the
    /// TPM may have been reset or its resource manager restarted, which shows in many ways.
    fn run<T>(
        &self,
        doing: &'static str,
        work: impl Fn(&mut Connection) -> Attempt<T>,
    ) -> Result<T, Error> {
        let mut held = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = held.as_mut() {
            match work(connection) {
                Ok(done) => return Ok(done),
                Err(error) => {
                    tracing::info!(tcti = self.tcti, %error, "connecting to the TPM again");
                    *held = None;
                }
            }
        }
        let mut connection = Connection::open(&self.tcti).map_err(|error| {
            let reason = error.to_string();
            Error::hardware(self.what(), HardwareProblem::TpmMissing { reason })
        })?;
        let done = work(&mut connection).map_err(|error| {
            let reason = error.to_string();
            Error::hardware(self.what(), HardwareProblem::Refused { doing, reason })
        })?;
        *held = Some(connection);
        Ok(done)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.tcti)
    }
}

impl Connection {
    fn open(tcti: &str) -> Attempt<Self> {
        let context = Context::new(TctiNameConf::from_str(tcti)?)?;
        Ok(Self {
            context,
            loaded: None,
        })
    }

    fn parent(&mut self) -> Attempt<KeyHandle> {
        let public = storage_public()?;
        self.context
            .execute_with_nullauth_session(|context| {
                context.create_primary(Hierarchy::Owner, public, None, None, None, None)
            })
            .map(|made| made.key_handle)
    }

    fn load(&mut self, label: &str, blob: &Blob) -> Attempt<KeyHandle> {
        if let Some((loaded_label, private, key)) = &self.loaded
            && loaded_label == label
            && *private == blob.private
        {
            return Ok(*key);
        }
        self.unload()?;
        let parent = self.parent()?;
        let loaded = self.context.execute_with_nullauth_session(|context| {
            let private = Private::try_from(blob.private.clone())?;
            context.load(parent, private, Public::unmarshall(&blob.public)?)
        });
        self.context.flush_context(parent.into())?;
        let key = loaded?;
        self.context
            .tr_set_auth(key.into(), authorization(label)?)?;
        self.loaded = Some((label.to_owned(), blob.private.clone(), key));
        Ok(key)
    }

    fn unload(&mut self) -> Attempt<()> {
        match self.loaded.take() {
            Some((_, _, key)) => self.context.flush_context(key.into()),
            None => Ok(()),
        }
    }
}

/// Algorithm, public point and public key of a key that this module made.
pub(super) fn public_key(blob: &Blob) -> Option<(Algorithm, Vec<u8>, PublicKey)> {
    let Ok(Public::Ecc {
        parameters, unique, ..
    }) = Public::unmarshall(&blob.public)
    else {
        return None;
    };
    let algorithm = match parameters.ecc_curve() {
        EccCurve::NistP256 => Algorithm::EcdsaP256,
        EccCurve::NistP384 => Algorithm::EcdsaP384,
        _ => return None,
    };
    let coordinate_bytes = ecdsa::coordinate_bytes(algorithm)?;
    let mut point = vec![4];
    for coordinate in [unique.x(), unique.y()] {
        // Some TPMs leave leading zeros out.
        let padding = coordinate_bytes.checked_sub(coordinate.len())?;
        point.resize(point.len() + padding, 0);
        point.extend_from_slice(coordinate);
    }
    let public_key = ecdsa::public_key(algorithm, &point)?;
    Some((algorithm, point, public_key))
}

fn authorization(label: &str) -> Attempt<Auth> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"vouchsafe tpm key\0");
    hash.update(label.as_bytes());
    Auth::try_from(hash.finish().as_ref())
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Sign,
    Agree,
}

fn key_public(algorithm: Algorithm, purpose: Use) -> Attempt<Public> {
    let (curve, hash) = match algorithm {
        Algorithm::EcdsaP384 => (EccCurve::NistP384, HashingAlgorithm::Sha384),
        Algorithm::EcdsaP256 | Algorithm::Ed25519 => (EccCurve::NistP256, HashingAlgorithm::Sha256),
    };
    let signs = purpose == Use::Sign;
    let scheme = HashScheme::new(hash);
    let scheme = match purpose {
        Use::Sign => EccScheme::EcDsa(scheme),
        Use::Agree => EccScheme::EcDh(scheme),
    };
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(signs)
        .with_decrypt(!signs)
        .build()?;
    let parameters = PublicEccParametersBuilder::new()
        .with_ecc_scheme(scheme)
        .with_curve(curve)
        .with_is_signing_key(signs)
        .with_is_decryption_key(!signs)
        .with_restricted(false)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null);
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters.build()?)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

/// The storage key: the same bytes every time, or the TPM would derive another key.
fn storage_public() -> Attempt<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
        SymmetricDefinitionObject::AES_128_CFB,
        EccCurve::NistP256,
    );
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters.build()?)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}
