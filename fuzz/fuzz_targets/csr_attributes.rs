//! CSR attributes, template and older list.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_brski::csrattrs::CsrAttributes;

fuzz_target!(|data: &[u8]| {
    let _ = CsrAttributes::from_der(data);
});
