//! Wi-Fi Easy Connect in the API: networks, bootstrapping keys, announcements, reconfiguration.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode, header};
use jiff::Timestamp;
use vouchsafe_api::{
    Approve, ClaimByUri, Code, DeviceFilter, DeviceRole, DeviceState, ImportKeys, ImportManifest,
    KeyFilter, KeySource, NetworkCredential, PageQuery, Problem, PutNetwork, Reasoned, Reconfigure,
    Release, RevocationReason, Revoke, Role, ScimDevice, ScimDpp, ScimList, ScimPatch, ScimQuery,
    SettleKey, Version,
};
use vouchsafe_controller::Home;
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{Agreement as _, BootstrappingKey, BootstrappingPublicKey, Curve, PrivateKey};
use vouchsafe_fleet::decide::wifi::{
    AnnouncementFacts, ClaimUriFacts, ConfigureFacts, IssuedAccess, Known, Proof, announcement,
    claim_uri, configure,
};
use vouchsafe_fleet::decide::{Decision, Outcome};
use vouchsafe_fleet::policy::{Answer, Verdict};
use vouchsafe_fleet::wifi::{
    self as stored, Assurance, HashForm, Holdings, KeyFacts, SealedPassphrase,
};
use vouchsafe_fleet::{Actor, ActorKind, CredentialId, Device, DeviceId, Digest};
use vouchsafe_store::Store;

use crate::world::{Maker, World, code};

/// The sealed passphrase of the world's device: what must never be seen.
const SEALED: &[u8] = b"VSEAL a passphrase nobody may see";

/// The public key of label number `number`.
fn label(number: u8) -> BootstrappingPublicKey {
    let seed = [number; 80];
    let private = PrivateKey::from_seed(Curve::P256, &seed).unwrap();
    BootstrappingKey::new(private).public_key().clone()
}

fn uri(number: u8) -> String {
    BootstrappingUri::new(label(number)).to_string()
}

fn id(number: u8) -> String {
    Digest(*label(number).hash()).to_string()
}

fn claim(number: u8) -> ClaimByUri {
    ClaimByUri {
        uri: uri(number),
        ..ClaimByUri::default()
    }
}

fn network(name: &str) -> PutNetwork {
    PutNetwork {
        name: name.to_owned(),
        ssid: format!("{name}'s Wi-Fi"),
        credential: NetworkCredential::Connector,
        fallback: true,
        segment: None,
        lifetime_days: Some(90),
        server_name: None,
    }
}

