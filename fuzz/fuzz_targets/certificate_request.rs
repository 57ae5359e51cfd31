//! A certificate request and its proof of possession.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_trust::CertificateRequest;

fuzz_target!(|data: &[u8]| {
    let _ = CertificateRequest::verify(data);
});
