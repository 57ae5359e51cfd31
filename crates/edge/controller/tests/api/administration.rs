//! Manufacturers, owners, tokens, lists by hand, health.

use bytes::Bytes;
use http::{Method, StatusCode};
use vouchsafe_api::{
    AddManufacturer, AddOwner, Claim, Code, CreateToken, DeviceFilter, DeviceState, ImportDevice,
    ImportDevices, ManufacturerTrust, PageQuery, Reasoned, Role, SetTrust, Version,
};

use crate::world::{Maker, World, code};

fn add(maker: &Maker) -> AddManufacturer {
    AddManufacturer {
        name: "Maker".to_owned(),
        anchors_pem: maker.root_pem(),
        trust: ManufacturerTrust::Seen,
        masa_url: None,
        masa_anchors_pem: None,
        reason: Some("they deliver to us".to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_in_a_manufacturer_changes_only_from_the_version_that_was_read() {
    let world = World::new().await;
    let admin = world.admin();
    let maker = Maker::new("Maker");
    let added = admin.add_manufacturer(&add(&maker)).await.unwrap();
    assert_eq!(added.id, maker.id.to_string());
    let set = SetTrust {
        trust: ManufacturerTrust::Blocked,
        reason: "recalled".to_owned(),
    };
    let stale = admin
        .set_manufacturer_trust(&added.id, &set, Version(added.version + 1))
        .await;
    assert_eq!(code(stale), Code::PreconditionFailed);
    let blocked = admin
        .set_manufacturer_trust(&added.id, &set, Version(added.version))
        .await
        .unwrap();
    assert_eq!(blocked.trust, ManufacturerTrust::Blocked);
    // Without If-Match it could undo somebody else's change.
    let path = format!("/api/v1/manufacturers/{}/trust", added.id);
    let json = [(http::header::CONTENT_TYPE, "application/json")];
    let body = serde_json::to_vec(&set).unwrap();
    let response = world
        .raw(Method::PUT, &path, Some(&world.secret), &json, body)
        .await;
    assert_eq!(response.status(), StatusCode::PRECONDITION_REQUIRED);
    assert_eq!(
        code(admin.add_manufacturer(&add(&maker)).await),
        Code::AlreadyExists
    );
    let listed = admin
        .list_manufacturers(&PageQuery::default())
        .await
        .unwrap();
    assert_eq!(listed.items, [blocked]);

    // Nothing of a blocked manufacturer is believed, whoever asks.
    let site = admin.show_site().await.unwrap();
    let owner = site.owner.parse().unwrap();
    let signed = maker.sign(&maker.manifest(owner, &["A-1".to_owned()]));
    let import = vouchsafe_api::ImportManifest {
        manifest: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, signed),
        anchors_pem: Some(maker.root_pem()),
    };
    let answer = admin.import_manifest(&import, false).await;
    assert_eq!(code(answer), Code::ManifestRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_worth_nothing_at_once() {
    let world = World::new().await;
    let admin = world.admin();
    let create = CreateToken {
        name: "line 3".to_owned(),
        role: Role::DeviceLine,
        expires_in_days: Some(30),
    };
    let made = admin.create_token(&create).await.unwrap();
    let line = world.client(Some(&made.secret));
    assert_eq!(line.show_status().await.unwrap().role, Role::DeviceLine);
    admin.revoke_token(&made.token.id).await.unwrap();
    assert_eq!(code(line.show_status().await), Code::Unauthenticated);
    // Again is no fault, and nothing is written.
    let position = admin.show_status().await.unwrap().journal_position;
    admin.revoke_token(&made.token.id).await.unwrap();
    assert_eq!(
        admin.show_status().await.unwrap().journal_position,
        position
    );
    let listed = admin.list_tokens(&PageQuery::default()).await.unwrap();
    assert_eq!(listed.items.len(), 2);
    let text = serde_json::to_string(&listed).unwrap();
    assert!(
        !text.contains(&made.secret) && !text.contains("sha256"),
        "{text}"
    );
    for name in ["", "  ", "two\nlines", &"x".repeat(101)] {
        let create = CreateToken {
            name: name.to_owned(),
            ..create.clone()
        };
        assert_eq!(
            code(admin.create_token(&create).await),
            Code::BadRequest,
            "{name:?}"
        );
    }
    let never = CreateToken {
        expires_in_days: Some(0),
        ..create
    };
    assert_eq!(code(admin.create_token(&never).await), Code::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_cannot_shut_everybody_out() {
    let world = World::new().await;
    let admin = world.admin();
    let listed = admin.list_tokens(&PageQuery::default()).await.unwrap();
    let root = &listed.items[0];
    assert_eq!(
        code(admin.revoke_token(&root.id).await),
        Code::LifecycleRefused
    );
    let create = CreateToken {
        name: "second".to_owned(),
        role: Role::Admin,
        expires_in_days: None,
    };
    let second = admin.create_token(&create).await.unwrap();
    admin.revoke_token(&root.id).await.unwrap();
    let mut last = (second.token.id, world.client(Some(&second.secret)));
    assert_eq!(last.1.show_status().await.unwrap().role, Role::Admin);
    // Of two who revoke each other's at once one stays.
    for round in 0..5 {
        let create = CreateToken {
            name: format!("rival {round}"),
            ..create.clone()
        };
        let made = last.1.create_token(&create).await.unwrap();
        let rival = (made.token.id, world.client(Some(&made.secret)));
        let (one, two) = tokio::join!(last.1.revoke_token(&rival.0), rival.1.revoke_token(&last.0));
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        if two.is_ok() {
            last = rival;
        }
        assert_eq!(last.1.show_status().await.unwrap().role, Role::Admin);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_by_hand_is_taken_line_by_line() {
    let world = World::new().await;
    let installer = world.role(Role::Installer).await;
    let maker = Maker::new("Maker");
    let id = maker.id;
    let csv = format!(
        "manufacturer,serial,model,segment\n{id},A-1,Sensor,sensors\n{id},A-2,,\nnobody,A-3,,\n{id},A-1,,\n{id},,,\n"
    );
    let done = installer.import_csv(Bytes::from(csv), false).await.unwrap();
    assert_eq!((done.claimed, done.unchanged, done.refused), (2, 0, 3));
    let refused: Vec<(u64, &str)> = done
        .refusals
        .iter()
        .map(|line| (line.line, line.code.as_str()))
        .collect();
    assert_eq!(
        refused,
        [(3, "bad-manufacturer"), (4, "twice"), (5, "bad-request")]
    );
    assert_eq!(done.warnings[0].code, "manufacturer-unknown");
    let device = installer
        .show_device(&maker.device_id("A-1"))
        .await
        .unwrap();
    assert_eq!(device.value.segment.as_deref(), Some("sensors"));
    assert_eq!(device.value.state, DeviceState::Claimed);

    let again = ImportDevices {
        devices: ["A-1", "A-2", "A-20"]
            .map(|serial| ImportDevice {
                manufacturer: id.to_string(),
                serial: serial.to_owned(),
                model: None,
                idevid_sha256: None,
                segment: None,
            })
            .to_vec(),
    };
    let done = installer.import_devices(&again, false).await.unwrap();
    assert_eq!((done.claimed, done.unchanged), (1, 2));
    let filter = DeviceFilter {
        serial: Some("A-2".to_owned()),
        ..DeviceFilter::default()
    };
    let found = installer
        .list_devices(&filter, &PageQuery::default())
        .await
        .unwrap();
    assert_eq!(found.items.len(), 1);
    let wrong = installer
        .import_csv(Bytes::from_static(b"serial,colour\nA-1,red\n"), false)
        .await;
    assert_eq!(code(wrong), Code::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_claimed_and_retired_by_hand_and_takes_no_other_way() {
    let world = World::new().await;
    let operator = world.role(Role::Operator).await;
    let maker = Maker::new("Maker");
    let claim = Claim {
        manufacturer: maker.id.to_string(),
        serial: "A-1".to_owned(),
        model: None,
        segment: None,
        mac: None,
        reason: Some("it stood in the hall".to_owned()),
    };
    let claimed = operator.claim_device(&claim).await.unwrap();
    assert_eq!(
        code(operator.claim_device(&claim).await),
        Code::AlreadyExists
    );
    let why = Reasoned {
        reason: "odd traffic".to_owned(),
    };
    let id = claimed.id.as_str();
    let silent = Reasoned::default();
    let answer = operator.retire_device(id, &silent, None).await;
    assert_eq!(code(answer), Code::BadRequest);
    let answer = operator.restore_device(id, &why, None).await;
    assert_eq!(code(answer), Code::LifecycleRefused);
    let stale = Some(Version(claimed.version + 1));
    let answer = operator.retire_device(id, &why, stale).await;
    assert_eq!(code(answer), Code::PreconditionFailed);
    let current = Some(Version(claimed.version));
    let gone = operator.retire_device(id, &why, current).await.unwrap();
    assert_eq!(gone.state, DeviceState::Retired);
    assert_eq!(gone.reason.as_deref(), Some("odd traffic"));
    // Nobody waits, so there is nothing to approve.
    let approve = vouchsafe_api::Approve {
        reason: "fine".to_owned(),
        segment: None,
    };
    let answer = operator.approve_device(id, &approve, None).await;
    assert!(matches!(
        code(answer),
        Code::LifecycleRefused | Code::NotFound
    ));
    let journal = operator.device_journal(id, 0).await.unwrap();
    assert!(
        journal
            .entries
            .iter()
            .all(|entry| entry.actor == "person:test operator")
    );
    assert!(operator.verify_journal().await.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_are_known_by_the_key_of_their_authority() {
    let world = World::new().await;
    let admin = world.admin();
    let other = Maker::new("Other owner");
    let add = AddOwner {
        name: "Other".to_owned(),
        domain_ca_pem: other.root_pem(),
    };
    let added = admin.add_owner(&add).await.unwrap();
    assert!(!added.this_site);
    assert_eq!(code(admin.add_owner(&add).await), Code::AlreadyExists);
    let owners = admin
        .list_owners(&PageQuery::default())
        .await
        .unwrap()
        .items;
    assert_eq!(owners.len(), 2);
    let us = owners.iter().find(|owner| owner.this_site).unwrap();
    let site = admin.show_site().await.unwrap();
    assert_eq!(
        (&us.id, &us.domain_ca_pem),
        (&site.owner, &site.domain_ca_pem)
    );
    assert_eq!(site.registrar_url, world.ready.registrar);
    let no_ca = AddOwner {
        domain_ca_pem: maker_leaf(&other),
        ..add
    };
    assert_eq!(code(admin.add_owner(&no_ca).await), Code::BadRequest);
}

fn maker_leaf(maker: &Maker) -> String {
    maker.signer_chain[0].pem()
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_learn_whether_it_lives_and_works_and_people_what_it_did() {
    let world = World::new().await;
    for path in ["/healthz", "/readyz"] {
        let response = world.raw(Method::GET, path, None, &[], "").await;
        assert_eq!(
            (response.status(), &response.body()[..]),
            (StatusCode::OK, &b"ok\n"[..])
        );
    }
    let response = world
        .raw(Method::GET, "/metrics", Some(&world.secret), &[], "")
        .await;
    let text = String::from_utf8(response.body().to_vec()).unwrap();
    assert!(text.contains("vouchsafe_net_requests_total"), "{text}");
    let response = world
        .raw(Method::GET, "/api/v1/openapi.json", None, &[], "")
        .await;
    let document: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert!(document["paths"]["/api/v1/devices"].is_object());
    // Started again, it is the same site and takes the same token.
    let site = world.admin().show_site().await.unwrap();
    let world = world.restarted().await;
    assert_eq!(world.admin().show_site().await.unwrap().owner, site.owner);
}
