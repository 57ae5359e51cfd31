//! The device dies at every step; the next run completes, and nothing is issued twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vouchsafe_agent::Events;

use crate::registrar::Registrar;
use crate::world::{Device, Maker};

/// Runs until the registrar hangs, and ends there.
async fn die_at(registrar: &Registrar, device: &Device, path: &str, acts: bool) {
    registrar.set(|behaviour| behaviour.hang = Some((path.to_owned(), acts)));
    let agent = device.agent(Events::ignored()).await;
    let run = tokio::spawn(async move { agent.run_once().await });
    registrar.hanging().await;
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    registrar.set(|behaviour| behaviour.hang = None);
}

#[tokio::test]
async fn a_device_that_dies_before_or_after_any_request_completes_when_it_comes_back() {
    let steps = [
        "requestvoucher",
        "voucher_status",
        "cacerts",
        "csrattrs",
        "simpleenroll",
        "enrollstatus",
    ];
    for path in steps {
        for acts in [false, true] {
            let maker = Arc::new(Maker::new());
            let registrar = Registrar::start(&maker, "domain").await;
            let device = maker.device().towards(&[&registrar]);
            die_at(&registrar, &device, path, acts).await;
            let status = device.run().await.unwrap();
            let credential = status.credential.unwrap();
            assert_eq!(status.state, "onboarded", "{path} {acts}");
            assert!(credential.reported, "{path} {acts}");
            assert_eq!(
                registrar.issued(),
                1,
                "{path} {acts}: nothing is issued twice"
            );
            registrar.seen(|seen| {
                let first = &seen.requests[0];
                assert!(
                    seen.requests.iter().all(|request| request == first),
                    "{path} {acts}: the same attempt sends the same request"
                );
            });
            device.assert_whole();
        }
    }
}

#[tokio::test]
async fn a_device_that_dies_at_any_of_its_own_steps_completes_when_it_comes_back() {
    let maker = Arc::new(Maker::new());
    for last in 0..8 {
        let registrar = Registrar::start(&maker, "domain").await;
        let device = maker.device().towards(&[&registrar]);
        let steps = AtomicUsize::new(0);
        let events = Events::new(move |_| {
            assert!(
                steps.fetch_add(1, Ordering::Relaxed) < last,
                "the power is cut here"
            );
        });
        let agent = device.agent(events).await;
        let run = tokio::spawn(async move { agent.run_once().await });
        assert!(run.await.unwrap_err().is_panic(), "step {last}");
        let status = device.run().await.unwrap();
        assert_eq!(status.state, "onboarded", "step {last}");
        assert_eq!(registrar.issued(), 1, "step {last}");
        device.assert_whole();
    }
}

#[tokio::test]
async fn a_registrar_that_has_another_certificate_when_the_device_comes_back_is_asked_anew() {
    let maker = Arc::new(Maker::new());
    let before = Registrar::start(&maker, "domain").await;
    let device = maker.device().towards(&[&before]);
    die_at(&before, &device, "cacerts", false).await;
    let after = Registrar::start(&maker, "domain").await;
    let device = device.towards(&[&after]);
    device.run().await.unwrap();
    assert_eq!(after.called()[0], "requestvoucher");
    device.assert_whole();
}
