//! The gate's link to its controller: how it enrols, what it takes, and what it never takes.

use std::path::Path;

use vouchsafe_api::DesiredState;
use vouchsafe_api::gate::{GateReport, StateDifference, StateUpdate};
use vouchsafe_gate::{DomainAnchor, Enrolled, Enrolment as Wanted, Event, LinkError};
use vouchsafe_net::{Clock, Origin};
use vouchsafe_trust::{Authority, Certificate, Name, Profile, Secret, oid};

use crate::controller::{Controller, Enrolment};
use crate::world::{Device, Gate, Site, come_in, now};

const LIFE: i64 = 24 * 3600;

fn enrol(site: &Site, controller: &Origin, anchor: DomainAnchor) -> Result<Enrolled, LinkError> {
    let wanted = Wanted {
        controller: controller.clone(),
        name: "hall".to_owned(),
        token: Secret::new(b"once".to_vec()),
        anchor,
        keys: vouchsafe_gate::DEFAULT_KEYS.to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(vouchsafe_gate::enrol(
        site.folder.path(),
        wanted,
        &Clock::system(),
    ))
}

fn anchor(authority: &Authority) -> DomainAnchor {
    DomainAnchor::Certificate(Box::new(authority.certificate().clone()))
}

fn fingerprint(certificate: &Certificate) -> DomainAnchor {
    DomainAnchor::Fingerprint(certificate.fingerprint_sha256())
}

/// Nothing is left of an attempt that failed.
fn assert_nothing_kept(site: &Site) {
    let kept = |name: &str| site.path(name).exists();
    assert!(!kept("link/identity.json") && !kept("link/anchor.pem"));
    assert_eq!(sealed(&site.path("keys")), 1);
}

/// How many keys there are. One is the site's own, for gates without a link.
fn sealed(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name());
    names
        .filter(|name| name.to_str().unwrap().ends_with(".key"))
        .count()
}

fn refused(site: &Site, controller: &Controller, anchor: DomainAnchor) -> String {
    let error = enrol(site, &controller.origin, anchor).unwrap_err();
    assert_nothing_kept(site);
    error.code()
}

#[test]
fn a_gate_enrols_by_the_domains_certificate_or_by_its_fingerprint() {
    let site = Site::new();
    let controller = Controller::registrar(&site.authority);
    for anchor in [
        anchor(&site.authority),
        fingerprint(site.authority.certificate()),
    ] {
        controller.enrols(Enrolment::Good(LIFE));
        let enrolled = enrol(&site, &controller.origin, anchor).unwrap();
        let leaf = enrolled.certificate;
        assert_eq!(leaf.common_name(), Some("hall"));
        assert!(leaf.has_extended_key_usage(&oid::SERVER_AUTH));
        // An earlier key is destroyed once there is another.
        assert_eq!(sealed(&site.path("keys")), 2);
    }
    // RFC 7030 §3.2.3: the name and the token, by HTTP Basic.
    let asked = controller.with(|it| it.asked.clone());
    assert_eq!(asked, ["Basic aGFsbDpvbmNl", "Basic aGFsbDpvbmNl"]);
}

#[test]
fn the_token_is_told_to_nobody_but_a_registrar_of_that_domain() {
    let (site, other) = (Site::new(), Site::new());
    // Another domain's registrar, by certificate and by fingerprint.
    let strange = Controller::registrar(&other.authority);
    assert_eq!(
        refused(&site, &strange, anchor(&site.authority)),
        "unknown-issuer"
    );
    let ours = fingerprint(site.authority.certificate());
    assert_eq!(refused(&site, &strange, ours), "other-domain");
    // Another gate of our domain, under the very name that is called: no registration authority.
    let mut gate = Profile::tls_server(Name::common("gate").unwrap(), &["localhost"]);
    gate.extended_key_usages.push(oid::CLIENT_AUTH);
    let rogue = Controller::start(&site.authority, &gate);
    let localhost = Origin::new("localhost", rogue.address.port());
    for anchor in [
        anchor(&site.authority),
        fingerprint(site.authority.certificate()),
    ] {
        let error = enrol(&site, &localhost, anchor).unwrap_err();
        assert_eq!(error.code(), "wrong-purpose");
        assert_nothing_kept(&site);
    }
    for controller in [&strange, &rogue] {
        assert!(controller.with(|it| it.asked.is_empty()));
    }
}

