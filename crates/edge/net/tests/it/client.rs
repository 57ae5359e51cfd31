//! The calling side: one connection for many requests, bounds on answers, and the pool.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use vouchsafe_net::{
    ClientError, Connector, ConnectorOptions, HandshakeFailure, Origin, Pool, PoolLimits,
    ServerTrust,
};

use crate::certificates::{Authority, Content, p256_pkcs8};
use crate::world::{World, asking, lines, soon, text};

/// A TLS server that is played by hand.
struct Puppet {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    authority: Authority,
}

impl Puppet {
    async fn new() -> Self {
        let authority = Authority::new("CA");
        let (key, signer) = p256_pkcs8();
        let leaf = authority.certify(&Content::server(), signer.public_key());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let configuration = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().to_vec().into()], key.try_into().unwrap())
            .unwrap();
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any_port).await.unwrap();
        Self {
            listener,
            acceptor: Arc::new(configuration).into(),
            authority,
        }
    }

    fn origin(&self) -> Origin {
        self.listener.local_addr().unwrap().into()
    }

    fn connector(&self, adjust: impl FnOnce(&mut ConnectorOptions)) -> Connector {
        let mut options = ConnectorOptions::new(ServerTrust::Anchors(self.authority.anchors()));
        adjust(&mut options);
        Connector::new(options)
    }

    async fn accept(&self) -> TlsStream<TcpStream> {
        let (stream, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(stream).await.unwrap()
    }

    /// Reads the head of a request.
    async fn hear(stream: &mut TlsStream<TcpStream>) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// Answers one request with `answer` on one connection.
    async fn answer(&self, answer: &str) -> TlsStream<TcpStream> {
        let mut stream = self.accept().await;
        Self::hear(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }
}

/// RFC 8995 §5: the voucher exchange stays on one connection.
#[tokio::test]
async fn requests_stay_on_one_connection() {
    let world = World::new(|_| {}).await;
    let mut connection = world.connect(world.options()).await.unwrap();
    let handshake = connection.bytes();
    assert!(
        handshake.sent > 200 && handshake.received > 500,
        "{handshake:?}"
    );
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let answer = connection.request(asking("/peer")).await.unwrap();
        ids.insert(lines(&answer)[4].to_owned());
    }
    let post = Request::post("https://elsewhere.example/echo?x").body(Bytes::from("hello"));
    assert_eq!(
        text(&connection.request(post.unwrap()).await.unwrap()),
        "hello"
    );
    assert_eq!(ids.len(), 1);
    assert_eq!(connection.requests(), 4);
    assert_eq!(world.stats.accepted(), 1);
    assert!(connection.bytes().received > handshake.received);
    assert!(connection.is_open());
}

