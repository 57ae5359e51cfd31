//! OpenSSL as the other side.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use vouchsafe_net::HandshakeFailure;

use crate::world::{World, eventually, soon};

/// Whether the tool is there; a missing one fails where `CI` is set.
async fn have_openssl() -> bool {
    let found = Command::new("openssl")
        .arg("version")
        .output()
        .await
        .is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "no openssl");
        println!("skipped: no openssl");
    }
    found
}

async fn openssl(folder: &Path, arguments: &str, input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes()).await;
    let output = soon(arguments, child.wait_with_output()).await.unwrap();
    drop(stdin);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

const ASK: &str = "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn s_client_shows_every_kind_of_certificate_in_both_versions() {
    if !have_openssl().await {
        return;
    }
    let world = World::new(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    for (kind, generate) in [
        (
            "p256",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        ),
        (
            "p384",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        ),
        (
            "p521",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521",
        ),
        (
            "rsa",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        ),
        ("ed25519", "genpkey -algorithm ED25519"),
    ] {
        openssl(folder.path(), &format!("{generate} -out {kind}.key"), "").await;
        let request = format!("req -new -key {kind}.key -subj /CN={kind} -out {kind}.csr");
        openssl(folder.path(), &request, "").await;
        // Without an extension file OpenSSL 3.0 makes X.509 v1, later ones v3; with -x509 all make v3.
        let odd = format!("x509 -req -in {kind}.csr -key {kind}.key -out {kind}-v1.pem");
        openssl(folder.path(), &odd, "").await;
        let plain = format!("req -x509 -key {kind}.key -subj /CN={kind} -days 9 -out {kind}.pem");
        openssl(folder.path(), &plain, "").await;
        for version in ["tls1_2", "tls1_3"] {
            for certificate in [kind.to_owned(), format!("{kind}-v1")] {
                let call = format!(
                    "s_client -connect {} -{version} -cert {certificate}.pem -key {kind}.key \
                     -quiet -ign_eof",
                    world.addr
                );
                let said = openssl(folder.path(), &call, ASK).await;
                let expected = format!("1\nCN={kind}\n");
                assert!(said.contains(&expected), "{certificate} {version}: {said}");
            }
        }
    }
}

/// RFC 9266 §2; in TLS 1.3 an absent and an empty context are the same, and s_client has only the
/// former.
#[tokio::test]
async fn s_client_computes_the_same_exporter() {
    if !have_openssl().await {
        return;
    }
    let world = World::new(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let call = format!(
        "s_client -connect {} -tls1_3 -ign_eof -keymatexport EXPORTER-Channel-Binding \
         -keymatexportlen 32",
        world.addr
    );
    let said = openssl(folder.path(), &call, ASK).await;
    let theirs = said.split("Keying material: ").nth(1).expect(&said);
    let theirs = theirs.lines().next().unwrap().trim().to_lowercase();
    let body = said.split("\r\n\r\n").nth(1).expect(&said);
    let ours = body.lines().nth(2).expect(&said);
    assert_eq!(theirs, ours);
    assert_eq!(ours.len(), 64);
}

#[tokio::test]
async fn s_client_gets_no_issuer_hints_and_weak_versions_are_refused() {
    if !have_openssl().await {
        return;
    }
    let world = World::new(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let call = format!("s_client -connect {} -tls1_2 -ign_eof", world.addr);
    let said = openssl(folder.path(), &call, ASK).await;
    assert!(
        said.contains("No client certificate CA names sent"),
        "{said}"
    );
    let call = format!(
        "s_client -connect {} -tls1_1 -cipher ALL:@SECLEVEL=0",
        world.addr
    );
    let said = openssl(folder.path(), &call, ASK).await;
    assert!(!said.contains("HTTP/1.1 200"), "{said}");
    eventually("it is counted", || {
        world.stats.handshake_failures(HandshakeFailure::Protocol) == 1
    })
    .await;
}
