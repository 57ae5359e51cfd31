//! Another key that signs connectors.

use vouchsafe_fleet::decide::wifi;
use vouchsafe_fleet::{Actor, Reason};

use super::identity::shown;
use crate::controller::{Controller, Fault};

/// Makes a key, writes down that it signs from now on, and puts it in force. The one before stays
/// for the overlap. It goes on when who asked goes away: a key that was made and not written down would
/// sign without anybody knowing since when.
///
/// # Errors
/// [`Fault`]; then nothing has changed.
pub(crate) async fn replace_signing_key(
    controller: &Controller,
    actor: &Actor,
    reasons: &[Reason],
) -> Result<(), Fault> {
    let (controller, actor, reasons) = (controller.clone(), actor.clone(), reasons.to_vec());
    tokio::spawn(async move { put_in_force(&controller, &actor, &reasons).await })
        .await
        .map_err(|error| Fault::Sign(error.to_string()))?
}

async fn put_in_force(
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
