//! The configuration object: a network and a credential for it (§4.5).

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use vouchsafe_trust::Secret;

use super::credential::{
    Akm, ConnectorCredential, Credential, CredentialParts, EnterpriseCredential, Password,
};
use super::{CAPABILITY_SAE_PASSWORD_IDENTIFIER, INFRASTRUCTURE};
use crate::connector::{CSignPublicKey, Connector};
use crate::error::{Error, Misuse, Unsupported};
use crate::json::{self, Json};
use crate::jwk;

/// Longest configuration object that is read, in octets: room for a chain of certificates.
pub const MAX_CONFIGURATION_OBJECT_LENGTH: usize = 48 * 1024;

/// Most configuration objects in one answer; hostap takes as many.
pub const MAX_CONFIGURATION_OBJECTS: usize = 10;

/// Longest SSID, in octets (IEEE 802.11 §9.4.2.2).
pub const MAX_SSID_LENGTH: usize = 32;

/// A network's name: 1 to 32 octets of no particular meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssid(Vec<u8>);

impl Ssid {
    /// A name of these octets.
    ///
    /// # Errors
    /// [`Misuse::Ssid`] when there are none, or more than [`MAX_SSID_LENGTH`].
    pub fn new(octets: &[u8]) -> Result<Self, Error> {
        if (1..=MAX_SSID_LENGTH).contains(&octets.len()) {
            Ok(Self(octets.to_vec()))
        } else {
            Err(Misuse::Ssid.into())
        }
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// The name as text, when it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// One network and how to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationObject {
    /// The network's name. Text goes out as `ssid`, anything else as `ssid64` (§4.5.1).
    pub ssid: Ssid,
    /// The IANA number of the name's character set, if it is known: 106 for UTF-8.
    pub ssid_charset: Option<u16>,
    /// What lets the device in.
    pub credential: Credential,
}

/// To whom an object is written: what it would not understand is left out or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The protocol version that authentication settled on.
    pub version: u8,
    /// The capability bits of its request.
    pub capabilities: u32,
}

impl ConfigurationObject {
    /// A network under its name.
    pub fn new(ssid: Ssid, credential: Credential) -> Self {
        Self {
            ssid,
            ssid_charset: None,
            credential,
        }
    }

