//! One exchange, and each way in which it must not succeed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use vouchsafe_agent::enrollee::{self, Offer, Parameters, Seen};
use vouchsafe_agent::{UnusableConfiguration, WifiError};
use vouchsafe_dpp::object::NetRole;
use vouchsafe_dpp::{Agreement as _, BootstrappingKey, Curve, Error, Refusal, Status};
use vouchsafe_trust::{Signer as _, SoftwareSigner};

use super::controller::{Controller, Manner, key};
use crate::world::now;

fn parameters(key: &BootstrappingKey) -> Parameters {
    Parameters {
        key: Arc::new(key.clone()),
        controller: None,
        before: None,
        code: None,
        name: "lamp 3".to_owned(),
        serial: "LAMP-3".to_owned(),
        mud_url: Some("https://lamp.example/mud.json".to_owned()),
        role: NetRole::Station,
        version: 3,
        patience: Duration::from_secs(60),
    }
}

async fn enrol(
    controller: &Controller,
    parameters: &Parameters,
) -> (Result<Offer, WifiError>, Vec<Seen>) {
    let seen = Mutex::new(Vec::new());
    let tell = |step: Seen| seen.lock().unwrap().push(step);
    let enrolled = enrollee::enrol(controller.address, parameters, now(), &tell).await;
    let seen = seen.lock().unwrap().clone();
    (enrolled, seen)
}

#[tokio::test]
async fn an_announced_device_is_called_and_configured() {
    for curve in Curve::AVAILABLE {
        let key = key(curve);
        let controller = Controller::start(Manner::Honest, key.public_key()).await;
        let (offer, seen) = enrol(&controller, &parameters(&key)).await;
        let offer = offer.unwrap();
        assert_eq!(offer.objects()[0].ssid.octets(), b"plant");
        assert!(!offer.authenticated().mutual());
        assert!(seen.contains(&Seen::Authenticated {
            mutual: false,
            version: 3,
            curve: curve.jwk_name(),
        }));
        offer.accept().await.unwrap();
        assert_eq!(controller.result().await, Some(Status::Ok));
    }
}

#[tokio::test]
async fn a_device_that_knows_the_controller_proves_itself_and_waits_for_the_scan() {
    let key = key(Curve::P256);
    let controller = Controller::start(Manner::Honest, key.public_key()).await;
    let parameters = Parameters {
        controller: Some(controller.key.clone()),
        ..parameters(&key)
    };
    let (offer, seen) = enrol(&controller, &parameters).await;
    let offer = offer.unwrap();
    assert!(offer.authenticated().mutual());
    assert!(seen.contains(&Seen::Pending));
    offer.accept().await.unwrap();
    assert_eq!(controller.result().await, Some(Status::Ok));
}

#[tokio::test]
async fn a_late_decision_is_waited_for() {
    let key = key(Curve::P256);
    let controller = Controller::start(Manner::Late(3), key.public_key()).await;
    let (offer, seen) = enrol(&controller, &parameters(&key)).await;
    offer.unwrap().accept().await.unwrap();
    let comebacks = seen
        .iter()
        .filter(|step| matches!(step, Seen::ComeBack { .. }))
        .count();
    assert_eq!(comebacks, 3);
    assert_eq!(controller.result().await, Some(Status::Ok));
}

#[tokio::test]
async fn a_certificate_comes_for_a_key_of_the_device() {
    let key = key(Curve::P256);
    let controller = Controller::start(Manner::Certificate, key.public_key()).await;
    let (offer, seen) = enrol(&controller, &parameters(&key)).await;
    let offer = offer.unwrap();
    assert!(seen.contains(&Seen::CertificateRequestNeeded));
    let made = offer.certificate_key().unwrap();
    let signer = SoftwareSigner::from_pkcs8_der(made.expose()).unwrap();
    let enterprise = offer.objects()[0].credential.enterprise().unwrap();
    let certificate = &enterprise.certificates().unwrap()[0];
    assert_eq!(certificate.public_key(), signer.public_key());
    assert_eq!(certificate.subject_serial_number(), Some("LAMP-3"));
    offer.accept().await.unwrap();
    assert_eq!(controller.result().await, Some(Status::Ok));
}

