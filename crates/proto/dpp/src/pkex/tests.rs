use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::authentication::Entropy;
use crate::curve::{Agreement, BootstrappingKey, BootstrappingPublicKey};
use crate::recorded;

const ADDRESSES: PkexBinding = PkexBinding::Addresses {
    initiator: [0xac, 0x64, 0x91, 0xf4, 0x52, 0x07],
    responder: [0x6e, 0x5e, 0xce, 0x6e, 0xf3, 0xdd],
};

/// The private keys of the specification's appendix: a, b, x, y.
const KEYS: [&str; 4] = [
    "5941b51acfc702cdc1c347264beb2920db88eb1a0bf03a211868b1632233c269",
    "2ae8956293f49986b6d0b8169a86805d9232babb5f6813fdfe96f19d59536c60",
    "8365c5ed93d751bef2d92b410dc6adfd95670889183fac1bd66759ad85c3187a",
    "d98faa24d7dd3f592665d71a95c862bfd02c4c48acb0c515a41cbc6e929675ea",
];

fn code() -> PkexCode {
    PkexCode::new(Some("joes_key"), "thisisreallysecret").unwrap()
}

fn key(curve: Curve, hex: &str) -> PrivateKey {
    let octets = hex::decode(hex).unwrap();
    let mut seed = vec![0; curve.seed_length().max(octets.len()) - octets.len()];
    seed.extend(octets);
    PrivateKey::from_seed(curve, &seed).unwrap()
}

fn own(curve: Curve, which: usize) -> Arc<dyn Agreement> {
    Arc::new(BootstrappingKey::new(key(curve, KEYS[which])))
}

fn entropy(octet: u8) -> Entropy {
    Entropy::new([octet; Entropy::LENGTH])
}

struct Transcript {
    frames: [Vec<u8>; 4],
    z: [Secret; 2],
    keys: [BootstrappingPublicKey; 2],
}

fn run(curve: Curve, binding: PkexBinding) -> Transcript {
    let (mut ours, mut theirs) = (Tries::default(), Tries::default());
    let x = key(curve, KEYS[2]);
    let (request, initiator) =
        Initiator::start_with(own(curve, 0), code(), binding, &mut ours, x).unwrap();
    assert_eq!(ours.failed(), 1);
    let read = ExchangeRequest::read(&request).unwrap();
    assert_eq!(read.identifier(), Some("joes_key"));
    assert_eq!(read.curve(), Some(curve));
    assert_eq!(read.is_version_1(), binding != PkexBinding::Versions);
    let y = key(curve, KEYS[3]);
    let (response, responder) =
        Responder::answer_with(&read, own(curve, 1), &code(), binding, &mut theirs, y).unwrap();
    let (commit, reveal) = initiator.handle(&response).unwrap();
    let z = [reveal.z.clone(), responder.z.clone()];
    let (answer, initiator_key) = responder.handle(&commit, &mut theirs).unwrap();
    let responder_key = reveal.handle(&answer, &mut ours).unwrap();
    assert_eq!((ours.failed(), theirs.failed()), (0, 0));
    Transcript {
        frames: [request, response, commit, answer],
        z,
        keys: [initiator_key, responder_key],
    }
}

