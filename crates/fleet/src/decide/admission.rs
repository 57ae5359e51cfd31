//! Decisions about network admission: segments, gates, what gates report, and who comes in by a
//! MAC address.

mod address;
mod gate;
mod report;
mod segment;

pub(super) use address::remove_address_into;
pub use address::{
    ClaimAddressFacts, JudgeAddressFacts, claim_address, judge_address, remove_address,
};
pub use gate::{
    EnrolGateFacts, GatePermit, RenewGateFacts, add_gate, enrol_gate, invite_gate, known_gate,
    remove_gate, renew_gate, shown_token,
};
pub use report::{CutOff, ReportFacts, end_session, take_report};
pub use segment::{SegmentFacts, change_segment, put_segment, remove_segment};
