//! Dynamic authorization (RFC 5176): the gate's orders to access points, and others' orders to the gate.

use std::io::Write as _;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::SignedDuration;
use vouchsafe_gate::Event;
use vouchsafe_radius::dynamic::{Arrival, Change, Order, Receiver, Target};
use vouchsafe_radius::{Code, Origin, Shared};
use vouchsafe_trust::Secret;

use crate::freeradius::FreeRadius;
use crate::world::{Device, Gate, PATIENCE, SECRET, Site, come_in, now};

const MAC: &str = "02-00-00-00-00-01";

/// An access point that moves sessions to `lamps` and nowhere else, and ends them.
const ACCESS_POINT: &str = r#"
modules {
  always ok {
    rcode = ok
  }
  always reject {
    rcode = reject
  }
}
server default {
  listen {
    type = coa
    ipaddr = 127.0.0.1
    port = @PORT@
    virtual_server = default
  }
  recv-coa {
    if ((&Packet-Type == CoA-Request) && (&Tunnel-Private-Group-Id:0 != "lamps")) {
      reject
    }
    ok
  }
  send-coa {
    ok
  }
}
"#;

fn client(more: &str) -> String {
    format!(
        "[[radius.client]]\nname = \"switch\"\naddress = \"127.0.0.1\"\n\
         secret_file = \"secret\"\n{more}"
    )
}

fn in_segment(site: &mut Site, device: &Device, segment: &str) {
    let mut admitted = device.admitted();
    admitted.segment = Some(segment.to_owned());
    site.publish(vec![admitted], &[]);
}

/// RFC 5176 §2.2, §2.1: Debian's FreeRADIUS as an access point that moves sessions. What it will not do, or
/// nobody does, ends them.
#[test]
fn a_session_is_moved_by_its_access_point_and_ended_where_that_will_not() {
    if FreeRadius::is_missing() {
        return;
    }
    let access_point = FreeRadius::start(ACCESS_POINT, |_| {});
    let mut site = Site::new();
    let at = format!("disconnect = \"127.0.0.1:{}\"\n", access_point.port);
    site.configure("127.0.0.1:0", &client(&format!("{at}coa = true\n")));
    let device = site.device("camera-17");
    in_segment(&mut site, &device, "cameras");
    let gate = site.start();
    let answer = come_in(&site, &gate, &device, "ap-1", MAC);
    assert_eq!(answer.code, Code::AccessAccept);
    in_segment(&mut site, &device, "lamps");
    let moved = gate.until("move", |event| match event {
        Event::SessionMoved {
            device, segment, ..
        } => Some((device.clone(), segment.clone())),
        Event::CutOff { .. } => panic!("cut off: {}", access_point.log()),
        _ => None,
    });
    assert_eq!(moved, ("camera-17".to_owned(), "lamps".to_owned()));
    in_segment(&mut site, &device, "laboratory");
    let by = gate.until("cut", |event| match event {
        Event::CutOff { confirmed_by, .. } => Some(*confirmed_by),
        Event::SessionMoved { .. } => panic!("moved: {}", access_point.log()),
        _ => None,
    });
    assert_eq!(by, "access-point");
}

/// A number is a client's place in `gate.toml`, and others may be put ahead of it while the gate is down. Their
/// word that there is no such session would be taken for the end of one.
#[test]
fn the_sessions_of_a_client_stay_its_own_when_others_are_put_ahead_of_it() {
    let bind = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let (switch, other) = (bind(), bind());
    let at = |socket: &UdpSocket| format!("disconnect = \"{}\"\n", socket.local_addr().unwrap());
    let mut site = Site::new();
    site.configure("127.0.0.1:0", &client(&at(&switch)));
    let device = site.device("camera-17");
    site.publish(vec![device.admitted()], &[]);
    let gate = site.start();
    come_in(&site, &gate, &device, "ap-1", MAC);
    drop(gate);
    let ahead = format!(
        "[[radius.client]]\nname = \"other\"\naddress = \"127.0.0.9\"\nsecret_file = \"secret\"\n{}",
        at(&other)
    );
    let more = format!("{ahead}{}", client(&at(&switch)));
    site.configure("127.0.0.1:0", &more);
    site.publish(Vec::new(), &[&device]);
    let _gate = site.start();
    let mut order = [0; 4096];
    switch.recv(&mut order).unwrap();
    // RFC 5176 §3: Disconnect-Request.
    assert_eq!(order[0], 40);
    other.set_nonblocking(true).unwrap();
    assert!(other.recv(&mut order).is_err(), "an order to another");
}

/// A gate that takes orders of 127.0.0.1, with one device in at a switch there.
struct Ordered {
    site: Site,
    device: Device,
    gate: Gate,
    switch: UdpSocket,
}

impl Ordered {
    fn begin() -> Self {
        let switch = UdpSocket::bind("127.0.0.1:0").unwrap();
        switch.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut site = Site::new();
        let more = format!(
            "orders = true\ndisconnect = \"{}\"\n",
            switch.local_addr().unwrap()
        );
        let dynamic = format!("dynamic = \"127.0.0.1:0\"\n{}", client(&more));
        site.configure("127.0.0.1:0", &dynamic);
        let device = site.device("camera-17");
        in_segment(&mut site, &device, "cameras");
        let gate = site.start();
        let ordered = Self {
            site,
            device,
            gate,
            switch,
        };
        ordered.come_in();
        ordered
    }

