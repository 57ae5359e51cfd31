//! The two JSON objects of the configuration protocol (Wi-Fi Easy Connect 3.0 §4.4, §4.5).
//!
//! 1. The enrollee says what it is: [`RequestObject`]. All of it is claims.
//! 2. The configurator answers with one or more [`ConfigurationObject`]s: a network's name and a
//!    [`Credential`] for it.
//! 3. The enrollee holds each against what it knows itself ([`ConnectorCredential::verify`]).

mod configuration;
mod credential;
mod request;
#[cfg(test)]
mod tests;

pub use configuration::{
    ConfigurationObject, MAX_CONFIGURATION_OBJECT_LENGTH, MAX_CONFIGURATION_OBJECTS,
    MAX_SSID_LENGTH, Recipient, Ssid,
};
pub use credential::{
    Akm, ConnectorCredential, Credential, CredentialParts, EAP_TLS, EnterpriseCredential,
    MAX_PASSPHRASE_LENGTH, Password,
};
pub use request::{
    CAPABILITY_SAE_PASSWORD_IDENTIFIER, MAX_NAME_LENGTH, MAX_REQUEST_OBJECT_LENGTH, RequestObject,
};

/// What a device is in a network (§4.2.1, §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetRole {
    /// A station: `sta`.
    Station,
    /// An access point: `ap`.
    AccessPoint,
    /// A configurator: `configurator`.
    Configurator,
}

impl NetRole {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Station => "sta",
            Self::AccessPoint => "ap",
            Self::Configurator => "configurator",
        }
    }

    /// The role of a name; `None` for those of other equipment, such as mesh agents.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Station, Self::AccessPoint, Self::Configurator]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// The only technology that there is (§4.4.1).
const INFRASTRUCTURE: &str = "infra";
