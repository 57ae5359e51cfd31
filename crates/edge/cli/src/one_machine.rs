//! A site on one machine: the controller and its gate in one process, which end together.

use std::path::Path;

use tokio::sync::watch;
use vouchsafe_controller::Ready;
use vouchsafe_gate::{Events, GateError, Recorded};
use vouchsafe_net::Clock;

use crate::failure::{Exit, Failure};

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        Self::new(Exit::Usage, "gate", error.to_string())
            .next_step("`vouchsafe-gate config check --dir` of the gate's folder says more")
    }
}

/// Runs the controller in `dir` and the gate in `gate` until `stop` is ready, or one of them ends.
pub(crate) async fn serve(
    dir: &Path,
    gate: &Path,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let (end, ended) = watch::channel(false);
    let told = |mut ended: watch::Receiver<bool>| async move {
        let _ = ended.wait_for(|end| *end).await;
    };
    let signalled = async {
        let mut over = ended.clone();
        tokio::select! {
            () = stop => {}
            _ = over.wait_for(|end| *end) => {}
        }
        end.send_replace(true);
    };
    let controller = async {
        let served =
            vouchsafe_controller::serve(dir, Clock::system(), ready, told(ended.clone())).await;
        end.send_replace(true);
        served.map_err(Failure::from)
    };
    let enforcing = async {
        let events = Events::new(log);
        let run = vouchsafe_gate::run(gate, Clock::system(), events, told(ended.clone())).await;
        end.send_replace(true);
        run.map_err(Failure::from)
    };
    let (served, run, ()) = tokio::join!(controller, enforcing, signalled);
    served.and(run)
}

/// Standard output is the controller's; what happens at the gate goes to the log.
fn log(recorded: Recorded) {
    let event = serde_json::to_string(&recorded.event).unwrap_or_default();
    tracing::info!(target: "vouchsafe_gate", "{event}");
}
