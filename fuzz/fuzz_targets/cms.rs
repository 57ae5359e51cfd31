//! SignedData around vouchers and manifests, and certs-only messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_trust::cms;

fuzz_target!(|data: &[u8]| {
    let _ = cms::parse(data);
    let _ = cms::parse_certs_only(data);
});
