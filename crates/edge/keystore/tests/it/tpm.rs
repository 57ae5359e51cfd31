//! Keys in a software TPM, started for each test on ports that are free.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use vouchsafe_keystore::{
    Algorithm, Error, HardwareProblem, KeyStore, SealedProblem, StoreKind, generate_pkcs8,
    sign_off_thread,
};

use crate::agreement::{agrees, is_a_place_for_agreements, keeps_purposes_apart};
use crate::file::signs;
use crate::peer;

struct Tpm {
    folder: TempDir,
    port: u16,
    swtpm: Child,
}

impl Tpm {
    fn start() -> Option<Self> {
        if peer::missing(&["swtpm"]) {
            return None;
        }
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        // The control channel is found by the TCTI at the next port: both must be free, and may be
        // taken by somebody else before swtpm has them.
        for _ in 0..20 {
            let Some(port) = two_free_ports() else {
                continue;
            };
            if let Some(swtpm) = start(&folder, port) {
                return Some(Self {
                    folder,
                    port,
                    swtpm,
                });
            }
        }
        panic!("swtpm does not start");
    }

    /// As if the machine had been switched off and on.
    fn restart(&mut self) {
        self.stop();
        // Its ports were its own until now; they may take a moment to be free.
        let started = (0..50).find_map(|_| start(&self.folder, self.port));
        self.swtpm = started.expect("swtpm does not start again");
    }

    fn stop(&mut self) {
        self.swtpm.kill().unwrap();
        self.swtpm.wait().unwrap();
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn address(&self) -> String {
        format!(
            "tpm:swtpm:host=localhost,port={}?keys={}",
            self.port,
            self.keys().display()
        )
    }

    fn open(&self) -> KeyStore {
        KeyStore::open(&self.address()).unwrap()
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.swtpm.kill();
        let _ = self.swtpm.wait();
    }
}

fn two_free_ports() -> Option<u16> {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = first.local_addr().unwrap().port();
    TcpListener::bind(("127.0.0.1", port.checked_add(1)?))
        .ok()
        .map(|_| port)
}

/// `None` when swtpm gives up, for instance because a port was taken.
fn start(folder: &TempDir, port: u16) -> Option<Child> {
    let mut swtpm = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--tpmstate")
        .arg(format!("dir={}", folder.path().join("state").display()))
        .arg("--server")
        .arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"))
        .arg("--ctrl")
        .arg(format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    loop {
        // Its own sockets, since a neighbour's may stand where one of ours should. The loop ends: swtpm
        // listens or exits.
        if [port, port + 1].iter().all(|port| listens(&swtpm, *port)) {
            return Some(swtpm);
        }
        if swtpm.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Whether this very process listens at the port.
fn listens(process: &Child, port: u16) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{}/fd", process.id())) else {
        return false;
    };
    let open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let open: Vec<_> = open.map(|it| it.to_string_lossy().into_owned()).collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let socket = format!("socket:[{}]", fields[9]);
        fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "0A" && open.contains(&socket)
    })
}

