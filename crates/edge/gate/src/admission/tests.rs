use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouchsafe_api::gate::{AdmittedStation, SegmentDefinition, StateDifference};
use vouchsafe_api::{AdmittedCredential, DesiredState};
use vouchsafe_keystore::{Algorithm, generate_pkcs8};
use vouchsafe_trust::{
    Authority, Certificate, CrlContent, Name, Profile, SoftwareSigner, Validity,
};

use super::*;
use crate::desired::Difference;

const RULES: Rules = Rules {
    session_seconds: 3600,
    longest_age: 3600,
    own: None,
    movers: BTreeSet::new(),
};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// A CA and its empty revocation list.
fn authority() -> (Certificate, String) {
    let key = generate_pkcs8(Algorithm::EcdsaP256).unwrap();
    let signer = SoftwareSigner::from_pkcs8_der(key.expose()).unwrap();
    let profile = Profile::domain_ca(Name::common("Domain CA").unwrap());
    let validity = Validity::new(now(), now() + SignedDuration::from_hours(1));
    let authority = Authority::self_signed(&profile, &[1; 16], validity, Arc::new(signer)).unwrap();
    let content = CrlContent {
        number: 1,
        this_update: now(),
        next_update: now() + SignedDuration::from_hours(1),
        entries: &[],
    };
    let list = authority.crl(&content).unwrap();
    (authority.certificate().clone(), STANDARD.encode(list.der()))
}

/// A state that admits the credential `01` to a segment; `quarantine` is confined.
fn desired(version: u64, segment: Option<&str>) -> Desired {
    desired_where(version, segment, "quarantine")
}

/// The same, where the segment of this name is the confined one.
fn desired_where(version: u64, segment: Option<&str>, confined: &str) -> Desired {
    let (anchor, list) = authority();
    let document = DesiredState {
        version,
        issued_at: now(),
        revocation_lists: vec![list],
        segments: vec![SegmentDefinition {
            name: confined.to_owned(),
            vlan: None,
            reach: Some(Vec::new()),
        }],
        admitted: segment
            .map(|segment| AdmittedCredential {
                credential: "01".to_owned(),
                device: "d".to_owned(),
                segment: Some(segment.to_owned()),
                expires_at: now() + SignedDuration::from_hours(1),
            })
            .into_iter()
            .collect(),
        stations: Vec::new(),
    };
    Desired::of(document, &anchor, None, now()).unwrap()
}

pub(crate) fn place(last: u8) -> Place {
    Place {
        client: 0,
        access_point: Some("p1".to_owned()),
        mac: Some([2, 0, 0, 0, 0, last]),
        port: None,
    }
}

pub(crate) fn session(class: &str) -> Session {
    Session {
        class: class.to_owned(),
        device: "d".to_owned(),
        credential: "01".to_owned(),
        segment: Some("cameras".to_owned()),
        name: None,
        socket: None,
        since: now(),
        until: now() + SignedDuration::from_hours(1),
        ending: None,
        dismissed: false,
        moving: false,
        seen: now(),
        octets: (0, 0),
    }
}

/// With a port of this machine, and one session there.
fn with_port() -> Admission {
    with_sessions([(place(1), session("a"))])
}

fn with_sessions<const N: usize>(sessions: [(Place, Session); N]) -> Admission {
    let own = OwnPorts {
        client: 0,
        names: BTreeSet::from(["p1".to_owned()]),
    };
    let own = Some(own);
    Admission::new(Rules { own, ..RULES }, BTreeMap::from(sessions), Vec::new())
}

/// Whoever tells of sessions, and what the controller was told last.
#[derive(Default)]
struct Teller {
    unsaid: Unsaid,
    told: BTreeMap<Place, Session>,
}

impl Teller {
    fn of(admission: &Admission) -> Self {
        admission.keep_news();
        Self::default()
    }

    /// Tells all that can be told. The version in force.
    fn tell(&mut self, admission: &Admission) -> Option<u64> {
        loop {
            let told = || self.told.keys().cloned().collect();
            let account = admission.account_for(&mut self.unsaid, 1, true, told);
            for (place, session) in account.sessions {
                match session {
                    Some(session) => self.told.insert(place, session),
                    None => self.told.remove(&place),
                };
            }
            if !account.has_more {
                return account.in_force;
            }
        }
    }

