//! How far a change of a device's standing has come: which gates confirmed, and which are waited for.

use clap::Args;
use vouchsafe_api::Enforcement;

use crate::output::{Printer, facts};
use crate::remote::Api;

/// For how long a command waits for gates.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WaitArgs {
    /// Wait so many seconds for gates to confirm, 0 to 30
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=30))]
    wait: u32,
}

impl WaitArgs {
    /// The client that waits so long.
    pub(crate) fn client(self, api: &Api) -> Api {
        api.clone().waiting(self.wait)
    }
}

/// The answer for people; empty where nothing is said.
pub(crate) fn text(enforcement: Option<&Enforcement>) -> String {
    let Some(reached) = enforcement else {
        return String::new();
    };
    let confirmed: Vec<String> = reached
        .confirmed
        .iter()
        .map(|one| format!("{} in {} ms", one.gate, one.milliseconds))
        .collect();
    let open = |open| match open {
        true => "open",
        false => "shut",
    };
    let rows = facts([
        ("confirmed by", confirmed.join(", ")),
        ("waiting for", reached.waiting.join(", ")),
        (
            "desired state",
            reached
                .version
                .map(|version| format!("version {version}"))
                .unwrap_or_default(),
        ),
        ("certificates by EST", open(reached.est_open).to_owned()),
        ("Wi-Fi Easy Connect", open(reached.dpp_open).to_owned()),
        (
            "revocation list",
            reached
                .crl_number
                .map(|number| format!("number {number}"))
                .unwrap_or_default(),
        ),
    ]);
    format!("\n\nin force\n{rows}")
}

/// Says what goes on by itself.
pub(crate) fn note(enforcement: Option<&Enforcement>, printer: Printer) {
    if enforcement.is_some_and(|reached| !reached.waiting.is_empty()) {
        printer.note(
            "gates that did not confirm yet get it as soon as they can be reached: \
             `vouchsafe device journal` and `vouchsafe gate list` tell when",
        );
    }
}

#[cfg(test)]
mod tests {
    use vouchsafe_api::Confirmation;

    use super::*;

    #[test]
    fn who_confirmed_and_who_is_waited_for_is_told() {
        assert_eq!(text(None), "");
        let reached = Enforcement {
            version: Some(41),
            confirmed: vec![Confirmation {
                gate: "hall".to_owned(),
                milliseconds: 37,
            }],
            waiting: vec!["roof".to_owned(), "yard".to_owned()],
            est_open: false,
            dpp_open: true,
            crl_number: Some(7),
        };
        let text = text(Some(&reached));
        for part in [
            "confirmed by         hall in 37 ms",
            "waiting for          roof, yard",
            "desired state        version 41",
            "certificates by EST  shut",
            "Wi-Fi Easy Connect   open",
            "revocation list      number 7",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }
}
