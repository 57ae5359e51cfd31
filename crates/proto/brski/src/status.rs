//! Which HTTP status an error becomes (RFC 8995 §5.3, §5.6; RFC 7030 §4.2.3). The body is the error's text in plain UTF-8.

use crate::error::{Error, Refusal, Unsupported};

/// 400 Bad Request.
pub const BAD_REQUEST: u16 = 400;
/// 401 Unauthorized.
pub const UNAUTHORIZED: u16 = 401;
/// 403 Forbidden.
pub const FORBIDDEN: u16 = 403;
/// 404 Not Found.
pub const NOT_FOUND: u16 = 404;
/// 406 Not Acceptable.
pub const NOT_ACCEPTABLE: u16 = 406;
/// 413 Content Too Large.
pub const CONTENT_TOO_LARGE: u16 = 413;
/// 415 Unsupported Media Type.
pub const UNSUPPORTED_MEDIA_TYPE: u16 = 415;
/// 500 Internal Server Error.
pub const INTERNAL_SERVER_ERROR: u16 = 500;

/// What the registrar answers to a pledge (RFC 8995 §5.3): 404 where the request does not
/// validate, 406 for a format it does not take, 401 where the pledge sees another registrar (§5.2; the
/// connection is then closed), 403 where an administrator could put it right.
#[must_use]
pub fn of_registrar(error: &Error) -> u16 {
    match error {
        Error::Malformed(reason) => malformed(*reason),
        Error::Unsupported(reason) => unsupported(*reason, NOT_ACCEPTABLE),
        Error::Chain { .. } => FORBIDDEN,
        Error::Signature { .. } => NOT_FOUND,
        Error::Refused(Refusal::ProximityNotOurs | Refusal::NoTlsClientCertificate) => UNAUTHORIZED,
        Error::Refused(_) => NOT_FOUND,
        Error::Signer(_) | Error::Misuse(_) => INTERNAL_SERVER_ERROR,
    }
}

/// What the MASA answers to a registrar (RFC 8995 §5.6): 403 for a bad signature or a stale request,
/// 404 for a device that is not ours, 406 where it cannot issue what is asked, 415 for a format.
#[must_use]
pub fn of_masa(error: &Error) -> u16 {
    match error {
        Error::Malformed(reason) => malformed(*reason),
        Error::Unsupported(reason) => unsupported(*reason, UNSUPPORTED_MEDIA_TYPE),
        Error::Refused(
            Refusal::PriorRequestUntrusted
            | Refusal::PriorRequestMalformed
            | Refusal::DeviceSerialMissing,
        ) => NOT_FOUND,
        Error::Refused(
            Refusal::NothingToPin | Refusal::LifetimeUnavailable | Refusal::RegistrarUnknown,
        ) => NOT_ACCEPTABLE,
        Error::Refused(_) | Error::Signature { .. } | Error::Chain { .. } => FORBIDDEN,
        Error::Signer(_) | Error::Misuse(_) => INTERNAL_SERVER_ERROR,
    }
}

/// What an EST server answers to a certificate request (RFC 7030 §4.2.3 leaves the 4xx open): 400
/// where the request must be made otherwise, 415 for a format, 401 and 403 for who asks.
#[must_use]
pub fn of_est(error: &Error) -> u16 {
    match error {
        Error::Malformed(reason) => malformed(*reason),
        Error::Unsupported(reason) => unsupported(*reason, UNSUPPORTED_MEDIA_TYPE),
        Error::Chain { .. } => FORBIDDEN,
        Error::Refused(Refusal::NoTlsClientCertificate) => UNAUTHORIZED,
        Error::Signature { .. } | Error::Refused(_) => BAD_REQUEST,
        Error::Signer(_) | Error::Misuse(_) => INTERNAL_SERVER_ERROR,
    }
}

fn malformed(reason: crate::error::Malformed) -> u16 {
    match reason {
        crate::error::Malformed::TooLarge => CONTENT_TOO_LARGE,
        _ => BAD_REQUEST,
    }
}

fn unsupported(reason: Unsupported, format: u16) -> u16 {
    match reason {
        Unsupported::MediaType => UNSUPPORTED_MEDIA_TYPE,
        Unsupported::NotAcceptable => NOT_ACCEPTABLE,
        Unsupported::EncodingMismatch
        | Unsupported::CriticalContent
        | Unsupported::ContentType
        | Unsupported::Encoding => format,
    }
}