    fn segment(&self, at: &Place) -> Option<&str> {
        self.told.get(at)?.segment.as_deref()
    }
}

fn moving(admission: &Admission) -> Vec<Move> {
    admission.some_moving(0, usize::MAX, None, |_| true)
}

fn follow(admission: &Admission, failed: &[Place]) {
    let touched = admission.take_touched(usize::MAX);
    admission.carried_out(touched.version, failed.iter().cloned().collect());
}

#[test]
fn a_version_is_in_force_once_the_filter_has_followed() {
    let admission = with_port();
    let mut teller = Teller::of(&admission);
    admission.apply(desired(1, Some("cameras")), now());
    assert_eq!(teller.tell(&admission), None);
    follow(&admission, &[]);
    assert_eq!(teller.tell(&admission), Some(1));
    assert_eq!(teller.segment(&place(1)), Some("cameras"));
    // A move that the filter does not take is told of again, and the version is not in force.
    admission.apply(desired(2, Some("quarantine")), now());
    assert_eq!(teller.tell(&admission), Some(1));
    let touched = admission.take_touched(usize::MAX);
    assert_eq!(touched.places[0].confined.as_deref(), Some("quarantine"));
    assert_eq!(teller.tell(&admission), Some(1));
    admission.carried_out(touched.version, BTreeSet::from([place(1)]));
    assert_eq!(teller.tell(&admission), Some(1));
    assert_eq!(teller.segment(&place(1)), Some("cameras"));
    follow(&admission, &[]);
    assert_eq!(teller.tell(&admission), Some(2));
    assert_eq!(teller.segment(&place(1)), Some("quarantine"));
}

/// What its devices reach is another thing although its name is the same, also in a difference that names
/// none of them.
#[test]
fn who_is_in_a_segment_that_begins_or_ceases_to_confine_is_told_to_the_filter() {
    let admission = with_port();
    admission.apply(desired(1, Some("cameras")), now());
    follow(&admission, &[]);
    let confined = |admission: &Admission| {
        let touched = admission.take_touched(usize::MAX);
        let confined: Vec<_> = touched.places.into_iter().map(|it| it.confined).collect();
        admission.carried_out(touched.version, BTreeSet::new());
        confined
    };
    admission.apply(desired_where(2, Some("cameras"), "cameras"), now());
    assert_eq!(*admission.in_force().borrow(), Some(1));
    assert_eq!(confined(&admission), [Some("cameras".to_owned())]);
    assert_eq!(*admission.in_force().borrow(), Some(2));
    for (from, reach) in [(2, None), (3, Some(Vec::new()))] {
        let document = StateDifference {
            from,
            to: from + 1,
            issued_at: now(),
            revocation_lists: None,
            segments: Some(vec![SegmentDefinition {
                name: "cameras".to_owned(),
                vlan: None,
                reach: reach.clone(),
            }]),
            put: Vec::new(),
            remove: Vec::new(),
            stations_put: Vec::new(),
            stations_remove: Vec::new(),
        };
        let (anchor, _) = authority();
        let difference = Difference::of(document, &anchor, now()).unwrap();
        admission.apply_difference(difference, now()).unwrap();
        let expected = reach.map(|_| "cameras".to_owned());
        assert_eq!(confined(&admission), [expected]);
    }
}

/// Sessions that do not end keep no other back: whoever asks goes all around.
#[test]
fn those_that_must_go_are_told_behind_the_one_that_was_told_last() {
    let sessions = [1, 2, 3].map(|last| (place(last), session("a")));
    let admission = Admission::new(RULES, BTreeMap::from(sessions), Vec::new());
    admission.apply(desired(1, None), now());
    let next = |behind: Option<u8>, most| {
        let behind = behind.map(place);
        let told = admission.some_ending(0, most, behind.as_ref(), |_| true);
        told.into_iter().map(|(at, _)| at).collect::<Vec<_>>()
    };
    assert_eq!(next(None, 2), [1, 2].map(place));
    assert_eq!(next(Some(2), 2), [3, 1].map(place));
    assert_eq!(next(Some(3), 9), [1, 2, 3].map(place));
}

