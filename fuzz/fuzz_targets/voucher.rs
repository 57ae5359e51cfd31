//! Vouchers and voucher requests in all encodings, with what is nested in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_brski::inspect;

fuzz_target!(|data: &[u8]| {
    let _ = inspect(data);
});