/// The inputs are those of the specification's appendix; what comes of them on each curve was
/// computed by another program, with arithmetic of its own.
#[test]
fn keys_and_tags_are_those_of_an_independent_computation() {
    let cases: [(Curve, PkexBinding, [&str; 5]); 4] = [
        (
            Curve::P256,
            ADDRESSES,
            [
                "bcca8e23e5c05032ae6051ca6392f7c4a4b4f9fe13e8126132d070e5528481768fb6c57d856ff3fe63123a1ff80696c49718b4a9c1cc11a629a5a73ae3ad9d78",
                "0a91e0728809bb8191ea36d0a1d5602bf36ab6708fbfd063e2511e533b53402079c4cbe7cdea091ab934f0114162468ead01790a258cbf0662b31fd31ee302d9",
                "5271dee915cf7b1908747d8edb8394442411c5183ee38b79ebef399c08738e0b",
                "598c3d8dcccea2d43259068d542a907442f07e8cbcfb3fb49faac12eb2fee5b6",
                "b2833ce21ab4e42c082111a5dd232334e48019f66b2e274f521fe2f7dfa11999",
            ],
        ),
        (
            Curve::P256,
            PkexBinding::Versions,
            [
                "17766c1b7944e7fcb42b520caf8705098a47c224c9209a5ea4408a39d7a0a0ae9e9d030e844b64296c0c8801986539159c5201cf07a5e413f83390ded9864211",
                "e614079bb25b96cf555cc60473ffabf8628d2ac430205e763e61a59b4a595c4cfb4e7954016fa91c876814cd6539f295fdc86696c94f2a8a6c4237ccc75cc3d5",
                "3d6c507bcc594da2f466b92acbdbdf21d60b962cf9646bcbe4e7f80aec6230a7",
                "64acdfa193f435258bc8b62da30e5b7612ba0762cff4caa1253522de4e0adcc9",
                "9d97044bbca311c0ab51215a02ba242d43e1b9681e3c0401f46a29ed9f1d73e9",
            ],
        ),
        (
            Curve::P521,
            PkexBinding::Versions,
            [
                "011a615d6265c277e909fb6f25bcdaceb1a38734ed5db61dedaa4d9ef61042a02cd5fe0b34504b90ab5aab442139b7b7604c05a27e38de8b165b0d313eec6f0fbb8800f1e6baced56d44f0fd144579268d8ced06342addeb9d03a42f07c6672b4349f70bb137b6b3eb9364ed1776d3af9995e443e4a26be37f2733abd2ddd1d1ba4237a8",
                "009145cc2f95a77984728882489e3652f8d9e87f14bcab470f74800b214016d0322dc2077a96bbb94c10b0faa71f8099ea5a3d7e2311e01e756e6e7f13b71747b01c013f685ac47be76f29e54c0286a59381f986b26e839dbb3394b9b29c89aa7c02a868d55d3ad162a69feca686e523a544871a746f205501af28cf1b1fc21763aa745d",
                "2446e21cc9fabfcdf6524314fb70170d6424a215249b47cd2062834d6fc259d67d9c2b5900ed0cff719b6900b52811dfb308073a9fa0370efe8bb71f3ef78fa0",
                "9beb16af5b31028dd2b9675ef86b8d12080a85c84606bdb636597da656bdbcb9fc2710020f7229662e157a093fd9727a060e660940607f5fad52522e0e9d7d10",
                "a889299120bc121b2f9b386df597675916d62f9e56cc58f14eff47768791fd5d776f97d4222818cdb296b2c704ad2f837d44197a107c1f873fe270bac7f22b04",
            ],
        ),
        (
            Curve::Bp256,
            PkexBinding::Versions,
            [
                "908859296b9dfa78a0e4fa94baf40bd003f2ec0dab9f29cdd0ec28a984e9a84825b6f29684df537a1b00b8d6a1cd735d6a05cbf3e939c66d4992c3d885b7dd3e",
                "732b6eb3d2d4edf06a55ce91894a6fad7231236241736dcba356e70f25b2baff00acd60a7faf739b5592791844f3d979d0a8a3a60516efadb0dbd166b966a7ad",
                "4a09c5385659c3268ab7e98b0b84314c6106eca83ff5f8669eaaecc6b0d5fd73",
                "7320d4e4869722ecb9b18b5084d67a8d760881455900844765484b14d2c40dd2",
                "e629438c4ceacf86898d4517370b80a4bfc6ad53a9ccdbbca4831f1782bf428f",
            ],
        ),
    ];
    for (curve, binding, [m, n, z, u, v]) in cases {
        let transcript = run(curve, binding);
        let [request, response, commit, answer] = &transcript.frames;
        let encrypted = |frame: &[u8]| {
            let frame = Frame::read(frame).unwrap();
            hex::encode(
                frame
                    .attributes()
                    .require(AttributeId::EncryptedKey)
                    .unwrap(),
            )
        };
        assert_eq!(
            (encrypted(request), encrypted(response)),
            (m.into(), n.into())
        );
        for end in &transcript.z {
            assert_eq!(hex::encode(end.expose()), z);
        }
        let [initiator, responder] = &transcript.keys;
        for (frame, direction, id, right, key) in [
            (
                commit,
                0,
                AttributeId::InitiatorAuthenticatingTag,
                u,
                initiator,
            ),
            (
                answer,
                1,
                AttributeId::ResponderAuthenticatingTag,
                v,
                responder,
            ),
        ] {
            let frame = Frame::read(frame).unwrap();
            let (point, tag) = open_reveal(&frame, direction, curve, &transcript.z[0], id).unwrap();
            assert_eq!(hex::encode(tag.expose()), right);
            assert_eq!(&point, key.point());
        }
    }
}

