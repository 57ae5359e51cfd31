//! Certificates, path validation and signed envelopes; the only maker of verified values.

mod verified;

pub use verified::Verified;
