//! Vouchers and certificates that a device must not take: no credential, a failure report with the
//! reason on the same connection, and the next network is tried.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use vouchsafe_agent::{AgentError, Failure};
use vouchsafe_brski::Refusal;

use crate::registrar::{Behaviour, Registrar, Spoil, date};
use crate::world::{Maker, Owner, now};

/// A registrar that spoils its vouchers comes first, one that does not second.
async fn refused(behaviour: Behaviour, maker: &Arc<Maker>) -> vouchsafe_brski::Error {
    let bad = Registrar::with(maker, "bad", behaviour).await;
    let device = maker.device().towards(&[&bad]);
    let error = match device.run().await.unwrap_err() {
        AgentError::NothingWorked {
            last: Failure::Refused(error),
            ..
        } => error,
        other => panic!("{other}"),
    };
    assert_eq!(bad.issued(), 0);
    assert_eq!(bad.called(), ["requestvoucher", "voucher_status"]);
    bad.seen(|seen| {
        assert_eq!(
            seen.calls[0].1, seen.calls[1].1,
            "RFC 8995 §5.7: the same connection"
        );
        let (_, report) = &seen.reports[0];
        assert!(!report.status);
        assert_eq!(report.reason.as_deref(), Some(error.to_string().as_str()));
        let context = report.reason_context.as_ref().unwrap();
        assert_eq!(context["code"], error.reason_code());
        assert_eq!(context["section"], error.section());
    });
    device.assert_whole();
    assert_eq!(device.status().state, "new");

    let good = Registrar::start(maker, "good").await;
    let device = device.towards(&[&bad, &good]);
    let status = device.run().await.unwrap();
    assert_eq!(status.credential.unwrap().registrar, good.url());
    assert_ne!(
        bad.seen(|seen| seen.requests[0].clone()),
        bad.seen(|seen| seen.requests[1].clone()),
        "RFC 8995 §5.2: another attempt has another nonce"
    );
    error
}

async fn spoilt(spoil: Spoil) -> vouchsafe_brski::Error {
    let behaviour = Behaviour {
        spoil: Some(spoil),
        ..Behaviour::default()
    };
    refused(behaviour, &Arc::new(Maker::new())).await
}

#[tokio::test]
async fn a_voucher_for_another_serial_number_is_refused_rfc8995_5_6_1() {
    let error = spoilt(Box::new(|voucher| {
        voucher.insert("serial-number".to_owned(), "JADA-0002".into());
    }));
    assert_eq!(error.await.refusal(), Some(Refusal::VoucherOtherSerial));
}

#[tokio::test]
async fn a_voucher_for_another_nonce_is_refused_rfc8995_5_6_1() {
    let error = spoilt(Box::new(|voucher| {
        voucher.insert("nonce".to_owned(), STANDARD.encode([9; 16]).into());
    }));
    assert_eq!(error.await.refusal(), Some(Refusal::VoucherWrongNonce));
}

#[tokio::test]
async fn a_voucher_that_expired_is_refused_rfc8366_5_3() {
    let error = spoilt(Box::new(|voucher| {
        voucher.remove("nonce");
        let end = now() - SignedDuration::from_hours(1);
        voucher.insert("expires-on".to_owned(), date(end));
    }));
    assert_eq!(error.await.refusal(), Some(Refusal::VoucherExpired));
}

#[tokio::test]
async fn a_voucher_from_the_future_is_refused_rfc8366_5_3() {
    let error = spoilt(Box::new(|voucher| {
        let begin = now() + SignedDuration::from_hours(48);
        voucher.insert("created-on".to_owned(), date(begin));
    }));
    assert_eq!(error.await.refusal(), Some(Refusal::VoucherFromFuture));
}

#[tokio::test]
async fn a_voucher_with_nonce_and_expiry_is_refused_rfc8366_5_3() {
    let error = spoilt(Box::new(|voucher| {
        let end = now() + SignedDuration::from_hours(1);
        voucher.insert("expires-on".to_owned(), date(end));
    }));
    assert_eq!(error.await.refusal(), Some(Refusal::NonceWithExpiry));
}

#[tokio::test]
async fn a_voucher_without_pin_is_refused_rfc8995_5_6_1() {
    let error = spoilt(Box::new(|voucher| {
        voucher.remove("pinned-domain-cert");
    }));
    assert_eq!(error.await.refusal(), Some(Refusal::VoucherNoPin));
}

#[tokio::test]
async fn a_voucher_for_another_domain_is_refused_rfc8995_5_6_2() {
    let other = Owner::new("another domain");
    let pin = STANDARD.encode(other.authority.certificate().der());
    let error = spoilt(Box::new(move |voucher| {
        voucher.insert("pinned-domain-cert".to_owned(), pin.clone().into());
    }));
    assert_eq!(error.await.refusal(), Some(Refusal::VoucherPinMismatch));
}

#[tokio::test]
async fn a_pin_that_is_another_registrars_certificate_is_refused_rfc8995_5_6_2() {
    let other = Owner::new("bad");
    let pin = STANDARD.encode(other.registrar.chain[0].der());
    let error = spoilt(Box::new(move |voucher| {
        voucher.insert("pinned-domain-cert".to_owned(), pin.clone().into());
    }));
    assert_eq!(error.await.refusal(), Some(Refusal::VoucherPinMismatch));
}

#[tokio::test]
async fn a_voucher_of_another_masa_is_refused_rfc8995_5_6_1() {
    let behaviour = Behaviour {
        masa: Some(Maker::new().masa),
        ..Behaviour::default()
    };
    let error = refused(behaviour, &Arc::new(Maker::new())).await;
    assert!(
        matches!(error, vouchsafe_brski::Error::Signature { .. }),
        "{error}"
    );
    assert_eq!(
        (error.reason_code(), error.section()),
        ("unknown-issuer", "RFC 8995 §5.6.1")
    );
}

#[tokio::test]
async fn a_certificate_for_another_device_is_refused_and_reported_on_the_same_connection() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    registrar.set(|behaviour| behaviour.name = "JADA-0002".to_owned());
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
    registrar.seen(|seen| {
        let (path, report) = seen.reports.last().unwrap();
        assert_eq!((path.as_str(), report.status), ("enrollstatus", false));
        assert_eq!(
            seen.calls.last().unwrap().1,
            seen.calls[0].1,
            "RFC 8995 §5.9.4"
        );
    });
    assert_eq!(
        (device.status().credential, device.keys()),
        (None, vec!["idevid".to_owned()])
    );
}

#[tokio::test]
async fn a_refused_enrolment_is_reported_and_begun_anew() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    registrar.set(|behaviour| behaviour.enroll_status = Some(403));
    let device = maker.device().towards(&[&registrar]);
    device.run().await.unwrap_err();
    device.assert_whole();
    assert!(registrar.seen(|seen| !seen.reports.last().unwrap().1.status));
    registrar.set(|behaviour| behaviour.enroll_status = None);
    device.run().await.unwrap();
    device.assert_whole();
}
