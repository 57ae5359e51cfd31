//! Bootstrapping URIs, by both readers; what the strict one takes is written again the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_dpp::uri::{BootstrappingUri, Host};

fuzz_target!(|text: &str| {
    let _ = BootstrappingUri::parse(text);
    let _ = text.parse::<Host>();
    if let Ok(uri) = BootstrappingUri::parse_strictly(text) {
        assert_eq!(BootstrappingUri::parse_strictly(&uri.to_string()), Ok(uri));
    }
});
