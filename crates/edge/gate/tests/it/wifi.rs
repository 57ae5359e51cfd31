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
