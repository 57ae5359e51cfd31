//! EST bodies: base64, certs-only, certificate requests, the two-part answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_brski::est;

fuzz_target!(|data: &[u8]| {
    let _ = est::parse_certs_only(data);
    let _ = est::parse_request(data);
    let _ = est::ServerKey::parse("multipart/mixed; boundary=b", data);
});
