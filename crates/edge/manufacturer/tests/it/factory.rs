//! The factory: identities one by one, by the line and by the batch; sales, manifests, labels.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::sync::oneshot;
use vouchsafe_fleet::release::RELEASE_FORMAT;
use vouchsafe_fleet::{KeyOrigin, Manifest, ManufacturerId, Refusal, ReleaseStatement, State};
use vouchsafe_home::HomeError;
use vouchsafe_keystore::{Algorithm, KeyStore, StoreUri};
use vouchsafe_manufacturer::label::{self, Label};
use vouchsafe_manufacturer::{
    Batch, Desk, DeskError, FactoryError, IdentityDocument, MAX_SALE, ManifestOptions, NewDevice,
    Order, Output, Progress, ReleaseBy, Reply, STATION_KEY_STORE, Serials, init, serve,
};
use vouchsafe_net::{Connector, ConnectorOptions, Identity, Origin, ServerTrust};
use vouchsafe_trust::{
    Anchors, Certificate, CertificateRequest, NO_EXPIRY, Name, PathRules, RequestContent, Signer,
    Usage, cms, oid,
};

use crate::world::{Device, Domain, World, actor, config, key, now, station};

fn csr(signer: &dyn Signer, serial: &str) -> Vec<u8> {
    let subject = Name::new(&[(oid::SERIAL_NUMBER, serial)]).unwrap();
    CertificateRequest::build(&RequestContent::new(subject), signer).unwrap()
}

fn made_by_device(serial: &str) -> NewDevice {
    NewDevice {
        serial: serial.to_owned(),
        model: Some("lamp".to_owned()),
        key_origin: KeyOrigin::Device,
        dpp_uri: None,
    }
}

#[tokio::test]
async fn a_birth_certificate_says_what_the_standards_ask_for() {
    let world = World::with(|config| {
        config.idevid.mud_url = "https://example.com/lamp.json".to_owned();
        config.idevid.hardware_type = "1.3.6.1.4.1.99999.1".to_owned();
    })
    .await;
    let device = world.device("A-1").await;
    let leaf = &device.chain[0];
    assert_eq!(leaf.subject_serial_number(), Some("A-1")); // RFC 8995 §2.3.1
    assert_eq!(leaf.not_after(), NO_EXPIRY); // RFC 8995 §2.6.2
    assert_eq!(leaf.masa_url(), Some("masa.example")); // RFC 8995 §2.3.2
    assert_eq!(leaf.mud_url(), Some("https://example.com/lamp.json"));
    assert_eq!(leaf.hardware_module_name().unwrap().serial, b"A-1");
    assert!(!leaf.is_ca());
    assert_eq!(device.signer.public_key(), leaf.public_key());
    let row = world.factory.device("A-1").await.unwrap();
    assert_eq!(row.key_origin, KeyOrigin::Factory);
    assert_eq!(row.state, State::Provisioned);
    let anchor = device.chain[1].public_key().spki_der();
    assert_eq!(row.manufacturer, ManufacturerId::of_anchor(anchor));
}

/// A key that is in the field must not pass for its maker's.
#[tokio::test]
async fn no_device_can_sign_for_its_maker() {
    let world = World::new().await;
    let device = world.device("A-1").await;
    let forged = cms::sign(
        b"a voucher or a manifest",
        &cms::SignOptions {
            content_type: cms::ID_DATA,
            certificates: &device.chain,
            signing_time: None,
        },
        &*device.signer,
    )
    .unwrap();
    let rules = PathRules::strict(now(), Usage::Any);
    let forged = cms::parse(&forged).unwrap();
    assert!(forged.verify(&device.masa_anchors, &rules).is_err());
}

