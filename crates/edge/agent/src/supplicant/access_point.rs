//! A configuration becomes the settings of a `hostapd`, which then is an access point of the network.
//!
//! 1. Name, method, connector and keys are set through its control socket. `hostapd` keeps them in
//!    memory, not in its file, which would hold them in clear: the agent hands them over at each start.
//! 2. It takes them into use (`RELOAD`), which ends the sessions it has.
//!
//! Access points are given connectors and nothing else: which passwords stations have is in the files
//! that the controller writes for them.

use zeroize::Zeroizing;

use super::hand_over::hex;
use super::{Control, SupplicantError};
use crate::wifi::configuration::{Configuration, Connector, Network};

/// Steps 1 and 2; how many networks it has by that: an access point has one, that of the first
/// connector.
pub(crate) async fn hand_over(
    control: &mut Control,
    configuration: &Configuration,
) -> Result<usize, SupplicantError> {
    let mut networks = configuration.networks.iter();
    let found = networks.find_map(|network| Some((network, network.connector.as_ref()?)));
    let Some((network, connector)) = found else {
        return Ok(0);
    };
    for (name, value) in settings(network, connector) {
        let command = Zeroizing::new(format!("SET {name} {}", *value));
        control.done(&command).await?;
    }
    // 2
    control.done("RELOAD").await?;
    Ok(1)
}

fn settings(network: &Network, connector: &Connector) -> Vec<(&'static str, Zeroizing<String>)> {
    let plain = |text: &str| Zeroizing::new(text.to_owned());
    let mut settings = vec![
        ("ssid2", hex(&network.ssid)),
        ("wpa", plain("2")),
        ("rsn_pairwise", plain("CCMP")),
        ("ieee80211w", plain("2")),
        ("wpa_key_mgmt", plain("DPP")),
        ("dpp_connector", plain(&connector.text)),
        ("dpp_csign", hex(&connector.csign)),
        ("dpp_netaccesskey", hex(connector.net_access_key.expose())),
    ];
    if let Some(expires) = connector.expires {
        settings.push((
            "dpp_netaccesskey_expiry",
            plain(&expires.as_second().to_string()),
        ));
    }
    settings
}