    /// The object as JSON for one recipient. Version 1 gets `dpp` for `dpp+sae` and
    /// `dpp+psk+sae`, no connector beside a password, and no privacy key (§4.5.2).
    ///
    /// # Errors
    /// [`Unsupported::ForVersion1`] for 802.1X and names that are not text,
    /// [`Unsupported::PasswordIdentifier`] when the recipient does not know them and could
    /// therefore not get in.
    pub fn write(&self, recipient: Recipient) -> Result<Secret, Error> {
        let credential = self.credential_json(recipient)?;
        let mut discovery = match self.ssid.text() {
            Some(text) => format!(r#""ssid":{}"#, json::quote(text)),
            None if recipient.version < 2 => return Err(Unsupported::ForVersion1.into()),
            None => {
                let octets = BASE64_URL_SAFE_NO_PAD.encode(self.ssid.octets());
                format!(r#""ssid64":"{octets}""#)
            }
        };
        if let Some(charset) = self.ssid_charset {
            discovery.push_str(&format!(r#","ssid_charset":{charset}"#));
        }
        Ok(Secret::new(
            format!(
                r#"{{"wi-fi_tech":"{INFRASTRUCTURE}","discovery":{{{discovery}}},"cred":{}}}"#,
                *credential
            )
            .into_bytes(),
        ))
    }

    fn credential_json(&self, recipient: Recipient) -> Result<zeroize::Zeroizing<String>, Error> {
        let akm = self.credential.akm().for_version(recipient.version);
        let mut members = zeroize::Zeroizing::new(Vec::new());
        members.push(format!(r#""akm":"{}""#, akm.name()));
        if akm.has_psk() || akm.has_sae() {
            let password = self.credential.password().ok_or(Misuse::CredentialParts)?;
            write_password(password, recipient, &mut members)?;
        }
        if akm == Akm::Dot1x {
            if recipient.version < 2 {
                return Err(Unsupported::ForVersion1.into());
            }
            let enterprise = self
                .credential
                .enterprise()
                .ok_or(Misuse::CredentialParts)?;
            members.push(write_enterprise(enterprise));
        }
        if let Some(connector) = self.credential.connector()
            && (akm.has_dpp() || recipient.version >= 2)
        {
            write_connector(connector, recipient, &mut members);
        }
        Ok(zeroize::Zeroizing::new(format!(
            "{{{}}}",
            members.join(",")
        )))
    }

    /// Reads an object; members that are not known are passed over (§4.5).
    ///
    /// # Errors
    /// [`crate::Malformed`] for JSON that is not sound, [`Error::Member`] for a member that is missing, of another type or without
    /// meaning; [`Unsupported::Technology`], [`Unsupported::Akm`] and [`Unsupported::Curve`].
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let root = json::read(bytes, MAX_CONFIGURATION_OBJECT_LENGTH)?;
        if root.text("wi-fi_tech")? != INFRASTRUCTURE {
            return Err(Unsupported::Technology.into());
        }
        let discovery = root.object("discovery")?;
        let ssid = read_ssid(discovery)?;
        let ssid_charset = discovery
            .optional_number("ssid_charset")?
            .map(u16::try_from)
            .transpose()
            .map_err(|_| Error::value("ssid_charset"))?;
        Ok(Self {
            ssid,
            ssid_charset,
            credential: read_credential(root.object("cred")?)?,
        })
    }
}

fn write_password(
    password: &Password,
    recipient: Recipient,
    members: &mut Vec<String>,
) -> Result<(), Error> {
    if let Some(psk) = password.expose_psk() {
        let digits = psk.iter().map(|octet| format!("{octet:02x}"));
        let digits = zeroize::Zeroizing::new(digits.collect::<String>());
        members.push(format!(r#""psk_hex":"{}""#, *digits));
        return Ok(());
    }
    let text = password.expose_text().ok_or(Misuse::Password)?;
    let quoted = zeroize::Zeroizing::new(json::quote(text));
    members.push(format!(r#""pass":{}"#, *quoted));
    if let Some(identifier) = password.identifier() {
        if recipient.capabilities & CAPABILITY_SAE_PASSWORD_IDENTIFIER == 0 {
            return Err(Unsupported::PasswordIdentifier.into());
        }
        members.push(format!(r#""idpass":{}"#, json::quote(identifier)));
    }
    Ok(())
}

fn write_enterprise(enterprise: &EnterpriseCredential) -> String {
    let bag = BASE64_STANDARD.encode(&enterprise.certificate_bag);
    let mut text = format!(r#""entCreds":{{"certBag":"{bag}""#);
    if let Some(ca) = &enterprise.ca_certificate {
        text.push_str(&format!(r#","caCert":"{}""#, BASE64_STANDARD.encode(ca)));
    }
    if let Some(name) = &enterprise.trusted_server_name {
        text.push_str(&format!(r#","trustedEapServerName":{}"#, json::quote(name)));
    }
    let methods: Vec<String> = enterprise.eap_methods.iter().map(u8::to_string).collect();
    text.push_str(&format!(r#","eapMethods":[{}]}}"#, methods.join(",")));
    text
}

fn write_connector(
    connector: &ConnectorCredential,
    recipient: Recipient,
    members: &mut Vec<String>,
) {
    members.push(format!(
        r#""signedConnector":"{}""#,
        connector.connector.as_str()
    ));
    let c_sign = &connector.c_sign;
    let key = jwk::write(c_sign.point(), Some(c_sign.kid()));
    members.push(format!(r#""csign":{key}"#));
    if let Some(privacy_key) = &connector.privacy_key
        && recipient.version >= 2
    {
        members.push(format!(r#""ppKey":{}"#, jwk::write(privacy_key, None)));
    }
}

/// `ssid64` counts where both stand (§4.5.1).
fn read_ssid(discovery: &Json) -> Result<Ssid, Error> {
    match discovery.optional_text("ssid64")? {
        Some(text) => {
            let octets = BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
            Ssid::new(&octets).map_err(|_| Error::value("ssid64"))
        }
        None => {
            let text = json::undo_octet_escapes(discovery.text("ssid")?);
            Ssid::new(text.as_bytes()).map_err(|_| Error::value("ssid"))
        }
    }
}

fn read_credential(members: &Json) -> Result<Credential, Error> {
    let akm = Akm::from_text(members.text("akm")?).ok_or(Unsupported::Akm)?;
    let password = if akm.has_psk() || akm.has_sae() {
        Some(read_password(members)?)
    } else {
        None
    };
    let enterprise = if akm == Akm::Dot1x {
        Some(read_enterprise(members.object("entCreds")?)?)
    } else {
        None
    };
    let connector = if akm.has_dpp() || members.member("signedConnector").is_some() {
        Some(read_connector(members)?)
    } else {
        None
    };
    let parts = CredentialParts {
        password,
        enterprise,
        connector,
    };
    Credential::new(akm, parts).map_err(|_| Error::value("cred"))
}

fn read_password(members: &Json) -> Result<Password, Error> {
    let Some(text) = members.optional_text("pass")? else {
        let malformed = Error::value("psk_hex");
        let digits = members
            .optional_text("psk_hex")?
            .ok_or(Error::missing("pass"))?;
        return Ok(Password::psk(read_psk(digits).ok_or(malformed)?));
    };
    let password = Password::passphrase(text).map_err(|_| Error::value("pass"))?;
    Ok(match members.optional_text("idpass")? {
        // It ends in configuration files, where a line break would begin another setting.
        Some(identifier) if identifier.chars().any(char::is_control) => {
            return Err(Error::value("idpass"));
        }
        Some(identifier) => password.with_identifier(identifier),
        None => password,
    })
}

fn read_psk(digits: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u32>> = digits
        .chars()
        .map(|character| character.to_digit(16))
        .collect();
    let octets: Option<Vec<u8>> = digits?
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high << 4 | low).ok(),
            _ => None,
        })
        .collect();
    octets?.try_into().ok()
}

fn read_enterprise(members: &Json) -> Result<EnterpriseCredential, Error> {
    let binary = |name: &'static str| -> Result<Option<Vec<u8>>, Error> {
        let text = members.optional_text(name)?;
        text.map(|text| BASE64_STANDARD.decode(text))
            .transpose()
            .map_err(|_| Error::value(name))
    };
    let trusted_server_name = members
        .optional_text("trustedEapServerName")?
        .map(str::to_owned);
    if trusted_server_name
        .as_deref()
        .is_some_and(|name| name.chars().any(char::is_control))
    {
        return Err(Error::value("trustedEapServerName"));
    }
    let eap_methods = members
        .optional_list("eapMethods")?
        .unwrap_or_default()
        .iter()
        .map(|method| match method {
            Json::Number(Some(number)) => u8::try_from(*number).ok(),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or(Error::value("eapMethods"))?;
    let enterprise = EnterpriseCredential {
        certificate_bag: binary("certBag")?.ok_or(Error::missing("certBag"))?,
        ca_certificate: binary("caCert")?,
        trusted_server_name,
        eap_methods,
    };
    enterprise.certificates()?;
    Ok(enterprise)
}

fn read_connector(members: &Json) -> Result<ConnectorCredential, Error> {
    let connector = Connector::parse(members.text("signedConnector")?)?;
    let (point, kid) = jwk::read(members.object("csign")?)?;
    let c_sign = CSignPublicKey::new(point);
    if kid.is_some_and(|kid| kid != c_sign.kid()) {
        return Err(Error::value("kid"));
    }
    let privacy_key = match members.member("ppKey") {
        Some(_) => Some(jwk::read(members.object("ppKey")?)?.0),
        None => None,
    };
    // §6.5.2: what hides the identity is made on the curve of the C-sign key.
    if privacy_key
        .as_ref()
        .is_some_and(|key| key.curve() != c_sign.point().curve())
    {
        return Err(Error::value("ppKey"));
    }
    Ok(ConnectorCredential {
        connector,
        c_sign,
        privacy_key,
    })
}
