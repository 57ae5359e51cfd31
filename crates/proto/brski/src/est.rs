//! EST message bodies (RFC 7030 §4, RFC 8951 §3) and the rules for a certificate request.
//!
//! 1. `cacerts`: [`certs_only_body`] out, [`parse_certs_only`] in (§4.1).
//! 2. `csrattrs`: see [`crate::csrattrs`] (§4.5).
//! 3. `simpleenroll`, `simplereenroll`: [`parse_request`] proves possession of the key;
//!    [`check_reenroll`], [`check_channel_binding`]; the answer is a certs-only body (§4.2).
//! 4. `serverkeygen`: [`ServerKey::body`] out, [`ServerKey::parse`] in (§4.4).

use base64::Engine as _;
use subtle::ConstantTimeEq;
use vouchsafe_trust::{Certificate, CertificateRequest, RequestError, Secret, Verified, cms, oid};

use crate::error::{Error, Malformed, Refusal};

/// Where EST lives; an operation's name follows, after a label if the server has several CAs.
pub const PATH: &str = "/.well-known/est";
/// The type of certs-only answers (RFC 7030 §4.1.3, §4.2.3).
pub const MEDIA_TYPE_CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
/// The type of certificate requests (RFC 7030 §4.2.1).
pub const MEDIA_TYPE_REQUEST: &str = "application/pkcs10";
/// The type of CSR attributes (RFC 7030 §4.5.2).
pub const MEDIA_TYPE_ATTRIBUTES: &str = "application/csrattrs";
/// The type of the private key in a serverkeygen answer (RFC 7030 §4.4.2).
pub const MEDIA_TYPE_PRIVATE_KEY: &str = "application/pkcs8";
/// The type of a serverkeygen answer, with the boundary that [`ServerKey::body`] uses.
pub const MEDIA_TYPE_SERVER_KEY: &str = "multipart/mixed; boundary=estServerKeyGenBoundary";
/// The largest body that is read, in bytes.
pub const MAX_BODY_LEN: usize = 128 * 1024;

/// The operations of EST (RFC 7030 §3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// The domain's CA certificates.
    CaCerts,
    /// A first certificate.
    SimpleEnroll,
    /// A new certificate for one held.
    SimpleReenroll,
    /// Full CMC.
    FullCmc,
    /// A certificate with a key made by the server.
    ServerKeyGen,
    /// What a request should contain.
    CsrAttrs,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::CaCerts,
        Self::SimpleEnroll,
        Self::SimpleReenroll,
        Self::FullCmc,
        Self::ServerKeyGen,
        Self::CsrAttrs,
    ];

    /// The last segment of the path.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CaCerts => "cacerts",
            Self::SimpleEnroll => "simpleenroll",
            Self::SimpleReenroll => "simplereenroll",
            Self::FullCmc => "fullcmc",
            Self::ServerKeyGen => "serverkeygen",
            Self::CsrAttrs => "csrattrs",
        }
    }

    /// The operation of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
    }
}

/// A body as it is sent: base64 on one line (RFC 8951 §3.1).
#[must_use]
pub fn encode_body(der: &[u8]) -> String {
    crate::base64::encode(der)
}

/// A body as it is received: base64 with any white space (RFC 8951 §3.1). PEM armour around it is
/// tolerated, since common clients send it.
///
/// # Errors
/// [`Malformed::TooLarge`] beyond [`MAX_BODY_LEN`], [`Malformed::Base64`].
pub fn decode_body(body: &[u8]) -> Result<Vec<u8>, Error> {
    if body.len() > MAX_BODY_LEN {
        return Err(Malformed::TooLarge.into());
    }
    let text = body.trim_ascii();
    if !text.starts_with(b"-----") {
        return Ok(crate::base64::decode(text).ok_or(Malformed::Base64)?);
    }
    let mut packed = Vec::with_capacity(text.len());
    for line in text.split(|byte| *byte == b'\n').skip(1) {
        let line = line.trim_ascii();
        if line.starts_with(b"-----") {
            return Ok(crate::base64::decode(&packed).ok_or(Malformed::Base64)?);
        }
        packed.extend_from_slice(line);
    }
    Err(Malformed::Base64.into())
}