/// RFC 2986 §4.2 and one identity for one serial number.
#[tokio::test]
async fn one_serial_number_has_one_identity_and_one_key_one_device() {
    let world = World::new().await;
    let factory = &world.factory;
    let (mine, other) = (key(), key());
    let request = csr(&*mine, "A-1");
    let ask = |serial: &str, request: Vec<u8>| {
        let (device, factory) = (made_by_device(serial), factory.clone());
        async move {
            factory
                .provision_from_csr(&station(), &device, &request)
                .await
        }
    };
    let first = ask("A-1", request.clone()).await.unwrap();
    assert!(!first.repeated);
    let again = ask("A-1", request.clone()).await.unwrap();
    assert!(again.repeated);
    assert_eq!(first.chain, again.chain);
    let refused = |error: FactoryError| error.refusal().unwrap();
    let second_key = ask("A-1", csr(&*other, "A-1")).await.unwrap_err();
    assert_eq!(refused(second_key), Refusal::SerialTaken);
    let second_serial = ask("A-2", request.clone()).await.unwrap_err();
    assert_eq!(refused(second_serial), Refusal::KeyOfAnotherDevice);
    // The last is not in the alphabet of a PrintableString (RFC 5280 appendix A.1).
    for wrong in ["", "A\n", &"A".repeat(65), "A_1"] {
        let error = ask(wrong, csr(&*other, "x")).await.unwrap_err();
        assert_eq!(refused(error), Refusal::BadSerial, "{wrong:?}");
    }
    let mut forged = csr(&*other, "A-3");
    *forged.last_mut().unwrap() ^= 1;
    let unproved = ask("A-3", forged).await.unwrap_err();
    assert!(matches!(unproved, FactoryError::Request(_)), "{unproved}");
    assert_eq!(
        world.journal("A-1").await.len(),
        2,
        "one birth, one refusal"
    );
    assert!(factory.device("A-3").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_keys_that_race_for_a_serial_number_one_wins() {
    let world = World::new().await;
    let asks: Vec<_> = (0..8)
        .map(|_| {
            let factory = world.factory.clone();
            tokio::spawn(async move {
                let device = made_by_device("A-1");
                let request = csr(&*key(), "A-1");
                factory
                    .provision_from_csr(&station(), &device, &request)
                    .await
            })
        })
        .collect();
    let mut won = 0;
    for ask in asks {
        match ask.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(error.refusal(), Some(Refusal::SerialTaken)),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_birth_folder_that_was_left_half_made_is_completed() {
    let world = World::new().await;
    let device = world.device("A-1").await;
    let folder = world.folder.path().join("births/A-1");
    std::fs::remove_file(folder.join("device.toml")).unwrap();
    std::fs::remove_file(folder.join("idevid.pem")).unwrap();
    let again = world.device("A-1").await;
    assert_eq!(device.chain, again.chain);
    assert!(folder.join("device.toml").exists());
}

#[tokio::test]
async fn init_is_done_once_and_only_what_is_known_is_configured() {
    let world = World::new().await;
    let again = init(&world.dir(), &config(), &world.clock).unwrap_err();
    assert!(matches!(again, HomeError::Present(_)), "{again}");
    let file = world.dir().join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("nonsense = 1\n{text}")).unwrap();
    let error = vouchsafe_manufacturer::Home::open(&world.dir(), &world.clock).unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
    let nowhere = world.folder.path().join("nowhere");
    let error = vouchsafe_manufacturer::Home::open(&nowhere, &world.clock).unwrap_err();
    assert!(matches!(error, HomeError::Absent { .. }), "{error}");
}

#[tokio::test]
async fn a_sale_is_recorded_once_and_stands_until_it_ends() {
    let world = World::new().await;
    let (hotel, museum) = (Domain::new("Hotel"), Domain::new("Museum"));
    world.sold("A-1", &hotel).await;
    let hotel_owner = world.owner(&hotel).await;
    let museum_owner = world.owner(&museum).await;
    let factory = &world.factory;
    factory.sell(&actor(), "A-1", &hotel_owner).await.unwrap();
    let error = factory
        .sell(&actor(), "A-1", &museum_owner)
        .await
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::AlreadySold));
    let error = factory
        .sell(&actor(), "B-9", &hotel_owner)
        .await
        .unwrap_err();
    assert!(matches!(error, FactoryError::NoSuchDevice(_)), "{error}");

    let statement = |owner: &Domain| ReleaseStatement {
        format: RELEASE_FORMAT.to_owned(),
        manufacturer: factory.home.id,
        serial: "A-1".to_owned(),
        owner: owner.id(),
        released_at: now(),
        reason: "moved out".to_owned(),
        next_owner: None,
    };
    let signed = |statement: &ReleaseStatement, domain: &Domain| {
        cms::sign(
            &serde_json::to_vec(statement).unwrap(),
            &cms::SignOptions {
                content_type: cms::ID_DATA,
                certificates: &domain.chain,
                signing_time: None,
            },
            &*domain.signer,
        )
        .unwrap()
    };
    // The museum cannot give away what is the hotel's, neither in its own name nor in the other's.
    let own = signed(&statement(&museum), &museum);
    let error = factory
        .release(&actor(), ReleaseBy::Statement(&own))
        .await
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::OtherOwner));
    let forged = signed(&statement(&hotel), &museum);
    let error = factory
        .release(&actor(), ReleaseBy::Statement(&forged))
        .await
        .unwrap_err();
    assert!(matches!(error, FactoryError::Statement(_)), "{error}");
    let stranger = Domain::new("Hotel");
    let forged = signed(&statement(&hotel), &stranger);
    let error = factory
        .release(&actor(), ReleaseBy::Statement(&forged))
        .await
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::OwnerUnknown));

    let sound = signed(&statement(&hotel), &hotel);
    let device = factory
        .release(&actor(), ReleaseBy::Statement(&sound))
        .await
        .unwrap();
    assert_eq!((device.state, device.owner), (State::Released, None));
    factory.sell(&actor(), "A-1", &museum_owner).await.unwrap();
    assert_eq!(
        world.journal("A-1").await,
        [
            "provisioned",
            "sold",
            "request-refused already-sold",
            "request-refused other-owner",
            "released owner-statement",
            "sold"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_of_many_stops_at_a_device_that_it_names_and_all_before_it_are_sold() {
    let world = World::new().await;
    let (hotel, museum) = (Domain::new("Hotel"), Domain::new("Museum"));
    let serials: Vec<String> = (0..10).map(|n| format!("A-{n}")).collect();
    for serial in &serials {
        world.device(serial).await;
    }
    let (hotel, museum) = (world.owner(&hotel).await, world.owner(&museum).await);
    for serial in ["A-6", "A-8"] {
        world.factory.sell(&actor(), serial, &museum).await.unwrap();
    }
    let quiet = |_: &Progress| {};
    let actor = &actor();
    let sale = world.factory.sell_all(actor, &serials, &hotel, &quiet);
    let error = sale.await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::AlreadySold));
    assert!(
        error.to_string().starts_with("A-6: already-sold"),
        "{error}"
    );
    let order = Order::RehearseSale {
        serials: serials.clone(),
        owner: "Hotel".to_owned(),
    };
    let rehearsed = world.factory.carry_out(actor, order, &quiet).await;
    assert_eq!(rehearsed.unwrap_err().to_string(), error.to_string());
    for serial in &serials[..6] {
        assert_eq!(world.journal(serial).await, ["provisioned", "sold"]);
    }
}

