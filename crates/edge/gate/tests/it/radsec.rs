//! RADIUS over TLS (RFC 6614), with real connections.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use vouchsafe_gate::Event;
use vouchsafe_radius::dynamic::{Arrival, Change, Receiver};
use vouchsafe_radius::{Client, Code, Draft, Framer, Origin, Packet, Shared, attribute};
use vouchsafe_trust::{Name, Profile, Secret};

use crate::freeradius::FreeRadius;
use crate::world::{
    Device, Gate, PATIENCE, SECRET, Site, attributes, carry, exchange, now, random,
};

type Line = StreamOwned<ClientConnection, TcpStream>;

const STATION: &str = "02-00-00-00-00-01";

fn shared() -> Shared {
    Shared::new(Secret::new(b"radsec".to_vec()))
}

/// A gate that takes RadSec from `ap.example` under the domain CA, and from `pinned` by its certificate.
fn furnished(pinned: &Device) -> (Site, Gate, SocketAddr) {
    let mut site = Site::new();
    let digits = hex::encode(pinned.certificate.fingerprint_sha256());
    site.configure(
        "127.0.0.1:0",
        &format!(
            "[radius.radsec]\nlisten = \"127.0.0.1:0\"\n\
             [[radius.radsec.client]]\nname = \"access points\"\nhost = \"ap.example\"\n\
             [[radius.radsec.client]]\nname = \"pinned\"\ncertificate = \"sha256:{digits}\"\n"
        ),
    );
    site.publish(Vec::new(), &[]);
    let gate = site.start();
    gate.until_in_force();
    let address = gate.radsec.expect("an address for RadSec");
    (site, gate, address)
}

/// An access point's certificate under the domain CA.
fn access_point(site: &Site, name: &str) -> Device {
    let profile = Profile::gate(Name::common(name).unwrap(), &[name]);
    site.issue(name, &profile)
}

/// Connects with a certificate, or without one.
fn connect(site: &Site, to: SocketAddr, with: Option<&Device>) -> Line {
    connect_from("127.0.0.1", site, to, with)
}

fn connect_from(from: &str, site: &Site, to: SocketAddr, with: Option<&Device>) -> Line {
    let mut roots = RootCertStore::empty();
    let anchor = site.authority.certificate().der().to_vec();
    roots.add(CertificateDer::from(anchor)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match with {
        Some(device) => {
            let chain = vec![CertificateDer::from(device.certificate.der().to_vec())];
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(device.pkcs8.clone()));
            config.with_client_auth_cert(chain, key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    let name = ServerName::try_from("gate.example").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, wire(to, from))
}

/// A connection that says nothing yet, from one of the addresses of this machine.
fn wire(to: SocketAddr, from: &str) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let connecting = async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    };
    let wire = runtime.block_on(connecting);
    wire.set_nonblocking(false).unwrap();
    wire.set_read_timeout(Some(PATIENCE)).unwrap();
    wire
}

/// The next packet; `None` when the gate closed the connection.
fn next(line: &mut Line) -> Option<Vec<u8>> {
    let mut framer = Framer::default();
    let end = Instant::now() + PATIENCE;
    let mut octet = [0];
    while Instant::now() < end {
        match line.read(&mut octet) {
            Ok(1) => {
                if let Some(packet) = framer.take(&mut octet.as_slice()).unwrap() {
                    return Some(packet);
                }
            }
            _ => return None,
        }
    }
    panic!("neither a packet nor an end");
}

fn is_alive(line: &mut Line) -> bool {
    let draft = Draft::new(Code::StatusServer, 200);
    let authenticator = random();
    let request = shared()
        .finish_access_request(draft, &authenticator)
        .unwrap();
    if line.write_all(&request).is_err() {
        return false;
    }
    next(line).is_some_and(|packet| {
        let packet = Packet::parse(&packet).unwrap();
        shared().check_response(&packet, &authenticator).is_ok()
            && packet.code() == Code::AccessAccept
    })
}

/// A device comes in through an access point on this line, each request in pieces of `piece` octets.
fn come_in(site: &Site, line: &mut Line, device: &Device, piece: usize) -> Code {
    let client = Client::new(shared(), attributes("ap", STATION));
    let answer = carry(site, device, client, |request| {
        for piece in request.chunks(piece) {
            line.write_all(piece).unwrap();
            line.flush().unwrap();
        }
        next(line).unwrap()
    });
    answer.code
}

