//! GAS frames, and answers joined from them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_dpp::gas::{GasMessage, MAX_RESPONSE_LENGTH, Reassembly, Responder};

fuzz_target!(|data: &[u8]| {
    let mut reassembly = Reassembly::new(0);
    let mut responder = Responder::fragmented(0);
    for frame in data.split(|octet| *octet == 0xff) {
        let Ok(message) = GasMessage::read(frame) else {
            continue;
        };
        assert_eq!(
            GasMessage::read(&message.write().unwrap()),
            Ok(message.clone())
        );
        if let GasMessage::ComebackRequest { token } = message {
            let _ = responder.come_back(token, 1);
        }
        if let Ok(vouchsafe_dpp::gas::Answer::Complete(whole)) = reassembly.handle(message) {
            assert!(whole.len() <= MAX_RESPONSE_LENGTH);
        }
    }
});
