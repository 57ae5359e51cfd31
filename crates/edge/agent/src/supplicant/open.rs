//! Open networks: anybody's, and good for nothing but to find a registrar, who then proves itself by a voucher.
//!
//! 1. The supplicant looks around. What it tells of is anybody's word: names that are no text of 1 to 32 octets
//!    are passed over, networks that are not open too, and only those count that announce the device's realm
//!    ([`super::realm`]) or have a name like its pattern, the former first.
//! 2. One of them is joined, and no other. The block is known by its `id_str`.
//! 3. When the interface has an address that the network can be spoken to with, the rest begins.
//! 4. The block is removed, whatever came of it.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vouchsafe_brski::networks::MAX_SSID;

use super::hand_over::hex;
use super::realm::Realm;
use super::{Control, SupplicantError};

/// By which our network is known.
const MARK: &str = "vouchsafe-way-in";

/// How long looking around may take.
const SCAN: Duration = Duration::from_secs(30);

/// How long until the supplicant is in an open network.
const JOIN: Duration = Duration::from_secs(30);

/// How long until there is an address; without one the search begins all the same.
const ADDRESS: Duration = Duration::from_secs(5);

/// How often the interface is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Most networks around that are looked at; there is no bound to those that somebody can make up.
const MAX_AROUND: usize = 256;

/// Most of them that are tried in one go.
const MAX_TRIED: usize = 8;

/// Most networks around that are asked for their realms: each may take its time.
const MAX_ASKED: usize = 8;

/// Which open networks a device tries.
#[derive(Debug, Clone)]
pub(crate) struct Sought {
    /// Those that announce this realm; they come first.
    pub(crate) realm: Option<Realm>,
    /// Those with such names.
    pub(crate) names: Option<SsidPattern>,
}

impl std::fmt::Display for Sought {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.realm, &self.names) {
            (Some(realm), Some(names)) => write!(f, "for the realm {realm} or named like {names}"),
            (Some(realm), None) => write!(f, "for the realm {realm}"),
            (None, Some(names)) => write!(f, "named like {names}"),
            (None, None) => f.write_str("at all"),
        }
    }
}

/// Names with one `*` at most, for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SsidPattern {
    text: String,
}

impl SsidPattern {
    /// None for one that fits every name, or none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = !text.chars().any(char::is_control);
        let given = text.replacen('*', "", 1);
        let fits = !given.is_empty() && given.len() <= MAX_SSID && !given.contains('*');
        (plain && fits).then(|| Self {
            text: text.to_owned(),
        })
    }

    fn fits(&self, ssid: &str) -> bool {
        match self.text.split_once('*') {
            None => self.text == ssid,
            Some((before, after)) => ssid
                .strip_prefix(before)
                .is_some_and(|rest| rest.ends_with(after)),
        }
    }
}

impl std::fmt::Display for SsidPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Step 1: the names of such open networks, those heard best first.
pub(crate) async fn around(
    control: &mut Control,
    sought: &Sought,
) -> Result<Vec<String>, SupplicantError> {
    control.forget_events().await?;
    // One that is looking already will tell as well.
    control.ask("SCAN").await?;
    let deadline = Instant::now() + SCAN;
    while let Some(event) = control.event(deadline).await? {
        if event.starts_with("CTRL-EVENT-SCAN-RESULTS")
            || event.starts_with("CTRL-EVENT-SCAN-FAILED")
        {
            break;
        }
    }
    let results = control.ask("SCAN_RESULTS").await?;
    let open = open_networks(&results);
    let mut found = Vec::new();
    if let Some(realm) = &sought.realm {
        for network in open.iter().take(MAX_ASKED) {
            if realm.is_announced(control, &network.access_point).await? {
                found.push(network.ssid.clone());
            }
        }
    }
    if let Some(names) = &sought.names {
        let named = open.into_iter().map(|it| it.ssid);
        let named: Vec<_> = named
            .filter(|ssid| names.fits(ssid) && !found.contains(ssid))
            .collect();
        found.extend(named);
    }
    found.truncate(MAX_TRIED);
    Ok(found)
}

