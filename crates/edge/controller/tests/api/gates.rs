//! Gates on machines of their own: enrolment, the link, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use jiff::Timestamp;
use vouchsafe_api::gate::{CutOffReport, GateReport, SessionReport, StateUpdate};
use vouchsafe_api::{
    AddGate, Code, DeviceState, GateState, JournalQuery, PageQuery, PutSegment, Reasoned,
    RevocationReason, Revoke, Role, SessionFilter,
};
use vouchsafe_brski::est;
use vouchsafe_fleet::admission::MAX_GATE_CREDENTIALS;
use vouchsafe_fleet::{Actor, ActorKind, Digest, decide};
use vouchsafe_net::{Connector, ConnectorOptions, Identity, ServerTrust};
use vouchsafe_trust::{
    Certificate, CertificateRequest, Crl, Name, Profile, RequestContent, Signer, Validity, oid,
};

use crate::revocation::{world_in, world_with};
use crate::world::{Maker, World, code, new_key};

pub struct Gate {
    pub chain: Vec<Certificate>,
    pub signer: Arc<dyn Signer>,
}

impl Gate {
    pub fn identity(&self) -> Identity {
        Identity::new(self.chain[..1].to_vec(), self.signer.clone()).unwrap()
    }
}

/// A request at the registrar's listener.
pub async fn ask(
    world: &World,
    identity: Option<Identity>,
    request: Request<Bytes>,
) -> Response<Bytes> {
    let mut options = ConnectorOptions::new(ServerTrust::Registrar(world.anchors.clone()));
    options.response_bytes = 1 << 20;
    if let Some(identity) = identity {
        options = options.with_identity(identity);
    }
    let origin = world.ready.registrar.parse().unwrap();
    let mut connection = Connector::new(options).connect(&origin).await.unwrap();
    connection.request(request).await.unwrap()
}

pub fn request(name: &str, signer: &dyn Signer) -> Vec<u8> {
    let content = RequestContent::new(Name::common(name).unwrap());
    CertificateRequest::build(&content, signer).unwrap()
}

/// `simpleenroll` with a name and a token.
pub async fn enrol(
    world: &World,
    name: &str,
    token: &str,
    subject: &str,
    signer: &dyn Signer,
) -> Response<Bytes> {
    let basic = STANDARD.encode(format!("{name}:{token}"));
    let request = Request::post("/.well-known/est/simpleenroll")
        .header(header::CONTENT_TYPE, est::MEDIA_TYPE_REQUEST)
        .header(header::AUTHORIZATION, format!("Basic {basic}"))
        .body(est::encode_body(&request(subject, signer)).into())
        .unwrap();
    ask(world, None, request).await
}

/// A gate that has enrolled.
pub async fn gate(world: &World, name: &str) -> Gate {
    let add = AddGate {
        name: name.to_owned(),
    };
    let invitation = world.admin().add_gate(&add).await.unwrap();
    let signer = new_key();
    let answer = enrol(world, name, &invitation.token, name, &*signer).await;
    assert_eq!(answer.status(), StatusCode::OK, "{:?}", said(&answer));
    let chain = est::parse_certs_only(answer.body()).unwrap();
    Gate { chain, signer }
}

pub async fn state(
    world: &World,
    identity: Identity,
    have: Option<u64>,
    wait: u64,
) -> Response<Bytes> {
    let have = have.map(|have| format!("have={have}&")).unwrap_or_default();
    let path = format!("/gate/v1/state?{have}wait={wait}");
    let request = Request::get(path).body(Bytes::new()).unwrap();
    ask(world, Some(identity), request).await
}

pub fn update(answer: &Response<Bytes>) -> StateUpdate {
    assert_eq!(answer.status(), StatusCode::OK, "{:?}", said(answer));
    serde_json::from_slice(answer.body()).unwrap()
}

pub async fn report(world: &World, gate: &Gate, report: &GateReport) -> Response<Bytes> {
    let request = Request::post("/gate/v1/report")
        .header(header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(report).unwrap().into())
        .unwrap();
    ask(world, Some(gate.identity()), request).await
}

/// A session that begins now, at a port that nobody named.
pub fn begun(id: &str, device: &str) -> SessionReport {
    let now = Timestamp::now();
    SessionReport {
        id: id.to_owned(),
        device: device.to_owned(),
        credential: None,
        station: None,
        access_point: String::new(),
        segment: None,
        since: now,
        until: now,
        octets: (0, 0),
        seen: now,
        ended: None,
    }
}

