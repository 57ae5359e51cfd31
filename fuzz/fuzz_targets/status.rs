//! Status telemetry of a pledge.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_brski::telemetry::StatusReport;

fuzz_target!(|data: &[u8]| {
    let _ = StatusReport::from_json(data);
});
