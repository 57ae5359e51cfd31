//! Networks that a registrar names after enrolment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_brski::networks;

fuzz_target!(|data: &[u8]| {
    if let Ok(told) = networks::from_json(data) {
        // What was read is read again from what we would write.
        assert_eq!(networks::from_json(&networks::to_json(&told)), Ok(told));
    }
});
