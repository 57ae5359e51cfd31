//! What is refused before TLS has a say: packets, secrets, conversations, fragments.

use vouchsafe_radius::eap::{Body, Packet as Eap, TlsMessage};
use vouchsafe_radius::{
    Client, Code, Draft, Error, FragmentSize, HEADER, Limits, Malformed, Misuse, Origin, Packet,
    PeerStep, Refusal, Segment, Sent, Shared, Step, accounting, attribute, eap,
};
use vouchsafe_trust::Secret;

use crate::forge::{Heard, Puppet, piece};
use crate::world::{Site, World, attempt_with, attributes, origin, peer, random, shared};

fn identity() -> Vec<u8> {
    let body = Body {
        identifier: 1,
        method: eap::IDENTITY,
        data: b"@example.org",
    };
    Eap::Response(body).encode()
}

fn request() -> Vec<u8> {
    let client = Client::new(shared(), attributes());
    client.request(7, &identity(), random()).unwrap().0
}

fn discarded(site: &mut Site, datagram: &[u8]) -> Error {
    match site.handle(datagram) {
        Step::Discard(error) => error,
        step => panic!("{step:?}"),
    }
}

fn site() -> Site {
    World::new().site()
}

/// RFC 3579 §3.2
#[test]
fn a_request_without_message_authenticator_is_dropped() {
    let mut datagram = request();
    // It stands first: 18 octets after the header.
    datagram.drain(HEADER..HEADER + 18);
    let length = u16::try_from(datagram.len()).unwrap();
    datagram[2..4].copy_from_slice(&length.to_be_bytes());
    let error = discarded(&mut site(), &datagram);
    assert_eq!(error, Refusal::MessageAuthenticatorMissing.into());
}

/// RFC 3579 §3.2: every octet of the packet is covered.
#[test]
fn a_request_with_any_octet_altered_is_dropped() {
    let mut site = site();
    let datagram = request();
    for index in 0..datagram.len() {
        let mut altered = datagram.clone();
        altered[index] ^= 0x01;
        assert!(
            matches!(site.handle(&altered), Step::Discard(_)),
            "octet {index}"
        );
    }
    let mut altered = datagram;
    altered[HEADER + 2] ^= 1;
    let error = discarded(&mut site, &altered);
    assert_eq!(error, Refusal::MessageAuthenticatorWrong.into());
}

/// RFC 3579 §3.2: under another secret the Message-Authenticator is another one.
#[test]
fn a_request_under_another_secret_is_dropped() {
    let other = Shared::new(Secret::new(b"another secret".to_vec()));
    let client = Client::new(other, attributes());
    let (datagram, _) = client.request(1, &identity(), random()).unwrap();
    let error = discarded(&mut site(), &datagram);
    assert_eq!(error, Refusal::MessageAuthenticatorWrong.into());
}

/// RFC 2865 §5.44 (table): one Message-Authenticator, one State.
#[test]
fn two_message_authenticators_are_dropped() {
    let draft = Draft::new(Code::AccessRequest, 1)
        .with(attribute::MESSAGE_AUTHENTICATOR, &[0; 16])
        .with_eap(&identity());
    let datagram = shared().finish_access_request(draft, &random()).unwrap();
    let error = discarded(&mut site(), &datagram);
    assert_eq!(error, Malformed::AttributeTwice.into());
}

/// RFC 2865 §3: 4096 octets are the most, whatever the length field says.
#[test]
fn packets_of_64_kib_are_dropped() {
    let mut datagram = vec![0; 65_535];
    datagram[..4].copy_from_slice(&[1, 1, 0xff, 0xff]);
    let error = discarded(&mut site(), &datagram);
    assert_eq!(error, Malformed::PacketTooLong.into());
    // Attributes of 64 KiB cannot be made either.
    let draft = Draft::new(Code::AccessRequest, 1).with_eap(&[0; 65_536]);
    let error = shared().finish_access_request(draft, &[0; 16]).unwrap_err();
    assert_eq!(error, Misuse::PacketFull.into());
    let draft = Draft::new(Code::AccessRequest, 1).with(attribute::CLASS, &[0; 254]);
    let error = shared().finish_access_request(draft, &[0; 16]).unwrap_err();
    assert_eq!(error, Misuse::AttributeTooLong.into());
}

