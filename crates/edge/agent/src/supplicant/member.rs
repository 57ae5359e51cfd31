//! A device that is a member of its domain comes in by 802.1X with EAP-TLS: the supplicant gets the
//! certificate, its key and the domain's CA, and is kept at it.
//!
//! 1. The network that an earlier hand-over made is removed; it is known by its `id_str`.
//! 2. Certificate, key and CA go to the supplicant as blobs in its memory, never as files.
//! 3. One network block for a wired port, or for each Wi-Fi network, by WPA3-Enterprise. The server must
//!    show a certificate of the domain that is a server's (OpenSSL asks for serverAuth), so no device
//!    of the same domain can play it, and one with the network's name where that is known.
//! 4. Those networks and no others are joined, the first before the next.
//! 5. A supplicant that was cut off does not begin again by itself, and at a port it does not even know;
//!    [`keep`] makes it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use vouchsafe_brski::networks::Network;
use vouchsafe_trust::Secret;
use zeroize::Zeroizing;

use super::hand_over::hex;
use super::{Control, SupplicantError};

/// By which our network is known.
const MARK: &str = "vouchsafe-member";

/// How often a supplicant is asked whether it is in.
const LOOK: Duration = Duration::from_secs(10);

/// Longest pause between two tries to come in again.
const LONGEST: Duration = Duration::from_secs(120);

/// Where the credential opens something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A wired port, whose server has this name or one below it, where that is known.
    Port(Option<String>),
    /// Wi-Fi networks, the first to be tried first.
    Air(Vec<Network>),
}

/// What the supplicant proves the device with.
#[derive(Debug)]
pub(crate) struct Member {
    /// What the device says of itself before TLS protects it.
    pub(crate) identity: String,
    /// The certificate and what leads to the anchor, PEM.
    pub(crate) chain: String,
    /// PKCS#8, DER.
    pub(crate) key: Secret,
    /// The domain's CAs, PEM.
    pub(crate) anchors: String,
}

/// Steps 1 to 4.
pub(crate) async fn hand_over(
    control: &mut Control,
    place: &Place,
    member: &Member,
) -> Result<(), SupplicantError> {
    take_back(control).await?;
    // 2
    let blobs = [
        ("chain", member.chain.as_bytes()),
        ("key", member.key.expose()),
        ("anchors", member.anchors.as_bytes()),
    ];
    for (name, contents) in blobs {
        let command = Zeroizing::new(format!("SET blob {MARK}-{name} {}", *hex(contents)));
        control.done(&command).await?;
    }
    // 3
    let made = match place {
        Place::Port(server_name) => {
            // A port has nothing to look for.
            control.done("AP_SCAN 0").await?;
            vec![describe(control, port(server_name.as_deref()), member).await?]
        }
        Place::Air(networks) => {
            let mut made = Vec::with_capacity(networks.len());
            for (place, network) in networks.iter().enumerate() {
                made.push(describe(control, air(place, network), member).await?);
            }
            made
        }
    };
    // 4
    join(control, &made).await
}

/// Step 4. What is selected is also tried at once, where the supplicant had left it alone after failures.
async fn join(control: &mut Control, networks: &[u32]) -> Result<(), SupplicantError> {
    for (place, id) in networks.iter().enumerate() {
        let order = if place == 0 { "SELECT" } else { "ENABLE" };
        control.done(&format!("{order}_NETWORK {id}")).await?;
    }
    // One that is associated already does not look at what was selected.
    control.ask("REASSOCIATE").await.map(drop)
}

