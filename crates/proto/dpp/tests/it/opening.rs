//! What may come first on a connection, and the frames around it.

use vouchsafe_dpp::frame::{FrameType, begin};
use vouchsafe_dpp::tcp::{Reader, encode, frame_length};
use vouchsafe_dpp::{Agreement, Curve, Opening};

use crate::world::{World, key, reason};

fn announcement(hash: &[u8]) -> Vec<u8> {
    let mut frame = begin(FrameType::PresenceAnnouncement);
    frame.extend([0x02, 0x10, u8::try_from(hash.len()).unwrap(), 0]);
    frame.extend(hash);
    frame
}

#[test]
fn an_announcement_names_its_key_by_the_chirp_hash() {
    let key = key(Curve::P256, 9);
    let hash = *key.public_key().chirp_hash();
    let opening = Opening::read(&announcement(&hash)).unwrap();
    assert_eq!(opening, Opening::PresenceAnnouncement { chirp_hash: hash });
    assert_ne!(&hash, key.public_key().hash());
    assert_eq!(
        reason(Opening::read(&announcement(&hash[1..]))),
        "attribute-length"
    );
    let nothing = begin(FrameType::PresenceAnnouncement);
    assert_eq!(reason(Opening::read(&nothing)), "attribute-missing");
}

#[test]
fn nothing_but_an_opening_opens() {
    let world = World::new(Curve::P256, true);
    let others = [
        world.response(),
        world.confirm(),
        world.configuration_request().0,
        world.answered().0,
        world
            .configured()
            .result(vouchsafe_dpp::Status::Ok)
            .unwrap(),
    ];
    for frame in others {
        assert_eq!(reason(Opening::read(&frame)), "message-unexpected");
    }
    assert_eq!(reason(Opening::read(&world.request())), "accepted");
}

#[test]
fn frames_of_another_kind_are_refused() {
    let frame = World::new(Curve::P256, false).request();
    for place in 0..7 {
        let mut other = frame.clone();
        other[place] ^= 0x40;
        let expected = "frame-malformed";
        assert_eq!(reason(Opening::read(&other)), expected, "octet {place}");
    }
    assert_eq!(reason(Opening::read(&[])), "frame-malformed");
    assert_eq!(reason(Opening::read(&vec![9; 65_536])), "too-large");
}

#[test]
fn a_length_beyond_the_limit_ends_the_connection_before_anything_is_kept() {
    assert_eq!(reason(frame_length([0, 1, 0, 0])), "too-large");
    assert_eq!(reason(frame_length([0xff; 4])), "too-large");
    assert_eq!(reason(frame_length([0; 4])), "frame-malformed");
    assert_eq!(frame_length([0, 0, 0xff, 0xff]).unwrap(), 65_535);
    assert_eq!(reason(encode(&[])), "own-message-too-large");
    assert_eq!(reason(encode(&vec![0; 65_536])), "own-message-too-large");
    let mut reader = Reader::new();
    reader.push(&[0, 1, 0]);
    assert!(reader.next_frame().unwrap().is_none());
    reader.push(&[0]);
    assert_eq!(reason(reader.next_frame()), "too-large");
}

#[test]
fn frames_come_out_whole_however_they_arrive() {
    let frames = [vec![1; 10], vec![2; 300], vec![3]];
    let stream: Vec<u8> = frames
        .iter()
        .flat_map(|frame| encode(frame).unwrap())
        .collect();
    for size in [1, 3, 7, stream.len()] {
        let mut reader = Reader::new();
        let mut found = Vec::new();
        for piece in stream.chunks(size) {
            reader.push(piece);
            while let Some(frame) = reader.next_frame().unwrap() {
                found.push(frame);
            }
        }
        assert_eq!(found, frames);
    }
}
