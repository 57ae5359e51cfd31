//! `curl` and `openssl` as device and as judge: a whole onboarding without a line of ours on the
//! device's side, then every operation of EST, revocation, and the manifest.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vouchsafe_net::Clock;

use crate::judge::Stranger;
use crate::secrets::{assert_nowhere, scalar};
use crate::tools::{have, openssl, openssl_text, output, run};
use crate::world::{Controller, Manufacturer, Place};

const VOUCHER: &str = "application/voucher-cms+json";

/// A device that is nothing but a folder, `curl` and `openssl`.
struct Curl<'a> {
    folder: &'a Path,
    registrar: String,
    /// How the registrar is judged.
    trust: Vec<String>,
    /// Certificate chain and key, files of the folder.
    identity: (&'a str, &'a str),
}

/// An answer.
struct Answer {
    status: u16,
    kind: String,
    body: Vec<u8>,
}

impl Answer {
    /// The certificates of a certs-only answer, PEM (RFC 7030 §4.1.3, §4.2.3).
    fn certificates(&self, folder: &Path) -> String {
        assert!(
            self.kind.starts_with("application/pkcs7-mime"),
            "{}",
            self.kind
        );
        let der = decode(folder, &self.body);
        openssl_text(folder, &["pkcs7", "-inform", "DER", "-print_certs"], &der)
    }
}

impl Curl<'_> {
    fn send(&self, path: &str, kind: &str, body: Option<&[u8]>) -> Answer {
        let mut command = Command::new("curl");
        command
            .current_dir(self.folder)
            .args(["-sS", "--max-time", "60", "-o", "answer"]);
        command
            .args(&self.trust)
            .args(["--cert", self.identity.0, "--key", self.identity.1]);
        command.args(["-w", "%{http_code} %{content_type}"]);
        if body.is_some() {
            command.args([
                "--data-binary",
                "@-",
                "-H",
                &format!("Content-Type: {kind}"),
            ]);
        }
        command.arg(format!("{}{path}", self.registrar));
        let said = output(&mut command, body.unwrap_or_default());
        let said = String::from_utf8(said).unwrap();
        let (status, kind) = said.split_once(' ').unwrap();
        Answer {
            status: status.parse().unwrap(),
            kind: kind.to_owned(),
            body: fs::read(self.folder.join("answer")).unwrap(),
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.send(path, "", None)
    }

    fn post(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        self.send(path, kind, Some(body))
    }

    /// A request for a new key's certificate, sent as RFC 7030 §4.2.1 and RFC 8951 §3 have it.
    fn enroll(&self, operation: &str, serial: &str, name: &str) -> Answer {
        let (key, subject) = (format!("{name}.key"), format!("/serialNumber={serial}"));
        let arguments = [
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ];
        let more = [
            "-nodes", "-keyout", &key, "-subj", &subject, "-outform", "DER",
        ];
        let request = openssl(self.folder, &[&arguments[..], &more].concat(), b"");
        let body = openssl(self.folder, &["base64"], &request);
        self.post(
            &format!("/.well-known/est/{operation}"),
            "application/pkcs10",
            &body,
        )
    }

    /// As [`Curl::enroll`]; the certificate then is in `NAME.pem`, judged by the domain's CA.
    fn enrolled(&self, operation: &str, serial: &str, name: &str) {
        let answer = self.enroll(operation, serial, name);
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        assert!(
            answer.kind.contains("smime-type=certs-only"),
            "{}",
            answer.kind
        );
        let file = format!("{name}.pem");
        fs::write(self.folder.join(&file), answer.certificates(self.folder)).unwrap();
        let strict = ["verify", "-x509_strict", "-CAfile", "domain-ca.pem"];
        openssl(
            self.folder,
            &[&strict[..], &["-purpose", "sslclient", &file]].concat(),
            b"",
        );
        let made = openssl(
            self.folder,
            &["pkey", "-in", &format!("{name}.key"), "-pubout"],
            b"",
        );
        let certified = openssl(
            self.folder,
            &["x509", "-in", &file, "-noout", "-pubkey"],
            b"",
        );
        assert_eq!(made, certified, "the certificate is for the key that asked");
    }
}

/// Base64 with or without line ends (RFC 8951 §3.1: a receiver takes both).
fn decode(folder: &Path, body: &[u8]) -> Vec<u8> {
    let ends = |byte: &u8| !byte.is_ascii_whitespace();
    let one_line: Vec<u8> = body.iter().copied().filter(ends).collect();
    openssl(folder, &["base64", "-d", "-A"], &one_line)
}

