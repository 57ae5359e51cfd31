//! The join proxy (RFC 8995 §4.1) between a device and a registrar, both played by the test.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use vouchsafe_gate::Event;

use crate::world::{Gate, PATIENCE, Site};

/// A gate whose join proxy leads to `registrar`, and where its proxy is.
fn start(registrar: &str, more: &str) -> (Gate, SocketAddr, Site) {
    let site = Site::new();
    site.configure(
        "127.0.0.1:0",
        &format!(
            "[join_proxy]\nlisten = \"127.0.0.1:0\"\nannounce = false\ninterfaces = [\"loopback\"]\n\
             registrar = \"{registrar}\"\n{more}"
        ),
    );
    let gate = site.start();
    let proxy = gate.until("join proxy", |event| match event {
        Event::JoinProxyReady { join_proxy, .. } => Some(join_proxy.parse().unwrap()),
        _ => None,
    });
    (gate, proxy, site)
}

fn registrar() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn connect(proxy: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits for the end of a circuit: all that still came.
fn until_closed(mut stream: &TcpStream) -> usize {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => rest.len(),
        Err(error) => panic!("not closed: {error}"),
    }
}

fn ended(gate: &Gate) -> (u64, &'static str) {
    gate.until("circuit's end", |event| match event {
        Event::Circuit { octets, ended, .. } => Some((*octets, *ended)),
        _ => None,
    })
}

fn refused(gate: &Gate) -> &'static str {
    gate.until("refused circuit", |event| match event {
        Event::CircuitRefused { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn octets_pass_unchanged_both_ways_and_each_side_may_end_its_own() {
    let (listener, address) = registrar();
    let (gate, proxy, _site) = start(&address, "");
    let mut device = connect(proxy);
    let mut far = accept(&listener);
    device.write_all(b"pledge").unwrap();
    let mut buffer = [0; 6];
    far.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"pledge");
    device.shutdown(Shutdown::Write).unwrap();
    // The device has said all; the registrar has not.
    assert_eq!(far.read(&mut buffer).unwrap(), 0);
    far.write_all(b"voucher").unwrap();
    drop(far);
    let mut answer = Vec::new();
    device.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"voucher");
    assert_eq!(ended(&gate), (13, "closed"));
}

#[test]
fn a_device_that_sends_too_much_is_cut_off() {
    let (listener, address) = registrar();
    let (gate, proxy, _site) = start(&address, "octets = 1000\n");
    let mut device = connect(proxy);
    let mut far = accept(&listener);
    device.write_all(&[0; 1000]).unwrap();
    far.read_exact(&mut [0; 1000]).unwrap();
    device.write_all(&[0]).unwrap();
    // Not one octet more arrives.
    assert_eq!(until_closed(&far), 0);
    until_closed(&device);
    assert_eq!(ended(&gate), (1001, "too-many-octets"));
}

#[test]
fn a_registrar_that_sends_too_much_is_cut_off() {
    let (listener, address) = registrar();
    let (gate, proxy, _site) = start(&address, "octets = 1000\n");
    let device = connect(proxy);
    let mut far = accept(&listener);
    far.write_all(&[0; 1001]).unwrap();
    until_closed(&device);
    assert_eq!(ended(&gate).1, "too-many-octets");
}

#[test]
fn silence_ends_a_circuit() {
    let (listener, address) = registrar();
    let (gate, proxy, _site) = start(&address, "idle_seconds = 1\n");
    let device = connect(proxy);
    let far = accept(&listener);
    until_closed(&device);
    until_closed(&far);
    assert_eq!(ended(&gate), (0, "idle"));
}

#[test]
fn a_circuit_ends_however_busy_it_is() {
    let (listener, address) = registrar();
    let (gate, proxy, _site) = start(&address, "total_seconds = 1\n");
    let mut device = connect(proxy);
    let mut far = accept(&listener);
    // A slow drip, as an attacker who keeps a circuit would send.
    while device.write_all(b".").is_ok() && far.read_exact(&mut [0]).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(ended(&gate).1, "too-long");
}

#[test]
fn an_address_gets_its_share_and_no_more() {
    let (listener, address) = registrar();
    let (gate, proxy, _site) = start(&address, "circuits_per_address = 2\n");
    let mut devices = [connect(proxy), connect(proxy)];
    let mut far = [accept(&listener), accept(&listener)];
    assert_eq!(until_closed(&connect(proxy)), 0);
    assert_eq!(refused(&gate), "too-many-from-address");
    // Those that are there go on. Which one is which the registrar cannot tell.
    for device in &mut devices {
        device.write_all(b"x").unwrap();
    }
    for each in &mut far {
        each.read_exact(&mut [0]).unwrap();
    }
    drop((far, devices));
    ended(&gate);
    ended(&gate);
    // Its share is free again.
    let mut device = connect(proxy);
    device.write_all(b"y").unwrap();
    accept(&listener).read_exact(&mut [0]).unwrap();
}

#[test]
fn all_addresses_together_get_what_there_is() {
    let (listener, address) = registrar();
    let (gate, proxy, _site) = start(&address, "circuits = 1\n");
    let _device = connect(proxy);
    let _far = accept(&listener);
    assert_eq!(until_closed(&connect(proxy)), 0);
    assert_eq!(refused(&gate), "too-many-circuits");
}

#[test]
fn without_a_registrar_that_answers_a_device_is_told_so_by_the_end() {
    let (listener, address) = registrar();
    drop(listener);
    let (gate, proxy, _site) = start(&address, "");
    assert_eq!(until_closed(&connect(proxy)), 0);
    assert_eq!(ended(&gate), (0, "no-registrar"));
}

/// Nothing that a device sends says where it goes: a request to a proxy of the other kind, and the
/// greeting of a SOCKS client, reach the registrar as they are.
#[test]
fn nothing_but_the_registrar_is_reached_whatever_a_device_asks_for() {
    let (listener, address) = registrar();
    let (_gate, proxy, _site) = start(&address, "");
    for wish in [
        b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n".as_slice(),
        b"\x05\x01\x00",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n",
    ] {
        let mut device = connect(proxy);
        let mut far = accept(&listener);
        device.write_all(wish).unwrap();
        let mut came = vec![0; wish.len()];
        far.read_exact(&mut came).unwrap();
        assert_eq!(came, wish);
    }
}

#[test]
fn a_proxy_that_knows_no_way_is_refused_when_it_is_configured() {
    for (wrong, what) in [
        ("[join_proxy]\n", "join_proxy.registrar"),
        ("[join_proxy]\nregistrar = \"nowhere\"\n", "HOST:PORT"),
        ("[join_proxy]\nregistrar = \"a:0\"\n", "HOST:PORT"),
        (
            "[join_proxy]\nregistrar = \"a:1\"\ncircuits = 0\n",
            "join_proxy.circuits",
        ),
        (
            "[join_proxy]\nregistrar = \"a:1\"\ninterfaces = [\"eth0; drop\"]\n",
            "no name of an interface",
        ),
    ] {
        let site = Site::new();
        site.configure("127.0.0.1:0", wrong);
        let error = vouchsafe_gate::Config::read(site.folder.path()).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}
