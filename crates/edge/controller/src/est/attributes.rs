//! What a certificate request must hold, made once from the configuration (RFC 7030 §4.5, RFC 9908).

use vouchsafe_brski::Error;
use vouchsafe_brski::csrattrs::{CsrAttributes, Form, KeyKind};
use vouchsafe_brski::est;
use vouchsafe_trust::{CertificateRequest, oid};

use crate::config::Config;

/// The requirements, and the same as `csrattrs` gives them out.
#[derive(Debug)]
pub struct Requirements {
    attributes: CsrAttributes,
    body: String,
}

impl Requirements {
    /// A subject with the device's serial number, a P-256 key, and where configured the proof that
    /// the request belongs to its connection.
    ///
    /// # Errors
    /// None for any configuration that was checked; an encoding fault of ours otherwise.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let mut further = Vec::new();
        if config.est.require_channel_binding {
            further.push(oid::CHALLENGE_PASSWORD);
        }
        let attributes = CsrAttributes {
            subject: Some(vec![(oid::SERIAL_NUMBER, None)]),
            key: Some(KeyKind::P256),
            extensions: Vec::new(),
            attributes: further,
        };
        let body = est::encode_body(&attributes.to_der(Form::Both)?);
        Ok(Self { attributes, body })
    }

    /// The body of `csrattrs`.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Checks a request against what was asked for (RFC 8995 §5.9.2).
    ///
    /// # Errors
    /// The first thing that is missing or different.
    pub fn check(&self, request: &CertificateRequest) -> Result<(), Error> {
        self.attributes.check(request)
    }
}
