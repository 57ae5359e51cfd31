//! Who is let in, who is refused, and what each side then knows.

use std::sync::{Arc, Condvar, Mutex};

use http::StatusCode;
use vouchsafe_net::{
    ClientAuth, ClientError, ConnectorOptions, HandshakeFailure, Identity, ReloadableIdentity,
    ServerOptions, ServerTrust, TlsVersions,
};
use vouchsafe_trust::{PublicKey, SignError, SignatureAlgorithm, Signer};

use crate::certificates::{
    Authority, CLIENT_AUTH, CMC_RA, Content, Impostor, SERVER_AUTH, ed25519, p256, p384,
};
use crate::world::{World, asking, eventually, hex, lines, soon, text};

const BOTH: [TlsVersions; 2] = [TlsVersions::Tls12, TlsVersions::Tls13];

/// The failure, whether TLS 1.2 reported it while connecting or 1.3 with the first request.
fn failure<T: std::fmt::Debug>(result: Result<T, ClientError>) -> HandshakeFailure {
    result
        .unwrap_err()
        .handshake_failure()
        .expect("a handshake failure")
}

#[tokio::test]
async fn without_a_client_certificate_the_chain_is_empty() {
    let world = World::new(|_| {}).await;
    for versions in BOTH {
        let options = ConnectorOptions {
            versions,
            ..world.options()
        };
        let answer = world.ask(options, "/peer").await.unwrap();
        assert_eq!(lines(&answer)[0], "0");
    }
}

#[tokio::test]
async fn every_kind_of_key_is_seen_with_its_chain_and_the_same_exporter_on_both_sides() {
    let world = World::new(|_| {}).await;
    let stranger = Authority::new("Unknown maker");
    for versions in BOTH {
        for signer in [p256(), p384(), ed25519()] {
            let device = stranger.identity(&Content::named("device"), signer);
            let options = ConnectorOptions {
                versions,
                ..world.options()
            }
            .with_identity(device);
            let mut connection = world.connect(options).await.unwrap();
            assert_eq!(connection.is_tls13(), versions == TlsVersions::Tls13);
            let answer = connection.request(asking("/peer")).await.unwrap();
            let lines = lines(&answer);
            assert_eq!(lines[..2], ["2", "CN=device"]);
            // RFC 9266 §2
            assert_eq!(lines[2], hex(&connection.exporter()));
            // RFC 8995 §5.2: both sides know the certificate to put into the voucher request.
            assert_eq!(lines[3], "CN=server < CN=Domain CA");
            assert_eq!(connection.server_chain()[0].subject_text(), "CN=server");
            assert_eq!(connection.server_chain().len(), 2);
        }
    }
}