/// What Debian's hostap 2.10 sent on simulated radios: with its keys, our messages are its messages,
/// octet for octet.
#[test]
fn an_exchange_of_hostap_is_made_the_same_from_both_ends() {
    let recording = include_str!("../../tests/hostap/pkex-p256.txt");
    let (octets, key) = (
        |name| recorded::octets(recording, name),
        |name| recorded::key(recording, name),
    );
    let own = |name| -> Arc<dyn Agreement> { Arc::new(BootstrappingKey::new(key(name))) };
    let binding = PkexBinding::Addresses {
        initiator: octets("initiator_address").try_into().unwrap(),
        responder: octets("responder_address").try_into().unwrap(),
    };
    let code = PkexCode::new(Some("lamp"), "secret12").unwrap();
    let (mut ours, mut theirs) = (Tries::default(), Tries::default());

    let a = own("initiator_bootstrapping_key");
    let x = key("initiator_key");
    let (request, initiator) =
        Initiator::start_with(a.clone(), code.clone(), binding, &mut ours, x).unwrap();
    assert_eq!(request, octets("request"));
    let b = own("responder_bootstrapping_key");
    let read = ExchangeRequest::read(&request).unwrap();
    let y = key("responder_key");
    let (response, responder) =
        Responder::answer_with(&read, b.clone(), &code, binding, &mut theirs, y).unwrap();
    assert_eq!(response, octets("response"));
    assert_eq!(responder.z.expose(), octets("z"));
    let (commit, reveal) = initiator.handle(&response).unwrap();
    assert_eq!(commit, octets("commit_reveal_request"));
    let (answer, learned) = responder.handle(&commit, &mut theirs).unwrap();
    assert_eq!(answer, octets("commit_reveal_response"));
    assert_eq!(&learned, a.public_key());
    let learned = reveal.handle(&answer, &mut ours).unwrap();
    assert_eq!(&learned, b.public_key());
}

#[test]
fn both_learn_the_others_key_on_every_curve_and_in_both_versions() {
    for curve in [
        Curve::P256,
        Curve::P384,
        Curve::P521,
        Curve::Bp256,
        Curve::Bp384,
    ] {
        for binding in [ADDRESSES, PkexBinding::Versions] {
            let [initiator, responder] = run(curve, binding).keys;
            assert_eq!(&initiator, own(curve, 0).public_key());
            assert_eq!(&responder, own(curve, 1).public_key());
        }
    }
}

fn begin_exchange(code: PkexCode, tries: &mut Tries, octet: u8) -> (Vec<u8>, Initiator) {
    let own = own(Curve::P256, 0);
    Initiator::start(own, code, PkexBinding::Versions, tries, &entropy(octet)).unwrap()
}

fn answer(
    request: &[u8],
    code: &PkexCode,
    tries: &mut Tries,
) -> Result<(Vec<u8>, Responder), Error> {
    let request = ExchangeRequest::read(request)?;
    let own = own(Curve::P256, 1);
    Responder::answer(
        &request,
        own,
        code,
        PkexBinding::Versions,
        tries,
        &entropy(2),
    )
}

