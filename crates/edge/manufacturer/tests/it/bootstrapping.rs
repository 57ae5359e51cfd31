//! Bootstrapping keys for Wi-Fi Easy Connect: made with the birth key, on the label, in the manifest.

use std::path::{Path, PathBuf};

use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{Agreement as _, BootstrappingKey, Curve, PrivateKey};
use vouchsafe_fleet::{KeyOrigin, Manifest, Refusal};
use vouchsafe_keystore::{Algorithm, Sealer, StoreUri};
use vouchsafe_manufacturer::bootstrapping::{HOSTAP_KEY_FILE, PRIVATE_KEY_FILE, SEALED_AS};
use vouchsafe_manufacturer::label::{self, Label};
use vouchsafe_manufacturer::{
    Batch, Bootstrapping, DeviceFile, FactoryError, KEY_STORE, MadeHere, ManifestOptions,
    NewDevice, Output, Progress, Serials,
};
use vouchsafe_trust::{CertificateRequest, Name, RequestContent, cms, oid};

use crate::world::{Device, Domain, World, actor, key};

fn wanted(curve: &str) -> Bootstrapping {
    Bootstrapping {
        curve: curve.to_owned(),
        birth_key: false,
        channels: None,
        hostap: false,
    }
}

fn lamp<'a>(serial: &'a str, bootstrapping: &'a Bootstrapping) -> MadeHere<'a> {
    MadeHere {
        serial,
        model: Some("lamp"),
        algorithm: Algorithm::EcdsaP256,
        bootstrapping: Some(bootstrapping),
        mac: Some("52:54:00:58:28:e5"),
    }
}

/// The key of a birth folder, as its device finds it, and the URI beside it.
fn key_in(folder: &Path) -> (BootstrappingKey, String) {
    let file = std::fs::read_to_string(folder.join("device.toml")).unwrap();
    let uri = toml::from_str::<DeviceFile>(&file)
        .unwrap()
        .dpp_uri
        .unwrap();
    let mut address: StoreUri = KEY_STORE.parse().unwrap();
    address.resolve_from(folder);
    let sealer = Sealer::beside(&address).unwrap();
    let scalar = sealer
        .read(&folder.join(PRIVATE_KEY_FILE), SEALED_AS)
        .unwrap();
    let curve = BootstrappingUri::parse_strictly(&uri)
        .unwrap()
        .key()
        .curve();
    let private = PrivateKey::from_bytes(curve, scalar.expose()).unwrap();
    (BootstrappingKey::new(private), uri)
}

fn births(world: &World, serial: &str) -> PathBuf {
    world.folder.path().join("births").join(serial)
}

async fn make(world: &World, serial: &str, wanted: &Bootstrapping) -> Result<(), FactoryError> {
    world
        .factory
        .provision_made_here(&actor(), lamp(serial, wanted), &births(world, serial))
        .await
        .map(drop)
}

