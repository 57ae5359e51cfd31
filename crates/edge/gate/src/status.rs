//! What the gate has, read from its folder, also while it runs.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::clients::Clients;
use crate::config::Config;
use crate::error::GateError;
use crate::gate::read_memory;
use crate::link::{LinkFolder, LinkStatus, renew_at};
use crate::source;

/// What there is to know without asking the gate itself.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The gate's certificate.
    pub certificate: GateCertificate,
    /// The domain CA's SHA-256.
    pub domain_ca: String,
    /// The newest version of the desired state that was in force.
    pub version: Option<u64>,
    /// Sessions that were written down last.
    pub sessions: usize,
    /// Its controller, if it has a link.
    pub controller: Option<String>,
    /// How the link is doing.
    pub link: Option<LinkStatus>,
}

/// The gate's certificate.
#[derive(Debug, Clone, Serialize)]
pub struct GateCertificate {
    /// Its subject.
    pub subject: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Until when it is good.
    pub not_after: Timestamp,
    /// When it is renewed, if the gate has a link.
    pub renew_at: Option<Timestamp>,
}

/// Reads what the gate in `dir` has.
///
/// # Errors
/// The configuration or a file of the gate cannot be read.
pub fn status(dir: &Path) -> Result<Status, GateError> {
    let config = Config::read(dir)?;
    let identity = source::read_identity(dir, &config)?;
    let memory = read_memory(&dir.join("sessions.json"))?;
    let leaf = identity.chain().first().cloned();
    let leaf = leaf.ok_or_else(|| GateError::content(dir, "the gate's chain is empty"))?;
    let is_linked = config.link.is_some();
    Ok(Status {
        certificate: GateCertificate {
            subject: leaf.subject_text(),
            serial: leaf.serial_hex(),
            not_after: leaf.not_after(),
            renew_at: is_linked.then(|| renew_at(&leaf)),
        },
        domain_ca: format!(
            "sha256:{}",
            hex::encode(source::read_anchor(dir, &config)?.fingerprint_sha256())
        ),
        version: memory.version,
        sessions: memory.sessions.len(),
        link: LinkFolder::of(dir).status().filter(|_| is_linked),
        controller: config.link.map(|link| link.controller),
    })
}

/// Reads all that the gate in `dir` needs before it can start.
///
/// # Errors
/// What is wrong, and in which file.
pub fn check(dir: &Path) -> Result<(), GateError> {
    let config = Config::read(dir)?;
    Clients::read(&config.radius)?;
    source::read_anchor(dir, &config)?;
    source::read_identity(dir, &config)?;
    Ok(())
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = &self.certificate;
        write!(f, "{}", certificate.subject)?;
        write!(
            f,
            "\n  certificate {} until {}",
            certificate.serial, certificate.not_after
        )?;
        if let Some(renew_at) = certificate.renew_at {
            write!(f, "\n  renewal     {renew_at}")?;
        }
        write!(f, "\n  domain CA   {}", self.domain_ca)?;
        match self.version {
            Some(version) => write!(f, "\n  state       version {version}")?,
            None => write!(f, "\n  state       none yet: nobody comes in")?,
        }
        write!(f, "\n  sessions    {}", self.sessions)?;
        let Some(controller) = &self.controller else {
            return Ok(());
        };
        write!(f, "\n  controller  {controller}")?;
        let link = self.link.clone().unwrap_or_default();
        match link.heard_at {
            Some(at) => write!(f, ", heard at {at}")?,
            None => write!(f, ", never heard of")?,
        }
        if let Some(trouble) = link.trouble {
            write!(
                f,
                "\n  trouble     since {}: {} ({})",
                trouble.since, trouble.problem, trouble.code
            )?;
        }
        Ok(())
    }
}
