//! The configuration request object: what an enrollee says of itself (§4.4).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{INFRASTRUCTURE, NetRole};
use crate::error::{Error, Unsupported};
use crate::json::{self, Json};

/// Longest request object that is read, in octets: room for a certificate request.
pub const MAX_REQUEST_OBJECT_LENGTH: usize = 32 * 1024;

/// Longest name or MUD URL of an enrollee, in octets.
pub const MAX_NAME_LENGTH: usize = 1024;

/// Capability bit: the enrollee understands SAE password identifiers (§4.4, since version 3).
pub const CAPABILITY_SAE_PASSWORD_IDENTIFIER: u32 = 1;

/// What an enrollee says of itself. Authenticated as coming from the holder of the bootstrapping
/// key, and true only as far as that one is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestObject {
    /// Its name, for people.
    pub name: String,
    /// What it wants to be.
    pub role: NetRole,
    /// Where its MUD file is (RFC 8520); not checked to be a URL.
    pub mud_url: Option<String>,
    /// The global operating classes that it supports, if it says so.
    pub band_support: Vec<u8>,
    /// A PKCS #10 certificate request in DER, unread.
    pub certificate_request: Option<Vec<u8>>,
    /// Capability bits; 0 when it does not say.
    pub capabilities: u32,
}

impl RequestObject {
    /// A request for `role` under a name and with nothing else.
    pub fn new(name: &str, role: NetRole) -> Self {
        Self {
            name: name.to_owned(),
            role,
            mud_url: None,
            band_support: Vec::new(),
            certificate_request: None,
            capabilities: 0,
        }
    }

    /// Reads a request; members that are not known are passed over (§4.4).
    ///
    /// # Errors
    /// [`crate::Malformed`] for JSON that is not sound, [`Error::Member`] for a member that is missing or
    /// of another type;
    /// [`Unsupported::Technology`] and [`Unsupported::NetRole`].
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let root = json::read(bytes, MAX_REQUEST_OBJECT_LENGTH)?;
        let name = json::undo_octet_escapes(root.text("name")?);
        limited(&name, "name")?;
        if root.text("wi-fi_tech")? != INFRASTRUCTURE {
            return Err(Unsupported::Technology.into());
        }
        let role = NetRole::from_name(root.text("netRole")?).ok_or(Unsupported::NetRole)?;
        let mud_url = root
            .optional_text("mudurl")?
            .map(|url| limited(url, "mudurl"))
            .transpose()?;
        let band_support = root
            .optional_list("bandSupport")?
            .unwrap_or_default()
            .iter()
            .map(|class| match class {
                Json::Number(Some(number)) => u8::try_from(*number).ok(),
                _ => None,
            })
            .collect::<Option<Vec<u8>>>()
            .ok_or(Error::value("bandSupport"))?;
        let certificate_request = root
            .optional_text("pkcs10")?
            .map(|text| {
                BASE64_STANDARD
                    .decode(text)
                    .map_err(|_| Error::value("pkcs10"))
            })
            .transpose()?;
        let capabilities = root
            .optional_number("capabilities")?
            .map_or(Ok(0), u32::try_from)
            .map_err(|_| Error::value("capabilities"))?;
        Ok(Self {
            name,
            role,
            mud_url: mud_url.map(str::to_owned),
            band_support,
            certificate_request,
            capabilities,
        })
    }

    /// The request as JSON, members in the order of the specification.
    pub fn write(&self) -> Vec<u8> {
        let mut text = format!(
            r#"{{"name":{},"wi-fi_tech":"{INFRASTRUCTURE}","netRole":"{}""#,
            json::quote(&self.name),
            self.role.name()
        );
        if let Some(url) = &self.mud_url {
            text.push_str(&format!(r#","mudurl":{}"#, json::quote(url)));
        }
        if !self.band_support.is_empty() {
            let classes: Vec<String> = self.band_support.iter().map(u8::to_string).collect();
            text.push_str(&format!(r#","bandSupport":[{}]"#, classes.join(",")));
        }
        if let Some(request) = &self.certificate_request {
            let request = BASE64_STANDARD.encode(request);
            text.push_str(&format!(r#","pkcs10":"{request}""#));
        }
        if self.capabilities != 0 {
            text.push_str(&format!(r#","capabilities":{}"#, self.capabilities));
        }
        text.push('}');
        text.into_bytes()
    }
}

fn limited<'a>(text: &'a str, name: &'static str) -> Result<&'a str, Error> {
    // People read it in terminals and lists, where control characters do more than show.
    if text.len() > MAX_NAME_LENGTH || text.chars().any(char::is_control) {
        Err(Error::value(name))
    } else {
        Ok(text)
    }
}
