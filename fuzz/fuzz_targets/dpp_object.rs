//! Configuration requests, configuration objects and connection status; what is read is written so
//! that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_dpp::configuration::ConnectionStatus;
use vouchsafe_dpp::object::{ConfigurationObject, Recipient, RequestObject};

fuzz_target!(|data: &[u8]| {
    let _ = ConnectionStatus::read(data);
    if let Ok(request) = RequestObject::read(data) {
        let _ = RequestObject::read(&request.write());
    }
    if let Ok(object) = ConfigurationObject::read(data) {
        let recipient = Recipient {
            version: 3,
            capabilities: 1,
        };
        if let Ok(written) = object.write(recipient) {
            let _ = ConfigurationObject::read(written.expose());
        }
    }
});
