//! Connectors: what a configurator signs to say "this key may join as this in that group"
//! (Wi-Fi Easy Connect 3.0 §4.2).
//!
//! A compact JWS (RFC 7515 §7.1) of type `dppCon` over the groups, the device's public
//! netAccessKey, and optionally an expiry and a protocol version.
//!
//! 1. A configurator issues one ([`Connector::issue`], [`Connector::issue_with_key`]).
//! 2. Somebody receives one ([`Connector::parse`]): it says who claims to have signed, no more.
//! 3. Whoever knows the configurator's C-sign key verifies it ([`Connector::verify`]): only then
//!    can the content be read.
//! 4. A device checks that it is for its own key ([`VerifiedConnector::check_key`]); peers check
//!    that they go together ([`VerifiedConnector::matches`]).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use vouchsafe_trust::Signer;

use crate::curve::{Curve, Point, PrivateKey, sha256};
use crate::error::{Error, Malformed, Misuse, Refusal};
use crate::json::{self, Json};
use crate::jwk;
use crate::object::NetRole;
use crate::signature;

/// Longest connector that is read, in octets.
pub const MAX_CONNECTOR_LENGTH: usize = 8 * 1024;

/// Room that is made for a connector at once, in octets: one on P-256 with one group and an expiry.
const USUAL_LENGTH: usize = 640;

/// Most groups in one connector.
pub const MAX_GROUPS: usize = 32;

/// The group that goes with every group (§4.2.1).
pub const ANY_GROUP: &str = "*";

/// What a connector says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorContent {
    /// What its holder may be, and to whom; not empty.
    pub groups: Vec<Group>,
    /// The holder's public key.
    pub net_access_key: Point,
    /// After this moment the connector is worth nothing; absent means never.
    pub expiry: Option<Timestamp>,
    /// The protocol version that the holder had when it was configured (§4.2.1, since version 3).
    pub version: Option<u8>,
}

/// A group and the holder's role in it (§4.2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The group's name; [`ANY_GROUP`] goes with all.
    pub id: String,
    /// The role.
    pub role: NetRole,
}

/// A configurator's public signing key with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSignPublicKey {
    point: Point,
    kid: String,
}

/// A configurator's signing key, ready to sign: its name and the header of its connectors are worked
/// out once.
#[derive(Clone, Debug)]
pub struct CSignKey {
    signer: Arc<dyn Signer>,
    public: CSignPublicKey,
    /// The protected header, encoded, and the dot behind it.
    header: String,
}

/// A connector as it stands on the wire, its content unproved and therefore not readable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Connector {
    text: String,
    /// From the protected header.
    kid: String,
    curve: Curve,
    /// Where the signature's dot is: what lies before it is signed.
    signed_length: usize,
}

/// A connector whose signature, form and expiry were checked. Only [`Connector::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedConnector {
    connector: Connector,
    content: ConnectorContent,
}

impl ConnectorContent {
    /// One group named `*`, as hostap issues them by default.
    pub fn for_any_group(role: NetRole, net_access_key: Point) -> Self {
        Self {
            groups: vec![Group {
                id: ANY_GROUP.to_owned(),
                role,
            }],
            net_access_key,
            expiry: None,
            version: None,
        }
    }