/// Confirmed or not: what a routing gate drops is dropped after a restart too.
#[test]
fn who_was_cut_off_in_an_earlier_run_still_is() {
    let admission = Admission::new(
        RULES,
        BTreeMap::from([(place(1), session("a"))]),
        Vec::new(),
    );
    admission.apply(desired(1, None), now());
    assert!(admission.gone(&place(1), "a", now()).is_some());
    let kept = admission.cut_off();
    assert_eq!(kept, [[2, 0, 0, 0, 0, 1]]);
    let ending = Session {
        ending: Some(now()),
        ..session("a")
    };
    let left = BTreeMap::from([(place(1), ending.clone()), (place(2), ending)]);
    let admission = Admission::new(RULES, left, kept);
    assert_eq!(
        admission.cut_off(),
        [1, 2].map(|last| [2, 0, 0, 0, 0, last])
    );
}

/// The filter is empty when the gate starts; the sessions that were kept are not.
#[test]
fn what_was_kept_of_an_earlier_run_goes_into_the_filter_with_the_first_state() {
    let admission = with_port();
    admission.apply(desired(1, Some("cameras")), now());
    let touched = admission.take_touched(usize::MAX);
    assert_eq!(touched.places.len(), 1);
    assert_eq!(touched.places[0].place, place(1));
    admission.apply(desired(2, Some("cameras")), now());
    assert!(
        admission.take_touched(usize::MAX).places.is_empty(),
        "it is there now"
    );
}

/// Many changes are told in parts, and the version is in force with the last of them.
#[test]
fn many_changes_are_followed_in_parts() {
    let admission = with_sessions([1, 2, 3].map(|last| (place(last), session("a"))));
    admission.apply(desired(1, Some("cameras")), now());
    let mut told = Vec::new();
    for has_more in [true, true, false] {
        let touched = admission.take_touched(1);
        assert_eq!(touched.has_more, has_more);
        told.extend(touched.places.into_iter().map(|it| it.place));
    }
    assert_eq!(told, [1, 2, 3].map(place));
    let mut teller = Teller::of(&admission);
    assert_eq!(teller.tell(&admission), None);
    admission.carried_out(Some(1), BTreeSet::new());
    assert_eq!(teller.tell(&admission), Some(1));
}

/// What happens while the filter follows belongs to the next time.
#[test]
fn a_change_while_the_filter_follows_is_not_taken_for_done() {
    let admission = with_port();
    let mut teller = Teller::of(&admission);
    admission.apply(desired(1, Some("quarantine")), now());
    let touched = admission.take_touched(usize::MAX);
    admission.apply(desired(2, Some("cameras")), now());
    admission.carried_out(touched.version, BTreeSet::new());
    assert_eq!(teller.tell(&admission), Some(1));
    assert!(teller.told.is_empty());
    follow(&admission, &[]);
    assert_eq!(teller.tell(&admission), Some(2));
    assert_eq!(teller.segment(&place(1)), Some("cameras"));
}

/// Elsewhere the session itself tells until the access point has confirmed.
#[test]
fn without_ports_a_version_is_in_force_at_once_and_what_must_go_is_still_told() {
    let sessions = BTreeMap::from([(place(1), session("a"))]);
    let admission = Admission::new(RULES, sessions, Vec::new());
    let mut teller = Teller::of(&admission);
    assert_eq!(admission.apply(desired(1, None), now()), 1);
    assert_eq!(teller.tell(&admission), Some(1));
    assert_eq!(teller.told.len(), 1);
    assert!(admission.gone(&place(1), "a", now()).is_some());
    teller.tell(&admission);
    assert!(teller.told.is_empty());
}

/// News that nobody takes is bounded; then everything is told anew, and what is over is over.
#[test]
fn nothing_is_forgotten_where_news_was_lost() {
    let admission = Admission::new(RULES, BTreeMap::new(), Vec::new());
    let mut teller = Teller::of(&admission);
    for last in 1..=3 {
        let class = last.to_string();
        let mut inner = admission.lock();
        inner.sessions.insert(place(last), session(&class));
    }
    teller.tell(&admission);
    assert_eq!(teller.told.len(), 3);
    let mut inner = admission.lock();
    inner.sessions.remove(&place(1));
    inner.sessions.keep_news();
    inner.sessions.insert(place(4), session("4"));
    drop(inner);
    teller.tell(&admission);
    let told: Vec<_> = teller.told.keys().cloned().collect();
    assert_eq!(told, [place(2), place(3), place(4)]);
}

