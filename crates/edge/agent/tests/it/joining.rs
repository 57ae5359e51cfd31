//! From a birth certificate to a working credential.

use std::sync::Arc;

use vouchsafe_agent::{
    Agent, AgentError, ChannelBinding, Event, Events, Failure, LocalError, VoucherForm,
};
use vouchsafe_brski::csrattrs::{CsrAttributes, KeyKind};
use vouchsafe_trust::{Certificate, KeyType, oid};

use crate::registrar::Registrar;
use crate::world::{Maker, SERIAL};

#[tokio::test]
async fn a_device_joins_on_one_connection_and_reports_on_a_new_one_with_its_credential() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let device = maker.device().towards(&[&registrar]);
    let (status, told) = device.run_told().await;
    let status = status.unwrap();
    assert_eq!(
        (status.state, status.serial.as_str()),
        ("onboarded", SERIAL)
    );
    assert_eq!(
        registrar.called(),
        [
            "requestvoucher",
            "voucher_status",
            "cacerts",
            "csrattrs",
            "simpleenroll",
            "enrollstatus"
        ]
    );
    registrar.seen(|seen| {
        let first = seen.calls[0].1;
        assert!(
            seen.calls[..5].iter().all(|call| call.1 == first),
            "RFC 8995 §5: one connection"
        );
        assert_ne!(seen.calls[5].1, first, "RFC 8995 §5.9.4: a new connection");
        assert_eq!(seen.calls[0].2, "CN=manufacturer");
        assert_eq!(seen.calls[5].2, "CN=domain");
        assert!(
            seen.reports
                .iter()
                .all(|(_, report)| report.status && report.version == 1)
        );
        assert_eq!(seen.reports.len(), 2);
    });
    assert_eq!(
        told.names(),
        [
            "searching",
            "connected",
            "voucher-requested",
            "voucher-accepted",
            "enrolment-requested",
            "credential-installed",
            "enrolment-reported",
            "onboarded"
        ]
    );
    device.assert_whole();
    assert!(device.has("voucher.vcj"));
    let anchors = std::fs::read_to_string(device.path().join("state/domain-ca.pem")).unwrap();
    let anchors = Certificate::many_from_pem(&anchors).unwrap();
    assert_eq!(&anchors[0], registrar.owner().authority.certificate());
    // Nothing is due, so nothing happens.
    let calls = registrar.called().len();
    device.run().await.unwrap();
    assert_eq!(registrar.called().len(), calls);
}

#[tokio::test]
async fn all_three_encodings_lead_to_a_credential() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    for form in [VoucherForm::Cms, VoucherForm::Jws, VoucherForm::Cose] {
        let mut device = maker.device().towards(&[&registrar]);
        device.config.voucher = form;
        assert_eq!(device.run().await.unwrap().state, "onboarded", "{form:?}");
        device.assert_whole();
    }
}

#[tokio::test]
async fn a_device_told_to_wait_sends_the_same_request_again_rfc8995_5_6() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    registrar.set(|behaviour| behaviour.waits = (3, 0));
    let device = maker.device().towards(&[&registrar]);
    let (status, told) = device.run_told().await;
    status.unwrap();
    registrar.seen(|seen| {
        assert_eq!(seen.requests.len(), 4);
        assert!(
            seen.requests
                .iter()
                .all(|request| *request == seen.requests[0])
        );
        assert_eq!(seen.calls[0].1, seen.calls[3].1, "on the same connection");
    });
    let waited = told
        .all()
        .into_iter()
        .filter(|event| matches!(event, Event::Waiting { .. }));
    assert_eq!(waited.count(), 3);
}

#[tokio::test]
async fn who_asks_for_more_than_a_minute_is_left_for_others_and_may_be_asked_again() {
    let maker = Arc::new(Maker::new());
    let slow = Registrar::start(&maker, "slow").await;
    slow.set(|behaviour| behaviour.waits = (usize::MAX, 61));
    let quick = Registrar::start(&maker, "quick").await;
    let device = maker.device().towards(&[&slow, &quick]);
    let (status, told) = device.run_told().await;
    assert_eq!(status.unwrap().credential.unwrap().registrar, quick.url());
    let aside = told.all().into_iter().find_map(|event| match event {
        Event::NetworkPutAside {
            code,
            seconds,
            section,
            ..
        } => Some((code, seconds, section)),
        _ => None,
    });
    assert_eq!(aside, Some(("not-yet", 61, "RFC 8995 §5.6")));
    device.assert_whole();
}

