//! A crowd at the registrar's door: most silent, some slow on purpose. A device still gets in.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use vouchsafe_trust::Certificate;

use crate::world::{Controller, Manufacturer, Place};

/// Idle connections.
const IDLE: usize = 10_000;

/// Of these so many have finished their handshake; the others have not said a word.
const SECURED: usize = 2000;

/// Connections whose handshake, and whose body, comes byte by byte.
const SLOW: usize = 50;

/// How long an onboarding may take meanwhile; alone it takes about a second.
const IN_TIME: Duration = Duration::from_secs(20);

/// Files that a process needs besides connections.
const OTHER_FILES: u64 = 400;

type Secured = StreamOwned<ClientConnection, TcpStream>;

#[test]
fn ten_thousand_idle_and_slow_connections_do_not_keep_a_device_out() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let settings = ["registrar.max_connections=12000"];
    let owner = Controller::start(&place, "owner", &settings);
    let devices = ["H-1", "H-2"].map(|serial| maker.provision(serial));
    owner.buy(&maker, &["H-1", "H-2"]);
    let idle = as_many_as_files_allow();
    let door = owner.direct();

    let tls = configuration(&owner);
    let mut secured: Vec<Secured> = (0..SECURED).map(|_| handshake(&tls, door)).collect();
    // Bodies that have begun, and will never end.
    for stream in secured.iter_mut().take(SLOW) {
        let head = "POST /.well-known/brski/requestvoucher HTTP/1.1\r\nHost: localhost\r\n\
                    Content-Type: application/voucher-cms+json\r\nContent-Length: 100000\r\n\r\n0";
        stream.write_all(head.as_bytes()).unwrap();
    }
    let silent: Vec<TcpStream> = (SECURED..idle)
        .map(|_| TcpStream::connect(door).unwrap())
        .collect();
    // Handshakes that have begun: the first bytes of a record that announces more.
    let mut half: Vec<TcpStream> = (0..SLOW)
        .map(|_| TcpStream::connect(door).unwrap())
        .collect();
    for stream in &mut half {
        stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap();
    }

    let started = Instant::now();
    devices[0].onboard(&owner.registrar());
    // Those who are slow send their next byte, and another device comes.
    for stream in &mut half {
        // It may have been cut off by now, which is the point.
        let _ = stream.write_all(&[1]);
    }
    for stream in secured.iter_mut().take(SLOW) {
        let _ = stream.write_all(b"0");
    }
    devices[1].onboard(&owner.registrar());
    let took = started.elapsed();
    let open = silent.iter().filter(|stream| is_open(stream)).count();
    println!(
        "two devices in {took:?} beside {} secured, {open} of {} silent and {SLOW} half connections",
        secured.len(),
        silent.len(),
    );
    assert!(took < 2 * IN_TIME, "{took:?}");
    for device in &devices {
        owner.assert_onboarded_once(&device.serial);
    }
    // Those who finished their handshake and were idle are served as if nothing had been.
    let last = secured.last_mut().unwrap();
    last.write_all(b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = [0; 12];
    last.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

/// The number of connections to hold open, with the limit of open files raised for it.
fn as_many_as_files_allow() -> usize {
    let files = vouchsafe_net::raise_open_files_limit().unwrap_or(u64::MAX);
    let room = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
    if room < IDLE + SLOW {
        println!("only {files} files may be open: {room} connections instead of {IDLE}");
    }
    IDLE.min(room.saturating_sub(SLOW)).max(SECURED)
}

fn configuration(owner: &Controller<'_>) -> Arc<ClientConfig> {
    let pem = std::fs::read_to_string(owner.domain_ca()).unwrap();
    let mut roots = RootCertStore::empty();
    for certificate in Certificate::many_from_pem(&pem).unwrap() {
        roots
            .add(CertificateDer::from(certificate.der().to_vec()))
            .unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(
        builder
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

fn handshake(tls: &Arc<ClientConfig>, door: std::net::SocketAddr) -> Secured {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::clone(tls), name).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(door).unwrap());
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream
}

/// Whether the other side has not hung up.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let closed = matches!(stream.peek(&mut [0]), Ok(0));
    let broken =
        matches!(stream.peek(&mut [0]), Err(error) if error.kind() != ErrorKind::WouldBlock);
    !closed && !broken
}
