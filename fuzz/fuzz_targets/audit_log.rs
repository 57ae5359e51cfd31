//! A MASA's audit log.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_brski::audit::AuditLog;

fuzz_target!(|data: &[u8]| {
    let _ = AuditLog::from_json(data);
});