pub fn nothing(number: u64, in_force: Option<u64>) -> GateReport {
    GateReport {
        number,
        first: false,
        in_force,
        sessions: Vec::new(),
        cut_offs: Vec::new(),
        refusals: Vec::new(),
    }
}

pub fn said(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}

/// Status and code of a refusal.
pub fn refused(answer: &Response<Bytes>) -> (u16, String) {
    let text = said(answer);
    let code = text.split(':').next().unwrap_or_default();
    (answer.status().as_u16(), code.to_owned())
}

/// Actions and first reasons in the journal.
pub async fn journal(world: &World, subject: &str) -> Vec<String> {
    let page = world
        .admin()
        .read_journal(&JournalQuery::default())
        .await
        .unwrap();
    let of_subject = page.entries.iter().filter(|entry| {
        let text = serde_json::to_string(entry).unwrap();
        text.contains(&format!("\"{subject}"))
    });
    of_subject
        .map(|entry| serde_json::to_string(entry).unwrap())
        .collect()
}

/// RFC 7030 §3.2.3.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_enrols_one_gate_once_and_who_has_none_learns_nothing() {
    let world = World::new().await;
    let admin = world.admin();
    let add = AddGate {
        name: "hall".to_owned(),
    };
    let invitation = admin.add_gate(&add).await.unwrap();
    assert_eq!(invitation.gate.state, GateState::Invited);
    assert!(!format!("{invitation:?}").contains(&invitation.token));
    assert_eq!(code(admin.add_gate(&add).await), Code::AlreadyExists);
    let signer = new_key();

    // Another token, another gate's name, no such gate: the same answer.
    for (name, token) in [("hall", "vs_x"), ("attic", &*invitation.token), ("", "")] {
        let answer = enrol(
            &world,
            name,
            token,
            name.get(..).filter(|it| !it.is_empty()).unwrap_or("x"),
            &*signer,
        )
        .await;
        assert_eq!(refused(&answer), (401, "gate-token-unknown".to_owned()));
    }
    // The right token for another name in the certificate: no, and the token stays good.
    let answer = enrol(&world, "hall", &invitation.token, "attic", &*signer).await;
    assert_eq!(
        answer.status(),
        StatusCode::BAD_REQUEST,
        "{}",
        said(&answer)
    );

    let answer = enrol(&world, "hall", &invitation.token, "hall", &*signer).await;
    let chain = est::parse_certs_only(answer.body()).unwrap();
    let leaf = &chain[0];
    assert_eq!(leaf.subject(), &Name::common("hall").unwrap());
    let usages = leaf.extended_key_usages().unwrap().unwrap();
    assert!(usages.contains(&oid::SERVER_AUTH) && usages.contains(&oid::CLIENT_AUTH));

    for _ in 0..3 {
        let answer = enrol(&world, "hall", &invitation.token, "hall", &*signer).await;
        assert_eq!(refused(&answer), (401, "gate-token-used".to_owned()));
    }
    let shown = admin.show_gate("hall").await.unwrap().value;
    assert_eq!(shown.state, GateState::Enrolled);
    assert_eq!(shown.credential, Some(leaf.serial_hex()));

    let entries = journal(&world, "gate:").await;
    let used = |entry: &&String| entry.contains("gate-token-used");
    assert_eq!(entries.iter().filter(used).count(), 1);
    let entries = entries.join("\n");
    for expected in ["gate-invited", "gate-enrolled", "gate-token-used"] {
        assert!(entries.contains(expected), "{expected}: {entries}");
    }
    let strangers = journal(&world, "site").await.join("\n");
    assert!(strangers.contains("gate-token-unknown"), "{strangers}");
    assert!(!(entries + &strangers).contains(&invitation.token));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_is_for_gates_alone() {
    let world = World::new().await;
    let gate = gate(&world, "hall").await;
    let answer = state(&world, gate.identity(), None, 30).await;
    assert!(matches!(update(&answer), StateUpdate::Whole(_)));

    // Nobody, a stranger, and a certificate with the gate's own name by another CA.
    let bare = Request::get("/gate/v1/state").body(Bytes::new()).unwrap();
    assert_eq!(
        refused(&ask(&world, None, bare).await),
        (403, "gate-unknown".to_owned())
    );
    let maker = Maker::new("Maker");
    let signer = new_key();
    let now = Timestamp::now();
    let hour = jiff::SignedDuration::from_hours(1);
    let rogue = maker
        .authority
        .issue(
            &Profile::gate(Name::common("hall").unwrap(), &["hall"]),
            signer.public_key(),
            &[7; 16],
            Validity::new(now - hour, now + hour),
        )
        .unwrap();
    let rogue = Identity::new(vec![rogue], signer).unwrap();
    assert_eq!(
        refused(&state(&world, rogue, None, 0).await),
        (403, "gate-unknown".to_owned())
    );

    // Trust ends: at once, also for one that waits, and for renewal.
    let version = match update(&state(&world, gate.identity(), None, 0).await) {
        StateUpdate::Whole(whole) => whole.version,
        StateUpdate::Difference(_) => panic!("not the whole"),
    };
    let admin = world.admin();
    let (waited, removed) =
        tokio::join!(state(&world, gate.identity(), Some(version), 60), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            admin.remove_gate("hall", None).await
        });
    removed.unwrap();
    assert_eq!(refused(&waited), (403, "gate-revoked".to_owned()));
    let answer = state(&world, gate.identity(), None, 0).await;
    assert_eq!(refused(&answer), (403, "gate-revoked".to_owned()));
    let answer = report(&world, &gate, &nothing(1, None)).await;
    assert_eq!(refused(&answer), (403, "gate-revoked".to_owned()));
    let renewal = Request::post("/.well-known/est/simplereenroll")
        .header(header::CONTENT_TYPE, est::MEDIA_TYPE_REQUEST)
        .body(est::encode_body(&request("hall", &*gate.signer)).into())
        .unwrap();
    let answer = ask(&world, Some(gate.identity()), renewal).await;
    assert_eq!(refused(&answer), (403, "gate-revoked".to_owned()));
    let list = Crl::from_der(&admin.show_crl().await.unwrap()).unwrap();
    assert!(list.entry(gate.chain[0].serial()).is_some());
}