/// Step 3, one block.
async fn describe(
    control: &mut Control,
    own: Vec<(&'static str, String)>,
    member: &Member,
) -> Result<u32, SupplicantError> {
    let id = control.number("ADD_NETWORK").await?;
    for (name, value) in own.into_iter().chain(proof(&member.identity)) {
        let set = format!("SET_NETWORK {id} {name} {value}");
        if let Err(error) = control.done(&set).await {
            // Half a network must not be joined by its weaker half.
            control.ask(&format!("REMOVE_NETWORK {id}")).await?;
            return Err(error);
        }
    }
    Ok(id)
}

/// Step 1; how many there were.
pub(crate) async fn take_back(control: &mut Control) -> Result<usize, SupplicantError> {
    let removed = control.remove_marked(MARK).await?;
    if removed > 0 {
        // The supplicant keeps what it was given until it gets something else.
        control.done(&format!("SET blob {MARK}-key 00")).await?;
    }
    Ok(removed)
}

/// Step 4 again: after a cut, or after another network was selected.
pub(crate) async fn resume(control: &mut Control) -> Result<(), SupplicantError> {
    let ours = control.marked(MARK).await?;
    if ours.is_empty() {
        return Ok(());
    }
    join(control, &ours).await
}

/// Step 5, until the supplicant ends, or `tries` in a row led nowhere. Each of them doubles the pause. A port
/// tells nobody that it was closed, so there the device proves itself again after `again`.
pub(crate) async fn keep(
    control: &mut Control,
    tries: Option<u32>,
    again: Option<Duration>,
) -> Result<(), SupplicantError> {
    let (mut pause, mut failed, mut proved) = (LOOK, 0, Instant::now());
    loop {
        sleep(again.map_or(pause, |again| again.min(pause))).await;
        if is_in(&control.ask("STATUS").await?) {
            (pause, failed) = (LOOK, 0);
            if again.is_some_and(|again| proved.elapsed() >= again) {
                resume(control).await?;
                proved = Instant::now();
            }
        } else if tries.is_some_and(|tries| failed >= tries) {
            return Ok(());
        } else {
            resume(control).await?;
            failed = failed.saturating_add(1);
            pause = pause.saturating_mul(2).min(LONGEST);
        }
        // Nobody reads them, and they would pile up to their bound.
        control.forget_events().await?;
    }
}

/// What the supplicant says once the device has come in; nothing where it has not by the deadline.
pub(crate) async fn came_in(
    control: &mut Control,
    deadline: Instant,
) -> Result<Option<String>, SupplicantError> {
    loop {
        let status = control.ask("STATUS").await?;
        if is_in(&status) {
            return Ok(Some(status));
        }
        if control.event(deadline).await?.is_none() {
            return Ok(None);
        }
    }
}

/// At a port the state machine of 802.1X says so, and over the air the keys have to be in place too. Both are so
/// in an open network as well, so it must be ours.
fn is_in(status: &str) -> bool {
    let is = |line: &str| status.lines().any(|it| it == line);
    is("wpa_state=COMPLETED") && is("suppPortStatus=Authorized") && is(&format!("id_str={MARK}"))
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// What tells a port from a Wi-Fi network.
fn port(server_name: Option<&str>) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("key_mgmt", "IEEE8021X".to_owned()),
        ("eapol_flags", "0".to_owned()),
    ];
    settings.extend(server(server_name));
    settings
}

/// WPA3-Enterprise: SHA-256, and management frames protected.
fn air(place: usize, network: &Network) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("ssid", hex(network.ssid.as_bytes()).to_string()),
        ("scan_ssid", "1".to_owned()),
        ("priority", 100_usize.saturating_sub(place).to_string()),
        ("key_mgmt", "WPA-EAP-SHA256".to_owned()),
        ("ieee80211w", "2".to_owned()),
    ];
    settings.extend(server(network.server_name.as_deref()));
    settings
}

fn server(name: Option<&str>) -> Option<(&'static str, String)> {
    name.map(|name| ("domain_suffix_match", quoted(name)))
}

fn proof(identity: &str) -> Vec<(&'static str, String)> {
    vec![
        ("id_str", quoted(MARK)),
        ("eap", "TLS".to_owned()),
        ("identity", quoted(identity)),
        ("ca_cert", quoted(&format!("blob://{MARK}-anchors"))),
        ("client_cert", quoted(&format!("blob://{MARK}-chain"))),
        ("private_key", quoted(&format!("blob://{MARK}-key"))),
        // wpa_supplicant 2.10 leaves TLS 1.3 out unless it is told otherwise.
        ("phase1", quoted("tls_disable_tlsv1_3=0")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(settings: &'a [(&'static str, String)], wanted: &str) -> Option<&'a str> {
        let mut settings = settings.iter();
        let found = settings.find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.as_str())
    }

    /// RFC 5216 §5.3: without the domain's CA anybody could be the server.
    #[test]
    fn no_network_is_joined_without_a_way_to_prove_its_server() {
        let proof = proof("@vouchsafe");
        let anchors = value(&proof, "ca_cert");
        assert_eq!(anchors, Some("\"blob://vouchsafe-member-anchors\""));
        assert_eq!(value(&proof, "eap"), Some("TLS"));
        let network = Network {
            ssid: "plant".to_owned(),
            server_name: Some("example.org".to_owned()),
        };
        let plant = air(0, &network);
        assert_eq!(value(&plant, "ieee80211w"), Some("2"));
        assert_eq!(value(&plant, "ssid"), Some("706c616e74"));
        for settings in [plant, port(Some("example.org"))] {
            let name = value(&settings, "domain_suffix_match");
            assert_eq!(name, Some("\"example.org\""));
        }
        assert_eq!(value(&port(None), "key_mgmt"), Some("IEEE8021X"));
    }

    #[test]
    fn a_port_that_is_not_authorized_is_not_in() {
        let ours = "id_str=vouchsafe-member\n";
        let is_in = |rest: &str| is_in(&[ours, rest].concat());
        assert!(is_in("wpa_state=COMPLETED\nsuppPortStatus=Authorized\n"));
        assert!(!is_in("wpa_state=COMPLETED\nsuppPortStatus=Unauthorized\n"));
        assert!(!is_in("wpa_state=ASSOCIATED\nsuppPortStatus=Authorized\n"));
        assert!(!is_in(
            "suppPortStatus=Authorized of another kind\nwpa_state=COMPLETED\n"
        ));
    }

    #[test]
    fn another_network_is_not_ours_to_be_in() {
        let open = "id_str=vouchsafe-way-in\nwpa_state=COMPLETED\nsuppPortStatus=Authorized\n";
        assert!(!is_in(open));
    }
}
