//! Accounting (RFC 2866): what access points report of their sessions.
//!
//! Reports are claims of whoever shares the secret. They say what was, not who may come in.

use jiff::Timestamp;

use crate::attribute;
use crate::error::{Error, Refusal};
use crate::packet::{Code, Draft, Packet};
use crate::shared::Shared;
use crate::station::Station;

/// What a record reports (RFC 2866 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// A session began.
    Start,
    /// A session ended.
    Stop,
    /// A session is still there.
    Interim,
    /// The access point itself began; all its earlier sessions are gone.
    On,
    /// The access point itself ends.
    Off,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it reports.
    pub status: Status,
    /// The session's port and station.
    pub station: Station,
    /// The class that the acceptance gave to the session.
    pub class: Option<Vec<u8>>,
    /// Octets from the station so far.
    pub octets_in: u64,
    /// Octets to the station so far.
    pub octets_out: u64,
    /// Seconds that the session has lasted.
    pub seconds: Option<u32>,
    /// Why it ended (RFC 2866 §5.10): 1 at the user's request, 5 session timeout, 6 by the administrator.
    pub cause: Option<u32>,
    /// When the access point says that it happened (Event-Timestamp, RFC 2869 §5.3).
    pub at: Option<Timestamp>,
}

/// Reads a record and makes the answer to it, which the caller sends once the record is kept.
///
/// # Errors
///
/// Not an Accounting-Request, not from who shares the secret, or without a status: no answer.
pub fn receive(shared: &Shared, datagram: &[u8]) -> Result<(Option<Record>, Vec<u8>), Error> {
    let packet = Packet::parse(datagram)?;
    match packet.code() {
        Code::AccountingRequest => shared.check_digest_request(&packet)?,
        // RFC 5997 §3: "are you there", on this port too.
        Code::StatusServer => shared.check_access_request(&packet)?,
        _ => return Err(Refusal::CodeUnexpected.into()),
    }
    let record = match packet.code() {
        Code::AccountingRequest => Some(read(&packet)?),
        _ => None,
    };
    let draft = Draft::new(Code::AccountingResponse, packet.identifier());
    Ok((record, shared.finish_response(draft, &packet)?))
}

fn read(packet: &Packet) -> Result<Record, Error> {
    let status = match packet.integer(attribute::ACCT_STATUS_TYPE) {
        Some(1) => Status::Start,
        Some(2) => Status::Stop,
        Some(3) => Status::Interim,
        Some(7) => Status::On,
        Some(8) => Status::Off,
        _ => return Err(Refusal::AccountingStatus.into()),
    };
    let octets = |low, high| {
        let low = packet.integer(low).unwrap_or_default();
        let high = packet.integer(high).unwrap_or_default();
        (u64::from(high) << 32) | u64::from(low)
    };
    Ok(Record {
        status,
        station: Station::of(packet),
        class: packet
            .attribute(attribute::CLASS)
            .map(|class| class.value.to_vec()),
        octets_in: octets(
            attribute::ACCT_INPUT_OCTETS,
            attribute::ACCT_INPUT_GIGAWORDS,
        ),
        octets_out: octets(
            attribute::ACCT_OUTPUT_OCTETS,
            attribute::ACCT_OUTPUT_GIGAWORDS,
        ),
        seconds: packet.integer(attribute::ACCT_SESSION_TIME),
        cause: packet.integer(attribute::ACCT_TERMINATE_CAUSE),
        at: packet
            .attribute(attribute::EVENT_TIMESTAMP)
            .and_then(|at| at.time()),
    })
}
