//! Ending a session: the gate is told, the device is out until it is over, and may come in again.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use vouchsafe_api::gate::{
    CutOffReport, DesiredState, GateReport, SessionReport, StateDifference, StateUpdate,
};
use vouchsafe_api::{
    ClaimAddress, Code, PageQuery, Reasoned, RevocationReason, Revoke, Session, SessionFilter,
    StateClaim,
};

use crate::gates::{Gate, begun, gate, journal, nothing, report, state, update};
use crate::revocation::world_with;
use crate::world::{World, code};

/// A site, a gate, and an open session there.
struct Place {
    world: World,
    gate: Gate,
    whole: DesiredState,
    serial: String,
    session: SessionReport,
    /// As the controller names it.
    id: String,
}

impl Place {
    async fn new() -> Self {
        let (world, issued) = world_with(|_| {}).await;
        let gate = gate(&world, "hall").await;
        let StateUpdate::Whole(whole) = update(&state(&world, gate.identity(), None, 30).await)
        else {
            panic!("not the whole");
        };
        let serial = issued[0].serial_hex();
        let entry = whole.admitted.iter().find(|it| it.credential == serial);
        let session = SessionReport {
            credential: Some(serial.clone()),
            station: Some("02:00:00:00:00:01".to_owned()),
            access_point: "port1".to_owned(),
            ..begun("s-1", &entry.unwrap().device)
        };
        let first = GateReport {
            sessions: vec![session.clone()],
            ..nothing(1, Some(whole.version))
        };
        assert_eq!(
            report(&world, &gate, &first).await.status(),
            StatusCode::NO_CONTENT
        );
        let all = world
            .admin()
            .list_sessions(&SessionFilter::default(), &PageQuery::default())
            .await;
        let id = all.unwrap().items.remove(0).id;
        Self {
            world,
            gate,
            whole,
            serial,
            session,
            id,
        }
    }

    /// What the gate is told next.
    async fn next(&self, have: u64) -> StateDifference {
        match update(&state(&self.world, self.gate.identity(), Some(have), 60).await) {
            StateUpdate::Difference(difference) => difference,
            StateUpdate::Whole(_) => panic!("not a difference"),
        }
    }

    /// The gate says that the session is over.
    async fn over(&self, number: u64, in_force: u64) {
        let over = GateReport {
            sessions: vec![SessionReport {
                ended: Some(Timestamp::now()),
                ..self.session.clone()
            }],
            ..nothing(number, Some(in_force))
        };
        let taken = report(&self.world, &self.gate, &over).await;
        assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    }

    async fn end(&self, wait: u32) -> Session {
        let admin = self.world.admin().waiting(wait);
        admin.end_session(&self.id, &why()).await.unwrap()
    }

    async fn ends(&self) -> usize {
        let device = format!("device:{}", self.session.device);
        let entries = journal(&self.world, &device).await;
        let ends = entries.iter().filter(|it| it.contains("session-ended"));
        ends.count()
    }
}

