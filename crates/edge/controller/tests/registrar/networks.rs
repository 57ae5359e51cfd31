//! Which networks a certificate opens: told to the device that has it, and to nobody else.

use axum::body::Bytes;
use axum::http::{Request, Response};
use vouchsafe_brski::networks::{self, Network};
use vouchsafe_fleet::decide::wifi::{NetworkFacts, put_network};
use vouchsafe_fleet::wifi::{self, NetworkCredential};
use vouchsafe_fleet::{RevocationReason, decide};
use vouchsafe_net::Connection;

use crate::world::{SERIAL, World, admin, assert_answer, said};

async fn describe(world: &World, name: &str, credential: NetworkCredential) {
    let certified = credential == NetworkCredential::Certificate;
    let wanted = wifi::Network {
        name: name.to_owned(),
        ssid: name.to_owned(),
        credential,
        fallback: false,
        segment: None,
        lifetime_days: None,
        server_name: certified.then(|| "gates.example".to_owned()),
        version: 0,
        created_at: world.now(),
        updated_at: world.now(),
    };
    let facts = NetworkFacts {
        now: world.now(),
        actor: &admin(),
        existing: None,
        count: 0,
        segments: &[],
    };
    let outcome = put_network(&facts, wanted);
    world.controller.commit(outcome.commit).await.unwrap();
}

/// RFC 7030 §3.3.2: a certificate that counts no more opens nothing, and is told of nothing.
#[tokio::test]
async fn only_who_has_a_certificate_of_the_domain_that_counts_is_told_of_networks() {
    let world = World::new().await;
    describe(&world, "plant", NetworkCredential::Certificate).await;
    describe(&world, "guests", NetworkCredential::Psk).await;
    let birth = world.maker.device(SERIAL);
    let ldevid = world.onboarded(&birth).await;

    let mut nobody = world.connect(None).await;
    let answer = get(&mut nobody, networks::PATH).await;
    assert_answer(&answer, 401, "no-tls-client-certificate");
    let mut born = world.connect(Some(&birth)).await;
    let answer = get(&mut born, networks::PATH).await;
    assert_answer(&answer, 404, "credential-unknown");

    let mut line = world.connect(Some(&ldevid)).await;
    let answer = get(&mut line, networks::PATH).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    let told = networks::from_json(answer.body()).unwrap();
    let plant = Network {
        ssid: "plant".to_owned(),
        server_name: Some("gates.example".to_owned()),
    };
    assert_eq!(told, [plant]);

    world
        .operate(SERIAL, |facts| {
            let credential = &facts.credentials[0];
            let outcome = decide::revoke(facts, credential, RevocationReason::KeyCompromise);
            vouchsafe_fleet::Outcome {
                decision: vouchsafe_fleet::Decision::Accept(facts.device.clone()),
                commit: outcome.commit,
            }
        })
        .await;
    let answer = get(&mut line, networks::PATH).await;
    assert_answer(&answer, 403, "credential-revoked");
}

async fn get(line: &mut Connection, path: &str) -> Response<Bytes> {
    let request = Request::get(path).body(Bytes::new()).unwrap();
    line.request(request).await.unwrap()
}
