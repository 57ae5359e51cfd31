//! Many at once: nothing is mixed up, nothing is lost.

use vouchsafe_brski::{Encoding, PATH_ENROLL_STATUS, PATH_VOUCHER_STATUS, est};
use vouchsafe_fleet::{CredentialStatus, State as Life, VoucherStatus};

use crate::world::{ACCEPTED, Birth, SERIAL, World, ask, csr, enroll, new_key, said, send};

/// Two requests of one device with different nonces: each gets the voucher that answers it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_requests_of_one_device_at_once_each_get_their_voucher() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    for _ in 0..5 {
        let (mut one, first) = world.request(&birth, Encoding::CmsJson).await;
        let (mut two, second) = world.request(&birth, Encoding::CmsJson).await;
        let (first_answer, second_answer) = tokio::join!(
            ask(&mut one, &first, Encoding::CmsJson),
            ask(&mut two, &second, Encoding::CmsJson)
        );
        assert_eq!(first_answer.status(), 200, "{}", said(&first_answer));
        assert_eq!(second_answer.status(), 200, "{}", said(&second_answer));
        assert_ne!(first_answer.body(), second_answer.body());
        for (line, request, answer) in [
            (&mut two, &first, &first_answer),
            (&mut one, &second, &second_answer),
        ] {
            let again = ask(line, request, Encoding::CmsJson).await;
            assert_eq!(again.body(), answer.body(), "the stored answer is its own");
        }
    }
    let state = world.state(SERIAL).await;
    assert_eq!(state.vouchers.len(), 10);
    assert!(
        state
            .vouchers
            .iter()
            .all(|record| record.status == VoucherStatus::Issued)
    );
    assert_eq!(state.device.unwrap().state, Life::Onboarding);
    world.assert_sound().await;
}

/// The very same request twice at the same time: both get the same voucher.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_twice_at_once_gets_one_voucher() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    for _ in 0..5 {
        let (mut one, request) = world.request(&birth, Encoding::CmsJson).await;
        let mut two = world.connect(Some(&birth)).await;
        let (first, second) = tokio::join!(
            ask(&mut one, &request, Encoding::CmsJson),
            ask(&mut two, &request, Encoding::CmsJson)
        );
        assert_eq!(first.status(), 200, "{}", said(&first));
        assert_eq!(second.status(), 200, "{}", said(&second));
        assert_eq!(first.body(), second.body());
    }
    assert_eq!(world.state(SERIAL).await.vouchers.len(), 5);
    world.assert_sound().await;
}

/// The very same CSR twice at the same time: one certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_certificate_request_twice_at_once_gets_one_certificate() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let mut one = world.with_voucher(&birth).await;
    let mut two = world.connect(Some(&birth)).await;
    for count in 1..=5 {
        let request = csr(SERIAL, &*new_key());
        let (first, second) = tokio::join!(
            enroll(&mut one, "simpleenroll", &request),
            enroll(&mut two, "simpleenroll", &request)
        );
        assert_eq!(first.status(), 200, "{}", said(&first));
        assert_eq!(second.status(), 200, "{}", said(&second));
        assert_eq!(first.body(), second.body());
        let state = world.state(SERIAL).await;
        assert_eq!(state.credentials.len(), count);
        let active = |credential: &&vouchsafe_fleet::Credential| {
            credential.status == CredentialStatus::Active
        };
        assert_eq!(state.credentials.iter().filter(active).count(), 1);
    }
    world.assert_sound().await;
}

/// Two devices ask at the same time for a certificate of the same key: one gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_devices_with_one_key_one_gets_a_certificate() {
    let world = World::new().await;
    world.claim("JADA-0002").await;
    let mut one = world.with_voucher(&world.maker.device(SERIAL)).await;
    let mut two = world.with_voucher(&world.maker.device("JADA-0002")).await;
    let key = new_key();
    let (first, second) = (csr(SERIAL, &*key), csr("JADA-0002", &*key));
    let (first, second) = tokio::join!(
        enroll(&mut one, "simpleenroll", &first),
        enroll(&mut two, "simpleenroll", &second)
    );
    let mut statuses = [first.status().as_u16(), second.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", said(&first), said(&second));
    let loser = if first.status() == 409 {
        &first
    } else {
        &second
    };
    assert!(
        said(loser).starts_with("key-of-another-device"),
        "{}",
        said(loser)
    );
    world.assert_sound().await;
}

/// 64 devices at once all onboard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_devices_onboard_at_once() {
    let world = std::sync::Arc::new(World::new().await);
    let serials: Vec<String> = (0..64).map(|number| format!("CROWD-{number:02}")).collect();
    for serial in &serials {
        world.claim(serial).await;
    }
    let tasks: Vec<_> = serials
        .iter()
        .cloned()
        .map(|serial| {
            let world = world.clone();
            tokio::spawn(async move {
                let birth = world.maker.device(&serial);
                let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
                let answer = ask(&mut line, &request, Encoding::CmsJson).await;
                assert_eq!(answer.status(), 200, "{}", said(&answer));
                let json = "application/json";
                let answer = send(&mut line, PATH_VOUCHER_STATUS, json, ACCEPTED).await;
                assert_eq!(answer.status(), 200, "{}", said(&answer));
                let key = new_key();
                let answer = enroll(&mut line, "simpleenroll", &csr(&serial, &*key)).await;
                assert_eq!(answer.status(), 200, "{}", said(&answer));
                let chain = est::parse_certs_only(answer.body()).unwrap();
                assert_eq!(chain[0].subject_serial_number(), Some(serial.as_str()));
                let mut line = world.connect(Some(&Birth { chain, signer: key })).await;
                let answer = send(&mut line, PATH_ENROLL_STATUS, json, ACCEPTED).await;
                assert_eq!(answer.status(), 200, "{}", said(&answer));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for serial in &serials {
        let state = world.state(serial).await;
        assert_eq!(state.device.unwrap().state, Life::Onboarded);
        assert_eq!(state.vouchers.len(), 1);
        assert_eq!(state.credentials.len(), 1);
        assert!(state.credentials[0].confirmed_at.is_some());
    }
    assert_eq!(world.maker.masa.asked(), 64);
    world.assert_sound().await;
}
