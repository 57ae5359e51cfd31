//! Wi-Fi of the gate's own machine, whose hostapd is played: what the gate asks of it, and what it takes for a
//! confirmation.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};

use vouchsafe_gate::Event;
use vouchsafe_net::Clock;
use vouchsafe_radius::Code;

use crate::world::{Site, come_in, now};

const MAC: &str = "02:00:00:00:00:01";

/// What hostapd says of the station, while it has one.
type Flags = Arc<Mutex<Option<&'static str>>>;

/// Answers on a control socket as hostapd does, and keeps what it was told to do.
fn hostapd(control: &Path, flags: Flags) -> Arc<Mutex<Vec<String>>> {
    let socket = UnixDatagram::bind(control).unwrap();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let orders = told.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let command = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let mut station = flags.lock().unwrap();
            let answer = match command.as_str() {
                "STA-FIRST" => match *station {
                    Some(flags) => format!("{MAC}\nflags={flags}\n"),
                    None => String::new(),
                },
                command if command.starts_with("STA-NEXT") => String::new(),
                command => {
                    if command.starts_with("DEAUTHENTICATE") {
                        *station = None;
                    }
                    orders.lock().unwrap().push(command.to_owned());
                    "OK\n".to_owned()
                }
            };
            let _ = socket.send_to_addr(answer.as_bytes(), &from);
        }
    });
    told
}

const STATIONS: [(&str, &str); 2] = [
    ("02:00:00:00:00:01", "camera"),
    ("02:00:00:00:00:02", "lamp"),
];

/// The same with both, each by its line. The first time that it is asked for the second, and to send one away,
/// that one has just left; soon it is back.
fn hostapd_with_two(control: &Path) {
    let socket = UnixDatagram::bind(control).unwrap();
    std::thread::spawn(move || {
        let mut here = STATIONS.to_vec();
        let mut failing = vec!["STA-NEXT", "DEAUTHENTICATE"];
        let mut buffer = [0; 256];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let command = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let (verb, mac) = command.split_once(' ').unwrap_or((&command, ""));
            let shown = |at: usize| match here.get(at) {
                Some((mac, line)) => {
                    format!("{mac}\nflags=[AUTH][ASSOC][AUTHORIZED]\nkeyid={line}\n")
                }
                None => String::new(),
            };
            let answer = if failing.first() == Some(&verb) {
                failing.remove(0);
                "FAIL\n".to_owned()
            } else if verb == "STA-FIRST" {
                shown(0)
            } else if verb == "STA-NEXT" {
                let at = here.iter().position(|it| it.0 == mac);
                shown(at.map_or(usize::MAX, |at| at + 1))
            } else {
                if verb == "DEAUTHENTICATE" {
                    here.retain(|it| it.0 != mac);
                }
                "OK\n".to_owned()
            };
            let _ = socket.send_to_addr(answer.as_bytes(), &from);
        }
    });
}

/// Whose passphrase is another one goes, also where hostapd answers with a failure in between: a list that breaks
/// off is not the whole, and one that just left keeps no other in.
#[test]
fn all_whose_passphrase_changed_are_sent_away_whatever_hostapd_answers_first() {
    let mut site = Site::new();
    site.configure(
        "127.0.0.1:0",
        "[[radius.client]]\nname = \"air\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
         [[wifi]]\ninterface = \"w1\"\ncontrol = \"air\"\npassphrases = \"psk\"\n",
    );
    hostapd_with_two(&site.path("air"));
    let file = site.path("psk");
    let write = |secret: &str| {
        let line = |(mac, line): (&str, &str)| format!("keyid={line} {mac} {secret}\n");
        std::fs::write(&file, STATIONS.map(line).concat()).unwrap();
    };
    write("first of all");
    site.publish(Vec::new(), &[]);
    let gate = site.start();
    gate.until_in_force();
    // It has read the first ones once it looked for who is there.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    write("the second one");
    let mut away = std::collections::BTreeSet::new();
    while away.len() < STATIONS.len() {
        let station = gate.until("a station sent away", |event| match event {
            Event::Deauthenticated { station, .. } => Some(station.clone()),
            _ => None,
        });
        away.insert(station);
    }
    assert_eq!(
        away.into_iter().collect::<Vec<_>>(),
        STATIONS.map(|it| it.0)
    );
}

/// As soon as hostapd shows it, however young the session: by the gate's clock no time passes here. A station
/// that is on its way in is sent away too, and nobody comes back by an old key.
#[test]
fn a_cut_is_confirmed_as_soon_as_hostapd_shows_it() {
    let cases = [
        (Some("[AUTH][ASSOC][AUTHORIZED]"), true),
        (Some("[AUTH][ASSOC]"), true),
        (None, false),
    ];
    for (flags, is_sent_away) in cases {
        let mut site = Site::new();
        site.configure(
            "127.0.0.1:0",
            "[[radius.client]]\nname = \"air\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
             [[wifi]]\ninterface = \"w1\"\ncontrol = \"air\"\nclient = \"air\"\n",
        );
        let station = Flags::default();
        let told = hostapd(&site.path("air"), station.clone());
        let device = site.device("camera-17");
        site.publish(vec![device.admitted()], &[]);
        let gate = site.start_at(Clock::fixed(now()));
        gate.until_in_force();
        let answer = come_in(&site, &gate, &device, "w1", "02-00-00-00-00-01");
        assert_eq!(answer.code, Code::AccessAccept);
        *station.lock().unwrap() = flags;
        site.publish(Vec::new(), &[]);
        let confirmed_by = gate.until("a cut", |event| match event {
            Event::CutOff { confirmed_by, .. } => Some(*confirmed_by),
            _ => None,
        });
        assert_eq!(confirmed_by, "hostapd");
        let told = told.lock().unwrap();
        let has = |word: &str| told.iter().any(|it| it.starts_with(word));
        assert!(has("PMKSA_FLUSH"), "{told:?}");
        assert_eq!(has("DEAUTHENTICATE"), is_sent_away, "{told:?}");
    }
}
