//! Vouchers and voucher requests as CBOR (RFC 8366bis §8, RFC 9254): maps keyed by SID deltas.
//!
//! SIDs are data with a version: a new revision of the YANG modules is a new [`SidTable`].

use ciborium::Value as Cbor;

use crate::error::Malformed;
use crate::leaf::{Kind, Leaf, Leaves, Module, Read, Value, date_from_text, date_text};
use crate::voucher::{Assertion, Nonce};

/// The assignments of one revision of one module.
#[derive(Debug)]
pub struct SidTable {
    /// The revision of the YANG module.
    pub revision: &'static str,
    /// The SID of the top-level container; the map inside is keyed by differences from it.
    pub container: u64,
    /// Names of the container's children with their SIDs.
    pub children: &'static [(&'static str, u64)],
}

/// `ietf-voucher`, `.sid` file version 5 (RFC 8366bis).
pub const VOUCHER_SIDS: SidTable = SidTable {
    revision: "2025-12-18",
    container: 2451,
    children: &[
        ("assertion", 2452),
        ("created-on", 2453),
        ("domain-cert-revocation-checks", 2454),
        ("expires-on", 2455),
        ("idevid-issuer", 2456),
        ("last-renewal-date", 2457),
        ("nonce", 2458),
        ("pinned-domain-cert", 2459),
        ("pinned-domain-pubk", 2460),
        ("pinned-domain-pubk-sha256", 2461),
        ("serial-number", 2462),
        ("additional-configuration-url", 2463),
        ("est-domain", 2464),
        ("manufacturer-proprietary", 2465),
        ("extensions", 2466),
    ],
};

/// `ietf-voucher-request`, `.sid` file version 12 (RFC 8366bis).
pub const REQUEST_SIDS: SidTable = SidTable {
    revision: "2025-12-18",
    container: 2501,
    children: &[
        ("assertion", 2502),
        ("created-on", 2503),
        ("domain-cert-revocation-checks", 2504),
        ("expires-on", 2505),
        ("idevid-issuer", 2506),
        ("last-renewal-date", 2507),
        ("nonce", 2508),
        ("pinned-domain-cert", 2509),
        ("prior-signed-voucher-request", 2510),
        ("proximity-registrar-cert", 2511),
        ("proximity-registrar-pubk-sha256", 2512),
        ("proximity-registrar-pubk", 2513),
        ("serial-number", 2514),
        ("agent-provided-proximity-registrar-cert", 2515),
        ("agent-sign-cert", 2516),
        ("agent-signed-data", 2517),
        ("pinned-domain-pubk", 2518),
        ("pinned-domain-pubk-sha256", 2519),
        ("additional-configuration-url", 2520),
        ("est-domain", 2521),
        ("extensions", 2522),
        ("manufacturer-proprietary", 2523),
    ],
};

/// Deepest nesting that is read; the model itself needs three levels.
const MAX_DEPTH: usize = 16;
/// The tag of an absolute SID among deltas (RFC 9254 §3.2).
const TAG_ABSOLUTE_SID: u64 = 47;

/// Reads one document; what it is stands in its only top-level key.
pub(crate) fn read(bytes: &[u8]) -> Result<(Module, Leaves), Malformed> {
    let mut rest = bytes;
    let document: Cbor = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH)
        .map_err(|_| Malformed::Cbor)?;
    if !rest.is_empty() {
        return Err(Malformed::Cbor);
    }
    let Cbor::Map(top) = document else {
        return Err(Malformed::TopLevel);
    };
    let Ok([(key, content)]) = <[_; 1]>::try_from(top) else {
        return Err(Malformed::TopLevel);
    };
    let module = module_of(&key).ok_or(Malformed::TopLevel)?;
    let Cbor::Map(fields) = content else {
        return Err(Malformed::TopLevel);
    };
    let table = table(module);
    let mut leaves = Leaves::default();
    for (key, value) in fields {
        let name = name_of(&key, table)?;
        match Leaf::from_name(&name) {
            Some(leaf) => {
                if let Some(value) = field(leaf, value)? {
                    leaves.put(leaf, value)?;
                }
            }
            None => leaves.put_other(name.into_owned(), to_json(value))?,
        }
    }
    Ok((module, leaves))
}

