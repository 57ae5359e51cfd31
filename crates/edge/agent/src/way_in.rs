//! The way in of a device that comes over the air: BRSKI over IEEE 802.11.
//!
//! 1. Open networks of the device's realm, or with a name like its pattern, are looked for ([`open`]). Those that failed are left
//!    alone for a while, twice as long each time.
//! 2. One is joined. Nobody in it is believed: there is a registrar or a proxy to one, or there is not.
//! 3. There the device does what it is short of: it joins a domain by a voucher, or has its certificate renewed,
//!    or asks which network the certificate opens. Who keeps it for too long is left.
//! 4. The open network is left. What failed is told and noted, and the next one is tried.

use std::sync::PoisonError;
use std::time::Duration;

use crate::agent::Agent;
use crate::attempt;
use crate::candidate::add;
use crate::config::NetworkConfig;
use crate::error::{AgentError, Failure, LocalError};
use crate::event::Event;
use crate::folder::Credential;
use crate::random;
use crate::supplicant::open::{self, Sought};
use crate::supplicant::{Control, member};

/// Longest stay in an open network. A person who has to decide may take longer; then the device comes back.
const STAY: Duration = Duration::from_secs(600);

/// Longest pause while there is no such network at all: looking around costs nobody anything.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

impl Agent {
    /// Whether the registrar has still to tell which network this certificate opens.
    pub(crate) fn is_to_be_told(&self, credential: &Credential) -> bool {
        let config = self.device.config.network.as_ref();
        let networks = credential.stored.networks.as_ref();
        config.is_some_and(NetworkConfig::must_be_told) && networks.is_none_or(Vec::is_empty)
    }

    /// Steps 1 to 4.
    pub(crate) async fn way_in(
        &self,
        config: &NetworkConfig,
        sought: &Sought,
        once: bool,
    ) -> Result<Credential, AgentError> {
        let mut control = Control::open(&config.supplicant).await?;
        // 1
        let free = self.free(open::around(&mut control, sought).await?);
        self.device.tell(Event::Searching {
            candidates: free.len(),
        });
        let mut last = None;
        for ssid in free {
            // 2, 3
            let done = self.by(&mut control, config, &ssid, once).await;
            // 4
            open::leave(&mut control).await?;
            match done {
                Ok(credential) => return Ok(credential),
                Err(AgentError::Local(error)) => return Err(error.into()),
                Err(error) => {
                    self.put_open_aside(&ssid, &error)?;
                    last = Some(error);
                }
            }
        }
        // What it was in before, it may be in again.
        member::resume(&mut control).await?;
        Err(match last {
            Some(last) => last,
            None => {
                self.nothing_there()?;
                AgentError::NoOpenNetwork {
                    sought: sought.to_string(),
                }
            }
        })
    }

    /// Steps 2 and 3.
    async fn by(
        &self,
        control: &mut Control,
        config: &NetworkConfig,
        ssid: &str,
        once: bool,
    ) -> Result<Credential, AgentError> {
        if !open::join(control, ssid).await? {
            return Err(AgentError::NotLetIn);
        }
        self.device.tell(Event::OpenNetworkJoined {
            ssid: ssid.to_owned(),
        });
        open::settle(&config.supplicant).await;
        let here = tokio::time::timeout(STAY, self.here(once)).await;
        let credential = here.unwrap_or(Err(AgentError::Stayed { stayed: STAY }))?;
        match self.is_to_be_told(&credential) {
            true => Err(AgentError::NotTold),
            false => Ok(credential),
        }
    }

    /// Step 3, in a network where the device is now.
    async fn here(&self, once: bool) -> Result<Credential, AgentError> {
        // The addresses of another network say nothing about who has them here.
        let mut aside = self.aside();
        match self.device.folder.credential()? {
            None => self.join(&mut aside, once).await,
            Some(credential) if self.is_to_be_told(&credential) && !self.device.has_ended()? => {
                match self.asked(&credential).await {
                    Err(AgentError::NothingWorked {
                        last: Failure::Answered { status: ..500, .. },
                        ..
                    }) => self.renewed(credential, &mut aside, once).await,
                    done => done,
                }
            }
            Some(credential) => self.renewed(credential, &mut aside, once).await,
        }
    }

    /// Step 3: which networks the certificate opens, from the first of the domain who says so.
    async fn asked(&self, credential: &Credential) -> Result<Credential, AgentError> {
        let mut candidates = self.named(Some(credential))?;
        let known: Vec<_> = candidates.iter().map(|it| it.origin.clone()).collect();
        if self.device.config.mdns {
            let aside = self.aside();
            add(&mut candidates, self.discovered(&known, &aside).await?);
        }
        let (mut tried, mut last) = (0, None);
        for candidate in &candidates {
            tried += 1;
            match attempt::ask_networks(&self.device, credential.clone(), candidate).await {
                Ok(credential) => return Ok(credential),
                Err(Failure::Local(error)) => return Err(error.into()),
                Err(failure @ Failure::Answered { status: ..500, .. }) => {
                    return Err(AgentError::NothingWorked {
                        tried,
                        last: failure,
                    });
                }
                Err(failure) => last = Some(failure),
            }
        }
        Err(
            last.map_or(AgentError::NoCandidate, |last| AgentError::NothingWorked {
                tried,
                last,
            }),
        )
    }

    /// Those that are not put aside; who failed least comes first, and of those the best heard.
    fn free(&self, found: Vec<String>) -> Vec<String> {
        let now = self.device.now();
        let aside = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free: Vec<_> = found
            .into_iter()
            .filter(|ssid| aside.until(ssid, now).is_none())
            .collect();
        free.sort_by_key(|ssid| aside.failures(ssid));
        free
    }

    fn put_open_aside(&self, ssid: &str, error: &AgentError) -> Result<(), LocalError> {
        let (now, chance) = (self.device.now(), u64::from_be_bytes(random::bytes()?));
        let ssid = ssid.to_owned();
        let mut aside = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = match error {
            AgentError::NothingWorked {
                last: Failure::NotYet { retry_after },
                ..
            } => aside.come_back(&ssid, now, *retry_after),
            _ => aside.put(&ssid, now, chance),
        };
        drop(aside);
        let (code, section, text) = (error.code(), error.section(), error.to_string());
        self.device.note(&ssid, code, section, text.clone())?;
        self.device.tell(Event::OpenNetworkPutAside {
            ssid,
            code,
            section,
            text,
            seconds: pause.as_secs(),
        });
        Ok(())
    }

    /// No such network is there. That is no network's fault, so it is remembered under no name.
    fn nothing_there(&self) -> Result<(), LocalError> {
        let (now, chance) = (self.device.now(), u64::from_be_bytes(random::bytes()?));
        let mut aside = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let nobody = String::new();
        let pause = aside.put(&nobody, now, chance);
        aside.come_back(&nobody, now, pause.min(LONGEST_LOOK));
        Ok(())
    }
}