/// RFC 6614 §2: access over TLS, whatever the pieces; and RFC 5176 down the same connection.
#[test]
fn a_device_comes_in_over_tls_and_is_taken_off_over_the_same_connection() {
    let pinned = Site::new().device("pinned");
    let (mut site, gate, to) = furnished(&pinned);
    let device = site.device("device-1");
    site.publish(vec![device.admitted()], &[]);
    gate.until_in_force();
    let mut line = connect(&site, to, Some(&access_point(&site, "ap.example")));
    assert!(is_alive(&mut line));
    for piece in [4096, 7] {
        assert_eq!(
            come_in(&site, &mut line, &device, piece),
            Code::AccessAccept
        );
    }
    site.publish(Vec::new(), &[&device]);
    let order = next(&mut line).expect("an order");
    let mut receiver = Receiver::default();
    let origin = Origin {
        client: 0,
        address: [0; 16],
        port: 0,
    };
    let arrival = receiver.receive(now(), origin, &shared(), &order).unwrap();
    let Arrival::Fresh(order) = arrival else {
        panic!("a repetition");
    };
    assert_eq!(order.change(), &Change::Disconnect);
    assert_eq!(order.station().mac, Some([2, 0, 0, 0, 0, 1]));
    let answer = order.acknowledge(&mut receiver, now(), &shared()).unwrap();
    line.write_all(&answer).unwrap();
    let confirmed_by = gate.until("cut off", |event| match event {
        Event::CutOff { confirmed_by, .. } => Some(*confirmed_by),
        _ => None,
    });
    assert_eq!(confirmed_by, "access-point");
}