    fn to_json(&self) -> String {
        let mut text = String::with_capacity(USUAL_LENGTH);
        text.push_str(r#"{"groups":["#);
        for (index, group) in self.groups.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(r#"{"groupId":"#);
            text.push_str(&json::quote(&group.id));
            text.push_str(r#","netRole":""#);
            text.push_str(group.role.name());
            text.push_str(r#""}"#);
        }
        text.push_str(r#"],"netAccessKey":"#);
        text.push_str(&jwk::write(&self.net_access_key, None));
        if let Some(expiry) = self.expiry {
            // Whole seconds in UTC, the form that hostap reads.
            let expiry = expiry.strftime("%Y-%m-%dT%H:%M:%SZ");
            text.push_str(&format!(r#","expiry":"{expiry}""#));
        }
        if let Some(version) = self.version {
            text.push_str(&format!(r#","version":{version}"#));
        }
        text.push('}');
        text
    }

    fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let root = json::read(bytes, MAX_CONNECTOR_LENGTH)?;
        let groups = match root.optional_list("groups")? {
            None => return Err(Error::missing("groups")),
            Some([]) => return Err(Error::value("groups")),
            Some(list) if list.len() > MAX_GROUPS => {
                return Err(Malformed::JsonTooLarge.into());
            }
            Some(list) => read_groups(list)?,
        };
        let expiry = root.optional_text("expiry")?.map(read_expiry).transpose()?;
        let version = root
            .optional_number("version")?
            .map(|number| match u8::try_from(number) {
                Ok(version) if version > 0 => Ok(version),
                _ => Err(Error::value("version")),
            })
            .transpose()?;
        let (net_access_key, _) = jwk::read(root.object("netAccessKey")?)?;
        Ok(Self {
            groups,
            net_access_key,
            expiry,
            version,
        })
    }
}

impl CSignPublicKey {
    /// The key at `point`; its name is the base64url SHA-256 of the uncompressed point
    /// (§4.2.2).
    pub fn new(point: Point) -> Self {
        let kid = BASE64_URL_SAFE_NO_PAD.encode(kid_octets(&point));
        Self { point, kid }
    }

    /// The public key of a signer.
    ///
    /// # Errors
    /// [`Misuse::SignerKey`] for a signer that is not on a curve of this protocol.
    pub fn of_signer(signer: &dyn Signer) -> Result<Self, Error> {
        Ok(Self::new(signature::point_of(signer.public_key())?))
    }

    /// The key.
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// Its name in connectors and objects.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// SHA-256 of the uncompressed point, which reconfiguration announcements carry (§6.5.2).
    pub fn hash(&self) -> [u8; 32] {
        kid_octets(&self.point)
    }
}

impl CSignKey {
    /// Prepares a key on P-256 or P-384, wherever it lives.
    ///
    /// # Errors
    /// [`Misuse::SignerKey`] for a signer that is not on a curve of this protocol.
    pub fn new(signer: Arc<dyn Signer>) -> Result<Self, Error> {
        let public = CSignPublicKey::of_signer(signer.as_ref())?;
        Ok(Self {
            header: encoded_header(&public),
            signer,
            public,
        })
    }

    /// The public half with its name.
    pub fn public(&self) -> &CSignPublicKey {
        &self.public
    }

    /// Where the key lives.
    pub fn signer(&self) -> &Arc<dyn Signer> {
        &self.signer
    }

    /// Signs `content`.
    ///
    /// # Errors
    /// As [`Connector::issue`].
    pub fn issue(&self, content: &ConnectorContent) -> Result<Connector, Error> {
        Connector::assemble(content, &self.public, &self.header, |message| {
            signature::sign_with(self.signer.as_ref(), message)
        })
    }
}

impl Connector {
    /// Signs `content` with a configurator's key on P-256 or P-384, wherever it lives. Who signs more
    /// than one prepares the key: [`CSignKey`].
    ///
    /// # Errors
    /// [`Misuse::KeyDevice`] when the key could not be used, [`Misuse::SignerKey`] when it
    /// is of another kind, [`Misuse::NoGroups`] for content that nobody accepts.
    pub fn issue(content: &ConnectorContent, signer: &dyn Signer) -> Result<Self, Error> {
        let c_sign = CSignPublicKey::of_signer(signer)?;
        Self::assemble(content, &c_sign, &encoded_header(&c_sign), |message| {
            signature::sign_with(signer, message)
        })
    }

    /// Signs `content` with a configurator's key in memory, on any curve.
    ///
    /// # Errors
    /// [`Misuse::NoGroups`]; [`crate::Unsupported`] for a curve without an
    /// implementation.
    pub fn issue_with_key(content: &ConnectorContent, key: &PrivateKey) -> Result<Self, Error> {
        let c_sign = CSignPublicKey::new(key.public().clone());
        Self::assemble(content, &c_sign, &encoded_header(&c_sign), |message| {
            signature::sign(key, message)
        })
    }

    fn assemble(
        content: &ConnectorContent,
        c_sign: &CSignPublicKey,
        header: &str,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Error>,
    ) -> Result<Self, Error> {
        if content.groups.is_empty() || content.groups.len() > MAX_GROUPS {
            return Err(Misuse::NoGroups.into());
        }
        let mut text = String::with_capacity(USUAL_LENGTH);
        text.push_str(header);
        BASE64_URL_SAFE_NO_PAD.encode_string(content.to_json(), &mut text);
        let signed_length = text.len();
        let signature = sign(text.as_bytes())?;
        text.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        if text.len() > MAX_CONNECTOR_LENGTH {
            return Err(Malformed::ConnectorTooLong.into());
        }
        Ok(Self {
            text,
            kid: c_sign.kid.clone(),
            curve: c_sign.point.curve(),
            signed_length,
        })
    }

    /// Reads the form and the header of a connector; its content stays closed until
    /// [`Self::verify`].
    ///
    /// # Errors
    /// [`Malformed`]: too long, not three parts of unpadded base64url, a header that is not
    /// `dppCon`, names no key, or asks for an algorithm other than ECDSA on a curve of this
    /// protocol (`none` and `HS256` among them).
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_CONNECTOR_LENGTH {
            return Err(Malformed::ConnectorTooLong.into());
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Malformed::ConnectorForm)?;
        let (header, content) = signed.split_once('.').ok_or(Malformed::ConnectorForm)?;
        // A further dot would stand in one of these and is no base64url.
        let header = decode(header)?;
        decode(content)?;
        decode(signature)?;
        let header = json::read(&header, MAX_CONNECTOR_LENGTH)?;
        if header.text("typ")? != "dppCon" {
            return Err(Malformed::ConnectorType.into());
        }
        // RFC 7515 §4.1.11: an extension that must be understood; none is.
        if header.member("crit").is_some() {
            return Err(Malformed::ConnectorHeader.into());
        }
        let curve =
            Curve::from_jws_name(header.text("alg")?).ok_or(Malformed::ConnectorAlgorithm)?;
        let kid = header.text("kid")?;
        if decode(kid)?.len() != 32 {
            return Err(Malformed::ConnectorKeyId.into());
        }
        Ok(Self {
            kid: kid.to_owned(),
            curve,
            signed_length: signed.len(),
            text: text.to_owned(),
        })
    }

    /// Accepts the connector if one of `anchors` signed it and it has not expired at `now`.
    ///
    /// # Errors
    /// [`Refusal::ConnectorSigner`] when no anchor has the name in the header,
    /// [`Refusal::ConnectorAlgorithm`] when the header's algorithm is not that of the anchor's curve,
    /// [`Refusal::ConnectorSignature`], [`Refusal::ConnectorExpired`]; [`Malformed`] for signed content
    /// that is no connector.
    pub fn verify(
        &self,
        anchors: &[CSignPublicKey],
        now: Timestamp,
    ) -> Result<VerifiedConnector, Error> {
        let verified = self.verify_regardless_of_expiry(anchors)?;
        // §4.2.1: past its expiry the connector is worth nothing.
        if verified.content.expiry.is_some_and(|expiry| now > expiry) {
            return Err(Refusal::ConnectorExpired.into());
        }
        Ok(verified)
    }

    /// [`Self::verify`] for a device that comes to have an expired connector renewed (§6.5.3).
    pub(crate) fn verify_regardless_of_expiry(
        &self,
        anchors: &[CSignPublicKey],
    ) -> Result<VerifiedConnector, Error> {
        let anchor = anchors
            .iter()
            .find(|anchor| anchor.kid == self.kid)
            .ok_or(Refusal::ConnectorSigner)?;
        if anchor.point.curve() != self.curve {
            return Err(Refusal::ConnectorAlgorithm.into());
        }
        let (signed, signature) = self
            .text
            .split_at_checked(self.signed_length)
            .ok_or(Malformed::ConnectorForm)?;
        let signature = decode(
            signature
                .strip_prefix('.')
                .ok_or(Malformed::ConnectorForm)?,
        )?;
        if !signature::verifies(&anchor.point, signed.as_bytes(), &signature) {
            return Err(Refusal::ConnectorSignature.into());
        }
        let (_, content) = signed.split_once('.').ok_or(Malformed::ConnectorForm)?;
        Ok(VerifiedConnector {
            content: ConnectorContent::from_json(&decode(content)?)?,
            connector: self.clone(),
        })
    }

    /// The connector in its compact form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of the key that it claims to be signed with.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Connector(kid {})", self.kid)
    }
}

impl VerifiedConnector {
    /// The connector as it was signed.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// What it says.
    pub fn content(&self) -> &ConnectorContent {
        &self.content
    }

    /// The device's check that the connector is for its own key (§6.4.5): a configurator that
    /// names another key hands the device's place in the network to that key's holder.
    ///
    /// # Errors
    /// [`Refusal::ConnectorForeignKey`].
    pub fn check_key(&self, own: &Point) -> Result<(), Error> {
        if self.content.net_access_key == *own {
            Ok(())
        } else {
            Err(Refusal::ConnectorForeignKey.into())
        }
    }

    /// Whether the holder has `role` in the group named `group`, or in all.
    ///
    /// # Errors
    /// [`Refusal::ConnectorGroup`] and [`Refusal::ConnectorRole`].
    pub fn check_role(&self, group: &str, role: NetRole) -> Result<(), Error> {
        let mut of_group = self
            .content
            .groups
            .iter()
            .filter(|own| same_group(&own.id, group))
            .peekable();
        if of_group.peek().is_none() {
            return Err(Refusal::ConnectorGroup.into());
        }
        if of_group.any(|own| own.role == role) {
            Ok(())
        } else {
            Err(Refusal::ConnectorRole.into())
        }
    }

    /// Whether the holders of both may talk to each other: they share a group in which one is a
    /// station and the other an access point, and their keys are on the same curve (§6.6.2).
    ///
    /// # Errors
    /// [`Refusal::ConnectorGroup`] without a common group, [`Refusal::ConnectorRole`] when the roles in the
    /// common groups do not go together, [`Refusal::ConnectorCurve`].
    pub fn matches(&self, peer: &Self) -> Result<(), Error> {
        let mut common = false;
        let mut compatible = false;
        for own in &self.content.groups {
            for other in &peer.content.groups {
                if same_group(&own.id, &other.id) {
                    common = true;
                    compatible |= compatible_roles(own.role, other.role);
                }
            }
        }
        if !common {
            return Err(Refusal::ConnectorGroup.into());
        }
        if !compatible {
            return Err(Refusal::ConnectorRole.into());
        }
        let curve = self.content.net_access_key.curve();
        if curve != peer.content.net_access_key.curve() {
            return Err(Refusal::ConnectorCurve.into());
        }
        Ok(())
    }
}

/// The protected header of a connector, base64url, with the dot behind it (§4.2.2).
fn encoded_header(c_sign: &CSignPublicKey) -> String {
    let header = format!(
        r#"{{"typ":"dppCon","kid":"{}","alg":"{}"}}"#,
        c_sign.kid,
        c_sign.point.curve().jws_name()
    );
    let mut text = BASE64_URL_SAFE_NO_PAD.encode(header);
    text.push('.');
    text
}

fn same_group(one: &str, other: &str) -> bool {
    one == other || one == ANY_GROUP || other == ANY_GROUP
}

fn compatible_roles(one: NetRole, other: NetRole) -> bool {
    matches!(
        (one, other),
        (NetRole::Station, NetRole::AccessPoint) | (NetRole::AccessPoint, NetRole::Station)
    )
}

/// Groups whose role is none of ours (those of mesh equipment) are left out: they go with nobody
/// that we speak for.
fn read_groups(list: &[Json]) -> Result<Vec<Group>, Error> {
    let mut groups = Vec::new();
    for group in list {
        let id = group.text("groupId")?;
        if let Some(role) = NetRole::from_name(group.text("netRole")?) {
            groups.push(Group {
                id: id.to_owned(),
                role,
            });
        }
    }
    Ok(groups)
}

/// ISO 8601 with `Z`, an offset, or nothing, which means UTC (§4.2.1).
fn read_expiry(text: &str) -> Result<Timestamp, Error> {
    let utc = || {
        let local: DateTime = text.parse().ok()?;
        let zoned = local.to_zoned(TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    };
    Some(text)
        .filter(|text| (19..=35).contains(&text.len()))
        .and_then(|text| text.parse().ok().or_else(utc))
        .ok_or_else(|| Error::value("expiry"))
}

fn decode(text: &str) -> Result<Vec<u8>, Error> {
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Malformed::ConnectorEncoding.into())
}

fn kid_octets(point: &Point) -> [u8; 32] {
    sha256(&[point.to_uncompressed()])
}

#[cfg(test)]
mod tests;
