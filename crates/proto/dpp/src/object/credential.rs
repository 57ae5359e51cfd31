//! What lets a device into a network (§4.5.2 to §4.5.5).

use std::fmt;

use jiff::Timestamp;
use vouchsafe_trust::{Certificate, Secret, cms};

use crate::connector::{CSignPublicKey, Connector, VerifiedConnector};
use crate::curve::Point;
use crate::error::{Error, Malformed, Misuse};

/// Longest SAE password, in octets. A WPA passphrase has 8 to 63 (IEEE 802.11 Annex J.4.1).
pub const MAX_PASSPHRASE_LENGTH: usize = 128;

/// The EAP method number of EAP-TLS (RFC 5216).
pub const EAP_TLS: u8 = 13;

/// Authentication and key management that a credential is for (§4.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Akm {
    /// WPA2 passphrase or PSK: `psk`.
    Psk,
    /// WPA3 password: `sae`.
    Sae,
    /// Both with one password: `psk+sae`.
    PskSae,
    /// Connector: `dpp`.
    Dpp,
    /// Connector, with a WPA3 password where the access point has no DPP: `dpp+sae`.
    DppSae,
    /// Connector or password: `dpp+psk+sae`.
    DppPskSae,
    /// 802.1X with a certificate: `dot1x`.
    Dot1x,
}

impl Akm {
    const ALL: [Self; 7] = [
        Self::Psk,
        Self::Sae,
        Self::PskSae,
        Self::Dpp,
        Self::DppSae,
        Self::DppPskSae,
        Self::Dot1x,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Psk => "psk",
            Self::Sae => "sae",
            Self::PskSae => "psk+sae",
            Self::Dpp => "dpp",
            Self::DppSae => "dpp+sae",
            Self::DppPskSae => "dpp+psk+sae",
            Self::Dot1x => "dot1x",
        }
    }

    /// Reads a name, or suite selectors joined by `+` in either case (§4.5.2): each OUI and type as
    /// eight hexadecimal digits, unknown ones passed over. `None` when nothing is left that is known.
    pub fn from_text(text: &str) -> Option<Self> {
        if let Some(known) = Self::ALL.into_iter().find(|akm| akm.name() == text) {
            return Some(known);
        }
        let (mut dpp, mut psk, mut sae, mut dot1x) = (false, false, false, false);
        for selector in text.split('+') {
            if selector.len() != 8 || !selector.bytes().all(|octet| octet.is_ascii_hexdigit()) {
                return None;
            }
            match selector.to_ascii_uppercase().as_str() {
                "506F9A02" => dpp = true,
                "000FAC02" | "000FAC06" => psk = true,
                "000FAC08" => sae = true,
                "000FAC01" | "000FAC05" => dot1x = true,
                _ => {}
            }
        }
        match (dpp, psk, sae, dot1x) {
            (true, true, true, _) => Some(Self::DppPskSae),
            (true, false, true, _) => Some(Self::DppSae),
            (true, _, false, _) => Some(Self::Dpp),
            (false, true, true, _) => Some(Self::PskSae),
            (false, false, true, _) => Some(Self::Sae),
            (false, true, false, _) => Some(Self::Psk),
            (false, false, false, true) => Some(Self::Dot1x),
            (false, false, false, false) => None,
        }
    }

    /// Whether a WPA2 passphrase or PSK is part of it.
    pub fn has_psk(self) -> bool {
        matches!(self, Self::Psk | Self::PskSae | Self::DppPskSae)
    }

    /// Whether a WPA3 password is part of it.
    pub fn has_sae(self) -> bool {
        matches!(
            self,
            Self::Sae | Self::PskSae | Self::DppSae | Self::DppPskSae
        )
    }

    /// Whether a connector is what lets in.
    pub fn has_dpp(self) -> bool {
        matches!(self, Self::Dpp | Self::DppSae | Self::DppPskSae)
    }

    /// What is left of it for a peer of this version: version 1 knows no mixed connector
    /// credentials and gets the connector alone (§4.5.2).
    pub fn for_version(self, version: u8) -> Self {
        match self {
            Self::DppSae | Self::DppPskSae if version < 2 => Self::Dpp,
            other => other,
        }
    }
}

/// A passphrase, password or PSK, with the identifier under which an access point finds it.
#[derive(Clone)]
pub struct Password {
    value: Value,
    identifier: Option<String>,
}

#[derive(Clone)]
enum Value {
    Text(Secret),
    Psk(Secret),
}

/// What a network by connector needs (§4.5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorCredential {
    /// The connector, unproved.
    pub connector: Connector,
    /// The key that signs this network's connectors.
    pub c_sign: CSignPublicKey,
    /// The key under which the device hides its identity when it asks to be reconfigured
    /// (§6.5.2); version 2 and later.
    pub privacy_key: Option<Point>,
}

/// What 802.1X needs (§4.5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct EnterpriseCredential {
    /// The device's certificate and chain: a certificates-only CMS message in DER.
    pub certificate_bag: Vec<u8>,
    /// The certificate, in DER, that the network's server leads to.
    pub ca_certificate: Option<Vec<u8>>,
    /// The name that the network's server must have.
    pub trusted_server_name: Option<String>,
    /// EAP method numbers; [`EAP_TLS`] at least.
    pub eap_methods: Vec<u8>,
}

/// A credential whose parts are those that its AKM needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    akm: Akm,
    parts: CredentialParts,
}

/// The parts of a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialParts {
    /// For PSK and SAE.
    pub password: Option<Password>,
    /// For 802.1X.
    pub enterprise: Option<EnterpriseCredential>,
    /// For DPP; may stand beside any other for peers of version 2 and later, so that they can be
    /// reconfigured.
    pub connector: Option<ConnectorCredential>,
}