/// The first certificate that a server shows, DER.
fn server_certificate(folder: &Path, port: u16) -> Vec<u8> {
    let server = format!("127.0.0.1:{port}");
    let mut command = Command::new("openssl");
    command
        .current_dir(folder)
        .args(["s_client", "-connect", &server]);
    let (_, shown, stderr) = run(&mut command, b"");
    assert!(!shown.is_empty(), "{stderr}");
    openssl(folder, &["x509", "-outform", "DER"], &shown)
}

/// A voucher request, signed by `openssl cms` (RFC 8995 §5.2).
fn voucher_request(folder: &Path, serial: &str, server: &[u8], nonce: &str) -> Vec<u8> {
    let request = json!({ "ietf-voucher-request:voucher": {
        "assertion": "proximity",
        "created-on": Clock::system().now().to_string(),
        "nonce": nonce,
        "serial-number": serial,
        "proximity-registrar-cert": STANDARD.encode(server),
    }});
    let sign = [
        "cms",
        "-sign",
        "-binary",
        "-nodetach",
        "-nosmimecap",
        "-outform",
        "DER",
    ];
    let with = [
        "-md",
        "sha256",
        "-signer",
        "idevid.pem",
        "-inkey",
        "birth.key",
    ];
    openssl(
        folder,
        &[&sign[..], &with].concat(),
        request.to_string().as_bytes(),
    )
}

#[test]
fn a_device_made_of_curl_and_openssl_comes_in_and_uses_every_operation_of_est() {
    if !have(&["openssl", "curl"]) {
        return;
    }
    let place = Place::new();
    let mut maker = Manufacturer::init(&place, &[]);
    let stranger = Stranger::born(&place, &maker, "C-1");
    maker.serve();
    let owner = Controller::start(&place, "owner", &["est.server_key_generation=true"]);
    owner.buy(&maker, &["C-1"]);
    let folder = stranger.folder.as_path();
    fs::write(folder.join("masa-ca.pem"), maker.file("masa-ca.pem")).unwrap();
    let mut device = Curl {
        folder,
        registrar: owner.registrar(),
        trust: vec!["-k".to_owned()],
        identity: ("idevid.pem", "birth.key"),
    };

    // RFC 8995 §5.9: without a voucher there is no certificate.
    let early = device.enroll("simpleenroll", "C-1", "early");
    let text = String::from_utf8_lossy(&early.body).into_owned();
    assert!(early.status >= 400, "{text}");
    assert!(
        text.contains("no-voucher-yet") || text.contains("wrong-state"),
        "{text}"
    );

    // RFC 8995 §5.2 to §5.6: the voucher, judged by openssl with the maker's anchor alone.
    let server = server_certificate(folder, owner.relay.port());
    let nonce = STANDARD.encode([7; 16]);
    let request = voucher_request(folder, "C-1", &server, &nonce);
    let answer = device.post("/.well-known/brski/requestvoucher", VOUCHER, &request);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(
        (answer.status, answer.kind.as_str()),
        (200, VOUCHER),
        "{text}"
    );
    let verify = [
        "cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any",
    ];
    let verify = [&verify[..], &["-CAfile", "masa-ca.pem"]].concat();
    let voucher: Value = serde_json::from_slice(&openssl(folder, &verify, &answer.body)).unwrap();
    let voucher = &voucher["ietf-voucher:voucher"];
    assert_eq!(voucher["serial-number"], "C-1");
    assert_eq!(voucher["nonce"], nonce.as_str());
    let pin = STANDARD
        .decode(voucher["pinned-domain-cert"].as_str().unwrap())
        .unwrap();
    let pin = openssl(folder, &["x509", "-inform", "DER"], &pin);
    fs::write(folder.join("pin.pem"), pin).unwrap();
    fs::write(folder.join("server.der"), server).unwrap();
    let pinned = [
        "verify",
        "-partial_chain",
        "-CAfile",
        "pin.pem",
        "server.der",
    ];
    openssl(folder, &pinned, b"");
    // From here on the registrar is known (RFC 8995 §5.6.2).
    let status = json!({ "version": 1, "status": true, "reason": "ok", "reason-context": {} });
    let status = status.to_string();
    let telemetry = "/.well-known/brski/voucher_status";
    let answer = device.post(telemetry, "application/json", status.as_bytes());
    assert_eq!(answer.status, 200, "RFC 8995 §5.7");

    // RFC 7030 §4.1
    let answer = device.get("/.well-known/est/cacerts");
    assert_eq!(answer.status, 200);
    fs::write(folder.join("domain-ca.pem"), answer.certificates(folder)).unwrap();
    openssl(
        folder,
        &[
            "verify",
            "-x509_strict",
            "-CAfile",
            "domain-ca.pem",
            "server.der",
        ],
        b"",
    );
    device.trust = vec!["--cacert".to_owned(), "domain-ca.pem".to_owned()];

    // RFC 7030 §4.5, RFC 9908 §3
    let answer = device.get("/.well-known/est/csrattrs");
    assert_eq!(
        (answer.status, answer.kind.as_str()),
        (200, "application/csrattrs")
    );
    let der = decode(folder, &answer.body);
    let asked = openssl_text(folder, &["asn1parse", "-inform", "DER"], &der);
    assert!(asked.contains("serialNumber"), "{asked}");

    // RFC 7030 §4.2.1, then RFC 8995 §5.9.4 on a new connection with the new certificate.
    device.enrolled("simpleenroll", "C-1", "first");
    device.identity = ("first.pem", "first.key");
    let answer = device.post(
        "/.well-known/brski/enrollstatus",
        "application/json",
        status.as_bytes(),
    );
    assert_eq!(answer.status, 200);
    owner.assert_onboarded_once("C-1");

    // RFC 7030 §4.2.2: renewal, with another key and the present certificate.
    device.enrolled("simplereenroll", "C-1", "second");
    device.identity = ("second.pem", "second.key");
    let answer = device.post(
        "/.well-known/brski/enrollstatus",
        "application/json",
        status.as_bytes(),
    );
    assert_eq!(answer.status, 200);

    // RFC 7030 §4.4.2: a key made by the server, in two parts.
    let answer = device.enroll("serverkeygen", "C-1", "asking");
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(answer.status, 200, "{text}");
    let boundary = answer
        .kind
        .split("boundary=")
        .nth(1)
        .unwrap()
        .trim_matches('"')
        .to_owned();
    let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    let part = |kind: &str| {
        let part = parts.iter().find(|part| part.contains(kind)).unwrap();
        let body = part.split_once("\r\n\r\n").unwrap().1;
        decode(folder, body.as_bytes())
    };
    let made = part("application/pkcs8");
    let key = openssl(folder, &["pkey", "-inform", "DER", "-pubout"], &made);
    let chain = part("certs-only");
    let chain = openssl(folder, &["pkcs7", "-inform", "DER", "-print_certs"], &chain);
    assert_eq!(key, openssl(folder, &["x509", "-noout", "-pubkey"], &chain));
    // It was made for the device, and the controller keeps no trace of it.
    assert_nowhere(place.root(), folder, "the key made by the server", &made);
    assert_nowhere(place.root(), folder, "its private number", scalar(&made));

    // RFC 7030 §4.3: full CMC is not offered, and says so.
    let answer = device.post(
        "/.well-known/est/fullcmc",
        "application/pkcs7-mime",
        b"AAAA",
    );
    assert_eq!(answer.status, 501);
    revocation(&owner, folder);
    owner.api().verify_journal();
}