fn ask(admission: &Admission, class: &str, station: Station) -> Result<(), Denial> {
    let mut inner = admission.lock();
    let entry = Entry {
        device: "d".to_owned(),
        segment: None,
        expires_at: now(),
    };
    let arriving = Arriving {
        place: Place::of(0, &station),
        entry: &entry,
        credential: "01".to_owned(),
        class,
        name: station.session.clone(),
        socket: station.socket.clone(),
        seconds: 60,
    };
    admission.let_in(&mut inner, arriving, now())
}

/// One device at too many places: the quietest goes, and no more is begun while they do not go.
#[test]
fn a_device_is_at_so_many_places_and_no_more() {
    let admission = Admission::new(RULES, BTreeMap::new(), Vec::new());
    let station = |last: usize| Station {
        mac: Some([2, 0, 0, 0, 0, u8::try_from(last).unwrap()]),
        ..Station::default()
    };
    for number in 0..MAX_PLACES_ENDING {
        ask(&admission, &number.to_string(), station(number)).unwrap();
        let ending = admission.ending(0).len();
        assert_eq!(ending, (number + 1).saturating_sub(MAX_PLACES));
    }
    let refused = ask(&admission, "more", station(MAX_PLACES_ENDING));
    assert_eq!(refused, Err(Denial::TooManyPlaces));
    // Whoever gave way goes, although the state would have it stay.
    admission.apply(desired(1, Some("cameras")), now());
    admission.look(now());
    assert!(admission.ending(0).len() >= MAX_PLACES);
}

/// With a client that moves sessions when it is asked, and one session there.
fn with_mover() -> Admission {
    let movers = BTreeSet::from([0]);
    let sessions = BTreeMap::from([(place(1), session("a"))]);
    Admission::new(Rules { movers, ..RULES }, sessions, Vec::new())
}

/// RFC 5176 §2.2: until the access point has confirmed, the session is told where it was.
#[test]
fn a_session_that_is_to_be_moved_stays_where_it_is_until_that_is_confirmed() {
    let admission = with_mover();
    assert_eq!(admission.apply(desired(1, Some("quarantine")), now()), 0);
    let moves = moving(&admission);
    assert_eq!(moves[0].segment, "quarantine");
    let told = |admission: &Admission| {
        let session = admission.find(&place(1)).unwrap();
        (session.segment.unwrap(), session.ending.is_some())
    };
    assert_eq!(told(&admission), ("cameras".to_owned(), false));
    // It belongs where it was again, but the access point may have heard of the other.
    admission.apply(desired(2, Some("cameras")), now());
    assert_eq!(moving(&admission)[0].segment, "cameras");
    assert!(admission.moved(&moves[0], now()));
    assert_eq!(told(&admission), ("quarantine".to_owned(), false));
    let back = moving(&admission);
    assert_eq!(back[0].segment, "cameras");
    assert!(admission.moved(&back[0], now()));
    assert_eq!(told(&admission), ("cameras".to_owned(), false));
    assert!(moving(&admission).is_empty());
}

#[test]
fn a_session_that_its_access_point_did_not_move_goes_whatever_comes() {
    let admission = with_mover();
    admission.apply(desired(1, Some("quarantine")), now());
    admission.dismiss(&place(1), "a", now());
    assert!(moving(&admission).is_empty());
    for version in 2..4 {
        admission.apply(desired(version, Some("cameras")), now());
        admission.look(now());
        assert_eq!(admission.ending(0).len(), 1);
    }
    // Out of every segment: that cannot be asked for.
    let admission = with_mover();
    assert_eq!(admission.apply(desired(1, None), now()), 1);
    assert!(moving(&admission).is_empty());
}

