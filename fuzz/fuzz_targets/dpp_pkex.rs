//! What a stranger can send to either side of PKEX, of a reconfiguration, and of a backup.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vouchsafe_dpp::announcement::ReconfigurationAnnouncement;
use vouchsafe_dpp::authentication::Entropy;
use vouchsafe_dpp::pkex::{ExchangeRequest, Initiator, PkexBinding, PkexCode, Responder, Tries};
use vouchsafe_dpp::{BootstrappingKey, Curve, PrivateKey};

fuzz_target!(|data: &[u8]| {
    let _ = ReconfigurationAnnouncement::read(data);
    let _ = Initiator::proposed_curve(data);
    let key = PrivateKey::from_seed(Curve::P256, &[1; 40]).unwrap();
    let own = Arc::new(BootstrappingKey::new(key));
    let code = PkexCode::new(Some("lamp"), "secret").unwrap();
    let entropy = Entropy::new([2; Entropy::LENGTH]);
    let mut tries = Tries::default();
    let binding = PkexBinding::Versions;
    let (request, initiator) =
        Initiator::start(own.clone(), code.clone(), binding, &mut tries, &entropy).unwrap();
    if let Ok((_, reveal)) = initiator.handle(data) {
        let _ = reveal.handle(data, &mut tries);
    }
    for request in [data, &request] {
        if let Ok(request) = ExchangeRequest::read(request) {
            let answer =
                Responder::answer(&request, own.clone(), &code, binding, &mut tries, &entropy);
            if let Ok((_, responder)) = answer {
                assert!(responder.handle(data, &mut tries).is_err());
            }
        }
    }
});