/// CRL and OCSP before and after a certificate is taken back (RFC 5280 §5, RFC 6960 §4).
fn revocation(owner: &Controller<'_>, folder: &Path) {
    let api = owner.api();
    let serial = openssl_text(
        folder,
        &["x509", "-in", "second.pem", "-noout", "-serial"],
        b"",
    );
    let serial = serial.trim().trim_start_matches("serial=").to_owned();
    assert!(!crl(owner, folder).contains(&serial));
    assert!(ocsp(owner, folder).contains("second.pem: good"));
    let device = api.device("C-1");
    let id = device["id"].as_str().unwrap();
    let revoke = json!({ "revocation_reason": "key-compromise", "reason": "found on a market" });
    api.post(&format!("/api/v1/devices/{id}/revoke"), &revoke);
    let text = crl(owner, folder);
    assert!(
        text.contains(&serial) && text.contains("Key Compromise"),
        "{serial}: {text}"
    );
    assert!(ocsp(owner, folder).contains("second.pem: revoked"));
}

/// The revocation list as text, its signature checked.
fn crl(owner: &Controller<'_>, folder: &Path) -> String {
    let url = format!("{}/pki/domain.crl", owner.api_url());
    let mut fetch = Command::new("curl");
    fetch
        .current_dir(folder)
        .args(["-sS", "--fail", "--cacert", "domain-ca.pem", &url]);
    let der = output(&mut fetch, b"");
    let show = [
        "crl",
        "-inform",
        "DER",
        "-CAfile",
        "domain-ca.pem",
        "-noout",
        "-text",
    ];
    let mut command = Command::new("openssl");
    let (success, text, said) = run(command.current_dir(folder).args(show), &der);
    assert!(success && said.contains("verify OK"), "{said}");
    String::from_utf8(text).unwrap()
}