fn wrong() -> PkexCode {
    PkexCode::new(Some("joes_key"), "thisisreallysecreT").unwrap()
}

/// §5.6.3: a wrong code shows when the reveal does not open; after five the code is used up, for the
/// right one too.
#[test]
fn a_wrong_code_is_counted_and_five_use_it_up() {
    let mut tries = Tries::default();
    for failed in 1..=Tries::LIMIT {
        let (request, guesser) = begin_exchange(wrong(), &mut Tries::default(), 1);
        let (response, responder) = answer(&request, &code(), &mut tries).unwrap();
        let (commit, _) = guesser.handle(&response).unwrap();
        assert_eq!(
            responder.handle(&commit, &mut tries).err(),
            Some(Refusal::PkexCode.into())
        );
        assert_eq!(tries.failed(), failed);
    }
    assert!(tries.are_used_up());
    let (request, _) = begin_exchange(code(), &mut Tries::default(), 1);
    assert_eq!(
        answer(&request, &code(), &mut tries).err(),
        Some(Refusal::PkexTries.into())
    );
    assert_eq!(Tries::with_failed(tries.failed()), tries);
}

/// Six guesses at once are five guesses.
#[test]
fn exchanges_side_by_side_share_the_limit() {
    let mut tries = Tries::default();
    let mut open: Vec<_> = (1..=7)
        .map(|octet| {
            let (request, guesser) = begin_exchange(wrong(), &mut Tries::default(), octet);
            let (response, responder) = answer(&request, &code(), &mut tries).unwrap();
            (guesser.handle(&response).unwrap().0, responder)
        })
        .collect();
    let last = open.pop().unwrap();
    for (commit, responder) in open {
        let _ = responder.handle(&commit, &mut tries);
    }
    assert_eq!(tries.failed(), Tries::LIMIT);
    assert_eq!(
        last.1.handle(&last.0, &mut tries).err(),
        Some(Refusal::PkexTries.into())
    );
}

/// Whoever answers an initiator can test one guess in silence, so a try counts until it succeeds.
#[test]
fn an_initiator_that_gets_no_answer_stops_after_five() {
    let mut tries = Tries::default();
    for octet in 1..=Tries::LIMIT {
        begin_exchange(code(), &mut tries, octet);
    }
    let own = own(Curve::P256, 0);
    let refused = Initiator::start(own, code(), PkexBinding::Versions, &mut tries, &entropy(9));
    assert_eq!(refused.err(), Some(Refusal::PkexTries.into()));
}

#[test]
fn a_wrong_responder_is_refused_and_stays_counted() {
    let (mut ours, mut theirs) = (Tries::default(), Tries::default());
    let (request, initiator) = begin_exchange(code(), &mut ours, 1);
    let (response, _) = answer(&request, &wrong(), &mut theirs).unwrap();
    let (commit, reveal) = initiator.handle(&response).unwrap();
    let (other, _) = begin_exchange(code(), &mut Tries::default(), 3);
    let (_, responder) = answer(&other, &code(), &mut theirs).unwrap();
    assert_eq!(
        responder.handle(&commit, &mut theirs).err(),
        Some(Refusal::PkexCode.into())
    );
    let transcript = run(Curve::P256, PkexBinding::Versions);
    assert_eq!(
        reveal.handle(&transcript.frames[3], &mut ours).err(),
        Some(Refusal::PkexCode.into())
    );
    assert_eq!(ours.failed(), 1);
}

