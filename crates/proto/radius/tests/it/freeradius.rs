//! FreeRADIUS: as a server behind our peer, as a proxy in front of our server, and for dynamic
//! authorization in both directions.

use std::io::Write as _;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vouchsafe_radius::dynamic::{Arrival, Change, Order, Outcome, Receiver, Target};
use vouchsafe_radius::{
    Client, Code, Connector, FragmentSize, Limits, Peer, PeerStep, Refusal, Resumption, Step,
    Versions,
};

use crate::eapol::{is_missing, pem_key, site, today};
use crate::world::{
    Identity, SECRET, World, attributes, device_profile, issue, now, origin, random, shared,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A FreeRADIUS of our own configuration; it ends with the test.
struct FreeRadius {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Drop for FreeRadius {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago: FreeRADIUS cannot choose one itself.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

impl FreeRadius {
    /// `modules` and `server` go into the sections of that name, `more` stands beside them; `@DIR@` and
    /// `@PORT@` are replaced.
    fn start(modules: &str, server: &str, more: &str, furnish: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        furnish(dir);
        let port = free_port();
        let text = format!(
            "prefix = /usr\nlogdir = @DIR@\nraddbdir = @DIR@\nrun_dir = @DIR@\ndb_dir = @DIR@\n\
             libdir = /usr/lib/freeradius\npidfile = @DIR@/pid\nmax_request_time = 30\n\
             log {{\n destination = stdout\n}}\n\
             security {{\n reject_delay = 0\n status_server = yes\n allow_core_dumps = no\n}}\n\
             client local {{\n ipaddr = 127.0.0.1\n secret = \"{SECRET}\"\n}}\n\
             modules {{\n{modules}\n}}\n{more}\n\
             server default {{\n{server}\n}}\n"
        );
        let text = text
            .replace("@DIR@", &dir.display().to_string())
            .replace("@PORT@", &port.to_string());
        std::fs::write(dir.join("radiusd.conf"), text).unwrap();
        std::fs::write(dir.join("dictionary"), "").unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let child = Command::new("freeradius")
            .arg("-X")
            .arg("-d")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut started = Self {
            child,
            folder,
            port,
        };
        let end = Instant::now() + PATIENCE;
        while !started.log().contains("Ready to process requests") {
            let ended = started.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "{}", started.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        started
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// EAP-TLS as FreeRADIUS does it, with our authority.
const EAP: &str = "eap {\n default_eap_type = tls\n tls-config tls-common {\n  private_key_file = @DIR@/server.key\n  \
     certificate_file = @DIR@/server.pem\n  ca_file = @DIR@/ca.pem\n  cipher_list = \"DEFAULT\"\n  \
     tls_min_version = \"1.2\"\n  tls_max_version = \"1.3\"\n  ecdh_curve = \"\"\n }\n tls {\n  tls = tls-common\n }\n}";

const SERVER: &str = "listen {\n type = auth\n ipaddr = 127.0.0.1\n port = @PORT@\n}\n\
     authorize {\n eap\n}\nauthenticate {\n eap\n}";

/// A station's attempt at a server over UDP: the last code, and whether the keys are the same.
fn come_in(port: u16, connector: Connector, identity: &str) -> Result<Code, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut attributes = attributes();
    attributes[0].1 = identity.as_bytes().to_vec();
    let mut client = Client::new(shared(), attributes);
    let mut peer = Box::new(Peer::new(connector, identity, FragmentSize::default()));
    let mut eap = vec![1, 0, 0, 5, 1];
    let today = jiff::Timestamp::now();
    for number in 0..60 {
        let response = match peer.handle(today, &eap) {
            Ok(PeerStep::Respond(next, response)) => {
                peer = next;
                response
            }
            Ok(_) => return Err("nothing to say".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        let (datagram, open) = client.request(number, &response, random()).unwrap();
        let mut buffer = [0; 4096];
        let mut length = 0;
        for _ in 0..6 {
            socket.send(&datagram).unwrap();
            if let Ok(received) = socket.recv(&mut buffer) {
                length = received;
                break;
            }
        }
        let answer = client
            .answer(&open, &buffer[..length])
            .map_err(|error| error.to_string())?;
        eap = answer.eap.clone().unwrap_or_default();
        match answer.code {
            Code::AccessAccept => {
                let Ok(PeerStep::Done(proof)) = peer.handle(today, &eap) else {
                    return Err("accepted too early".to_owned());
                };
                client
                    .check_keys(&open, &answer, proof.keys.msk.expose())
                    .map_err(|error| error.to_string())?;
                return Ok(Code::AccessAccept);
            }
            Code::AccessReject => return Ok(Code::AccessReject),
            _ => {}
        }
    }
    Err("no end".to_owned())
}

fn furnish(dir: &Path, world: &World) {
    std::fs::write(dir.join("ca.pem"), world.authority.certificate().pem()).unwrap();
    std::fs::write(dir.join("server.pem"), world.server.certificate.pem()).unwrap();
    std::fs::write(dir.join("server.key"), pem_key(&world.server.key)).unwrap();
}

fn device(world: &World) -> Identity {
    issue(&world.authority, &device_profile("17"), today())
}

#[test]
fn our_peer_comes_in_at_freeradius() {
    if is_missing("freeradius") {
        return;
    }
    let world = World::valid_during(today());
    let server = FreeRadius::start(EAP, SERVER, "", |dir| furnish(dir, &world));
    let device = device(&world);
    for versions in [Versions::Tls12, Versions::Tls13] {
        let connector = world.connector(&device).with_versions(versions);
        let code = come_in(server.port, connector, "17");
        assert_eq!(
            code,
            Ok(Code::AccessAccept),
            "{versions:?}\n{}",
            server.log()
        );
    }
    // A stranger is not let in there either.
    let stranger = self::device(&World::valid_during(today()));
    let refused = come_in(server.port, world.connector(&stranger), "17");
    assert_ne!(refused, Ok(Code::AccessAccept));
}

/// RFC 2865 §5.33: Proxy-State goes back as it came, and the proxy translates the keys.
#[test]
fn a_device_comes_in_through_freeradius_as_a_proxy() {
    if is_missing("freeradius") {
        return;
    }
    let world = World::valid_during(today());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let port = socket.local_addr().unwrap().port();
    let home = format!(
        "home_server ours {{\n type = auth\n ipaddr = 127.0.0.1\n port = {port}\n secret = \"{SECRET}\"\n \
         status_check = status-server\n}}\n\
         home_server_pool ours {{\n type = fail-over\n home_server = ours\n}}\n\
         realm example.org {{\n auth_pool = ours\n nostrip\n}}\nproxy_requests = yes"
    );
    let modules = "realm suffix {\n format = suffix\n delimiter = \"@\"\n}";
    let server =
        "listen {\n type = auth\n ipaddr = 127.0.0.1\n port = @PORT@\n}\nauthorize {\n suffix\n}";
    let proxy = FreeRadius::start(modules, server, &home, |_| {});
    let done = Arc::new(AtomicBool::new(false));
    let device = device(&world);
    let attempts = {
        let (done, port) = (done.clone(), proxy.port);
        let connectors = [Versions::Tls12, Versions::Tls13]
            .map(|versions| world.connector(&device).with_versions(versions));
        std::thread::spawn(move || {
            let codes = connectors.map(|connector| come_in(port, connector, "@example.org"));
            done.store(true, Ordering::Release);
            codes
        })
    };
    let mut site = site(&world, Limits::default(), Resumption::Forbidden);
    let mut buffer = [0; 5000];
    while !done.load(Ordering::Acquire) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        if let Step::Send(answer, _) = site.handle(&buffer[..length]) {
            socket.send_to(&answer, from).unwrap();
        }
    }
    let codes = attempts.join().unwrap();
    let accepted = [Ok(Code::AccessAccept), Ok(Code::AccessAccept)];
    assert_eq!(codes, accepted, "{}", proxy.log());
    assert_eq!(site.questions, 4);
}

/// RFC 5176: our order, FreeRADIUS's answer.
#[test]
fn freeradius_acknowledges_our_disconnect() {
    if is_missing("freeradius") {
        return;
    }
    let server = "listen {\n type = coa\n ipaddr = 127.0.0.1\n port = @PORT@\n virtual_server = default\n}\n\
         recv-coa {\n ok\n}\nsend-coa {\n ok\n}";
    let modules = "always ok {\n rcode = ok\n}";
    let receiver = FreeRadius::start(modules, server, "", |_| {});
    let order = Order {
        change: Change::Disconnect,
        target: Target {
            calling_station: Some("02-00-00-00-00-01".to_owned()),
            ..Target::default()
        },
    };
    let today = jiff::Timestamp::now();
    let (datagram, sent) = order.datagram(&shared(), 5, today).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", receiver.port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(&datagram).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    let outcome = sent.outcome(&shared(), &buffer[..length]);
    assert_eq!(outcome, Ok(Outcome::Done), "{}", receiver.log());
}

/// RFC 5176: radclient's order, our answer; and none to one without a time or under another secret.
#[test]
fn radclient_disconnects_and_is_refused_where_it_proves_nothing() {
    if is_missing("radclient") {
        return;
    }
    let radclient = |secret: &str, attributes: &str, answer: bool| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let mut child = Command::new("radclient")
            .args(["-x", "-r", "1", "-t", "5"])
            .arg(format!("127.0.0.1:{port}"))
            .args(["disconnect", secret])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(attributes.as_bytes()).unwrap();
        drop(input);
        let mut buffer = [0; 4096];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        let mut receiver = Receiver::default();
        let arrival = receiver.receive(now(), origin(), &shared(), &buffer[..length]);
        let result = match arrival {
            Ok(Arrival::Fresh(received)) => {
                let sent = received.acknowledge(&mut receiver, now(), &shared());
                socket.send_to(&sent.unwrap(), from).unwrap();
                Ok(received.station().mac)
            }
            Ok(Arrival::Repeated(_)) => unreachable!(),
            Err(error) => Err(error),
        };
        if answer {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("Disconnect-ACK"), "{text}");
        } else {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        result
    };
    let station = "Calling-Station-Id = \"02-00-00-00-00-01\"\n";
    let timed = format!("{station}Event-Timestamp = {}\n", now().as_second());
    let mac = Some([2, 0, 0, 0, 0, 1]);
    assert_eq!(radclient(SECRET, &timed, true), Ok(mac));
    let missing = Err(Refusal::EventTimestampMissing.into());
    assert_eq!(radclient(SECRET, station, false), missing);
    let wrong = Err(Refusal::AuthenticatorWrong.into());
    assert_eq!(radclient("another secret", &timed, false), wrong);
}
