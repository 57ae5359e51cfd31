//! Devices that come in by their MAC address: only where policy says so, and as long as it does.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use vouchsafe_api::gate::{AdmittedStation, StateDifference, StateUpdate};
use vouchsafe_api::{
    Claim, ClaimAddress, Code, DeviceState, PutPolicy, Reasoned, RemoveAddress, Role, StateClaim,
};
use vouchsafe_controller::Home;
use vouchsafe_fleet::decide::PERSON;
use vouchsafe_fleet::{Change, ClaimSubject, Commit, DeviceId, ManufacturerId, Strength};
use vouchsafe_store::Store;

use crate::gates::{Gate, gate, state, update};
use crate::revocation::world_with;
use crate::world::{World, code};

const MAC: &str = "00:1b:63:84:45:e6";

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn claim(serial: &str, mac: &str) -> Claim {
    Claim {
        manufacturer: String::new(),
        serial: serial.to_owned(),
        model: None,
        segment: Some("things".to_owned()),
        mac: Some(mac.to_owned()),
        reason: Some("it knows no 802.1X".to_owned()),
    }
}

fn add(mac: &str) -> ClaimAddress {
    ClaimAddress {
        mac: mac.to_owned(),
        reason: None,
    }
}

fn why() -> Reasoned {
    Reasoned {
        reason: "a test".to_owned(),
    }
}

async fn state_that(world: &World, device: &str, kind: &str, value: serde_json::Value) {
    let claim = StateClaim {
        kind: kind.to_owned(),
        value,
        expires_at: None,
        reason: "it knows no 802.1X".to_owned(),
    };
    world.admin().state_claim(device, &claim).await.unwrap();
}

/// What the gate has, kept up to date as a gate does.
struct Told {
    version: u64,
    stations: Vec<AdmittedStation>,
    credentials: usize,
}

impl Told {
    async fn whole(world: &World, gate: &Gate) -> Self {
        let StateUpdate::Whole(whole) = update(&state(world, gate.identity(), None, 30).await)
        else {
            panic!("not the whole");
        };
        Self {
            version: whole.version,
            stations: whole.stations,
            credentials: whole.admitted.len(),
        }
    }

    fn take(&mut self, difference: StateDifference) {
        self.version = difference.to;
        let gone = difference.stations_remove;
        let new = difference.stations_put;
        self.stations
            .retain(|it| !gone.contains(&it.mac) && new.iter().all(|new| new.mac != it.mac));
        self.stations.extend(new);
    }

