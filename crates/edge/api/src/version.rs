//! ETag and If-Match for everything that changes (RFC 9110 §8.8.3 and §13.1.1).

use std::fmt;

use axum::response::{IntoResponseParts, ResponseParts};
use http::{HeaderMap, HeaderValue, header};

use crate::{Code, Problem};

/// The version of one thing; grows by one with each change. Travels as the strong ETag `"7"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub i64);

impl Version {
    /// The version in a response's ETag header, if there is one of ours.
    #[must_use]
    pub fn from_etag(headers: &HeaderMap) -> Option<Self> {
        parse_tag(headers.get(header::ETAG)?.to_str().ok()?)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0)
    }
}

/// Adds the ETag header to a response.
impl IntoResponseParts for Version {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        if let Ok(value) = HeaderValue::from_str(&self.to_string()) {
            parts.headers_mut().insert(header::ETAG, value);
        }
        Ok(parts)
    }
}

/// What a request demands of the current version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMatch {
    /// No If-Match header.
    Absent,
    /// `If-Match: *`: it must exist, at whatever version.
    Any,
    /// Exactly this version.
    Exactly(Version),
}

impl IfMatch {
    /// Reads the If-Match header. One entity tag or `*`; weak tags and lists are refused with 400.
    ///
    /// # Errors
    ///
    /// [`Code::BadRequest`] when the header is there and is not one of ours.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(header::IF_MATCH) else {
            return Ok(Self::Absent);
        };
        match value.to_str() {
            Ok("*") => Ok(Self::Any),
            Ok(text) => parse_tag(text).map(Self::Exactly).ok_or_else(refuse_tag),
            Err(_) => Err(refuse_tag()),
        }
    }

    /// Compares with the current version; an absent header matches.
    ///
    /// # Errors
    ///
    /// [`Code::PreconditionFailed`] when another version is current.
    pub fn check(self, current: Version) -> Result<(), Problem> {
        match self {
            Self::Exactly(wanted) if wanted != current => Err(Problem::new(
                Code::PreconditionFailed,
                format!("version {wanted} was named, {current} is current"),
            )
            .next_step("read it again, look at what changed, and repeat with the new ETag")),
            Self::Absent | Self::Any | Self::Exactly(_) => Ok(()),
        }
    }

    /// As [`IfMatch::check`], for routes where the header is required.
    ///
    /// # Errors
    ///
    /// [`Code::PreconditionRequired`] when it is absent, and as [`IfMatch::check`].
    pub fn require(self, current: Version) -> Result<(), Problem> {
        if self == Self::Absent {
            return Err(Problem::new(
                Code::PreconditionRequired,
                "this change needs an If-Match header, so that it cannot undo somebody else's",
            )
            .next_step("read it first and send its ETag as If-Match, or `*` to overwrite"));
        }
        self.check(current)
    }
}

fn parse_tag(text: &str) -> Option<Version> {
    let digits = text.strip_prefix('"')?.strip_suffix('"')?;
    digits.parse().ok().map(Version)
}

fn refuse_tag() -> Problem {
    Problem::new(
        Code::BadRequest,
        "If-Match must be one ETag of this API, such as \"7\", or *",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static(value))])
    }

    #[test]
    fn another_version_is_refused() {
        let wanted = IfMatch::from_headers(&headers("\"7\"")).unwrap();
        assert_eq!(wanted.check(Version(7)), Ok(()));
        assert_eq!(
            wanted.check(Version(8)).unwrap_err().code,
            Code::PreconditionFailed
        );
    }

    #[test]
    fn absence_is_refused_only_where_the_header_is_required() {
        let absent = IfMatch::from_headers(&HeaderMap::new()).unwrap();
        assert_eq!(absent.check(Version(1)), Ok(()));
        assert_eq!(
            absent.require(Version(1)).unwrap_err().code,
            Code::PreconditionRequired
        );
        assert_eq!(
            IfMatch::from_headers(&headers("*"))
                .unwrap()
                .require(Version(1)),
            Ok(())
        );
    }

    #[test]
    fn weak_tags_lists_and_noise_are_refused() {
        for noise in ["W/\"7\"", "\"7\", \"8\"", "7", "\"seven\"", ""] {
            assert_eq!(
                IfMatch::from_headers(&headers(noise)).unwrap_err().code,
                Code::BadRequest
            );
        }
    }
}
