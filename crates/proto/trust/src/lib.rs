//! Certificates, path validation and signed envelopes; the only maker of verified values.
//!
//! * Bytes come in through `parse`, `from_der` or `from_pem`, and say what they claim, no more.
//! * [`verify_path`], [`CertificateRequest::verify`], [`Crl::verify`], [`OcspResponse::verify`] and the
//!   envelopes' `verify` turn a claim into a [`Verified`] value. Anchors are always an argument
//!   ([`Anchors`] cannot be empty), and so is the time.
//! * Private keys are behind [`Signer`]. [`Authority`] issues, [`CertificateRequest::build`] asks.
//!
//! The reader and writer of DER are our own. A signature covers bytes, so they must be kept as
//! received: a model that decodes and encodes again accepts some certificates whose signature it can
//! then no longer check, and refuses to show others (version 1, odd serial numbers, years that it
//! does not know) which the rules of a manufacturer may allow. Every length is bounded by a
//! constant, nothing recurses, and no input panics.

mod asn1;
mod authority;
mod certificate;
mod error;
mod key;
mod name;
mod ocsp;
mod path;
mod profile;
mod reason;
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
