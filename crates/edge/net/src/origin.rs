//! Whom to call: a host and a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::Uri;

/// A host (DNS name or IP address) and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    host: String,
    port: u16,
}

/// Not a host and port, or not an `https` URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no HTTPS server")]
pub struct OriginError(String);

impl Origin {
    /// A name or an address without brackets; a trailing dot, as mDNS gives it, is dropped.
    pub fn new(host: impl AsRef<str>, port: u16) -> Self {
        let host = host.as_ref();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        Self { host, port }
    }

    /// The origin of an `https` URL; port 443 when it names none.
    ///
    /// # Errors
    ///
    /// Another scheme, no host, or credentials in the URL.
    pub fn from_uri(uri: &Uri) -> Result<Self, OriginError> {
        let error = || OriginError(uri.to_string());
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(error)?;
        let credentials = uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'));
        if uri.scheme_str() != Some("https") || credentials {
            return Err(error());
        }
        Ok(Self::new(host, uri.port_u16().unwrap_or(443)))
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` as in a `Host` header; without the port when it is 443.
    pub fn authority(&self) -> String {
        let host = match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(host)) => format!("[{host}]"),
            _ => self.host.clone(),
        };
        if self.port == 443 {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl From<SocketAddr> for Origin {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip().to_string(), addr.port())
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Reads an `https` URL.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let uri: Uri = text.parse().map_err(|_| OriginError(text.to_owned()))?;
        Self::from_uri(&uri)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_origins_and_back() {
        for (url, shown) in [
            ("https://masa.example/path", "https://masa.example"),
            ("https://MASA.example:9444", "https://masa.example:9444"),
            ("https://[::1]:9444/x?y", "https://[::1]:9444"),
            ("https://192.0.2.7:443", "https://192.0.2.7"),
        ] {
            assert_eq!(url.parse::<Origin>().unwrap().to_string(), shown);
        }
        assert_eq!(
            Origin::new("registrar.local.", 8443).host(),
            "registrar.local"
        );
    }

    #[test]
    fn other_schemes_and_credentials_are_refused() {
        for url in [
            "http://masa.example",
            "https://user:pw@masa.example",
            "/path",
            "",
            "https://",
        ] {
            assert!(url.parse::<Origin>().is_err(), "{url}");
        }
    }
}