#[test]
fn requests_that_do_not_fit_are_refused_section_5_6_2() {
    let mut tries = Tries::default();
    let (request, _) = begin_exchange(code(), &mut Tries::default(), 1);
    let refused = |request: &[u8], code: &PkexCode, tries: &mut Tries| {
        answer(request, code, tries).err().unwrap()
    };
    let unnamed = PkexCode::new(None, "thisisreallysecret").unwrap();
    let other = PkexCode::new(Some("annes_key"), "thisisreallysecret").unwrap();
    for code in [&unnamed, &other] {
        assert_eq!(
            refused(&request, code, &mut tries),
            Refusal::PkexIdentifier.into()
        );
    }
    assert_eq!(tries.failed(), 0, "no guess was made");

    let x = key(Curve::P384, KEYS[2]);
    let (request, _) = Initiator::start_with(
        own(Curve::P384, 0),
        code(),
        PkexBinding::Versions,
        &mut Tries::default(),
        x,
    )
    .unwrap();
    let error = refused(&request, &code(), &mut tries);
    assert_eq!(error.refusal(), Some(Refusal::PkexGroup));
    let reply = error.reply().unwrap();
    assert_eq!(Initiator::proposed_curve(reply), Some(Curve::P256));
    let (_, initiator) = begin_exchange(code(), &mut Tries::default(), 1);
    assert_eq!(
        initiator.handle(reply).err(),
        Some(Refusal::PkexGroup.into())
    );

    let x = key(Curve::P256, KEYS[2]);
    let own = own(Curve::P256, 0);
    let (request, _) =
        Initiator::start_with(own, code(), ADDRESSES, &mut Tries::default(), x).unwrap();
    assert_eq!(
        refused(&request, &code(), &mut tries),
        Refusal::PkexVersion.into()
    );
}

/// SEC 1 §3.2.2.1: a point off the curve would give the private key away. It says nothing about the
/// code, so it is no guess, and whoever sends it cannot use the code up.
#[test]
fn what_is_no_point_is_refused_and_is_no_guess() {
    let mut tries = Tries::default();
    let (request, initiator) = begin_exchange(code(), &mut Tries::default(), 1);
    let (mut response, _) = answer(&request, &code(), &mut tries).unwrap();
    let mut off_curve = request.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let short = altered(&request, AttributeId::EncryptedKey, Some(&[0; 63]));
    for _ in 0..=Tries::LIMIT {
        for (forged, reason) in [
            (&off_curve, Refusal::PointOffCurve.into()),
            (&short, crate::Malformed::Point.into()),
        ] {
            assert_eq!(answer(forged, &code(), &mut tries).err(), Some(reason));
        }
    }
    assert_eq!(tries.failed(), 0);
    *response.last_mut().unwrap() ^= 1;
    assert_eq!(
        initiator.handle(&response).err(),
        Some(Refusal::PointOffCurve.into())
    );
}

/// The mask of a guess as the hidden key: of the right one nothing would be left of it. Whether it was
/// right is told by no answer, and trying to go on counts, or guesses would cost nothing.
#[test]
fn a_key_that_is_only_the_mask_tells_nothing_about_the_guess_section_5_6() {
    let (request, initiator) = begin_exchange(code(), &mut Tries::default(), 1);
    let (right, _) = answer(&request, &code(), &mut Tries::default()).unwrap();
    let (commit, _) = initiator.handle(&right).unwrap();
    let wrong_code = PkexCode::new(Some("joes_key"), "thisisnosecret").unwrap();
    for guess in [code(), wrong_code] {
        let mut tries = Tries::default();
        let mask = guess
            .mask(&elements::initiator(Curve::P256).unwrap(), None)
            .unwrap();
        let mut forged = request[..request.len() - 64].to_vec();
        forged.extend_from_slice(mask.raw_xy());
        let (response, responder) = answer(&forged, &code(), &mut tries).unwrap();
        assert_eq!(response[..response.len() - 64], right[..right.len() - 64]);
        assert_eq!(
            responder.handle(&commit, &mut tries).err(),
            Some(Refusal::PkexCode.into())
        );
        assert_eq!(tries.failed(), 1);
    }
}

/// A frame without one attribute, or with another value for it.
fn altered(frame: &[u8], id: AttributeId, value: Option<&[u8]>) -> Vec<u8> {
    let read = Frame::read(frame).unwrap();
    let mut out = begin(read.frame_type());
    for (number, old) in read.attributes().iter() {
        let known = AttributeId::from_number(number).unwrap();
        if known != id {
            put(&mut out, known, old).unwrap();
        } else if let Some(new) = value {
            put(&mut out, known, new).unwrap();
        }
    }
    out
}

