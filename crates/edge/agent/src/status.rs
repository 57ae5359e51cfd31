//! What a device has, read from its folder.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use vouchsafe_net::Clock;

use crate::birth::Birth;
use crate::config::Config;
use crate::error::LocalError;
use crate::folder::{AttemptEnd, STATE, read_attempts, read_credential, read_pending};
use crate::wifi;
use crate::wifi::configuration::WifiStatus;

/// How many attempts [`Status`] shows.
const STATUS_ATTEMPTS: usize = 10;

/// What the device has, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The product's serial number.
    pub serial: String,
    /// What kind of device it is.
    pub model: Option<String>,
    /// `new`, `joining` (a voucher is outstanding), `onboarded`, `renewal-due` or `expired`.
    pub state: &'static str,
    /// The credential in force.
    pub credential: Option<CredentialStatus>,
    /// The URI of its bootstrapping key, if it has one: the text on its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpp_uri: Option<String>,
    /// What Wi-Fi Easy Connect gave, without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wifi: Option<WifiStatus>,
    /// How many networks owe an answer.
    pub outstanding: usize,
    /// How the last attempts ended, oldest first.
    pub attempts: Vec<AttemptEnd>,
}

/// The credential in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CredentialStatus {
    /// Serial number of the certificate, hexadecimal.
    pub serial: String,
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Start of its validity.
    pub not_before: Timestamp,
    /// End of its validity.
    pub not_after: Timestamp,
    /// When it is renewed: after two thirds of its life.
    pub renew_at: Timestamp,
    /// Whether the registrar was told that it works.
    pub reported: bool,
    /// Who issued it.
    pub registrar: String,
    /// Label of its key in the key store.
    pub key: String,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_deref().unwrap_or("device");
        write!(f, "{model} {}: {}", self.serial, self.state)?;
        if let Some(credential) = &self.credential {
            write!(
                f,
                "\n  credential  {} for {}",
                credential.serial, credential.subject
            )?;
            write!(
                f,
                "\n  issued by   {} ({})",
                credential.issuer, credential.registrar
            )?;
            write!(
                f,
                "\n  valid       {} to {}",
                credential.not_before, credential.not_after
            )?;
            write!(f, "\n  renewal     {}", credential.renew_at)?;
            if !credential.reported {
                write!(f, "\n  the registrar has not been told yet")?;
            }
        }
        if let Some(wifi) = &self.wifi {
            let proved = if wifi.mutual { ", mutual" } else { "" };
            write!(f, "\n  Wi-Fi       from {}{proved}, {}", wifi.from, wifi.at)?;
            for network in &wifi.networks {
                write!(f, "\n              {} ({})", network.ssid, network.akm)?;
                if let Some(expires) = network.expires {
                    write!(f, ", until {expires}")?;
                }
            }
        }
        if self.outstanding > 0 {
            write!(f, "\n  outstanding {} voucher requests", self.outstanding)?;
        }
        for end in &self.attempts {
            write!(
                f,
                "\n  {} {}: {} {}",
                end.at, end.registrar, end.result, end.text
            )?;
        }
        Ok(())
    }
}

/// What the device in `dir` has. Reads only, also while an agent is at work.
///
/// # Errors
/// [`LocalError`] with the file.
pub fn status(dir: &Path, clock: &Clock) -> Result<Status, LocalError> {
    status_by(dir, &Config::read(dir)?, clock)
}

pub(crate) fn status_by(dir: &Path, config: &Config, clock: &Clock) -> Result<Status, LocalError> {
    let birth = Birth::open(dir)?;
    let credential = read_credential(dir)?;
    let outstanding = read_pending(dir)?.len();
    let wifi = wifi::configuration::status(&dir.join(STATE))?;
    let state = match &credential {
        None if outstanding > 0 => "joining",
        None if !config.wants_domain() && wifi.is_some() => "onboarded",
        None => "new",
        Some(credential) => {
            let now =
                birth.effective_now(config, clock.now(), credential.stored.clock_correction)?;
            if now > credential.leaf.not_after() {
                "expired"
            } else if now >= credential.renew_at() {
                "renewal-due"
            } else {
                "onboarded"
            }
        }
    };
    Ok(Status {
        serial: birth.device.serial,
        model: birth.device.model,
        state,
        credential: credential.map(|credential| CredentialStatus {
            serial: credential.leaf.serial_hex(),
            subject: credential.leaf.subject_text(),
            issuer: credential.leaf.issuer_text(),
            not_before: credential.leaf.not_before(),
            not_after: credential.leaf.not_after(),
            renew_at: credential.renew_at(),
            reported: credential.stored.reported,
            registrar: credential.stored.registrar,
            key: credential.stored.label,
        }),
        dpp_uri: birth.device.dpp_uri,
        wifi,
        outstanding,
        attempts: read_attempts(dir, STATUS_ATTEMPTS)?,
    })
}
