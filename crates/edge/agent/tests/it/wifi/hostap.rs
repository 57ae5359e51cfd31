//! Debian's `wpa_supplicant` as controller, without a radio (`-Dnone`).

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vouchsafe_agent::enrollee::{self, Parameters};
use vouchsafe_dpp::object::{Akm, NetRole};
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{Agreement as _, BootstrappingKey, Curve};
use vouchsafe_keystore::random;

use super::controller::key;
use crate::world::now;

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(60);

/// A `wpa_supplicant` of our own, ended by its own id.
pub(super) struct Supplicant {
    child: Child,
    /// Its control socket.
    pub(super) socket: PathBuf,
    control: UnixDatagram,
    /// A port that was free a moment ago.
    port: u16,
    _dir: tempfile::TempDir,
}

impl Supplicant {
    pub(super) fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("control");
        let configuration = dir.path().join("supplicant.conf");
        let text = format!("ctrl_interface={}\n", folder.display());
        std::fs::write(&configuration, text).unwrap();
        let spawned = Command::new("wpa_supplicant")
            .args(["-Dnone", "-ilo", "-c"])
            .arg(&configuration)
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            assert!(std::env::var_os("CI").is_none(), "no wpa_supplicant");
            println!("skipped: no wpa_supplicant");
            return None;
        };
        let socket = folder.join("lo");
        let control = connect(&socket);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let supplicant = Self {
            child,
            socket,
            control,
            port: free.local_addr().unwrap().port(),
            _dir: dir,
        };
        assert_eq!(supplicant.ask("PING"), "PONG");
        Some(supplicant)
    }

    pub(super) fn ask(&self, command: &str) -> String {
        self.control.send(command.as_bytes()).unwrap();
        let mut reply = [0; 4096];
        let length = self.control.recv(&mut reply).unwrap();
        let reply = std::str::from_utf8(&reply[..length]).unwrap();
        reply.trim_end().to_owned()
    }

    pub(super) fn done(&self, command: &str) {
        assert_eq!(self.ask(command), "OK", "{command}");
    }

    /// Makes it a controller for one kind of network, and gives its URI.
    fn control(&self, network: &str, curve: Curve, mutual: bool) -> BootstrappingUri {
        let curve = curve.jwk_name();
        let configurator = self.ask(&format!("DPP_CONFIGURATOR_ADD curve={curve}"));
        let own = self.ask(&format!("DPP_BOOTSTRAP_GEN type=qrcode curve={curve}"));
        let uri = self.ask(&format!("DPP_BOOTSTRAP_GET_URI {own}"));
        // The value begins with a space, or it is not taken.
        self.done(&format!(
            "SET dpp_configurator_params  {network} ssid={} configurator={configurator}",
            hex(b"plant")
        ));
        let qr = if mutual { " qr=mutual" } else { "" };
        self.done(&format!("DPP_CONTROLLER_START tcp_port={}{qr}", self.port));
        uri.parse().unwrap()
    }

    async fn enrol(
        &self,
        key: &BootstrappingKey,
        controller: Option<&BootstrappingUri>,
    ) -> enrollee::Offer {
        let parameters = Parameters {
            key: Arc::new(key.clone()),
            controller: controller.map(|uri| uri.key().clone()),
            before: None,
            code: None,
            name: "lamp 3".to_owned(),
            serial: "LAMP-3".to_owned(),
            mud_url: None,
            role: NetRole::Station,
            version: 3,
            patience: LONG,
        };
        let address = ([127, 0, 0, 1], self.port).into();
        let enrolled = enrollee::enrol(address, &parameters, now(), &|step| println!("{step:?}"));
        enrolled.await.unwrap()
    }
}

impl Drop for Supplicant {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until somebody listens at this socket.
fn connect(path: &PathBuf) -> UnixDatagram {
    let number = u64::from_be_bytes(random::bytes());
    let name = format!("vouchsafe-test-{number:016x}");
    let own = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let socket = UnixDatagram::bind_addr(&own).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let deadline = Instant::now() + LONG;
    while socket.connect(path).is_err() {
        assert!(Instant::now() < deadline, "wpa_supplicant does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
    socket
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn debian_s_controller_answers_our_announcement_on_every_curve() {
    for curve in Curve::AVAILABLE {
        let Some(supplicant) = Supplicant::start() else {
            return;
        };
        supplicant.control("conf=sta-dpp", curve, false);
        let key = key(curve);
        let uri = BootstrappingUri::new(key.public_key().clone());
        supplicant.ask(&format!("DPP_QR_CODE {uri}"));
        let offer = supplicant.enrol(&key, None).await;
        let object = &offer.objects()[0];
        assert_eq!(object.ssid.octets(), b"plant");
        assert_eq!(object.credential.akm(), Akm::Dpp);
        offer.accept().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn debian_s_controller_and_we_prove_ourselves_to_each_other() {
    let Some(supplicant) = Supplicant::start() else {
        return;
    };
    let password = hex(b"correct horse");
    let network = format!("conf=sta-sae pass={password}");
    let controller = supplicant.control(&network, Curve::P256, true);
    let key = key(Curve::P256);
    let uri = BootstrappingUri::new(key.public_key().clone());
    supplicant.ask(&format!("DPP_QR_CODE {uri}"));
    let offer = supplicant.enrol(&key, Some(&controller)).await;
    assert!(offer.authenticated().mutual());
    let password = offer.objects()[0].credential.password().unwrap();
    assert_eq!(password.expose_text(), Some("correct horse"));
    offer.accept().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostap_takes_the_key_that_the_factory_makes_for_it() {
    let Some(supplicant) = Supplicant::start() else {
        return;
    };
    for curve in Curve::AVAILABLE {
        let key = key(curve);
        let der = key.private().to_sec1_der();
        let own = supplicant.ask(&format!(
            "DPP_BOOTSTRAP_GEN type=qrcode curve={curve} key={}",
            hex(der.expose())
        ));
        let uri = supplicant.ask(&format!("DPP_BOOTSTRAP_GET_URI {own}"));
        let uri: BootstrappingUri = uri.parse().unwrap();
        assert_eq!(uri.key(), key.public_key(), "{curve}");
    }
}