#[tokio::test]
async fn a_key_is_in_the_device_on_the_label_in_the_journal_and_in_the_manifest() {
    let world = World::new().await;
    make(&world, "A-1", &wanted("P-256")).await.unwrap();
    let (key, uri) = key_in(&births(&world, "A-1"));
    assert!(
        uri.starts_with("DPP:M:5254005828e5;I:SN=A-1;V:2;K:"),
        "{uri}"
    );
    let read = BootstrappingUri::parse_strictly(&uri).unwrap();
    assert_eq!(read.key(), key.public_key());

    let row = world.factory.device("A-1").await.unwrap();
    let kept = world.factory.dpp_uri(row.id).await.unwrap();
    assert_eq!(kept.as_deref(), Some(uri.as_str()));
    let printed = Label::of(&row, kept.as_deref());
    assert_eq!(printed.text, uri);
    assert!(label::svg(&printed).unwrap().contains("A-1</text>"));

    let domain = Domain::new("Hotel");
    let owner = world.owner(&domain).await;
    world.factory.sell(&actor(), "A-1", &owner).await.unwrap();
    let options = ManifestOptions::default();
    let signed = world.factory.manifest(&owner, &options).await.unwrap();
    let content = cms::parse(&signed.bytes).unwrap().content().to_vec();
    let manifest: Manifest = serde_json::from_slice(&content).unwrap();
    assert_eq!(manifest.devices[0].dpp_uri.as_deref(), Some(uri.as_str()));
    let journal = &manifest.devices[0].journal;
    assert!(
        journal
            .iter()
            .any(|entry| entry.text.contains("bootstrapping-key-added"))
    );
    // The public half and no more.
    let scalar = hex(key.private().to_bytes().expose());
    assert!(!String::from_utf8_lossy(&content).contains(&scalar));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn provisioning_again_gives_the_same_key_again() {
    let world = World::new().await;
    make(&world, "A-1", &wanted("P-384")).await.unwrap();
    let before = key_in(&births(&world, "A-1"));
    std::fs::remove_file(births(&world, "A-1").join("device.toml")).unwrap();
    make(&world, "A-1", &wanted("P-384")).await.unwrap();
    let after = key_in(&births(&world, "A-1"));
    assert_eq!(before.1, after.1);
    assert_eq!(before.0.public_key(), after.0.public_key());
    assert!(
        world
            .factory
            .store
            .verify_journals()
            .await
            .unwrap()
            .is_sound()
    );
}

#[tokio::test]
async fn the_birth_key_may_serve_and_hostap_may_have_it_in_its_form() {
    let world = World::new().await;
    let both = Bootstrapping {
        birth_key: true,
        hostap: true,
        ..wanted("P-256")
    };
    make(&world, "A-1", &both).await.unwrap();
    let folder = births(&world, "A-1");
    let device = Device::open(&folder);
    let (key, _) = key_in(&folder);
    let point = key.private().public().to_uncompressed();
    assert!(device.signer.public_key().spki_der().ends_with(point));
    assert_eq!(device.signer.public_key(), device.chain[0].public_key());
    let text = std::fs::read_to_string(folder.join(HOSTAP_KEY_FILE)).unwrap();
    assert_eq!(text.trim(), hex(key.private().to_sec1_der().expose()));

    // A birth key that is there already was never meant to leave its store.
    world.device("A-2").await;
    let late = make(&world, "A-2", &both).await;
    assert!(
        matches!(late, Err(FactoryError::Bootstrapping(_))),
        "{late:?}"
    );
    assert!(matches!(
        make(&world, "A-3", &wanted("BP-512")).await,
        Err(FactoryError::Bootstrapping(_))
    ));
}

#[tokio::test]
async fn a_batch_keeps_bootstrapping_keys_in_its_bundle() {
    let world = World::new().await;
    let list = world.folder.path().join("list.csv");
    std::fs::write(&list, "serial,mac\nB-1,525400000001\nB-2,\n").unwrap();
    let (file, sealing_key) = (
        world.folder.path().join("keys.bundle"),
        world.folder.path().join("bundle.key"),
    );
    let batch = Batch {
        serials: Serials::List(list),
        model: None,
        algorithm: "ecdsa-p256".to_owned(),
        output: Output::Bundle {
            file: file.clone(),
            sealing_key: sealing_key.clone(),
        },
        bootstrapping: Some(wanted("P-521")),
    };
    let quiet = |_: &Progress| {};
    let factory = &world.factory;
    let made = factory
        .provision_batch(&actor(), &batch, &quiet)
        .await
        .unwrap();
    assert_eq!(made.made, 2);
    let again = factory
        .provision_batch(&actor(), &batch, &quiet)
        .await
        .unwrap();
    assert_eq!((again.made, again.passed_over), (0, 2));
    for (serial, start) in [
        ("B-1", "DPP:M:525400000001;I:SN=B-1;V:2;K:"),
        ("B-2", "DPP:I:SN=B-2;V:2;K:"),
    ] {
        let folder = births(&world, serial);
        factory
            .export_birth(serial, &file, &sealing_key, &folder, true)
            .await
            .unwrap();
        let (key, uri) = key_in(&folder);
        assert!(uri.starts_with(start), "{uri}");
        assert_eq!(key.public_key().curve(), Curve::P521);
        assert!(folder.join(HOSTAP_KEY_FILE).exists());
        Device::open(&folder);
    }
}

#[tokio::test]
async fn a_device_with_keys_of_its_own_hands_in_its_uri() {
    let world = World::new().await;
    let own = BootstrappingKey::new(PrivateKey::from_seed(Curve::P256, &[7; 80]).unwrap());
    let uri = BootstrappingUri::new(own.public_key().clone()).to_string();
    let device = |serial: &str, uri: &str| NewDevice {
        serial: serial.to_owned(),
        model: None,
        key_origin: KeyOrigin::Hardware,
        dpp_uri: Some(uri.to_owned()),
    };
    let request = |serial: &str| {
        let subject = Name::new(&[(oid::SERIAL_NUMBER, serial)]).unwrap();
        CertificateRequest::build(&RequestContent::new(subject), &*key()).unwrap()
    };
    let made = device("C-1", &uri);
    let factory = &world.factory;
    factory
        .provision_from_csr(&actor(), &made, &request("C-1"))
        .await
        .unwrap();
    let row = factory.device("C-1").await.unwrap();
    assert_eq!(factory.dpp_uri(row.id).await.unwrap(), Some(uri.clone()));
    // Another device has the same label.
    let copied = device("C-2", &uri);
    let refused = factory
        .provision_from_csr(&actor(), &copied, &request("C-2"))
        .await
        .unwrap_err();
    assert_eq!(refused.refusal(), Some(Refusal::KeyOfAnotherDevice));
    for bad in ["", "DPP:;;", "DPP:V:2;K:AAAA;;", "dpp:v:2;;"] {
        let refused = factory
            .provision_from_csr(&actor(), &device("C-3", bad), &request("C-3"))
            .await;
        assert!(matches!(refused, Err(FactoryError::Uri(_))), "{bad:?}");
    }
}
