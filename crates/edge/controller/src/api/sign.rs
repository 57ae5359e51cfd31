//! Statements of this domain, signed by its registrar.

use vouchsafe_trust::cms::{self, ID_DATA, SignOptions};

use crate::controller::{Controller, Fault};

/// `content` as CMS SignedData (DER), with the registrar's chain, off the reactor: the key may be
/// in a slow place.
pub(super) async fn by_registrar(
    controller: &Controller,
    content: Vec<u8>,
) -> Result<Vec<u8>, Fault> {
    let identity = controller.registrar.current();
    let now = controller.clock.now();
    let signing = tokio::task::spawn_blocking(move || {
        let options = SignOptions {
            content_type: ID_DATA,
            certificates: identity.chain(),
            signing_time: Some(now),
        };
        cms::sign(&content, &options, identity.signer().as_ref())
    });
    match signing.await {
        Ok(Ok(signed)) => Ok(signed),
        Ok(Err(error)) => Err(Fault::Sign(error.to_string())),
        Err(error) => Err(Fault::Sign(error.to_string())),
    }
}