/// RFC 6614 §2.3: a client is who its certificate says, by its very octets or by name and authority.
#[test]
fn a_client_is_known_by_its_certificate_and_nobody_else_is_heard() {
    let elsewhere = Site::new();
    let pinned = elsewhere.device("pinned");
    let (mut site, gate, to) = furnished(&pinned);
    assert!(is_alive(&mut connect(&site, to, Some(&pinned))));
    assert!(is_alive(&mut connect(
        &site,
        to,
        Some(&access_point(&site, "ap.example"))
    )));
    let stranger = access_point(&elsewhere, "ap.example");
    let other_name = access_point(&site, "other.example");
    // The domain CA's own device that has the name, and may be a client: it is no access point.
    let device = site.issue(
        "ap.example",
        &Profile::ldevid(Name::common("ap.example").unwrap(), Vec::new()),
    );
    let not_pinned = elsewhere.device("pinned");
    for refused in [&stranger, &other_name, &device, &not_pinned] {
        assert!(!is_alive(&mut connect(&site, to, Some(refused))));
    }
    assert!(!is_alive(&mut connect(&site, to, None)));
    // A revoked access point does not come back.
    let revoked = access_point(&site, "ap.example");
    let mut open = connect(&site, to, Some(&revoked));
    assert!(is_alive(&mut open));
    site.publish(Vec::new(), &[&revoked]);
    gate.until_in_force();
    assert!(!is_alive(&mut connect(&site, to, Some(&revoked))));
    // And the connection that it had open hears no more of anybody's keys.
    let end = Instant::now() + PATIENCE;
    while is_alive(&mut open) {
        assert!(Instant::now() < end, "a revoked client is still heard");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// RFC 6613 §2.6.4: what cannot be a packet, or proves nothing, ends the connection, unanswered.
#[test]
fn a_line_that_lies_or_proves_nothing_is_closed() {
    let pinned = Site::new().device("pinned");
    let (site, _gate, to) = furnished(&pinned);
    let draft = || Draft::new(Code::StatusServer, 1);
    let fine = shared().finish_access_request(draft(), &random()).unwrap();
    let header = |code: u8, length: u16| {
        let [high, low] = length.to_be_bytes();
        [&[code, 1, high, low][..], &[0; 16]].concat()
    };
    let wrong_secret = Shared::new(Secret::new(b"another".to_vec()));
    let mut altered = fine.clone();
    *altered.last_mut().unwrap() ^= 1;
    let cases = [
        ("64 KiB", header(1, u16::MAX)),
        ("4097 octets", header(1, 4097)),
        ("no length", header(1, 0)),
        ("19 octets", header(1, 19)),
        ("no Message-Authenticator", header(1, 20)),
        (
            "another secret",
            wrong_secret
                .finish_access_request(draft(), &random())
                .unwrap(),
        ),
        ("an altered octet", altered),
        ("an answer for a request", header(2, 20)),
        ("an unknown code", header(250, 20)),
        (
            "an attribute beyond the packet",
            [&header(1, 24)[..], &[attribute::STATE, 200, 1, 2]].concat(),
        ),
    ];
    for (what, packet) in cases {
        let mut line = connect(&site, to, Some(&pinned));
        assert!(is_alive(&mut line), "{what}");
        line.write_all(&packet).unwrap();
        assert_eq!(next(&mut line), None, "{what}");
    }
    // A truncated packet waits; the rest of it makes it whole.
    let mut line = connect(&site, to, Some(&pinned));
    let (first, second) = fine.split_at(30);
    line.write_all(first).unwrap();
    line.flush().unwrap();
    line.write_all(second).unwrap();
    assert!(next(&mut line).is_some());
}

/// One client cannot take all connections.
#[test]
fn one_client_has_sixteen_connections() {
    let pinned = Site::new().device("pinned");
    let (site, _gate, to) = furnished(&pinned);
    let mut lines: Vec<Line> = (0..16)
        .map(|_| {
            let mut line = connect(&site, to, Some(&pinned));
            assert!(is_alive(&mut line));
            line
        })
        .collect();
    assert!(!is_alive(&mut connect(&site, to, Some(&pinned))));
    lines.pop();
    // Another client has its own.
    assert!(is_alive(&mut connect(
        &site,
        to,
        Some(&access_point(&site, "ap.example"))
    )));
}

/// Strangers that only connect, from however many ports, do not take the places of clients.
#[test]
fn strangers_that_stall_keep_no_client_out() {
    let pinned = Site::new().device("pinned");
    let (site, _gate, to) = furnished(&pinned);
    let mut kept = connect(&site, to, Some(&pinned));
    assert!(is_alive(&mut kept));
    let stalled: Vec<TcpStream> = (0..16).map(|_| wire(to, "127.0.0.9")).collect();
    // Nobody more gets in from that address; from others they do.
    assert!(!is_alive(&mut connect_from(
        "127.0.0.9",
        &site,
        to,
        Some(&pinned)
    )));
    assert!(is_alive(&mut connect_from(
        "127.0.0.10",
        &site,
        to,
        Some(&pinned)
    )));
    assert!(is_alive(&mut kept));
    // A place is free again when a stranger is gone.
    drop(stalled);
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let mut line = connect_from("127.0.0.9", &site, to, Some(&pinned));
        if is_alive(&mut line) {
            return;
        }
    }
    panic!("the places of strangers that are gone are not free");
}

fn pem_key(pkcs8: &[u8]) -> String {
    let text = STANDARD.encode(pkcs8);
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

/// A proxy that takes RADIUS over UDP and asks the gate over TLS.
const PROXY: &str = r#"
modules {
  realm suffix {
    format = suffix
    delimiter = "@"
  }
}
proxy_requests = yes
home_server gate {
  type = auth
  ipaddr = 127.0.0.1
  port = @GATE@
  proto = tcp
  secret = radsec
  status_check = none
  tls {
    private_key_file = @DIR@/ap.key
    certificate_file = @DIR@/ap.pem
    ca_file = @DIR@/ca.pem
    cipher_list = "DEFAULT"
    tls_min_version = "1.2"
    tls_max_version = "1.3"
    fragment_size = 8192
  }
}
home_server_pool gate {
  type = fail-over
  home_server = gate
}
realm NULL {
  auth_pool = gate
  nostrip
}
server default {
  listen {
    type = auth
    ipaddr = 127.0.0.1
    port = @PORT@
  }
  authorize {
    suffix
  }
}
"#;

/// RFC 6614: another's implementation at the other end of the line.
#[test]
fn freeradius_asks_over_tls() {
    if FreeRadius::is_missing() {
        return;
    }
    let pinned = Site::new().device("pinned");
    let (mut site, gate, to) = furnished(&pinned);
    let device = site.device("device-1");
    site.publish(vec![device.admitted()], &[]);
    gate.until_in_force();
    let access_point = access_point(&site, "ap.example");
    let text = PROXY.replace("@GATE@", &to.port().to_string());
    let proxy = FreeRadius::start(&text, |dir| {
        std::fs::write(dir.join("ap.pem"), access_point.certificate.pem()).unwrap();
        std::fs::write(dir.join("ap.key"), pem_key(&access_point.pkcs8)).unwrap();
        std::fs::write(dir.join("ca.pem"), site.authority.certificate().pem()).unwrap();
    });
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", proxy.port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let over_udp = Shared::new(Secret::new(SECRET.into()));
    let client = Client::new(over_udp, attributes("ap", STATION));
    let ask = |request: &[u8]| {
        let answer = exchange(&socket, request);
        assert_ne!(answer.first(), Some(&3), "{}", proxy.log());
        answer
    };
    let code = carry(&site, &device, client, ask).code;
    assert_eq!(code, Code::AccessAccept, "{}", proxy.log());
}
