//! What gates saw of a device is claimed of it, and policy may judge by it.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use vouchsafe_api::gate::{GateReport, SessionReport};
use vouchsafe_api::{Device, DeviceState, PutPolicy};

use crate::gates::{Gate, begun, gate, nothing, report};
use crate::revocation::world_with;
use crate::world::World;

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Whoever was not seen for 90 days is cut off, and asked about again when it would be so.
const SILENT: &str = r#"package vouchsafe

import rego.v1

days := 86400

last_seen := max([claim.value | some claim in input.claims; claim.kind == "last-seen"])

default verdict := {"answer": "allow", "reasons": []}

verdict := {"answer": "allow", "ask_again_at": last_seen + (90 * days), "reasons": []} if {
	input.now - last_seen < 90 * days
}

verdict := {
	"answer": "deny",
	"reasons": [{"code": "not-seen", "text": "No gate has seen it for 90 days."}],
} if input.now - last_seen >= 90 * days
"#;

fn session(id: &str, device: &str, days: i64, octets: (u64, u64)) -> SessionReport {
    let ago = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    SessionReport {
        credential: Some("01".to_owned()),
        station: Some("02:00:00:00:00:01".to_owned()),
        access_point: "p1".to_owned(),
        since: ago(days + 1),
        until: ago(days),
        octets,
        seen: ago(days),
        ..begun(id, device)
    }
}

async fn tell(world: &World, gate: &Gate, number: u64, session: SessionReport) {
    let told = GateReport {
        sessions: vec![session],
        ..nothing(number, None)
    };
    let answer = report(world, gate, &told).await;
    assert_eq!(answer.status(), http::StatusCode::NO_CONTENT);
}

async fn onboarded(world: &World) -> Device {
    let filter = vouchsafe_api::DeviceFilter {
        state: Some(DeviceState::Onboarded),
        ..Default::default()
    };
    let page = world
        .admin()
        .list_devices(&filter, &Default::default())
        .await;
    page.unwrap().items.remove(0)
}

async fn show(world: &World, device: &Device) -> Device {
    world.admin().show_device(&device.id).await.unwrap().value
}

async fn until(world: &World, device: &Device, state: DeviceState) -> Device {
    let end = Instant::now() + PATIENCE;
    loop {
        let shown = show(world, device).await;
        if shown.state == state {
            return shown;
        }
        assert!(
            Instant::now() < end,
            "{:?}: {:?}",
            shown.state,
            shown.claims
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gates_saw_is_kept_in_all_and_claimed_of_the_device() {
    let (world, _) = world_with(|_| {}).await;
    let hall = gate(&world, "hall").await;
    let device = onboarded(&world).await;
    assert!(show(&world, &device).await.admission.is_none());
    tell(&world, &hall, 1, session("a", &device.id, 10, (100, 10))).await;
    tell(&world, &hall, 2, session("a", &device.id, 9, (150, 20))).await;
    // A counter that begins anew takes nothing away, and a repeated report adds nothing.
    tell(&world, &hall, 3, session("a", &device.id, 8, (20, 5))).await;
    tell(&world, &hall, 3, session("a", &device.id, 8, (9000, 5))).await;
    let mut weak = session("b", &device.id, 3, (7, 3));
    weak.credential = None;
    weak.access_point = "p2".to_owned();
    tell(&world, &hall, 4, weak).await;
    // What came late does not move it back; what is in the future is now.
    tell(&world, &hall, 5, session("c", &device.id, 5, (0, 0))).await;
    tell(
        &world,
        &hall,
        6,
        session("d", "00000000000000000000000000000001", 0, (1, 1)),
    )
    .await;

    let shown = show(&world, &device).await;
    let admission = shown.admission.unwrap();
    assert_eq!((admission.octets_from, admission.octets_to), (157, 23));
    let claim = |kind: &str| {
        let mut claims = shown.claims.iter();
        claims.find(|claim| claim.kind == kind).unwrap().clone()
    };
    assert_eq!(claim("octets").value["from"], 157);
    let place = claim("place");
    assert_eq!(place.value["access_point"], "p2");
    assert_eq!(
        (place.issuer.as_str(), place.strength.as_str()),
        ("gate:hall", "observed-weak")
    );
    let seen = claim("last-seen").value.as_i64().unwrap();
    let ago = Timestamp::now().as_second() - seen;
    assert!((3 * 86_400..3 * 86_400 + 600).contains(&ago), "{ago}");

    let mut ahead = session("e", &device.id, 0, (0, 0));
    ahead.seen = Timestamp::now() + SignedDuration::from_hours(1000);
    tell(&world, &hall, 7, ahead).await;
    let shown = show(&world, &device).await;
    assert!(shown.admission.unwrap().last_seen.unwrap() <= Timestamp::now());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_cuts_off_who_was_not_seen_for_long_and_lets_in_again_who_is_seen() {
    let (world, _) = world_with(|_| {}).await;
    let hall = gate(&world, "hall").await;
    let device = onboarded(&world).await;
    tell(&world, &hall, 1, session("a", &device.id, 91, (1, 1))).await;
    let admin = world.admin();
    let version = admin.show_policy().await.unwrap().version.unwrap();
    let put = PutPolicy {
        rego: SILENT.to_owned(),
        reason: "a test".to_owned(),
    };
    admin.put_policy(&put, version).await.unwrap();
    let shown = until(&world, &device, DeviceState::Quarantined).await;
    assert_eq!(
        shown.reason.as_deref(),
        Some("No gate has seen it for 90 days.")
    );
    // A new session is a new fact, about which policy is asked by itself.
    tell(&world, &hall, 2, session("b", &device.id, 0, (1, 1))).await;
    until(&world, &device, DeviceState::Onboarded).await;
}
