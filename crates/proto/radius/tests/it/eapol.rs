//! The server against `eapol_test`, wpa_supplicant's own test client, over UDP.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vouchsafe_radius::{FragmentSize, Limits, Resumption, SessionMemory, Step};
use vouchsafe_trust::{Certificate, Validity};

use crate::world::{Identity, SECRET, Site, World, device_profile, issue};

/// Whether the test must be skipped. With `CI` set a missing tool is a failure.
pub(crate) fn is_missing(tool: &str) -> bool {
    if Command::new(tool).arg("-v").output().is_ok() {
        return false;
    }
    assert!(std::env::var_os("CI").is_none(), "no {tool}");
    eprintln!("skipped: no {tool}");
    true
}

/// Certificates that are valid on the day of the test.
pub(crate) fn today() -> Validity {
    Validity::new(
        "2020-01-01T00:00:00Z".parse().unwrap(),
        "2120-01-01T00:00:00Z".parse().unwrap(),
    )
}

fn world() -> World {
    World::valid_during(today())
}

pub(crate) fn pem_key(key: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    let encoded = base64(key);
    for line in encoded.as_bytes().chunks(64) {
        writeln!(text, "{}", std::str::from_utf8(line).unwrap()).unwrap();
    }
    text + "-----END PRIVATE KEY-----\n"
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut number = 0_usize;
        for index in 0..3 {
            number = number << 8 | usize::from(*group.get(index).unwrap_or(&0));
        }
        for index in 0..4 {
            let digit = if index <= group.len() {
                DIGITS[number >> (18 - 6 * index) & 63]
            } else {
                b'='
            };
            text.push(char::from(digit));
        }
    }
    text
}

struct Run<'a> {
    device: &'a Identity,
    anchor: &'a Certificate,
    tls13: bool,
    fragment: u16,
    again: u8,
}

fn eapol_test(folder: &Path, site: &mut Site, run: &Run<'_>) -> Output {
    let path = |name: &str| folder.join(name);
    std::fs::write(path("ca.pem"), run.anchor.pem()).unwrap();
    std::fs::write(path("device.pem"), run.device.certificate.pem()).unwrap();
    std::fs::write(path("device.key"), pem_key(&run.device.key)).unwrap();
    let phase1 = if run.tls13 {
        "tls_disable_tlsv1_3=0"
    } else {
        "tls_disable_tlsv1_3=1"
    };
    let network = format!(
        "network={{\n key_mgmt=WPA-EAP\n eap=TLS\n identity=\"@example.org\"\n ca_cert=\"{}\"\n \
         client_cert=\"{}\"\n private_key=\"{}\"\n phase1=\"{phase1}\"\n fragment_size={}\n}}\n",
        path("ca.pem").display(),
        path("device.pem").display(),
        path("device.key").display(),
        run.fragment
    );
    std::fs::write(path("network.conf"), network).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let port = socket.local_addr().unwrap().port();
    let done = Arc::new(AtomicBool::new(false));
    let command = {
        let done = done.clone();
        let mut command = Command::new("eapol_test");
        command
            .arg("-c")
            .arg(path("network.conf"))
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-s", SECRET])
            .args(["-t", "60", "-r", &run.again.to_string()]);
        std::thread::spawn(move || {
            let output = command.output();
            done.store(true, Ordering::Release);
            output
        })
    };
    let mut buffer = [0; 5000];
    while !done.load(Ordering::Acquire) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        if let Step::Send(answer, _) = site.handle(&buffer[..length]) {
            socket.send_to(&answer, from).unwrap();
        }
    }
    command.join().unwrap().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A site whose clock shows today.
pub(crate) fn site(world: &World, limits: Limits, resumption: Resumption) -> Site {
    let mut site = Site::with_limits(world.acceptor().with_resumption(resumption), limits);
    site.now = world.now;
    site
}

#[test]
fn eapol_test_comes_in_with_both_versions_whole_and_in_fragments() {
    if is_missing("eapol_test") {
        return;
    }
    let world = world();
    let device = issue(&world.authority, &device_profile("17"), today());
    let folder = tempfile::tempdir().unwrap();
    for tls13 in [false, true] {
        for fragment in [1398, 110] {
            let limits = Limits {
                fragment: FragmentSize::new(fragment).unwrap(),
                ..Limits::default()
            };
            let mut site = site(&world, limits, Resumption::Forbidden);
            let run = Run {
                device: &device,
                anchor: world.authority.certificate(),
                tls13,
                fragment,
                again: 0,
            };
            let output = eapol_test(folder.path(), &mut site, &run);
            let text = text(&output);
            assert!(output.status.success(), "{text}");
            assert!(text.contains("MPPE keys OK: 1  mismatch: 0"), "{text}");
            assert!(text.contains("EAP-Key-Name") || site.questions == 2);
        }
    }
}

#[test]
fn eapol_test_resumes_where_that_is_allowed_and_not_elsewhere() {
    if is_missing("eapol_test") {
        return;
    }
    let world = world();
    let device = issue(&world.authority, &device_profile("17"), today());
    let folder = tempfile::tempdir().unwrap();
    for tls13 in [false, true] {
        for allowed in [false, true] {
            let resumption = if allowed {
                Resumption::Remembered(SessionMemory::new(64))
            } else {
                Resumption::Forbidden
            };
            let mut site = site(&world, Limits::default(), resumption);
            let run = Run {
                device: &device,
                anchor: world.authority.certificate(),
                tls13,
                fragment: 1398,
                again: 1,
            };
            let output = eapol_test(folder.path(), &mut site, &run);
            let text = text(&output);
            assert!(output.status.success(), "{text}");
            assert_eq!(site.resumed, allowed, "TLS 1.3: {tls13}");
        }
    }
}

/// The device learns why (RFC 5216 §2.1.3): the alert comes before the failure.
#[test]
fn eapol_test_hears_that_its_certificate_is_revoked_or_unknown() {
    if is_missing("eapol_test") {
        return;
    }
    let mut world = world();
    let revoked = issue(&world.authority, &device_profile("17"), today());
    world.revoke(&[&revoked]);
    let stranger = {
        let elsewhere = self::world();
        issue(&elsewhere.authority, &device_profile("17"), today())
    };
    let folder = tempfile::tempdir().unwrap();
    for tls13 in [false, true] {
        for (device, alert) in [(&revoked, "certificate revoked"), (&stranger, "unknown CA")] {
            let mut site = site(&world, Limits::default(), Resumption::Forbidden);
            let run = Run {
                device,
                anchor: world.authority.certificate(),
                tls13,
                fragment: 1398,
                again: 0,
            };
            let output = eapol_test(folder.path(), &mut site, &run);
            let text = text(&output);
            assert!(!output.status.success(), "{text}");
            assert!(text.contains(alert), "{text}");
            assert_eq!(site.questions, 0);
        }
    }
}
