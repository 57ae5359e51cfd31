//! Another certificate, another key, and back to the beginning.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use vouchsafe_agent::{AgentError, ClockTrust, Event, Events};
use vouchsafe_keystore::KeyStore;

use crate::registrar::Registrar;
use crate::world::{Device, Maker};

/// A device whose credential has lived more than two thirds of its life.
async fn due() -> (Registrar, Device) {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    registrar.set(|behaviour| {
        behaviour.validity = (
            SignedDuration::from_hours(-20),
            SignedDuration::from_hours(4),
        );
    });
    let device = maker.device().towards(&[&registrar]);
    assert_eq!(device.run().await.unwrap().state, "renewal-due");
    registrar.set(|behaviour| {
        behaviour.validity = (
            SignedDuration::from_mins(-5),
            SignedDuration::from_hours(96),
        );
    });
    (registrar, device)
}

fn issuer_of_last(registrar: &Registrar, path: &str) -> String {
    registrar.seen(|seen| {
        seen.calls
            .iter()
            .rfind(|call| call.0 == path)
            .map(|call| call.2.clone())
            .unwrap()
    })
}

#[tokio::test]
async fn after_two_thirds_of_its_life_a_credential_is_renewed_by_itself_with_a_new_key() {
    let (registrar, device) = due().await;
    let old = device.status().credential.unwrap();
    let (status, told) = device.run_told().await;
    let new = status.unwrap().credential.unwrap();
    assert_ne!((&old.serial, &old.key), (&new.serial, &new.key));
    assert_eq!(issuer_of_last(&registrar, "simplereenroll"), "CN=domain");
    assert_eq!(issuer_of_last(&registrar, "enrollstatus"), "CN=domain");
    assert!(new.reported);
    assert!(
        told.all()
            .iter()
            .any(|event| matches!(event, Event::CredentialInstalled { renewal: true, .. }))
    );
    registrar.seen(|seen| {
        let mut keys: Vec<_> = seen
            .issued
            .values()
            .map(|issued| issued.public_key())
            .collect();
        keys.dedup();
        assert_eq!(keys.len(), 2);
    });
    device.assert_whole();
}

#[tokio::test]
async fn long_after_its_end_a_credential_is_renewed_with_the_birth_certificate() {
    let (registrar, device) = due().await;
    device.clock.advance(Duration::from_secs(3600 * 48));
    assert_eq!(device.status().state, "expired");
    assert_eq!(device.run().await.unwrap().state, "onboarded");
    assert_eq!(
        issuer_of_last(&registrar, "simplereenroll"),
        "CN=manufacturer"
    );
    assert_eq!(
        registrar.seen(|seen| seen.requests.len()),
        1,
        "no further voucher was needed"
    );
    device.assert_whole();
}

#[tokio::test]
async fn a_credential_that_is_refused_is_renewed_with_the_birth_certificate() {
    let (registrar, device) = due().await;
    registrar.set(|behaviour| behaviour.refuse_credential = true);
    let (status, told) = device.run_told().await;
    assert_eq!(status.unwrap().state, "onboarded");
    assert_eq!(
        issuer_of_last(&registrar, "simplereenroll"),
        "CN=manufacturer"
    );
    assert!(told.names().contains(&"renewal-failed".to_owned()));
    device.assert_whole();
}

#[tokio::test]
async fn where_no_renewal_is_allowed_the_device_joins_again_with_a_voucher() {
    let (registrar, device) = due().await;
    registrar.set(|behaviour| {
        behaviour.refuse_credential = true;
        behaviour.refuse_birth = true;
    });
    assert_eq!(device.run().await.unwrap().state, "onboarded");
    assert_eq!(registrar.seen(|seen| seen.requests.len()), 2);
    device.assert_whole();
}

#[tokio::test]
async fn a_renewal_cut_short_is_repeated_to_the_letter() {
    let (registrar, device) = due().await;
    for acts in [false, true] {
        let hang = Some(("simplereenroll".to_owned(), acts));
        registrar.set(|behaviour| behaviour.hang = hang);
        let agent = device.agent(Events::ignored()).await;
        let run = tokio::spawn(async move { agent.run_once().await });
        registrar.hanging().await;
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        assert_eq!(
            device.status().state,
            "renewal-due",
            "the old one stays in force"
        );
    }
    registrar.set(|behaviour| behaviour.hang = None);
    assert_eq!(device.run().await.unwrap().state, "onboarded");
    assert_eq!(registrar.issued(), 2);
    device.assert_whole();
}

#[tokio::test]
async fn while_nobody_answers_the_present_credential_stays_in_force() {
    let (registrar, device) = due().await;
    let before = device.status().credential;
    drop(registrar);
    let mut device = device;
    device.config.registrars.clear();
    assert!(device.run().await.is_err());
    assert_eq!(device.status().credential, before);
    device.assert_whole();
}

/// RFC 7030 §3.6.1: gates, consoles and whatever else has a certificate of the domain could hand out anchors
/// of their own otherwise.
#[tokio::test]
async fn a_server_of_the_domain_that_is_no_registrar_renews_nothing() {
    let (registrar, mut device) = due().await;
    let before = device.status().credential;
    let impostor = Registrar::impostor(&registrar).await;
    drop(registrar);
    let url = impostor.url().replace("127.0.0.1", "localhost");
    device.config.registrars = vec![url];
    let (status, told) = device.run_told().await;
    assert!(status.is_err());
    let told = format!("{:?}", told.all());
    assert!(told.contains("wrong-purpose"), "{told}");
    assert_eq!(device.status().credential, before);
    assert!(impostor.called().is_empty());
    device.assert_whole();
}

