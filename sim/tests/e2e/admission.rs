//! The credential that a device got when it onboarded opens the network, and nothing else does: the
//! manufacturer, the controller, the agent and the gate as processes, a station and an access point
//! played by the test.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vouchsafe_keystore::{KeyStore, StoreUri};
use vouchsafe_net::{Clock, Identity};
use vouchsafe_radius::dynamic::{Arrival, Receiver};
use vouchsafe_radius::{
    Client, Code, Connector, FragmentSize, Origin, Peer, PeerStep, Shared, Trust, attribute,
};
use vouchsafe_trust::{Anchors, Certificate, Revocation, Secret};

use crate::process::{PATIENCE, Process};
use crate::world::{Controller, Device, Manufacturer, Place};

const SECRET: &str = "the secret of the hall's switch";

/// A gate beside a controller, and the access point that asks it.
struct Gate {
    process: Process,
    access: SocketAddr,
    access_point: UdpSocket,
    receiver: Receiver,
}

impl Gate {
    fn start(place: &Place, owner: &Controller<'_>) -> Self {
        let access_point = UdpSocket::bind("127.0.0.1:0").unwrap();
        access_point.set_read_timeout(Some(PATIENCE)).unwrap();
        let dir = place.make("gate");
        let home = owner.dir.display();
        let text = format!(
            "[identity]\nchain = \"{home}/api.pem\"\nkeys = \"file:{home}/keys\"\nlabel = \"api\"\n\
             [state]\nanchor = \"{home}/domain-ca.pem\"\nfile = \"{home}/gate/desired.json\"\n\
             [radius]\nlisten = \"127.0.0.1:0\"\naccounting = \"127.0.0.1:0\"\n\
             [[radius.client]]\nname = \"hall\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
             disconnect = \"{}\"\n",
            access_point.local_addr().unwrap()
        );
        fs::write(dir.join("gate.toml"), text).unwrap();
        fs::write(dir.join("secret"), SECRET).unwrap();
        let mut command = place.program("vouchsafe-gate");
        command.arg("--dir").arg(&dir).args(["--output", "json"]);
        let mut process = Process::start("gate", command, &place.logs());
        let ready = process.json_with("radius");
        Self {
            access: ready["radius"].as_str().unwrap().parse().unwrap(),
            process,
            access_point,
            receiver: Receiver::default(),
        }
    }

    /// The next event with these words.
    fn event(&mut self, words: &[&str]) -> Value {
        let what = words.join(" ");
        let line = self
            .process
            .line(&what, |line| words.iter().all(|word| line.contains(word)));
        serde_json::from_str(&line).unwrap()
    }

    /// The access point is told to end a session, and does.
    fn end_session(&mut self) -> Option<[u8; 6]> {
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

fn shared() -> Shared {
    Shared::new(Secret::new(SECRET.into()))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

/// The certificate that the device got, and its key, from the agent's own folder.
fn credential(device: &Device<'_>) -> Identity {
    let stored = fs::read_to_string(device.dir().join("state/credential.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let chain = stored["chain"].as_str().unwrap();
    identity(device, chain, stored["label"].as_str().unwrap())
}

/// The certificate that it was born with.
fn birth(device: &Device<'_>) -> Identity {
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

/// A station's attempt: whether the access point may let it in, with the same keys on both sides.
fn comes_in(gate: &Gate, owner: &Controller<'_>, identity: &Identity, mac: &str) -> bool {
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
        let Ok(PeerStep::Respond(next, response)) = peer.handle(now, &eap) else {
            panic!("the station has nothing to say");
        };
        peer = next;
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
                return true;
            }
            Code::AccessReject => return false,
            _ => {}
        }
    }
    panic!("no end");
}

fn settle(owner: &Controller<'_>, serial: &str, step: &str, body: &Value) {
    let api = owner.api();
    let id = api.device(serial)["id"].as_str().unwrap().to_owned();
    api.post(&format!("/api/v1/devices/{id}/{step}"), body);
}

#[test]
fn what_a_device_got_when_it_onboarded_opens_the_network_and_ends_with_its_trust() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let state = "gate.state_file=gate/desired.json";
    let mut owner = Controller::start(&place, "owner", &[state]);
    let devices = maker.provision_all(&["L-1", "L-2"]);
    owner.buy(&maker, &["L-1", "L-2"]);
    let mut gate = Gate::start(&place, &owner);

    // A birth certificate opens nothing, before as after.
    let [first, second] = [&devices[0], &devices[1]];
    assert!(!comes_in(&gate, &owner, &birth(first), "02-00-00-00-00-01"));
    gate.event(&["refused", "unknown-issuer"]);
    for device in &devices {
        device.onboard(&owner.registrar());
    }
    gate.event(&["state-in-force", "\"admitted\":2"]);
    let macs = ["02-00-00-00-00-01", "02-00-00-00-00-02"];
    let known = [credential(first), credential(second)];
    assert!(comes_in(&gate, &owner, &known[0], macs[0]));
    assert!(comes_in(&gate, &owner, &known[1], macs[1]));
    assert!(!comes_in(&gate, &owner, &birth(first), macs[0]));

    // The controller is gone: known devices still get in. It returns, and is heard.
    owner.kill();
    assert!(comes_in(&gate, &owner, &known[0], macs[0]));
    owner.serve();

    let reason = json!({ "reason": "the test says so" });
    // Quarantined: the live session ends at the access point, and the device stays out until restored.
    settle(&owner, "L-1", "quarantine", &reason);
    assert_eq!(gate.end_session(), Some([2, 0, 0, 0, 0, 1]));
    let cut = gate.event(&["cut-off", "access-point"]);
    println!("cut off after {} ms", cut["milliseconds"]);
    assert!(!comes_in(&gate, &owner, &known[0], macs[0]));
    gate.event(&["refused", "not-admitted"]);
    assert!(comes_in(&gate, &owner, &known[1], macs[1]));
    settle(&owner, "L-1", "restore", &reason);
    gate.event(&["state-in-force", "\"admitted\":2"]);
    assert!(comes_in(&gate, &owner, &known[0], macs[0]));

    // Revoked: out for good.
    let revoke = json!({ "reason": "the test says so", "revocation_reason": "key-compromise" });
    settle(&owner, "L-2", "revoke", &revoke);
    assert_eq!(gate.end_session(), Some([2, 0, 0, 0, 0, 2]));
    gate.event(&["cut-off"]);
    assert!(!comes_in(&gate, &owner, &known[1], macs[1]));
    gate.event(&["refused", "certificate-revoked"]);
}
