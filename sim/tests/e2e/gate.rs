//! A gate beside a controller, the access point that asks it, and stations that want to come in.

use std::collections::VecDeque;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use vouchsafe_keystore::{KeyStore, Sealer, StoreUri};
use vouchsafe_net::{Clock, Identity};
use vouchsafe_radius::dynamic::{Arrival, Receiver};
use vouchsafe_radius::{
    Client, Code, Connector, Error, FragmentSize, Origin, Peer, PeerStep, Shared, Trust, attribute,
};
use vouchsafe_trust::{Anchors, Certificate, Revocation, Secret};

use crate::process::{Ended, PATIENCE, Process};
use crate::tools;
use crate::world::{Controller, Device, Place};

/// What the access point and the gate share.
pub(crate) const SECRET: &str = "the secret of the hall's switch";

/// A running gate.
pub(crate) struct Gate {
    /// None where it runs within its controller's.
    process: Option<Process>,
    /// What it said before it was ready.
    early: VecDeque<Value>,
    dir: PathBuf,
    access: SocketAddr,
    access_point: UdpSocket,
    receiver: Receiver,
}

/// What becomes of a station's attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The access point may let it in, with the same keys on both sides.
    In,
    /// The gate says no.
    Refused,
    /// The station does not believe that this is its network.
    Distrusts(String),
}

impl Gate {
    /// The owner's gate.
    pub(crate) fn start(place: &Place, owner: &Controller<'_>) -> Self {
        let home = owner.dir.display();
        let identity =
            format!("chain = \"{home}/api.pem\"\nkeys = \"file:{home}/keys\"\nlabel = \"api\"\n");
        Self::start_as(place, owner, "gate", &identity, "")
    }

    /// One in the folder `name` that shows this identity; `state` are more settings of that section.
    pub(crate) fn start_as(
        place: &Place,
        owner: &Controller<'_>,
        name: &str,
        identity: &str,
        state: &str,
    ) -> Self {
        let access = "127.0.0.1:0".parse().unwrap();
        let mut gate = Self::configure(place, owner, name, identity, state, access);
        let (process, access, early) = launch(place, &gate.dir);
        (gate.process, gate.access, gate.early) = (Some(process), access, early);
        gate
    }

    /// The owner's gate on the same machine: from now on both are one process.
    pub(crate) fn start_within(place: &Place, owner: &mut Controller<'_>) -> Self {
        owner.stop();
        let home = owner.dir.display();
        let identity =
            format!("chain = \"{home}/api.pem\"\nkeys = \"file:{home}/keys\"\nlabel = \"api\"\n");
        // It says only in its log where it listens, so it is told.
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let access = free.local_addr().unwrap();
        drop(free);
        let gate = Self::configure(place, owner, "gate", &identity, "", access);
        owner.serve_with_gate(&gate.dir);
        gate
    }

    /// One that does not run yet.
    fn configure(
        place: &Place,
        owner: &Controller<'_>,
        name: &str,
        identity: &str,
        state: &str,
        access: SocketAddr,
    ) -> Self {
        let access_point = UdpSocket::bind("127.0.0.1:0").unwrap();
        access_point.set_read_timeout(Some(PATIENCE)).unwrap();
        let dir = place.make(name);
        let home = owner.dir.display();
        let text = format!(
            "[identity]\n{identity}\
             [state]\nanchor = \"{home}/domain-ca.pem\"\nfile = \"{home}/gate/desired.json\"\n{state}\
             [radius]\nlisten = \"{access}\"\naccounting = \"127.0.0.1:0\"\n\
             [[radius.client]]\nname = \"hall\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
             disconnect = \"{}\"\n",
            access_point.local_addr().unwrap()
        );
        fs::write(dir.join("gate.toml"), text).unwrap();
        fs::write(dir.join("secret"), SECRET).unwrap();
        Self {
            access,
            early: VecDeque::new(),
            process: None,
            dir,
            access_point,
            receiver: Receiver::default(),
        }
    }