fn hardware_problem<T: std::fmt::Debug>(result: Result<T, Error>) -> HardwareProblem {
    match result.unwrap_err() {
        Error::Hardware { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn keys_are_made_in_the_tpm_and_sign() {
    let Some(tpm) = Tpm::start() else { return };
    let store = tpm.open();
    assert_eq!(store.kind(), StoreKind::Tpm);
    for algorithm in [Algorithm::EcdsaP256, Algorithm::EcdsaP384] {
        let label = algorithm.name();
        let made = store.create(label, algorithm).unwrap();
        let loaded = tpm.open().load(label).unwrap();
        assert_eq!(made.public_key(), loaded.public_key());
        assert_eq!(loaded.algorithm(), algorithm.signature_algorithm());
        assert!(loaded.may_block());
        (0..5).for_each(|_| signs(&*loaded));
        assert!(matches!(
            store.create(label, algorithm),
            Err(Error::LabelExists { .. })
        ));
    }
    // More keys than the TPM has slots, used in turn.
    let signers: Vec<_> = (0..5)
        .map(|number| {
            store
                .create(&format!("k{number}"), Algorithm::EcdsaP256)
                .unwrap()
        })
        .collect();
    for signer in signers.iter().chain(signers.iter().rev()) {
        signs(&**signer);
    }
    assert_eq!(store.list().unwrap().len(), 7);
    store.delete("k0").unwrap();
    assert!(matches!(store.load("k0"), Err(Error::NotFound { .. })));
    assert!(matches!(
        store.create("e", Algorithm::Ed25519),
        Err(Error::AlgorithmUnsupported { .. })
    ));
    let outside = generate_pkcs8(Algorithm::EcdsaP256).unwrap();
    let imported = store.import("i", outside.expose());
    assert!(matches!(imported, Err(Error::ImportUnsupported { .. })));
}

#[test]
fn keys_are_made_in_the_tpm_and_agree() {
    let Some(mut tpm) = Tpm::start() else { return };
    is_a_place_for_agreements(&|| tpm.open());
    keeps_purposes_apart(&tpm.open());
    let key = tpm.open().load_agreement("agrees").unwrap();
    tpm.restart();
    agrees(&*key);
}

#[test]
fn a_tpm_that_was_restarted_signs_again() {
    let Some(mut tpm) = Tpm::start() else { return };
    let signer = tpm.open().create("k", Algorithm::EcdsaP256).unwrap();
    signs(&*signer);
    tpm.restart();
    signs(&*signer);
    signs(&*tpm.open().load("k").unwrap());
}

#[test]
fn a_tpm_that_is_gone_is_named() {
    let Some(mut tpm) = Tpm::start() else { return };
    let signer = tpm.open().create("k", Algorithm::EcdsaP256).unwrap();
    tpm.stop();
    assert_eq!(
        signer.sign(b"message"),
        Err(vouchsafe_trust::SignError::Unavailable)
    );
    let opened = KeyStore::open(&tpm.address());
    assert!(matches!(
        hardware_problem(opened),
        HardwareProblem::TpmMissing { .. }
    ));
}

#[test]
fn a_blob_of_another_tpm_or_label_is_refused() {
    let (Some(tpm), Some(other)) = (Tpm::start(), Tpm::start()) else {
        return;
    };
    let (store, foreign) = (tpm.open(), other.open());
    store.create("a", Algorithm::EcdsaP256).unwrap();
    store.create("b", Algorithm::EcdsaP256).unwrap();
    foreign.create("a", Algorithm::EcdsaP256).unwrap();
    let path = tpm.keys().join("a.tpm");
    let own = fs::read(&path).unwrap();

    fs::write(&path, fs::read(other.keys().join("a.tpm")).unwrap()).unwrap();
    let loaded = store.load("a");
    assert!(matches!(
        hardware_problem(loaded),
        HardwareProblem::ForeignBlob { .. }
    ));

    fs::write(&path, fs::read(tpm.keys().join("b.tpm")).unwrap()).unwrap();
    match store.load("a").unwrap_err() {
        Error::Sealed {
            problem: SealedProblem::WrongLabel { found },
            ..
        } => {
            assert_eq!(found, "b");
        }
        other => panic!("{other}"),
    }
    // With label and hash made to match, the TPM does not accept the key's authorization.
    let mut forged = fs::read(tpm.keys().join("b.tpm")).unwrap();
    forged[7] = b'a';
    let end = forged.len() - 32;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &forged[..end]);
    forged[end..].copy_from_slice(hash.as_ref());
    fs::write(&path, forged).unwrap();
    let loaded = store.load("a");
    assert!(matches!(
        hardware_problem(loaded),
        HardwareProblem::ForeignBlob { .. }
    ));

    fs::write(&path, own).unwrap();
    signs(&*store.load("a").unwrap());
}

#[test]
fn a_blocking_signer_leaves_the_event_loop_free() {
    let Some(tpm) = Tpm::start() else { return };
    let signer = tpm.open().create("k", Algorithm::EcdsaP256).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let signature = sign_off_thread(signer.clone(), b"message".to_vec())
            .await
            .unwrap();
        signer
            .public_key()
            .verify(signer.algorithm(), b"message", &signature)
            .unwrap();
    });
}
