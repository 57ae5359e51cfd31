//! A gate whose clock is wrong by a day lets nobody in who may not, whichever way it is wrong: what it was
//! given is from the future then, or over.

use vouchsafe_gate::Event;
use vouchsafe_net::Clock;
use vouchsafe_radius::Code;

use crate::world::{Gate, Site, come_in};

const CLIENT: &str =
    "[[radius.client]]\nname = \"switch\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n";

/// A day and a minute, in milliseconds: the list of the site is good for a day.
const DAY: i64 = (24 * 3600 + 60) * 1000;

const MAC: &str = "02-00-00-00-00-01";

/// Whether the gate takes the state that there is.
fn takes_it(gate: &Gate) -> bool {
    gate.until("a verdict on the state", |event| match event {
        Event::StateInForce { .. } => Some(true),
        Event::StateRefused { .. } => Some(false),
        _ => None,
    })
}

#[test]
fn a_clock_that_is_a_day_wrong_brings_nobody_in() {
    for (shift, is_right) in [(0, true), (DAY, false), (-DAY, false)] {
        let mut site = Site::new();
        site.configure("127.0.0.1:0", CLIENT);
        let (device, revoked) = (site.device("1"), site.device("2"));
        site.publish(vec![device.admitted(), revoked.admitted()], &[&revoked]);
        let gate = site.start_at(Clock::shifted(shift));
        assert!(takes_it(&gate) || !is_right, "shifted by {shift} ms");
        // A station may also refuse the gate's certificate; it goes by the right time.
        let tries = [(&device, is_right), (&revoked, false)];
        for (device, may) in tries {
            let attempt = std::panic::AssertUnwindSafe(|| come_in(&site, &gate, device, "ap", MAC));
            let answer = std::panic::catch_unwind(attempt);
            let is_in = answer.is_ok_and(|answer| answer.code == Code::AccessAccept);
            assert_eq!(is_in, may, "shifted by {shift} ms: {}", device.id);
        }
    }
}