/// Step 2; whether the supplicant is in it.
pub(crate) async fn join(control: &mut Control, ssid: &str) -> Result<bool, SupplicantError> {
    leave(control).await?;
    let id = control.number("ADD_NETWORK").await?;
    let settings = [
        ("id_str", format!("\"{MARK}\"")),
        ("ssid", hex(ssid.as_bytes()).to_string()),
        ("key_mgmt", "NONE".to_owned()),
    ];
    for (name, value) in settings {
        let set = format!("SET_NETWORK {id} {name} {value}");
        if let Err(error) = control.done(&set).await {
            control.ask(&format!("REMOVE_NETWORK {id}")).await?;
            return Err(error);
        }
    }
    control.forget_events().await?;
    control.done(&format!("SELECT_NETWORK {id}")).await?;
    let deadline = Instant::now() + JOIN;
    loop {
        let status = control.ask("STATUS").await?;
        let says = |wanted: &str| status.lines().any(|line| line == wanted);
        if says("wpa_state=COMPLETED") && says(&format!("id_str={MARK}")) {
            return Ok(true);
        }
        if control.event(deadline).await?.is_none() {
            return Ok(false);
        }
    }
}

/// Step 3. The socket has the interface's name.
pub(crate) async fn settle(socket: &Path) {
    let name = socket.file_name().and_then(|name| name.to_str());
    let name = name.filter(|name| Path::new("/sys/class/net").join(name).exists());
    let deadline = Instant::now() + ADDRESS;
    while let Some(name) = name
        && Instant::now() < deadline
    {
        match std::fs::read_to_string("/proc/net/if_inet6") {
            Ok(addresses) if !has_address(&addresses, name) => sleep(LOOK).await,
            _ => return,
        }
    }
}

/// Step 4.
pub(crate) async fn leave(control: &mut Control) -> Result<(), SupplicantError> {
    control.remove_marked(MARK).await.map(drop)
}

/// Lines of `address index prefix scope flags name`: whether there is a link-local address that nobody
/// else was found to have (flag 0x40: still asking).
fn has_address(addresses: &str, name: &str) -> bool {
    addresses.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, scope, flags, of] = words[..] else {
            return false;
        };
        let flags = u32::from_str_radix(flags, 16).unwrap_or(u32::MAX);
        of == name && scope == "20" && flags & 0x40 == 0
    })
}

/// An open network, by the access point of it that is heard best.
#[derive(Debug)]
struct OpenNetwork {
    signal: i32,
    access_point: String,
    ssid: String,
}

/// Lines of `bssid \t frequency \t signal \t flags \t ssid`, after one that says so; the best heard come first.
fn open_networks(results: &str) -> Vec<OpenNetwork> {
    let mut found: Vec<OpenNetwork> = Vec::new();
    for line in results.lines().skip(1).take(MAX_AROUND) {
        let parts: Vec<&str> = line.splitn(5, '\t').collect();
        let [access_point, _, signal, flags, ssid] = parts[..] else {
            continue;
        };
        let closed = ["WPA", "RSN", "WEP", "OWE", "SAE", "OSEN"];
        let is_open = flags.contains("[ESS]") && !closed.iter().any(|word| flags.contains(word));
        let is_address = access_point
            .bytes()
            .all(|it| it.is_ascii_hexdigit() || it == b':');
        let Some(ssid) = name(ssid).filter(|_| is_open && is_address) else {
            continue;
        };
        let network = OpenNetwork {
            signal: signal.parse().unwrap_or(i32::MIN),
            access_point: access_point.to_owned(),
            ssid,
        };
        match found.iter_mut().find(|known| known.ssid == network.ssid) {
            Some(known) if known.signal < network.signal => *known = network,
            Some(_) => {}
            None => found.push(network),
        }
    }
    found.sort_by_key(|network| std::cmp::Reverse(network.signal));
    found
}

