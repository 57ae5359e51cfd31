//! Measurements of this process, in the Prometheus text format.
//!
//! Names and labels only: no serial number, no name of a person, nothing secret.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// One recorder for the process: a second controller in it shares the first one's.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to measure. What happened before is not counted.
pub(crate) fn begin() {
    RECORDER.get_or_init(|| match PrometheusBuilder::new().install_recorder() {
        Ok(handle) => Some(handle),
        Err(error) => {
            tracing::warn!(%error, "another program part measures already");
            None
        }
    });
}

/// Everything measured so far; none when [`begin`] could not.
pub(crate) fn render() -> Option<String> {
    let handle = RECORDER.get()?.as_ref()?;
    handle.run_upkeep();
    Some(handle.render())
}