    /// One that has enrolled in the folder `name` and is linked to its controller.
    pub(crate) fn start_linked(place: &Place, owner: &Controller<'_>, name: &str) -> Self {
        Self::start_linked_for(place, owner, name, "")
    }

    /// The same, with more settings of the access point.
    pub(crate) fn start_linked_for(
        place: &Place,
        owner: &Controller<'_>,
        name: &str,
        access: &str,
    ) -> Self {
        let access_point = UdpSocket::bind("127.0.0.1:0").unwrap();
        access_point.set_read_timeout(Some(PATIENCE)).unwrap();
        let dir = place.make(name);
        let text = format!(
            "[link]\ncontroller = \"{}\"\n\
             [radius]\nlisten = \"127.0.0.1:0\"\naccounting = \"127.0.0.1:0\"\n\
             [[radius.client]]\nname = \"hall\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
             disconnect = \"{}\"\n{access}",
            owner.registrar(),
            access_point.local_addr().unwrap()
        );
        fs::write(dir.join("gate.toml"), text).unwrap();
        fs::write(dir.join("secret"), SECRET).unwrap();
        let (process, access, early) = launch(place, &dir);
        Self {
            access,
            early,
            process: Some(process),
            dir,
            access_point,
            receiver: Receiver::default(),
        }
    }

    /// Its life is taken, and it is started again.
    pub(crate) fn restart(self, place: &Place) -> Self {
        self.process.unwrap().kill();
        let (process, access, early) = launch(place, &self.dir);
        Self {
            process: Some(process),
            access,
            early,
            ..self
        }
    }

    /// The next event with these words.
    pub(crate) fn event(&mut self, words: &[&str]) -> Value {
        let what = words.join(" ");
        let fits = |value: &Value| words.iter().all(|word| value.to_string().contains(word));
        while let Some(early) = self.early.pop_front() {
            if fits(&early) {
                return early;
            }
        }
        let process = self.process.as_mut().unwrap();
        let line = process.line(&what, |line| words.iter().all(|word| line.contains(word)));
        serde_json::from_str(&line).unwrap()
    }

    /// The access point is told to end a session, and does.
    pub(crate) fn end_session(&mut self) -> Option<[u8; 6]> {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = self.access_point.recv_from(&mut buffer).unwrap();
            let now = Clock::system().now();
            let origin = Origin {
                client: 0,
                address: [0; 16],
                port: from.port(),
            };
            let arrival = self
                .receiver
                .receive(now, origin, &shared(), &buffer[..length]);
            let answer = match arrival.unwrap() {
                Arrival::Fresh(received) => {
                    let mac = received.station().mac;
                    let answer = received.acknowledge(&mut self.receiver, now, &shared());
                    self.access_point.send_to(&answer.unwrap(), from).unwrap();
                    return mac;
                }
                Arrival::Repeated(answer) => answer,
            };
            self.access_point.send_to(&answer, from).unwrap();
        }
    }
}

/// `vouchsafe-gate enrol` in the folder `name`, as the gate `hall`.
pub(crate) fn enrol(
    place: &Place,
    owner: &Controller<'_>,
    name: &str,
    token: &str,
    fingerprint: &str,
) -> Ended {
    let dir = place.make(name);
    let file = place.path("token");
    fs::write(&file, token).unwrap();
    let mut command = place.program("vouchsafe-gate");
    command.arg("enrol").arg(dir).args(["--name", "hall"]);
    command.args(["--controller", &owner.registrar(), "--token-file"]);
    command.arg(file).args(["--fingerprint", fingerprint]);
    Process::run("enrol", command, &place.logs())
}

