//! CSR attributes: what a server wants to see in a certificate request.
//!
//! Two forms. The template of RFC 9908 §3.4 is a request with holes: subject, key and
//! extensions, each with or without a value. The older form (RFC 7030 §4.5.2, RFC 8951 §3.2,
//! RFC 9908 §3.2) is a list of OIDs and attributes. Where both are given the template counts.
//!
//! 1. The server says what it wants: [`CsrAttributes::to_der`].
//! 2. The client reads it and fills the holes: [`CsrAttributes::from_der`], [`CsrAttributes::request_content`].
//! 3. The server checks what came: [`CsrAttributes::check`] (RFC 8995 §5.9.2).

use der::asn1::{Any, BitString, OctetString, SetOfVec};
use der::{Decode, Encode, Sequence, Tag, Tagged, ValueOrd};
use spki::AlgorithmIdentifierOwned;
use vouchsafe_trust::{
    CertificateRequest, Extension, KeyType, Name, Oid, PublicKey, RequestContent, oid,
};

use crate::error::{Error, Malformed, Misuse, Refusal};

/// The largest attributes that are read, in bytes.
pub const MAX_ATTRIBUTES_LEN: usize = 16 * 1024;

/// id-aa-certificationRequestInfoTemplate (RFC 9908 §3.4).
const TEMPLATE: Oid = Oid::new_unwrap("1.2.840.113549.1.9.16.2.61");
/// id-aa-extensionReqTemplate (RFC 9908 §3.4).
const EXTENSION_TEMPLATE: Oid = Oid::new_unwrap("1.2.840.113549.1.9.16.2.62");

/// In which form to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Both, so that every client finds its own.
    #[default]
    Both,
    /// RFC 9908 §3.4 alone.
    Template,
    /// RFC 7030 §4.5.2 alone; it cannot say anything about the subject.
    List,
}

/// The kind of key that a request is to be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA with at least this many bits, if it says how many.
    Rsa(Option<u16>),
}

/// One extension that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedExtension {
    /// Which.
    pub oid: Oid,
    /// Whether it is to be critical.
    pub critical: bool,
    /// Its DER, if the server prescribes it; otherwise the client knows it.
    pub value: Option<Vec<u8>>,
}

/// What a certificate request shall contain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsrAttributes {
    /// Subject attributes in order, with their values where the server prescribes them; `None`
    /// where it leaves the subject to the client.
    pub subject: Option<Vec<(Oid, Option<String>)>>,
    /// The kind of key.
    pub key: Option<KeyKind>,
    /// Extensions.
    pub extensions: Vec<WantedExtension>,
    /// Further attributes, such as challengePassword.
    pub attributes: Vec<Oid>,
}

impl CsrAttributes {
    /// DER of `CsrAttrs`. Encode as [`crate::est::encode_body`] for EST over HTTP.
    ///
    /// # Errors
    /// [`Misuse::Content`] for a value that does not fit its ASN.1 type.
    pub fn to_der(&self, form: Form) -> Result<Vec<u8>, Error> {
        self.encode(form).map_err(|_| Misuse::Content.into())
    }

    /// Reads either form. An attribute of the list that says nothing known is one that is wanted.
    ///
    /// # Errors
    /// [`Malformed::TooLarge`] and [`Malformed::Attributes`].
    pub fn from_der(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_ATTRIBUTES_LEN {
            return Err(Malformed::TooLarge.into());
        }
        Self::decode(bytes).map_err(|_| Malformed::Attributes.into())
    }

