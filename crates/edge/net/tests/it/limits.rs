//! Slow, large and greedy clients: each is cut, by name, and the others do not notice.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vouchsafe_net::{Cut, HandshakeFailure};

use crate::world::{World, asking, eventually, soon, text};

const SHORT: Duration = Duration::from_millis(100);

/// Everything up to the end of the stream, however it ends.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let _ = soon("the end of the stream", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_slow_handshake_is_cut() {
    let world = World::new(|options| options.limits.handshake = SHORT).await;
    let mut silent = TcpStream::connect(world.addr).await.unwrap();
    let mut chatty = TcpStream::connect(world.addr).await.unwrap();
    chatty.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    rest(&mut silent).await;
    rest(&mut chatty).await;
    eventually("both are counted", || {
        world.stats.handshake_failures(HandshakeFailure::Slow) == 2
    })
    .await;
}

#[tokio::test]
async fn what_is_not_tls_is_refused_at_once() {
    let world = World::new(|_| {}).await;
    let mut plain = TcpStream::connect(world.addr).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    rest(&mut plain).await;
    eventually("it is counted", || {
        world.stats.handshake_failures(HandshakeFailure::Protocol) == 1
    })
    .await;
    drop(TcpStream::connect(world.addr).await.unwrap());
    eventually("a client that leaves is counted", || {
        world.stats.handshake_failures(HandshakeFailure::PeerClosed) == 1
    })
    .await;
}

#[tokio::test]
async fn a_slow_request_head_is_cut() {
    let world = World::new(|options| options.limits.head = SHORT).await;
    let mut stream = world.raw().await;
    stream
        .write_all(b"GET /peer HTTP/1.1\r\nhos")
        .await
        .unwrap();
    assert_eq!(rest(&mut stream).await, "");
    eventually("it is counted", || world.stats.cuts(Cut::SlowHead) == 1).await;

    // Also the head of the second request.
    let mut stream = world.raw().await;
    stream
        .write_all(b"GET /peer HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    eventually("the first is answered", || world.stats.requests() == 1).await;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    stream
        .write_all(b"GET /peer HTTP/1.1\r\nhos")
        .await
        .unwrap();
    rest(&mut stream).await;
    eventually("it is counted", || world.stats.cuts(Cut::SlowHead) == 2).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_idle_time() {
    let world = World::new(|options| options.limits.idle = SHORT).await;
    let mut stream = world.raw().await;
    assert_eq!(rest(&mut stream).await, "");
    eventually("it is counted", || world.stats.cuts(Cut::Idle) == 1).await;
}

#[tokio::test]
async fn a_slow_body_is_answered_408() {
    for total in [false, true] {
        let world = World::new(|options| {
            let limit = if total {
                &mut options.limits.body
            } else {
                &mut options.limits.body_idle
            };
            *limit = SHORT;
        })
        .await;
        let mut stream = world.raw().await;
        stream
            .write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
            .await
            .unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(world.stats.cuts(Cut::SlowBody), 1);
    }
}

#[tokio::test]
async fn an_oversized_body_is_answered_413_whether_announced_or_not() {
    let world = World::new(|options| options.limits.body_bytes = 1000).await;
    let send = async |size: usize| {
        let request = Request::post("/length")
            .body(Bytes::from(vec![b'x'; size]))
            .unwrap();
        let mut connection = world.connect(world.options()).await.unwrap();
        connection.request(request).await.unwrap()
    };
    assert_eq!(text(&send(1000).await), "1000");
    let answer = send(1001).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(&answer), "the request body is larger than 1000 bytes");
    assert_eq!(world.stats.cuts(Cut::OversizedBody), 1);

    // Even with far more on its way than the socket buffers hold, the client gets its answer.
    let mut stream = world.raw().await;
    let head = "POST /length HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    for _ in 0..400 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(world.stats.cuts(Cut::OversizedBody), 2);
}

#[tokio::test]
async fn whoever_sends_what_nobody_reads_gets_the_answer() {
    let world = World::new(|options| options.limits.body_bytes = 1 << 20).await;
    let send = async |path: &str, announced: bool| {
        let mut stream = world.raw().await;
        let (length, chunk) = (7 << 20, vec![b'x'; 1 << 16]);
        let framing = match announced {
            true => format!("content-length: {length}"),
            false => "transfer-encoding: chunked".to_owned(),
        };
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..length / chunk.len() {
            if !announced {
                stream.write_all(b"10000\r\n").await.unwrap();
            }
            stream.write_all(&chunk).await.unwrap();
            if !announced {
                stream.write_all(b"\r\n").await.unwrap();
            }
        }
        rest(&mut stream).await
    };
    for announced in [true, false] {
        let answer = send("/length", announced).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        let answer = send("/ignore", announced).await;
        assert!(answer.ends_with("not read"), "{answer}");
    }
}

#[tokio::test]
async fn an_oversized_head_is_answered_431() {
    let world = World::new(|_| {}).await;
    let mut stream = world.raw().await;
    let head = format!(
        "GET /peer HTTP/1.1\r\nhost: x\r\nlong: {}",
        "x".repeat(64 * 1024)
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut() {
    let world = World::new(|options| options.limits.write = SHORT).await;
    let mut stream = world.raw().await;
    stream
        .write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    eventually("it is cut", || world.stats.cuts(Cut::SlowReader) == 1).await;
    eventually("it is gone", || world.stats.open() == 0).await;
}

#[tokio::test]
async fn the_last_request_that_a_connection_may_carry_says_so() {
    let world = World::new(|options| options.limits.requests_per_connection = Some(2)).await;
    let mut connection = world.connect(world.options()).await.unwrap();
    let first = connection.request(asking("/peer")).await.unwrap();
    assert!(!first.headers().contains_key("connection"));
    let last = connection.request(asking("/peer")).await.unwrap();
    assert_eq!(last.headers()["connection"], "close");
    assert!(connection.request(asking("/peer")).await.is_err());
    assert!(!connection.is_open());
}

#[tokio::test]
async fn while_all_connections_are_busy_a_newcomer_is_closed() {
    let world = World::new(|options| options.limits.connections = 1).await;
    let mut busy = world.connect(world.options()).await.unwrap();
    let request = tokio::spawn(async move { busy.request(asking("/wait")).await });
    soon("the request comes in", world.waiting.notified()).await;
    let mut newcomer = TcpStream::connect(world.addr).await.unwrap();
    rest(&mut newcomer).await;
    assert_eq!(world.stats.cuts(Cut::NoRoom), 1);
    world.release.notify_one();
    assert_eq!(
        soon("the answer", request).await.unwrap().unwrap().status(),
        200
    );
}