/// A gate that is ready: where, and what it said until then.
fn launch(place: &Place, dir: &Path) -> (Process, SocketAddr, VecDeque<Value>) {
    let mut command = place.program("vouchsafe-gate");
    command.arg("--dir").arg(dir).args(["--output", "json"]);
    let mut process = Process::start("gate", command, &place.logs());
    let early = process.until_json_with("radius");
    let ready = early.last().unwrap();
    let access = ready["radius"].as_str().unwrap().parse().unwrap();
    (process, access, early.into())
}

fn shared() -> Shared {
    Shared::new(Secret::new(SECRET.into()))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

/// What a switch gets for a station that shows nothing but its MAC address, asked by PAP or CHAP as switches
/// do (`password` is the attribute's name): the answer as `radclient` prints it.
pub(crate) fn by_address(gate: &Gate, mac: &str, port: u32, password: &str) -> String {
    let name = mac.replace([':', '-'], "").to_lowercase();
    let request = format!(
        "User-Name = \"{name}\"\n{password} = \"{name}\"\nCalling-Station-Id = \"{mac}\"\n\
         NAS-Identifier = \"hall\"\nNAS-Port = {port}\nService-Type = Call-Check\n\
         Message-Authenticator = 0x00\n"
    );
    let mut command = Command::new("radclient");
    command.args(["-x", "-r", "10", "-t", "3"]);
    command.args([&gate.access.to_string(), "auth", SECRET]);
    let (_, stdout, stderr) = tools::run(&mut command, request.as_bytes());
    format!("{}{stderr}", String::from_utf8_lossy(&stdout))
}

/// The certificate that the device got, and its key, from the agent's own folder.
pub(crate) fn credential(device: &Device<'_>) -> Identity {
    let stored = fs::read_to_string(device.dir().join("state/credential.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let chain = stored["chain"].as_str().unwrap();
    identity(device, chain, stored["label"].as_str().unwrap())
}

/// The certificate that it was born with.
pub(crate) fn birth(device: &Device<'_>) -> Identity {
    let chain = fs::read_to_string(device.dir().join("birth/idevid.pem")).unwrap();
    identity(device, &chain, "idevid")
}

fn identity(device: &Device<'_>, chain: &str, label: &str) -> Identity {
    let birth = device.dir().join("birth");
    let file = fs::read_to_string(birth.join("device.toml")).unwrap();
    let file: toml::Table = file.parse().unwrap();
    let mut keys: StoreUri = file["key_store"].as_str().unwrap().parse().unwrap();
    keys.resolve_from(&birth);
    let signer = KeyStore::open_uri(&keys).unwrap().load(label).unwrap();
    Identity::new(Certificate::many_from_pem(chain).unwrap(), signer).unwrap()
}

/// Whether a station comes in.
pub(crate) fn comes_in(
    gate: &Gate,
    owner: &Controller<'_>,
    identity: &Identity,
    mac: &str,
) -> bool {
    match attempt(gate, owner, identity, mac) {
        Attempt::In => true,
        Attempt::Refused => false,
        Attempt::Distrusts(why) => panic!("the station believes nothing: {why}"),
    }
}

/// A station's attempt.
pub(crate) fn attempt(
    gate: &Gate,
    owner: &Controller<'_>,
    identity: &Identity,
    mac: &str,
) -> Attempt {
    let ca = fs::read_to_string(owner.domain_ca()).unwrap();
    let trust = Trust {
        anchors: Anchors::one(Certificate::from_pem(&ca).unwrap()),
        revocation: Revocation::NotChecked,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let connector = Connector::new(provider, identity.certified_key(), trust, None);
    let mut peer = Box::new(Peer::new(connector, "@site", FragmentSize::default()));
    let mut client = Client::new(
        shared(),
        vec![
            (attribute::USER_NAME, b"@site".to_vec()),
            (attribute::NAS_IDENTIFIER, b"hall".to_vec()),
            (attribute::CALLING_STATION_ID, mac.as_bytes().to_vec()),
        ],
    );
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(gate.access).unwrap();
    let second = Duration::from_secs(1);
    socket.set_read_timeout(Some(second)).unwrap();
    let now = Clock::system().now();
    let end = Instant::now() + PATIENCE;
    let mut eap = vec![1, 0, 0, 5, 1];
    for identifier in 0..=u8::MAX {
        let response = match peer.handle(now, &eap) {
            Ok(PeerStep::Respond(next, response)) => {
                peer = next;
                response
            }
            Ok(_) => panic!("the station has nothing to say"),
            Err(error) => return Attempt::Distrusts(error.to_string()),
        };
        let (datagram, open) = client.request(identifier, &response, random()).unwrap();
        let mut buffer = [0; 4096];
        let length = loop {
            socket.send(&datagram).unwrap();
            if let Ok(length) = socket.recv(&mut buffer) {
                break length;
            }
            assert!(Instant::now() < end, "the gate does not answer");
        };
        let answer = client.answer(&open, &buffer[..length]).unwrap();
        eap = answer.eap.clone().unwrap();
        match answer.code {
            Code::AccessAccept => {
                let Ok(PeerStep::Done(proof)) = peer.handle(now, &eap) else {
                    panic!("accepted before the end");
                };
                let msk = proof.keys.msk.expose();
                client.check_keys(&open, &answer, msk).unwrap();
                return Attempt::In;
            }
            Code::AccessReject => {
                return match peer.handle(now, &eap) {
                    Err(error @ Error::Certificate(_)) => Attempt::Distrusts(error.to_string()),
                    _ => Attempt::Refused,
                };
            }
            _ => {}
        }
    }
    panic!("no end");
}

/// The same by Debian's supplicant: whether it succeeded, and what it said.
pub(crate) fn eapol_test(
    place: &Place,
    gate: &Gate,
    owner: &Controller<'_>,
    device: &Device<'_>,
) -> (bool, String) {
    let path = |name: &str| place.path(name).display().to_string();
    let stored = fs::read_to_string(device.dir().join("state/credential.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let label = stored["label"].as_str().unwrap();
    fs::write(path("station.pem"), stored["chain"].as_str().unwrap()).unwrap();
    fs::write(path("station.der"), private_key(&device.dir(), label)).unwrap();
    let network = format!(
        "network={{\n key_mgmt=WPA-EAP\n eap=TLS\n identity=\"@site\"\n ca_cert=\"{}\"\n \
         client_cert=\"{}\"\n private_key=\"{}\"\n phase1=\"tls_disable_tlsv1_3=0\"\n}}\n",
        owner.domain_ca().display(),
        path("station.pem"),
        path("station.der"),
    );
    fs::write(path("network.conf"), network).unwrap();
    let mut command = Command::new("eapol_test");
    command.args(["-c", &path("network.conf"), "-a", "127.0.0.1", "-s", SECRET]);
    command.args(["-p", &gate.access.port().to_string(), "-t", "60"]);
    let (success, stdout, _) = tools::run(&mut command, b"");
    (success, String::from_utf8_lossy(&stdout).into_owned())
}

/// The key with this label, PKCS#8, DER: what whoever breaks a device open could take.
fn private_key(dir: &Path, label: &str) -> Vec<u8> {
    let birth = dir.join("birth");
    let file = fs::read_to_string(birth.join("device.toml")).unwrap();
    let file: toml::Table = file.parse().unwrap();
    let mut keys: StoreUri = file["key_store"].as_str().unwrap().parse().unwrap();
    keys.resolve_from(&birth);
    let StoreUri::File { folder, .. } = &keys else {
        panic!("the key does not leave its store");
    };
    let sealed = fs::read(folder.join(format!("{label}.key"))).unwrap();
    let sealer = Sealer::beside(&keys).unwrap();
    let key = sealer.unseal(&format!("key/{label}"), &sealed).unwrap();
    key.expose().to_vec()
}
