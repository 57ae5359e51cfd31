//! Configuration: the enrollee says what it is, the configurator answers with networks and
//! credentials (Wi-Fi Easy Connect 3.0 §6.4). Everything travels under ke, in GAS frames and then in
//! action frames.
//!
//! 1. [`EnrolleeSide::request`]: a Configuration Request with a [`RequestObject`].
//! 2. [`ConfiguratorSide::handle_request`]: the request, opened: claims of an authenticated enrollee.
//! 3. [`Requested::later`] while nobody has decided yet: the enrollee comes back after a delay, and
//!    again ([`Requested::handle_comeback`]).
//! 4. [`Requested::respond`]: networks, or a status that asks for more: a certificate request or a
//!    protocol key on another curve, whereupon the enrollee sends step 1 anew.
//! 5. [`AwaitingConfiguration::handle`]: the enrollee reads the answer.
//! 6. [`Configured::result`]: the enrollee says whether it takes it (from version 2 on), and
//!    [`Answered::handle`] reads that.
//! 7. [`Configured::connection_status`]: if the configurator asked for it, how joining went;
//!    [`AwaitingConnectionStatus::handle`].
//!
//! [`RequestObject`]: crate::object::RequestObject

mod configurator;
mod connection_status;
mod enrollee;

use zeroize::Zeroizing;

pub use configurator::{
    Answer, Answered, AwaitingConnectionStatus, ConfiguratorSide, Reaction, Requested,
};
pub use connection_status::{ConnectionStatus, MAX_CONNECTION_STATUS_LENGTH};
pub use enrollee::{AwaitingConfiguration, Configured, EnrolleeSide, NewKeyNeeded, Outcome};

use crate::attribute::{AttributeId, Attributes};
use crate::authentication::Authenticated;
use crate::error::{Error, Refusal};
use crate::frame::{Frame, FrameType};

/// How long a configurator waits for the first request after authentication, in seconds.
pub const REQUEST_SECONDS: u64 = 10;

/// How long a configurator waits for the result after its answer, in seconds (Wi-Fi Easy Connect 3.0
/// §6.4.4).
pub const RESULT_SECONDS: u64 = 5;

/// How long a configurator waits for the connection status, in seconds (Wi-Fi Easy Connect 3.0
/// §6.4.5).
pub const CONNECTION_STATUS_SECONDS: u64 = 16;

/// How long an enrollee waits for an answer in all, comebacks included, in seconds (Wi-Fi Easy Connect
/// 3.0 §6.4.3).
pub const ANSWER_SECONDS: u64 = 60;

/// The delay that tells an enrollee to come back in half a second, in time units of 1,024 µs.
pub const COMEBACK_DELAY: u16 = 500;

/// Opens an action frame that belongs to this enrollee's run: of that type, under ke, and with the
/// nonce of the request.
fn open_report(
    frame: &[u8],
    frame_type: FrameType,
    authenticated: &Authenticated,
    enrollee_nonce: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let frame = Frame::expect(frame, frame_type)?;
    let clear = frame.unwrap(authenticated.ke().expose())?;
    check_enrollee_nonce(&Attributes::read(&clear)?, enrollee_nonce)?;
    Ok(clear)
}

fn check_enrollee_nonce(attributes: &Attributes<'_>, expected: &[u8]) -> Result<(), Error> {
    if attributes.require(AttributeId::EnrolleeNonce)? != expected {
        return Err(Refusal::EnrolleeNonce.into());
    }
    Ok(())
}