    /// The request that a client makes of this: what the server prescribes, and where it leaves
    /// holes what the client has, `own`. Extensions that `own` has and nobody asked for are left out.
    ///
    /// # Errors
    /// [`Refusal::CsrSubject`] and [`Refusal::CsrExtensionMissing`] for a hole that `own` cannot
    /// fill, [`Refusal::CsrKeyType`] for a key of another kind than `key`.
    pub fn request_content(
        &self,
        own: &RequestContent,
        key: &PublicKey,
    ) -> Result<RequestContent, Error> {
        self.check_key(key)?;
        let subject = match &self.subject {
            None => own.subject.clone(),
            Some(wanted) => {
                let attributes = wanted
                    .iter()
                    .map(|(oid, value)| {
                        let value = value.as_deref().or_else(|| own.subject.attribute(oid));
                        value.map(|value| (*oid, value)).ok_or(Refusal::CsrSubject)
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                Name::new(&attributes).map_err(|_| Misuse::Content)?
            }
        };
        let mut content = RequestContent {
            subject,
            subject_alt_names: Vec::new(),
            extensions: Vec::new(),
            challenge_password: own.challenge_password.clone(),
            attributes: own.attributes.clone(),
        };
        for wanted in &self.extensions {
            let own_value = || {
                own.extensions
                    .iter()
                    .find(|extension| extension.oid == wanted.oid)
                    .map(|extension| extension.value.clone())
            };
            match wanted.value.clone().or_else(own_value) {
                Some(value) => content.extensions.push(Extension {
                    oid: wanted.oid,
                    critical: wanted.critical,
                    value,
                }),
                None if wanted.oid == oid::SUBJECT_ALT_NAME
                    && !own.subject_alt_names.is_empty() =>
                {
                    content.subject_alt_names.clone_from(&own.subject_alt_names);
                }
                None => return Err(Refusal::CsrExtensionMissing.into()),
            }
        }
        Ok(content)
    }

    /// RFC 8995 §5.9.2: the registrar holds the request against what it asked for.
    ///
    /// # Errors
    /// The first of [`Refusal::CsrSubject`], [`Refusal::CsrKeyType`], [`Refusal::CsrExtensionMissing`],
    /// [`Refusal::CsrExtensionValue`], [`Refusal::CsrAttributeMissing`] that applies.
    pub fn check(&self, request: &CertificateRequest) -> Result<(), Error> {
        for (oid, wanted) in self.subject.iter().flatten() {
            let found = request.subject().attribute(oid);
            if found.is_none() || wanted.is_some() && found != wanted.as_deref() {
                return Err(Refusal::CsrSubject.into());
            }
        }
        self.check_key(request.public_key())?;
        for wanted in &self.extensions {
            let found = request
                .extension(&wanted.oid)
                .ok_or(Refusal::CsrExtensionMissing)?;
            if wanted
                .value
                .as_ref()
                .is_some_and(|value| *value != found.value)
            {
                return Err(Refusal::CsrExtensionValue.into());
            }
        }
        for wanted in &self.attributes {
            if request.attribute(wanted).is_none() {
                return Err(Refusal::CsrAttributeMissing.into());
            }
        }
        Ok(())
    }

    fn check_key(&self, key: &PublicKey) -> Result<(), Refusal> {
        let fits = match self.key {
            None => true,
            Some(KeyKind::P256) => key.key_type() == KeyType::P256,
            Some(KeyKind::P384) => key.key_type() == KeyType::P384,
            Some(KeyKind::P521) => key.key_type() == KeyType::P521,
            Some(KeyKind::Ed25519) => key.key_type() == KeyType::Ed25519,
            Some(KeyKind::Rsa(wanted)) => match key.key_type() {
                KeyType::Rsa { bits } => wanted.is_none_or(|wanted| bits >= wanted.into()),
                _ => false,
            },
        };
        if fits {
            Ok(())
        } else {
            Err(Refusal::CsrKeyType)
        }
    }

    fn encode(&self, form: Form) -> der::Result<Vec<u8>> {
        let mut items: Vec<Any> = Vec::new();
        if form != Form::List {
            items.push(attribute(
                TEMPLATE,
                vec![Any::encode_from(&self.template()?)?],
            )?);
        }
        if form != Form::Template {
            self.encode_list(&mut items)?;
        }
        items.to_der()
    }

    fn template(&self) -> der::Result<RequestTemplate> {
        let mut attributes = SetOfVec::new();
        if !self.extensions.is_empty() {
            let extensions = self
                .extensions
                .iter()
                .map(|wanted| {
                    Ok(ExtensionTemplate {
                        oid: wanted.oid,
                        critical: wanted.critical,
                        value: wanted.value.clone().map(OctetString::new).transpose()?,
                    })
                })
                .collect::<der::Result<Vec<_>>>()?;
            attributes.insert(ListAttribute {
                oid: EXTENSION_TEMPLATE,
                values: SetOfVec::try_from(vec![Any::encode_from(&extensions)?])?,
            })?;
        }
        for oid in &self.attributes {
            attributes.insert(ListAttribute {
                oid: *oid,
                values: SetOfVec::new(),
            })?;
        }
        Ok(RequestTemplate {
            version: 0,
            subject: self
                .subject
                .as_ref()
                .map(|subject| names(subject))
                .transpose()?,
            key: self.key.map(key_template).transpose()?,
            attributes,
        })
    }

    fn encode_list(&self, items: &mut Vec<Any>) -> der::Result<()> {
        for oid in &self.attributes {
            items.push(Any::encode_from(oid)?);
        }
        match self.key {
            None => {}
            Some(KeyKind::Rsa(bits)) => {
                let values = bits.map(|bits| Any::encode_from(&bits)).transpose()?;
                items.push(attribute(
                    oid::RSA_ENCRYPTION,
                    values.into_iter().collect(),
                )?);
            }
            Some(KeyKind::Ed25519) => items.push(Any::encode_from(&oid::ED25519)?),
            Some(curve) => items.push(attribute(
                oid::EC_PUBLIC_KEY,
                vec![Any::encode_from(&curve_oid(curve))?],
            )?),
        }
        let mut prescribed = Vec::new();
        for wanted in &self.extensions {
            match &wanted.value {
                Some(value) => prescribed.push(ExtensionTemplate {
                    oid: wanted.oid,
                    critical: wanted.critical,
                    value: Some(OctetString::new(value.clone())?),
                }),
                None => items.push(Any::encode_from(&wanted.oid)?),
            }
        }
        if !prescribed.is_empty() {
            items.push(attribute(
                oid::EXTENSION_REQUEST,
                vec![Any::encode_from(&prescribed)?],
            )?);
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> der::Result<Self> {
        let items = Vec::<Any>::from_der(bytes)?;
        let mut list = Self::default();
        for item in &items {
            if item.tag() == Tag::ObjectIdentifier {
                list.want_oid(item.decode_as()?);
                continue;
            }
            let attribute: ListAttribute = item.decode_as()?;
            if attribute.oid == TEMPLATE {
                let template = attribute.values.get(0).ok_or(der::ErrorKind::Failed)?;
                return Self::from_template(template.decode_as()?);
            }
            list.want_attribute(&attribute)?;
        }
        Ok(list)
    }

    fn from_template(template: RequestTemplate) -> der::Result<Self> {
        let mut wanted = Self::default();
        if let Some(subject) = template.subject {
            let mut names = Vec::new();
            for name in subject.iter().flat_map(SetOfVec::iter) {
                names.push((name.oid, name.value.as_ref().map(text).transpose()?));
            }
            wanted.subject = Some(names);
        }
        if let Some(key) = template.key {
            wanted.key = key_kind(&key)?;
        }
        for attribute in template.attributes.iter() {
            if attribute.oid == EXTENSION_TEMPLATE {
                for extensions in attribute.values.iter() {
                    wanted.want_extensions(extensions.decode_as()?);
                }
            } else {
                wanted.want_attribute(attribute)?;
            }
        }
        Ok(wanted)
    }

    fn want_oid(&mut self, oid: Oid) {
        if oid == oid::ED25519 {
            self.key = Some(KeyKind::Ed25519);
        } else if oid.starts_with(EXTENSION_ARC) {
            self.want_extensions(vec![ExtensionTemplate {
                oid,
                critical: false,
                value: None,
            }]);
        } else if !IGNORED.contains(&oid) {
            self.attributes.push(oid);
        }
    }

    fn want_attribute(&mut self, attribute: &ListAttribute) -> der::Result<()> {
        match attribute.oid {
            oid::EC_PUBLIC_KEY => {
                if let Some(curve) = attribute.values.get(0) {
                    self.key = curve_kind(curve.decode_as()?);
                }
            }
            oid::RSA_ENCRYPTION => {
                let bits = attribute.values.get(0).map(Any::decode_as).transpose()?;
                self.key = Some(KeyKind::Rsa(bits));
            }
            oid::EXTENSION_REQUEST => {
                for extensions in attribute.values.iter() {
                    // RFC 7030 §4.5.2 has a bare OID here, in the place of extensions.
                    if extensions.tag() == Tag::ObjectIdentifier {
                        self.want_extensions(vec![ExtensionTemplate {
                            oid: extensions.decode_as()?,
                            critical: false,
                            value: None,
                        }]);
                    } else {
                        self.want_extensions(extensions.decode_as()?);
                    }
                }
            }
            oid => self.want_oid(oid),
        }
        Ok(())
    }

    fn want_extensions(&mut self, extensions: Vec<ExtensionTemplate>) {
        self.extensions
            .extend(extensions.into_iter().map(|extension| WantedExtension {
                oid: extension.oid,
                critical: extension.critical,
                value: extension.value.map(OctetString::into_bytes).map(Into::into),
            }));
    }
}

/// id-ce: an OID below it in the list is an extension to be included.
const EXTENSION_ARC: Oid = Oid::new_unwrap("2.5.29");
/// Signature algorithms in the list say how to sign; what is signed with another is not refused.
const IGNORED: [Oid; 5] = [
    oid::ECDSA_SHA256,
    oid::ECDSA_SHA384,
    oid::ECDSA_SHA512,
    oid::RSA_SHA256,
    oid::RSA_SHA384,
];

/// `CertificationRequestInfoTemplate` (RFC 9908 §3.4).
#[derive(Sequence)]
struct RequestTemplate {
    version: u8,
    #[asn1(optional = "true")]
    subject: Option<Vec<SetOfVec<NameTemplate>>>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    key: Option<KeyTemplate>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT")]
    attributes: SetOfVec<ListAttribute>,
}

/// `SingleAttributeTemplate`.
#[derive(Clone, Sequence, ValueOrd)]
struct NameTemplate {
    oid: Oid,
    #[asn1(optional = "true")]
    value: Option<Any>,
}

/// `SubjectPublicKeyInfoTemplate`; an RSA key in it only shows its size.
#[derive(Sequence)]
struct KeyTemplate {
    algorithm: AlgorithmIdentifierOwned,
    #[asn1(optional = "true")]
    public_key: Option<BitString>,
}

/// `ExtensionTemplate`, or with a value a plain `Extension`.
#[derive(Sequence)]
struct ExtensionTemplate {
    oid: Oid,
    #[asn1(default = "Default::default")]
    critical: bool,
    #[asn1(optional = "true")]
    value: Option<OctetString>,
}

/// `Attribute`.
#[derive(Clone, Sequence, ValueOrd)]
struct ListAttribute {
    oid: Oid,
    values: SetOfVec<Any>,
}

fn attribute(oid: Oid, values: Vec<Any>) -> der::Result<Any> {
    Any::encode_from(&ListAttribute {
        oid,
        values: SetOfVec::try_from(values)?,
    })
}

fn names(subject: &[(Oid, Option<String>)]) -> der::Result<Vec<SetOfVec<NameTemplate>>> {
    subject
        .iter()
        .map(|(oid, value)| {
            let value = value
                .as_ref()
                .map(|value| match *oid {
                    oid::SERIAL_NUMBER | oid::COUNTRY | oid::DN_QUALIFIER => {
                        Any::new(Tag::PrintableString, value.as_bytes())
                    }
                    oid::DOMAIN_COMPONENT | oid::EMAIL_ADDRESS => {
                        Any::new(Tag::Ia5String, value.as_bytes())
                    }
                    _ => Any::new(Tag::Utf8String, value.as_bytes()),
                })
                .transpose()?;
            SetOfVec::try_from(vec![NameTemplate { oid: *oid, value }])
        })
        .collect()
}

fn text(value: &Any) -> der::Result<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
            String::from_utf8(value.value().to_vec()).map_err(|_| der::ErrorKind::Failed.into())
        }
        _ => Err(der::ErrorKind::Failed.into()),
    }
}

fn key_template(kind: KeyKind) -> der::Result<KeyTemplate> {
    let (oid, parameters) = match kind {
        KeyKind::Rsa(_) => (oid::RSA_ENCRYPTION, Some(Any::null())),
        KeyKind::Ed25519 => (oid::ED25519, None),
        curve => (
            oid::EC_PUBLIC_KEY,
            Some(Any::encode_from(&curve_oid(curve))?),
        ),
    };
    let public_key = match kind {
        KeyKind::Rsa(Some(bits)) => Some(BitString::from_bytes(&placeholder_key(bits)?)?),
        _ => None,
    };
    Ok(KeyTemplate {
        algorithm: AlgorithmIdentifierOwned { oid, parameters },
        public_key,
    })
}

/// RFC 9908 §3.4: an RSA key that only shows its size.
fn placeholder_key(bits: u16) -> der::Result<Vec<u8>> {
    let mut modulus = vec![0_u8; usize::from(bits / 8).max(1)];
    if let Some(first) = modulus.first_mut() {
        *first |= 0x80;
    }
    if let Some(last) = modulus.last_mut() {
        *last |= 1;
    }
    vec![
        Any::encode_from(&der::asn1::Uint::new(&modulus)?)?,
        Any::encode_from(&65_537_u32)?,
    ]
    .to_der()
}

fn key_kind(template: &KeyTemplate) -> der::Result<Option<KeyKind>> {
    Ok(match template.algorithm.oid {
        oid::EC_PUBLIC_KEY => match &template.algorithm.parameters {
            Some(curve) => curve_kind(curve.decode_as()?),
            None => None,
        },
        oid::ED25519 => Some(KeyKind::Ed25519),
        oid::RSA_ENCRYPTION => {
            let bits = template
                .public_key
                .as_ref()
                .and_then(BitString::as_bytes)
                .map(|key| {
                    let numbers = Vec::<der::asn1::Uint>::from_der(key)?;
                    let modulus = numbers.first().ok_or(der::ErrorKind::Failed)?;
                    u16::try_from(modulus.as_bytes().len() * 8)
                        .map_err(|_| der::Error::from(der::ErrorKind::Failed))
                })
                .transpose()?;
            Some(KeyKind::Rsa(bits))
        }
        _ => None,
    })
}

fn curve_oid(kind: KeyKind) -> Oid {
    match kind {
        KeyKind::P384 => oid::P384,
        KeyKind::P521 => oid::P521,
        KeyKind::P256 | KeyKind::Ed25519 | KeyKind::Rsa(_) => oid::P256,
    }
}

fn curve_kind(curve: Oid) -> Option<KeyKind> {
    match curve {
        oid::P256 => Some(KeyKind::P256),
        oid::P384 => Some(KeyKind::P384),
        oid::P521 => Some(KeyKind::P521),
        _ => None,
    }
}