/// The answer to `cacerts` and to both kinds of enrolment (RFC 7030 §4.1.3, §4.2.3).
#[must_use]
pub fn certs_only_body(certificates: &[Certificate]) -> String {
    encode_body(&cms::certs_only(certificates))
}

/// Reads a certs-only answer.
///
/// # Errors
/// [`Malformed::Base64`], [`Malformed::CertsOnly`], also for a message without certificates.
pub fn parse_certs_only(body: &[u8]) -> Result<Vec<Certificate>, Error> {
    let certificates =
        cms::parse_certs_only(&decode_body(body)?).map_err(|_| Malformed::CertsOnly)?;
    if certificates.is_empty() {
        return Err(Malformed::CertsOnly.into());
    }
    Ok(certificates)
}

/// Reads a certificate request and proves that its sender has the key (RFC 7030 §4.2.1).
///
/// # Errors
/// [`Malformed`] for its form, [`Refusal::CsrSignature`] for its signature.
pub fn parse_request(body: &[u8]) -> Result<Verified<CertificateRequest>, Error> {
    CertificateRequest::verify(&decode_body(body)?).map_err(|error| match error {
        RequestError::ProofOfPossession(_) => Refusal::CsrSignature.into(),
        _ => Malformed::CertificateRequest.into(),
    })
}

/// RFC 7030 §4.2.2: a renewal asks for the subject and the alternative names that the current
/// certificate has.
///
/// # Errors
/// [`Refusal::ReenrollSubject`] and [`Refusal::ReenrollNames`].
pub fn check_reenroll(request: &CertificateRequest, current: &Certificate) -> Result<(), Error> {
    if request.subject() != current.subject() {
        return Err(Refusal::ReenrollSubject.into());
    }
    let names = |extension: Option<&vouchsafe_trust::Extension>| {
        extension.map(|extension| extension.value.clone())
    };
    if names(request.extension(&oid::SUBJECT_ALT_NAME))
        != names(current.extension(&oid::SUBJECT_ALT_NAME))
    {
        return Err(Refusal::ReenrollNames.into());
    }
    Ok(())
}

/// The challengePassword that binds a request to its TLS session (RFC 7030 §3.5, with the exporter
/// of RFC 9266 in the place of `tls-unique`).
#[must_use]
pub fn channel_binding(exporter: &[u8; 32]) -> String {
    crate::base64::encode(exporter)
}

/// RFC 7030 §3.5: a request that carries a channel binding carries that of this session; `required`
/// refuses one without.
///
/// # Errors
/// [`Refusal::ChannelBinding`] and [`Refusal::ChannelBindingMissing`].
pub fn check_channel_binding(
    request: &CertificateRequest,
    exporter: &[u8; 32],
    required: bool,
) -> Result<(), Error> {
    match request.challenge_password() {
        Some(password) => {
            let expected = channel_binding(exporter);
            if bool::from(password.as_bytes().ct_eq(expected.as_bytes())) {
                Ok(())
            } else {
                Err(Refusal::ChannelBinding.into())
            }
        }
        None if required => Err(Refusal::ChannelBindingMissing.into()),
        None => Ok(()),
    }
}

/// The answer to `serverkeygen`.
#[derive(Debug)]
pub struct ServerKey {
    /// PKCS #8 in DER.
    pub private_key: Secret,
    /// The certificate first.
    pub certificates: Vec<Certificate>,
}