/// The answer has every device whole: one that is too long to be read would hide a sale that was made.
#[tokio::test]
async fn a_sale_whose_answer_would_not_fit_is_refused_before_it_begins() {
    let world = World::new().await;
    let hotel = Domain::new("Hotel");
    world.device("A-1").await;
    world.owner(&hotel).await;
    let quiet = |_: &Progress| {};
    let owner = || "Hotel".to_owned();
    let serials = vec!["A-1".to_owned(); MAX_SALE + 1];
    for order in [
        Order::Sell {
            serials: serials.clone(),
            owner: owner(),
        },
        Order::RehearseSale {
            serials,
            owner: owner(),
        },
    ] {
        let error = world.factory.carry_out(&actor(), order, &quiet).await;
        assert!(matches!(error, Err(DeskError::Value(_))), "{error:?}");
    }
    assert_eq!(world.journal("A-1").await, ["provisioned"]);
    let told = Mutex::new(Vec::new());
    let tell = |made: &Progress| told.lock().unwrap().push((made.made, made.total));
    let order = Order::Sell {
        serials: vec!["A-1".to_owned()],
        owner: owner(),
    };
    world
        .factory
        .carry_out(&actor(), order, &tell)
        .await
        .unwrap();
    assert_eq!(told.into_inner().unwrap(), [(1, Some(1))]);
}

