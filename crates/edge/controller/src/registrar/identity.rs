//! Who is at the other end of a connection: a birth certificate of a known manufacturer, or a
//! credential of this domain.

use std::sync::Arc;

use jiff::Timestamp;
use vouchsafe_brski::{Error, Refusal, idevid};
use vouchsafe_fleet::{Credential, CredentialId, DeviceId};
use vouchsafe_net::Peer;
use vouchsafe_trust::{Certificate, Path, Verified};

use super::Answer;
use crate::catalogue::KnownManufacturer;
use crate::controller::Controller;

/// A proved identity.
#[derive(Debug)]
pub(crate) enum Proved {
    /// A birth certificate whose path ends in an anchor of its manufacturer.
    Birth(Arc<Birth>),
    /// A credential that this domain issued. Its row says whether it still counts.
    Domain {
        /// The credential.
        credential: Box<Credential>,
    },
}

/// A proved birth certificate.
#[derive(Debug)]
pub(crate) struct Birth {
    /// Who made the device.
    pub(crate) manufacturer: Arc<KnownManufacturer>,
    /// The path.
    pub(crate) path: Verified<Path>,
    /// The certificate.
    pub(crate) certificate: Certificate,
    /// Its name.
    pub(crate) device: DeviceId,
}

impl Proved {
    /// Whose it is.
    pub(crate) fn device(&self) -> DeviceId {
        match self {
            Self::Birth(birth) => birth.device,
            Self::Domain { credential } => credential.device,
        }
    }
}

/// Proves the peer's chain. A stranger, whose chain leads to nobody known here, is `Ok(None)`.
///
/// # Errors
/// The rule that the chain breaks.
pub(crate) async fn prove(
    controller: &Controller,
    peer: &Peer,
    now: Timestamp,
) -> Result<Option<Proved>, Answer> {
    let leaf = peer
        .certificate()
        .ok_or(Error::Refused(Refusal::NoTlsClientCertificate))?;
    if leaf.issuer().der() == controller.authority.certificate().subject().der() {
        // TLS proved the key, and the row holds the very certificate that was issued: nothing a
        // path check could add. Whether it still counts is for the decision, which says why not.
        let id = CredentialId(leaf.serial_hex());
        let credential = controller.store.credential(&id).await?;
        return match credential {
            Some(credential) if credential.certificate_der == leaf.der() => {
                Ok(Some(Proved::Domain {
                    credential: Box::new(credential),
                }))
            }
            _ => Ok(None),
        };
    }
    let catalogue = controller.manufacturers.current();
    if let Some(birth) = controller.proofs.find(peer.connection_id, &catalogue, now) {
        return Ok(Some(Proved::Birth(birth)));
    }
    match catalogue.prove(&peer.chain, now) {
        Ok((manufacturer, path)) => {
            let serial = idevid::serial_number(leaf)?;
            let birth = Arc::new(Birth {
                device: DeviceId::new(manufacturer.record.id, serial),
                manufacturer: Arc::clone(manufacturer),
                path,
                certificate: leaf.clone(),
            });
            let kept = Arc::clone(&birth);
            let catalogue = Arc::clone(&catalogue);
            controller
                .proofs
                .put(peer.connection_id, kept, catalogue, now);
            Ok(Some(Proved::Birth(birth)))
        }
        Err(Some(error)) => Err(error.into()),
        Err(None) => Ok(None),
    }
}
