//! BRSKI (RFC 8995), vouchers (RFC 8366, RFC 8366bis, the JWS and constrained voucher drafts)
//! and EST bodies (RFC 7030, 8951, 9908): messages, and the rules of pledge, registrar and MASA.
//!
//! Nothing here does IO, reads a clock or draws random numbers: bytes, certificates and the
//! time go in, a verified message or an [`Error`] that names rule and section comes out.
//!
//! The exchange, and who holds which step:
//!
//! 1. [`pledge::PledgeRequest::sign`]: the pledge names itself, a nonce and the registrar it sees.
//! 2. [`registrar::verify_pledge_request`]: the registrar checks that request against the TLS
//!    connection it came on.
//! 3. [`registrar::RegistrarRequest::sign`]: the registrar asks the MASA, the pledge's request inside.
//! 4. [`masa::verify_registrar_request`]: the MASA checks both.
//! 5. [`masa::issue_voucher`]: the MASA names the domain to the device.
//! 6. [`registrar::read_voucher`]: the registrar looks at the voucher it hands on.
//! 7. [`pledge::verify_voucher`], then [`pledge::reverify_server_chain`]: the device checks the
//!    voucher, then the connection.
//! 8. [`telemetry`]: the device reports; [`audit`]: the registrar asks the MASA who came before.
//! 9. [`est`], [`csrattrs`]: the device fetches the domain's certificates and gets one of its own.
//! 10. [`networks`]: with it, the device asks which networks it may come into.
//!
//! Before the first step comes [`grasp`]: where a registrar, or a proxy to one, is.
//!
//! The caller's part: transport, replay protection of nonces, ownership, policy.

pub mod audit;
mod base64;
mod cbor;
#[cfg(test)]
mod codec_tests;
mod compatibility;
pub mod csrattrs;
mod envelope;
mod error;
pub mod est;
pub mod examine;
pub mod grasp;
pub mod idevid;
mod inspect;
mod json;
mod leaf;
pub mod masa;
pub mod networks;
pub mod pledge;
pub mod registrar;
pub mod status;
pub mod telemetry;
mod voucher;

pub use cbor::{REQUEST_SIDS, SidTable, VOUCHER_SIDS};
pub use compatibility::Compatibility;
pub use envelope::MAX_MESSAGE_LEN;
pub use error::{Artifact, Error, Malformed, Misuse, Refusal, Unsupported};
pub use inspect::{InspectedCertificate, Inspection, inspect};
pub use voucher::{
    Assertion, Encoding, NONCE_MAX, NONCE_MIN, Nonce, OtherField, Voucher, VoucherRequest,
};

/// Where a pledge posts its voucher request, and a registrar its own (RFC 8995 §5.2, §5.5).
pub const PATH_REQUEST_VOUCHER: &str = "/.well-known/brski/requestvoucher";
/// Where a pledge reports on the voucher (RFC 8995 §5.7).
pub const PATH_VOUCHER_STATUS: &str = "/.well-known/brski/voucher_status";
/// Where a registrar asks the MASA for the audit log (RFC 8995 §5.8).
pub const PATH_REQUEST_AUDIT_LOG: &str = "/.well-known/brski/requestauditlog";
/// Where a pledge reports on its enrolment (RFC 8995 §5.9.4).
pub const PATH_ENROLL_STATUS: &str = "/.well-known/brski/enrollstatus";
