//! What the agent does, as it does it: one record a step, for people who watch and for programs.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

/// A step, with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// When, by the device's own clock.
    pub at: Timestamp,
    /// The product's serial number.
    pub serial: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened. Serializes as `{"event":"voucher-accepted",…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "snake_case"
)]
#[non_exhaustive]
pub enum Event {
    /// The agent looks for a network.
    Searching {
        /// How many candidates it knows.
        candidates: usize,
    },
    /// Provisional TLS stands (RFC 8995 §5.1).
    Connected {
        /// The registrar's address.
        registrar: String,
        /// How it was found.
        found: &'static str,
        /// Subject of the certificate it shows; not believed yet.
        subject: String,
    },
    /// A voucher was asked for (RFC 8995 §5.2).
    VoucherRequested {
        /// The registrar's address.
        registrar: String,
        /// Whether the very same request was sent before.
        again: bool,
    },
    /// The registrar asks for patience (RFC 8995 §5.6).
    Waiting {
        /// The registrar's address.
        registrar: String,
        /// In seconds.
        retry_after: u64,
        /// What it said.
        said: String,
    },
    /// The voucher is the manufacturer's, and the connection is the domain's (RFC 8995 §5.6).
    VoucherAccepted {
        /// The registrar's address.
        registrar: String,
        /// The manufacturer's assertion.
        assertion: &'static str,
        /// Subject of the domain's certificate, or how its key is pinned.
        domain: String,
    },
    /// The device refused the voucher or the connection, and told the registrar.
    VoucherRefused {
        /// The registrar's address.
        registrar: String,
        /// The reason's code.
        code: &'static str,
        /// The section it rests on.
        section: &'static str,
        /// For people.
        text: String,
    },
    /// A certificate was asked for (RFC 8995 §5.9).
    EnrolmentRequested {
        /// The registrar's address.
        registrar: String,
    },
    /// Key, certificate and anchors are durable.
    CredentialInstalled {
        /// The certificate's serial number, hexadecimal.
        credential: String,
        /// Its subject.
        subject: String,
        /// Its end.
        not_after: Timestamp,
        /// When it will be renewed.
        renew_at: Timestamp,
        /// Whether it takes the place of another.
        renewal: bool,
    },
    /// Success was reported on a new connection with the new certificate (RFC 8995 §5.9.4).
    EnrolmentReported {
        /// The registrar's address.
        registrar: String,
    },
    /// The device belongs to a domain and can work.
    Onboarded {
        /// The certificate's serial number, hexadecimal.
        credential: String,
        /// The registrar's address.
        registrar: String,
    },
    /// This network did not work out for now.
    NetworkPutAside {
        /// The registrar's address.
        registrar: String,
        /// The reason's code.
        code: &'static str,
        /// The section it rests on.
        section: &'static str,
        /// For people.
        text: String,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// A renewal did not work out; the next way is tried.
    RenewalFailed {
        /// Which way: `credential` or `birth-certificate`.
        with: &'static str,
        /// The reason's code.
        code: &'static str,
        /// For people.
        text: String,
    },
    /// The device announced itself over the air (Wi-Fi Easy Connect 3.0 §6.2).
    WifiAnnounced,
    /// Device and controller authenticated each other (Wi-Fi Easy Connect 3.0 §6.3).
    WifiAuthenticated {
        /// The controller's address, or `air`.
        controller: String,
        /// Whether the controller proved a key that the device knew.
        mutual: bool,
        /// The protocol's version.
        version: u8,
    },
    /// The controller asks to come back: nobody has decided yet.
    WifiWaiting {
        /// The controller's address.
        controller: String,
        /// For how long.
        milliseconds: u64,
    },
    /// The device has its Wi-Fi configuration, durably.
    WifiConfigured {
        /// The controller's address, or `air`.
        from: String,
        /// Whether the controller proved a key that the device knew.
        mutual: bool,
        /// The SSIDs.
        networks: Vec<String>,
    },
    /// The supplicant has the networks.
    WifiHandedOver {
        /// How many.
        networks: usize,
    },
    /// The supplicant is connected.
    WifiJoined {
        /// To which network.
        ssid: String,
    },
    /// The device is in an open network, in which it believes nobody.
    OpenNetworkJoined {
        /// Its name.
        ssid: String,
    },
    /// This open network did not work out for now.
    OpenNetworkPutAside {
        /// Its name.
        ssid: String,
        /// The reason's code.
        code: &'static str,
        /// The section it rests on.
        section: &'static str,
        /// For people.
        text: String,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The registrar told which networks the certificate opens.
    NetworksTold {
        /// The registrar's address.
        registrar: String,
        /// Their names.
        networks: Vec<String>,
    },
    /// The supplicant has the credential for 802.1X.
    NetworkJoined {
        /// The certificate's serial number.
        credential: String,
        /// The Wi-Fi network; none at a wired port.
        #[serde(skip_serializing_if = "Option::is_none")]
        ssid: Option<String>,
        /// Whether the network took the device by now.
        is_in: bool,
    },
    /// The supplicant could not be given the credential.
    NetworkFailed {
        /// Stable name.
        code: &'static str,
        /// What happened.
        text: String,
    },
    /// Nothing to do until then.
    Sleeping {
        /// When the agent goes on.
        until: Timestamp,
    },
    /// Everything but the birth credential is gone.
    Reset {
        /// How many keys were destroyed.
        keys: usize,
    },
    /// The device has its birth credential.
    Born {
        /// `file`, `pkcs11` or `tpm`.
        keys: &'static str,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Searching { candidates } => write!(f, "found {candidates} networks to try"),
            Self::Connected {
                registrar,
                found,
                subject,
            } => {
                write!(
                    f,
                    "connected to {registrar} ({found}), which says it is {subject}"
                )
            }
            Self::VoucherRequested {
                registrar,
                again: false,
            } => {
                write!(f, "asked {registrar} for a voucher")
            }
            Self::VoucherRequested {
                registrar,
                again: true,
            } => {
                write!(f, "asked {registrar} again for the voucher")
            }
            Self::Waiting {
                registrar,
                retry_after,
                said,
            } => {
                write!(f, "{registrar} asks to wait {retry_after} s: {said}")
            }
            Self::VoucherAccepted {
                registrar,
                assertion,
                domain,
            } => {
                write!(
                    f,
                    "the voucher from {registrar} is genuine ({assertion}): we belong to {domain}"
                )
            }
            Self::VoucherRefused {
                registrar,
                section,
                text,
                ..
            } => {
                write!(f, "refused the voucher from {registrar}: {text}")?;
                cite(f, text, section)
            }
            Self::EnrolmentRequested { registrar } => {
                write!(f, "made a key and asked {registrar} for a certificate")
            }
            Self::CredentialInstalled {
                credential,
                subject,
                renew_at,
                renewal,
                ..
            } => {
                let what = if *renewal { "renewed" } else { "new" };
                write!(
                    f,
                    "{what} credential {credential} for {subject}, to be renewed {renew_at}"
                )
            }
            Self::EnrolmentReported { registrar } => {
                write!(
                    f,
                    "told {registrar}, with the new credential, that it works"
                )
            }
            Self::Onboarded { registrar, .. } => write!(f, "onboarded by {registrar}"),
            Self::NetworkPutAside {
                registrar,
                section,
                text,
                seconds,
                ..
            } => {
                write!(f, "left {registrar} alone for {seconds} s: {text}")?;
                cite(f, text, section)
            }
            Self::RenewalFailed { with, text, .. } => {
                write!(f, "could not renew with the {with}: {text}")
            }
            Self::WifiAnnounced => f.write_str("announced itself over the air"),
            Self::WifiAuthenticated {
                controller, mutual, ..
            } => {
                let how = if *mutual { " (mutual)" } else { "" };
                write!(f, "authenticated with {controller}{how}")
            }
            Self::WifiWaiting {
                controller,
                milliseconds,
            } => write!(f, "{controller} asks to come back in {milliseconds} ms"),
            Self::WifiConfigured { from, networks, .. } => {
                write!(f, "configured by {from} for {}", networks.join(", "))
            }
            Self::WifiHandedOver { networks } => {
                write!(f, "handed {networks} networks to the supplicant")
            }
            Self::WifiJoined { ssid } => write!(f, "connected to {ssid}"),
            Self::OpenNetworkJoined { ssid } => write!(f, "is in the open network {ssid}"),
            Self::OpenNetworkPutAside {
                ssid,
                section,
                text,
                seconds,
                ..
            } => {
                write!(
                    f,
                    "left the open network {ssid} alone for {seconds} s: {text}"
                )?;
                cite(f, text, section)
            }
            Self::NetworksTold {
                registrar,
                networks,
            } if networks.is_empty() => {
                write!(
                    f,
                    "{registrar} knows of no network that the certificate opens"
                )
            }
            Self::NetworksTold {
                registrar,
                networks,
            } => write!(
                f,
                "{registrar} says that the certificate opens {}",
                networks.join(", ")
            ),
            Self::NetworkJoined { ssid, is_in, .. } => {
                let place = ssid.as_deref().unwrap_or("the wired port");
                match is_in {
                    true => write!(f, "in by 802.1X at {place}"),
                    false => write!(f, "asks to be let in by 802.1X at {place}"),
                }
            }
            Self::NetworkFailed { text, .. } => write!(f, "802.1X: {text}"),
            Self::Sleeping { until } => write!(f, "nothing to do until {until}"),
            Self::Reset { keys } => {
                write!(
                    f,
                    "wiped everything but the birth credential ({keys} keys destroyed)"
                )
            }
            Self::Born { keys } => write!(f, "born, with the key in {keys}"),
        }
    }
}

/// Most texts name a section themselves.
fn cite(f: &mut fmt::Formatter<'_>, text: &str, section: &str) -> fmt::Result {
    match text.contains('§') {
        true => Ok(()),
        false => write!(f, " [{section}]"),
    }
}

/// Who is told. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(&Record) + Send + Sync>);

impl Events {
    /// Calls `tell` for each record, in order.
    pub fn new(tell: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Nobody.
    pub fn ignored() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn tell(&self, record: &Record) {
        (self.0)(record);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
