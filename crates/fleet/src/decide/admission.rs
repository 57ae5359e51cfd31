//! Decisions about network admission: segments, gates, and what gates report.

mod gate;
mod report;
mod segment;

pub use gate::{
    EnrolGateFacts, GatePermit, RenewGateFacts, add_gate, enrol_gate, invite_gate, known_gate,
    remove_gate, renew_gate, shown_token,
};
pub use report::{CutOff, ReportFacts, end_session, take_report};
pub use segment::{SegmentFacts, change_segment, put_segment, remove_segment};
