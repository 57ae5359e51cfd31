//! The registrar as the MASA's client (RFC 8995 §5.4 to §5.6): what it makes of every answer.

use vouchsafe_brski::Encoding;
use vouchsafe_fleet::{Action, State as Life, Subject, VoucherStatus};

use crate::world::{SERIAL, World, ask, assert_answer, fresh_nonce, said};

/// What the journal says last, and why.
async fn last(world: &World) -> (Action, Vec<(String, String)>) {
    let entry = world
        .journal(Subject::Device(world.id(SERIAL)))
        .await
        .pop()
        .unwrap();
    let reasons = entry
        .reasons
        .into_iter()
        .map(|reason| (reason.code, reason.text))
        .collect();
    (entry.action, reasons)
}

/// RFC 8995 §5.6: the MASA's word is passed on. The same request is not asked again; a new one is.
#[tokio::test]
async fn a_refusal_of_the_masa_is_passed_on_with_its_words() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let masa = &world.maker.masa;
    masa.say(403, b"it was sold\nto somebody else");
    let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_answer(&answer, 406, "masa-refused");
    let text = said(&answer);
    assert!(text.contains("it was sold to somebody else"), "{text}");
    assert!(text.contains("status 403"), "{text}");

    let (action, reasons) = last(&world).await;
    assert_eq!(action, Action::VoucherRefused);
    assert_eq!(reasons[0].0, "masa-refused");
    assert_eq!(reasons[1].0, "masa-said");
    assert_eq!(reasons[1].1, "it was sold to somebody else");
    let state = world.state(SERIAL).await;
    assert_eq!(state.device.unwrap().state, Life::Claimed);
    assert_eq!(state.vouchers[0].status, VoucherStatus::Refused);
    assert_eq!(state.vouchers[0].voucher, None);
    assert_eq!(state.credentials, []);

    masa.recover();
    let before = world.before(SERIAL).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    world
        .assert_refused(&before, &answer, 406, "masa-refused")
        .await;
    assert_eq!(masa.asked(), 1);

    let nonce = fresh_nonce(Encoding::CmsJson);
    let request = world.signed_request(&birth, &line, &nonce, Encoding::CmsJson);
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    assert_eq!(masa.asked(), 2);
    world.assert_sound().await;
}

/// What a MASA says is bounded, and no control character of it reaches a terminal.
#[tokio::test]
async fn the_words_of_a_masa_are_bounded_and_plain() {
    let world = World::new().await;
    let mut words = b"\x1b[31mno\x00\r\n".to_vec();
    words.extend_from_slice(&[b'x'; 20_000]);
    world.maker.masa.say(404, &words);
    let (mut line, request) = world
        .request(&world.maker.device(SERIAL), Encoding::CmsJson)
        .await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_answer(&answer, 406, "masa-refused");
    let text = said(&answer);
    assert!(text.len() < 2048, "{}", text.len());
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
}

/// RFC 8995 §5.6: a MASA that is in trouble, or has not decided, is no answer: 202 and
/// Retry-After, and the same request goes on from there.
#[tokio::test]
async fn a_device_waits_while_the_masa_is_in_trouble() {
    for status in [202, 429, 500, 503] {
        let world = World::new().await;
        let birth = world.maker.device(SERIAL);
        world.maker.masa.say(status, b"later");
        let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
        for _ in 0..2 {
            let answer = ask(&mut line, &request, Encoding::CmsJson).await;
            assert_answer(&answer, 202, "masa-unreachable");
            let wait: u32 = answer.headers()["retry-after"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!((1..=60).contains(&wait));
        }
        let state = world.state(SERIAL).await;
        assert_eq!(state.device.unwrap().state, Life::Onboarding);
        assert_eq!(state.vouchers.len(), 1);
        assert_eq!(state.vouchers[0].status, VoucherStatus::AwaitingMasa);
        world.maker.masa.recover();
        let answer = ask(&mut line, &request, Encoding::CmsJson).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));
        assert_eq!(world.state(SERIAL).await.vouchers.len(), 1);
        world.assert_sound().await;
    }
}

/// The same for one that cannot be reached.
#[tokio::test]
async fn a_device_waits_while_the_masa_is_down() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    // A port that was ours a moment ago and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    world
        .change_maker(|maker| maker.masa_url = Some(format!("127.0.0.1:{port}")))
        .await;
    let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_answer(&answer, 202, "masa-unreachable");
    assert_eq!(world.maker.masa.asked(), 0);
    world.change_maker(|_| {}).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// RFC 8995 §5.4: a server that is not proved by this manufacturer's MASA anchors gets no request.
