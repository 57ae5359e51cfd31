//! Keys in a PKCS#11 token (HSM, smart card, SoftHSM2): made there, never readable.
//!
//! Every key is a pair of token objects under one `CKA_LABEL` and one random `CKA_ID`; the private
//! half is `CKA_SENSITIVE` and not `CKA_EXTRACTABLE`, which is checked after it was made. Hashing is
//! done here, `CKM_ECDSA` there, because every token can do that. When a session, the login or the
//! token is lost, the next operation logs in again and finds its key again, once.

mod module;
mod sessions;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{digest, rand};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use vouchsafe_trust::{PublicKey, Secret, SignError, SignatureAlgorithm, Signer};

pub use self::module::find_module;
use self::sessions::{Attempt, Generation, Token};
use crate::{
    Algorithm, Error, HardwareProblem, KeyAgreement, Permissions, StoreKind, agreement, ecdsa,
    label,
};

const ID_BYTES: usize = 20;
/// Named curves as `CKA_EC_PARAMS` holds them: DER object identifiers (RFC 5480 §2.1.1.1).
const P256_PARAMETERS: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384_PARAMETERS: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

#[derive(Debug)]
pub(crate) struct TokenStore {
    token: Arc<Token>,
}

impl TokenStore {
    pub(crate) fn open(
        module: &Path,
        token: &str,
        pin_file: &Path,
        permissions: Permissions,
    ) -> Result<Self, Error> {
        let pin = module::read_pin(token, pin_file, permissions)?;
        let token = Token::new(module::load(module)?, token, pin);
        // Token missing or PIN wrong is better known now than at the first signature.
        token.run("open session", |_, _| Ok(()))?;
        Ok(Self {
            token: Arc::new(token),
        })
    }

    pub(crate) fn create(
        &self,
        label: &str,
        algorithm: Algorithm,
    ) -> Result<Arc<dyn Signer>, Error> {
        self.make(label, algorithm, Use::Sign)?;
        self.load(label)
    }

    pub(crate) fn create_agreement(
        &self,
        label: &str,
        algorithm: Algorithm,
    ) -> Result<Arc<dyn KeyAgreement>, Error> {
        self.make(label, algorithm, Use::Agree)?;
        self.load_agreement(label)
    }

    fn make(&self, label: &str, algorithm: Algorithm, purpose: Use) -> Result<(), Error> {
        let parameters = match algorithm {
            Algorithm::EcdsaP256 => P256_PARAMETERS.to_vec(),
            Algorithm::EcdsaP384 => P384_PARAMETERS.to_vec(),
            Algorithm::Ed25519 => {
                return Err(Error::AlgorithmUnsupported {
                    algorithm,
                    store: StoreKind::Pkcs11,
                });
            }
        };
        let mut id = vec![0; ID_BYTES];
        rand::fill(&mut id).map_err(|_| Error::Random)?;
        let shared = [
            Attribute::Token(true),
            Attribute::Label(label.into()),
            Attribute::Id(id),
        ];
        let mut public = shared.to_vec();
        let signs = purpose == Use::Sign;
        public.extend([
            Attribute::Private(false),
            Attribute::Verify(signs),
            Attribute::EcParams(parameters),
        ]);
        let mut private = shared.to_vec();
        private.extend([
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(signs),
            Attribute::Derive(!signs),
        ]);
        let made = self.token.run("make key", |session, _| {
            if !private_keys(session, label)?.is_empty() {
                return Ok(None);
            }
            let (public, private) =
                session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
            let stays = !extractable(session, private)?;
            if !stays {
                session.destroy_object(private)?;
                session.destroy_object(public)?;
            }
            Ok(Some(stays))
        })?;
        match made {
            None => Err(Error::LabelExists {
                label: label.to_owned(),
                place: self.place(),
            }),
            Some(false) => Err(self.failed(HardwareProblem::Extractable {
                label: label.into(),
            })),
            Some(true) => Ok(()),
        }
    }

    pub(crate) fn load(&self, label: &str) -> Result<Arc<dyn Signer>, Error> {
        let (key, _) = self.find(label)?;
        let message = b"vouchsafe key self-test";
        let signature = key.try_sign(message)?;
        key.public_key
            .verify(Signer::algorithm(&key), message, &signature)
            .map_err(|_| {
                self.failed(HardwareProblem::SelfTest {
                    label: label.into(),
                })
            })?;
        Ok(Arc::new(key))
    }

    pub(crate) fn load_agreement(&self, label: &str) -> Result<Arc<dyn KeyAgreement>, Error> {
        let (key, point) = self.find(label)?;
        let key = TokenAgreement { key, point };
        agreement::check(&key, &self.place(), label)?;
        Ok(Arc::new(key))
    }