/// Without an address and a port two of them could not be told apart: one would take the other's place.
#[test]
fn a_station_that_nothing_names_is_refused() {
    let admission = Admission::new(RULES, BTreeMap::new(), Vec::new());
    let nameless = Station {
        access_point: Some("ap-1".to_owned()),
        session: Some("s-1".to_owned()),
        ..Station::default()
    };
    let refused = ask(&admission, "a", nameless.clone()).unwrap_err();
    assert_eq!(refused.code(), "station-unnamed");
    for (class, port) in [("a", 1), ("b", 2)] {
        let port = Some(port);
        let station = Station {
            port,
            ..nameless.clone()
        };
        ask(&admission, class, station).unwrap();
    }
    assert_eq!(admission.of_client(0).len(), 2);
}

/// Another client that calls itself like a port of this machine has none.
#[test]
fn a_port_is_a_place_of_its_own_client_only() {
    let admission = with_port();
    assert!(admission.is_own(&place(1)));
    let strange = Place {
        client: 1,
        ..place(1)
    };
    assert!(!admission.is_own(&strange));
    let mut inner = admission.lock();
    inner.touch(admission.0.rules.own.as_ref(), &strange);
    assert!(inner.touched.is_empty());
    drop(inner);
    // What is there at the strange place is not what the port goes by.
    let sessions = BTreeMap::from([(strange, session("a"))]);
    let admission = Admission::new(admission.0.rules.clone(), sessions, Vec::new());
    let wanted = admission.wanted_at("p1", [2, 0, 0, 0, 0, 1]);
    assert_eq!(wanted.unwrap().session, None);
}

/// Whoever copies an address must not hide its owner's session: taken back, it would stay at its port.
#[test]
fn another_device_with_a_copied_address_does_not_hide_the_session_of_the_first() {
    let admission = Admission::new(
        RULES,
        BTreeMap::from([(place(1), session("a"))]),
        Vec::new(),
    );
    let come = |class: &str, now: Timestamp| {
        let mut inner = admission.lock();
        let entry = Entry {
            device: "e".to_owned(),
            segment: None,
            expires_at: now + SignedDuration::from_hours(1),
        };
        let arriving = Arriving {
            place: place(1),
            entry: &entry,
            credential: "02".to_owned(),
            class,
            name: None,
            socket: None,
            seconds: 60,
        };
        admission.let_in(&mut inner, arriving, now)
    };
    assert_eq!(
        come("b", now()).unwrap_err().code(),
        "station-address-taken"
    );
    // The first one goes, and only when the access point has said so does the other come in.
    assert_eq!(admission.ending(0).len(), 1);
    assert_eq!(come("b", now()), Err(Denial::Taken));
    assert_eq!(admission.find(&place(1)).unwrap().class, "a");
    assert!(admission.gone(&place(1), "a", now()).is_some());
    assert_eq!(come("b", now()), Ok(()));
    // An access point that nobody can reach has asked again by then.
    let later = now() + SignedDuration::from_hours(1);
    let admission = Admission::new(
        RULES,
        BTreeMap::from([(place(1), session("a"))]),
        Vec::new(),
    );
    let mut inner = admission.lock();
    assert_eq!(
        admission.clear_place(&mut inner, &place(1), "e", later),
        Ok(())
    );
    assert_eq!(
        admission.clear_place(&mut inner, &place(1), "d", now()),
        Ok(())
    );
}

/// RFC 2866 has nothing against a record that somebody saw and sends again: a gate that forgets who is in
/// cuts off nobody.
#[test]
fn a_repeated_word_that_an_access_point_began_hides_no_later_session() {
    let admission = Admission::new(
        RULES,
        BTreeMap::from([(place(1), session("a"))]),
        Vec::new(),
    );
    let began = |at: Option<Timestamp>| Record {
        status: Status::On,
        station: Station {
            access_point: Some("p1".to_owned()),
            ..Station::default()
        },
        class: None,
        octets_in: 0,
        octets_out: 0,
        seconds: None,
        cause: None,
        at,
    };
    let second = SignedDuration::from_secs(1);
    for at in [None, Some(now() - second), Some(now())] {
        assert!(admission.account(0, &began(at), now() + second));
        assert!(admission.find(&place(1)).is_some(), "{at:?}");
    }
    // Taken back, it has to go.
    assert_eq!(admission.apply(desired(1, None), now()), 1);
    assert_eq!(admission.ending(0).len(), 1);
    // The word that it began after the session is good; one that must go is confirmed otherwise.
    let later = Some(now() + second);
    assert!(admission.account(0, &began(later), now() + second));
    assert!(admission.find(&place(1)).is_some());
    let admission = Admission::new(
        RULES,
        BTreeMap::from([(place(1), session("a"))]),
        Vec::new(),
    );
    assert!(admission.account(0, &began(later), now() + second));
    assert_eq!(admission.find(&place(1)), None);
}

