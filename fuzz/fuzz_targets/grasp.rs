//! GRASP floods, as anybody on a link can send them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_brski::grasp::Flood;

fuzz_target!(|data: &[u8]| {
    if let Ok(flood) = Flood::from_bytes(data) {
        // What was read is read again from what we would write.
        if !flood.places.is_empty() {
            assert_eq!(Flood::from_bytes(&flood.to_bytes()).as_ref(), Ok(&flood));
        }
    }
});
