//! Stopping: what is in flight finishes, and nothing waits for ever.

use std::time::Duration;

use tokio::net::TcpStream;
use vouchsafe_net::Cut;

use crate::world::{World, asking, soon, text};

#[tokio::test]
async fn a_request_in_flight_finishes_and_newcomers_are_turned_away() {
    let mut world = World::new(|_| {}).await;
    let mut busy = world.connect(world.options()).await.unwrap();
    let mut idle = world.connect(world.options()).await.unwrap();
    idle.request(asking("/peer")).await.unwrap();
    let request = tokio::spawn(async move { busy.request(asking("/wait")).await });
    soon("the request comes in", world.waiting.notified()).await;

    world.shutdown.take().unwrap().send(()).unwrap();
    let turned_away = async {
        while TcpStream::connect(world.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("no new connections", turned_away).await;
    assert!(
        soon("idle ones close", idle.request(asking("/peer")))
            .await
            .is_err()
    );
    assert!(!world.served.is_finished());

    world.release.notify_one();
    let answer = soon("the answer", request).await.unwrap().unwrap();
    assert_eq!(text(&answer), "released");
    assert_eq!(soon("the end", world.served).await.unwrap(), 0);
    assert_eq!(world.stats.open(), 0);
}

#[tokio::test]
async fn after_the_grace_time_what_is_left_is_cut_and_counted() {
    let mut world = World::new(|options| options.limits.grace = Duration::from_millis(50)).await;
    let mut busy = world.connect(world.options()).await.unwrap();
    let request = tokio::spawn(async move { busy.request(asking("/wait")).await });
    soon("the request comes in", world.waiting.notified()).await;
    world.shutdown.take().unwrap().send(()).unwrap();
    assert_eq!(soon("the end", world.served).await.unwrap(), 1);
    assert_eq!(world.stats.cuts(Cut::GraceOver), 1);
    assert!(soon("the client notices", request).await.unwrap().is_err());
}
