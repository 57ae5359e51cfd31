//! Reading, streaming and verifying the journal.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use vouchsafe_api::{Code, CreateToken, JournalQuery, Role};
use vouchsafe_trust::{PathRules, Usage, cms};

use crate::world::{World, code};

fn token(name: &str) -> CreateToken {
    CreateToken {
        name: name.to_owned(),
        role: Role::Auditor,
        expires_in_days: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_read_in_stretches_that_miss_nothing() {
    let world = World::new().await;
    let admin = world.admin();
    for number in 0..5 {
        admin
            .create_token(&token(&format!("t{number}")))
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut since = 0;
    loop {
        let query = JournalQuery {
            since: Some(since),
            limit: Some(2),
        };
        let page = admin.read_journal(&query).await.unwrap();
        if page.entries.is_empty() {
            assert_eq!(page.position, since);
            break;
        }
        since = page.position;
        seen.extend(page.entries);
    }
    let actions: Vec<&str> = seen.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions[..2], ["owner-changed", "token-created"]);
    assert_eq!(actions.len(), 7);
    // What is not secret is there, and what is secret is not.
    let secret = &world.secret;
    assert!(
        seen.iter()
            .all(|entry| !entry.text.contains(secret.as_str()))
    );
    let negative = JournalQuery {
        since: Some(-1),
        limit: None,
    };
    assert_eq!(code(admin.read_journal(&negative).await), Code::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_signed_by_the_domain_and_verified_with_the_journal() {
    let world = World::new().await;
    let admin = world.admin();
    assert_eq!(code(admin.show_checkpoint().await), Code::NotFound);
    let made = admin.create_checkpoint().await.unwrap();
    assert_eq!(admin.show_checkpoint().await.unwrap(), made);
    let der = STANDARD.decode(&made.signed).unwrap();
    let rules = PathRules::strict(jiff::Timestamp::now(), Usage::Registrar);
    let proved = cms::parse(&der)
        .unwrap()
        .verify(&world.anchors, &rules)
        .unwrap();
    let text = String::from_utf8(proved.content.clone()).unwrap();
    assert!(text.starts_with("vouchsafe checkpoint v1\n") && text.contains(&made.root));
    // The journal goes on, and what was covered stays as it was.
    admin.create_token(&token("later")).await.unwrap();
    let verified = admin.verify_journal().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    let second = admin.create_checkpoint().await.unwrap();
    assert!(second.position > made.position && second.root != made.root);
    assert!(admin.verify_journal().await.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_as_they_are_committed_and_resume_by_last_event_id() {
    let world = World::new().await;
    let admin = world.admin();
    let from_start = Stream::open(&world, None).await;
    admin
        .create_token(&token("while it streams"))
        .await
        .unwrap();
    let text = from_start.until("while it streams").await;
    assert!(text.contains("owner-changed"), "{text}");
    // Behind the last one, only what is new comes.
    let position = admin.show_status().await.unwrap().journal_position;
    let resumed = Stream::open(&world, Some(position)).await;
    admin.create_token(&token("after that")).await.unwrap();
    let text = resumed.until("after that").await;
    assert!(!text.contains("while it streams"), "{text}");
    let headers = [(http::HeaderName::from_static("last-event-id"), "x")];
    let answer = world
        .raw(
            Method::GET,
            "/api/v1/events",
            Some(&world.secret),
            &headers,
            "",
        )
        .await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    // A stream that is open does not hold up the end.
    let _open = Stream::open(&world, None).await;
    let mut world = world;
    tokio::time::timeout(Duration::from_secs(10), world.shut_down())
        .await
        .expect("the controller stops while a stream is open");
}

/// An event stream over a TLS connection of its own, read as text.
struct Stream {
    tls: tokio_rustls::client::TlsStream<tokio::net::TcpStream>,
}

impl Stream {
    async fn open(world: &World, last: Option<i64>) -> Self {
        use tokio::io::AsyncWriteExt as _;
        let mut roots = rustls::RootCertStore::empty();
        for anchor in world.anchors.certificates() {
            roots.add(anchor.der().to_vec().into()).unwrap();
        }
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = world.ready.api.strip_prefix("https://").unwrap();
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        let mut tls = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config))
            .connect(name, tcp)
            .await
            .unwrap();
        let last = last
            .map(|id| format!("Last-Event-ID: {id}\r\n"))
            .unwrap_or_default();
        let request = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{last}\r\n",
            world.secret
        );
        tls.write_all(request.as_bytes()).await.unwrap();
        Self { tls }
    }

    /// Everything up to these words.
    async fn until(mut self, words: &str) -> String {
        use tokio::io::AsyncReadExt as _;
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.contains(words) {
            let read = tokio::time::timeout(Duration::from_secs(10), self.tls.read(&mut buffer));
            let count = read.await.expect("an event arrives").unwrap();
            assert!(count > 0, "the stream ended: {text}");
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        text
    }
}