    /// The key of this label, and its public point.
    fn find(&self, label: &str) -> Result<(TokenKey, Vec<u8>), Error> {
        let found = self
            .token
            .run("find key", |session, _| describe(session, label))?;
        let described = match found {
            Found::Nothing => {
                return Err(Error::NotFound {
                    label: label.to_owned(),
                    place: self.place(),
                });
            }
            Found::Several => {
                return Err(self.failed(HardwareProblem::LabelAmbiguous {
                    label: label.into(),
                }));
            }
            Found::One(described) => described,
        };
        let (algorithm, point, public_key) = described.public_key().ok_or_else(|| {
            self.failed(HardwareProblem::Refused {
                doing: "read public key",
                reason: format!("{label:?} has no public half on P-256 or P-384"),
            })
        })?;
        let key = TokenKey {
            token: self.token.clone(),
            label: label.to_owned(),
            id: described.id,
            algorithm,
            public_key,
            handle: Mutex::new(None),
        };
        Ok((key, point))
    }

    pub(crate) fn delete(&self, label: &str) -> Result<(), Error> {
        let deleted = self.token.run("delete key", |session, _| {
            let private = private_keys(session, label)?;
            let public = session.find_objects(&[
                Attribute::Class(ObjectClass::PUBLIC_KEY),
                Attribute::Label(label.into()),
            ])?;
            for object in private.iter().chain(&public) {
                session.destroy_object(*object)?;
            }
            Ok(!private.is_empty())
        })?;
        if deleted {
            Ok(())
        } else {
            Err(Error::NotFound {
                label: label.to_owned(),
                place: self.place(),
            })
        }
    }

    pub(crate) fn list(&self) -> Result<Vec<String>, Error> {
        let mut labels = self.token.run("list keys", |session, _| {
            let keys = session.find_objects(&[
                Attribute::Class(ObjectClass::PRIVATE_KEY),
                Attribute::KeyType(KeyType::EC),
            ])?;
            let mut labels = Vec::new();
            for key in keys {
                for attribute in session.get_attributes(key, &[AttributeType::Label])? {
                    if let Attribute::Label(label) = attribute {
                        labels.extend(String::from_utf8(label).ok());
                    }
                }
            }
            Ok(labels)
        })?;
        labels.retain(|label| label::check(label).is_ok());
        labels.sort();
        labels.dedup();
        Ok(labels)
    }

    fn place(&self) -> String {
        self.token.what()
    }

    fn failed(&self, problem: HardwareProblem) -> Error {
        Error::hardware(self.place(), problem)
    }
}

#[derive(Debug)]
struct TokenKey {
    token: Arc<Token>,
    label: String,
    id: Vec<u8>,
    algorithm: Algorithm,
    public_key: PublicKey,
    /// Object handles last as long as the login they were found under.
    handle: Mutex<Option<(Generation, ObjectHandle)>>,
}

impl TokenKey {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let hash = match self.algorithm {
            Algorithm::EcdsaP384 => digest::digest(&digest::SHA384, message),
            Algorithm::EcdsaP256 | Algorithm::Ed25519 => digest::digest(&digest::SHA256, message),
        };
        let signature = self.token.run("sign", |session, generation| {
            let Some(handle) = self.handle(session, generation)? else {
                return Ok(None);
            };
            session
                .sign(&Mechanism::Ecdsa, handle, hash.as_ref())
                .map(Some)
        })?;
        let signature = signature.ok_or_else(|| Error::NotFound {
            label: self.label.clone(),
            place: self.token.what(),
        })?;
        // PKCS#11 §2.3.1: r and s, each padded to the same length.
        let (r, s) = signature.split_at(signature.len() / 2);
        let fits = ecdsa::coordinate_bytes(self.algorithm) == Some(r.len()) && r.len() == s.len();
        fits.then(|| ecdsa::signature_der(r, s))
            .flatten()
            .ok_or_else(|| {
                let reason = format!(
                    "a signature of {} bytes does not fit the key",
                    signature.len()
                );
                Error::hardware(
                    self.token.what(),
                    HardwareProblem::Refused {
                        doing: "sign",
                        reason,
                    },
                )
            })
    }

    fn handle(&self, session: &Session, generation: Generation) -> Attempt<Option<ObjectHandle>> {
        let mut cached = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, handle)) = cached.filter(|(found_in, _)| *found_in == generation) {
            return Ok(Some(handle));
        }
        let mut found = session.find_objects(&[
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Label(self.label.as_bytes().to_vec()),
            Attribute::Id(self.id.clone()),
        ])?;
        let handle = found.pop();
        *cached = handle.map(|handle| (generation, handle));
        Ok(handle)
    }
}

