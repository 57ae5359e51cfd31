//! Bytes without form: cut at every octet, changed at every bit, and made up. Nothing panics, and
//! nothing of it is taken for the real thing.

use proptest::prelude::*;

use vouchsafe_dpp::attribute::{Attributes, MAX_ATTRIBUTES};
use vouchsafe_dpp::configuration::ConnectionStatus;
use vouchsafe_dpp::frame::Frame;
use vouchsafe_dpp::gas::GasMessage;
use vouchsafe_dpp::tcp::Reader;
use vouchsafe_dpp::{BootstrappingPublicKey, Curve, Opening, Status};

use crate::world::{World, reason};

const WORLD: World = World {
    curve: Curve::P256,
    mutual: true,
    initiator_version: 3,
    responder_version: 3,
};

type Handler = Box<dyn Fn(&[u8]) -> &'static str>;

/// Each message of an exchange, and who reads it.
fn messages() -> Vec<(Vec<u8>, Handler)> {
    let result = WORLD.configured().result(Status::Ok).unwrap();
    vec![
        (
            WORLD.request(),
            Box::new(|frame| reason(WORLD.accept(frame))),
        ),
        (
            WORLD.response(),
            Box::new(|frame| reason(WORLD.initiator().handle(frame))),
        ),
        (
            WORLD.confirm(),
            Box::new(|frame| reason(WORLD.responder().handle(frame))),
        ),
        (
            WORLD.configuration_request().0,
            Box::new(|frame| reason(WORLD.configurator().handle_request(frame))),
        ),
        (
            WORLD.answered().0,
            Box::new(|frame| reason(WORLD.configuration_request().1.handle(frame))),
        ),
        (
            result,
            Box::new(|frame| reason(WORLD.answered().1.handle(frame))),
        ),
    ]
}

#[test]
fn a_message_cut_at_any_octet_is_refused() {
    for (frame, handle) in messages() {
        assert_eq!(handle(&frame), "accepted");
        for length in 0..frame.len() {
            assert_ne!(handle(&frame[..length]), "accepted", "cut at {length}");
        }
        let mut longer = frame;
        longer.push(0);
        assert_ne!(handle(&longer), "accepted", "one octet more");
    }
}

#[test]
fn a_message_changed_at_any_octet_is_refused() {
    for (frame, handle) in messages() {
        // Nothing protects the head of a GAS frame: its token, its delay, a limit without meaning.
        let unprotected: &[usize] = match frame[0] {
            0x0a => &[1, 4],
            0x0b => &[4, 5, 8],
            _ => &[],
        };
        for place in (0..frame.len()).filter(|place| !unprotected.contains(place)) {
            let mut changed = frame.clone();
            changed[place] ^= 1;
            assert_ne!(handle(&changed), "accepted", "octet {place}");
        }
    }
}

#[test]
fn more_attributes_than_the_limit_are_refused() {
    let attribute = [0xff, 0x1f, 0, 0];
    assert!(Attributes::read(&attribute.repeat(MAX_ATTRIBUTES)).is_ok());
    let more = attribute.repeat(MAX_ATTRIBUTES + 1);
    assert_eq!(reason(Attributes::read(&more)), "too-many-attributes");
    assert_eq!(
        reason(Attributes::read(&[0xff, 0x1f, 1])),
        "attribute-truncated"
    );
    assert_eq!(
        reason(Attributes::read(&[0xff, 0x1f, 1, 0])),
        "attribute-truncated"
    );
}

proptest! {
    #[test]
    fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Frame::read(&octets);
        let _ = Opening::read(&octets);
        let _ = GasMessage::read(&octets);
        let _ = BootstrappingPublicKey::from_spki_der(&octets);
        let _ = ConnectionStatus::read(&octets);
        if let Ok(attributes) = Attributes::read(&octets) {
            let total: usize = attributes.iter().map(|(_, value)| value.len() + 4).sum();
            prop_assert_eq!(total, octets.len());
        }
        let mut reader = Reader::new();
        reader.push(&octets);
        while let Ok(Some(frame)) = reader.next_frame() {
            prop_assert!(frame.len() < octets.len());
        }
    }

    /// Behind a right header, where the attributes are read.
    #[test]
    fn no_attributes_panic(frame_type in 0_u8..24, octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        let head = [9, 0x50, 0x6f, 0x9a, 0x1a, 1, frame_type];
        let frame = [head.as_slice(), &octets].concat();
        let _ = Opening::read(&frame);
        let _ = Frame::read(&frame);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A few octets changed anywhere, in every message.
    #[test]
    fn changed_messages_end_in_a_refusal(changes in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..6)) {
        for (frame, handle) in messages() {
            let mut changed = frame.clone();
            for (index, value) in &changes {
                let place = index.index(changed.len());
                changed[place] ^= value;
            }
            let harmless = GasMessage::is_gas(&frame) || changed == frame;
            prop_assert!(harmless || handle(&changed) != "accepted");
        }
    }
}
