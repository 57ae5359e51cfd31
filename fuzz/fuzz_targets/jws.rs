//! JWS in both JSON serialisations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_trust::jws;

fuzz_target!(|data: &[u8]| {
    let _ = jws::parse_each(data);
});