#[tokio::test]
async fn a_server_that_is_not_the_manufacturers_masa_is_told_nothing() {
    let world = World::new().await;
    let (other, _stop) = crate::world::Maker::new("Other", &world.clock).await;
    let url = other.masa_url.clone();
    world.change_maker(|maker| maker.masa_url = Some(url)).await;
    let (mut line, request) = world
        .request(&world.maker.device(SERIAL), Encoding::CmsJson)
        .await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_answer(&answer, 202, "masa-unreachable");
    assert_eq!(other.masa.asked(), 0);
    assert_eq!(world.maker.masa.asked(), 0);
}

/// RFC 8995 §2.8: without an address of our own, the one in the birth certificate is used.
#[tokio::test]
async fn the_masa_is_found_in_the_birth_certificate() {
    let world = World::new().await;
    world.change_maker(|maker| maker.masa_url = None).await;
    world.with_voucher(&world.maker.device(SERIAL)).await;
    assert_eq!(world.maker.masa.asked(), 1);
}

/// A voucher that answers another question is not handed on (RFC 8995 §5.6).
#[tokio::test]
async fn a_voucher_for_another_device_or_another_nonce_is_not_handed_on() {
    for encoding in Encoding::ALL {
        let world = World::new().await;
        world.claim("JADA-0002").await;
        let birth = world.maker.device(SERIAL);
        let (mut line, request) = world
            .request(&world.maker.device("JADA-0002"), encoding)
            .await;
        let others = ask(&mut line, &request, encoding).await.into_body();
        let (mut line, request) = world.request(&birth, encoding).await;
        let earlier = ask(&mut line, &request, encoding).await.into_body();
        for (wrong, code) in [(others, "another device"), (earlier, "another request")] {
            world.maker.masa.say(200, &wrong);
            let request = world.signed_request(&birth, &line, &fresh_nonce(encoding), encoding);
            let answer = ask(&mut line, &request, encoding).await;
            assert_answer(&answer, 406, "masa-refused");
            assert!(said(&answer).contains(code), "{}", said(&answer));
            let (action, reasons) = last(&world).await;
            assert_eq!(action, Action::VoucherRefused);
            assert!(reasons[1].1.contains(code), "{reasons:?}");
        }
        world.assert_sound().await;
    }
}

/// Rubbish of any size is not handed on either.
#[tokio::test]
async fn an_answer_that_is_no_voucher_is_not_handed_on() {
    for encoding in Encoding::ALL {
        let world = World::new().await;
        let birth = world.maker.device(SERIAL);
        let mut line = world.connect(Some(&birth)).await;
        for rubbish in [&b""[..], b"0", b"<html>hello</html>", &[0x30; 30_000]] {
            world.maker.masa.say(200, rubbish);
            let request = world.signed_request(&birth, &line, &fresh_nonce(encoding), encoding);
            let answer = ask(&mut line, &request, encoding).await;
            assert_answer(&answer, 406, "masa-refused");
            assert_eq!(
                world.state(SERIAL).await.device.unwrap().state,
                Life::Claimed
            );
        }
        world.maker.masa.say(200, &vec![0x30; 200_000]);
        let request = world.signed_request(&birth, &line, &fresh_nonce(encoding), encoding);
        let answer = ask(&mut line, &request, encoding).await;
        assert_answer(&answer, 202, "masa-unreachable");
        world.maker.masa.recover();
        let answer = ask(&mut line, &request, encoding).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));
        world.assert_sound().await;
    }
}

/// What an owner decides while the MASA thinks comes before the MASA's answer.
#[tokio::test]
async fn a_device_cut_off_while_the_masa_thinks_gets_no_voucher() {
    let world = World::new().await;
    let (mut line, request) = world
        .request(&world.maker.device(SERIAL), Encoding::CmsJson)
        .await;
    let masa = &world.maker.masa;
    let thinking = masa.thinking.write().await;
    let cut_off = async {
        while masa.asked() == 0 {
            tokio::task::yield_now().await;
        }
        world
            .operate(SERIAL, vouchsafe_fleet::decide::quarantine)
            .await;
        drop(thinking);
    };
    let (answer, ()) = tokio::join!(ask(&mut line, &request, Encoding::CmsJson), cut_off);
    assert_answer(&answer, 403, "device-quarantined");
    let state = world.state(SERIAL).await;
    assert_eq!(state.device.unwrap().state, Life::Quarantined);
    assert_eq!(state.vouchers[0].voucher, None);
    world.assert_sound().await;
}
