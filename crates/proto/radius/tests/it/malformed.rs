//! A panic is our bug, never bad input; and nothing that was altered lets anybody in.

use proptest::prelude::*;
use vouchsafe_radius::{Client, Packet, Step, Versions, accounting, attribute, dynamic, eap};

use crate::forge::{Heard, Puppet};
use crate::world::{World, attempt_with, attributes, now, origin, peer, random, shared};

/// Each octet of TLS that the station sends, altered once (every third, to save time).
#[test]
fn no_altered_octet_of_a_handshake_lets_a_device_in() {
    let world = World::new();
    let device = world.device("17");
    for versions in [Versions::Tls12, Versions::Tls13] {
        for round in [1, 2] {
            let mut index = 6;
            loop {
                let mut site = world.site();
                let connector = world.connector(&device).with_versions(versions);
                let mut beyond = false;
                let attempt = attempt_with(&mut site, peer(connector), |at, packet| {
                    if at == round {
                        if is_record_version(packet, index) {
                            index += 2;
                        }
                        match packet.get_mut(index) {
                            Some(octet) => *octet ^= 0x41,
                            None => beyond = true,
                        }
                    }
                });
                if beyond {
                    assert!(attempt.is_in());
                    break;
                }
                assert!(
                    !attempt.is_in(),
                    "{versions:?}, message {round}, octet {index}"
                );
                index += 3;
            }
        }
    }
}

/// The version in a record's header means nothing (RFC 8446 §5.1) and is not covered by any check.
fn is_record_version(packet: &[u8], index: usize) -> bool {
    let mut start = 6;
    while let Some([_, _, _, high, low]) = packet.get(start..start + 5) {
        if index == start + 1 || index == start + 2 {
            return true;
        }
        start += 5 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    false
}

/// The station stops in the middle of any message.
#[test]
fn no_truncated_message_lets_a_device_in() {
    let world = World::new();
    let device = world.device("17");
    for round in [0, 1, 2, 3] {
        for length in (0..400).step_by(7) {
            let mut site = world.site();
            let mut shortened = false;
            let attempt = attempt_with(&mut site, peer(world.connector(&device)), |at, packet| {
                if at == round && packet.len() > length {
                    packet.truncate(length);
                    shortened = true;
                }
            });
            assert!(
                !shortened || !attempt.is_in(),
                "message {round} cut to {length}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut site_bytes = bytes.clone();
        let _ = Packet::parse(&bytes).map(|packet| {
            let _ = packet.eap_message();
            packet.attributes().for_each(|attribute| { let _ = attribute.vendor(); });
        });
        let _ = eap::Packet::parse(&bytes);
        let _ = eap::TlsMessage::parse(&bytes);
        let _ = accounting::receive(&shared(), &bytes);
        let _ = dynamic::Receiver::default().receive(now(), origin(), &shared(), &bytes);
        // A header that fits, so that the attributes are looked at.
        if let Some(length) = u16::try_from(site_bytes.len()).ok().filter(|length| *length >= 20) {
            site_bytes[0] = 1;
            site_bytes[2..4].copy_from_slice(&length.to_be_bytes());
            let _ = Packet::parse(&site_bytes).map(|packet| packet.only(attribute::STATE).is_ok());
        }
        let _ = attribute::mac_address(&String::from_utf8_lossy(&bytes));
    }
}

/// Whatever comes under the right secret is dropped, answered or rejected.
#[test]
fn any_eap_packet_under_the_right_secret_is_dropped_answered_or_rejected() {
    let mut site = World::new().site();
    for _ in 0..500 {
        let [length, code, rest @ ..]: [u8; 130] = random();
        let mut eap = vec![code % 5, 1, 0, 0];
        eap.extend(rest.iter().take(usize::from(length) % 128));
        let stated = u8::try_from(eap.len()).unwrap().wrapping_add(length % 2);
        eap[3] = stated;
        let client = Client::new(shared(), attributes());
        let (datagram, _) = client.request(1, &eap, random()).unwrap();
        assert!(!matches!(site.handle(&datagram), Step::Decide(_)));
        let mut puppet = Puppet::invited(&mut site);
        let data: [u8; 40] = random();
        let heard = puppet.say(&mut site, eap::TLS, &data);
        assert!(!matches!(heard, Heard::Nothing(_)), "{heard:?}");
    }
    assert_eq!(site.questions, 0);
}
