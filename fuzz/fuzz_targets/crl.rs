//! A revocation list.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_trust::Crl;

fuzz_target!(|data: &[u8]| {
    let _ = Crl::from_der(data);
});
