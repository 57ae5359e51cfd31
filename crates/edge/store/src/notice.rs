//! PostgreSQL only: learning what other replicas wrote.
//!
//! A notification is one bare signal for each batch; it may be lost with its connection, so the
//! tail is also read at intervals. Whoever waits then reads the journal itself.

use std::sync::{Arc, Weak};

use sqlx::postgres::PgListener;

use crate::batch::CHANNEL;
use crate::config::StoreConfig;
use crate::journal;
use crate::shared::Shared;

/// Watches until the store is gone.
pub(crate) async fn watch(config: StoreConfig, shared: Weak<Shared>) {
    let mut listener = None;
    loop {
        if listener.is_none() {
            listener = listen(&config).await;
        }
        match &mut listener {
            Some(live) => match tokio::time::timeout(config.poll, live.try_recv()).await {
                // A signal, or time to look anyway.
                Ok(Ok(Some(_))) | Err(_) => {}
                Ok(Ok(None) | Err(_)) => listener = None,
            },
            None => tokio::time::sleep(config.poll).await,
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        look(&shared).await;
    }
}

async fn listen(config: &StoreConfig) -> Option<PgListener> {
    let connecting = async {
        let mut listener = PgListener::connect(&config.url).await?;
        listener.listen(CHANNEL).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    match tokio::time::timeout(config.patience, connecting).await {
        Ok(Ok(listener)) => Some(listener),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no notifications, reading the tail instead");
            None
        }
        Err(_) => None,
    }
}

async fn look(shared: &Arc<Shared>) {
    let readers = shared.readers();
    if readers.is_closed() {
        return;
    }
    match journal::visible_position(&readers).await {
        Ok(position) => shared.advance(position),
        Err(error) => tracing::debug!(%error, "the journal's tail cannot be read"),
    }
}