/// RFC 2865 §3, §5
#[test]
fn lengths_that_do_not_fit_are_dropped() {
    let mut site = site();
    let mut refused = |bytes: &[u8]| discarded(&mut site, bytes);
    assert_eq!(refused(&[]), Malformed::PacketTooShort.into());
    assert_eq!(refused(&[1; 19]), Malformed::PacketTooShort.into());
    assert_eq!(refused(&[1, 1, 0, 19]), Malformed::PacketTooShort.into());
    let mut short = request();
    short.pop();
    assert_eq!(refused(&short), Malformed::PacketTooShort.into());
    let mut attribute = request();
    attribute[HEADER + 1] = 1;
    assert_eq!(refused(&attribute), Malformed::AttributeLength.into());
    attribute[HEADER + 1] = 255;
    assert_eq!(refused(&attribute), Malformed::AttributeLength.into());
}

/// RFC 2865 §3
#[test]
fn a_packet_of_another_kind_is_dropped() {
    let draft = Draft::new(Code::AccountingRequest, 1);
    let datagram = shared().finish_digest_request(draft).unwrap();
    let error = discarded(&mut site(), &datagram);
    assert_eq!(error, Refusal::CodeUnexpected.into());
}

/// RFC 5080 §2.2.2: the same request gets the same answer, byte for byte, and moves nothing.
#[test]
fn a_repeated_request_gets_the_same_answer() {
    let mut site = site();
    let datagram = request();
    let Step::Send(first, Sent::Challenge) = site.handle(&datagram) else {
        panic!("no challenge");
    };
    let Step::Send(second, Sent::Repeated) = site.handle(&datagram) else {
        panic!("not recognized");
    };
    assert_eq!(first, second);
    assert_eq!(site.server.conversations(), 1);
}

/// RFC 2865 §3: the identifier alone does not make a repetition.
#[test]
fn a_reused_identifier_is_another_request() {
    let mut site = site();
    assert!(matches!(
        site.handle(&request()),
        Step::Send(_, Sent::Challenge)
    ));
    assert!(matches!(
        site.handle(&request()),
        Step::Send(_, Sent::Challenge)
    ));
    assert_eq!(site.server.conversations(), 2);
}

/// RFC 3579 §2.2: this server admits nobody by password.
#[test]
fn a_request_without_eap_is_rejected() {
    let mut site = site();
    let draft = Draft::new(Code::AccessRequest, 1).with(attribute::USER_NAME, b"root");
    let datagram = shared().finish_access_request(draft, &random()).unwrap();
    let Step::Send(answer, Sent::Reject(rejection)) = site.handle(&datagram) else {
        panic!("not rejected");
    };
    assert_eq!(rejection.reason, Refusal::NoEapMessage.into());
    assert_eq!(Packet::parse(&answer).unwrap().code(), Code::AccessReject);
}

/// RFC 3579 §3.1
#[test]
fn eap_messages_with_something_between_are_dropped() {
    let message = identity();
    let draft = Draft::new(Code::AccessRequest, 1)
        .with(attribute::EAP_MESSAGE, &message[..4])
        .with(attribute::NAS_IDENTIFIER, b"ap-1")
        .with(attribute::EAP_MESSAGE, &message[4..]);
    let datagram = shared().finish_access_request(draft, &random()).unwrap();
    let error = discarded(&mut site(), &datagram);
    assert_eq!(error, Malformed::EapNotConsecutive.into());
}

/// RFC 3748 §4: requests, successes and failures come from servers.
#[test]
fn what_only_a_server_says_is_dropped() {
    let mut site = site();
    for packet in [vec![1, 1, 0, 5, 1], vec![3, 1, 0, 4], vec![4, 1, 0, 4]] {
        let client = Client::new(shared(), attributes());
        let (datagram, _) = client.request(1, &packet, random()).unwrap();
        let error = discarded(&mut site, &datagram);
        assert_eq!(error, Refusal::EapCodeUnexpected.into());
    }
}

