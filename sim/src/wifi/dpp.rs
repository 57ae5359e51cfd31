//! hostap's words for Wi-Fi Easy Connect.
//!
//! A controller needs a configurator (the C-sign key), a bootstrapping key and a network before it
//! listens; an enrollee needs a bootstrapping key only. `neg_freq` is always given: without a radio
//! there is no list of channels to choose from.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, bail};

use super::hostap::Hostap;

/// The port that the protocol is registered at.
pub const PORT: u16 = 8908;

/// How often another port is tried where the one that was free is not any more.
const TRIES: u32 = 20;

/// The channel that exchanges without a radio pretend to use, in MHz.
const CHANNEL: u32 = 2437;

/// A bootstrapping key that hostap holds.
#[derive(Debug, Clone)]
pub struct OwnKey {
    /// hostap's number for it.
    pub number: String,
    /// What a QR code would show.
    pub uri: String,
    /// SHA-256 of its SubjectPublicKeyInfo, in hexadecimal.
    pub hash: String,
}

/// A network that hostap gives out, in its own words.
#[derive(Debug, Clone)]
pub struct Network {
    /// hostap's kind: `sta-dpp`, `ap-sae`, `sta-psk` and so on.
    pub kind: String,
    /// The network's name.
    pub ssid: String,
    /// The passphrase, for kinds that have one.
    pub passphrase: Option<String>,
    /// Whatever else, ` key=value`.
    pub more: String,
}

impl Network {
    /// A network that is entered with a connector.
    #[must_use]
    pub fn connector(kind: &str, ssid: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            ssid: ssid.to_owned(),
            passphrase: None,
            more: String::new(),
        }
    }

    /// A network that is entered with a passphrase.
    #[must_use]
    pub fn passphrase(kind: &str, ssid: &str, passphrase: &str) -> Self {
        Self {
            passphrase: Some(passphrase.to_owned()),
            ..Self::connector(kind, ssid)
        }
    }

    /// hostap's parameters for it, with a configurator's number.
    fn parameters(&self, configurator: &str) -> String {
        let mut text = format!("conf={} ssid={}", self.kind, hexadecimal(&self.ssid));
        if let Some(passphrase) = &self.passphrase {
            let _ = write!(text, " pass={}", hexadecimal(passphrase));
        }
        let _ = write!(text, " configurator={configurator}{}", self.more);
        text
    }
}

impl Hostap {
    /// Makes a bootstrapping key; `curve` in hostap's words (`P-256`), `more` as ` key=value`.
    ///
    /// # Errors
    /// hostap refuses.
    pub fn bootstrapping_key(&self, curve: &str, more: &str) -> anyhow::Result<OwnKey> {
        let number = self.order(&format!(
            "DPP_BOOTSTRAP_GEN type=qrcode curve={curve}{more}"
        ))?;
        let uri = self.order(&format!("DPP_BOOTSTRAP_GET_URI {number}"))?;
        let information = self.order(&format!("DPP_BOOTSTRAP_INFO {number}"))?;
        let hash = information
            .lines()
            .find_map(|line| line.strip_prefix("pkhash="))
            .context("no pkhash")?
            .to_owned();
        Ok(OwnKey { number, uri, hash })
    }

    /// Makes a C-sign key and gives its number.
    ///
    /// # Errors
    /// hostap refuses.
    pub fn configurator(&self, curve: &str) -> anyhow::Result<String> {
        self.order(&format!("DPP_CONFIGURATOR_ADD curve={curve}"))
    }

    /// Makes another party's key known and gives its number.
    ///
    /// # Errors
    /// hostap cannot read the URI.
    pub fn scan(&self, uri: &str) -> anyhow::Result<String> {
        self.order(&format!("DPP_QR_CODE {uri}"))
    }

    /// Listens as a configurator that gives out `network`; `more` as ` key=value`. hostap copies
    /// the parameters when it starts to listen, and they must begin with a space.
    ///
    /// # Errors
    /// hostap refuses, on every port that was tried.
    pub fn listen_as_configurator(
        &self,
        configurator: &str,
        network: &Network,
        more: &str,
    ) -> anyhow::Result<SocketAddr> {
        let parameters = network.parameters(configurator);
        self.order(&format!("SET dpp_configurator_params  {parameters}"))?;
        self.listen(more)
    }

    /// Listens as an enrollee.
    ///
    /// # Errors
    /// hostap refuses, on every port that was tried.
    pub fn listen_as_enrollee(&self) -> anyhow::Result<SocketAddr> {
        self.listen(" role=enrollee")
    }

    fn listen(&self, more: &str) -> anyhow::Result<SocketAddr> {
        for _ in 0..TRIES {
            let address = free_address()?;
            let port = address.port();
            let answer = self.ask(&format!("DPP_CONTROLLER_START tcp_port={port}{more}"))?;
            if answer == "OK" {
                return Ok(address);
            }
        }
        bail!("hostap listens at none of {TRIES} free ports")
    }

    /// Calls a controller as an enrollee; `more` as ` key=value`.
    ///
    /// # Errors
    /// hostap refuses.
    pub fn call_as_enrollee(&self, peer: &str, at: SocketAddr, more: &str) -> anyhow::Result<()> {
        self.call(peer, at, &format!(" role=enrollee{more}"))
    }

    /// Calls an enrollee that listens, and gives out `network`.
    ///
    /// # Errors
    /// hostap refuses.
    pub fn call_as_configurator(
        &self,
        peer: &str,
        at: SocketAddr,
        configurator: &str,
        network: &Network,
    ) -> anyhow::Result<()> {
        let parameters = network.parameters(configurator);
        self.call(peer, at, &format!(" {parameters}"))
    }

    fn call(&self, peer: &str, at: SocketAddr, more: &str) -> anyhow::Result<()> {
        self.order(&format!(
            "DPP_AUTH_INIT peer={peer} neg_freq={CHANNEL} tcp_addr={} tcp_port={}{more}",
            at.ip(),
            at.port()
        ))?;
        Ok(())
    }

    /// Sends broken messages from now on: one of the numbers of hostap's testing options. Only
    /// `hostapd`.
    ///
    /// # Errors
    /// This build has no testing options.
    pub fn misbehave(&self, number: u32) -> anyhow::Result<()> {
        self.order(&format!("SET dpp_test {number}"))?;
        Ok(())
    }
}

fn hexadecimal(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "{byte:02x}");
        all
    })
}

/// An address of this machine whose port is free now. hostap cannot choose one itself.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr()?)
}