#[tokio::test]
async fn the_buyer_reads_the_manifest_and_finds_its_devices_and_their_past() {
    let world = World::new().await;
    let (hotel, museum) = (Domain::new("Hotel"), Domain::new("Museum"));
    for serial in ["A-1", "A-2"] {
        world.sold(serial, &hotel).await;
    }
    world.sold("B-1", &museum).await;
    let owner = world.factory.owner("Hotel").await.unwrap();
    let signed = world
        .factory
        .manifest(&owner, &ManifestOptions::default())
        .await
        .unwrap();
    assert_eq!((signed.devices, &signed.next), (2, &None));
    let anchor = std::fs::read_to_string(world.dir().join("masa-ca.pem")).unwrap();
    let anchors = Anchors::one(Certificate::from_pem(&anchor).unwrap());
    let rules = PathRules::strict(now(), Usage::Any);
    let content = cms::parse(&signed.bytes)
        .unwrap()
        .verify(&anchors, &rules)
        .unwrap();
    let manifest = Manifest::read(&content.content, hotel.id()).unwrap();
    let serials: Vec<&str> = manifest
        .devices
        .iter()
        .map(|one| one.serial.as_str())
        .collect();
    assert_eq!(serials, ["A-1", "A-2"]);
    assert_eq!(manifest.devices[0].journal.len(), 2);
    assert!(Manifest::read(&content.content, museum.id()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_continues_where_it_was_left_and_its_keys_are_all_there() {
    let world = World::new().await;
    let numbered = |count| Batch {
        serials: Serials::Numbered {
            prefix: "L-".to_owned(),
            first: 1,
            count,
            digits: 6,
        },
        model: Some("lamp".to_owned()),
        algorithm: "ecdsa-p256".to_owned(),
        output: Output::Bundle {
            file: world.folder.path().join("keys.bundle"),
            sealing_key: world.folder.path().join("bundle.key"),
        },
        bootstrapping: None,
    };
    let steps = Mutex::new(Vec::new());
    let count = |made: &vouchsafe_manufacturer::Progress| steps.lock().unwrap().push(made.made);
    let run = |batch: Batch| {
        let factory = world.factory.clone();
        let count = &count;
        async move {
            factory
                .provision_batch(&actor(), &batch, count)
                .await
                .unwrap()
        }
    };
    let first = run(numbered(1200)).await;
    assert_eq!((first.made, first.passed_over), (1200, 0));
    // A crash in the middle of a record: it was never promised to anybody.
    let file = world.folder.path().join("keys.bundle");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend_from_slice(&[0, 0, 0, 90, 0xff]);
    std::fs::write(&file, bytes).unwrap();
    let second = run(numbered(2500)).await;
    assert_eq!((second.made, second.passed_over), (1300, 1200));
    assert!(steps.lock().unwrap().len() >= 4);
    for serial in ["L-000001", "L-001200", "L-002500"] {
        let folder = world.folder.path().join("exported").join(serial);
        let (bundle, sealing_key) = (
            world.folder.path().join("keys.bundle"),
            world.folder.path().join("bundle.key"),
        );
        world
            .factory
            .export_birth(serial, &bundle, &sealing_key, &folder, false)
            .await
            .unwrap();
        let device = Device::open(&folder);
        assert_eq!(device.chain[0].subject_serial_number(), Some(serial));
        assert_eq!(device.signer.public_key(), device.chain[0].public_key());
    }
    let report = world.factory.store.verify_journals().await.unwrap();
    assert!(report.is_sound());
    assert_eq!(report.chains, 2500);
}

#[tokio::test]
async fn a_list_of_serial_numbers_makes_folders_and_names_its_faults() {
    let world = World::new().await;
    let list = world.folder.path().join("list.csv");
    std::fs::write(&list, "serial,model\nX-1,door\nX-2,\nX-1,door\n").unwrap();
    let batch = |list: &std::path::Path| Batch {
        serials: Serials::List(list.to_owned()),
        model: Some("lamp".to_owned()),
        algorithm: "ed25519".to_owned(),
        output: Output::Folders(world.folder.path().join("births")),
        bootstrapping: None,
    };
    let quiet = |_: &vouchsafe_manufacturer::Progress| {};
    let made = world
        .factory
        .provision_batch(&actor(), &batch(&list), &quiet)
        .await
        .unwrap();
    assert_eq!(made.made, 2);
    let device = Device::open(&world.folder.path().join("births/X-2"));
    assert_eq!(device.chain[0].common_name(), Some("lamp"));
    let wrong = world.folder.path().join("wrong.csv");
    std::fs::write(&wrong, "number\n1\n").unwrap();
    let error = world
        .factory
        .provision_batch(&actor(), &batch(&wrong), &quiet)
        .await
        .unwrap_err();
    assert!(
        matches!(error, FactoryError::List { line: 2, .. }),
        "{error}"
    );
    // One that breaks off has made what came before, and when it is whole goes on from there.
    let list = world.folder.path().join("broken.csv");
    let row = "Y-2,door,too,many\n";
    std::fs::write(
        &list,
        format!("serial,model\nY-1,door\nX-1,door\n{row}Y-3,\n"),
    )
    .unwrap();
    let error = world
        .factory
        .provision_batch(&actor(), &batch(&list), &quiet)
        .await
        .unwrap_err();
    assert!(
        matches!(error, FactoryError::List { line: 4, .. }),
        "{error}"
    );
    assert_eq!(world.journal("Y-1").await, ["provisioned"]);
    Device::open(&world.folder.path().join("births/Y-1"));
    assert!(!world.folder.path().join("births/Y-3").exists());
    std::fs::write(&list, "serial,model\nY-1,door\nX-1,door\nY-2,door\nY-3,\n").unwrap();
    let made = world
        .factory
        .provision_batch(&actor(), &batch(&list), &quiet)
        .await
        .unwrap();
    assert_eq!((made.made, made.passed_over), (2, 2));
    assert_eq!(world.journal("Y-1").await, ["provisioned"]);
}

/// The whole program: both listeners, a station with its own identity, orders while it runs.
#[tokio::test(flavor = "multi_thread")]
async fn stations_and_the_desk_are_served_while_the_masa_runs() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("maker");
    let clock = vouchsafe_net::Clock::system();
    let home = init(&dir, &config(), &clock).unwrap();
    let station_dir = folder.path().join("station");
    home.line_station("station 7", &station_dir).unwrap();
    let (ready, is_ready) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let (its_dir, its_clock) = (dir.clone(), clock.clone());
    // A program of its own, as far as a thread can be one.
    let serving = std::thread::spawn(move || {
        let ready = |addresses: &vouchsafe_manufacturer::Ready| {
            ready.send(addresses.clone()).unwrap();
        };
        let stop = async {
            let _ = stopped.await;
        };
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(serve(&its_dir, its_clock, ready, stop))
    });
    let ready = is_ready.await.unwrap();

    // A station asks for a device that made its own key.
    let mut address: StoreUri = STATION_KEY_STORE.parse().unwrap();
    address.resolve_from(&station_dir);
    let signer = KeyStore::open_uri(&address)
        .unwrap()
        .load("station")
        .unwrap();
    let pem = |name: &str| std::fs::read_to_string(station_dir.join(name)).unwrap();
    let chain = Certificate::many_from_pem(&pem("station.pem")).unwrap();
    let anchors = Anchors::one(Certificate::from_pem(&pem("line-ca.pem")).unwrap());
    let line: SocketAddr = ready
        .line
        .strip_prefix("https://")
        .unwrap()
        .parse()
        .unwrap();
    let identity = Identity::new(chain, signer).unwrap();
    let mut options = ConnectorOptions::new(ServerTrust::Anchors(anchors.clone()));
    options = options.with_identity(identity);
    let origin = Origin::new("localhost", line.port());
    let mut connection = Connector::new(options)
        .connect_at(line, &origin)
        .await
        .unwrap();
    let ask = |query: &str, kind: &str, body: Vec<u8>| {
        Request::post(format!("/line/v1/identities{query}"))
            .header("content-type", kind)
            .body(Bytes::from(body))
            .unwrap()
    };
    let pkcs10 = "application/pkcs10";
    let device = key();
    let request = ask("?model=lamp&origin=hardware", pkcs10, csr(&*device, "S-1"));
    let answer = connection.request(request).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let document: IdentityDocument = serde_json::from_slice(answer.body()).unwrap();
    let chain = Certificate::many_from_pem(&document.chain).unwrap();
    assert_eq!(chain[0].public_key(), device.public_key());
    assert_eq!(
        (document.serial.as_str(), document.repeated),
        ("S-1", false)
    );
    let second = ask("?serial=S-1", pkcs10, csr(&*key(), "S-1"));
    let answer = connection.request(second).await.unwrap();
    assert_eq!(answer.status(), 409);
    assert!(answer.body().starts_with(b"serial-taken"), "{answer:?}");
    for (query, kind, body, status) in [
        ("", "text/plain", csr(&*key(), "S-2"), 415),
        ("?colour=red", pkcs10, csr(&*key(), "S-2"), 400),
        ("", pkcs10, b"nonsense".to_vec(), 400),
        ("", pkcs10, vec![0x30; 2 * 1024 * 1024], 413),
    ] {
        let answer = connection.request(ask(query, kind, body)).await;
        match answer {
            Ok(answer) => assert_eq!(answer.status(), status),
            Err(error) => assert_eq!(status, 413, "{error}"),
        }
        if status == 413 {
            break;
        }
    }
    // Without a station's certificate there is no connection.
    let stranger = ConnectorOptions::new(ServerTrust::Anchors(anchors));
    let refused = async {
        let mut connection = Connector::new(stranger).connect_at(line, &origin).await?;
        connection
            .request(ask("", pkcs10, csr(&*key(), "S-3")))
            .await
    };
    assert!(refused.await.is_err());

    // The store is taken, so the desk calls the running program.
    let desk = Desk::open(&dir, clock).await.unwrap();
    assert!(matches!(desk, Desk::There(_)));
    let quiet = |_: &vouchsafe_manufacturer::Progress| {};
    let hotel = Domain::new("Hotel");
    let order = |order: Order| {
        let desk = &desk;
        async move { desk.carry_out(&actor(), order, &quiet).await }
    };
    let added = order(Order::AddOwner {
        name: "Hotel".to_owned(),
        domain_ca: hotel.authority.certificate().pem(),
    });
    let Reply::Owner(owner) = added.await.unwrap() else {
        panic!()
    };
    assert_eq!(owner.id, hotel.id());
    let sell = |serial: &str| Order::Sell {
        serials: vec![serial.to_owned()],
        owner: "Hotel".to_owned(),
    };
    order(sell("S-1")).await.unwrap();
    let error = order(sell("S-9")).await.unwrap_err();
    assert!(error.to_string().contains("S-9"), "{error}");
    let shown = order(Order::Device {
        serial: "S-1".to_owned(),
    });
    let Reply::Device(report) = shown.await.unwrap() else {
        panic!()
    };
    assert_eq!(report.device.key_origin, KeyOrigin::Hardware);
    assert_eq!(report.device.owner, Some(hotel.id()));
    // Born, a refusal of another key, sold.
    assert_eq!(report.journal.len(), 3);
    let signed = order(Order::Manifest {
        owner: "Hotel".to_owned(),
        masa_url: Some("localhost:1".to_owned()),
        after: None,
    });
    let Reply::Manifest(manifest) = signed.await.unwrap() else {
        panic!()
    };
    assert_eq!(manifest.devices, 1);
    assert!(cms::parse(&manifest.bytes()).is_ok());
    let tell = |_: &vouchsafe_manufacturer::Progress| {};
    let batch = Order::ProvisionBatch(Batch {
        serials: Serials::Numbered {
            prefix: "D-".to_owned(),
            first: 1,
            count: 3,
            digits: 2,
        },
        model: None,
        algorithm: "ecdsa-p256".to_owned(),
        output: Output::Folders(folder.path().join("births")),
        bootstrapping: None,
    });
    let Reply::Batch(made) = desk.carry_out(&actor(), batch, &tell).await.unwrap() else {
        panic!()
    };
    assert_eq!((made.made, made.total), (3, Some(3)));
    Device::open(&folder.path().join("births/D-03"));
    let Reply::Journals(report) = order(Order::VerifyJournals).await.unwrap() else {
        panic!()
    };
    assert!(report.sound);
    let _ = stop.send(());
    let ended = tokio::task::spawn_blocking(move || serving.join());
    tokio::time::timeout(Duration::from_secs(30), ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(!dir.join("control.sock").exists());
}

#[tokio::test]
async fn labels_are_drawn_in_every_form() {
    let world = World::new().await;
    world.device("A-1 (left)").await;
    let mut row = world.factory.device("A-1 (left)").await.unwrap();
    row.model = Some("lamp <&>".to_owned());
    let label = Label::of(&row, None);
    let text = label.text.clone();
    assert!(text.starts_with("vouchsafe:1?serial=A-1%20%28left%29&manufacturer="));
    assert_eq!(text.rsplit('=').next().unwrap().len(), 64);
    let png = label::png(&label).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    let svg = label::svg(&label).unwrap();
    assert!(svg.contains("lamp &lt;&amp;&gt;</text>"));
    let pdf = label::pdf(&vec![label; 20]).unwrap();
    assert!(pdf.starts_with(b"%PDF-1.4"));
    let text = String::from_utf8(pdf.clone()).unwrap();
    assert!(text.contains("/Count 2"));
    assert!(text.contains("A-1 \\(left\\)"));
    if let Some(folder) = std::env::var_os("VOUCHSAFE_LABELS") {
        let folder = std::path::Path::new(&folder);
        std::fs::write(folder.join("label.png"), png).unwrap();
        std::fs::write(folder.join("label.svg"), svg).unwrap();
        std::fs::write(folder.join("labels.pdf"), pdf).unwrap();
    }
}

#[tokio::test]
async fn every_algorithm_makes_a_working_manufacturer() {
    for algorithm in [Algorithm::EcdsaP384, Algorithm::Ed25519] {
        let world = World::with(|config| config.keys.algorithm = algorithm.name().to_owned()).await;
        let domain = Domain::new("Hotel");
        let device = world.sold("A-1", &domain).await;
        let masa = world.serve().await;
        let encoding = vouchsafe_brski::Encoding::CmsJson;
        let nonce = crate::world::fresh_nonce(encoding);
        let request = world.request_with(&device, &domain, encoding, &nonce);
        let answer = masa.voucher(&domain, encoding, request).await;
        assert_eq!(answer.status(), 200, "{algorithm}: {answer:?}");
        world
            .at_device(&device, answer.body(), encoding, Some(&nonce))
            .unwrap();
    }
}
