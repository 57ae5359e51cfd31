//! Another key that signs connectors.

use vouchsafe_fleet::decide::wifi;
use vouchsafe_fleet::{Actor, Reason};

use super::identity::shown;
use crate::controller::{Controller, Fault};

/// Makes a key, writes down that it signs from now on, and puts it in force. The one before stays
/// for the overlap.
///
/// # Errors
/// [`Fault`]; then nothing has changed.
pub(crate) async fn replace_signing_key(
    controller: &Controller,
    actor: &Actor,
    reasons: &[Reason],
) -> Result<(), Fault> {
    let now = controller.clock.now();
    let keys = controller.dpp.clone();
    let making = tokio::task::spawn_blocking(move || keys.make(now));
    let key = making
        .await
        .map_err(|error| Fault::Sign(error.to_string()))??;
    let kid = key.c_sign.public().kid();
    let outcome = wifi::replace_signing_key(now, actor, kid, reasons);
    let committed = controller.commit(outcome.commit).await;
    let keys = controller.dpp.clone();
    let settled = match &committed {
        Ok(()) => tokio::task::spawn_blocking(move || keys.refresh(now)),
        Err(_) => tokio::task::spawn_blocking(move || keys.give_up(&key)),
    };
    settled
        .await
        .map_err(|error| Fault::Sign(error.to_string()))??;
    committed.map_err(Fault::Commit)?;
    if let Some(before) = controller.dpp_controller()
        && let Ok(listen) = before.listen.parse()
        && let Ok(after) = shown(&controller.dpp, &controller.config.dpp, listen)
    {
        controller.set_dpp_controller(after);
    }
    Ok(())
}
