//! Changes of a record (RFC 7644 §3.5.2). One thing may change: whether the device shall be in. What it
//! is, its key above all, was said when it was provisioned; another device is another record.

use vouchsafe_api::{ScimDevice, ScimPatch};

use super::{Refused, named};

/// Operations of one request.
const MAX_OPERATIONS: usize = 32;

/// Attributes that are written once. A change to what they are already changes nothing, and passes.
const FIXED: &[(&str, bool)] = &[
    ("schemas", false),
    ("id", false),
    ("externalId", false),
    ("displayName", false),
    ("mudUrl", false),
    ("meta", false),
    (ScimDevice::DPP, false),
    ("dppVersion", true),
    ("bootstrappingMethod", true),
    ("bootstrapKey", true),
    ("deviceMacAddress", true),
    ("classChannel", true),
    ("serialNumber", true),
];

/// Whether the device shall be in after all operations; none when they say nothing about it.
///
/// # Errors
/// The first operation that cannot be carried out; then none is.
pub(super) fn wanted(patch: &ScimPatch, record: &ScimDevice) -> Result<Option<bool>, Refused> {
    if !patch.schemas.iter().any(|named| named == ScimPatch::SCHEMA) {
        let detail = format!("`schemas` must name `{}`", ScimPatch::SCHEMA);
        return Err(refused("invalidSyntax", detail));
    }
    if patch.operations.is_empty() || patch.operations.len() > MAX_OPERATIONS {
        let detail = format!("`Operations` must have 1 to {MAX_OPERATIONS} members");
        return Err(refused("invalidSyntax", detail));
    }
    let record = serde_json::to_value(record).unwrap_or_default();
    let mut active = None;
    for operation in &patch.operations {
        let removes = match operation.op.to_ascii_lowercase().as_str() {
            "add" | "replace" => false,
            "remove" => true,
            other => {
                let detail = format!("`{other}` is none of `add`, `replace` and `remove`");
                return Err(refused("invalidSyntax", detail));
            }
        };
        match (&operation.path, removes) {
            // §3.5.2.2: remove without a path has no target.
            (None, true) => return Err(refused("noTarget", "`remove` needs a `path`".to_owned())),
            (Some(path), true) => return Err(unremovable(path)),
            (Some(path), false) => {
                let value = operation.value.as_ref();
                let value = value.ok_or_else(|| wrong_value(path))?;
                set(path, value, &record, &mut active)?;
            }
            (None, false) => {
                let members = operation.value.as_ref().and_then(|value| value.as_object());
                let members = members.ok_or_else(|| wrong_value("value"))?;
                for (name, value) in members {
                    set(name, value, &record, &mut active)?;
                }
            }
        }
    }
    Ok(active)
}

fn set(
    path: &str,
    value: &serde_json::Value,
    record: &serde_json::Value,
    active: &mut Option<bool>,
) -> Result<(), Refused> {
    if named(path, "active", false) {
        *active = Some(value.as_bool().ok_or_else(|| wrong_value(path))?);
        return Ok(());
    }
    let Some((name, of_extension)) = fixed(path) else {
        return Err(unknown(path));
    };
    let place = match of_extension {
        true => record.get(ScimDevice::DPP),
        false => Some(record),
    };
    let present = place.and_then(|place| place.get(name));
    match present == Some(value) {
        true => Ok(()),
        false => Err(immutable(name)),
    }
}

fn unremovable(path: &str) -> Refused {
    match (named(path, "active", false), fixed(path)) {
        (true, _) => immutable("active"),
        (false, Some((name, _))) => immutable(name),
        (false, None) => unknown(path),
    }
}

fn fixed(path: &str) -> Option<(&'static str, bool)> {
    let mut all = FIXED.iter().copied();
    all.find(|(name, of_extension)| path == *name || named(path, name, *of_extension))
}

fn immutable(name: &str) -> Refused {
    let detail = format!(
        "`{name}` is as it was provisioned; `active` can be replaced, and a device is given up by DELETE"
    );
    refused("mutability", detail)
}

fn unknown(path: &str) -> Refused {
    let path: String = path.chars().take(100).collect();
    refused(
        "invalidPath",
        format!("`{path}` names no attribute of a device here"),
    )
}

fn wrong_value(path: &str) -> Refused {
    let path: String = path.chars().take(100).collect();
    refused("invalidValue", format!("`{path}` has no value of its type"))
}

const fn refused(kind: &'static str, detail: String) -> Refused {
    Refused { kind, detail }
}