/// RFC 2865 §5.24: a State that is not ours, is over, or belongs to another client opens nothing.
#[test]
fn an_unknown_state_is_rejected() {
    let mut site = site();
    let body = Body {
        identifier: 2,
        method: eap::TLS,
        data: &[0],
    };
    let response = Eap::Response(body).encode();
    for state in [&[0x55; 16][..], &[0x55; 3], &[]] {
        let mut attributes = attributes();
        attributes.push((attribute::STATE, state.to_vec()));
        let client = Client::new(shared(), attributes);
        let (datagram, _) = client.request(1, &response, random()).unwrap();
        let Step::Send(_, Sent::Reject(rejection)) = site.handle(&datagram) else {
            panic!("not rejected");
        };
        assert_eq!(rejection.reason, Refusal::StateUnknown.into());
    }
    let Step::Send(challenge, _) = site.handle(&request()) else {
        panic!("no challenge");
    };
    let challenge = Packet::parse(&challenge).unwrap();
    let state = challenge.attribute(attribute::STATE).unwrap().value;
    let mut attributes = attributes();
    attributes.push((attribute::STATE, state.to_vec()));
    let client = Client::new(shared(), attributes);
    let (datagram, _) = client.request(1, &response, random()).unwrap();
    let other = Origin {
        client: 2,
        ..origin()
    };
    let entropy = vouchsafe_radius::Entropy(random());
    let step = site
        .server
        .handle(site.now, other, &shared(), &datagram, entropy);
    let Step::Send(_, Sent::Reject(rejection)) = step else {
        panic!("not rejected");
    };
    assert_eq!(rejection.reason, Refusal::StateUnknown.into());
    assert_eq!(site.server.conversations(), 1, "the conversation goes on");
}

/// RFC 3579 §2.6.1
#[test]
fn a_method_without_an_identity_before_it_is_rejected() {
    let mut puppet = Puppet::invited(&mut site());
    puppet.client = Client::new(shared(), attributes());
    let heard = puppet.say(&mut site(), eap::TLS, &[0]);
    assert_eq!(heard, Heard::Rejected("state-missing"));
}

/// RFC 3748 §4.1
#[test]
fn a_response_to_another_request_is_dropped_and_ends_nothing() {
    let mut site = site();
    let mut puppet = Puppet::invited(&mut site);
    let stale = Eap::Response(Body {
        identifier: 1,
        method: eap::TLS,
        data: &[0],
    });
    let heard = puppet.send(&mut site, &stale.encode());
    assert_eq!(heard, Heard::Nothing("eap-identifier-unexpected"));
    assert_eq!(site.server.conversations(), 1);
}

/// RFC 3748 §5.3.1: a peer that wants a password method gets nothing else.
#[test]
fn an_eap_method_downgrade_is_rejected() {
    let mut site = site();
    // A Nak that asks for MD5, PEAP, TTLS.
    let heard = Puppet::invited(&mut site).say(&mut site, eap::NAK, &[4, 25, 21]);
    assert_eq!(heard, Heard::Rejected("eap-method-downgrade"));
    for method in [eap::IDENTITY, 4, 21, 25, 26, 43, 254] {
        let heard = Puppet::invited(&mut site).say(&mut site, method, &[0]);
        assert_eq!(heard, Heard::Rejected("eap-method-changed"), "{method}");
    }
    assert_eq!(site.server.conversations(), 0);
}

