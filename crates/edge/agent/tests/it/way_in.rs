//! The way in over the air: a supplicant that says what the test wants, and a registrar that is another one in
//! another network, at the same address.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use vouchsafe_agent::{AgentError, Event, NetworkConfig};

use crate::registrar::Registrar;
use crate::world::{Device, Maker, Told};

const ROGUE: &str = "BRSKI%free";
const GENUINE: &str = "BRSKI%harbour";

const HARBOUR: &str =
    r#"{"networks":[{"ssid":"harbour","server_name":"gates.example"},{"ssid":"jetty"}]}"#;

/// A supplicant with some networks around it.
struct Air {
    path: PathBuf,
    heard: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

/// Its network blocks.
#[derive(Default)]
struct Blocks {
    made: u32,
    settings: BTreeMap<u32, BTreeMap<String, String>>,
    selected: Option<u32>,
}

impl Air {
    /// `entered` hears the name of each network that is selected. A network may announce a realm: `NAME@REALM`.
    fn new(around: &[&str], entered: impl Fn(&str) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no-such-interface");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (hears, ends) = (Arc::clone(&heard), Arc::clone(&over));
        let mut results = "bssid / frequency / signal level / flags / ssid\n".to_owned();
        let mut realms = BTreeMap::new();
        for (place, network) in around.iter().enumerate() {
            let (ssid, realm) = network.split_once('@').unwrap_or((network, ""));
            if !realm.is_empty() {
                realms.insert(format!("02:00:00:00:00:0{place}"), realm.to_owned());
            }
            let line = format!("02:00:00:00:00:0{place}\t2437\t-{place}0\t[ESS]\t{ssid}\n");
            results.push_str(&line);
        }
        let thread = std::thread::spawn(move || {
            let (mut buffer, mut blocks) = (vec![0; 65536], Blocks::default());
            while !ends.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let command = String::from_utf8(buffer[..length].to_vec()).unwrap();
                hears.lock().unwrap().push(command.clone());
                let mut said = match command.as_str() {
                    "PING" => vec!["PONG\n".to_owned()],
                    "SCAN_RESULTS" => vec![results.clone()],
                    command if command.starts_with("BSS ") => {
                        vec![announced(&realms, &command[4..])]
                    }
                    command => vec![blocks.answer(command)],
                };
                if let Some(asked) = command.strip_prefix("ANQP_GET ") {
                    let (from, _) = asked.split_once(' ').unwrap();
                    said.push(format!("<3>ANQP-QUERY-DONE addr={from} result=SUCCESS"));
                }
                if command == "SCAN" {
                    said.push("<3>CTRL-EVENT-SCAN-RESULTS ".to_owned());
                }
                if command.starts_with("SELECT_NETWORK") {
                    entered(&blocks.ssid());
                }
                for message in said {
                    // Whoever asked may have gone.
                    let _ = socket.send_to_addr(message.as_bytes(), &from);
                }
            }
        });
        Self {
            path,
            heard,
            over,
            thread: Some(thread),
            _dir: dir,
        }
    }

    fn config(&self) -> NetworkConfig {
        NetworkConfig {
            supplicant: self.path.clone(),
            onboarding_ssid: Some("BRSKI%*".to_owned()),
            onboarding_realm: None,
            ssid: None,
            server_name: None,
            prove_again: 300,
            identity: "@vouchsafe".to_owned(),
        }
    }

    /// The names of the networks that were described to it, in order; then it has heard nothing.
    fn named(&self) -> Vec<String> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        let ssids = heard.iter().filter_map(|command| {
            let rest = command.strip_prefix("SET_NETWORK ")?;
            rest.split_once(" ssid ").map(|(_, ssid)| text(ssid))
        });
        ssids.collect()
    }
}

