//! OCSP requests and responses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_trust::{OcspRequest, OcspResponse};

fuzz_target!(|data: &[u8]| {
    let _ = OcspRequest::parse(data);
    let _ = OcspResponse::parse(data);
});