#[test]
fn a_refusal_keeps_the_controllers_code() {
    let site = Site::new();
    let controller = Controller::registrar(&site.authority);
    for code in [
        "gate-token-used",
        "gate-token-expired",
        "gate-token-unknown",
    ] {
        controller.enrols(Enrolment::Refused(code));
        assert_eq!(refused(&site, &controller, anchor(&site.authority)), code);
    }
}

#[test]
fn a_certificate_that_is_no_gates_is_not_taken() {
    let site = Site::new();
    let controller = Controller::registrar(&site.authority);
    for wrong in [
        Enrolment::WithoutServerAuth,
        Enrolment::OtherKey,
        Enrolment::Good(-1),
    ] {
        controller.enrols(wrong);
        let code = refused(&site, &controller, anchor(&site.authority));
        assert_eq!(code, "certificate-unusable", "{wrong:?}");
    }
}

/// A site whose gate has enrolled at a controller.
fn enrolled(life: i64) -> (Site, Controller) {
    let site = Site::new();
    let controller = Controller::registrar(&site.authority);
    controller.enrols(Enrolment::Good(life));
    enrol(&site, &controller.origin, anchor(&site.authority)).unwrap();
    configure(&site, &controller);
    (site, controller)
}

fn configure(site: &Site, controller: &Controller) {
    let text = format!(
        "[link]\ncontroller = \"{}\"\n[radius]\nlisten = \"127.0.0.1:0\"\n\
         accounting = \"127.0.0.1:0\"\n\
         [[radius.client]]\nname = \"hall\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n",
        controller.origin
    );
    std::fs::write(site.path("gate.toml"), text).unwrap();
}

fn whole(document: &DesiredState) -> Result<StateUpdate, (u16, &'static str)> {
    Ok(StateUpdate::Whole(document.clone()))
}

/// What leads from one document to the next.
fn difference(from: &DesiredState, to: &DesiredState) -> StateDifference {
    let is_in = |document: &DesiredState, credential: &String| {
        let mut admitted = document.admitted.iter();
        admitted.any(|each| each.credential == *credential)
    };
    let gone = from.admitted.iter().map(|each| each.credential.clone());
    StateDifference {
        from: from.version,
        to: to.version,
        issued_at: to.issued_at,
        revocation_lists: Some(to.revocation_lists.clone()),
        segments: None,
        put: to.admitted.clone(),
        remove: gone.filter(|it| !is_in(to, it)).collect(),
        stations_put: Vec::new(),
        stations_remove: Vec::new(),
    }
}

fn accepts(site: &Site, gate: &Gate, device: &Device) -> bool {
    let mac = format!("02-00-00-00-00-{:0>2}", device.id.replace('d', ""));
    let answer = come_in(site, gate, device, "hall", &mac);
    answer.code == vouchsafe_radius::Code::AccessAccept
}

fn state_refused(gate: &Gate) -> &'static str {
    gate.until("refused state", |event| match event {
        Event::StateRefused { reason, .. } => Some(*reason),
        _ => None,
    })
}

fn link_down(gate: &Gate) -> String {
    gate.until("link's end", |event| match event {
        Event::LinkDown { reason, .. } => Some(reason.clone()),
        _ => None,
    })
}

