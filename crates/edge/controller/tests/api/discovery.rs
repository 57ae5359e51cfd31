//! The registrar is found by mDNS on the loopback interface, and no longer once it stopped.

use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent};

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