#[tokio::test]
async fn a_large_answer_is_refused_whether_announced_or_not() {
    let puppet = Puppet::new().await;
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n".to_owned(),
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n65\r\n{}\r\n",
            "x".repeat(101)
        ),
    ] {
        let connector = puppet.connector(|options| options.response_bytes = 100);
        let ask = async {
            let mut connection = connector.connect(&puppet.origin()).await.unwrap();
            connection.request(asking("/")).await
        };
        let (result, _stream) = soon("the answer", async {
            tokio::join!(ask, puppet.answer(&answer))
        })
        .await;
        assert!(
            matches!(result, Err(ClientError::ResponseTooLarge { limit: 100 })),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_end_in_time_is_given_up() {
    let puppet = Puppet::new().await;
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"] {
        let connector =
            puppet.connector(|options| options.response_timeout = Duration::from_millis(100));
        let ask = async {
            let mut connection = connector.connect(&puppet.origin()).await.unwrap();
            let result = connection.request(asking("/")).await;
            assert!(!connection.is_open());
            result
        };
        let (result, _stream) = soon("the answer", async {
            tokio::join!(ask, puppet.answer(answer))
        })
        .await;
        assert!(
            matches!(result, Err(ClientError::ResponseTimeout)),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn what_is_not_http_or_ends_early_is_named() {
    let puppet = Puppet::new().await;
    let ask = async |answer: &str| {
        let connector = puppet.connector(|_| {});
        let ask = async {
            let mut connection = connector.connect(&puppet.origin()).await.unwrap();
            connection.request(asking("/")).await
        };
        let played = async { drop(puppet.answer(answer).await) };
        soon("the answer", async { tokio::join!(ask, played) })
            .await
            .0
            .unwrap_err()
    };
    assert!(matches!(
        ask("no such thing\r\n\r\n").await,
        ClientError::Http(_)
    ));
    assert!(matches!(
        ask("").await,
        ClientError::Closed { answered: false }
    ));
    let partial = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc";
    assert!(matches!(
        ask(partial).await,
        ClientError::Closed { answered: true }
    ));
    assert!(matches!(
        ask("HTTP/1.1 20").await,
        ClientError::Closed { answered: true }
    ));
}

#[tokio::test]
async fn nobody_there_and_silence_in_the_handshake_are_named() {
    let puppet = Puppet::new().await;
    let connector =
        puppet.connector(|options| options.handshake_timeout = Duration::from_millis(100));
    let silent = soon("the failure", connector.connect(&puppet.origin()))
        .await
        .unwrap_err();
    assert_eq!(silent.handshake_failure(), Some(HandshakeFailure::Slow));
    let origin = puppet.origin();
    drop(puppet);
    let nobody = soon("the failure", connector.connect(&origin))
        .await
        .unwrap_err();
    assert!(matches!(nobody, ClientError::Connect(_)), "{nobody:?}");
}

#[tokio::test]
async fn the_server_name_is_sent_or_kept_back_as_asked() {
    for (indication, expected) in [(true, Some("localhost")), (false, None)] {
        let puppet = Puppet::new().await;
        let connector = puppet.connector(|options| options.server_name_indication = indication);
        let origin = Origin::new("localhost", puppet.origin().port());
        let addr = puppet.listener.local_addr().unwrap();
        let (connection, stream) = soon("the connection", async {
            tokio::join!(connector.connect_at(addr, &origin), puppet.accept())
        })
        .await;
        connection.unwrap();
        assert_eq!(stream.get_ref().1.server_name(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_shares_few_connections_among_many_requests() {
    let world = World::new(|_| {}).await;
    let limits = PoolLimits {
        connections_per_origin: 8,
        ..PoolLimits::default()
    };
    let pool = Pool::new(Connector::new(world.options()), limits);
    let origin = Origin::from(world.addr);
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..64 {
        let (pool, origin) = (pool.clone(), origin.clone());
        requests.spawn(async move {
            let body = Bytes::from(number.to_string());
            let answer = pool.request(&origin, Request::post("/echo").body(body.clone()).unwrap());
            assert_eq!(answer.await.unwrap().into_body(), body);
        });
    }
    soon("all requests", requests.join_all()).await;
    assert!(
        world.stats.accepted() <= 8,
        "{} connections",
        world.stats.accepted()
    );
    assert_eq!(world.stats.requests(), 64);
    assert!(pool.idle_connections() <= 8);
}

#[tokio::test]
async fn a_request_on_a_kept_connection_that_got_no_answer_is_sent_once_more() {
    let puppet = Puppet::new().await;
    let pool = Pool::new(puppet.connector(|_| {}), PoolLimits::default());
    let origin = puppet.origin();
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let server = async {
        let mut first = puppet.answer(ok).await;
        assert!(Puppet::hear(&mut first).await.starts_with("GET /second"));
        drop(first);
        let mut second = puppet.accept().await;
        assert!(Puppet::hear(&mut second).await.starts_with("GET /second"));
        second.write_all(ok.as_bytes()).await.unwrap();
        // A part of an answer came: not sent again.
        assert!(Puppet::hear(&mut second).await.starts_with("GET /third"));
        second.write_all(b"HTTP/1.1 2").await.unwrap();
        second.shutdown().await.unwrap();
    };
    let client = async {
        for path in ["/first", "/second"] {
            let answer = pool.request(&origin, asking(path)).await.unwrap();
            assert_eq!(text(&answer), "ok");
        }
        let result = pool.request(&origin, asking("/third")).await;
        assert!(
            matches!(result, Err(ClientError::Closed { answered: true })),
            "{result:?}"
        );
        assert_eq!(pool.idle_connections(), 0);
    };
    soon("the play", async { tokio::join!(server, client) }).await;
}