fn missing(id: AttributeId) -> Error {
    let fault = crate::AttributeFault::Missing;
    Error::Attribute { id, fault }
}

/// hostap's faults 34 to 37 and 44 to 46, which reach nobody over TCP.
#[test]
fn exchanges_with_the_faults_of_hostap_are_refused_section_5_6_2() {
    let mut tries = Tries::default();
    let (request, _) = begin_exchange(code(), &mut Tries::default(), 1);
    let (response, _) = answer(&request, &code(), &mut tries).unwrap();
    let off_curve = [5; 64];
    for (id, value, reason) in [
        (
            AttributeId::FiniteCyclicGroup,
            None,
            missing(AttributeId::FiniteCyclicGroup),
        ),
        (
            AttributeId::EncryptedKey,
            None,
            missing(AttributeId::EncryptedKey),
        ),
        (
            AttributeId::ProtocolVersion,
            None,
            missing(AttributeId::ProtocolVersion),
        ),
        (
            AttributeId::ProtocolVersion,
            Some(&[0][..]),
            Refusal::Version.into(),
        ),
        (
            AttributeId::EncryptedKey,
            Some(&off_curve[..]),
            Refusal::PointOffCurve.into(),
        ),
        (
            AttributeId::EncryptedKey,
            Some(&[1; 63][..]),
            crate::Malformed::Point.into(),
        ),
        (
            AttributeId::CodeIdentifier,
            None,
            Refusal::PkexIdentifier.into(),
        ),
    ] {
        let refused = answer(
            &altered(&request, id, value),
            &code(),
            &mut Tries::default(),
        );
        assert_eq!(refused.err(), Some(reason), "{id}");
    }
    for (id, value, reason) in [
        (AttributeId::Status, None, missing(AttributeId::Status)),
        (
            AttributeId::Status,
            Some(&[255][..]),
            Refusal::Status.into(),
        ),
        (
            AttributeId::Status,
            Some(&[2][..]),
            Error::Peer(crate::Status::AuthenticationFailure),
        ),
        (
            AttributeId::EncryptedKey,
            None,
            missing(AttributeId::EncryptedKey),
        ),
        (
            AttributeId::EncryptedKey,
            Some(&off_curve[..]),
            Refusal::PointOffCurve.into(),
        ),
        (
            AttributeId::ProtocolVersion,
            None,
            missing(AttributeId::ProtocolVersion),
        ),
        (
            AttributeId::CodeIdentifier,
            None,
            Refusal::PkexIdentifier.into(),
        ),
    ] {
        let (_, initiator) = begin_exchange(code(), &mut Tries::default(), 1);
        let refused = initiator.handle(&altered(&response, id, value));
        assert_eq!(refused.err(), Some(reason), "{id}");
    }
}