/// `simplereenroll` with the gate's certificate, for another key.
async fn renew(world: &World, gate: &Gate, signer: &dyn Signer) -> Response<Bytes> {
    let current = &gate.chain[0];
    let names = current.extension(&oid::SUBJECT_ALT_NAME);
    let content = RequestContent {
        extensions: names.cloned().into_iter().collect(),
        ..RequestContent::new(current.subject().clone())
    };
    let body = CertificateRequest::build(&content, signer).unwrap();
    let renewal = Request::post("/.well-known/est/simplereenroll")
        .header(header::CONTENT_TYPE, est::MEDIA_TYPE_REQUEST)
        .body(est::encode_body(&body).into())
        .unwrap();
    ask(world, Some(gate.identity()), renewal).await
}

/// A gate in bad hands makes no crowd of certificates that outlives its removal.
#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_of_a_gate_are_bounded_and_end_with_it() {
    let world = World::new().await;
    let gate = gate(&world, "hall").await;
    let mut all = vec![gate.chain[0].clone()];
    while all.len() < MAX_GATE_CREDENTIALS {
        let answer = renew(&world, &gate, &*new_key()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", said(&answer));
        all.push(est::parse_certs_only(answer.body()).unwrap().remove(0));
    }
    let answer = renew(&world, &gate, &*new_key()).await;
    assert_eq!(
        refused(&answer),
        (409, "too-many-gate-certificates".to_owned())
    );
    let admin = world.admin();
    admin.remove_gate("hall", None).await.unwrap();
    let before = journal(&world, "gate:").await.len();
    for _ in 0..2 {
        let answer = renew(&world, &gate, &*new_key()).await;
        assert_eq!(refused(&answer), (403, "gate-revoked".to_owned()));
    }
    assert_eq!(journal(&world, "gate:").await.len(), before);
    let list = Crl::from_der(&admin.show_crl().await.unwrap()).unwrap();
    assert!(all.iter().all(|one| list.entry(one.serial()).is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_renews_by_its_certificate() {
    let world = World::new().await;
    let gate = gate(&world, "hall").await;
    let signer = new_key();
    let current = &gate.chain[0];
    let answer = renew(&world, &gate, &*signer).await;
    assert_eq!(answer.status(), StatusCode::OK, "{}", said(&answer));
    let chain = est::parse_certs_only(answer.body()).unwrap();
    let renewed = Gate { chain, signer };
    assert_ne!(renewed.chain[0].serial(), current.serial());
    // Both are good until the old one's end.
    for gate in [&gate, &renewed] {
        let answer = state(&world, gate.identity(), None, 30).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_is_confirmed_by_the_gate_and_journaled() {
    let (world, issued) = world_with(|_| {}).await;
    let gate = gate(&world, "hall").await;
    let StateUpdate::Whole(whole) = update(&state(&world, gate.identity(), None, 30).await) else {
        panic!("not the whole");
    };
    assert_eq!(whole.admitted.len(), 2);
    let serial = issued[0].serial_hex();
    let entry = whole.admitted.iter().find(|it| it.credential == serial);
    let device = entry.unwrap().device.clone();

    // The gate reports a session, twice: taken once.
    let session = SessionReport {
        credential: Some(serial.clone()),
        station: Some("02:00:00:00:00:01".to_owned()),
        access_point: "port1".to_owned(),
        octets: (10, 20),
        ..begun("s-1", &device)
    };
    let first = GateReport {
        sessions: vec![session.clone()],
        ..nothing(1, Some(whole.version))
    };
    for _ in 0..2 {
        assert_eq!(
            report(&world, &gate, &first).await.status(),
            StatusCode::NO_CONTENT
        );
    }
    let operator = world.role(Role::Operator).await;
    let filter = SessionFilter {
        device: Some(device.clone()),
        ..SessionFilter::default()
    };
    let sessions = operator
        .list_sessions(&filter, &PageQuery::default())
        .await
        .unwrap();
    assert_eq!(sessions.items.len(), 1);
    let shown = operator.show_device(&device).await.unwrap().value;
    assert_eq!(shown.admission.unwrap().octets_from, 10);

    // Nobody confirms: the answer says so, and the device is out all the same.
    let reason = Reasoned {
        reason: "it scans its neighbours".to_owned(),
    };
    let impatient = world.admin().waiting(0);
    let answer = impatient
        .quarantine_device(&device, &reason, None)
        .await
        .unwrap();
    let enforcement = answer.enforcement.unwrap();
    assert_eq!(enforcement.waiting, ["hall"]);
    assert!(enforcement.confirmed.is_empty() && !enforcement.est_open);
    let answer = state(&world, gate.identity(), Some(whole.version), 30).await;
    let StateUpdate::Difference(difference) = update(&answer) else {
        panic!("not a difference");
    };
    assert_eq!(difference.from, whole.version);
    assert_eq!(difference.remove, std::slice::from_ref(&serial));

    // Back, and then revoked: the gate gets the difference, ends the session, and says so.
    let patient = world.admin().waiting(30);
    let (restored, ()) = tokio::join!(patient.restore_device(&device, &reason, None), async {
        let update = update(&state(&world, gate.identity(), Some(difference.to), 30).await);
        let StateUpdate::Difference(back) = update else {
            panic!("not a difference");
        };
        assert_eq!(back.put[0].credential, serial);
        let taken = report(&world, &gate, &nothing(2, Some(back.to))).await;
        assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    });
    let restored = restored.unwrap().enforcement.unwrap();
    assert_eq!(restored.confirmed[0].gate, "hall");
    let revoke = Revoke {
        revocation_reason: RevocationReason::KeyCompromise,
        reason: "the box was opened".to_owned(),
    };
    let (revoked, ()) = tokio::join!(patient.revoke_device(&device, &revoke, None), async {
        let mut have = restored.version;
        // The list that names it may come in a version of its own.
        let to = loop {
            let update = update(&state(&world, gate.identity(), have, 30).await);
            match update {
                StateUpdate::Difference(gone) if gone.remove.is_empty() => have = Some(gone.to),
                StateUpdate::Difference(gone) => break gone.to,
                StateUpdate::Whole(_) => panic!("not a difference"),
            }
        };
        let ended = GateReport {
            sessions: vec![SessionReport {
                ended: Some(Timestamp::now()),
                ..session.clone()
            }],
            cut_offs: vec![CutOffReport {
                device: device.clone(),
                station: session.station.clone(),
                access_point: "port1".to_owned(),
                at: Timestamp::now(),
                milliseconds: 12,
                confirmed_by: "filter".to_owned(),
            }],
            ..nothing(3, Some(to))
        };
        let taken = report(&world, &gate, &ended).await;
        assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    });
    let revoked = revoked.unwrap();
    assert_eq!(revoked.state, DeviceState::Claimed);
    let enforcement = revoked.enforcement.unwrap();
    assert_eq!(enforcement.confirmed[0].gate, "hall");
    assert!(enforcement.waiting.is_empty() && enforcement.crl_number.is_some());
    let entries = journal(&world, &format!("device:{device}"))
        .await
        .join("\n");
    let entries = entries.replace('\\', "");
    let is_told = entries.contains("cut-off") && entries.contains("\"milliseconds\":\"12\"");
    assert!(is_told, "{entries}");
}

/// Who comes and goes elsewhere hides no session that is open here.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_counts_however_many_newer_ones_have_ended() {
    let (world, issued) = world_with(|_| {}).await;
    let (hall, attic) = (gate(&world, "hall").await, gate(&world, "attic").await);
    let StateUpdate::Whole(whole) = update(&state(&world, hall.identity(), None, 30).await) else {
        panic!("not the whole");
    };
    let serial = issued[0].serial_hex();
    let entry = whole.admitted.iter().find(|it| it.credential == serial);
    let device = entry.unwrap().device.clone();
    let now = Timestamp::now();
    let session = |number: i64, ended| SessionReport {
        id: format!("s-{number}"),
        device: device.clone(),
        credential: Some(serial.clone()),
        station: None,
        access_point: "port1".to_owned(),
        segment: None,
        since: now + jiff::SignedDuration::from_secs(number),
        until: now,
        octets: (0, 0),
        seen: now,
        ended,
    };
    let open = GateReport {
        sessions: vec![session(0, None)],
        ..nothing(1, Some(whole.version))
    };
    let gone = GateReport {
        sessions: (1..=100).map(|number| session(number, Some(now))).collect(),
        ..nothing(1, Some(whole.version))
    };
    for (gate, sent) in [(&hall, &open), (&attic, &gone)] {
        let taken = report(&world, gate, sent).await;
        assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    }
    let reason = Reasoned {
        reason: "it scans its neighbours".to_owned(),
    };
    let admin = world.admin().waiting(5);
    let (answer, ()) = tokio::join!(admin.quarantine_device(&device, &reason, None), async {
        let update = update(&state(&world, hall.identity(), Some(whole.version), 30).await);
        let StateUpdate::Difference(cut) = update else {
            panic!("not a difference");
        };
        for gate in [&hall, &attic] {
            let taken = report(&world, gate, &nothing(2, Some(cut.to))).await;
            assert_eq!(taken.status(), StatusCode::NO_CONTENT);
        }
    });
    let enforcement = answer.unwrap().enforcement.unwrap();
    assert_eq!(enforcement.waiting, ["hall"]);
    assert_eq!(enforcement.confirmed[0].gate, "attic");
}

/// What a gate told before it began anew, and does not tell again, is over; and what was in force then says
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_ended_while_a_gate_was_away_are_over() {
    let world = World::new().await;
    let (hall, attic) = (gate(&world, "hall").await, gate(&world, "attic").await);
    let session = |id: &str| SessionReport {
        access_point: "\"ended\":null".to_owned(),
        ..begun(id, &"0".repeat(32))
    };
    let before = GateReport {
        sessions: vec![session("gone"), session("stays")],
        ..nothing(1, Some(7))
    };
    for gate in [&hall, &attic] {
        let taken = report(&world, gate, &before).await;
        assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    }
    let anew = GateReport {
        first: true,
        sessions: vec![session("stays")],
        ..nothing(2, None)
    };
    // A repeat that comes late ends nothing.
    let more = GateReport {
        sessions: vec![session("new")],
        ..nothing(3, None)
    };
    for sent in [&anew, &more, &anew] {
        let taken = report(&world, &hall, sent).await;
        assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    }
    let open = async |gate: &str| {
        let filter = SessionFilter {
            gate: Some(gate.to_owned()),
            ..SessionFilter::default()
        };
        let operator = world.role(Role::Operator).await;
        let listed = operator.list_sessions(&filter, &PageQuery::default()).await;
        let listed = listed.unwrap().items.into_iter();
        listed.filter(|it| it.ended.is_none()).count()
    };
    assert_eq!((open("hall").await, open("attic").await), (2, 2));
    let admin = world.admin();
    let shown = admin.show_gate("hall").await.unwrap().value;
    assert_eq!(shown.in_force, None);
}

/// A gate that was set up anew counts its reports from the beginning.
#[tokio::test(flavor = "multi_thread")]
async fn reports_of_a_gate_that_enrolled_anew_count() {
    let world = World::new().await;
    let old = gate(&world, "hall").await;
    let taken = report(&world, &old, &nothing(40, Some(7))).await;
    assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    let admin = world.admin();
    let invitation = admin.invite_gate("hall").await.unwrap();
    let signer = new_key();
    let answer = enrol(&world, "hall", &invitation.token, "hall", &*signer).await;
    let chain = est::parse_certs_only(answer.body()).unwrap();
    let shown = admin.show_gate("hall").await.unwrap().value;
    assert_eq!((shown.in_force, shown.reported_at), (None, None));
    let new = Gate { chain, signer };
    let taken = report(&world, &new, &nothing(1, Some(8))).await;
    assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    let shown = admin.show_gate("hall").await.unwrap().value;
    assert_eq!(shown.in_force, Some(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_gate_takes_the_places_of_others() {
    let world = World::new().await;
    let gate = gate(&world, "hall").await;
    let StateUpdate::Whole(whole) = update(&state(&world, gate.identity(), None, 30).await) else {
        panic!("not the whole");
    };
    let wait = || state(&world, gate.identity(), Some(whole.version), 4);
    let (one, two, three) = tokio::join!(wait(), wait(), wait());
    let mut answers = [one.status(), two.status(), three.status()];
    answers.sort();
    let nothing_new = StatusCode::NO_CONTENT;
    assert_eq!(
        answers,
        [nothing_new, nothing_new, StatusCode::SERVICE_UNAVAILABLE]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_no_gate_can_mean_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let gate = gate(&world, "hall").await;
    let session = |device: &str| begun("s", device);
    let crowd = GateReport {
        sessions: vec![session(&"0".repeat(32)); 501],
        ..nothing(1, None)
    };
    let unnamed = GateReport {
        sessions: vec![session("somebody")],
        ..nothing(1, None)
    };
    for bad in [&crowd, &unnamed] {
        let answer = report(&world, &gate, bad).await;
        assert_eq!(refused(&answer), (400, "bad-report".to_owned()));
    }
    let large = Request::post("/gate/v1/report")
        .body(Bytes::from(vec![b' '; (1 << 20) + 1]))
        .unwrap();
    let answer = ask(&world, Some(gate.identity()), large).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let shown = world.admin().show_gate("hall").await.unwrap().value;
    assert_eq!((shown.in_force, shown.reported_at), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_in_quarantine_comes_into_the_segment_for_it() {
    let (world, issued) = world_with(|_| {}).await;
    let gate = gate(&world, "hall").await;
    let StateUpdate::Whole(whole) = update(&state(&world, gate.identity(), None, 30).await) else {
        panic!("not the whole");
    };
    let admin = world.admin().waiting(0);
    let segment = PutSegment {
        name: "quarantine".to_owned(),
        vlan: Some(99),
        reach: Some(Vec::new()),
    };
    admin.add_segment(&segment).await.unwrap();
    let StateUpdate::Difference(described) =
        update(&state(&world, gate.identity(), Some(whole.version), 30).await)
    else {
        panic!("not a difference");
    };
    assert_eq!(described.segments.unwrap()[0].vlan, Some(99));
    let serial = issued[0].serial_hex();
    let entry = whole.admitted.iter().find(|it| it.credential == serial);
    let device = &entry.unwrap().device;
    let reason = Reasoned {
        reason: "it scans its neighbours".to_owned(),
    };
    admin
        .quarantine_device(device, &reason, None)
        .await
        .unwrap();
    let StateUpdate::Difference(moved) =
        update(&state(&world, gate.identity(), Some(described.to), 30).await)
    else {
        panic!("not a difference");
    };
    assert!(moved.remove.is_empty());
    assert_eq!(moved.put[0].segment.as_deref(), Some("quarantine"));
    // Without the segment it is out. The last one would stay.
    let other = PutSegment {
        name: "devices".to_owned(),
        vlan: None,
        reach: None,
    };
    admin.add_segment(&other).await.unwrap();
    let tag = admin.show_segment("quarantine").await.unwrap();
    admin
        .remove_segment("quarantine", tag.version)
        .await
        .unwrap();
    let mut have = moved.to;
    let out = loop {
        // The other segment may come in a version of its own.
        match update(&state(&world, gate.identity(), Some(have), 30).await) {
            StateUpdate::Difference(added) if added.remove.is_empty() => have = added.to,
            StateUpdate::Difference(out) => break out,
            StateUpdate::Whole(_) => panic!("not a difference"),
        }
    };
    assert_eq!(out.remove, [serial]);
    // Twice is once, and what cannot be is refused.
    let bad = PutSegment {
        vlan: Some(5000),
        ..segment
    };
    assert_eq!(code(admin.add_segment(&bad).await), Code::BadRequest);
}

/// A gate confines nobody in a segment that it does not know: who is meant for one stays out until it is
/// described.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_a_segment_that_is_not_described_stays_out() {
    let (world, issued) = world_in(|_| {}, Some("lmaps")).await;
    let gate = gate(&world, "hall").await;
    let admin = world.admin().waiting(0);
    let segment = |name: &str| PutSegment {
        name: name.to_owned(),
        vlan: None,
        reach: Some(Vec::new()),
    };
    let admitted = async || match update(&state(&world, gate.identity(), None, 30).await) {
        StateUpdate::Whole(whole) => whole.admitted,
        StateUpdate::Difference(_) => panic!("not the whole"),
    };
    let until = async |count: usize| {
        for _ in 0..200 {
            let now = admitted().await;
            if now.len() == count {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not {count} certificates are admitted");
    };
    // Nobody uses segments here. One certificate is in no record.
    until(issued.len() - 1).await;
    admin.add_segment(&segment("lamps")).await.unwrap();
    until(0).await;
    admin.add_segment(&segment("lmaps")).await.unwrap();
    let back = until(issued.len() - 1).await;
    assert!(back.iter().all(|it| it.segment.as_deref() == Some("lmaps")));
}

/// RFC 7030 §3.2.3: after a day the token counts no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_a_day_old_enrols_nobody() {
    let token = "vs_yesterdays";
    let world = World::prepared(
        |_| {},
        async |_, store| {
            let then = Timestamp::now() - jiff::SignedDuration::from_hours(25);
            let actor = Actor::new(ActorKind::Person, "test");
            let digest = Digest::of(token.as_bytes());
            let added = decide::admission::add_gate(then, &actor, None, 0, "hall", digest);
            store.commit(added.commit).await.unwrap();
        },
    )
    .await;
    for _ in 0..2 {
        let answer = enrol(&world, "hall", token, "hall", &*new_key()).await;
        assert_eq!(refused(&answer), (401, "gate-token-expired".to_owned()));
    }
    let entries = journal(&world, "gate:").await;
    let told = entries
        .iter()
        .filter(|it| it.contains("gate-token-expired"));
    assert_eq!(told.count(), 1);
}

/// A device is no gate, not even under a gate's name: its certificate is good as client only, and in no
/// gate's record.
#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_a_device_is_no_gates() {
    let mut shown = Vec::new();
    let world = World::prepared(
        |_| {},
        async |home, _| {
            let now = Timestamp::now();
            let hour = jiff::SignedDuration::from_hours(1);
            let serial = Name::new(&[(oid::SERIAL_NUMBER, "A-1")]).unwrap();
            for (number, subject) in [(1, serial), (2, Name::common("hall").unwrap())] {
                let signer = new_key();
                let leaf = home.authority.issue(
                    &Profile::ldevid(subject, Vec::new()),
                    signer.public_key(),
                    &[0x50 + number; 16],
                    Validity::new(now - hour, now + hour),
                );
                shown.push(Gate {
                    chain: vec![leaf.unwrap()],
                    signer,
                });
            }
        },
    )
    .await;
    let _hall = gate(&world, "hall").await;
    for device in &shown {
        let usages = device.chain[0].extended_key_usages().unwrap().unwrap();
        assert!(!usages.contains(&oid::SERVER_AUTH));
        let no = (403, "gate-unknown".to_owned());
        let answer = state(&world, device.identity(), None, 0).await;
        assert_eq!(refused(&answer), no);
        let answer = report(&world, device, &nothing(1, Some(u64::MAX))).await;
        assert_eq!(refused(&answer), no);
        // Nor does it get a gate's certificate by its own.
        let answer = renew(&world, device, &*new_key()).await;
        assert_ne!(answer.status(), StatusCode::OK, "{}", said(&answer));
    }
    let shown = world.admin().show_gate("hall").await.unwrap().value;
    assert_eq!((shown.in_force, shown.reported_at), (None, None));
}