fn reconfigure(network: &str) -> Reconfigure {
    Reconfigure {
        network: network.to_owned(),
        reason: "it moved".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_are_made_changed_and_removed_by_an_admin() {
    let world = World::new().await;
    let admin = world.admin();
    let made = admin.add_network(&network("home")).await.unwrap();
    assert_eq!((made.version, made.ssid.as_str()), (1, "home's Wi-Fi"));
    assert_eq!(
        code(admin.add_network(&network("home")).await),
        Code::AlreadyExists
    );
    for wrong in [
        PutNetwork {
            name: "Home".to_owned(),
            ..network("home")
        },
        PutNetwork {
            ssid: "x".repeat(33),
            ..network("other")
        },
        PutNetwork {
            credential: NetworkCredential::Psk,
            ..network("other")
        },
    ] {
        assert_eq!(
            code(admin.add_network(&wrong).await),
            Code::BadRequest,
            "{wrong:?}"
        );
    }
    admin.add_network(&network("office")).await.unwrap();
    let installer = world.role(Role::Installer).await;
    let page = PageQuery {
        limit: Some(1),
        after: None,
    };
    let first = installer.list_networks(&page).await.unwrap();
    let rest = PageQuery {
        limit: Some(1),
        after: first.next.clone(),
    };
    let second = installer.list_networks(&rest).await.unwrap();
    assert_eq!(
        (first.items[0].name.as_str(), second.items[0].name.as_str()),
        ("home", "office")
    );

    let read = admin.show_network("home").await.unwrap();
    assert_eq!(read.version, Some(Version(1)));
    let sae = PutNetwork {
        credential: NetworkCredential::Sae,
        ..network("home")
    };
    assert_eq!(
        code(admin.put_network(&sae, Version(7)).await),
        Code::PreconditionFailed
    );
    let changed = admin.put_network(&sae, Version(1)).await.unwrap();
    assert_eq!(
        (changed.version, changed.credential),
        (2, NetworkCredential::Sae)
    );
    // Without the version, and under another name, nothing is replaced.
    let json = [(header::CONTENT_TYPE, "application/json")];
    let body = serde_json::to_vec(&sae).unwrap();
    let secret = Some(world.secret.as_str());
    let blind = world
        .raw(
            Method::PUT,
            "/api/v1/networks/home",
            secret,
            &json,
            body.clone(),
        )
        .await;
    assert_eq!(blind.status(), StatusCode::PRECONDITION_REQUIRED);
    let any = [json[0].clone(), (header::IF_MATCH, "*")];
    let renamed = world
        .raw(Method::PUT, "/api/v1/networks/office", secret, &any, body)
        .await;
    assert_eq!(renamed.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        code(admin.put_network(&network("none"), Version(1)).await),
        Code::NotFound
    );

    assert_eq!(
        code(admin.remove_network("home", Some(Version(1))).await),
        Code::PreconditionFailed
    );
    admin
        .remove_network("home", Some(Version(2)))
        .await
        .unwrap();
    assert_eq!(
        code(admin.remove_network("home", None).await),
        Code::NotFound
    );
    assert_eq!(code(admin.show_network("home").await), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_claims_a_device_and_the_device_shows_it() {
    let world = World::new().await;
    let admin = world.admin();
    admin.add_network(&network("home")).await.unwrap();
    let line = world.role(Role::DeviceLine).await;
    let wanted = ClaimByUri {
        serial: Some("lamp 3".to_owned()),
        network: Some("home".to_owned()),
        reason: Some("order 4711".to_owned()),
        ..claim(1)
    };
    let claimed = line.claim_by_uri(&wanted).await.unwrap();
    assert_eq!(claimed.key.id, id(1));
    assert_eq!(claimed.key.curve, "P-256");
    assert_eq!(claimed.device.state, DeviceState::Claimed);
    assert_eq!(claimed.device.serial, "lamp 3");
    let key = Digest(*label(1).hash());
    assert_eq!(
        claimed.device.id,
        DeviceId::of_bootstrapping_key(key).to_string()
    );
    let wifi = claimed.device.wifi.clone().unwrap();
    assert_eq!((wifi.keys.len(), wifi.wanted.as_deref()), (1, Some("home")));
    // Once more is no change.
    let again = line.claim_by_uri(&wanted).await.unwrap();
    assert_eq!(again.device.version, claimed.device.version);
    let journal = admin.device_journal(&claimed.device.id, 0).await.unwrap();
    let actions: Vec<_> = journal
        .entries
        .iter()
        .map(|entry| entry.action.as_str())
        .collect();
    assert_eq!(
        actions,
        ["claimed", "bootstrapping-key-added", "network-assigned"]
    );
    assert_eq!(journal.entries[0].reasons, ["person [owner policy]"]);
    // A network that a device is meant for stays.
    assert_eq!(
        code(admin.remove_network("home", None).await),
        Code::LifecycleRefused
    );

    // With manufacturer and serial number it is the device that BRSKI knows as well.
    let maker = Maker::new("Maker");
    let named = ClaimByUri {
        manufacturer: Some(maker.id.to_string()),
        serial: Some("A-1".to_owned()),
        role: DeviceRole::AccessPoint,
        ..claim(2)
    };
    let claimed = line.claim_by_uri(&named).await.unwrap();
    assert_eq!(claimed.device.id, maker.device_id("A-1"));
    assert_eq!(claimed.key.role, DeviceRole::AccessPoint);

    for wrong in [
        ClaimByUri {
            uri: "DPP:K:AAAA;;".to_owned(),
            ..claim(3)
        },
        ClaimByUri {
            uri: "https://example.com".to_owned(),
            ..claim(3)
        },
        ClaimByUri {
            manufacturer: Some(maker.id.to_string()),
            ..claim(3)
        },
        ClaimByUri {
            network: Some("none".to_owned()),
            ..claim(3)
        },
        ClaimByUri {
            serial: Some(String::new()),
            ..claim(3)
        },
    ] {
        assert_eq!(
            code(line.claim_by_uri(&wrong).await),
            Code::BadRequest,
            "{wrong:?}"
        );
    }
    assert_eq!(
        code(admin.show_bootstrapping_key(&id(3)).await),
        Code::NotFound
    );
    let read = admin.show_bootstrapping_key(&id(1)).await.unwrap();
    assert_eq!((read.version, read.value.uri), (Some(Version(1)), uri(1)));
    let old = Some(Version(9));
    assert_eq!(
        code(admin.remove_bootstrapping_key(&id(1), old).await),
        Code::PreconditionFailed
    );
    admin.remove_bootstrapping_key(&id(1), None).await.unwrap();
    assert_eq!(
        code(admin.show_bootstrapping_key(&id(1)).await),
        Code::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_claimed_twice_is_listed_until_a_person_settles_it() {
    let world = World::new().await;
    let admin = world.admin();
    let maker = Maker::new("Maker");
    let first = admin.claim_by_uri(&claim(1)).await.unwrap();
    let second = ClaimByUri {
        manufacturer: Some(maker.id.to_string()),
        serial: Some("A-1".to_owned()),
        ..claim(1)
    };
    assert_eq!(code(admin.claim_by_uri(&second).await), Code::Conflict);
    let only = KeyFilter {
        conflicts: Some(true),
        device: None,
    };
    let listed = admin
        .list_bootstrapping_keys(&only, &PageQuery::default())
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 1);
    let conflict = listed.items[0].conflict.clone().unwrap();
    assert_eq!(
        (conflict.serial.as_str(), conflict.source),
        ("A-1", KeySource::Person)
    );
    let shown = admin.show_device(&first.device.id).await.unwrap().value;
    assert!(shown.wifi.unwrap().keys[0].conflict);

    let settle = |device: &str| SettleKey {
        device: device.to_owned(),
        reason: "looked at the label".to_owned(),
    };
    let nobody = admin
        .settle_bootstrapping_key(&id(1), &settle(&conflict.device), None)
        .await;
    assert_eq!(code(nobody), Code::NotFound, "that device is not here yet");
    let kept = admin
        .settle_bootstrapping_key(&id(1), &settle(&first.device.id), None)
        .await;
    assert_eq!(kept.unwrap().conflict, None);
    let again = admin
        .settle_bootstrapping_key(&id(1), &settle(&first.device.id), None)
        .await;
    assert_eq!(code(again), Code::NotFound, "nothing is left to settle");
    let listed = admin
        .list_bootstrapping_keys(&only, &PageQuery::default())
        .await
        .unwrap();
    assert_eq!(listed.items, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_labels_come_as_csv_or_json() {
    let world = World::new().await;
    let admin = world.admin();
    admin.add_network(&network("home")).await.unwrap();
    let maker = Maker::new("Maker");
    let csv = format!(
        "uri,manufacturer,serial,role,network\n\
         {},{maker},A-1,access-point,home\n\
         {},,lamp 2,,\n\
         {},,,,\n\
         DPP:K:broken;;,,,,\n\
         {},,,,none\n",
        uri(1),
        uri(2),
        uri(1),
        uri(3),
        maker = maker.id
    );
    let line = world.role(Role::DeviceLine).await;
    let tried = line
        .import_bootstrapping_keys_csv(csv.clone().into(), true)
        .await
        .unwrap();
    assert_eq!((tried.claimed, tried.refused), (2, 3));
    assert_eq!(admin.show_status().await.unwrap().devices, []);
    let done = line
        .import_bootstrapping_keys_csv(csv.into(), false)
        .await
        .unwrap();
    let refused: Vec<_> = done
        .refusals
        .iter()
        .map(|line| (line.line, line.code.as_str()))
        .collect();
    assert_eq!(
        refused,
        [
            (3, "twice"),
            (4, "bad-bootstrapping-key"),
            (5, "network-unknown")
        ]
    );
    let device = admin
        .show_device(&maker.device_id("A-1"))
        .await
        .unwrap()
        .value;
    assert_eq!(device.wifi.unwrap().keys[0].role, DeviceRole::AccessPoint);
    // The same again changes nothing; a key that another device has is refused.
    let keys = vec![
        ClaimByUri {
            serial: Some("lamp 2".to_owned()),
            ..claim(2)
        },
        ClaimByUri {
            manufacturer: Some(maker.id.to_string()),
            serial: Some("B-1".to_owned()),
            ..claim(1)
        },
    ];
    let again = line
        .import_bootstrapping_keys(&ImportKeys { keys }, false)
        .await
        .unwrap();
    assert_eq!((again.claimed, again.unchanged, again.refused), (0, 1, 1));
    assert_eq!(again.refusals[0].code, "conflict");
    let only = KeyFilter {
        conflicts: Some(true),
        device: None,
    };
    let listed = admin
        .list_bootstrapping_keys(&only, &PageQuery::default())
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 1);
    assert_eq!(listed.items[0].source, KeySource::Import);
}

fn scim(number: u8) -> ScimDevice {
    ScimDevice {
        schemas: vec![ScimDevice::CORE.to_owned(), ScimDevice::DPP.to_owned()],
        id: None,
        external_id: Some("order-4711".to_owned()),
        display_name: Some("Heart monitor".to_owned()),
        active: true,
        mud_url: Some("https://example.com/heart".to_owned()),
        dpp: Some(ScimDpp {
            dpp_version: 2,
            bootstrapping_method: vec!["QR".to_owned()],
            bootstrap_key: Some(STANDARD.encode(label(number).spki_der())),
            device_mac_address: Some("2C:54:91:88:C9:E3".to_owned()),
            class_channel: vec!["81/1".to_owned(), "115/36".to_owned()],
            serial_number: Some("4774LH2b4044".to_owned()),
        }),
        meta: None,
    }
}

/// RFC 9944 with RFC 7644 §3.3: created, told where, and the key is not answered.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_system_provisions_by_scim() {
    let world = World::new().await;
    let admin = world.admin();
    let line = world.role(Role::DeviceLine).await;
    let made = line.claim_by_scim(&scim(1)).await.unwrap();
    let device = admin
        .show_device(made.id.as_deref().unwrap())
        .await
        .unwrap()
        .value;
    assert_eq!(
        (device.serial.as_str(), device.state),
        ("4774LH2b4044", DeviceState::Claimed)
    );
    assert_eq!(device.mud_url.as_deref(), Some("https://example.com/heart"));
    let key = admin.show_bootstrapping_key(&id(1)).await.unwrap().value;
    assert_eq!(key.source, KeySource::Scim);
    let text = key.uri.to_ascii_lowercase();
    assert!(
        text.contains("m:2c549188c9e3") && text.contains("81/1"),
        "{text}"
    );
    assert_eq!(made.dpp.clone().unwrap().bootstrap_key, None);
    assert_eq!(
        made.meta.unwrap().location,
        format!("/scim/v2/Devices/{}", device.id)
    );

    let broken: [fn(&mut ScimDevice); 8] = [
        |it| it.schemas.clear(),
        |it| it.active = false,
        |it| it.dpp = None,
        |it| it.dpp.as_mut().unwrap().dpp_version = 0,
        |it| it.dpp.as_mut().unwrap().bootstrap_key = None,
        |it| it.dpp.as_mut().unwrap().bootstrap_key = Some("AAAA".to_owned()),
        |it| it.dpp.as_mut().unwrap().device_mac_address = Some("nobody".to_owned()),
        |it| it.dpp.as_mut().unwrap().class_channel = vec!["81".to_owned()],
    ];
    for change in broken {
        let mut wrong = scim(2);
        change(&mut wrong);
        assert_eq!(
            code(line.claim_by_scim(&wrong).await),
            Code::BadRequest,
            "{wrong:?}"
        );
    }
    let filter = DeviceFilter::default();
    let listed = admin
        .list_devices(&filter, &PageQuery::default())
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 1);
}

/// RFC 7644 §3.4 and §3.6: what was provisioned is seen, and taken back.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_system_sees_its_records_and_takes_them_back() {
    let world = World::new().await;
    let admin = world.admin();
    let line = world.role(Role::DeviceLine).await;
    let mut ids = Vec::new();
    for number in 1..4 {
        ids.push(line.claim_by_scim(&scim(number)).await.unwrap().id.unwrap());
    }
    // A label that a person brought is no order.
    let own = ClaimByUri {
        uri: uri(9),
        ..ClaimByUri::default()
    };
    let own = admin.claim_by_uri(&own).await.unwrap().device.id;
    let part = |start_index, count| ScimQuery {
        start_index: Some(start_index),
        count: Some(count),
        filter: None,
    };
    let listed = line.list_scim_devices(&ScimQuery::default()).await.unwrap();
    assert_eq!((listed.total_results, listed.items_per_page), (3, 3));
    assert_eq!(listed.schemas, [ScimList::SCHEMA]);
    let second = line.list_scim_devices(&part(2, 1)).await.unwrap();
    assert_eq!((second.total_results, second.start_index), (3, 2));
    assert_eq!(second.resources, listed.resources[1..2]);
    let counted = line.list_scim_devices(&part(1, 0)).await.unwrap();
    assert_eq!((counted.total_results, counted.resources.len()), (3, 0));

    let shown = line.show_scim_device(&ids[0]).await.unwrap();
    let dpp = shown.dpp.clone().unwrap();
    assert_eq!(dpp.device_mac_address.as_deref(), Some("2C:54:91:88:C9:E3"));
    assert_eq!((dpp.class_channel.len(), dpp.bootstrap_key), (2, None));
    assert_eq!(shown.display_name.as_deref(), Some("Heart monitor"));
    assert!(shown.active);
    assert_eq!(code(line.show_scim_device(&own).await), Code::NotFound);
    assert_eq!(code(line.show_scim_device("nobody").await), Code::NotFound);
    let filter = ScimQuery {
        filter: Some("id pr".to_owned()),
        ..ScimQuery::default()
    };
    assert_eq!(
        code(line.list_scim_devices(&filter).await),
        Code::BadRequest
    );
    // §3.4.2.4: outside its bounds a number is taken for the nearest.
    let odd = line.list_scim_devices(&part(-3, 5_000)).await.unwrap();
    assert_eq!((odd.start_index, odd.items_per_page), (1, 3));
    let odd = line.list_scim_devices(&part(i64::MAX, -1)).await.unwrap();
    assert_eq!((odd.total_results, odd.items_per_page), (3, 0));

    // Who brings devices does not take them away.
    assert_eq!(code(line.release_by_scim(&ids[0]).await), Code::Forbidden);
    admin.release_by_scim(&ids[0]).await.unwrap();
    assert_eq!(code(line.show_scim_device(&ids[0]).await), Code::NotFound);
    assert_eq!(code(admin.release_by_scim(&ids[0]).await), Code::NotFound);
    let released = admin.show_device(&ids[0]).await.unwrap().value;
    assert_eq!(released.state, DeviceState::Released);
    let left = line.list_scim_devices(&ScimQuery::default()).await.unwrap();
    assert_eq!(left.total_results, 2);

    // §3.12: whoever makes an error, it has the form that order systems read.
    let path = format!("/scim/v2/Devices/{}", ids[0]);
    let secret = world.token(Role::Admin).await;
    for (secret, status) in [(None, "401"), (Some(secret.as_str()), "404")] {
        let response = world.raw(Method::GET, &path, secret, &[], "").await;
        assert_eq!(response.status().as_str(), status);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/scim+json"
        );
        let error: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(error["status"], status);
        assert_eq!(
            error["schemas"][0],
            "urn:ietf:params:scim:api:messages:2.0:Error"
        );
    }
}

fn scim_filter(text: &str) -> ScimQuery {
    ScimQuery {
        filter: Some(text.to_owned()),
        ..ScimQuery::default()
    }
}

/// RFC 7644 §3.4.2.2 and §3.5.2.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_system_filters_and_changes_its_records() {
    let world = World::new().await;
    let admin = world.admin();
    let line = world.role(Role::DeviceLine).await;
    let mut other = scim(2);
    other.dpp.as_mut().unwrap().serial_number = Some("other".to_owned());
    let ids = [
        line.claim_by_scim(&scim(1)).await.unwrap().id.unwrap(),
        line.claim_by_scim(&other).await.unwrap().id.unwrap(),
    ];
    let found = async |text: &str| -> Vec<String> {
        let list = line.list_scim_devices(&scim_filter(text)).await.unwrap();
        assert_eq!(list.total_results, list.items_per_page, "{text}");
        let ids = list.resources.into_iter().map(|one| one.id.unwrap());
        ids.collect()
    };
    assert_eq!(found("serialNumber eq \"OTHER\"").await, [ids[1].as_str()]);
    let both = format!("id eq \"{}\" and active eq true", ids[0]);
    assert_eq!(found(&both).await, [ids[0].as_str()]);
    assert_eq!(found("active eq false").await, [""; 0]);

    // Only who runs devices changes them.
    let out = ScimPatch::active(false);
    assert_eq!(
        code(line.change_by_scim(&ids[0], &out).await),
        Code::Forbidden
    );
    let changed = admin.change_by_scim(&ids[0], &out).await.unwrap();
    assert!(!changed.active);
    let device = admin.show_device(&ids[0]).await.unwrap().value;
    assert_eq!(device.state, DeviceState::Quarantined);
    assert_eq!(found("active eq false").await, [ids[0].as_str()]);
    // The same again changes nothing.
    let version = async || admin.show_device(&ids[0]).await.unwrap().value.version;
    let before = version().await;
    let again = admin.change_by_scim(&ids[0], &out).await.unwrap();
    assert_eq!((again.active, version().await), (false, before));
    let back = ScimPatch::active(true);
    assert!(admin.change_by_scim(&ids[0], &back).await.unwrap().active);
    let device = admin.show_device(&ids[0]).await.unwrap().value;
    assert_eq!(device.state, DeviceState::Claimed);
    assert_eq!(
        code(admin.change_by_scim("nobody", &out).await),
        Code::NotFound
    );

    let secret = world.token(Role::Admin).await;
    let path = format!("/scim/v2/Devices/{}", ids[0]);
    let json = [(header::CONTENT_TYPE, "application/scim+json")];
    let dpp = ScimDevice::DPP;
    for (operation, kind) in [
        (
            r#"{"op":"replace","path":"displayName","value":"x"}"#.to_owned(),
            Some("mutability"),
        ),
        (
            r#"{"op":"remove","path":"active"}"#.to_owned(),
            Some("mutability"),
        ),
        (
            r#"{"op":"remove","path":"mudUrl"}"#.to_owned(),
            Some("mutability"),
        ),
        (
            format!(r#"{{"op":"add","path":"{dpp}:bootstrapKey","value":"x"}}"#),
            Some("mutability"),
        ),
        (
            format!(r#"{{"op":"replace","value":{{"active":false,"{dpp}":{{}}}}}}"#),
            Some("mutability"),
        ),
        (
            r#"{"op":"replace","path":"colour","value":"x"}"#.to_owned(),
            Some("invalidPath"),
        ),
        (
            r#"{"op":"replace","path":"active[value eq true]","value":true}"#.to_owned(),
            Some("invalidPath"),
        ),
        (
            r#"{"op":"replace","path":"active","value":"no"}"#.to_owned(),
            Some("invalidValue"),
        ),
        (
            r#"{"op":"replace","path":"active"}"#.to_owned(),
            Some("invalidValue"),
        ),
        (r#"{"op":"replace"}"#.to_owned(), Some("invalidValue")),
        (r#"{"op":"remove"}"#.to_owned(), Some("noTarget")),
        (
            r#"{"op":"move","path":"active"}"#.to_owned(),
            Some("invalidSyntax"),
        ),
        // What it is already may be said again.
        (
            r#"{"op":"Replace","path":"displayName","value":"Heart monitor"}"#.to_owned(),
            None,
        ),
        (r#"{"op":"add","value":{"active":true}}"#.to_owned(), None),
    ] {
        let body = format!(
            r#"{{"schemas":["{}"],"Operations":[{operation}]}}"#,
            ScimPatch::SCHEMA
        );
        let response = world
            .raw(Method::PATCH, &path, Some(&secret), &json, body)
            .await;
        let answer: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(answer["scimType"].as_str(), kind, "{operation}: {answer}");
        let status = if kind.is_some() { 400 } else { 200 };
        assert_eq!(response.status().as_u16(), status, "{operation}");
    }
    for body in [
        r#"{"schemas":[],"Operations":[{"op":"replace","path":"active","value":false}]}"#
            .to_owned(),
        format!(r#"{{"schemas":["{}"],"Operations":[]}}"#, ScimPatch::SCHEMA),
    ] {
        let response = world
            .raw(Method::PATCH, &path, Some(&secret), &json, body)
            .await;
        assert_eq!(response.status().as_u16(), 400);
    }
    // All or nothing: a half that could be done was not.
    assert!(line.show_scim_device(&ids[0]).await.unwrap().active);
    let wrong = "/scim/v2/Devices?filter=id%20pr";
    let response = world.raw(Method::GET, wrong, Some(&secret), &[], "").await;
    let error: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(error["scimType"], "invalidFilter");
}

/// RFC 7644 §4: an order system learns what there is.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_system_asks_what_there_is() {
    let world = World::new().await;
    let line = world.role(Role::DeviceLine).await;
    let config = line.show_scim_config().await.unwrap();
    assert_eq!(config["patch"]["supported"], true);
    assert_eq!(config["filter"]["maxResults"], ScimQuery::MAX_COUNT);
    assert_eq!(config["bulk"]["supported"], false);
    let schemas = line.list_scim_schemas().await.unwrap();
    assert_eq!(schemas["totalResults"], 2);
    for schema in schemas["Resources"].as_array().unwrap() {
        let id = schema["id"].as_str().unwrap();
        assert_eq!(line.show_scim_schema(id).await.unwrap(), *schema);
        for attribute in schema["attributes"].as_array().unwrap() {
            let changes = attribute["mutability"] == "readWrite";
            assert_eq!(changes, attribute["name"] == "active", "{attribute}");
        }
    }
    assert_eq!(code(line.show_scim_schema("urn:x").await), Code::NotFound);
    let types = line.list_scim_resource_types().await.unwrap();
    assert_eq!(types["Resources"][0]["schema"], ScimDevice::CORE);
    let device = line.show_scim_resource_type("Device").await.unwrap();
    assert_eq!(device, types["Resources"][0]);
    assert_eq!(
        code(line.show_scim_resource_type("User").await),
        Code::NotFound
    );
    let secret = world.token(Role::Admin).await;
    let path = "/scim/v2/Schemas?filter=id%20pr";
    let response = world.raw(Method::GET, path, Some(&secret), &[], "").await;
    assert_eq!(response.status().as_u16(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_brings_the_keys_of_its_devices() {
    let world = World::new().await;
    let admin = world.admin();
    let maker = Maker::new("Maker");
    let owner = admin.show_site().await.unwrap().owner.parse().unwrap();
    let serials = ["A-1", "A-2", "A-3"].map(str::to_owned);
    let mut manifest = maker.manifest(owner, &serials);
    manifest.devices[0].dpp_uri = Some(uri(1));
    manifest.devices[1].dpp_uri = Some("DPP:K:broken;;".to_owned());
    let import = ImportManifest {
        manifest: STANDARD.encode(maker.sign(&manifest)),
        anchors_pem: Some(maker.root_pem()),
    };
    let done = admin.import_manifest(&import, false).await.unwrap();
    assert_eq!((done.claimed, done.refused), (3, 0));
    assert_eq!(done.warnings[0].code, "bootstrapping-uri-unreadable");
    let key = admin.show_bootstrapping_key(&id(1)).await.unwrap().value;
    assert_eq!(
        (key.device, key.source),
        (maker.device_id("A-1"), KeySource::Manifest)
    );
    let again = admin.import_manifest(&import, false).await.unwrap();
    assert_eq!((again.claimed, again.unchanged), (0, 3));
    // The owner is not asked to trust a label more than the manifest: a person's word for another
    // device is a contradiction.
    let other = ClaimByUri {
        manufacturer: Some(maker.id.to_string()),
        serial: Some("A-2".to_owned()),
        ..claim(1)
    };
    assert_eq!(code(admin.claim_by_uri(&other).await), Code::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_a_label_becomes_the_one_that_its_manifest_names() {
    let world = World::new().await;
    let admin = world.admin();
    let by_label = admin.claim_by_uri(&claim(5)).await.unwrap().device;
    let maker = Maker::new("Maker");
    let owner = admin.show_site().await.unwrap().owner.parse().unwrap();
    let mut manifest = maker.manifest(owner, &["A-1".to_owned()]);
    manifest.devices[0].dpp_uri = Some(uri(5));
    let import = ImportManifest {
        manifest: STANDARD.encode(maker.sign(&manifest)),
        anchors_pem: Some(maker.root_pem()),
    };
    // A list without a signature says the same, and is not believed.
    let word = ClaimByUri {
        manufacturer: Some(Maker::new("Other").id.to_string()),
        serial: Some("A-1".to_owned()),
        ..claim(5)
    };
    let done = admin.import_manifest(&import, true).await.unwrap();
    assert_eq!((done.claimed, done.refused), (1, 0));
    assert_eq!(
        admin.show_device(&by_label.id).await.unwrap().value.state,
        by_label.state
    );
    let done = admin.import_manifest(&import, false).await.unwrap();
    assert_eq!((done.claimed, done.refused), (1, 0));
    let key = admin.show_bootstrapping_key(&id(5)).await.unwrap().value;
    assert_eq!(
        (key.device, key.source),
        (maker.device_id("A-1"), KeySource::Person)
    );
    assert_eq!(key.conflict, None);
    let left = admin.show_device(&by_label.id).await.unwrap().value;
    assert_eq!(
        left.reason,
        Some(format!("merged into {}", maker.device_id("A-1")))
    );
    let again = admin.import_manifest(&import, false).await.unwrap();
    assert_eq!((again.claimed, again.unchanged), (0, 1));
    // The order system's record keeps its id, and tells of the device that it is now.
    let line = world.role(Role::DeviceLine).await;
    let ordered = line.claim_by_scim(&scim(6)).await.unwrap().id.unwrap();
    let mut manifest = maker.manifest(owner, &["A-2".to_owned()]);
    manifest.devices[0].dpp_uri = Some(uri(6));
    let second = ImportManifest {
        manifest: STANDARD.encode(maker.sign(&manifest)),
        anchors_pem: None,
    };
    admin.import_manifest(&second, false).await.unwrap();
    let shown = line.show_scim_device(&ordered).await.unwrap();
    assert_eq!(shown.id.as_deref(), Some(ordered.as_str()));
    let serial = shown.dpp.unwrap().serial_number;
    assert_eq!(serial.as_deref(), Some("A-2"));
    // The label again is the same device; another one's word for it contradicts.
    let same = admin.claim_by_uri(&claim(5)).await.unwrap().device;
    assert_eq!(same.id, maker.device_id("A-1"));
    assert_eq!(code(admin.claim_by_uri(&word).await), Code::Conflict);
}

/// What a world's store begins with: a device with label 1, onboarded with a connector and a
/// passphrase; one with label 2 that waits for a person; a chirp with label 3 that nobody knows; one
/// with label 4 in quarantine that chirped.
async fn fill(home: &Home, store: &Store) {
    let now = Timestamp::now();
    let actor = Actor::new(ActorKind::Person, "test");
    let home_network = stored::Network {
        name: "home".to_owned(),
        ssid: "home".to_owned(),
        credential: stored::NetworkCredential::Connector,
        fallback: true,
        segment: None,
        lifetime_days: None,
        server_name: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let put = stored::Change::PutNetwork(Box::new(home_network.clone()));
    let commit = vouchsafe_fleet::Commit {
        changes: vec![vouchsafe_fleet::Change::Wifi(put)],
        ..vouchsafe_fleet::Commit::default()
    };
    store.commit(commit).await.unwrap();
    let mut claimed = Vec::new();
    for number in [1, 2, 4] {
        let (key, uri) = (label(number), uri(number));
        let outcome = claim_uri(&ClaimUriFacts {
            now,
            actor: &actor,
            owner: home.owner,
            key: KeyFacts {
                id: Digest(*key.hash()),
                chirp_hash: Digest(*key.chirp_hash()),
                curve: "P-256",
                uri: &uri,
            },
            role: stored::DeviceRole::Station,
            source: stored::KeySource::Person,
            identity: None,
            label: None,
            model: None,
            mud_url: None,
            segment: None,
            network: None,
            existing: None,
            standing: None,
            known: None,
            reasons: &[],
            runs_devices: true,
        });
        let one = outcome.accepted().unwrap().unwrap().clone();
        store.commit(outcome.commit).await.unwrap();
        claimed.push(one);
    }
    let verdict = |answer| Verdict {
        answer,
        reasons: vec![],
        ask_again_at: None,
        by_address: None,
    };
    let allow = verdict(Answer::Allow { segment: None });
    let wait = verdict(Answer::Wait {
        retry_after: jiff::SignedDuration::from_secs(30),
    });
    for (one, verdict) in claimed.iter().zip([&allow, &wait]) {
        let device = stored_device(store, one.device.id).await;
        let outcome = configure(&ConfigureFacts {
            now,
            owner: home.owner,
            proof: Proof::Bootstrapping {
                key: &one.key,
                assurance: Assurance::Mutual,
            },
            label: None,
            device: &device,
            manufacturer: None,
            request_sha256: Digest::of(b"request"),
            role: Some(stored::DeviceRole::Station),
            said: &[("name", "lamp")],
            networks: std::slice::from_ref(&home_network),
            holdings: Holdings::NONE,
            key_holder: None,
            certificates: &[],
            approval: None,
            owned_since: None,
            verdict,
        });
        match outcome.decision {
            Decision::Accept(permit) => {
                let issued: Outcome<_> = permit.issue(issued());
                store.commit(issued.commit).await.unwrap();
            }
            _ => drop(store.commit(outcome.commit).await.unwrap()),
        }
    }
    let deny = verdict(Answer::Deny);
    for (number, known) in [(3, None), (4, Some(&claimed[2]))] {
        let seen = AnnouncementFacts {
            now,
            owner: home.owner,
            hash: Digest(*label(number).chirp_hash()),
            form: HashForm::Chirp,
            via: Some("192.0.2.9"),
            known: known.map(|one| Known {
                key: &one.key,
                device: &one.device,
                manufacturer: None,
                approval: None,
                owned_since: None,
            }),
            verdict: &deny,
            seen: None,
            remembered: 0,
        };
        store.commit(announcement(&seen).commit).await.unwrap();
    }
}

fn issued() -> Vec<IssuedAccess> {
    vec![
        IssuedAccess::Connector {
            id: CredentialId("c".repeat(32)),
            net_access_key_sha256: Digest::of(b"net access key"),
            signed_by: "kid".to_owned(),
            expires_at: None,
        },
        IssuedAccess::Passphrase {
            id: CredentialId("a".repeat(32)),
            identifier: "lamp".to_owned(),
            sealed: SealedPassphrase(SEALED.to_vec()),
        },
    ]
}

async fn stored_device(store: &Store, id: DeviceId) -> Device {
    store.device(id).await.unwrap().unwrap()
}

fn device_id(number: u8) -> String {
    DeviceId::of_bootstrapping_key(Digest(*label(number).hash())).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_shows_what_it_was_given_and_never_the_passphrase() {
    let world = World::prepared(|_| {}, fill).await;
    let admin = world.admin();
    let shown = admin.show_device(&device_id(1)).await.unwrap().value;
    assert_eq!(shown.state, DeviceState::Onboarded);
    let wifi = shown.wifi.unwrap();
    let given = wifi.given.unwrap();
    assert_eq!(
        (given.network.as_str(), given.assurance.as_str()),
        ("home", "mutual")
    );
    assert_eq!(given.called.as_deref(), Some("lamp"));
    assert_eq!(wifi.said["name"], "lamp");
    let kinds: Vec<_> = wifi.credentials.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds.len(), 2);
    assert!(kinds.contains(&"connector") && kinds.contains(&"passphrase"));

    // No answer of the whole API has the passphrase in any form, sealed or not.
    let device = device_id(1);
    let forms = [
        String::from_utf8(SEALED.to_vec()).unwrap(),
        STANDARD.encode(SEALED),
        SEALED.iter().map(|byte| format!("{byte:02x}")).collect(),
    ];
    for route in vouchsafe_api::route::ROUTES {
        if route.method != vouchsafe_api::route::Method::Get || route.id == "stream_events" {
            continue;
        }
        let path = route.path.replace("{id}", &device);
        let answer = world
            .raw(Method::GET, &path, Some(&world.secret), &[], "")
            .await;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        for form in &forms {
            assert!(!text.contains(form), "{}", route.id);
        }
    }

    // Quarantined and revoked: the credentials end as the device's certificates do.
    let why = Reasoned {
        reason: "too loud".to_owned(),
    };
    admin.quarantine_device(&device, &why, None).await.unwrap();
    let back = admin.restore_device(&device, &why, None).await.unwrap();
    assert_eq!(back.state, DeviceState::Onboarded);
    let revoke = Revoke {
        revocation_reason: RevocationReason::KeyCompromise,
        reason: "it was stolen".to_owned(),
    };
    let revoked = admin.revoke_device(&device, &revoke, None).await.unwrap();
    let credentials = revoked.wifi.unwrap().credentials;
    assert!(
        credentials
            .iter()
            .all(|it| it.revocation_reason == Some(RevocationReason::KeyCompromise))
    );
    let release = Release {
        reason: "sold".to_owned(),
        next_owner: None,
    };
    let released = admin.release_device(&device, &release, None).await.unwrap();
    assert_eq!(released.device.wifi.unwrap().given, None);
    // The next owner, or this one again, claims it by the same label.
    let again = admin.claim_by_uri(&claim(1)).await.unwrap();
    assert_eq!(
        (again.device.id, again.device.state),
        (device, DeviceState::Claimed)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_by_its_key_is_approved_like_any_other() {
    let world = World::prepared(|_| {}, fill).await;
    let installer = world.role(Role::Installer).await;
    let filter = DeviceFilter {
        waiting: Some(true),
        ..DeviceFilter::default()
    };
    let waiting = installer
        .list_devices(&filter, &PageQuery::default())
        .await
        .unwrap();
    let ids: Vec<_> = waiting.items.iter().map(|it| it.id.clone()).collect();
    assert_eq!(ids, [device_id(2)]);
    let approve = Approve {
        reason: "it is the lamp on my desk".to_owned(),
        segment: Some("lamps".to_owned()),
    };
    let approved = installer
        .approve_device(&device_id(2), &approve, None)
        .await
        .unwrap();
    assert!(!approved.waiting);
    let twice = installer
        .approve_device(&device_id(2), &approve, None)
        .await;
    assert_eq!(code(twice), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_showed_itself_too_early_is_listed_and_found_by_its_label() {
    let world = World::prepared(|_| {}, fill).await;
    let admin = world.admin();
    let unmatched = admin
        .list_announcements(&PageQuery::default())
        .await
        .unwrap()
        .items;
    assert_eq!(unmatched.len(), 1);
    assert_eq!(
        unmatched[0].hash,
        Digest(*label(3).chirp_hash()).to_string()
    );
    assert_eq!(
        (unmatched[0].form.as_str(), unmatched[0].via.as_deref()),
        ("chirp", Some("192.0.2.9"))
    );
    let claimed = admin.claim_by_uri(&claim(3)).await.unwrap();
    assert_eq!(claimed.announced_at, Some(unmatched[0].last_at));
    assert_eq!(
        admin
            .list_announcements(&PageQuery::default())
            .await
            .unwrap()
            .items,
        []
    );
    // A known device that was turned away says why.
    let refused = admin
        .show_device(&device_id(4))
        .await
        .unwrap()
        .value
        .wifi
        .unwrap()
        .refused;
    assert_eq!(refused.unwrap().code, "policy-denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_meant_for_another_network() {
    let world = World::prepared(|_| {}, fill).await;
    let admin = world.admin();
    admin.add_network(&network("office")).await.unwrap();
    let read = admin.show_device(&device_id(1)).await.unwrap();
    let stale = Some(Version(read.version.unwrap().0 - 1));
    let late = admin
        .reconfigure_device(&device_id(1), &reconfigure("office"), stale)
        .await;
    assert_eq!(code(late), Code::PreconditionFailed);
    let meant = admin
        .reconfigure_device(&device_id(1), &reconfigure("office"), read.version)
        .await;
    let wifi = meant.unwrap().wifi.unwrap();
    assert_eq!(wifi.wanted.as_deref(), Some("office"));
    assert_eq!(wifi.given.unwrap().network, "home", "until it comes");
    let none = admin
        .reconfigure_device(&device_id(1), &reconfigure("none"), None)
        .await;
    assert_eq!(code(none), Code::NotFound);
    let silent = Reconfigure {
        reason: String::new(),
        ..reconfigure("office")
    };
    let silent = admin.reconfigure_device(&device_id(1), &silent, None).await;
    assert_eq!(code(silent), Code::BadRequest);
    for used in ["home", "office"] {
        assert_eq!(
            code(admin.remove_network(used, None).await),
            Code::LifecycleRefused,
            "{used}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_controller_for_it_the_api_says_how_to_switch_it_on() {
    let world = World::new().await;
    let secret = Some(world.secret.as_str());
    let answer = world
        .raw(Method::GET, "/api/v1/dpp/controller", secret, &[], "")
        .await;
    let problem: Problem = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(problem.code, Code::NotFound);
    assert!(problem.next_step.unwrap().contains("dpp.enabled"));
}
