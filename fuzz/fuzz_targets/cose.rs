//! COSE_Sign1, and what a registrar strips from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_trust::cose;

fuzz_target!(|data: &[u8]| {
    let _ = cose::parse(data);
    let _ = cose::strip_unprotected_certificates(data);
});
