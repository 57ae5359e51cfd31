//! What the stories of admission share: wired ports and Wi-Fi differ in how a device is connected, not in
//! who lets it in.
//!
//! | module | what |
//! | --- | --- |
//! | [`site`] | network namespaces of gateway, office and uplink; factory, controller, services |
//! | [`gateway`] | the gate, and what it says |
//! | [`device`] | a device: its agent, its supplicant, what it reaches |

pub(super) mod device;
pub(super) mod gateway;
pub(super) mod site;

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;

use super::sentence::text;

/// How long anything may take that involves several programs on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// The last entry of this action.
pub(super) fn entry<'a>(journal: &'a Value, action: &str) -> Option<&'a Value> {
    let entries = journal.get("entries")?.as_array()?;
    let mut last = entries.iter().rev();
    last.find(|entry| text(entry, "action") == action)
}

/// A time in a line.
pub(super) fn time(line: &Value, field: &str) -> anyhow::Result<Timestamp> {
    let at = text(line, field);
    at.parse().with_context(|| format!("no time: {at:?}"))
}
