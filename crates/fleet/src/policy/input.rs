//! What a policy gets to see.

use jiff::Timestamp;
use regorus::Value;

use crate::admission::MacAddress;
use crate::claim::Claim;
use crate::device::Device;
use crate::manufacturer::Manufacturer;
use crate::text::text_enum;
use crate::wifi::DeviceRole;

text_enum! {
    /// What the device wants.
    pub enum RequestKind {
        /// To join, by a voucher.
        Voucher = "voucher",
        /// A first credential.
        Enrol = "enrol",
        /// To join, by Wi-Fi Easy Connect.
        Configure = "configure",
        /// A newer credential.
        Renew = "renew",
        /// Nothing: its standing is looked at again.
        Review = "review",
    }
}

text_enum! {
    /// By which protocol a device comes in.
    pub enum Method {
        /// BRSKI and EST.
        Brski = "brski",
        /// Wi-Fi Easy Connect.
        Dpp = "dpp",
        /// None: it shows nothing but its MAC address, which anybody can copy.
        Mac = "mac",
    }
}

/// How a device comes in, and what it says of itself while it does.
#[derive(Debug, Clone, Copy)]
pub struct Onboarding<'a> {
    /// By which protocol.
    pub method: Method,
    /// Whether the network proved itself to the device as well before anything moved. A device
    /// that only announces itself is judged as if it did: that may still come.
    pub mutual: bool,
    /// What it is going to be, where the protocol knows that.
    pub role: Option<DeviceRole>,
    /// What it says of itself, by name. Nothing of it is proved.
    pub said: &'a [(&'a str, &'a str)],
}

impl Onboarding<'_> {
    /// By BRSKI: device and registrar prove themselves to each other.
    pub const BRSKI: Self = Self {
        method: Method::Brski,
        mutual: true,
        role: None,
        said: &[],
    };

    /// By the key on its label, of which nothing more is known.
    pub const LABEL: Self = Self {
        method: Method::Dpp,
        mutual: false,
        role: None,
        said: &[],
    };

    /// By its MAC address: nobody proves anything.
    pub const MAC: Self = Self {
        method: Method::Mac,
        mutual: false,
        role: None,
        said: &[],
    };
}

/// The MAC address by which a device comes in.
#[derive(Debug, Clone, Copy)]
pub struct Address {
    /// The address.
    pub mac: MacAddress,
    /// Whether the device holds a certificate of this domain that counts, and could prove that.
    pub holds_credential: bool,
}

/// The facts a policy judges. In Rego, times are whole seconds since 1970:
///
/// ```json
/// {"now": 1767225600, "request": {"kind": "voucher"},
///  "device": {"id": "…", "serial": "…", "model": "…", "state": "claimed", "segment": null,
///             "key_origin": "device", "mud_url": null, "birth_key_known": true},
///  "manufacturer": {"id": "…", "name": "…", "trust": "voucher-required"},
///  "onboarding": {"method": "dpp", "mutual": false, "role": "station",
///                 "said": {"name": "lamp 3", "mudurl": "https://…"}},
///  "address": {"mac": "00:1b:63:84:45:e6", "local": false, "holds_credential": false},
///  "claims": [{"issuer": "…", "subject": "device", "kind": "…", "value": true,
///              "strength": "stated", "issued_at": 1767225600, "expires_at": null}]}
/// ```
///
/// `device` and `manufacturer` are null when unknown, `onboarding` when the device does not come in
/// but is looked at again, `address` unless the method is `mac`. A yes to that method counts with
/// `"by_address": "without-credential"` or `"always"` in the verdict alone. Claims that have run out are
/// not shown.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The time.
    pub now: Timestamp,
    /// What the device wants.
    pub request: RequestKind,
    /// The device.
    pub device: Option<&'a Device>,
    /// Its manufacturer.
    pub manufacturer: Option<&'a Manufacturer>,
    /// How it comes in; none when it does not.
    pub onboarding: Option<Onboarding<'a>>,
    /// By which MAC address, where it comes in by that.
    pub address: Option<Address>,
    /// What is claimed about it, its model, its manufacturer and its owner.
    pub claims: &'a [Claim],
}

impl Input<'_> {
    /// A device of which nothing is known.
    pub(super) const NOTHING: Self = Self {
        now: Timestamp::UNIX_EPOCH,
        request: RequestKind::Review,
        device: None,
        manufacturer: None,
        onboarding: None,
        address: None,
        claims: &[],
    };

    pub(super) fn to_value(self) -> Value {
        let claims: Vec<Value> = self
            .claims
            .iter()
            .filter(|claim| claim.is_current(self.now))
            .map(claim_value)
            .collect();
        object([
            ("now", Value::from(self.now.as_second())),
            (
                "request",
                object([("kind", Value::from(self.request.as_str()))]),
            ),
            ("device", self.device.map_or(Value::Null, device_value)),
            (
                "manufacturer",
                self.manufacturer.map_or(Value::Null, manufacturer_value),
            ),
            (
                "onboarding",
                self.onboarding.map_or(Value::Null, onboarding_value),
            ),
            ("address", self.address.map_or(Value::Null, address_value)),
            ("claims", Value::from(claims)),
        ])
    }
}

fn device_value(device: &Device) -> Value {
    object([
        ("id", Value::from(device.id.to_string())),
        ("serial", Value::from(device.serial.as_str())),
        ("model", optional(device.model.as_deref())),
        ("state", Value::from(device.state.as_str())),
        ("segment", optional(device.segment.as_deref())),
        ("key_origin", Value::from(device.key_origin.as_str())),
        ("mud_url", optional(device.mud_url.as_deref())),
        (
            "birth_key_known",
            Value::from(device.idevid_spki_sha256.is_some()),
        ),
    ])
}

fn manufacturer_value(manufacturer: &Manufacturer) -> Value {
    object([
        ("id", Value::from(manufacturer.id.to_string())),
        ("name", Value::from(manufacturer.name.as_str())),
        ("trust", Value::from(manufacturer.trust.as_str())),
    ])
}

fn onboarding_value(onboarding: Onboarding<'_>) -> Value {
    let said: std::collections::BTreeMap<Value, Value> = onboarding
        .said
        .iter()
        .map(|(name, text)| (Value::from(*name), Value::from(*text)))
        .collect();
    object([
        ("method", Value::from(onboarding.method.as_str())),
        ("mutual", Value::from(onboarding.mutual)),
        (
            "role",
            onboarding
                .role
                .map_or(Value::Null, |role| Value::from(role.as_str())),
        ),
        ("said", said.into()),
    ])
}

fn address_value(address: Address) -> Value {
    object([
        ("mac", Value::from(address.mac.to_string())),
        ("local", Value::from(address.mac.is_local())),
        ("holds_credential", Value::from(address.holds_credential)),
    ])
}

fn claim_value(claim: &Claim) -> Value {
    object([
        ("issuer", Value::from(claim.issuer.as_str())),
        ("subject", Value::from(claim.subject.kind().as_str())),
        ("kind", Value::from(claim.kind.as_str())),
        ("value", Value::from(claim.value.clone())),
        ("strength", Value::from(claim.strength.as_str())),
        ("issued_at", Value::from(claim.issued_at.as_second())),
        (
            "expires_at",
            claim
                .expires_at
                .map_or(Value::Null, |end| Value::from(end.as_second())),
        ),
    ])
}

fn optional(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    fields
        .into_iter()
        .map(|(name, value)| (Value::from(name), value))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into()
}