#[tokio::test]
async fn a_network_that_refuses_or_is_not_there_does_not_keep_the_device_from_the_next() {
    let maker = Arc::new(Maker::new());
    let refuses = Registrar::start(&maker, "refuses").await;
    refuses.set(|behaviour| behaviour.voucher_status = Some(404));
    let takes = Registrar::start(&maker, "takes").await;
    let mut device = maker.device().towards(&[&refuses, &takes]);
    device
        .config
        .registrars
        .insert(0, "https://127.0.0.1:1".to_owned());
    let (status, told) = device.run_told().await;
    let status = status.unwrap();
    assert_eq!(status.credential.unwrap().registrar, takes.url());
    let codes: Vec<_> = told
        .all()
        .into_iter()
        .filter_map(|event| match event {
            Event::NetworkPutAside { code, .. } => Some(code),
            _ => None,
        })
        .collect();
    assert_eq!(codes, ["connect", "refused-by-registrar"]);
    assert_eq!(status.attempts.len(), 3);
    assert!(status.attempts[1].text.contains("not-ours: go away"));
}

#[tokio::test]
async fn one_redirection_is_followed_and_no_second_rfc8995_5_6() {
    let maker = Arc::new(Maker::new());
    let last = Registrar::start(&maker, "last").await;
    let middle = Registrar::start(&maker, "middle").await;
    let first = Registrar::start(&maker, "first").await;
    first.set(|behaviour| behaviour.redirect = Some(format!("{}/x", last.url())));
    let device = maker.device().towards(&[&first]);
    assert_eq!(
        device.run().await.unwrap().credential.unwrap().registrar,
        last.url()
    );

    middle.set(|behaviour| behaviour.redirect = Some(last.url()));
    first.set(|behaviour| behaviour.redirect = Some(middle.url()));
    let device = maker.device().towards(&[&first]);
    let error = device.run().await.unwrap_err();
    assert!(
        matches!(
            error,
            AgentError::NothingWorked {
                last: Failure::Redirected,
                ..
            }
        ),
        "{error}"
    );
    device.assert_whole();
}

#[tokio::test]
async fn the_request_holds_what_csrattrs_ask_for_rfc8995_5_9_2() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    registrar.set(|behaviour| {
        behaviour.attributes = Some(CsrAttributes {
            subject: Some(vec![(oid::SERIAL_NUMBER, None)]),
            key: Some(KeyKind::P384),
            extensions: Vec::new(),
            attributes: vec![oid::CHALLENGE_PASSWORD],
        });
    });
    let device = maker.device().towards(&[&registrar]);
    device.run().await.unwrap();
    registrar.seen(|seen| {
        assert_eq!(seen.bound, [true], "RFC 7030 §3.5");
        let issued = seen.issued.values().next().unwrap();
        assert_eq!(issued.public_key().key_type(), KeyType::P384);
    });
    // None at all is fine (RFC 7030 §4.5.2), and binding can be had unasked.
    registrar.set(|behaviour| behaviour.attributes = None);
    let mut device = maker.device().towards(&[&registrar]);
    device.config.channel_binding = ChannelBinding::Always;
    device.run().await.unwrap();
    registrar.seen(|seen| assert_eq!(seen.bound, [true, true]));
    // A kind of key that is not made here.
    registrar.set(|behaviour| {
        behaviour.attributes = Some(CsrAttributes {
            key: Some(KeyKind::Rsa(Some(3072))),
            ..CsrAttributes::default()
        });
    });
    let device = maker.device().towards(&[&registrar]);
    let error = device.run().await.unwrap_err();
    assert!(
        matches!(
            error,
            AgentError::NothingWorked {
                last: Failure::Certificate(_),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(device.keys(), ["idevid"]);
}

#[tokio::test]
async fn a_folder_has_one_agent() {
    let maker = Maker::new();
    let device = maker.device();
    let first = device.agent(Events::ignored()).await;
    let second = Agent::open(
        device.path(),
        device.config.clone(),
        device.clock.clone(),
        Events::ignored(),
    )
    .await;
    assert!(matches!(second.unwrap_err(), LocalError::Busy(_)));
    drop(first);
    device.agent(Events::ignored()).await;
}

#[tokio::test]
async fn without_registrars_there_is_nobody_to_ask() {
    let device = Maker::new().device();
    assert!(matches!(
        device.run().await.unwrap_err(),
        AgentError::NoCandidate
    ));
}

#[tokio::test]
async fn a_device_waits_for_one_who_asked_it_to_even_when_another_refuses_it() {
    let maker = Arc::new(Maker::new());
    let slow = Registrar::start(&maker, "slow").await;
    // 503 is the registrar's own trouble; it says when to come back (RFC 9110 §15.6.4).
    slow.set(|behaviour| behaviour.trouble = (2, 0));
    let refuses = Registrar::start(&maker, "refuses").await;
    refuses.set(|behaviour| behaviour.voucher_status = Some(403));
    let device = maker.device().towards(&[&slow, &refuses]);
    let status = device.run().await.unwrap();
    assert_eq!(status.credential.unwrap().registrar, slow.url());
    assert_eq!(refuses.called().len(), 1);
    slow.seen(|seen| {
        assert_eq!(seen.requests.len(), 3);
        assert!(
            seen.requests
                .iter()
                .all(|request| *request == seen.requests[0])
        );
    });
}
