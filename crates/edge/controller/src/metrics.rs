//! Measurements of this process, in the Prometheus text format.
//!
//! Names and labels only: no serial number, no name of a person, nothing secret.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::Mutex;

use crate::controller::{Controller, Fault};
use crate::revocation;

/// Upper ends of the histogram of cut-offs, in milliseconds; 250 is what a cut-off may take.
const CUT_OFF: [f64; 11] = [
    5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0, 60_000.0,
];

/// For how long what is counted in the store is not counted again, however often somebody asks.
const COUNTED_FOR: Duration = Duration::from_secs(5);

/// One recorder for the process: a second controller in it shares the first one's.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to measure. What happened before is not counted.
pub(crate) fn begin() {
    RECORDER.get_or_init(|| {
        let cut_off = Matcher::Full("vouchsafe_cut_off_milliseconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(cut_off, &CUT_OFF);
        match builder.and_then(PrometheusBuilder::install_recorder) {
            Ok(handle) => Some(handle),
            Err(error) => {
                tracing::warn!(%error, "another program part measures already");
                None
            }
        }
    });
}

/// When the store was counted last.
#[derive(Debug, Default)]
pub(crate) struct Counted(Mutex<Option<Instant>>);

/// Measures what no event tells: by one aggregate each, and not each time.
///
/// # Errors
/// [`Fault::Read`].
pub(crate) async fn count(controller: &Controller) -> Result<(), Fault> {
    let mut counted = controller.counted.0.lock().await;
    if counted.is_some_and(|at| at.elapsed() < COUNTED_FOR) {
        return Ok(());
    }
    let now = controller.clock.now();
    let open = controller.store.open_session_count().await?;
    metrics::gauge!("vouchsafe_sessions_open").set(open as f64);
    let oldest = controller.store.oldest_evidence(now).await?;
    let age = oldest.map_or(0, |made| made.duration_until(now).as_secs().max(0));
    metrics::gauge!("vouchsafe_oldest_evidence_seconds").set(age as f64);
    if let Some(list) = revocation::newest(controller).await {
        let left = now.duration_until(list.next_update).as_secs();
        metrics::gauge!("vouchsafe_crl_next_update_seconds").set(left as f64);
    }
    *counted = Some(Instant::now());
    Ok(())
}

/// Everything measured so far; none when [`begin`] could not.
pub(crate) fn render() -> Option<String> {
    let handle = RECORDER.get()?.as_ref()?;
    handle.run_upkeep();
    Some(handle.render())
}