/// Writes one document, keys as ascending deltas.
pub(crate) fn write(module: Module, leaves: &[(Leaf, Value<'_>)]) -> Option<Vec<u8>> {
    let table = table(module);
    let mut fields = Vec::with_capacity(leaves.len());
    for (leaf, value) in leaves {
        let sid = table
            .children
            .iter()
            .find(|(name, _)| *name == leaf.name())
            .map(|(_, sid)| *sid)?;
        fields.push((sid.checked_sub(table.container)?, value_to_cbor(value)));
    }
    fields.sort_by_key(|(delta, _)| *delta);
    let fields = fields
        .into_iter()
        .map(|(delta, value)| (Cbor::from(delta), value))
        .collect();
    let document = Cbor::Map(vec![(Cbor::from(table.container), Cbor::Map(fields))]);
    let mut out = Vec::with_capacity(256);
    ciborium::ser::into_writer(&document, &mut out).ok()?;
    Some(out)
}

/// The table in force for a module.
fn table(module: Module) -> &'static SidTable {
    match module {
        Module::Voucher => &VOUCHER_SIDS,
        Module::Request => &REQUEST_SIDS,
    }
}

fn module_of(key: &Cbor) -> Option<Module> {
    if let Some(name) = key.as_text() {
        return Module::from_top_level_name(name);
    }
    let sid = unsigned(key)?;
    [Module::Voucher, Module::Request]
        .into_iter()
        .find(|module| table(*module).container == sid)
}

/// A receiver takes deltas, absolute SIDs and names, mixed at will (cBRSKI §8).
fn name_of<'a>(key: &'a Cbor, table: &SidTable) -> Result<std::borrow::Cow<'a, str>, Malformed> {
    let sid = match key {
        Cbor::Text(name) => return Ok(name.as_str().into()),
        Cbor::Tag(TAG_ABSOLUTE_SID, sid) => unsigned(sid),
        Cbor::Integer(delta) => i128::from(*delta)
            .checked_add(i128::from(table.container))
            .and_then(|sid| u64::try_from(sid).ok()),
        _ => None,
    }
    .ok_or(Malformed::Cbor)?;
    Ok(table
        .children
        .iter()
        .find(|(_, known)| *known == sid)
        .map_or_else(|| sid.to_string().into(), |(name, _)| (*name).into()))
}

fn field(leaf: Leaf, value: Cbor) -> Result<Option<Read>, Malformed> {
    Ok(Some(match (leaf.kind(), value) {
        (_, Cbor::Null) => return Ok(None),
        (Kind::Text, Cbor::Text(text)) => Read::Text(text),
        (Kind::Bytes, Cbor::Bytes(bytes)) => Read::Bytes(bytes),
        (Kind::Date, Cbor::Text(text)) => Read::Date(date_from_text(&text)?),
        (Kind::Bool, Cbor::Bool(flag)) => Read::Bool(flag),
        (Kind::Assertion, Cbor::Text(name)) => {
            Read::Assertion(Assertion::from_name(&name).ok_or(Malformed::Assertion)?)
        }
        (Kind::Assertion, number @ Cbor::Integer(_)) => Read::Assertion(
            unsigned(&number)
                .and_then(Assertion::from_number)
                .ok_or(Malformed::Assertion)?,
        ),
        (Kind::Nonce, Cbor::Bytes(bytes)) => Read::Nonce(Nonce::Bytes(bytes)),
        (Kind::Nonce, Cbor::Text(text)) => Read::Nonce(Nonce::Text(text)),
        _ => return Err(Malformed::FieldType),
    }))
}

fn value_to_cbor(value: &Value<'_>) -> Cbor {
    match value {
        Value::Text(text) => Cbor::from(*text),
        Value::Bytes(bytes) => Cbor::Bytes(bytes.to_vec()),
        Value::Date(date) => Cbor::from(date_text(*date)),
        Value::Bool(flag) => Cbor::Bool(*flag),
        Value::Assertion(assertion) => Cbor::from(assertion.number()),
        Value::Nonce(Nonce::Bytes(bytes)) => Cbor::Bytes(bytes.clone()),
        Value::Nonce(Nonce::Text(text)) => Cbor::from(text.as_str()),
    }
}

fn unsigned(value: &Cbor) -> Option<u64> {
    u64::try_from(value.as_integer()?).ok()
}

/// For showing to people only. Depth is bounded by [`MAX_DEPTH`].
fn to_json(value: Cbor) -> serde_json::Value {
    match value {
        Cbor::Integer(number) => i64::try_from(number).map_or_else(
            |_| i128::from(number).to_string().into(),
            serde_json::Value::from,
        ),
        Cbor::Bytes(bytes) => crate::base64::encode(&bytes).into(),
        Cbor::Float(number) => number.into(),
        Cbor::Text(text) => text.into(),
        Cbor::Bool(flag) => flag.into(),
        Cbor::Array(items) => items.into_iter().map(to_json).collect(),
        Cbor::Map(entries) => serde_json::Value::Object(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let key = match key {
                        Cbor::Text(text) => text,
                        other => to_json(other).to_string(),
                    };
                    (key, to_json(value))
                })
                .collect(),
        ),
        Cbor::Tag(_, inner) => to_json(*inner),
        _ => serde_json::Value::Null,
    }
}
