//! Signing from asynchronous code without stalling its event loop.

use std::sync::Arc;

use vouchsafe_trust::{SignError, Signer};

/// Signs on a thread that may wait when the signer says that it may block, else at once.
///
/// Must be called within a tokio runtime. Dropping the future does not stop a signature under way.
///
/// # Errors
///
/// The signer's own; [`SignError::Failed`] when the signing thread dies.
pub async fn sign_off_thread(
    signer: Arc<dyn Signer>,
    message: Vec<u8>,
) -> Result<Vec<u8>, SignError> {
    if !signer.may_block() {
        return signer.sign(&message);
    }
    tokio::task::spawn_blocking(move || signer.sign(&message))
        .await
        .unwrap_or(Err(SignError::Failed))
}