#[tokio::test]
async fn a_device_whose_network_is_gone_for_good_joins_another_once_its_credential_has_ended() {
    let maker = Arc::new(Maker::new());
    let gone = Registrar::start(&maker, "gone").await;
    let mut device = maker.device().towards(&[&gone]);
    device.config.clock = ClockTrust::Untrusted;
    device.run().await.unwrap();
    drop(gone);
    let other = Registrar::start(&maker, "other").await;
    other.set(|behaviour| behaviour.validity.1 = SignedDuration::from_hours(96));
    let device = device.towards(&[&other]);
    device.clock.advance(Duration::from_secs(3600 * 20));
    device.run().await.unwrap_err();
    assert_eq!(
        other.called(),
        Vec::<String>::new(),
        "nothing of the other domain is believed"
    );
    device.clock.advance(Duration::from_secs(3600 * 28));
    let credential = device.run().await.unwrap().credential.unwrap();
    assert_eq!(credential.registrar, other.url());
    device.assert_whole();
}

#[tokio::test]
async fn an_operator_can_renew_at_any_time_but_not_before_the_first_credential() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let device = maker.device().towards(&[&registrar]);
    let refused = device
        .agent(Events::ignored())
        .await
        .renew()
        .await
        .unwrap_err();
    assert!(matches!(refused, AgentError::NotOnboarded));
    let first = device.run().await.unwrap().credential.unwrap();
    let renewed = device.agent(Events::ignored()).await.renew().await.unwrap();
    assert_ne!(renewed.credential.unwrap().serial, first.serial);
    device.assert_whole();
}

#[tokio::test]
async fn a_reset_leaves_the_birth_credential_and_nothing_else_and_the_device_joins_again() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let device = maker.device().towards(&[&registrar]);
    let first = device.run().await.unwrap().credential.unwrap();
    device.agent(Events::ignored()).await.reset().await.unwrap();
    assert_eq!(
        (device.status().state, device.keys()),
        ("new", vec!["idevid".to_owned()])
    );
    assert!(!device.path().join("state").exists());
    assert!(!device.path().join("state.gone").exists());
    let other = Registrar::start(&maker, "another owner").await;
    let device = device.towards(&[&other]);
    let second = device.run().await.unwrap().credential.unwrap();
    assert_ne!((first.key, first.issuer), (second.key, second.issuer));
    device.assert_whole();
}

/// A token was cleared, or somebody removed a file: the birth certificate brings another key.
#[tokio::test]
async fn a_device_that_lost_its_key_gets_another_as_it_was_born() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let device = maker.device().towards(&[&registrar]);
    let first = device.run().await.unwrap().credential.unwrap();
    let keys = KeyStore::open_uri(&device.uri).unwrap();
    keys.delete(&first.key).unwrap();
    let second = device.run().await.unwrap().credential.unwrap();
    assert_ne!((first.key, first.serial), (second.key, second.serial));
    assert_ne!(issuer_of_last(&registrar, "simplereenroll"), "CN=domain");
    device.assert_whole();
}

/// The power went between the state and the keys: what is left is no credential, and no key outlives it.
#[tokio::test]
async fn a_reset_that_was_cut_short_is_completed() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let device = maker.device().towards(&[&registrar]);
    let first = device.run().await.unwrap().credential.unwrap();
    let path = |name: &str| device.path().join(name);
    std::fs::rename(path("state"), path("state.gone")).unwrap();
    assert_eq!(device.status().state, "new");
    drop(device.agent(Events::ignored()).await);
    assert_eq!(device.keys(), ["idevid"]);
    assert!(!path("state.gone").exists());
    let second = device.run().await.unwrap().credential.unwrap();
    assert_ne!(first.key, second.key);
    device.assert_whole();
}

/// Certificates that are past two thirds of their life when they come.
#[tokio::test]
async fn a_credential_that_is_due_when_it_comes_is_not_renewed_again_and_again() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    registrar.set(|behaviour| {
        behaviour.validity = (
            SignedDuration::from_hours(-20),
            SignedDuration::from_hours(4),
        );
    });
    let device = maker.device().towards(&[&registrar]);
    let (told, mut sleeps) = tokio::sync::mpsc::unbounded_channel();
    let events = Events::new(move |record| {
        if let Event::Sleeping { until } = record.event {
            let _ = told.send(until);
        }
    });
    let agent = device.agent(events).await;
    let run = tokio::spawn(async move { agent.run().await });
    let until = sleeps.recv().await.unwrap();
    // Half of what is left.
    assert!(until > device.clock.now() + SignedDuration::from_mins(110));
    run.abort();
    let _ = run.await;
    assert!(!registrar.called().contains(&"simplereenroll".to_owned()));
    device.assert_whole();
}

#[tokio::test]
async fn a_daemon_joins_and_then_sleeps_until_the_renewal() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    registrar.set(|behaviour| behaviour.voucher_status = Some(503));
    let mut device = maker.device().towards(&[&registrar]);
    device.config.retry_longest = 0;
    let (told, mut sleeps) = tokio::sync::mpsc::unbounded_channel();
    let events = Events::new(move |record| {
        if let Event::Sleeping { until } = record.event {
            let _ = told.send(until);
        }
    });
    let agent = device.agent(events).await;
    let run = tokio::spawn(async move { agent.run().await });
    // It does not give up …
    sleeps.recv().await.unwrap();
    sleeps.recv().await.unwrap();
    registrar.set(|behaviour| behaviour.voucher_status = None);
    // … and once it is in, it has time.
    let far = device.clock.now() + SignedDuration::from_hours(1);
    while sleeps.recv().await.unwrap() < far {}
    run.abort();
    let _ = run.await;
    assert_eq!(device.status().state, "onboarded");
    device.assert_whole();
}