#[test]
fn the_whole_state_and_then_differences_take_effect_and_outlast_the_controller() {
    let (mut site, controller) = enrolled(LIFE);
    let devices = [site.device("d1"), site.device("d2")];
    let [first, second] = &devices;
    let one = site.document(vec![first.admitted()], &[]);
    let both = site.document(vec![first.admitted(), second.admitted()], &[]);
    let other = site.document(vec![second.admitted()], &[]);
    controller.answers(whole(&one));
    let gate = site.start();
    assert_eq!(gate.until_in_force().0, one.version);
    assert!(accepts(&site, &gate, first));
    assert!(!accepts(&site, &gate, second));
    controller.answers(Ok(StateUpdate::Difference(difference(&one, &both))));
    assert_eq!(gate.until_in_force().0, both.version);
    assert!(accepts(&site, &gate, second));
    controller.answers(Ok(StateUpdate::Difference(difference(&both, &other))));
    assert_eq!(gate.until_in_force(), (other.version, 1));
    assert!(!accepts(&site, &gate, first));
    let have = controller.with(|it| it.have.clone());
    assert_eq!(have[0], None);
    assert!(have.contains(&Some(one.version)) && have.contains(&Some(both.version)));
    // The controller is gone, and the gate starts anew: what was in force is.
    drop(controller);
    drop(gate);
    let gate = site.start();
    assert_eq!(gate.until_in_force().0, other.version);
    assert!(accepts(&site, &gate, second));
    assert!(!accepts(&site, &gate, first));
    assert_eq!(link_down(&gate), "connect");
}

/// On a disk that is full who was revoked goes all the same; when there is room again the whole is written down.
#[test]
fn a_state_that_cannot_be_written_down_is_in_force() {
    let (mut site, controller) = enrolled(LIFE);
    let device = site.device("d1");
    let one = site.document(vec![device.admitted()], &[]);
    let none = site.document(Vec::new(), &[&device]);
    controller.answers(whole(&one));
    let gate = site.start();
    assert_eq!(gate.until_in_force().0, one.version);
    assert!(accepts(&site, &gate, &device));
    // Nothing can be put where a folder is.
    let in_the_way = ["state.json", "differences"].map(|name| site.path("link").join(name));
    for path in &in_the_way {
        let _ = std::fs::remove_file(path);
        std::fs::create_dir_all(path.join("in the way")).unwrap();
    }
    controller.answers(Ok(StateUpdate::Difference(difference(&one, &none))));
    // Its session goes.
    assert_eq!(gate.until_in_force(), (none.version, 1));
    assert!(!accepts(&site, &gate, &device));
    for path in &in_the_way {
        std::fs::remove_dir_all(path).unwrap();
    }
    controller.answers(whole(&none));
    controller.until("the version", |it| {
        it.have.contains(&Some(none.version)).then_some(())
    });
    drop(controller);
    drop(gate);
    let gate = site.start();
    assert_eq!(gate.until_in_force().0, none.version);
}

#[test]
fn a_difference_that_does_not_fit_is_not_taken_and_the_whole_is_asked_for() {
    let (mut site, controller) = enrolled(LIFE);
    let device = site.device("d1");
    let one = site.document(vec![device.admitted()], &[]);
    let two = site.document(Vec::new(), &[]);
    let three = site.document(vec![device.admitted()], &[]);
    controller.answers(whole(&one));
    // From a version that the gate never had.
    controller.answers(Ok(StateUpdate::Difference(difference(&two, &three))));
    let gate = site.start();
    gate.until_in_force();
    assert_eq!(state_refused(&gate), "state-difference");
    controller.until("question for the whole", |it| {
        let is_asked = it.have.iter().skip(1).any(Option::is_none);
        is_asked.then_some(())
    });
    // Backwards, from where the gate is.
    let mut back = difference(&one, &two);
    back.to = one.version;
    controller.answers(whole(&one));
    controller.answers(Ok(StateUpdate::Difference(back)));
    assert_eq!(state_refused(&gate), "state-difference");
    controller.answers(whole(&three));
    gate.until("version 3", |event| match event {
        Event::StateInForce { version, .. } => (*version == three.version).then_some(()),
        _ => None,
    });
}

#[test]
fn an_old_state_is_refused_also_after_the_gate_lost_its_own() {
    let (mut site, controller) = enrolled(LIFE);
    let device = site.device("d1");
    let old = site.document(vec![device.admitted()], &[]);
    let new = site.document(Vec::new(), &[&device]);
    controller.answers(whole(&new));
    let gate = site.start();
    gate.until_in_force();
    controller.answers(whole(&old));
    assert_eq!(state_refused(&gate), "state-older");
    assert!(!accepts(&site, &gate, &device));
    drop(gate);
    // A controller that was set back, and a gate whose copy is gone: it still knows the version.
    std::fs::remove_file(site.path("link/state.json")).unwrap();
    controller.answers(whole(&old));
    let gate = site.start();
    assert_eq!(state_refused(&gate), "state-older");
    assert!(!accepts(&site, &gate, &device));
}