    fn come_in(&self) {
        let answer = come_in(&self.site, &self.gate, &self.device, "ap-1", MAC);
        assert_eq!(answer.code, Code::AccessAccept);
    }

    /// The switch obeys one Disconnect-Request.
    fn obey(&self) {
        let origin = Origin {
            client: 0,
            address: [0; 16],
            port: 0,
        };
        let mut receiver = Receiver::default();
        let mut buffer = [0; 4096];
        let (length, from) = self.switch.recv_from(&mut buffer).unwrap();
        let arrival = receiver.receive(now(), origin, &shared(), &buffer[..length]);
        let Ok(Arrival::Fresh(order)) = arrival else {
            panic!("{arrival:?}");
        };
        assert_eq!(*order.change(), Change::Disconnect);
        let answer = order.acknowledge(&mut receiver, now(), &shared()).unwrap();
        self.switch.send_to(&answer, from).unwrap();
    }

    /// What `radclient` says of its order.
    fn radclient(&self, kind: &str, secret: &str, attributes: &str) -> String {
        let mut child = Command::new("radclient")
            .args(["-x", "-r", "1", "-t", "3"])
            .arg(self.gate.dynamic.unwrap().to_string())
            .args([kind, secret])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(attributes.as_bytes()).unwrap();
        drop(input);
        if kind == "disconnect" && secret == SECRET && attributes.contains("obeyed") {
            self.obey();
        }
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }
}

fn shared() -> Shared {
    Shared::new(Secret::new(SECRET.into()))
}

fn is_radclient_missing() -> bool {
    let is_missing = Command::new("radclient").arg("-v").output().is_err();
    if is_missing {
        assert!(std::env::var_os("CI").is_none(), "no radclient");
        eprintln!("skipped: no radclient");
    }
    is_missing
}

/// RFC 5176 §3.5, §6.3: what radclient may ask, what is refused by name, and what gets no answer.
#[test]
fn radclient_ends_a_session_and_puts_none_elsewhere() {
    if is_radclient_missing() {
        return;
    }
    let ordered = Ordered::begin();
    let timed = |seconds: i64, more: &str| {
        let at = now() + SignedDuration::from_secs(seconds);
        format!(
            "Calling-Station-Id = \"{MAC}\"\nEvent-Timestamp = {}\n{more}",
            at.as_second()
        )
    };
    let segment = |name: &str| {
        format!(
            "Tunnel-Type = VLAN\nTunnel-Medium-Type = IEEE-802\n\
             Tunnel-Private-Group-Id = \"{name}\"\n"
        )
    };
    // Where a device belongs is the controller's word.
    let said = ordered.radclient("coa", SECRET, &timed(0, &segment("laboratory")));
    assert!(said.contains("CoA-NAK"), "{said}");
    assert!(said.contains("Administratively-Prohibited"), "{said}");
    let said = ordered.radclient("coa", SECRET, &timed(0, &segment("cameras")));
    assert!(said.contains("CoA-ACK"), "{said}");
    // Another session; nothing of now; another secret.
    let other = timed(0, "Acct-Session-Id = \"session-9\"\n");
    let said = ordered.radclient("disconnect", SECRET, &other);
    assert!(said.contains("Session-Context-Not-Found"), "{said}");
    let untimed = format!("Calling-Station-Id = \"{MAC}\"\n");
    for (secret, attributes) in [
        (SECRET, untimed),
        (SECRET, timed(-330, "")),
        (SECRET, timed(330, "")),
        ("another secret of ours", timed(0, "")),
    ] {
        let said = ordered.radclient("disconnect", secret, &attributes);
        assert!(said.contains("No reply"), "{said}");
    }
    // It is acknowledged when the switch has confirmed, and the device may come back.
    let said = ordered.radclient("disconnect", SECRET, &timed(0, "User-Name = \"obeyed\"\n"));
    assert!(said.contains("Disconnect-ACK"), "{said}");
    let cut = ordered.gate.until("cut", |event| match event {
        Event::CutOff { device, .. } => Some(device.clone()),
        _ => None,
    });
    assert_eq!(cut, "camera-17");
    ordered.come_in();
}

/// RFC 5176 §6.3: somebody else sends again what was once good.
#[test]
fn a_replayed_order_ends_nothing() {
    let ordered = Ordered::begin();
    let order = Order {
        change: Change::Disconnect,
        target: Target {
            calling_station: Some(MAC.to_owned()),
            ..Target::default()
        },
    };
    let (datagram, _) = order.datagram(&shared(), 1, now()).unwrap();
    let send = |wait: Duration| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(ordered.gate.dynamic.unwrap()).unwrap();
        socket.set_read_timeout(Some(wait)).unwrap();
        socket.send(&datagram).unwrap();
        socket
    };
    let mut buffer = [0; 4096];
    let first = send(PATIENCE);
    ordered.obey();
    assert!(first.recv(&mut buffer).is_ok());
    ordered.come_in();
    let replay = send(Duration::from_secs(1));
    assert!(replay.recv(&mut buffer).is_err(), "it was answered");
    // The very sender gets the answer of before, and that is all.
    first.send(&datagram).unwrap();
    assert!(first.recv(&mut buffer).is_ok());
    ordered
        .switch
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    assert!(ordered.switch.recv(&mut buffer).is_err(), "it was obeyed");
}
