//! Many connections that want nothing, and one that does.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use vouchsafe_net::{Cut, raise_open_files_limit};

use crate::world::{World, asking, eventually, lines, soon};

/// A client must be answered this soon, whatever the crowd.
const PROMPT: Duration = Duration::from_secs(5);

async fn served_promptly(world: &World) {
    let begun = Instant::now();
    let answer = soon("an answer", world.ask(world.options(), "/peer"))
        .await
        .unwrap();
    assert_eq!(lines(&answer)[0], "0");
    assert!(begun.elapsed() < PROMPT, "took {:?}", begun.elapsed());
}

/// `count` connections after their handshake, of which the server keeps 1,000 at most.
async fn idle_crowd(count: usize) {
    let files = raise_open_files_limit();
    let needed = count as u64 + 2_000;
    if files.is_some_and(|files| files < needed) {
        assert!(
            std::env::var_os("CI").is_none(),
            "{needed} open files are not allowed"
        );
        println!("skipped: no {needed} open files");
        return;
    }
    let world = World::new(|options| {
        options.limits.connections = 1_000;
        options.limits.idle = Duration::from_secs(3600);
    })
    .await;
    let mut crowd = Vec::with_capacity(count);
    for number in 0..count {
        // Every tenth comes as far as TLS, which is what costs the test its time.
        if number % 10 == 0 {
            crowd.push(Ok(soon("a handshake", world.raw()).await));
        } else {
            crowd.push(Err(TcpStream::connect(world.addr).await.unwrap()));
        }
        if number % 1_000 == 999 {
            served_promptly(&world).await;
        }
    }
    assert!(
        world.stats.open() <= 1_002,
        "{} are open",
        world.stats.open()
    );
    assert!(world.stats.cuts(Cut::MadeRoom) as usize >= count - 1_000);
    // One that is at work is not the one that makes room.
    let mut busy = world.connect(world.options()).await.unwrap();
    let request = tokio::spawn(async move { busy.request(asking("/wait")).await });
    soon("the request comes in", world.waiting.notified()).await;
    for _ in 0..1_100 {
        crowd.push(Err(TcpStream::connect(world.addr).await.unwrap()));
        served_promptly_sometimes(&world, crowd.len()).await;
    }
    world.release.notify_one();
    assert_eq!(
        soon("the answer", request).await.unwrap().unwrap().status(),
        200
    );
}

async fn served_promptly_sometimes(world: &World, turn: usize) {
    if turn.is_multiple_of(500) {
        served_promptly(world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_idle_connections_starve_nobody() {
    idle_crowd(2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_starve_nobody() {
    idle_crowd(10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_stall_give_their_turns_to_others() {
    let world = World::new(|options| {
        options.limits.handshakes = 4;
        options.limits.handshake = Duration::from_secs(60);
    })
    .await;
    let hello = client_hello();
    let mut stalled = Vec::new();
    for _ in 0..12 {
        let mut stream = TcpStream::connect(world.addr).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        stalled.push(stream);
    }
    eventually("all are there", || world.stats.open() == 12).await;
    soon("an answer", world.ask(world.options(), "/peer"))
        .await
        .unwrap();
    // In which order the thirteen queued is the scheduler's business, so how many were cut by now
    // is too. In the end four keep the turns that nobody else wants.
    eventually("those in the way were cut", || {
        world.stats.cuts(Cut::StalledHandshake) >= 8
    })
    .await;
}

/// What a client says first.
fn client_hello() -> Vec<u8> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let configuration = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut client =
        rustls::ClientConnection::new(std::sync::Arc::new(configuration), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}