#[test]
fn a_state_with_anothers_revocation_list_is_refused_and_the_old_one_stays() {
    let (mut site, controller) = enrolled(LIFE);
    let mut other = Site::new();
    let device = site.device("d1");
    controller.answers(whole(&site.document(vec![device.admitted()], &[])));
    let gate = site.start();
    gate.until_in_force();
    let mut forged = site.document(Vec::new(), &[]);
    forged.revocation_lists = other.document(Vec::new(), &[]).revocation_lists;
    controller.answers(whole(&forged));
    assert_eq!(state_refused(&gate), "state-list");
    assert!(accepts(&site, &gate, &device));
}

#[test]
fn a_server_that_is_no_registrar_is_told_nothing_and_changes_nothing() {
    let (mut site, controller) = enrolled(LIFE);
    let device = site.device("d1");
    controller.answers(whole(&site.document(vec![device.admitted()], &[])));
    let gate = site.start();
    gate.until_in_force();
    drop(gate);
    let address = controller.address;
    drop(controller);
    // Another gate of the same domain takes the controller's address.
    let mut profile = Profile::tls_server(Name::common("gate").unwrap(), &["127.0.0.1"]);
    profile.extended_key_usages.push(oid::CLIENT_AUTH);
    let rogue = Controller::start_at(address, &site.authority, &profile);
    rogue.answers(whole(&site.document(Vec::new(), &[])));
    let gate = site.start();
    gate.until_in_force();
    assert_eq!(link_down(&gate), "wrong-purpose");
    assert!(accepts(&site, &gate, &device));
    assert!(rogue.with(|it| it.have.is_empty() && it.reports.is_empty()));
}

#[test]
fn a_gate_that_is_trusted_no_more_is_told_so() {
    let (site, controller) = enrolled(LIFE);
    controller.answers(Err((403, "gate-revoked")));
    let gate = site.start();
    assert_eq!(link_down(&gate), "gate-revoked");
    let status = vouchsafe_gate::status(site.folder.path()).unwrap();
    assert_eq!(status.link.unwrap().trouble.unwrap().code, "gate-revoked");
}

#[test]
fn reports_are_repeated_with_their_number_until_the_controller_has_them() {
    let (mut site, controller) = enrolled(LIFE);
    let device = site.device("d1");
    let stranger = Site::new().device("d9");
    controller.with(|it| it.deaf = 3);
    controller.answers(whole(&site.document(vec![device.admitted()], &[])));
    let gate = site.start();
    gate.until_in_force();
    assert!(accepts(&site, &gate, &device));
    assert!(!accepts(&site, &gate, &stranger));
    // All that is told of it, whatever the number of reports.
    let session = controller.until("session", |it| {
        let mut sessions = it.reports.iter().flat_map(|report| &report.sessions);
        sessions.find(|it| it.ended.is_none()).cloned()
    });
    assert_eq!(session.device, "d1");
    assert_eq!(session.station.as_deref(), Some("02:00:00:00:00:01"));
    assert_eq!(session.access_point, "hall");
    controller.until("refusal", |it| {
        let mut refusals = it.reports.iter().flat_map(|report| &report.refusals);
        refusals
            .any(|it| it.reason == "unknown-issuer")
            .then_some(())
    });
    let reports = controller.with(|it| it.reports.clone());
    let in_force = reports.iter().find_map(|report| report.in_force);
    assert_eq!(in_force, Some(1));
    // Three times not taken: four times the same, and then another.
    assert!(reports[..4].iter().all(|report| *report == reports[0]));
    assert!(reports[4..].iter().all(|it| it.number > reports[0].number));
}

