//! Connectors up to their signature; behind it stands only what a configurator signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_dpp::connector::Connector;

fuzz_target!(|text: &str| {
    if let Ok(connector) = Connector::parse(text) {
        assert_eq!(connector.as_str(), text);
        assert!(connector.verify(&[], Default::default()).is_err());
    }
});
