//! A device that is a member of its domain comes in by 802.1X with EAP-TLS: the supplicant gets the
//! certificate, its key and the domain's CA, and is kept at it.
//!
//! 1. The network that an earlier hand-over made is removed; it is known by its `id_str`.
//! 2. Certificate, key and CA go to the supplicant as blobs in its memory, never as files.
//! 3. One network block: a wired port, or WPA3-Enterprise where an SSID is configured. The server must
//!    show a certificate of the domain that is a server's (OpenSSL asks for serverAuth), so no device
//!    of the same domain can play it.
//! 4. That network and no other is selected.
//! 5. A supplicant that was cut off does not begin again by itself; [`keep`] makes it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use vouchsafe_trust::Secret;
use zeroize::Zeroizing;

use super::hand_over::hex;
use super::{Control, SupplicantError};
use crate::config::NetworkConfig;

/// By which our network is known.
const MARK: &str = "vouchsafe-member";

/// Most networks of a supplicant that are looked at.
const MAX_LISTED: usize = 256;

/// How often a supplicant is asked whether it is in.
const LOOK: Duration = Duration::from_secs(10);

/// Longest pause between two tries to come in again.
const LONGEST: Duration = Duration::from_secs(120);

/// What the supplicant proves the device with.
#[derive(Debug)]
pub(crate) struct Member {
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
    config: &NetworkConfig,
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
    if config.ssid.is_none() {
        // A port has nothing to look for.
        control.done("AP_SCAN 0").await?;
    }
    let id = control.number("ADD_NETWORK").await?;
    for (name, value) in settings(config) {
        if let Err(error) = control
            .done(&format!("SET_NETWORK {id} {name} {value}"))
            .await
        {
            // Half a network must not be joined by its weaker half.
            control.ask(&format!("REMOVE_NETWORK {id}")).await?;
            return Err(error);
        }
    }
    // 4
    control.done(&format!("SELECT_NETWORK {id}")).await?;
    // One that is associated already does not look at what was selected.
    control.ask("REASSOCIATE").await.map(drop)
}

/// Step 1; how many there were.
pub(crate) async fn take_back(control: &mut Control) -> Result<usize, SupplicantError> {
    let listed = control.ask("LIST_NETWORKS").await?;
    let lines = listed.lines().skip(1).take(MAX_LISTED);
    let mut removed = 0;
    for id in lines.filter_map(|line| line.split('\t').next()?.parse::<u32>().ok()) {
        let mark = control.ask(&format!("GET_NETWORK {id} id_str")).await?;
        if mark.trim_matches('"') == MARK {
            control.done(&format!("REMOVE_NETWORK {id}")).await?;
            removed += 1;
        }
    }
    if removed > 0 {
        // The supplicant keeps what it was given until it gets something else.
        control.done(&format!("SET blob {MARK}-key 00")).await?;
    }
    Ok(removed)
}

/// Step 5, until dropped or the supplicant ends. Each try that leads nowhere doubles the pause.
pub(crate) async fn keep(control: &mut Control) -> Result<(), SupplicantError> {
    let mut pause = LOOK;
    loop {
        sleep(pause).await;
        if is_in(&control.ask("STATUS").await?) {
            pause = LOOK;
        } else {
            control.ask("REASSOCIATE").await?;
            pause = pause.saturating_mul(2).min(LONGEST);
        }
        // Nobody reads them, and they would pile up to their bound.
        control.forget_events().await?;
    }
}

/// Whether the device came in, at most until the deadline.
pub(crate) async fn came_in(
    control: &mut Control,
    deadline: Instant,
) -> Result<bool, SupplicantError> {
    loop {
        if is_in(&control.ask("STATUS").await?) {
            return Ok(true);
        }
        if control.event(deadline).await?.is_none() {
            return Ok(false);
        }
    }
}

/// At a port the state machine of 802.1X says so, and over the air the keys have to be in place too.
fn is_in(status: &str) -> bool {
    let is = |line: &str| status.lines().any(|it| it == line);
    is("wpa_state=COMPLETED") && is("suppPortStatus=Authorized")
}

fn settings(config: &NetworkConfig) -> Vec<(&'static str, String)> {
    let quoted = |text: &str| format!("\"{text}\"");
    let mut settings = vec![
        ("id_str", quoted(MARK)),
        ("eap", "TLS".to_owned()),
        ("identity", quoted(&config.identity)),
        ("ca_cert", quoted(&format!("blob://{MARK}-anchors"))),
        ("client_cert", quoted(&format!("blob://{MARK}-chain"))),
        ("private_key", quoted(&format!("blob://{MARK}-key"))),
        // wpa_supplicant 2.10 leaves TLS 1.3 out unless it is told otherwise.
        ("phase1", quoted("tls_disable_tlsv1_3=0")),
    ];
    match &config.ssid {
        None => settings.extend([
            ("key_mgmt", "IEEE8021X".to_owned()),
            ("eapol_flags", "0".to_owned()),
        ]),
        Some(ssid) => settings.extend([
            ("ssid", hex(ssid.as_bytes()).to_string()),
            ("scan_ssid", "1".to_owned()),
            // WPA3-Enterprise: SHA-256, and management frames protected.
            ("key_mgmt", "WPA-EAP-SHA256".to_owned()),
            ("ieee80211w", "2".to_owned()),
        ]),
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ssid: Option<&str>) -> NetworkConfig {
        NetworkConfig {
            supplicant: "/nowhere".into(),
            ssid: ssid.map(str::to_owned),
            identity: "@vouchsafe".to_owned(),
        }
    }

    fn value(config: &NetworkConfig, wanted: &str) -> Option<String> {
        let mut settings = settings(config).into_iter();
        settings.find(|(name, _)| *name == wanted).map(|it| it.1)
    }

    /// RFC 5216 §5.3: without the domain's CA anybody could be the server.
    #[test]
    fn no_network_is_joined_without_a_way_to_prove_its_server() {
        for ssid in [None, Some("plant")] {
            let config = config(ssid);
            assert_eq!(
                value(&config, "ca_cert").unwrap(),
                "\"blob://vouchsafe-member-anchors\""
            );
            assert_eq!(value(&config, "eap").unwrap(), "TLS");
        }
        let plant = config(Some("plant"));
        assert_eq!(value(&plant, "ieee80211w").unwrap(), "2");
        assert_eq!(value(&plant, "ssid").unwrap(), "706c616e74");
        assert_eq!(value(&config(None), "key_mgmt").unwrap(), "IEEE8021X");
    }

    #[test]
    fn a_port_that_is_not_authorized_is_not_in() {
        assert!(is_in("wpa_state=COMPLETED\nsuppPortStatus=Authorized\n"));
        assert!(!is_in("wpa_state=COMPLETED\nsuppPortStatus=Unauthorized\n"));
        assert!(!is_in("wpa_state=ASSOCIATED\nsuppPortStatus=Authorized\n"));
        assert!(!is_in(
            "suppPortStatus=Authorized of another kind\nwpa_state=COMPLETED\n"
        ));
    }
}
