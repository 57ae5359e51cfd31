//! A certificate, and everything that is read out of one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_trust::Certificate;

fuzz_target!(|data: &[u8]| {
    if let Ok(certificate) = Certificate::from_der(data) {
        let _ = (
            certificate.masa_url(),
            certificate.mud_url(),
            certificate.hardware_module_name(),
        );
        let _ = (
            certificate.dns_names(),
            certificate.crl_urls(),
            certificate.ocsp_urls(),
        );
        let _ = (
            certificate.subject_text(),
            certificate.issuer_text(),
            certificate.is_ca(),
        );
    }
});