/// RFC 5216 §2.1.5
#[test]
fn fragments_that_do_not_fit_together_end_the_conversation() {
    let mut site = site();
    let cases: [(&[TlsMessage<'_>], &str); 8] = [
        (&[piece(None, true, b"abc")], "fragment-length-missing"),
        (&[piece(Some(9), true, b"")], "fragment-empty"),
        (
            &[piece(Some(6), true, b"abcd"), piece(None, true, b"")],
            "fragment-empty",
        ),
        (
            &[piece(Some(6), true, b"abcd"), piece(None, false, b"cdef")],
            "fragment-overrun",
        ),
        (
            &[
                piece(Some(9), true, b"abcd"),
                piece(Some(8), false, b"efgh"),
            ],
            "fragment-length-changed",
        ),
        (
            &[piece(Some(9), true, b"abcd"), piece(None, false, b"efgh")],
            "fragments-short",
        ),
        (
            &[piece(Some(0x0100_0001), true, b"abcd")],
            "tls-message-too-large",
        ),
        (&[piece(None, false, b"")], "acknowledgement-unexpected"),
    ];
    for (pieces, reason) in cases {
        let mut puppet = Puppet::invited(&mut site);
        let (last, before) = pieces.split_last().unwrap();
        for piece in before {
            assert_eq!(puppet.tls(&mut site, piece), Heard::Request(vec![0]));
        }
        assert_eq!(puppet.tls(&mut site, last), Heard::Rejected(reason));
    }
    assert_eq!(site.server.conversations(), 0);
}

/// RFC 5216 §3.2: only a server starts.
#[test]
fn a_start_by_the_peer_is_rejected() {
    let mut site = site();
    let heard = Puppet::invited(&mut site).say(&mut site, eap::TLS, &[0x20]);
    assert_eq!(heard, Heard::Rejected("start-unexpected"));
}

/// RFC 3748 §7.9: fragments of one octet would go on for 65,536 rounds.
#[test]
fn a_conversation_without_end_is_ended() {
    let mut site = site();
    let mut puppet = Puppet::invited(&mut site);
    let mut heard = puppet.tls(&mut site, &piece(Some(60_000), true, b"a"));
    let mut rounds = 1;
    while heard == Heard::Request(vec![0]) {
        heard = puppet.tls(&mut site, &piece(None, true, b"a"));
        rounds += 1;
    }
    assert_eq!(heard, Heard::Rejected("too-many-rounds"));
    assert_eq!(rounds, 161);
}

/// RFC 2866 §3, §5.1
#[test]
fn an_accounting_record_that_proves_nothing_gets_no_answer() {
    let draft = || {
        Draft::new(Code::AccountingRequest, 3)
            .with_integer(attribute::ACCT_STATUS_TYPE, 2)
            .with(attribute::CALLING_STATION_ID, b"02-00-00-00-00-01")
            .with(attribute::CLASS, b"session 9")
            .with_integer(attribute::ACCT_INPUT_OCTETS, 5)
            .with_integer(attribute::ACCT_INPUT_GIGAWORDS, 1)
            .with(attribute::PROXY_STATE, b"one")
    };
    let datagram = shared().finish_digest_request(draft()).unwrap();
    let (record, answer) = accounting::receive(&shared(), &datagram).unwrap();
    let record = record.unwrap();
    assert_eq!(record.status, accounting::Status::Stop);
    assert_eq!(record.octets_in, (1 << 32) + 5);
    assert_eq!(record.class.unwrap(), b"session 9");
    assert_eq!(record.station.mac, Some([2, 0, 0, 0, 0, 1]));
    let answer = Packet::parse(&answer).unwrap();
    assert_eq!(answer.code(), Code::AccountingResponse);
    assert_eq!(answer.text(attribute::PROXY_STATE), Some("one"));

    let other = Shared::new(Secret::new(b"another secret".to_vec()));
    let refused = |datagram: &[u8]| accounting::receive(&shared(), datagram).unwrap_err();
    let forged = other.finish_digest_request(draft()).unwrap();
    assert_eq!(refused(&forged), Refusal::AuthenticatorWrong.into());
    let mut altered = datagram;
    altered[30] ^= 1;
    assert_eq!(refused(&altered), Refusal::AuthenticatorWrong.into());
    let without = Draft::new(Code::AccountingRequest, 3);
    let without = shared().finish_digest_request(without).unwrap();
    assert_eq!(refused(&without), Refusal::AccountingStatus.into());
    assert_eq!(refused(&request()), Refusal::CodeUnexpected.into());
}

/// RFC 5997 §3, §4.2
#[test]
fn a_server_says_that_it_is_alive_to_who_shares_the_secret() {
    let mut site = site();
    let alive = |shared: &Shared| {
        let draft = Draft::new(Code::StatusServer, 1);
        shared.finish_access_request(draft, &random()).unwrap()
    };
    let Step::Send(answer, Sent::Alive) = site.handle(&alive(&shared())) else {
        panic!("not alive");
    };
    assert_eq!(Packet::parse(&answer).unwrap().code(), Code::AccessAccept);
    let other = Shared::new(Secret::new(b"another secret".to_vec()));
    let error = discarded(&mut site, &alive(&other));
    assert_eq!(error, Refusal::MessageAuthenticatorWrong.into());
}

/// RFC 2865 §5, RFC 3579 §3.2: a Message-Authenticator of four octets proves nothing.
#[test]
fn a_message_authenticator_of_another_length_is_dropped() {
    let mut datagram = request();
    datagram.splice(HEADER..HEADER + 18, [80, 6, 0, 0, 0, 0]);
    let length = u16::try_from(datagram.len()).unwrap();
    datagram[2..4].copy_from_slice(&length.to_be_bytes());
    let error = discarded(&mut site(), &datagram);
    assert_eq!(error, Malformed::AttributeValue.into());
}

/// RFC 5216 §2.1.5: while the server's fragments are fetched, the peer has nothing to say.
#[test]
fn data_instead_of_an_acknowledgement_ends_the_conversation() {
    let world = World::new();
    let limits = Limits {
        fragment: FragmentSize::new(64).unwrap(),
        ..Limits::default()
    };
    let mut site = Site::with_limits(world.acceptor(), limits);
    let device = world.device("17");
    let attempt = attempt_with(&mut site, peer(world.connector(&device)), |_, packet| {
        // An acknowledgement: EAP's header, the type, no flags.
        if let [code, identifier, _, _, eap::TLS, 0] = packet[..] {
            *packet = vec![code, identifier, 0, 9, eap::TLS, 0, 1, 2, 3];
        }
    });
    assert_eq!(attempt.refused, Some(Refusal::FragmentUnexpected.into()));
    assert_eq!(site.questions, 0, "nobody was asked");
}

/// RFC 3579 §3.8, RFC 2548 §2.4.2: an acceptance counts with the keys that the handshake gave, and no
/// other way.
#[test]
fn an_acceptance_without_the_session_keys_is_not_believed() {
    let mut client = Client::new(shared(), attributes());
    let mut check = |draft: fn(Draft) -> Draft| {
        let (datagram, open) = client.request(1, &identity(), random()).unwrap();
        let request = Packet::parse(&datagram).unwrap();
        let draft = draft(Draft::new(Code::AccessAccept, 1));
        let accept = shared().finish_response(draft, &request).unwrap();
        let accept = client.answer(&open, &accept).unwrap();
        client.check_keys(&open, &accept, &[7; 64])
    };
    assert_eq!(check(|draft| draft), Err(Refusal::KeyMissing.into()));
    let garbage = |draft: Draft| {
        let microsoft = |kind| {
            let mut value = 311_u32.to_be_bytes().to_vec();
            value.extend([kind, 12]);
            value.extend([0x80; 10]);
            value
        };
        draft
            .with(
                attribute::VENDOR_SPECIFIC,
                &microsoft(attribute::MS_MPPE_RECV_KEY),
            )
            .with(
                attribute::VENDOR_SPECIFIC,
                &microsoft(attribute::MS_MPPE_SEND_KEY),
            )
    };
    assert_eq!(check(garbage), Err(Malformed::MppeKey.into()));

    // The right form, the keys of another handshake.
    let world = World::new();
    let mut site = world.site();
    let device = world.device("17");
    let mut client = Client::new(shared(), attributes());
    let mut station = peer(world.connector(&device));
    let mut packet = vec![1, 0, 0, 5, 1];
    for number in 0..20 {
        let Ok(PeerStep::Respond(next, response)) = station.handle(site.now, &packet) else {
            panic!("the station says nothing");
        };
        station = next;
        let (datagram, open) = client.request(number, &response, random()).unwrap();
        let Step::Send(answer, sent) = site.handle(&datagram) else {
            panic!("no answer");
        };
        let answer = client.answer(&open, &answer).unwrap();
        if matches!(sent, Sent::Accept) {
            let refused = client.check_keys(&open, &answer, &[7; 64]);
            assert_eq!(refused, Err(Refusal::KeyMissing.into()));
            return;
        }
        packet = answer.eap.unwrap();
    }
    panic!("the station never came in");
}

/// RFC 3580 §3.31, RFC 2868 §3.6: what would be read as a tag names no segment.
#[test]
fn a_segment_without_a_printable_name_is_refused() {
    for name in ["", "\u{1}cameras", "cam\neras", &"x".repeat(250)] {
        assert_eq!(Segment::new(name), Err(Misuse::SegmentName.into()));
    }
    assert!(Segment::new(&"x".repeat(249)).is_ok());
}
