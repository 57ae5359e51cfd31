//! The controller is found by mDNS on the loopback interface, and no longer once it stopped.

use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent};

use vouchsafe_api::Reasoned;

use crate::world::World;

const SERVICE: &str = "_brski-registrar._tcp.local.";

/// RFC 8995 §8.7: the registrar is announced under its registered service name.
#[tokio::test(flavor = "multi_thread")]
async fn devices_find_the_real_port_and_learn_when_it_is_gone() {
    let mut world = World::with(|config| {
        config.registrar.announce = true;
        config.registrar.announce_on = vec!["loopback".to_owned()];
    })
    .await;
    let port: u16 = world
        .ready
        .registrar
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let daemon = ServiceDaemon::new().unwrap();
    daemon.disable_interface(IfKind::All).unwrap();
    daemon.enable_interface(IfKind::LoopbackV4).unwrap();
    let events = daemon.browse(SERVICE).unwrap();
    let found = async {
        loop {
            if let ServiceEvent::ServiceResolved(service) = events.recv_async().await.unwrap()
                && service.get_port() == port
            {
                return service.get_fullname().to_owned();
            }
        }
    };
    let name = tokio::time::timeout(Duration::from_secs(20), found)
        .await
        .expect("the registrar is found");
    world.shut_down().await;
    let gone = async {
        loop {
            if let ServiceEvent::ServiceRemoved(_, removed) = events.recv_async().await.unwrap()
                && removed == name
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .expect("the registrar says farewell");
    daemon.shutdown().unwrap();
}

/// Access points find the listener for Wi-Fi Easy Connect, with the hash that they name it by.
#[tokio::test(flavor = "multi_thread")]
async fn access_points_find_the_listener_and_its_key() {
    let mut world = World::with(|config| {
        config.dpp.enabled = true;
        config.dpp.listen = "127.0.0.1:0".parse().unwrap();
        config.dpp.announce_on = vec!["loopback".to_owned()];
    })
    .await;
    let listen = world.ready.dpp.clone().unwrap();
    let port: u16 = listen.rsplit(':').next().unwrap().parse().unwrap();
    let shown = world.admin().show_dpp_controller().await.unwrap();
    assert_eq!(shown.listen, listen);
    let daemon = ServiceDaemon::new().unwrap();
    daemon.disable_interface(IfKind::All).unwrap();
    daemon.enable_interface(IfKind::LoopbackV4).unwrap();
    let events = daemon.browse("_dpp._tcp.local.").unwrap();
    let found = async {
        loop {
            if let ServiceEvent::ServiceResolved(service) = events.recv_async().await.unwrap()
                && service.get_port() == port
            {
                return service.get_property_val_str("pkhash").map(str::to_owned);
            }
        }
    };
    let hash = tokio::time::timeout(Duration::from_secs(30), found)
        .await
        .expect("the listener is found");
    assert_eq!(hash, Some(shown.key_sha256));
    let reason = Reasoned {
        reason: "every two years".to_owned(),
    };
    let after = world.admin().replace_signing_key(&reason).await.unwrap();
    assert_eq!(after.signing_keys.len(), 2);
    assert_eq!(after.signing_keys[1], shown.signing_keys[0]);
    daemon.shutdown().unwrap();
    world.shut_down().await;
}
