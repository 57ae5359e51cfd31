//! A RADIUS packet: its attributes, EAP, accounting, Disconnect and CoA.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use vouchsafe_radius::dynamic::Receiver;
use vouchsafe_radius::{Origin, Packet, Shared, Station, accounting, eap};
use vouchsafe_trust::Secret;

fuzz_target!(|data: &[u8]| {
    let shared = Shared::new(Secret::new(b"secret".to_vec()));
    if let Ok(packet) = Packet::parse(data) {
        let _ = Station::of(&packet);
        if let Ok(Some(message)) = packet.eap_message() {
            let _ = eap::Packet::parse(&message);
        }
        packet.attributes().for_each(|attribute| {
            let _ = attribute.vendor();
        });
        let _ = shared.session_keys(&packet, &[0; 16]);
        let _ = shared.check_access_request(&packet);
    }
    let _ = accounting::receive(&shared, data);
    let origin = Origin {
        client: 0,
        address: [0; 16],
        port: 0,
    };
    let _ = Receiver::default().receive(Timestamp::UNIX_EPOCH, origin, &shared, data);
});