/// RFC 3580 has no word for a copied address: the second port asks just as the first did.
#[test]
fn a_station_without_proof_is_at_one_port_at_a_time() {
    let (anchor, list) = authority();
    let document = DesiredState {
        version: 1,
        issued_at: now(),
        revocation_lists: vec![list],
        segments: Vec::new(),
        admitted: Vec::new(),
        stations: vec![AdmittedStation {
            mac: "02:00:00:00:00:01".to_owned(),
            device: "d".to_owned(),
            segment: None,
            expires_at: now() + SignedDuration::from_hours(48),
        }],
    };
    let admission = Admission::new(RULES, BTreeMap::new(), Vec::new());
    admission.apply(Desired::of(document, &anchor, None, now()).unwrap(), now());
    let come = |client, port: &str, class: &str, at| {
        let station = Station {
            mac: Some([2, 0, 0, 0, 0, 1]),
            access_point: Some(port.to_owned()),
            ..Station::default()
        };
        let decided = admission.decide_station(client, &station, class, at);
        decided.map(|_| ()).map_err(|denial| denial.code())
    };
    assert_eq!(come(1, "a", "1", now()), Ok(()));
    // At another port, and at another switch.
    assert_eq!(come(1, "b", "2", now()), Err("station-elsewhere"));
    assert_eq!(come(2, "a", "3", now()), Err("station-elsewhere"));
    // Where it is, it may ask again; at another socket of the same switch it is a copy. And what was not renewed keeps it nowhere.
    assert_eq!(come(1, "a", "4", now()), Ok(()));
    let plugged = |socket: &str, at| {
        let station = Station {
            mac: Some([2, 0, 0, 0, 0, 1]),
            access_point: Some("a".to_owned()),
            socket: Some(socket.to_owned()),
            ..Station::default()
        };
        let decided = admission.decide_station(1, &station, "6", at);
        decided.map(|_| ()).map_err(|denial| denial.code())
    };
    assert_eq!(plugged("eth7", now()), Ok(()));
    assert_eq!(plugged("eth8", now()), Err("station-elsewhere"));
    assert_eq!(plugged("eth7", now()), Ok(()));
    let over = now() + SignedDuration::from_secs(3600);
    assert_eq!(come(2, "a", "5", over), Ok(()));
}

/// Access points that answer nothing do not keep a device out that roamed past them: the oldest place gives way
/// once its end was asked for long enough.
#[test]
fn a_device_that_roamed_past_silent_access_points_comes_in_again() {
    let at = |last: usize| Session {
        seen: now() + SignedDuration::from_secs(i64::try_from(last).unwrap()),
        ending: (last < MAX_PLACES).then(now),
        ..session("a")
    };
    let places = (0..MAX_PLACES_ENDING).map(|last| (place(u8::try_from(last).unwrap()), at(last)));
    let admission = Admission::new(RULES, places.collect(), Vec::new());
    let mut inner = admission.lock();
    let soon = now() + TRIED - SignedDuration::from_secs(1);
    let refused = admission.make_room(&mut inner, "d", soon);
    assert_eq!(refused.unwrap_err().code(), "too-many-places");
    assert_eq!(inner.sessions.len(), MAX_PLACES_ENDING);
    assert_eq!(admission.make_room(&mut inner, "d", now() + TRIED), Ok(()));
    assert_eq!(inner.sessions.len(), MAX_PLACES_ENDING - 1);
    assert!(inner.sessions.find(&place(0)).is_none());
    // Of those that were not to go one is now, as ever.
    assert_eq!(inner.sessions.ending(0, None).count(), MAX_PLACES);
}