impl Drop for Air {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Blocks {
    fn answer(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.splitn(4, ' ').collect();
        let id = || words[1].parse::<u32>().unwrap();
        match words[0] {
            "ADD_NETWORK" => {
                self.made += 1;
                self.settings.insert(self.made, BTreeMap::new());
                return self.made.to_string();
            }
            "SET_NETWORK" => {
                let settings = self.settings.get_mut(&id()).unwrap();
                settings.insert(words[2].to_owned(), words[3].to_owned());
            }
            "GET_NETWORK" => return self.settings[&id()][words[2]].clone(),
            "REMOVE_NETWORK" => {
                self.settings.remove(&id()).unwrap();
            }
            "SELECT_NETWORK" => self.selected = Some(id()),
            "LIST_NETWORKS" => {
                let lines = self.settings.keys().map(|id| format!("{id}\tx\tany\t\n"));
                return format!(
                    "network id / ssid / bssid / flags\n{}",
                    lines.collect::<String>()
                );
            }
            "STATUS" => {
                let block = self.selected.and_then(|id| self.settings.get(&id));
                return block.map_or("wpa_state=SCANNING\n".to_owned(), |block| {
                    format!(
                        "ssid={}\nid_str={}\nwpa_state=COMPLETED\nsuppPortStatus=Authorized\n",
                        text(&block["ssid"]),
                        block["id_str"].trim_matches('"')
                    )
                });
            }
            _ => {}
        }
        "OK\n".to_owned()
    }

    fn ssid(&self) -> String {
        text(&self.settings[&self.selected.unwrap()]["ssid"])
    }
}

/// What the supplicant knows of an access point: that it interworks, and for which realm.
fn announced(realms: &BTreeMap<String, String>, access_point: &str) -> String {
    let Some(realm) = realms.get(access_point) else {
        return format!("bssid={access_point}\nie=000178\n");
    };
    let length = u8::try_from(realm.len()).unwrap();
    let mut list = vec![1, 0, length + 3, 0, 0, length];
    list.extend_from_slice(realm.as_bytes());
    list.push(0);
    let digits: String = list.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("bssid={access_point}\nie=0001786b0100\nanqp_nai_realm={digits}\n")
}

fn text(hexadecimal: &str) -> String {
    let pairs = hexadecimal.as_bytes().chunks(2);
    let octets = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16));
    String::from_utf8(octets.map(Result::unwrap).collect()).unwrap()
}

async fn world(around: &[&str], networks: &str) -> (Arc<Registrar>, Air, Device) {
    let maker = Arc::new(Maker::new());
    let registrar = Arc::new(Registrar::start(&maker, "harbour").await);
    let networks = networks.to_owned();
    registrar.set(|it| it.networks = (200, networks));
    let impostor = Maker::new().masa;
    let here = Arc::clone(&registrar);
    let air = Air::new(around, move |ssid| {
        let impostor = (ssid == ROGUE).then(|| impostor.clone());
        here.set(|it| it.masa = impostor);
    });
    let mut device = maker.device().towards(&[&registrar]);
    device.config.network = Some(air.config());
    (registrar, air, device)
}

fn put_aside(told: &Told) -> Vec<(String, &'static str)> {
    let events = told.all().into_iter();
    events
        .filter_map(|event| match event {
            Event::OpenNetworkPutAside { ssid, code, .. } => Some((ssid, code)),
            _ => None,
        })
        .collect()
}

/// RFC 8995 §5.6.1: whoever has the name and even the address of a registrar has no voucher.
#[tokio::test]
async fn a_rogue_network_is_left_and_the_next_one_leads_to_the_network_that_the_registrar_names() {
    let (registrar, air, device) = world(&[ROGUE, "guests", GENUINE], HARBOUR).await;
    let (status, told) = device.run_told().await;
    assert_eq!(status.unwrap().state, "onboarded");
    let aside = put_aside(&told);
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(aside[0].0, ROGUE);
    assert_eq!(registrar.issued(), 1, "nothing was asked of the rogue");
    let heard = air.heard.lock().unwrap().clone();
    let named = |name: &str| heard.iter().any(|it| it.ends_with(name));
    assert!(named("domain_suffix_match \"gates.example\""), "{heard:?}");
    assert_eq!(air.named(), [ROGUE, GENUINE, "harbour", "jetty"]);
    let joined = told.all().into_iter().find_map(|event| match event {
        Event::NetworkJoined { ssid, is_in, .. } => Some((ssid, is_in)),
        _ => None,
    });
    assert_eq!(joined, Some((Some("harbour".to_owned()), true)));

    // Switched off and on, it goes straight there.
    let (status, told) = device.run_told().await;
    assert_eq!(status.unwrap().state, "onboarded");
    assert_eq!(told.names(), ["network-joined"]);
    assert_eq!(air.named(), ["harbour", "jetty"]);
    let status = serde_json::to_value(device.status()).unwrap();
    let attempts = status["attempts"].as_array().unwrap();
    assert!(attempts.iter().any(|end: &Value| end["registrar"] == ROGUE));
}

