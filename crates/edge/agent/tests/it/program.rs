//! The program itself: its birth at a line, its lines, its exit codes, and signals.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::Uri;
use axum::routing::post;
use serde_json::{Value, json};
use tempfile::TempDir;
use vouchsafe_agent::birth::Birth;
use vouchsafe_keystore::KeyStore;
use vouchsafe_net::{ClientAuth, Identity, Server, ServerOptions};
use vouchsafe_trust::{Anchors, CertificateRequest, Name, Profile, SubjectAltName, Validity, oid};

use crate::registrar::Registrar;
use crate::wifi::controller::{Controller, Manner};
use crate::world::{Device, Holder, Maker, now, serial, serial_of, years};

pub(crate) fn agent(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe-agent"));
    command
        .arg("--dir")
        .arg(dir)
        .args(arguments)
        .env_remove("VOUCHSAFE_LOG");
    command
}

pub(crate) async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// Standard output as JSON lines.
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_status_renew_and_reset_say_what_they_do() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let device = maker.device();
    let url = registrar.url();
    let run = [
        "run",
        "--once",
        "--no-mdns",
        "--registrar",
        &url,
        "--output",
        "json",
    ];
    let joined = output(agent(device.path(), &run)).await;
    assert_eq!(
        joined.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&joined.stderr)
    );
    let events = lines(&joined);
    assert_eq!(events.last().unwrap()["event"], "onboarded");
    assert!(
        events
            .iter()
            .all(|event| event["serial"] == "JADA-0001" && event["at"].is_string())
    );

    let shown = output(agent(device.path(), &["status", "--output", "json"])).await;
    let status = &lines(&shown)[0];
    assert_eq!(status["state"], "onboarded");
    let renew = ["renew", "--no-mdns", "--output", "json"];
    let renewed = output(agent(device.path(), &renew)).await;
    assert_eq!(renewed.status.code(), Some(0));
    assert_eq!(lines(&renewed)[1]["event"], "credential-installed");

    let reset = output(agent(device.path(), &["reset"])).await;
    assert!(
        String::from_utf8(reset.stdout)
            .unwrap()
            .contains("wiped everything")
    );
    let text = output(agent(device.path(), &["status"])).await;
    assert_eq!(
        String::from_utf8(text.stdout).unwrap(),
        "sensor JADA-0001: new\n"
    );
    device.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_tell_refused_wrong_and_absent_apart() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    registrar.set(|behaviour| behaviour.voucher_status = Some(404));
    let device = maker.device();
    let run = |url: &str| {
        let arguments = [
            "run",
            "--once",
            "--no-mdns",
            "--registrar",
            url,
            "--output",
            "json",
        ];
        output(agent(device.path(), &arguments))
    };
    let refused = run(&registrar.url()).await;
    assert_eq!(refused.status.code(), Some(1));
    let error = &lines(&refused).pop().unwrap()["error"];
    assert_eq!(
        (&error["code"], &error["exit"]),
        (&json!("refused-by-registrar"), &json!(1))
    );
    assert_eq!(run("https://127.0.0.1:1").await.status.code(), Some(3));
    let nobody = output(agent(device.path(), &["run", "--once", "--no-mdns"])).await;
    assert_eq!(nobody.status.code(), Some(3));
    let nothing = TempDir::new().unwrap();
    assert_eq!(
        output(agent(nothing.path(), &["status"]))
            .await
            .status
            .code(),
        Some(2)
    );
    std::fs::write(device.path().join("agent.toml"), "registrar = []\n").unwrap();
    let unknown = output(agent(device.path(), &["run", "--once"])).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        String::from_utf8(unknown.stderr)
            .unwrap()
            .contains("unknown field `registrar`")
    );
    let completions = output(agent(device.path(), &["completions", "bash"])).await;
    assert!(!completions.stdout.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_ends_cleanly_when_it_is_asked_to() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let device = maker.device();
    let url = registrar.url();
    let run = ["run", "--no-mdns", "--registrar", &url, "--output", "json"];
    let mut child = agent(device.path(), &run)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let ended = tokio::task::spawn_blocking(move || {
        let asleep = stdout
            .lines()
            .map_while(Result::ok)
            .find(|line| line.contains("\"sleeping\""));
        assert!(asleep.is_some());
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        child.wait().unwrap()
    });
    assert_eq!(ended.await.unwrap().code(), Some(0));
    assert_eq!(device.status().state, "onboarded");
    device.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_while_it_enrols_completes_when_it_is_started_again() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    registrar.set(|behaviour| behaviour.hang = Some(("simpleenroll".to_owned(), true)));
    let device = maker.device();
    let url = registrar.url();
    let run = ["run", "--once", "--no-mdns", "--registrar", &url];
    let mut child = agent(device.path(), &run)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    registrar.hanging().await;
    child.kill().unwrap();
    tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap();
    registrar.set(|behaviour| behaviour.hang = None);
    let again = output(agent(device.path(), &run)).await;
    assert_eq!(
        again.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert_eq!(registrar.issued(), 1);
    device.assert_whole();
}

/// A line that certifies whatever it is asked for, once; then it says no.
pub(crate) async fn line(
    maker: Arc<Maker>,
    asked: Arc<Mutex<Vec<String>>>,
) -> (SocketAddr, TempDir) {
    let owner = crate::world::Owner::new("line");
    let authority = Arc::new(owner.authority);
    let server = holder(&authority, |subject| {
        let mut profile = Profile::tls_server(subject, &[]);
        profile.subject_alt_names = vec![SubjectAltName::Ip(vec![127, 0, 0, 1])];
        profile
    });
    let station = TempDir::new().unwrap();
    let folder = station.path();
    let sealing = folder.join("sealing.key");
    let address = format!(
        "file:{}?sealing-key={}",
        folder.join("keys").display(),
        sealing.display()
    );
    let key = KeyStore::open(&address)
        .unwrap()
        .create("station", Default::default())
        .unwrap();
    let profile = Profile::tls_client(Name::common("station").unwrap());
    let certificate = authority
        .issue(&profile, key.public_key(), &serial(&*key), years(1))
        .unwrap();
    std::fs::write(folder.join("station.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("line-ca.pem"), authority.certificate().pem()).unwrap();

    let identity = Identity::new(server.chain, server.signer).unwrap();
    let stations = ClientAuth::Required(Anchors::one(authority.certificate().clone()));
    let options = ServerOptions::new("line", identity, stations);
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::bind(any_port, options).await.unwrap();
    let addr = server.local_addr();
    let identify = async move |uri: Uri, body: Bytes| {
        asked.lock().unwrap().push(uri.query().unwrap().to_owned());
        let request = CertificateRequest::verify(&body).unwrap();
        let number = request.subject().attribute(&oid::SERIAL_NUMBER).unwrap();
        let subject = Name::new(&[(oid::SERIAL_NUMBER, number)]).unwrap();
        let profile = Profile::idevid(subject, None).unwrap();
        let key = request.public_key();
        let leaf = maker
            .authority
            .issue(
                &profile,
                key,
                &serial_of(&key.sha256()),
                Validity::without_end(now()),
            )
            .unwrap();
        let anchors = maker.voucher_anchors();
        json!({
            "serial": number,
            "chain": leaf.pem(),
            "masa_anchors": anchors.iter().map(|each| each.pem()).collect::<String>(),
            "repeated": false,
        })
        .to_string()
    };
    let router = Router::new().route("/line/v1/identities", post(identify));
    tokio::spawn(server.serve(router, std::future::pending()));
    (addr, station)
}

fn holder(authority: &vouchsafe_trust::Authority, profile: impl Fn(Name) -> Profile) -> Holder {
    let pkcs8 = vouchsafe_keystore::generate_pkcs8(Default::default()).unwrap();
    let signer = vouchsafe_trust::SoftwareSigner::from_pkcs8_der(pkcs8.expose()).unwrap();
    let signer: Arc<dyn vouchsafe_trust::Signer> = Arc::new(signer);
    let profile = profile(Name::common("127.0.0.1").unwrap());
    let leaf = authority
        .issue(&profile, signer.public_key(), &serial(&*signer), years(1))
        .unwrap();
    Holder {
        chain: vec![leaf],
        signer,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_born_at_the_line_with_a_key_of_its_own_and_joins() {
    let maker = Arc::new(Maker::new());
    let asked = Arc::default();
    let (addr, station) = line(Arc::clone(&maker), Arc::clone(&asked)).await;
    let registrar = Registrar::start(&maker, "domain").await;
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("device");
    let (url, station) = (
        format!("https://{addr}"),
        station.path().to_str().unwrap().to_owned(),
    );
    let arguments = [
        "birth",
        "--serial",
        "JADA-0001",
        "--model",
        "a b&c",
        "--line",
        &url,
        "--line-identity",
        &station,
    ];
    let born = output(agent(&home, &arguments)).await;
    assert_eq!(
        born.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&born.stderr)
    );
    assert_eq!(
        *asked.lock().unwrap(),
        ["serial=JADA-0001&origin=device&model=a%20b%26c"]
    );
    let birth = Birth::open(&home).unwrap();
    assert_eq!(birth.device.model.as_deref(), Some("a b&c"));
    assert!(home.join("birth/sealing.key").exists());
    assert!(!home.join("birth/keys/sealing.key").exists());
    // Nobody is born twice.
    let again = output(agent(&home, &arguments)).await;
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(asked.lock().unwrap().len(), 1);
    let registrar_url = registrar.url();
    let run = ["run", "--once", "--no-mdns", "--registrar", &registrar_url];
    assert_eq!(output(agent(&home, &run)).await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_born_with_a_label_and_gets_its_wifi_by_it() {
    let maker = Arc::new(Maker::new());
    let asked = Arc::default();
    let (addr, station) = line(Arc::clone(&maker), Arc::clone(&asked)).await;
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("device");
    let url = format!("https://{addr}");
    let station = station.path().to_str().unwrap();
    let mut arguments = vec!["birth", "--serial", "JADA-0001", "--dpp"];
    arguments.extend(["--line", &url, "--line-identity", station]);
    let born = output(agent(&home, &arguments)).await;
    let said = String::from_utf8_lossy(&born.stderr).into_owned();
    assert_eq!(born.status.code(), Some(0), "{said}");
    let key = vouchsafe_agent::enrollee::key_of(&home).unwrap();
    let birth = Birth::open(&home).unwrap();
    let uri = birth.device.dpp_uri.unwrap();
    assert!(uri.starts_with("DPP:I:SN=JADA-0001;V:2;K:"), "{uri}");
    let label = "&dpp=DPP%3AI%3ASN%3DJADA-0001%3BV%3A2%3BK%3A";
    assert!(asked.lock().unwrap()[0].contains(label));

    let controller = Controller::start(Manner::Honest, key.public_key()).await;
    let settings = format!(
        "mdns = false\n[dpp]\nmdns = false\ncontrollers = [\"{}\"]\n",
        controller.address
    );
    std::fs::write(home.join("agent.toml"), settings).unwrap();
    let run = ["run", "--once", "--output", "json"];
    let joined = output(agent(&home, &run)).await;
    assert_eq!(joined.status.code(), Some(0));
    assert_eq!(lines(&joined).last().unwrap()["event"], "wifi-configured");
    let shown = output(agent(&home, &["status", "--output", "json"])).await;
    let status = &lines(&shown)[0];
    assert_eq!(status["state"], "onboarded");
    assert_eq!(status["wifi"]["networks"][0]["ssid"], "plant");
    assert_eq!(status["dpp_uri"], uri.as_str());
    // Nobody is there any more: reset, and it is the controller that is missed.
    assert_eq!(
        output(agent(&home, &["reset"])).await.status.code(),
        Some(0)
    );
    assert_eq!(output(agent(&home, &run)).await.status.code(), Some(3));
}

/// What the device says, anywhere, never holds its keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_output_and_no_file_of_the_state_holds_a_private_key() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let device: Device = maker.device();
    let url = registrar.url();
    let run = [
        "run",
        "--once",
        "--no-mdns",
        "--registrar",
        &url,
        "--log",
        "trace",
    ];
    let done = output(agent(device.path(), &run)).await;
    assert_eq!(done.status.code(), Some(0));
    let mut texts = vec![done.stdout, done.stderr];
    for entry in std::fs::read_dir(device.path().join("state")).unwrap() {
        texts.push(std::fs::read(entry.unwrap().path()).unwrap());
    }
    assert!(texts.len() > 5);
    for text in texts {
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains("PRIVATE KEY") && !text.contains("MIGHAgEAMBMGByqGSM49AgEG"));
    }
}