fn why() -> Reasoned {
    Reasoned {
        reason: "it is to prove itself again".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_is_over_at_the_gate_and_the_device_may_begin_another() {
    let place = Place::new().await;
    let (ended, back) = tokio::join!(place.end(30), async {
        let out = place.next(place.whole.version).await;
        assert_eq!(out.remove, std::slice::from_ref(&place.serial));
        place.over(2, out.to).await;
        place.next(out.to).await
    });
    assert!(ended.ended.is_some());
    assert_eq!(back.put[0].credential, place.serial);
    assert_eq!(place.ends().await, 1);
    // What is over cannot be ended, and nobody is out for having asked.
    let admin = place.world.admin().waiting(0);
    let again = admin.end_session(&place.id, &why()).await;
    assert_eq!(code(again), Code::NotFound);
    let answer = state(&place.world, place.gate.identity(), Some(back.to), 1).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

/// However little the request waits, the gate is told before the device is let in again.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_ends_the_session_all_the_same() {
    let place = Place::new().await;
    assert_eq!(place.end(0).await.ended, None);
    // The gate comes late.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let out = place.next(place.whole.version).await;
    assert_eq!(out.remove, std::slice::from_ref(&place.serial));
    place.over(2, out.to).await;
    let back = place.next(out.to).await;
    assert_eq!(back.put[0].credential, place.serial);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_given_up_keeps_nobody_out() {
    let place = Place::new().await;
    let given_up = tokio::time::timeout(Duration::from_millis(500), place.end(30)).await;
    assert!(given_up.is_err());
    let out = place.next(place.whole.version).await;
    assert_eq!(out.remove, std::slice::from_ref(&place.serial));
    // The gate says nothing of the session: the device is back nevertheless.
    let back = place.next(out.to).await;
    assert_eq!(back.put[0].credential, place.serial);
    assert_eq!(place.ends().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_end_a_session_do_not_undo_each_other() {
    let place = Place::new().await;
    let (one, two, ()) = tokio::join!(place.end(30), place.end(30), async {
        let out = place.next(place.whole.version).await;
        assert_eq!(out.remove, std::slice::from_ref(&place.serial));
        // Both are in the journal before the gate says anything.
        while place.ends().await < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let silent = state(&place.world, place.gate.identity(), Some(out.to), 1).await;
        assert_eq!(silent.status(), StatusCode::NO_CONTENT);
        place.over(2, out.to).await;
        let back = place.next(out.to).await;
        assert_eq!(back.put[0].credential, place.serial);
    });
    assert!(one.ended.is_some() && two.ended.is_some());
}

/// What a monitor reads.
async fn measured(world: &World) -> String {
    let read = world.raw(Method::GET, "/metrics", Some(&world.secret), &[], "");
    String::from_utf8(read.await.body().to_vec()).unwrap()
}

/// Counted once the last count is five seconds old.
async fn measures(world: &World, line: &str) -> String {
    let mut text = String::new();
    for _ in 0..150 {
        text = measured(world).await;
        if text.contains(line) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("no {line} in {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_cut_offs_decisions_and_evidence_are_measured() {
    let place = Place::new().await;
    let stated = StateClaim {
        kind: "attested".to_owned(),
        value: serde_json::Value::Bool(true),
        expires_at: Some(Timestamp::now() + SignedDuration::from_hours(1)),
        reason: "looked at on the bench".to_owned(),
    };
    let admin = place.world.admin().waiting(0);
    let device = &place.session.device;
    admin.state_claim(device, &stated).await.unwrap();
    let text = measures(&place.world, "\nvouchsafe_sessions_open 1\n").await;
    let left = text.lines().find_map(|line| {
        let left = line.strip_prefix("vouchsafe_crl_next_update_seconds ")?;
        left.parse::<f64>().ok()
    });
    assert!(left.unwrap() > 3600.0, "{text}");
    // Policy is asked about the address.
    let address = ClaimAddress {
        mac: "02:00:00:00:00:09".to_owned(),
        reason: Some("an old interface".to_owned()),
    };
    admin.claim_address(device, &address).await.unwrap();
    measures(&place.world, "vouchsafe_decisions_total{").await;
    let over = GateReport {
        sessions: vec![SessionReport {
            ended: Some(Timestamp::now()),
            ..place.session.clone()
        }],
        cut_offs: vec![CutOffReport {
            device: device.clone(),
            station: None,
            access_point: "port1".to_owned(),
            at: Timestamp::now(),
            milliseconds: 30,
            confirmed_by: "filter".to_owned(),
        }],
        ..nothing(2, Some(place.whole.version))
    };
    let taken = report(&place.world, &place.gate, &over).await;
    assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    let text = measures(&place.world, "\nvouchsafe_sessions_open 0\n").await;
    for (end, count) in [("25", 0), ("50", 1), ("250", 1)] {
        let line = format!("vouchsafe_cut_off_milliseconds_bucket{{le=\"{end}\"}} {count}");
        assert!(text.contains(&line), "{line}: {text}");
    }
    let age = text.lines().find_map(|line| {
        let age = line.strip_prefix("vouchsafe_oldest_evidence_seconds ")?;
        age.parse::<f64>().ok()
    });
    assert!(age.unwrap() >= 1.0, "{text}");
}

/// One certificate of a device that is taken back is confirmed as the whole device would be.
#[tokio::test(flavor = "multi_thread")]
async fn one_credential_that_is_revoked_is_confirmed_by_the_gate() {
    let place = Place::new().await;
    let revoke = Revoke {
        revocation_reason: RevocationReason::KeyCompromise,
        reason: "the key was copied".to_owned(),
    };
    let (impatient, patient) = (
        place.world.admin().waiting(0),
        place.world.admin().waiting(30),
    );
    let (revoked, ()) = tokio::join!(patient.revoke_credential(&place.serial, &revoke), async {
        let mut have = place.whole.version;
        // The list that names it may come in a version of its own.
        loop {
            let gone = place.next(have).await;
            have = gone.to;
            if !gone.remove.is_empty() {
                break;
            }
        }
        // In force, but the session goes on: not yet.
        let running = report(&place.world, &place.gate, &nothing(2, Some(have))).await;
        assert_eq!(running.status(), StatusCode::NO_CONTENT);
        place.over(3, have).await;
    });
    let enforcement = revoked.unwrap().enforcement.unwrap();
    assert_eq!(enforcement.confirmed[0].gate, "hall");
    assert!(enforcement.crl_number.is_some());
    let again = impatient.revoke_credential(&place.serial, &revoke).await;
    assert_eq!(code(again), Code::LifecycleRefused);
}

/// What a gate has from another replica confirms nothing here.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_another_replica_confirms_nothing() {
    let place = Place::new().await;
    let (admin, why) = (place.world.admin().waiting(1), why());
    let (answer, ()) = tokio::join!(
        admin.quarantine_device(&place.session.device, &why, None),
        async {
            let out = place.next(place.whole.version).await;
            // Newer, and not made here.
            place.over(2, out.to + 1).await;
        }
    );
    let enforcement = answer.unwrap().enforcement.unwrap();
    assert_eq!(enforcement.waiting, ["hall"]);
    assert!(enforcement.confirmed.is_empty());
}

/// A controller that begins anew while a session is being ended goes on with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_outlives_a_restart() {
    let mut place = Place::new().await;
    place.end(0).await;
    place.world = place.world.restarted().await;
    // It is out of the first state that there is, and back once its gate says that the session is over.
    let have = Some(place.whole.version);
    let StateUpdate::Whole(out) =
        update(&state(&place.world, place.gate.identity(), have, 60).await)
    else {
        panic!("not the whole");
    };
    let is_in = |it: &vouchsafe_api::gate::AdmittedCredential| it.credential == place.serial;
    assert!(!out.admitted.iter().any(is_in), "{out:?}");
    place.over(2, out.version).await;
    let back = place.next(out.version).await;
    assert_eq!(back.put[0].credential, place.serial);
}

/// Nothing is withheld for who may not end it, gives no reason, or names no session.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_end_leaves_the_device_in() {
    let place = Place::new().await;
    let token = place.world.token(vouchsafe_api::Role::Auditor).await;
    let path = format!("/api/v1/sessions/{}/end?wait=0", place.id);
    let kind = [(http::header::CONTENT_TYPE, "application/json")];
    let said = r#"{"reason":"because"}"#;
    let may_not = place
        .world
        .raw(Method::POST, &path, Some(&token), &kind, said)
        .await;
    assert_eq!(may_not.status(), StatusCode::FORBIDDEN);
    let admin = place.world.admin().waiting(0);
    let silent = Reasoned {
        reason: " ".to_owned(),
    };
    let refused = admin.end_session(&place.id, &silent).await;
    assert_eq!(code(refused), Code::BadRequest);
    let unknown = admin.end_session("no-such-session", &why()).await;
    assert_eq!(code(unknown), Code::NotFound);
    let have = Some(place.whole.version);
    let answer = state(&place.world, place.gate.identity(), have, 1).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(place.ends().await, 0);
}