/// IEEE 802.11-2020 §9.4.2.2. What is told must be a list of names; else the certificate stays, no network is
/// joined by it, and the device asks again without another certificate.
#[tokio::test]
async fn a_list_that_cannot_be_used_is_asked_for_again_and_nothing_is_joined_meanwhile() {
    let long = format!(r#"{{"networks":[{{"ssid":"{}"}}]}}"#, "x".repeat(33));
    for bad in [
        r#"{"networks":[{"ssid":"har\u0000bour"}]}"#,
        r#"{"networks":[{"ssid":"harbour","server_name":"*"}]}"#,
        r#"{"networks":[]}"#,
        "nothing",
        &long,
    ] {
        let (registrar, air, device) = world(&[GENUINE], bad).await;
        let (ended, told) = device.run_told().await;
        assert!(
            matches!(ended, Err(AgentError::NotTold)),
            "{bad}: {ended:?}"
        );
        assert_eq!(put_aside(&told), [(GENUINE.to_owned(), "no-network-told")]);
        assert_eq!(air.named(), [GENUINE], "{bad}");
        assert!(device.status().credential.is_some());

        registrar.set(|it| it.networks = (200, HARBOUR.to_owned()));
        let (status, told) = device.run_told().await;
        assert_eq!(status.unwrap().state, "onboarded");
        assert!(told.names().contains(&"networks-told".to_owned()));
        assert_eq!(air.named(), [GENUINE, "harbour", "jetty"]);
        assert_eq!(registrar.issued(), 1);
    }
}

/// Only a registrar of the domain names networks: who has another certificate is not even asked.
#[tokio::test]
async fn a_registrar_of_another_domain_names_no_network() {
    let (_registrar, air, mut device) = world(&[GENUINE], "nothing").await;
    let (ended, _) = device.run_told().await;
    assert!(matches!(ended, Err(AgentError::NotTold)), "{ended:?}");
    air.named();
    let maker = Arc::new(Maker::new());
    let other = Registrar::start(&maker, "other").await;
    other.set(|it| it.networks = (200, HARBOUR.to_owned()));
    device = device.towards(&[&other]);
    let (ended, told) = device.run_told().await;
    assert!(ended.is_err());
    assert_eq!(put_aside(&told).len(), 1);
    assert_eq!(other.called(), Vec::<String>::new());
    assert_eq!(air.named(), [GENUINE]);
}

/// IEEE 802.11-2020 §9.4.5.10: a realm is found whatever the name of the network, and comes before names. It
/// is believed no more than they are.
#[tokio::test]
async fn a_network_is_found_by_its_realm_and_believed_only_by_a_voucher() {
    let rogue = format!("{ROGUE}@EAP.arpa");
    let around = [GENUINE, "guests@example.com", "quay@eap.arpa", &rogue];
    let (registrar, air, mut device) = world(&around, HARBOUR).await;
    let mut config = air.config();
    config.onboarding_realm = Some("eap.arpa".to_owned());
    device.config.network = Some(config.clone());
    let (status, told) = device.run_told().await;
    assert_eq!(status.unwrap().state, "onboarded");
    assert_eq!(put_aside(&told), []);
    assert_eq!(air.named(), ["quay", "harbour", "jetty"]);
    assert_eq!(registrar.issued(), 1);

    // Who only has the realm gets no further than who only has the name.
    let (_registrar, air, mut device) = world(&[&rogue, GENUINE], HARBOUR).await;
    device.config.network = Some(NetworkConfig {
        supplicant: air.path.clone(),
        onboarding_ssid: None,
        ..config
    });
    let (ended, told) = device.run_told().await;
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(put_aside(&told).len(), 1);
    assert_eq!(air.named(), [ROGUE], "no name was asked for");
}

#[tokio::test]
async fn without_such_a_network_nothing_is_joined() {
    let (_registrar, air, device) = world(&["guests", "brski%small"], HARBOUR).await;
    let (ended, _) = device.run_told().await;
    assert!(matches!(ended, Err(AgentError::NoOpenNetwork { .. })));
    assert_eq!(air.named(), Vec::<String>::new());
    assert_eq!(device.status().state, "new");
}