#[tokio::test]
async fn a_key_on_another_curve_is_made_when_it_is_asked_for() {
    let key = key(Curve::P256);
    let controller = Controller::start(Manner::OtherCurve, key.public_key()).await;
    let (offer, seen) = enrol(&controller, &parameters(&key)).await;
    let offer = offer.unwrap();
    assert!(seen.contains(&Seen::NewKeyNeeded { curve: "P-384" }));
    let own = offer.authenticated().own_protocol_key();
    assert_eq!(own.curve(), Curve::P384);
    offer.accept().await.unwrap();
    assert_eq!(controller.result().await, Some(Status::Ok));
}

/// The error, and whether the controller was told that the configuration is rejected.
async fn refused(manner: Manner) -> (WifiError, Option<Status>) {
    let key = key(Curve::P256);
    let controller = Controller::start(manner, key.public_key()).await;
    let (enrolled, _) = enrol(&controller, &parameters(&key)).await;
    (enrolled.unwrap_err(), controller.result().await)
}

#[tokio::test]
async fn wifi_easy_connect_6_4_5_a_connector_that_is_not_ours_is_rejected_and_reported() {
    for (manner, reason) in [
        (Manner::WrongSigner, Refusal::ConnectorSigner),
        (Manner::ForeignKey, Refusal::ConnectorForeignKey),
        (Manner::Expired, Refusal::ConnectorExpired),
    ] {
        let (error, told) = refused(manner).await;
        assert!(
            matches!(error, WifiError::Protocol(Error::Refused(why)) if why == reason),
            "{manner:?}: {error}"
        );
        assert_eq!(told, Some(Status::ConfigurationRejected), "{manner:?}");
    }
    let (error, told) = refused(Manner::OtherRole).await;
    assert!(matches!(
        error,
        WifiError::Unusable(UnusableConfiguration::Role)
    ));
    assert_eq!(told, Some(Status::ConfigurationRejected));
}

#[tokio::test]
async fn a_certificate_for_another_key_is_rejected() {
    let (error, told) = refused(Manner::CertificateOfAnother).await;
    assert!(matches!(
        error,
        WifiError::Unusable(UnusableConfiguration::OtherKey)
    ));
    assert_eq!(told, Some(Status::ConfigurationRejected));
}

#[tokio::test]
async fn who_never_decides_is_left() {
    let key = key(Curve::P256);
    let controller = Controller::start(Manner::NeverDecides, key.public_key()).await;
    let parameters = Parameters {
        patience: Duration::from_millis(300),
        ..parameters(&key)
    };
    let (enrolled, _) = enrol(&controller, &parameters).await;
    assert!(matches!(enrolled, Err(WifiError::ComeBackForEver)));
    assert_eq!(controller.result().await, None);
}

#[tokio::test]
async fn a_controller_that_refuses_hangs_up_or_babbles_is_an_error_by_name() {
    let (error, _) = refused(Manner::Refuses).await;
    assert!(matches!(
        error,
        WifiError::Protocol(Error::Peer(Status::ConfigureFailure))
    ));
    for manner in [Manner::HangsUp, Manner::HangsUpLater] {
        let (error, _) = refused(manner).await;
        assert!(matches!(error, WifiError::Closed { .. }), "{manner:?}");
    }
    for manner in [Manner::Garbage, Manner::Huge] {
        let (error, told) = refused(manner).await;
        assert!(
            matches!(error, WifiError::Protocol(Error::Malformed(_))),
            "{manner:?}: {error}"
        );
        assert_eq!(told, None);
    }
}

#[tokio::test]
async fn a_controller_that_is_gone_is_an_error_with_its_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let key = key(Curve::P256);
    let error = enrollee::enrol(address, &parameters(&key), now(), &|_| {})
        .await
        .unwrap_err();
    assert_eq!(error.code(), "controller-unreachable");
    assert!(error.to_string().contains(&address.to_string()));
}

#[tokio::test]
async fn a_controller_with_another_key_than_the_known_one_proves_nothing() {
    let (key, other) = (key(Curve::P256), key(Curve::P256));
    let controller = Controller::start(Manner::HangsUp, key.public_key()).await;
    let parameters = Parameters {
        controller: Some(other.public_key().clone()),
        ..parameters(&key)
    };
    let (enrolled, _) = enrol(&controller, &parameters).await;
    assert!(matches!(enrolled, Err(WifiError::Closed { .. })));
}
