//! The first frame of a stranger, the attributes in it, and the stream it comes from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_dpp::Opening;
use vouchsafe_dpp::attribute::Attributes;
use vouchsafe_dpp::configuration::ConnectionStatus;
use vouchsafe_dpp::tcp::Reader;

fuzz_target!(|data: &[u8]| {
    let _ = Opening::read(data);
    let _ = ConnectionStatus::read(data);
    if let Ok(attributes) = Attributes::read(data) {
        let total: usize = attributes.iter().map(|(_, value)| value.len() + 4).sum();
        assert_eq!(total, data.len());
        assert!(attributes.before_wrapped().len() <= data.len());
    }
    let mut reader = Reader::new();
    reader.push(data);
    while let Ok(Some(frame)) = reader.next_frame() {
        let _ = Opening::read(&frame);
    }
});