/// RFC 8995 §2.3.1 and devices in the field: TLS carries the chain, the handler judges it.
#[tokio::test]
async fn odd_device_certificates_reach_the_handler() {
    let world = World::new(|_| {}).await;
    let maker = Authority::new("Maker");
    let odd = [
        Content {
            version1: true,
            ..Content::named("version 1")
        },
        Content {
            unknown_critical: true,
            ..Content::named("unknown critical extension")
        },
        Content {
            not_after: "99991231235959Z",
            ..Content::named("no expiry")
        },
        Content {
            not_after: "20210101000000Z",
            ..Content::named("expired")
        },
        Content {
            ca: true,
            ..Content::named("authority flag")
        },
        Content {
            purposes: vec![SERVER_AUTH],
            ..Content::named("server purpose")
        },
    ];
    for versions in BOTH {
        for content in &odd {
            let device = maker.identity(content, p256());
            let options = ConnectorOptions {
                versions,
                ..world.options()
            }
            .with_identity(device);
            let answer = world.ask(options, "/peer").await.unwrap();
            assert_eq!(
                lines(&answer)[1],
                format!("CN={}", content.name),
                "{versions:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_copied_certificate_without_its_key_is_refused() {
    let world = World::new(|_| {}).await;
    let maker = Authority::new("Maker");
    let mut refused = 0;
    for versions in BOTH {
        for version1 in [false, true] {
            let content = Content {
                version1,
                ..Content::named("device")
            };
            let copy = Impostor::of(&maker.identity(&content, p256()));
            let options = ConnectorOptions {
                versions,
                ..world.options()
            }
            .with_identity(copy);
            let result = world.ask(options, "/peer").await;
            assert_eq!(
                failure(result),
                HandshakeFailure::RefusedByPeer,
                "{versions:?}"
            );
            refused += 1;
            eventually("the refusal is counted", || {
                world
                    .stats
                    .handshake_failures(HandshakeFailure::BadSignature)
                    == refused
            })
            .await;
        }
    }
    assert_eq!(world.stats.requests(), 0);
}

/// RFC 8995 §5.1: provisional does not mean without proof of the key.
#[tokio::test]
async fn a_provisional_client_refuses_a_server_without_the_key_of_its_certificate() {
    let authority = Authority::new("Domain CA");
    let copy = Impostor::of(&authority.server());
    let options = ServerOptions::new("test", copy, ClientAuth::None);
    let world = World::with(authority, options, |_| {}).await;
    for versions in BOTH {
        let provisional = ConnectorOptions::new(ServerTrust::Provisional);
        let options = ConnectorOptions {
            versions,
            ..provisional
        };
        assert_eq!(
            failure(world.connect(options).await),
            HandshakeFailure::BadSignature
        );
    }
}

#[tokio::test]
async fn a_provisional_client_takes_any_server_and_keeps_its_chain() {
    let authority = Authority::new("Nobody");
    let odd = Content {
        version1: true,
        ..Content::named("odd registrar")
    };
    let registrar = authority.identity(&odd, p256());
    let presented = registrar.chain().clone();
    let options = ServerOptions::new("test", registrar, ClientAuth::Optional);
    let world = World::with(authority, options, |_| {}).await;
    for versions in BOTH {
        let provisional = ConnectorOptions::new(ServerTrust::Provisional);
        let connection = world
            .connect(ConnectorOptions {
                versions,
                ..provisional
            })
            .await
            .unwrap();
        assert_eq!(*connection.server_chain(), presented);
    }
}

#[tokio::test]
async fn a_client_with_anchors_refuses_unknown_issuers_wrong_names_and_expired_servers() {
    let world = World::new(|_| {}).await;
    let stranger = Authority::new("Domain CA"); // same name, other key
    let trust = ServerTrust::Anchors(stranger.anchors());
    let result = world.connect(ConnectorOptions::new(trust)).await;
    assert_eq!(failure(result), HandshakeFailure::BadSignature);
    let trust = ServerTrust::Anchors(Authority::new("Other CA").anchors());
    let result = world.connect(ConnectorOptions::new(trust)).await;
    assert_eq!(failure(result), HandshakeFailure::UnknownIssuer);

    let by_address = vouchsafe_net::Connector::new(world.options());
    by_address
        .connect(&world.addr.into())
        .await
        .expect("the address is in the certificate");

    for (content, expected) in [
        (
            Content {
                dns_names: vec!["masa.example"],
                ..Content::server()
            },
            HandshakeFailure::WrongName,
        ),
        (
            Content {
                not_after: "20210101000000Z",
                ..Content::server()
            },
            HandshakeFailure::Expired,
        ),
        (
            Content {
                purposes: vec![CLIENT_AUTH],
                ..Content::server()
            },
            HandshakeFailure::WrongPurpose,
        ),
        (
            Content {
                ca: true,
                ..Content::server()
            },
            HandshakeFailure::CertificateRefused,
        ),
    ] {
        let authority = Authority::new("Domain CA");
        let server = authority.identity(&content, p256());
        let options = ServerOptions::new("test", server, ClientAuth::None);
        let world = World::with(authority, options, |_| {}).await;
        assert_eq!(failure(world.connect(world.options()).await), expected);
    }
}

/// RFC 7030 §3.6.1
#[tokio::test]
async fn a_registrar_is_known_by_its_purpose_and_not_by_its_name() {
    let refused = Some(HandshakeFailure::WrongPurpose);
    for (purposes, name, expected) in [
        (vec![CMC_RA], "elsewhere.example", None),
        (vec![CMC_RA, SERVER_AUTH], "elsewhere.example", None),
        (vec![SERVER_AUTH], "localhost", refused),
        (vec![SERVER_AUTH], "elsewhere.example", refused),
    ] {
        let authority = Authority::new("Domain CA");
        let content = Content {
            purposes,
            dns_names: vec![name],
            ..Content::server()
        };
        let server = authority.identity(&content, p256());
        let options = ServerOptions::new("test", server, ClientAuth::Optional);
        let world = World::with(authority, options, |_| {}).await;
        let trust = ServerTrust::Registrar(world.authority.anchors());
        let result = world.connect(ConnectorOptions::new(trust)).await;
        assert_eq!(
            result.err().and_then(|error| error.handshake_failure()),
            expected
        );
        let stranger = Authority::new("Other CA").anchors();
        let trust = ServerTrust::Registrar(stranger);
        let result = world.connect(ConnectorOptions::new(trust)).await;
        assert_eq!(failure(result), HandshakeFailure::UnknownIssuer);
    }
}

#[tokio::test]
async fn where_certificates_are_required_only_known_clients_come_in() {
    let factory = Authority::new("Factory CA");
    let anchors = factory.anchors();
    let world = World::new(|options| options.client_auth = ClientAuth::Required(anchors)).await;
    for versions in BOTH {
        let plain = || ConnectorOptions {
            versions,
            ..world.options()
        };
        let station = factory.identity(&Content::named("station"), p256());
        let answer = world
            .ask(plain().with_identity(station.clone()), "/peer")
            .await
            .unwrap();
        assert_eq!(lines(&answer)[1], "CN=station");

        let expired = Content {
            not_after: "20210101000000Z",
            ..Content::named("old")
        };
        let version1 = Content {
            version1: true,
            ..Content::named("version 1")
        };
        let server = Content {
            purposes: vec![SERVER_AUTH],
            ..Content::named("server")
        };
        for (identity, reason) in [
            (None, HandshakeFailure::CertificateMissing),
            (
                Some(Authority::new("Nobody").identity(&Content::named("station"), p256())),
                HandshakeFailure::UnknownIssuer,
            ),
            (
                Some(factory.identity(&expired, p256())),
                HandshakeFailure::Expired,
            ),
            (
                Some(factory.identity(&server, p256())),
                HandshakeFailure::WrongPurpose,
            ),
            (
                Some(factory.identity(&version1, p256())),
                HandshakeFailure::CertificateRefused,
            ),
            (Some(Impostor::of(&station)), HandshakeFailure::BadSignature),
        ] {
            let before = world.stats.handshake_failures(reason);
            let options = ConnectorOptions {
                identity: identity.map(Into::into),
                ..plain()
            };
            let result = world.ask(options, "/peer").await;
            assert_eq!(failure(result), HandshakeFailure::RefusedByPeer, "{reason}");
            eventually("the refusal is counted", || {
                world.stats.handshake_failures(reason) > before
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_shown_on_the_next_connection_and_not_on_the_old_one() {
    let authority = Authority::new("Domain CA");
    let identity = ReloadableIdentity::new(authority.server());
    let options = ServerOptions::new("test", identity.clone(), ClientAuth::Optional);
    let world = World::with(authority, options, |_| {}).await;
    let mut old = world.connect(world.options()).await.unwrap();
    let renewed = Content {
        name: "renewed".to_owned(),
        ..Content::server()
    };
    identity.replace(world.authority.identity(&renewed, p384()));
    let new = world.connect(world.options()).await.unwrap();
    assert_eq!(new.server_chain()[0].subject_text(), "CN=renewed");
    let answer = old.request(asking("/peer")).await.unwrap();
    assert_eq!(lines(&answer)[3], "CN=server < CN=Domain CA");
}

#[tokio::test]
async fn a_key_that_does_not_fit_its_certificate_is_no_identity() {
    let authority = Authority::new("Domain CA");
    let leaf = authority.certify(&Content::server(), p256().public_key());
    assert!(Identity::new(vec![leaf], p256()).is_err());
    assert!(Identity::new(Vec::new(), p256()).is_err());
}

#[tokio::test]
async fn devices_get_no_session_tickets() {
    let world = World::new(|options| options.resumption = true).await;
    let mut stream = world.raw().await;
    tokio::io::AsyncWriteExt::write_all(
        &mut stream,
        b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await
    .unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)
        .await
        .unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
}

/// Signs only when told that it may.
#[derive(Debug)]
struct SlowToken {
    key: Arc<dyn Signer>,
    may_go_on: Arc<(Mutex<bool>, Condvar)>,
}

impl Signer for SlowToken {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let (lock, changed) = &*self.may_go_on;
        let _released = changed
            .wait_while(lock.lock().unwrap(), |may_go_on| !*may_go_on)
            .unwrap();
        self.key.sign(message)
    }

    fn may_block(&self) -> bool {
        true
    }
}

/// Lets the token sign, also when an assertion fails: a runtime waits for its blocked threads.
struct GoOn(Arc<(Mutex<bool>, Condvar)>);

impl Drop for GoOn {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

async fn others_are_served_while_a_token_signs() {
    let quick = World::new(|_| {}).await;
    let may_go_on = Arc::new((Mutex::new(false), Condvar::new()));
    let go_on = GoOn(may_go_on.clone());
    let token = || {
        Arc::new(SlowToken {
            key: p256(),
            may_go_on: may_go_on.clone(),
        })
    };

    let authority = Authority::new("Domain CA");
    let server = authority.identity(&Content::server(), token());
    let options = ServerOptions::new("test", server, ClientAuth::Optional);
    let slow = World::with(authority, options, |_| {}).await;
    let slow_options = slow.options();
    let slow_addr = (slow.addr, slow.origin());
    let slow_server = tokio::spawn(async move {
        let connector = vouchsafe_net::Connector::new(slow_options);
        let mut connection = connector.connect_at(slow_addr.0, &slow_addr.1).await?;
        connection.request(asking("/peer")).await
    });
    let device = Authority::new("Maker").identity(&Content::named("device"), token());
    let device_options = quick.options().with_identity(device);
    let quick_addr = (quick.addr, quick.origin());
    let slow_client = tokio::spawn(async move {
        let connector = vouchsafe_net::Connector::new(device_options);
        let mut connection = connector.connect_at(quick_addr.0, &quick_addr.1).await?;
        connection.request(asking("/peer")).await
    });
    eventually("both handshakes began", || {
        slow.stats.open() == 1 && quick.stats.open() == 1
    })
    .await;
    for _ in 0..20 {
        let answer = soon("an answer", quick.ask(quick.options(), "/peer"))
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    drop(go_on);
    let answer = soon("the slow server", slow_server).await.unwrap().unwrap();
    assert!(text(&answer).contains("CN=server"));
    let answer = soon("the slow client", slow_client).await.unwrap().unwrap();
    assert!(text(&answer).contains("CN=device"));
}

#[tokio::test]
async fn a_signing_token_holds_up_nobody_on_a_single_thread() {
    others_are_served_while_a_token_signs().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_signing_token_holds_up_nobody_on_worker_threads() {
    others_are_served_while_a_token_signs().await;
}
