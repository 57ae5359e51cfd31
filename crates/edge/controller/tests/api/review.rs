//! Devices in service are judged again, and what policy took it gives back.

use std::time::{Duration, Instant};

use vouchsafe_api::{DeviceState, PageQuery, PutPolicy, Reasoned, Role, SetTrust, Version};

use crate::revocation::world_with;
use crate::world::World;

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

const CLOSED: &str = r#"package vouchsafe

verdict := {"answer": "deny", "reasons": [{"code": "closed", "text": "The site is closed."}]}
"#;

/// Lets in for two seconds what was in service at the time that stands here.
fn fading(until: i64) -> String {
    format!(
        r#"package vouchsafe

import rego.v1

default verdict := {{"answer": "deny", "reasons": [{{"code": "evidence-old", "text": "Its evidence ran out."}}]}}

verdict := {{"answer": "allow", "ask_again_at": {until}, "reasons": []}} if input.now < {until}
"#
    )
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

async fn until(world: &World, device: &str, state: DeviceState) {
    let end = Instant::now() + PATIENCE;
    let admin = world.admin();
    loop {
        let shown = admin.show_device(device).await.unwrap().value;
        if shown.state == state {
            return;
        }
        assert!(Instant::now() < end, "{device} is {:?}", shown.state);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn devices(world: &World) -> Vec<String> {
    let filter = vouchsafe_api::DeviceFilter {
        state: Some(DeviceState::Onboarded),
        ..Default::default()
    };
    let admin = world.admin();
    let listed = admin.list_devices(&filter, &PageQuery::default()).await;
    let listed = listed.unwrap().items;
    listed.into_iter().map(|device| device.id).collect()
}

/// NIST SP 1800-36 S4.C8: authorization is looked at again, by policy; and comes back with its reason.
#[tokio::test(flavor = "multi_thread")]
async fn another_policy_cuts_off_who_is_in_service_and_lets_in_again_whom_it_cut_off_alone() {
    let (world, _) = world_with(|_| {}).await;
    let [first, second] = devices(&world).await.try_into().unwrap();
    let operator = world.role(Role::Operator).await;
    let reason = Reasoned {
        reason: "seen at the wrong door".to_owned(),
    };
    operator
        .quarantine_device(&second, &reason, None)
        .await
        .unwrap();

    let default = world.admin().show_policy().await.unwrap().value.rego;
    put(&world, CLOSED).await;
    until(&world, &first, DeviceState::Quarantined).await;
    let shown = world.admin().show_device(&first).await.unwrap().value;
    assert_eq!(shown.reason.as_deref(), Some("The site is closed."));
    put(&world, &default).await;
    until(&world, &first, DeviceState::Onboarded).await;

    let journal = world.admin().device_journal(&first, 0).await.unwrap();
    let text = serde_json::to_string(&journal).unwrap();
    assert!(
        text.contains("closed") && text.contains("restored"),
        "{text}"
    );
    // A person cut the other one off, so a person lets it in.
    let shown = world.admin().show_device(&second).await.unwrap().value;
    assert_eq!(shown.state, DeviceState::Quarantined);
}

/// Whom policy cut off first and a person then, only a person lets in again.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_takes_over_a_quarantine_of_the_policys() {
    let (world, _) = world_with(|_| {}).await;
    let [first, second] = devices(&world).await.try_into().unwrap();
    let default = world.admin().show_policy().await.unwrap().value.rego;
    put(&world, CLOSED).await;
    until(&world, &first, DeviceState::Quarantined).await;
    until(&world, &second, DeviceState::Quarantined).await;
    let operator = world.role(Role::Operator).await;
    let reason = Reasoned {
        reason: "it was stolen".to_owned(),
    };
    let answer = operator.quarantine_device(&second, &reason, None).await;
    assert_eq!(answer.unwrap().reason.as_deref(), Some("it was stolen"));
    // Twice, so that both were looked at for certain.
    for _ in 0..2 {
        put(&world, &default).await;
        until(&world, &first, DeviceState::Onboarded).await;
        put(&world, CLOSED).await;
        until(&world, &first, DeviceState::Quarantined).await;
    }
    put(&world, &default).await;
    until(&world, &first, DeviceState::Onboarded).await;
    let shown = world.admin().show_device(&second).await.unwrap().value;
    assert_eq!(shown.state, DeviceState::Quarantined);
    assert_eq!(shown.reason.as_deref(), Some("it was stolen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_a_manufacturer_that_is_blocked_is_cut_off_and_stays_so_over_a_restart() {
    let (world, _) = world_with(|_| {}).await;
    let device = devices(&world).await.remove(0);
    let admin = world.admin();
    let maker = admin.list_manufacturers(&PageQuery::default()).await;
    let maker = maker.unwrap().items.remove(0);
    let trust = async |world: &World, trust, version| {
        let set = SetTrust {
            trust,
            reason: "a recall".to_owned(),
        };
        let admin = world.admin();
        let answer = admin.set_manufacturer_trust(&maker.id, &set, Version(version));
        answer.await.unwrap().version
    };
    let blocked = vouchsafe_api::ManufacturerTrust::Blocked;
    let version = trust(&world, blocked, maker.version).await;
    until(&world, &device, DeviceState::Quarantined).await;
    let world = world.restarted().await;
    until(&world, &device, DeviceState::Quarantined).await;
    trust(&world, maker.trust, version).await;
    until(&world, &device, DeviceState::Onboarded).await;
}

/// Silence counts: a verdict has an end of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_ran_out_is_asked_for_again() {
    let (world, _) = world_with(|_| {}).await;
    let device = devices(&world).await.remove(0);
    let end = jiff::Timestamp::now().as_second() + 2;
    put(&world, &fading(end)).await;
    until(&world, &device, DeviceState::Quarantined).await;
    assert!(jiff::Timestamp::now().as_second() >= end);
}