/// Whatever is refused for good keeps nothing else back, and is not sent for ever.
#[test]
fn a_report_that_is_refused_is_set_aside_and_everything_else_arrives() {
    let (mut site, controller) = enrolled(LIFE);
    let devices = ["d1", "d2", "d3"].map(|id| site.device(id));
    controller.with(|it| {
        let is_bad = |report: &GateReport| report.sessions.iter().any(|it| it.device == "d2");
        it.refuses = Some((400, is_bad));
    });
    let admitted = devices.iter().map(Device::admitted).collect();
    let document = site.document(admitted, &[]);
    controller.answers(whole(&document));
    let gate = site.start();
    gate.until_in_force();
    assert!(devices.iter().all(|device| accepts(&site, &gate, device)));
    let reason = gate.until("refused report", |event| match event {
        Event::ReportRefused { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason, "bad-report");
    controller.until("the others, and the version after it", |it| {
        let tells = |report: &&GateReport| report.sessions.iter().all(|it| it.device != "d2");
        let good: Vec<_> = it.reports.iter().filter(tells).collect();
        let has = |id: &str| {
            good.iter()
                .any(|it| it.sessions.iter().any(|it| it.device == id))
        };
        let version = good.last().and_then(|report| report.in_force);
        (has("d1") && has("d3") && version == Some(document.version)).then_some(())
    });
    let kept = std::fs::read_to_string(site.path("link/refused")).unwrap();
    let kept: Vec<GateReport> = kept
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(kept[0].sessions[0].device, "d2");
    assert!(kept.len() == 1 && kept[0].sessions.len() == 1);
    drop(gate);
    let before = controller.with(|it| it.reports.len());
    let _gate = site.start();
    controller.until("first report of the next run", |it| {
        it.reports.get(before).filter(|it| it.first).map(|_| ())
    });
}

/// Whose trust has ended tells nothing away: what it has waits.
#[test]
fn a_gate_that_is_trusted_no_more_keeps_its_report() {
    let (mut site, controller) = enrolled(LIFE);
    controller.with(|it| it.refuses = Some((403, |_| true)));
    controller.answers(whole(&site.document(Vec::new(), &[])));
    let gate = site.start();
    gate.until_in_force();
    controller.until("the same again", |it| (it.reports.len() > 2).then_some(()));
    controller.with(|it| assert!(it.reports.iter().all(|each| *each == it.reports[0])));
    assert!(!site.path("link/refused").exists());
}

#[test]
fn a_certificate_is_renewed_before_it_ends_by_itself() {
    // It begins an hour and a half ago: two thirds of its life are over.
    let (site, controller) = enrolled(2000);
    let before = vouchsafe_gate::status(site.folder.path()).unwrap();
    assert!(before.certificate.renew_at.unwrap() < now());
    controller.enrols(Enrolment::Good(LIFE));
    let gate = site.start();
    let until = gate.until("renewal", |event| match event {
        Event::Renewed { until, .. } => Some(*until),
        _ => None,
    });
    assert!(until > now());
    let asked = controller.with(|it| it.asked.clone());
    // The first by token, the second by the certificate itself.
    assert!(
        asked[0].starts_with("Basic ") && asked[1].contains("hall"),
        "{asked:?}"
    );
    let status = vouchsafe_gate::status(site.folder.path()).unwrap();
    assert_eq!(status.certificate.not_after, until);
}

#[test]
fn a_gate_that_has_not_enrolled_says_what_to_do() {
    let site = Site::new();
    let text = "[link]\ncontroller = \"https://127.0.0.1:9\"\n";
    std::fs::write(site.path("gate.toml"), text).unwrap();
    let error = vouchsafe_gate::check(site.folder.path()).unwrap_err();
    assert!(
        error.to_string().contains("vouchsafe-gate enrol"),
        "{error}"
    );
    let both = format!("{text}[state]\nfile = \"desired.json\"\n");
    std::fs::write(site.path("gate.toml"), both).unwrap();
    let error = vouchsafe_gate::check(site.folder.path()).unwrap_err();
    assert!(error.to_string().contains("[link]"), "{error}");
}
