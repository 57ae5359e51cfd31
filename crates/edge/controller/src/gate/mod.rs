//! Network admission, the controller's side.
//!
//! 1. One task keeps the desired state: who may come in, with which certificate, into which segment
//!    ([`DesiredStates`]). What changes makes a version, and a difference from the one before.
//! 2. Gates ask for what is newer and wait for it ([`link`]); for a gate on this machine the state is
//!    written to a file as well, where that is configured.
//! 3. Gates report which version is in force, and which sessions there are. A report is durable before it is
//!    answered ([`report`]).
//! 4. Whoever changes a device's standing is told how far that has come ([`enforce`]).

mod desired;
mod enforce;
mod link;
mod report;
mod shared;

use std::collections::BTreeSet;

use vouchsafe_api::gate::{Destination, SegmentDefinition, TransportProtocol};
use vouchsafe_fleet::admission::{MAX_SEGMENTS, Segment, Transport};
use vouchsafe_store::ReadError;

pub use desired::DesiredStates;
pub(crate) use enforce::{LOOK, Wanted, deadline, enforcement};
pub(crate) use link::{MAX_REPORT, routes, shown};
pub(crate) use shared::Gates;

use crate::controller::{Controller, Fault};

/// Every segment; there are few.
pub(crate) async fn all_segments(controller: &Controller) -> Result<Vec<Segment>, ReadError> {
    let most = u32::try_from(MAX_SEGMENTS).unwrap_or(u32::MAX);
    controller.store.segments(None, most).await
}

/// Takes the segments' names from the store, by which policy's answers are checked.
///
/// # Errors
/// [`Fault::Read`].
pub(crate) async fn reload_segments(controller: &Controller) -> Result<Vec<Segment>, Fault> {
    let segments = all_segments(controller).await?;
    let names: BTreeSet<String> = segments.iter().map(|it| it.name.clone()).collect();
    controller.gates.set_segments(names);
    Ok(segments)
}

/// Whether policy may put a device into this segment: any, while nobody described one.
///
/// # Errors
/// [`Fault::Read`].
pub(crate) async fn has_segment(controller: &Controller, name: &str) -> Result<bool, Fault> {
    if let Some(known) = controller.gates.has_segment(name) {
        return Ok(known);
    }
    let segments = reload_segments(controller).await?;
    Ok(segments.is_empty() || segments.iter().any(|segment| segment.name == name))
}

/// A segment as gates read it.
pub(crate) fn definition(segment: Segment) -> SegmentDefinition {
    let destination = |each: vouchsafe_fleet::admission::Destination| Destination {
        network: each.network,
        protocol: each.protocol.map(|protocol| match protocol {
            Transport::Tcp => TransportProtocol::Tcp,
            Transport::Udp => TransportProtocol::Udp,
        }),
        port: each.port,
    };
    SegmentDefinition {
        name: segment.name,
        vlan: segment.vlan,
        reach: segment
            .reach
            .map(|reach| reach.into_iter().map(destination).collect()),
    }
}