/// What OCSP says about `second.pem`, its signature checked.
fn ocsp(owner: &Controller<'_>, folder: &Path) -> String {
    let about = ["ocsp", "-issuer", "domain-ca.pem", "-cert", "second.pem"];
    openssl(
        folder,
        &[&about[..], &["-reqout", "ocsp.request"]].concat(),
        b"",
    );
    let mut ask = Command::new("curl");
    ask.current_dir(folder)
        .args(["-sS", "--fail", "--cacert", "domain-ca.pem"]);
    ask.args(["-H", "Content-Type: application/ocsp-request"]);
    ask.args(["--data-binary", "@ocsp.request", "-o", "ocsp.response"]);
    output(ask.arg(format!("{}/pki/ocsp", owner.api_url())), b"");
    // The same nonce must come back, so the request is read again and not made anew.
    let judge = [
        "ocsp",
        "-issuer",
        "domain-ca.pem",
        "-cert",
        "second.pem",
        "-no_nonce",
    ];
    let judge = [
        &judge[..],
        &["-respin", "ocsp.response", "-CAfile", "domain-ca.pem"],
    ]
    .concat();
    let mut command = Command::new("openssl");
    let (success, text, said) = run(command.current_dir(folder).args(judge), b"");
    assert!(success && said.contains("Response verify OK"), "{said}");
    String::from_utf8(text).unwrap()
}

#[test]
fn manifest_and_birth_certificates_are_what_openssl_reads() {
    if !have(&["openssl"]) {
        return;
    }
    let place = Place::new();
    let maker = Manufacturer::init(&place, &["idevid.mud_url=https://lamps.example/lamp.json"]);
    let owner = Controller::init(&place, "owner", &[]);
    let device = maker.provision("M-1");
    maker.add_owner(&owner.name, &owner.domain_ca());
    maker.sell(&["M-1"], &owner.name);
    let manifest = maker.manifest(&owner.name);
    let verify = [
        "cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any", "-CAfile",
    ];
    let read = openssl(
        &maker.dir,
        &[&verify[..], &["masa-ca.pem"]].concat(),
        &manifest,
    );
    let read: Value = serde_json::from_slice(&read).unwrap();
    assert_eq!(read["format"], "vouchsafe-manifest/1");
    assert_eq!(read["devices"][0]["serial"], "M-1");
    // A device's own root signs no manifests.
    let mut wrong = Command::new("openssl");
    wrong
        .current_dir(&maker.dir)
        .args(verify)
        .arg("root-ca.pem");
    assert!(!run(&mut wrong, &manifest).0);

    let birth = device.dir().join("birth");
    let root = maker.dir.join("root-ca.pem");
    let strict = [
        "verify",
        "-x509_strict",
        "-CAfile",
        root.to_str().unwrap(),
        "idevid.pem",
    ];
    openssl(&birth, &strict, b"");
    let text = openssl_text(
        &birth,
        &["x509", "-in", "idevid.pem", "-noout", "-text"],
        b"",
    );
    // RFC 8995 §2.3.1, §2.6.2, §2.3.2; RFC 8520 §11
    for part in [
        "serialNumber = M-1",
        "Dec 31 23:59:59 9999 GMT",
        "1.3.6.1.5.5.7.1.32",
        "1.3.6.1.5.5.7.1.25",
    ] {
        assert!(
            text.replace("serialNumber=", "serialNumber = ")
                .contains(part),
            "{part}: {text}"
        );
    }
    for (chain, root) in [("masa.pem", "masa-ca.pem"), ("masa-tls.pem", "masa-ca.pem")] {
        openssl(
            &maker.dir,
            &["verify", "-x509_strict", "-CAfile", root, chain],
            b"",
        );
    }
    let registrar = [
        "verify",
        "-x509_strict",
        "-CAfile",
        "domain-ca.pem",
        "registrar.pem",
    ];
    openssl(&owner.dir, &registrar, b"");
    let text = openssl_text(
        &owner.dir,
        &["x509", "-in", "registrar.pem", "-noout", "-text"],
        b"",
    );
    // RFC 5280 §4.2.1.12 and RFC 6402 §2.10: a registration authority.
    assert!(
        text.contains("1.3.6.1.5.5.7.3.28") || text.contains("CMC Registration Authority"),
        "{text}"
    );
}