impl ServerKey {
    /// Two parts, the key first, both base64 (RFC 7030 §4.4.2); the type is [`MEDIA_TYPE_SERVER_KEY`].
    /// A secret, since it holds the key.
    #[must_use]
    pub fn body(&self) -> Secret {
        let mut body =
            Vec::with_capacity(self.private_key.len() * 2 + self.certificates.len() * 2048 + 512);
        let mut part = |media_type: &str, content: &[u8]| {
            body.extend_from_slice(b"--");
            body.extend_from_slice(BOUNDARY.as_bytes());
            body.extend_from_slice(b"\r\nContent-Type: ");
            body.extend_from_slice(media_type.as_bytes());
            body.extend_from_slice(b"\r\nContent-Transfer-Encoding: base64\r\n\r\n");
            let start = body.len();
            body.resize(start + content.len().div_ceil(3) * 4, 0);
            if let Some(room) = body.get_mut(start..) {
                // The room is exactly what the encoding takes.
                let _ = base64::engine::general_purpose::STANDARD.encode_slice(content, room);
            }
            body.extend_from_slice(b"\r\n");
        };
        part(MEDIA_TYPE_PRIVATE_KEY, self.private_key.expose());
        part(MEDIA_TYPE_CERTS_ONLY, &cms::certs_only(&self.certificates));
        body.extend_from_slice(b"--");
        body.extend_from_slice(BOUNDARY.as_bytes());
        body.extend_from_slice(b"--\r\n");
        Secret::new(body)
    }

    /// Reads the two parts, in either order.
    ///
    /// # Errors
    /// [`Malformed::Multipart`] and the errors of the parts.
    pub fn parse(content_type: &str, body: &[u8]) -> Result<Self, Error> {
        if body.len() > MAX_BODY_LEN {
            return Err(Malformed::TooLarge.into());
        }
        let boundary = boundary(content_type).ok_or(Malformed::Multipart)?;
        let delimiter = [b"--", boundary.as_bytes()].concat();
        let mut private_key = None;
        let mut certificates = None;
        // What stands before the first delimiter is a preamble.
        for part in split(body, &delimiter).into_iter().skip(1) {
            if part.starts_with(b"--") {
                break;
            }
            let (head, content) = split_part(part).ok_or(Malformed::Multipart)?;
            let media_type = content_type_of(head).ok_or(Malformed::Multipart)?;
            let slot_taken = if media_type.eq_ignore_ascii_case(MEDIA_TYPE_PRIVATE_KEY) {
                private_key
                    .replace(Secret::new(decode_body(content)?))
                    .is_some()
            } else if media_type.eq_ignore_ascii_case("application/pkcs7-mime") {
                certificates.replace(parse_certs_only(content)?).is_some()
            } else {
                true
            };
            if slot_taken {
                return Err(Malformed::Multipart.into());
            }
        }
        Ok(Self {
            private_key: private_key.ok_or(Malformed::Multipart)?,
            certificates: certificates.ok_or(Malformed::Multipart)?,
        })
    }
}

/// Cannot occur in base64.
const BOUNDARY: &str = "estServerKeyGenBoundary";
/// RFC 2046 §5.1.1.
const MAX_BOUNDARY_LEN: usize = 70;

fn boundary(content_type: &str) -> Option<&str> {
    let mut parts = content_type.split(';');
    if !parts.next()?.trim().eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let (_, value) = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let value = value.trim().trim_matches('"');
    (!value.is_empty() && value.len() <= MAX_BOUNDARY_LEN).then_some(value)
}

fn split<'a>(body: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some(at) = find(rest, delimiter) {
        let (part, after) = rest.split_at(at);
        parts.push(part);
        rest = after.get(delimiter.len()..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

/// Header lines and content of one part.
fn split_part(part: &[u8]) -> Option<(&[u8], &[u8])> {
    [&b"\r\n\r\n"[..], b"\n\n"].into_iter().find_map(|blank| {
        let at = find(part, blank)?;
        Some((part.get(..at)?, part.get(at + blank.len()..)?))
    })
}

fn content_type_of(head: &[u8]) -> Option<&str> {
    std::str::from_utf8(head).ok()?.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-type")
            .then(|| value.split(';').next().unwrap_or(value).trim())
    })
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len())
        .position(|window| window == pattern)
}
