//! How joining the network went, as the enrollee reports it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, Refusal};
use crate::json;
use crate::object::MAX_SSID_LENGTH;
use crate::status::Status;

/// Longest object that is read, in octets.
pub const MAX_CONNECTION_STATUS_LENGTH: usize = 4096;

/// The DPP Connection Status Object (Wi-Fi Easy Connect 3.0 §4.5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// [`Status::Ok`], or why not: [`Status::NoAccessPoint`], [`Status::AuthenticationFailure`],
    /// [`Status::InvalidConnector`], [`Status::NoMatch`].
    pub result: Status,
    /// The network that was tried, up to 32 octets.
    pub ssid: Option<Vec<u8>>,
    /// Where it was looked for: classes and channels as in a URI, such as `81/1,6`.
    pub channel_list: Option<String>,
}

impl ConnectionStatus {
    /// Reads the object; refuses another form, an SSID of more than 32 octets and a channel list with
    /// other characters than digits, `/` and `,`.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let root = json::read(bytes, MAX_CONNECTION_STATUS_LENGTH)?;
        let result = root
            .optional_number("result")?
            .ok_or_else(|| Error::missing("result"))?;
        let result = u8::try_from(result).ok().and_then(Status::from_number);
        let ssid = match root.optional_text("ssid64")? {
            Some(text) => Some(
                URL_SAFE_NO_PAD
                    .decode(text)
                    .ok()
                    .filter(|ssid| ssid.len() <= MAX_SSID_LENGTH)
                    .ok_or_else(|| Error::value("ssid64"))?,
            ),
            None => None,
        };
        let listed = |character: char| character.is_ascii_digit() || "/,".contains(character);
        let channel_list = root.optional_text("channelList")?;
        if channel_list.is_some_and(|list| !list.chars().all(listed)) {
            return Err(Error::value("channelList"));
        }
        Ok(Self {
            result: result.ok_or(Refusal::Status)?,
            ssid,
            channel_list: channel_list.map(str::to_owned),
        })
    }

    /// The object as JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut text = format!(r#"{{"result":{}"#, self.result.number());
        if let Some(ssid) = &self.ssid {
            let octets = URL_SAFE_NO_PAD.encode(ssid);
            text.push_str(&format!(r#","ssid64":"{octets}""#));
        }
        if let Some(list) = &self.channel_list {
            text.push_str(&format!(r#","channelList":{}"#, json::quote(list)));
        }
        text.push('}');
        text.into_bytes()
    }
}