/// A name as the supplicant writes it, if it is plain text of 1 to 32 octets.
fn name(written: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(written.len());
    let mut rest = written.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'\\' => match rest.next()? {
                same @ (b'\\' | b'"') => same,
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                // Control characters by their letters.
                _ => return None,
            },
            octet => octet,
        });
    }
    let text = String::from_utf8(octets).ok()?;
    let plain = !text.chars().any(char::is_control);
    (plain && (1..=MAX_SSID).contains(&text.len())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern() -> SsidPattern {
        SsidPattern::parse("BRSKI%*").unwrap()
    }

    #[test]
    fn a_pattern_leaves_something_to_go_by() {
        for text in ["", "*", "a*b*", "BRSKI\n*", &"x".repeat(33)] {
            assert_eq!(SsidPattern::parse(text), None, "{text:?}");
        }
        assert!(pattern().fits("BRSKI%harbour"));
        assert!(!pattern().fits("brski%harbour"));
        assert!(!pattern().fits("harbour"));
        let both = SsidPattern::parse("a*a").unwrap();
        assert!(both.fits("a-a") && !both.fits("a"));
    }

    #[test]
    fn open_networks_with_such_names_are_found_the_best_heard_first() {
        let results = "bssid / frequency / signal level / flags / ssid\n\
            02:00:00:00:00:01\t2437\t-70\t[ESS]\tBRSKI%far\n\
            02:00:00:00:00:02\t2437\t-30\t[ESS]\tBRSKI%near\n\
            02:00:00:00:00:03\t2437\t-20\t[ESS]\tBRSKI%far\n\
            02:00:00:00:00:04\t2437\t-10\t[WPA2-EAP-CCMP][ESS]\tBRSKI%closed\n\
            02:00:00:00:00:05\t2437\t-10\t[OWE-TRANS-OPEN][ESS]\tBRSKI%owe\n\
            02:00:00:00:00:06\t2437\t-10\t[IBSS]\tBRSKI%peer\n\
            02:00:00:00:00:07\t2437\t-10\t[ESS]\tguests\n\
            02:00:00:00:00:08\t2437\tloud\t[ESS]\tBRSKI%odd\n\
            02:00:00:00:00:09\n";
        let found = open_networks(results);
        let far = found.iter().find(|it| it.ssid == "BRSKI%far").unwrap();
        assert_eq!(far.access_point, "02:00:00:00:00:03");
        let names = found.iter().map(|network| &*network.ssid);
        let found: Vec<_> = names.filter(|ssid| pattern().fits(ssid)).collect();
        assert_eq!(found, ["BRSKI%far", "BRSKI%near", "BRSKI%odd"]);
    }

    /// IEEE 802.11-2020 §9.4.2.2: any octets, up to 32. Only text is passed on.
    #[test]
    fn names_with_control_characters_or_more_than_32_octets_are_passed_over() {
        assert_eq!(name("BRSKI%a\\\\b\\\"c").as_deref(), Some("BRSKI%a\\b\"c"));
        assert_eq!(name("BRSKI%K\\xc3\\xb6").as_deref(), Some("BRSKI%Kö"));
        let long = format!("BRSKI%{}", "x".repeat(27));
        for written in [
            "",
            "BRSKI%\\n",
            "BRSKI%\\e[2J",
            "BRSKI%\\x00",
            "BRSKI%\\x7f",
            "BRSKI%\\xff",
            "BRSKI%\\x",
            "BRSKI%\\",
            "BRSKI%\\xc2\\x85",
            &long,
        ] {
            assert_eq!(name(written), None, "{written:?}");
        }
    }

    #[test]
    fn a_crowd_of_made_up_networks_is_bounded() {
        let mut results = "bssid / …\n".to_owned();
        for number in 0..10_000 {
            results.push_str(&format!("02:00\t2437\t-9\t[ESS]\tBRSKI%{number}\n"));
        }
        assert_eq!(open_networks(&results).len(), MAX_AROUND);
    }

    #[test]
    fn an_address_counts_once_nobody_else_has_it() {
        let lo = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let asking = "fe800000000000000000000000000001 04 40 20 c0    wlan0\n";
        let there = "fe800000000000000000000000000001 04 40 20 80    wlan0\n";
        assert!(!has_address(&[lo, asking].concat(), "wlan0"));
        assert!(has_address(&[lo, there].concat(), "wlan0"));
        assert!(!has_address(there, "wlan1"));
    }
}