impl Signer for TokenKey {
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
                    problem: HardwareProblem::Refused { .. },
                    ..
                } => SignError::Failed,
                _ => SignError::Unavailable,
            }
        })
    }

    fn may_block(&self) -> bool {
        true
    }
}

/// A key of the token that agrees on secrets.
#[derive(Debug)]
struct TokenAgreement {
    key: TokenKey,
    point: Vec<u8>,
}

impl KeyAgreement for TokenAgreement {
    fn algorithm(&self) -> Algorithm {
        self.key.algorithm
    }

    fn public_point(&self) -> &[u8] {
        &self.point
    }

    fn agree_x(&self, peer: &[u8]) -> Result<Secret, Error> {
        let length = ecdsa::coordinate_bytes(self.key.algorithm).unwrap_or_default();
        // PKCS#11 §2.3.17: what comes out is an object of its own. It is for this session alone, is
        // read at once, and destroyed.
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::Token(false),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
            Attribute::ValueLen((length as u64).into()),
        ];
        let parameters = Ecdh1DeriveParams::new(EcKdf::null(), peer);
        let mechanism = Mechanism::Ecdh1Derive(parameters);
        let derived = self.key.token.run("agree", |session, generation| {
            let Some(handle) = self.key.handle(session, generation)? else {
                return Ok(None);
            };
            let derived = session.derive_key(&mechanism, handle, &template)?;
            let read = session.get_attributes(derived, &[AttributeType::Value]);
            session.destroy_object(derived)?;
            Ok(Some(read?))
        })?;
        let derived = derived.ok_or_else(|| Error::NotFound {
            label: self.key.label.clone(),
            place: self.key.token.what(),
        })?;
        let secret = derived.into_iter().find_map(|attribute| match attribute {
            Attribute::Value(value) => Some(Secret::new(value)),
            _ => None,
        });
        secret
            .filter(|secret| secret.len() == length)
            .ok_or_else(|| {
                let problem = HardwareProblem::Refused {
                    doing: "agree",
                    reason: "no secret of the key's length came out".to_owned(),
                };
                Error::hardware(self.key.token.what(), problem)
            })
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Sign,
    Agree,
}

enum Found {
    Nothing,
    Several,
    One(Described),
}

struct Described {
    id: Vec<u8>,
    parameters: Vec<u8>,
    point: Vec<u8>,
}

impl Described {
    fn public_key(&self) -> Option<(Algorithm, Vec<u8>, PublicKey)> {
        let algorithm = match self.parameters.as_slice() {
            parameters if parameters == P256_PARAMETERS => Algorithm::EcdsaP256,
            parameters if parameters == P384_PARAMETERS => Algorithm::EcdsaP384,
            _ => return None,
        };
        let point_bytes = 1 + 2 * ecdsa::coordinate_bytes(algorithm)?;
        // The standard wraps the point in an OCTET STRING; some tokens give it bare.
        let point = match self.point.as_slice() {
            [0x04, length, point @ ..]
                if usize::from(*length) == point_bytes && point.len() == point_bytes =>
            {
                point
            }
            bare => bare,
        };
        Some((
            algorithm,
            point.to_vec(),
            ecdsa::public_key(algorithm, point)?,
        ))
    }
}

fn describe(session: &Session, label: &str) -> Attempt<Found> {
    let private = match private_keys(session, label)?.as_slice() {
        [] => return Ok(Found::Nothing),
        [private] => *private,
        _ => return Ok(Found::Several),
    };
    let mut described = Described {
        id: Vec::new(),
        parameters: Vec::new(),
        point: Vec::new(),
    };
    for attribute in session.get_attributes(private, &[AttributeType::Id])? {
        if let Attribute::Id(id) = attribute {
            described.id = id;
        }
    }
    let public = session.find_objects(&[
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::Label(label.into()),
        Attribute::Id(described.id.clone()),
    ])?;
    if let Some(public) = public.first() {
        let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
        for attribute in session.get_attributes(*public, &wanted)? {
            match attribute {
                Attribute::EcParams(parameters) => described.parameters = parameters,
                Attribute::EcPoint(point) => described.point = point,
                _ => {}
            }
        }
    }
    Ok(Found::One(described))
}

fn private_keys(session: &Session, label: &str) -> Attempt<Vec<ObjectHandle>> {
    session.find_objects(&[
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Label(label.into()),
    ])
}

/// Whether the token would give the key out. A token that does not say so is taken to.
fn extractable(session: &Session, private: ObjectHandle) -> Attempt<bool> {
    let asked = [AttributeType::Extractable, AttributeType::Sensitive];
    let stated = session.get_attributes(private, &asked)?;
    let stays = stated.contains(&Attribute::Extractable(false))
        && stated.contains(&Attribute::Sensitive(true));
    Ok(!stays)
}
