//! A configuration becomes network blocks of the supplicant.
//!
//! 1. Networks that an earlier hand-over made are removed; they are known by their `id_str`.
//! 2. Each network becomes one block. Secrets travel through the socket alone; keys and certificates
//!    as blobs in the supplicant's memory.
//! 3. All are enabled, the first with the highest priority.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;
use vouchsafe_dpp::Status;
use zeroize::Zeroizing;

use super::{Control, SupplicantError};
use crate::wifi::configuration::{Certificate, Configuration, Network};

/// By which our networks are known.
const MARK: &str = "vouchsafe";

/// Steps 1 to 3. What comes back are the numbers of the networks.
pub(crate) async fn hand_over(
    control: &mut Control,
    configuration: &Configuration,
) -> Result<Vec<u32>, SupplicantError> {
    take_back(control).await?;
    let mut made = Vec::with_capacity(configuration.networks.len());
    for (place, network) in configuration.networks.iter().enumerate() {
        let id = control.number("ADD_NETWORK").await?;
        if let Err(error) = describe(control, id, place, network).await {
            // Half a network must not be joined by its weaker half.
            control.ask(&format!("REMOVE_NETWORK {id}")).await?;
            return Err(error);
        }
        made.push(id);
    }
    // 3
    for id in &made {
        control.done(&format!("ENABLE_NETWORK {id}")).await?;
    }
    control.done("RECONNECT").await?;
    Ok(made)
}

/// Step 1.
pub(crate) async fn take_back(control: &mut Control) -> Result<usize, SupplicantError> {
    control.remove_marked(MARK).await
}

/// Waits until the supplicant is connected, and gives the SSID; or what is in its way at the deadline,
/// as a Connection Status Result says it.
pub(crate) async fn connected(
    control: &mut Control,
    deadline: Instant,
) -> Result<Result<String, Status>, SupplicantError> {
    loop {
        let status = control.ask("STATUS").await?;
        let value = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        if value("wpa_state") == Some("COMPLETED") {
            return Ok(Ok(value("ssid").unwrap_or_default().to_owned()));
        }
        // Before anybody answered there is no access point; after that it is a matter of proof.
        let missing = match value("wpa_state") {
            Some("AUTHENTICATING" | "ASSOCIATING" | "ASSOCIATED") => Status::AuthenticationFailure,
            Some("4WAY_HANDSHAKE" | "GROUP_HANDSHAKE") => Status::AuthenticationFailure,
            _ => Status::NoAccessPoint,
        };
        if control.event(deadline).await?.is_none() {
            return Ok(Err(missing));
        }
    }
}

/// Step 2.
async fn describe(
    control: &mut Control,
    id: u32,
    place: usize,
    network: &Network,
) -> Result<(), SupplicantError> {
    let akms: Vec<&str> = network.akm.split('+').collect();
    let has = |akm: &str| akms.contains(&akm);
    let mut methods = Vec::new();
    let mut values = vec![
        ("ssid", hex(&network.ssid)),
        ("id_str", quoted(MARK)),
        // Networks given now come before others of the device's maker.
        (
            "priority",
            plain(&100_usize.saturating_sub(place).to_string()),
        ),
        ("scan_ssid", plain("1")),
    ];
    if has("dpp")
        && let Some(connector) = &network.connector
    {
        methods.push("DPP");
        values.push(("dpp_connector", quoted(&connector.text)));
        values.push(("dpp_csign", hex(&connector.csign)));
        values.push(("dpp_netaccesskey", hex(connector.net_access_key.expose())));
        if let Some(pp_key) = &connector.pp_key {
            values.push(("dpp_pp_key", hex(pp_key)));
        }
        if let Some(expires) = connector.expires {
            let seconds = expires.as_second().to_string();
            values.push(("dpp_netaccesskey_expiry", plain(&seconds)));
        }
    }
    let passphrase = network.passphrase.as_ref().map(|secret| {
        // Checked to be text when it came.
        quoted(std::str::from_utf8(secret.expose()).unwrap_or_default())
    });
    if has("sae")
        && let Some(passphrase) = &passphrase
    {
        methods.push("SAE");
        values.push(("sae_password", passphrase.clone()));
        if let Some(identifier) = &network.identifier {
            values.push(("sae_password_id", quoted(identifier)));
        }
    }
    if has("psk") {
        methods.extend(["WPA-PSK", "WPA-PSK-SHA256"]);
        match (&passphrase, &network.psk) {
            (Some(passphrase), _) => values.push(("psk", passphrase.clone())),
            (None, Some(psk)) => values.push(("psk", hex(psk.expose()))),
            (None, None) => {}
        }
    }
    if has("dot1x")
        && let Some(certificate) = &network.certificate
    {
        methods.extend(["WPA-EAP", "WPA-EAP-SHA256"]);
        values.extend(certified(control, place, certificate).await?);
    }
    values.push(("key_mgmt", plain(&methods.join(" "))));
    // DPP and SAE ask for management frame protection; where WPA2-Personal is allowed besides, the
    // access point may lack it.
    let protection = if has("psk") || has("dot1x") { "1" } else { "2" };
    values.push(("ieee80211w", plain(protection)));
    for (name, value) in values {
        let command = Zeroizing::new(format!("SET_NETWORK {id} {name} {}", *value));
        control.done(&command).await?;
    }
    Ok(())
}

/// EAP-TLS: the blobs, and the values that name them.
async fn certified(
    control: &mut Control,
    place: usize,
    certificate: &Certificate,
) -> Result<Vec<(&'static str, Zeroizing<String>)>, SupplicantError> {
    let mut values = vec![
        ("eap", plain("TLS")),
        // EAP-TLS shows who the device is by its certificate, under the protection of TLS 1.3.
        ("identity", quoted("anonymous")),
    ];
    let mut blobs = vec![
        ("client_cert", "chain", hex(certificate.chain.as_bytes())),
        ("private_key", "key", hex(certificate.key.expose())),
    ];
    if let Some(server_ca) = &certificate.server_ca {
        blobs.push(("ca_cert", "server-ca", hex(server_ca.as_bytes())));
    }
    for (value, name, contents) in blobs {
        let name = format!("{MARK}-{place}-{name}");
        let command = Zeroizing::new(format!("SET blob {name} {}", *contents));
        control.done(&command).await?;
        values.push((value, quoted(&format!("blob://{name}"))));
    }
    if let Some(name) = &certificate.server_name {
        values.push(("domain_suffix_match", quoted(name)));
    }
    Ok(values)
}

/// The supplicant looks for the last quote, so those within need no care.
fn quoted(text: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("\"{text}\""))
}

fn plain(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

/// Hexadecimal digits of what may be secret.
pub(crate) fn hex(bytes: &[u8]) -> Zeroizing<String> {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or('0');
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(*byte));
    }
    text
}

/// The bytes of a hexadecimal text.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

/// PEM of base64 that came without its frame.
pub(crate) fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