/// hostap's faults 4, 5, 38 to 43 and 47 to 50.
#[test]
fn reveals_with_the_faults_of_hostap_are_refused_section_5_6_3() {
    let curve = Curve::P256;
    let id = AttributeId::BootstrappingKey;
    for direction in [0, 1] {
        let (frame_type, tag) = if direction == 0 {
            let tag = AttributeId::InitiatorAuthenticatingTag;
            (FrameType::PkexCommitRevealRequest, tag)
        } else {
            let tag = AttributeId::ResponderAuthenticatingTag;
            (FrameType::PkexCommitRevealResponse, tag)
        };
        let key = key(curve, KEYS[direction]).public().raw_xy().to_vec();
        let mut off_curve = key.clone();
        off_curve[63] ^= 1;
        let refused = |parts: &[(AttributeId, &[u8])], wrapped: bool, more: bool| {
            let (mut ours, mut theirs) = (Tries::default(), Tries::default());
            let (request, initiator) = begin_exchange(code(), &mut ours, 1);
            let (response, responder) = answer(&request, &code(), &mut theirs).unwrap();
            let (_, await_reveal) = initiator.handle(&response).unwrap();
            let mut clear = Vec::new();
            for (id, value) in parts {
                put(&mut clear, *id, value).unwrap();
            }
            let octet = u8::try_from(direction).unwrap();
            let mut forged = reveal(frame_type, octet, &responder.z, &clear).unwrap();
            if !wrapped {
                forged = begin(frame_type);
            }
            if more {
                put(&mut forged, AttributeId::Status, &[0]).unwrap();
            }
            if direction == 0 {
                let error = responder.handle(&forged, &mut theirs).unwrap_err();
                let read = Frame::read(&forged).is_ok();
                assert_eq!(theirs.failed(), u8::from(read), "{error}");
                error
            } else {
                await_reveal.handle(&forged, &mut ours).unwrap_err()
            }
        };
        let wrong = [7; 32];
        let whole = [(id, &key[..]), (tag, &wrong[..])];
        assert_eq!(refused(&whole, true, false), Refusal::PkexTag.into());
        assert_eq!(
            refused(&whole, true, true),
            crate::Malformed::AfterWrappedData.into()
        );
        assert_eq!(
            refused(&whole, false, false),
            missing(AttributeId::WrappedData)
        );
        assert_eq!(refused(&whole[1..], true, false), missing(id));
        assert_eq!(refused(&whole[..1], true, false), missing(tag));
        let invalid = [(id, &off_curve[..]), (tag, &wrong[..])];
        assert_eq!(
            refused(&invalid, true, false),
            Refusal::PointOffCurve.into()
        );
    }
}

#[test]
fn a_reflected_reveal_is_refused() {
    let transcript = run(Curve::P256, PkexBinding::Versions);
    let mut reflected = transcript.frames[2].clone();
    reflected[6] = FrameType::PkexCommitRevealResponse.number();
    let frame = Frame::read(&reflected).unwrap();
    let id = AttributeId::ResponderAuthenticatingTag;
    let opened = open_reveal(&frame, 1, Curve::P256, &transcript.z[0], id);
    assert_eq!(opened.err(), Some(Refusal::PkexCode.into()));
}

#[test]
fn codes_have_bounds_and_do_not_print() {
    let long = "x".repeat(MAX_IDENTIFIER_LENGTH + 1);
    for (identifier, code) in [
        (None, String::new()),
        (Some(""), "code".into()),
        (Some(long.as_str()), "code".into()),
        (None, "x".repeat(MAX_CODE_LENGTH + 1)),
    ] {
        assert_eq!(
            PkexCode::new(identifier, &code).err(),
            Some(Misuse::PkexCode.into())
        );
    }
    assert!(!format!("{:?}", code()).contains("really"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), number in 7_u8..=18) {
        let mut frame = vec![9, 0x50, 0x6f, 0x9a, 0x1a, 1, number];
        frame.extend_from_slice(&bytes);
        let mut tries = Tries::default();
        let _ = answer(&frame, &code(), &mut tries);
        let _ = Initiator::proposed_curve(&frame);
        let (request, initiator) = begin_exchange(code(), &mut Tries::default(), 1);
        prop_assert!(initiator.handle(&frame).is_err());
        let (_, responder) = answer(&request, &code(), &mut Tries::default()).unwrap();
        prop_assert!(responder.handle(&frame, &mut tries).is_err());
    }

    #[test]
    fn every_truncation_is_refused(frame in 0_usize..4, length in any::<prop::sample::Index>()) {
        let transcript = run(Curve::P256, PkexBinding::Versions);
        let whole = &transcript.frames[frame];
        let cut = &whole[..length.index(whole.len())];
        let mut tries = Tries::default();
        let (request, initiator) = begin_exchange(code(), &mut Tries::default(), 1);
        match frame {
            0 => prop_assert!(answer(cut, &code(), &mut tries).is_err()),
            1 => prop_assert!(initiator.handle(cut).is_err()),
            2 => {
                let (_, responder) = answer(&request, &code(), &mut tries).unwrap();
                prop_assert!(responder.handle(cut, &mut tries).is_err());
            }
            _ => prop_assert!(Frame::read(cut).is_err() || cut.len() == 7),
        }
    }
}