impl Credential {
    /// A credential of these parts.
    ///
    /// # Errors
    /// [`Misuse::CredentialParts`] when a part is missing that `akm` needs, or is there that it has
    /// no place for; [`Misuse::Password`] for a password that does not fit.
    pub fn new(akm: Akm, parts: CredentialParts) -> Result<Self, Error> {
        let wants_password = akm.has_psk() || akm.has_sae();
        if parts.password.is_some() != wants_password
            || parts.enterprise.is_some() != (akm == Akm::Dot1x)
            || akm.has_dpp() && parts.connector.is_none()
        {
            return Err(Misuse::CredentialParts.into());
        }
        if let Some(password) = &parts.password
            && !password.fits(akm)
        {
            return Err(Misuse::Password.into());
        }
        Ok(Self { akm, parts })
    }

    /// The connector alone: `dpp`.
    pub fn dpp(connector: ConnectorCredential) -> Self {
        Self {
            akm: Akm::Dpp,
            parts: CredentialParts {
                connector: Some(connector),
                ..CredentialParts::default()
            },
        }
    }

    /// What it is for.
    pub fn akm(&self) -> Akm {
        self.akm
    }

    /// The passphrase, password or PSK.
    pub fn password(&self) -> Option<&Password> {
        self.parts.password.as_ref()
    }

    /// The certificates.
    pub fn enterprise(&self) -> Option<&EnterpriseCredential> {
        self.parts.enterprise.as_ref()
    }

    /// The connector.
    pub fn connector(&self) -> Option<&ConnectorCredential> {
        self.parts.connector.as_ref()
    }
}

impl Password {
    /// A passphrase or SAE password: 1 to [`MAX_PASSPHRASE_LENGTH`] octets without control
    /// characters. For PSK it must be 8 to 63 printable ASCII characters.
    ///
    /// # Errors
    /// [`Misuse::Password`].
    pub fn passphrase(text: &str) -> Result<Self, Error> {
        if !(1..=MAX_PASSPHRASE_LENGTH).contains(&text.len()) || text.chars().any(char::is_control)
        {
            return Err(Misuse::Password.into());
        }
        Ok(Self {
            value: Value::Text(Secret::new(text.as_bytes().to_vec())),
            identifier: None,
        })
    }

    /// A raw PSK, which SAE cannot use.
    pub fn psk(octets: [u8; 32]) -> Self {
        Self {
            value: Value::Psk(Secret::new(octets.to_vec())),
            identifier: None,
        }
    }

    /// With an SAE password identifier (`idpass`, since version 3), by which an access point finds
    /// the password of this one device.
    #[must_use]
    pub fn with_identifier(mut self, identifier: &str) -> Self {
        self.identifier = Some(identifier.to_owned());
        self
    }

    /// The passphrase or password, for the one call that needs it.
    pub fn expose_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => std::str::from_utf8(text.expose()).ok(),
            Value::Psk(_) => None,
        }
    }

    /// The raw PSK, 32 octets, for the one call that needs it.
    pub fn expose_psk(&self) -> Option<&[u8]> {
        match &self.value {
            Value::Text(_) => None,
            Value::Psk(octets) => Some(octets.expose()),
        }
    }

    /// The SAE password identifier.
    pub fn identifier(&self) -> Option<&str> {
        self.identifier.as_deref()
    }

    fn fits(&self, akm: Akm) -> bool {
        match self.expose_text() {
            // IEEE 802.11 Annex J.4.1: 8 to 63 characters from 32 to 126.
            Some(text) => {
                !akm.has_psk()
                    || (8..=63).contains(&text.len())
                        && text.bytes().all(|octet| (32..=126).contains(&octet))
            }
            None => !akm.has_sae(),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Password")
            .field("identifier", &self.identifier)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.value, &other.value) {
            (Value::Text(one), Value::Text(two)) | (Value::Psk(one), Value::Psk(two)) => {
                one.ct_eq(two.expose())
            }
            (Value::Text(_), Value::Psk(_)) | (Value::Psk(_), Value::Text(_)) => false,
        };
        same && self.identifier == other.identifier
    }
}

impl Eq for Password {}

impl ConnectorCredential {
    /// The enrollee's check of what it was given: signed by the C-sign key beside it, for the
    /// enrollee's own key, and not expired (§6.4.5).
    ///
    /// # Errors
    /// As [`Connector::verify`] and [`VerifiedConnector::check_key`].
    pub fn verify(&self, own: &Point, now: Timestamp) -> Result<VerifiedConnector, Error> {
        let verified = self
            .connector
            .verify(std::slice::from_ref(&self.c_sign), now)?;
        verified.check_key(own)?;
        Ok(verified)
    }
}

impl EnterpriseCredential {
    /// EAP-TLS with these certificates, the device's own first.
    pub fn new(certificates: &[Certificate], ca: Option<&Certificate>) -> Self {
        Self {
            certificate_bag: cms::certs_only(certificates),
            ca_certificate: ca.map(|certificate| certificate.der().to_vec()),
            trusted_server_name: None,
            eap_methods: vec![EAP_TLS],
        }
    }

    /// The certificates in the bag, in its order and with nothing proved.
    ///
    /// # Errors
    /// [`Malformed::CertificateBag`], also for a bag without certificates.
    pub fn certificates(&self) -> Result<Vec<Certificate>, Error> {
        match cms::parse_certs_only(&self.certificate_bag) {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            _ => Err(Malformed::CertificateBag.into()),
        }
    }
}

impl fmt::Debug for EnterpriseCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EnterpriseCredential")
            .field("trusted_server_name", &self.trusted_server_name)
            .field("eap_methods", &self.eap_methods)
            .finish_non_exhaustive()
    }
}
