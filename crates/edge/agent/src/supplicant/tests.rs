//! Against a supplicant that says what the test wants, and against the real one where it is
//! installed: with `-Dnone` it has no radio, and takes every command all the same.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use vouchsafe_trust::Secret;

use super::air::{self, AirKey};
use super::{Control, SupplicantError, access_point, hand_over};
use crate::wifi::WifiError;
use crate::wifi::configuration::Configuration;
use crate::wifi::configuration::tests::{everything, secret};

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(60);

/// How long for what must not come.
const SHORT: Duration = Duration::from_millis(200);

/// A supplicant that answers each command with the messages that the test gives it.
struct Fake {
    path: PathBuf,
    heard: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Fake {
    fn new(answer: impl Fn(&str) -> Vec<String> + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wlan0");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(SHORT)).unwrap();
        let (heard, over) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (hears, ends) = (Arc::clone(&heard), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while !ends.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let command = String::from_utf8(buffer[..length].to_vec()).unwrap();
                hears.lock().unwrap().push(command.clone());
                let said = match command.as_str() {
                    "ATTACH" => vec!["OK\n".to_owned()],
                    "PING" => vec!["PONG\n".to_owned()],
                    _ => answer(&command),
                };
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

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a real one says to most commands.
fn usual(command: &str) -> Vec<String> {
    let reply = match command.split(' ').next().unwrap() {
        "DPP_BOOTSTRAP_GEN" => "1",
        "DPP_QR_CODE" => "2",
        "ADD_NETWORK" => "7",
        "LIST_NETWORKS" => "network id / ssid / bssid / flags\n3\told\tany\t\n4\tother\tany\t\n",
        "GET_NETWORK" if command.contains(" 3 ") => "\"vouchsafe\"",
        "GET_NETWORK" => "FAIL\n",
        _ => "OK\n",
    };
    vec![reply.to_owned()]
}

fn key<'a>(key: &'a Secret, controller_uri: Option<&'a str>) -> AirKey<'a> {
    AirKey {
        curve: "P-256",
        key,
        channels: "81/6,115/36",
        controller_uri,
        name: "lamp 3",
        mud_url: None,
    }
}

async fn enrol(
    fake: &Fake,
    controller_uri: Option<&str>,
    patience: Duration,
) -> Result<Configuration, WifiError> {
    let mut control = Control::open(&fake.path).await.unwrap();
    let (secret, deadline) = (secret("private"), Instant::now() + patience);
    let key = key(&secret, controller_uri);
    air::enrol(&mut control, &key, Timestamp::UNIX_EPOCH, deadline, &|_| {}).await
}

const CONFIGURED: [&str; 6] = [
    "<3>DPP-AUTH-SUCCESS init=0",
    "<3>DPP-CONF-RECEIVED ",
    "<3>DPP-CONFOBJ-AKM sae",
    "<3>DPP-CONFOBJ-SSID plant",
    "<3>DPP-CONFOBJ-PASS 70617373776f7264",
    "<3>DPP-UNKNOWN-EVENT of a later version",
];

fn chirped(command: &str, events: &[&str]) -> Vec<String> {
    let mut said = usual(command);
    if command.starts_with("DPP_CHIRP") {
        said.extend(events.iter().map(|&event| event.to_owned()));
    }
    said
}

#[tokio::test]
async fn a_configuration_comes_over_the_air() {
    let fake = Fake::new(|command| chirped(command, &CONFIGURED));
    let given = enrol(&fake, None, LONG).await.unwrap();
    assert_eq!(given.networks[0].akm, "sae");
    assert!(!given.mutual);
    let heard = fake.heard();
    assert!(heard.contains(&"SET dpp_config_processing 0".to_owned()));
    // The key does not stay where other programs could use it.
    assert!(heard.contains(&"DPP_BOOTSTRAP_REMOVE 1".to_owned()));
}

#[tokio::test]
async fn announcements_go_on_when_they_stop_or_fail() {
    let round = std::sync::atomic::AtomicU32::new(0);
    let fake = Fake::new(move |command| {
        if !command.starts_with("DPP_CHIRP") {
            return usual(command);
        }
        match round.fetch_add(1, Ordering::Relaxed) {
            0 => chirped(command, &["<3>DPP-CHIRP-STOPPED "]),
            1 => chirped(command, &["<3>DPP-FAIL torn", "<3>DPP-CHIRP-STOPPED "]),
            _ => chirped(command, &CONFIGURED),
        }
    });
    enrol(&fake, None, LONG).await.unwrap();
}

/// `DPP_CHIRP` in the middle of an exchange would end it: the supplicant says that announcements
/// stopped as soon as somebody answers.
#[tokio::test]
async fn an_exchange_that_has_begun_is_not_disturbed() {
    let answered = [
        &[
            "<3>DPP-RX src=02:00:00:00:00:00 freq=2437 type=0",
            "<3>DPP-CHIRP-STOPPED ",
            "<3>DPP-FAIL Already in DPP authentication exchange - ignore new one",
        ][..],
        &CONFIGURED,
    ]
    .concat();
    let fake = Fake::new(move |command| chirped(command, &answered));
    enrol(&fake, None, LONG).await.unwrap();
    let heard = fake.heard();
    let announced = heard.iter().filter(|it| it.starts_with("DPP_CHIRP"));
    assert_eq!(announced.count(), 1, "{heard:?}");
}

#[tokio::test]
async fn a_network_that_does_not_prove_the_known_key_is_refused() {
    let fake = Fake::new(|command| chirped(command, &CONFIGURED));
    let refused = enrol(&fake, Some("DPP:V:2;K:AA;;"), LONG).await;
    assert!(matches!(refused, Err(WifiError::NotMutual)));
    let mutual = [&["<3>DPP-AUTH-DIRECTION mutual=1"][..], &CONFIGURED].concat();
    let fake = Fake::new(move |command| chirped(command, &mutual));
    let given = enrol(&fake, Some("DPP:V:2;K:AA;;"), LONG).await.unwrap();
    assert!(given.mutual);
}

#[tokio::test]
async fn nobody_who_answers_is_not_waited_for_for_ever() {
    let fake = Fake::new(usual);
    assert!(matches!(
        enrol(&fake, None, SHORT).await,
        Err(WifiError::TimedOut)
    ));
    assert!(fake.heard().contains(&"DPP_STOP_LISTEN".to_owned()));
}

#[tokio::test]
async fn what_the_supplicant_refuses_is_named_without_the_secret() {
    let fake = Fake::new(|command| match command.starts_with("DPP_BOOTSTRAP_GEN") {
        true => vec!["FAIL\n".to_owned()],
        false => usual(command),
    });
    let refused = enrol(&fake, None, LONG).await.unwrap_err().to_string();
    assert!(refused.contains("DPP_BOOTSTRAP_GEN"), "{refused}");
    assert!(!refused.contains("70726976"), "{refused}");
}

#[tokio::test]
async fn a_supplicant_that_is_not_there_or_says_too_much_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let absent = Control::open(&dir.path().join("wlan0")).await;
    assert!(matches!(absent, Err(SupplicantError::Absent { .. })));
    let fake = Fake::new(|_| vec!["x".repeat(65536)]);
    let mut control = Control::open(&fake.path).await.unwrap();
    let flood = control.ask("STATUS").await;
    assert!(matches!(flood, Err(SupplicantError::TooLong { .. })));
    let unsaid = control
        .ask("SET_NETWORK 1 ssid a\nREMOVE_NETWORK all")
        .await;
    assert!(matches!(unsaid, Err(SupplicantError::Unspeakable { .. })));
}

#[tokio::test]
async fn what_others_send_here_is_not_heard() {
    let fake = Fake::new(usual);
    let control = Control::open(&fake.path).await.unwrap();
    let other = UnixDatagram::unbound().unwrap();
    let address = control.address();
    assert!(
        other
            .send_to_addr(b"<3>DPP-CONF-RECEIVED ", &address)
            .is_err()
    );
}

#[tokio::test]
async fn old_networks_of_ours_make_room_and_others_stay() {
    let fake = Fake::new(usual);
    let mut control = Control::open(&fake.path).await.unwrap();
    hand_over::hand_over(&mut control, &everything())
        .await
        .unwrap();
    let heard = fake.heard();
    let removed: Vec<_> = heard
        .iter()
        .filter(|c| c.starts_with("REMOVE_NETWORK"))
        .collect();
    assert_eq!(removed, ["REMOVE_NETWORK 3"]);
    assert!(heard.contains(&"SET_NETWORK 7 sae_password \"correct horse\"".to_owned()));
    assert!(heard.contains(&"SET_NETWORK 7 ssid ff220a".to_owned()));
}

#[tokio::test]
async fn half_a_network_is_taken_back() {
    let fake = Fake::new(|command| match command.contains("dpp_csign") {
        true => vec!["FAIL\n".to_owned()],
        false => usual(command),
    });
    let mut control = Control::open(&fake.path).await.unwrap();
    assert!(
        hand_over::hand_over(&mut control, &everything())
            .await
            .is_err()
    );
    let heard = fake.heard();
    assert_eq!(heard.last().unwrap(), "REMOVE_NETWORK 7");
    assert!(!heard.iter().any(|command| command.starts_with("ENABLE")));
}

/// The real one, ended by its own id.
struct Real {
    child: Child,
    dir: tempfile::TempDir,
}

impl Real {
    async fn start() -> Option<Self> {
        Self::run("wpa_supplicant", &["-Dnone", "-ilo", "-c"], "").await
    }

    /// An access point without a radio.
    async fn access_point() -> Option<Self> {
        let settings = "driver=none\ninterface=lo\nssid=before\n";
        Self::run("hostapd", &[], settings).await
    }

    async fn run(program: &str, arguments: &[&str], settings: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("control");
        let configuration = dir.path().join("settings.conf");
        std::fs::write(
            &configuration,
            format!("ctrl_interface={}\n{settings}", folder.display()),
        )
        .unwrap();
        let spawned = Command::new(program)
            .args(arguments)
            .arg(&configuration)
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            assert!(std::env::var_os("CI").is_none(), "no {program}");
            println!("skipped: no {program}");
            return None;
        };
        let real = Self { child, dir };
        let deadline = Instant::now() + LONG;
        while Control::open(&real.path()).await.is_err() {
            assert!(Instant::now() < deadline, "{program} does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(real)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("control").join("lo")
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_real_supplicant_takes_every_value() {
    let Some(real) = Real::start().await else {
        return;
    };
    let mut control = Control::open(&real.path()).await.unwrap();
    let made = hand_over::hand_over(&mut control, &everything())
        .await
        .unwrap();
    assert_eq!(made.len(), 2);
    let methods = control
        .ask(&format!("GET_NETWORK {} key_mgmt", made[0]))
        .await
        .unwrap();
    assert_eq!(methods, "SAE DPP");
    // Handed over again, they are replaced and not doubled.
    hand_over::hand_over(&mut control, &everything())
        .await
        .unwrap();
    let listed = control.ask("LIST_NETWORKS").await.unwrap();
    assert_eq!(listed.lines().count(), 1 + 2, "{listed}");
    let until = Instant::now() + SHORT;
    assert_eq!(
        hand_over::connected(&mut control, until).await.unwrap(),
        Err(vouchsafe_dpp::Status::NoAccessPoint)
    );
    assert_eq!(hand_over::take_back(&mut control).await.unwrap(), 2);
}

#[tokio::test]
async fn the_real_supplicant_refuses_a_key_that_is_none() {
    let Some(real) = Real::start().await else {
        return;
    };
    let mut control = Control::open(&real.path()).await.unwrap();
    let secret = secret("no key");
    let key = key(&secret, None);
    let refused = air::enrol(
        &mut control,
        &key,
        Timestamp::UNIX_EPOCH,
        Instant::now() + LONG,
        &|_| {},
    )
    .await;
    assert!(matches!(
        refused,
        Err(WifiError::Supplicant(SupplicantError::Refused { .. }))
    ));
}

#[tokio::test]
async fn an_access_point_gets_its_connector_and_takes_it_into_use() {
    let fake = Fake::new(usual);
    let mut control = Control::open(&fake.path).await.unwrap();
    let given = everything();
    let handed = access_point::hand_over(&mut control, &given).await.unwrap();
    assert_eq!(handed, 1, "that of the connector");
    let heard = fake.heard();
    let set = |name: &str| {
        heard
            .iter()
            .any(|it| it.starts_with(&format!("SET {name} ")))
    };
    for name in ["ssid2", "dpp_connector", "dpp_csign", "dpp_netaccesskey"] {
        assert!(set(name), "{name}: {heard:?}");
    }
    assert_eq!(heard.last().map(String::as_str), Some("RELOAD"));
    assert!(!heard.iter().any(|it| it.contains("correct horse")));
    // Without a connector there is nothing for it.
    let without = Configuration {
        networks: given.networks.into_iter().skip(1).collect(),
        ..everything()
    };
    let handed = access_point::hand_over(&mut control, &without).await;
    assert_eq!(handed.unwrap(), 0);
    assert_eq!(fake.heard().len(), heard.len());
}

#[tokio::test]
async fn the_real_access_point_takes_every_value() {
    let Some(real) = Real::access_point().await else {
        return;
    };
    let mut control = Control::open(&real.path()).await.unwrap();
    for _ in 0..2 {
        let handed = access_point::hand_over(&mut control, &everything()).await;
        assert_eq!(handed.unwrap(), 1);
    }
    let status = control.ask("GET_CONFIG").await.unwrap();
    assert!(status.contains("ssid=plant"), "{status}");
    assert!(status.contains("key_mgmt=DPP"), "{status}");
}