    async fn until(&mut self, world: &World, gate: &Gate, is_so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < end, "{:?}", self.stations);
            let answer = state(world, gate.identity(), Some(self.version), 5).await;
            if answer.status() == http::StatusCode::NO_CONTENT {
                continue;
            }
            match update(&answer) {
                StateUpdate::Difference(difference) => self.take(difference),
                StateUpdate::Whole(_) => *self = Self::whole(world, gate).await,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_opens_the_network_only_when_policy_says_so_and_until_trust_ends() {
    let world = World::new().await;
    let gate = gate(&world, "hall").await;
    let admin = world.admin();
    let mut told = Told::whole(&world, &gate).await;
    let device = admin.claim_device(&claim("P-1", MAC)).await.unwrap();
    assert_eq!(device.state, DeviceState::Claimed);
    let shown = &device.addresses[0];
    assert!(!shown.admitted && shown.mac == MAC, "{shown:?}");
    assert!(
        shown.reasons.contains(&"mac-proves-nothing".to_owned()),
        "{shown:?}"
    );

    // A person's word lets it in, with segment and end.
    let word = "without-credential";
    state_that(&world, &device.id, "admit-by-mac", word.into()).await;
    told.until(&world, &gate, |it| it.stations.len() == 1).await;
    let station = told.stations[0].clone();
    assert_eq!((station.mac.as_str(), &station.device), (MAC, &device.id));
    assert_eq!(station.segment.as_deref(), Some("devices"));
    assert!(station.expires_at > jiff::Timestamp::now());
    let whole = Told::whole(&world, &gate).await;
    assert_eq!(whole.stations, told.stations);
    let shown = admin.show_device(&device.id).await.unwrap().value;
    assert!(shown.addresses[0].admitted);
    let claims: Vec<_> = shown.claims.iter().map(|it| it.kind.as_str()).collect();
    assert!(claims.contains(&"admit-by-mac"), "{claims:?}");

    // Quarantined and back.
    let answer = admin.quarantine_device(&device.id, &why(), None).await;
    assert_eq!(answer.unwrap().state, DeviceState::Quarantined);
    told.until(&world, &gate, |it| it.stations.is_empty()).await;
    admin
        .restore_device(&device.id, &why(), None)
        .await
        .unwrap();
    told.until(&world, &gate, |it| it.stations.len() == 1).await;

    // The word is taken back, and given again.
    state_that(&world, &device.id, "admit-by-mac", serde_json::Value::Null).await;
    told.until(&world, &gate, |it| it.stations.is_empty()).await;
    state_that(&world, &device.id, "admit-by-mac", "always".into()).await;
    told.until(&world, &gate, |it| it.stations.len() == 1).await;

    // The address is somebody else's now.
    let remove = RemoveAddress {
        mac: "00-1B-63-84-45-E6".to_owned(),
        reason: "another board".to_owned(),
    };
    let answer = admin.remove_address(&device.id, &remove).await.unwrap();
    assert!(answer.addresses.is_empty() && answer.enforcement.is_some());
    told.until(&world, &gate, |it| it.stations.is_empty()).await;
    let again = admin.remove_address(&device.id, &remove).await;
    assert!(
        format!("{again:?}").contains("address-unknown"),
        "{again:?}"
    );
    assert_eq!(code(again), Code::NotFound);
    admin.claim_address(&device.id, &add(MAC)).await.unwrap();
    told.until(&world, &gate, |it| it.stations.len() == 1).await;
    // Retired: for good.
    let answer = admin.retire_device(&device.id, &why(), None).await.unwrap();
    assert!(answer.addresses.is_empty());
    told.until(&world, &gate, |it| it.stations.is_empty()).await;
    let journal = admin.device_journal(&device.id, 0).await.unwrap();
    let text = serde_json::to_string(&journal).unwrap();
    for action in [
        "address-claimed",
        "address-refused",
        "address-admitted",
        "address-removed",
        "stated",
    ] {
        assert!(text.contains(action), "{action}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_two_devices_are_said_to_have_opens_nothing_until_a_person_settles_it() {
    let world = World::new().await;
    let gate = gate(&world, "hall").await;
    let admin = world.admin();
    let mut told = Told::whole(&world, &gate).await;
    let first = admin.claim_device(&claim("P-1", MAC)).await.unwrap();
    state_that(&world, &first.id, "admit-by-mac", "always".into()).await;
    told.until(&world, &gate, |it| it.stations.len() == 1).await;

    let installer = world.role(Role::Installer).await;
    let refused = installer.claim_device(&claim("P-2", MAC)).await;
    let text = format!("{refused:?}");
    assert!(
        text.contains("address-conflict") && text.contains(&first.id),
        "{text}"
    );
    told.until(&world, &gate, |it| it.stations.is_empty()).await;
    let shown = admin.show_device(&first.id).await.unwrap().value;
    assert!(shown.addresses[0].conflict.is_some() && !shown.addresses[0].admitted);
    // The one who was refused is not in the inventory.
    let other = world.role(Role::Operator).await;
    let filter = vouchsafe_api::DeviceFilter {
        serial: Some("P-2".to_owned()),
        ..Default::default()
    };
    let page = other.list_devices(&filter, &Default::default()).await;
    assert!(page.unwrap().items.is_empty());

    admin.claim_address(&first.id, &add(MAC)).await.unwrap();
    told.until(&world, &gate, |it| it.stations.len() == 1).await;
    let shown = admin.show_device(&first.id).await.unwrap().value;
    assert!(shown.addresses[0].conflict.is_none() && shown.addresses[0].admitted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_stations_address_is_refused() {
    let world = World::new().await;
    let admin = world.admin();
    for mac in [
        "ff:ff:ff:ff:ff:ff",
        "01:00:5e:00:00:fb",
        "00:00:00:00:00:00",
        "00:1b:63:84:45",
        "hello",
        "",
    ] {
        let answer = admin.claim_device(&claim("P-1", mac)).await;
        assert_eq!(code(answer), Code::BadRequest, "{mac}");
    }
    // Nobody assigned it: no, unless somebody says so of this device.
    let local = "02:00:00:00:00:01";
    let device = admin.claim_device(&claim("P-1", local)).await.unwrap();
    state_that(&world, &device.id, "admit-by-mac", "always".into()).await;
    let shown = admin.show_device(&device.id).await.unwrap().value;
    assert!(!shown.addresses[0].admitted);
    assert!(
        shown.addresses[0]
            .reasons
            .contains(&"mac-is-local".to_owned()),
        "{shown:?}"
    );
    state_that(&world, &device.id, "admit-local-mac", true.into()).await;
    let shown = admin.show_device(&device.id).await.unwrap().value;
    assert!(shown.addresses[0].admitted, "{shown:?}");
    // One device has a bounded number.
    for number in 0..7 {
        let mac = format!("00:1b:63:00:00:{number:02x}");
        admin.claim_address(&device.id, &add(&mac)).await.unwrap();
    }
    let more = add("00:1b:63:00:00:77");
    let answer = admin.claim_address(&device.id, &more).await;
    assert_eq!(code(answer), Code::LifecycleRefused);
}

/// A device that could prove itself must, unless policy says otherwise in so many words.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_certificate_comes_in_by_its_address_only_where_policy_says_always() {
    let (world, _) = world_with(|_| {}).await;
    let gate = gate(&world, "hall").await;
    let admin = world.admin();
    let filter = vouchsafe_api::DeviceFilter {
        state: Some(DeviceState::Onboarded),
        ..Default::default()
    };
    let page = admin.list_devices(&filter, &Default::default()).await;
    let device = page.unwrap().items.remove(0);
    let mut told = Told::whole(&world, &gate).await;
    assert!(told.credentials > 0);
    let word = "without-credential";
    state_that(&world, &device.id, "admit-by-mac", word.into()).await;
    let shown = admin.claim_address(&device.id, &add(MAC)).await.unwrap();
    assert!(!shown.addresses[0].admitted);
    assert_eq!(shown.addresses[0].reasons[0], "credential-held");
    // A policy that knows nothing of addresses lets everybody in, and nobody by an address.
    let open = "package vouchsafe\n\nverdict := {\"answer\": \"allow\", \"reasons\": []}\n";
    put(&world, open).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = admin.show_device(&device.id).await.unwrap().value;
        assert!(!shown.addresses[0].admitted);
        if shown.addresses[0].reasons[0] == "address-not-allowed" {
            break;
        }
        assert!(Instant::now() < deadline, "{shown:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(Told::whole(&world, &gate).await.stations.is_empty());
    let always = "package vouchsafe\n\nverdict := \
         {\"answer\": \"allow\", \"by_address\": \"always\", \"reasons\": []}\n";
    put(&world, always).await;
    told.until(&world, &gate, |it| it.stations.len() == 1).await;
}

/// Claims about the device of this serial number, each of its own kind.
async fn claim_much(store: &Store, serial: &str, issuer: &str, end: Option<Timestamp>) {
    let claim = |number| vouchsafe_fleet::Claim {
        issuer: issuer.to_owned(),
        subject: ClaimSubject::Device {
            id: DeviceId::new(ManufacturerId::NONE, serial),
        },
        kind: format!("scan-{number}"),
        value: true.into(),
        strength: Strength::Stated,
        issued_at: Timestamp::UNIX_EPOCH,
        expires_at: end,
        evidence: None,
        signature: None,
    };
    let put = |number| Change::PutClaim(Box::new(claim(number)));
    let commit = Commit {
        changes: (0..1001).map(put).collect(),
        ..Commit::default()
    };
    store.commit(commit).await.unwrap();
}

fn long_ago() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1)
}

/// A dated statement each day must not keep one from being found that is to be taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_taken_back_behind_many_that_ran_out() {
    let fill = async |_: &Home, store: &Store| {
        claim_much(store, "P-1", PERSON, Some(long_ago())).await;
    };
    let world = World::prepared(|_| {}, fill).await;
    let admin = world.admin();
    let device = admin.claim_device(&claim("P-1", MAC)).await.unwrap();
    let stated = async || {
        let shown = admin.show_device(&device.id).await.unwrap().value;
        let claims = shown.claims.into_iter().filter(|it| it.issuer == PERSON);
        claims.map(|it| it.kind).collect::<Vec<_>>()
    };
    state_that(&world, &device.id, "trusted", true.into()).await;
    assert_eq!(stated().await, ["trusted"]);
    state_that(&world, &device.id, "trusted", serde_json::Value::Null).await;
    assert_eq!(stated().await, Vec::<String>::new());
}

/// What policy does not see could be what speaks against the device.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_judged_by_a_part_of_what_is_claimed() {
    let fill = async |_: &Home, store: &Store| {
        claim_much(store, "P-1", "scanner", Some(long_ago())).await;
        claim_much(store, "P-2", "scanner", None).await;
    };
    let world = World::prepared(|_| {}, fill).await;
    let admin = world.admin();
    let address = async |serial, mac| {
        let device = admin.claim_device(&claim(serial, mac)).await.unwrap();
        state_that(&world, &device.id, "admit-by-mac", "always".into()).await;
        let shown = admin.show_device(&device.id).await.unwrap().value;
        shown.addresses[0].clone()
    };
    let shown = address("P-1", MAC).await;
    assert!(shown.admitted, "what ran out does not count: {shown:?}");
    let shown = address("P-2", "00:1b:63:84:45:e7").await;
    assert!(!shown.admitted);
    assert_eq!(shown.reasons, ["policy-denied", "too-many-claims"]);
}

/// The end of policy's yes is the end at the gate.
#[tokio::test(flavor = "multi_thread")]
async fn a_yes_that_runs_out_is_asked_for_again_and_ends_with_its_reason() {
    let world = World::new().await;
    let gate = gate(&world, "hall").await;
    let admin = world.admin();
    let mut told = Told::whole(&world, &gate).await;
    let until = jiff::Timestamp::now().as_second() + 10;
    let fading = format!(
        r#"package vouchsafe

import rego.v1

default verdict := {{"answer": "deny", "reasons": [{{"code": "too-late", "text": "Its time is over."}}]}}

verdict := {{"answer": "allow", "ask_again_at": {until}, "by_address": "always", "reasons": []}} if input.now < {until}
"#
    );
    put(&world, &fading).await;
    let device = admin.claim_device(&claim("P-1", MAC)).await.unwrap();
    told.until(&world, &gate, |it| it.stations.len() == 1).await;
    assert_eq!(told.stations[0].expires_at.as_second(), until);
    told.until(&world, &gate, |it| it.stations.is_empty()).await;
    let shown = admin.show_device(&device.id).await.unwrap().value;
    assert!(!shown.addresses[0].admitted);
    assert!(
        shown.addresses[0].reasons.contains(&"too-late".to_owned()),
        "{shown:?}"
    );
}

async fn put(world: &World, rego: &str) {
    let admin = world.admin();
    let version = admin.show_policy().await.unwrap().version.unwrap();
    let put = PutPolicy {
        rego: rego.to_owned(),
        reason: "a test".to_owned(),
    };
    admin.put_policy(&put, version).await.unwrap();
}
