//! Certificates, path validation and signed envelopes; the only maker of verified values.

mod asn1;
mod authority;
mod certificate;
mod error;
mod key;
mod name;
mod ocsp;
mod path;
mod profile;
mod request;
mod revocation;
mod secret;
mod signer;
mod verified;

pub mod oid;

pub use authority::Authority;
pub use certificate::{
    BasicConstraints, Certificate, Extension, HardwareModuleName, KeyUsage, MAX_CERTIFICATE_LENGTH,
    MAX_EXTENSIONS, MAX_PEM_CERTIFICATES, NO_EXPIRY, SubjectAltName,
};
pub use error::{
    Error, IssueError, ParseError, PathError, RequestError, RevocationError, SignError,
    SignatureError,
};
pub use key::{DigestAlgorithm, KeyType, MIN_RSA_BITS, PublicKey, SignatureAlgorithm};
pub use name::Name;
pub use ocsp::{
    CertificateId, CertificateStatus, MAX_OCSP_LENGTH, MAX_OCSP_NONCE_LENGTH, MAX_OCSP_QUESTIONS,
    OcspContent, OcspRefusal, OcspRequest, OcspResponse,
};
pub use oid::Oid;
pub use path::{
    Anchors, IdevidRules, MAX_INTERMEDIATES, MAX_PATH_LENGTH, Mode, Path, PathRules,
    SIGNATURE_BUDGET, Usage, verify_path,
};
pub use profile::{Profile, Validity};
pub use request::{
    Attribute, CertificateRequest, MAX_ATTRIBUTES, MAX_REQUEST_LENGTH, RequestContent,
};
pub use revocation::{
    Crl, CrlContent, MAX_CRL_LENGTH, Revocation, RevocationReason, RevokedCertificate,
};
pub use secret::Secret;
pub use signer::{Signer, SoftwareSigner};
pub use verified::Verified;

pub mod cms;
pub mod cose;
pub mod envelope;
pub mod jws;
mod raw_signature;

pub use envelope::{EnvelopeError, Signed};
