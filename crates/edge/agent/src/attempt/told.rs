//! After step 5: which networks the certificate opens ([`vouchsafe_brski::networks`]).
//!
//! The connection proved a registrar under the domain CA, and the device shows its certificate. What comes
//! from anybody else, beacons first of all, names no network that the device would join by that certificate.

use vouchsafe_brski::networks::{self, Network};

use crate::candidate::Candidate;
use crate::device::Device;
use crate::error::{Failure, Step};
use crate::event::Event;
use crate::folder::{Credential, Stored};
use crate::session::Session;

/// Asks on a connection to the domain's registrar.
pub(super) async fn networks(
    device: &Device,
    session: &mut Session,
) -> Result<Vec<Network>, Failure> {
    let reply = session.get(networks::PATH, networks::MEDIA_TYPE).await?;
    let told = match reply.status {
        // A registrar of another make has nothing to tell.
        404 | 501 => Vec::new(),
        _ => networks::from_json(&reply.success(Step::Networks)?.body)?,
    };
    device.tell(Event::NetworksTold {
        registrar: session.origin().to_string(),
        networks: told.iter().map(|network| network.ssid.clone()).collect(),
    });
    Ok(told)
}

/// Asks again, at whoever of the domain is there; what is told is durable when this returns.
pub(crate) async fn ask_networks(
    device: &Device,
    credential: Credential,
    candidate: &Candidate,
) -> Result<Credential, Failure> {
    let options = device.as_member(&credential).await?;
    let mut session = Session::open(options, &candidate.origin, candidate.addr).await?;
    let told = networks(device, &mut session).await?;
    let stored = Stored {
        networks: Some(told),
        ..credential.stored
    };
    Ok(device.folder.install(&stored)?)
}
