//! The agent: which network is tried when, and when the credential is renewed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use vouchsafe_dpp::uri::Host;
use vouchsafe_net::{Clock, Origin};

use crate::attempt;
use crate::birth::Birth;
use crate::candidate::{Aside, Candidate, Found, MAX_CANDIDATES, add};
use crate::config::{Config, DppConfig};
use crate::device::Device;
use crate::discover;
use crate::error::{AgentError, Failure, LocalError};
use crate::event::{Event, Events};
use crate::folder::{Credential, Folder};
use crate::keys::Keys;
use crate::network;
use crate::random;
use crate::renew;
use crate::status::{Status, status_by};
use crate::wifi::code::Code;
use crate::wifi::join::Fresh;
use crate::wifi::{self, WifiError};

/// The longest sleep in one go: clocks are set, laptops suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// Seconds after which a device that is let in by its certificate tries again to report it.
const LONG_ENOUGH: u32 = 300;

/// How long a device that has its Wi-Fi configuration waits before it looks whether that has ended.
const LOOK_AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// Longest pause until others than those put aside are looked for.
const LONGEST_LOOK: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// The shortest time between two renewals.
const LEAST_REST: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// A device with its folder, which no other agent can use meanwhile.
#[derive(Debug)]
pub struct Agent {
    pub(crate) device: Device,
    /// Whether the supplicant was given the networks since this start.
    handed_over: AtomicBool,
    /// Which credential the supplicant was given for 802.1X.
    member: network::Handed,
    /// Open networks that did not work out.
    pub(crate) open: Mutex<Aside<String>>,
    /// Whether the network of the domain has kept the device out for long.
    outside: AtomicBool,
}

impl Credential {
    /// Two thirds of the way from the start of its validity to the end.
    pub(crate) fn renew_at(&self) -> Timestamp {
        let (start, end) = (self.leaf.not_before(), self.leaf.not_after());
        let life = end.duration_since(start);
        start.checked_add(life / 3 * 2).unwrap_or(end)
    }

    /// Who issued it.
    pub(crate) fn origin(&self) -> Result<Origin, LocalError> {
        self.stored
            .registrar
            .parse()
            .map_err(|error: vouchsafe_net::OriginError| {
                LocalError::damaged(Path::new("credential.json"), error)
            })
    }
}

/// How long a credential is used before it is renewed. One that is due when it comes, since a clock is wrong or
/// its authority dates it back, is used for half of what is left of it: else each would be renewed at once.
fn rest(credential: &Credential, now: Timestamp) -> jiff::SignedDuration {
    let due = credential.renew_at().duration_since(now);
    if due.is_positive() {
        return due;
    }
    let left = credential.leaf.not_after().duration_since(now);
    (left / 2).max(LEAST_REST)
}

impl Agent {
    /// Opens the device in `dir`.
    ///
    /// # Errors
    /// [`LocalError`]: no birth folder, another agent at work, a key store that does not open. A
    /// damaged `state/` shows only when it is used, so that [`Agent::reset`] can wipe it.
    pub async fn open(
        dir: impl Into<PathBuf>,
        config: Config,
        clock: Clock,
        events: Events,
    ) -> Result<Self, LocalError> {
        let dir = dir.into();
        config.check()?;
        let birth = Birth::open(&dir)?;
        let folder = Folder::open(&dir)?;
        let keys = Keys::open(birth.keys.clone(), &birth.device.key_label).await?;
        if folder.is_put_away() {
            keys.delete_all_but(&[]).await?;
            folder.wipe()?;
        }
        let device = Device {
            birth,
            keys,
            folder,
            config,
            clock,
            events,
        };
        let open = Mutex::new(aside(&device.config));
        Ok(Self {
            device,
            handed_over: AtomicBool::new(false),
            member: network::Handed::default(),
            open,
            outside: AtomicBool::new(false),
        })
    }

    /// Does what is due, once: joins a network, reports a success that was not reported, or renews.
    /// Waits where a registrar asks for it; stops when every network that was found has failed.
    ///
    /// # Errors
    /// [`AgentError`]; the device's state is as whole as before.
    pub async fn run_once(&self) -> Result<Status, AgentError> {
        let mut aside = self.aside();
        self.step(&mut aside, true).await?;
        self.status().map_err(Into::into)
    }

    /// Joins a network and stays a member: reports, renews, begins anew where nothing else helps.
    /// Ends only by an error of the device itself; drop the future to stop it at any moment.
    ///
    /// # Errors
    /// [`AgentError::Local`].
    pub async fn run(&self) -> Result<(), AgentError> {
        let mut aside = self.aside();
        loop {
            let pause = match self.step(&mut aside, false).await {
                Ok(due) => {
                    aside = self.aside();
                    *self.open.lock().unwrap_or_else(PoisonError::into_inner) = self.aside();
                    due
                }
                Err(AgentError::Local(error) | AgentError::Wifi(WifiError::Local(error))) => {
                    return Err(error.into());
                }
                Err(_) => self.next_try(&aside)?,
            };
            let until = self
                .device
                .now()
                .checked_add(pause)
                .unwrap_or(Timestamp::MAX);
            self.device.tell(Event::Sleeping { until });
            match &self.device.config.network {
                Some(network) => tokio::select! {
                    () = self.sleep_until(until) => {}
                    out = network::keep(network, &self.member) => {
                        self.outside.store(out, Ordering::Relaxed);
                    }
                },
                None => self.sleep_until(until).await,
            }
        }
    }

    /// Renews the credential now.
    ///
    /// # Errors
    /// [`AgentError::NotOnboarded`], or why no way worked.
    pub async fn renew(&self) -> Result<Status, AgentError> {
        let credential = self
            .device
            .folder
            .credential()?
            .ok_or(AgentError::NotOnboarded)?;
        self.renewed(credential, &mut self.aside(), true).await?;
        self.status().map_err(Into::into)
    }

    /// Asks for another Wi-Fi configuration now: by the connector that the device has, else by its
    /// label's key. The present one stays until there is another.
    ///
    /// # Errors
    /// [`AgentError::Wifi`], or [`LocalError::Config`] where there is no section `[dpp]`.
    pub async fn reconfigure(&self) -> Result<Status, AgentError> {
        let config = self.device.config.dpp.as_ref().ok_or(LocalError::Config {
            key: "dpp",
            why: "there is no such section".to_owned(),
        })?;
        let fresh = self.configured(config, &mut self.aside()).await?;
        wifi::join::hand(&self.device, config, fresh)
            .await
            .map_err(AgentError::Wifi)?;
        self.handed_over.store(true, Ordering::Relaxed);
        self.status().map_err(Into::into)
    }

    /// Takes a code that a person has told the controller as well. The device tries it when it asks for
    /// its Wi-Fi configuration next, a few times at most.
    ///
    /// # Errors
    /// [`LocalError`] with the file.
    pub async fn take_code(&self, code: Code) -> Result<(), LocalError> {
        wifi::join::take_code(&self.device, code).await
    }

    /// Wipes everything but the birth credential.
    ///
    /// 1. The supplicant forgets what it was given.
    /// 2. The state is put away, in one step: from here on there is no credential.
    /// 3. Keys go, and then what was put away.
    ///
    /// # Errors
    /// [`LocalError`]; one cut short after step 2 is completed when the device is opened again.
    pub async fn reset(&self) -> Result<(), LocalError> {
        if let Some(config) = &self.device.config.dpp
            && let Err(error) = wifi::join::take_back(config).await
        {
            // It forgets them when it ends: they are in no file of its own.
            tracing::warn!(%error, "the supplicant may keep the networks until it is restarted");
        }
        if let Some(config) = &self.device.config.network
            && let Err(error) = network::take_back(config).await
        {
            tracing::warn!(%error, "the supplicant may keep the credential until it is restarted");
        }
        self.device.folder.put_away()?;
        let keys = self.device.keys.delete_all_but(&[]).await?;
        self.device.folder.wipe()?;
        self.device.tell(Event::Reset { keys });
        Ok(())
    }

    /// What the device has.
    ///
    /// # Errors
    /// [`LocalError`] with the file.
    pub fn status(&self) -> Result<Status, LocalError> {
        status_by(
            self.device.folder.dir(),
            &self.device.config,
            &self.device.clock,
        )
    }

    /// Does what is due and says when the next thing will be.
    async fn step(
        &self,
        aside: &mut Aside,
        once: bool,
    ) -> Result<jiff::SignedDuration, AgentError> {
        let device = &self.device;
        if let Some(config) = &device.config.dpp {
            self.wifi(config, aside).await?;
            if !device.config.wants_domain() {
                return Ok(LOOK_AGAIN);
            }
        }
        let network = device.config.network.as_ref();
        let way_in = network.and_then(|network| Some((network, network.way_in()?)));
        let credential = match (device.folder.credential()?, &way_in) {
            (None, Some((network, sought))) => self.way_in(network, sought, once).await?,
            (None, None) => self.join(aside, once).await?,
            (Some(credential), Some((network, sought)))
                if self.outside.swap(false, Ordering::Relaxed)
                    || self.is_to_be_told(&credential)
                    || device.has_ended()? =>
            {
                self.way_in(network, sought, once).await?
            }
            (Some(credential), _) => {
                // A crash may have come between the credential and its copies.
                device.folder.copies(&credential)?;
                if let Some(network) = network
                    && !device.has_ended()?
                {
                    // Whoever is to be asked is behind it.
                    network::hand_over(device, network, &credential, &self.member).await?;
                }
                let now = device.effective_now(credential.stored.clock_correction)?;
                // A key that was lost, with a token or half a reset, is replaced as if it had run out.
                if now >= credential.renew_at() || !device.has_key(&credential).await? {
                    self.renewed(credential, aside, once).await?
                } else if credential.stored.reported {
                    credential
                } else {
                    attempt::report_success(device, credential, None)
                        .await
                        .map_err(local)?
                }
            }
        };
        if let Some(network) = network {
            network::hand_over(device, network, &credential, &self.member).await?;
        }
        let now = device.effective_now(credential.stored.clock_correction)?;
        let due = rest(&credential, now);
        Ok(if credential.stored.reported {
            due
        } else {
            // Meanwhile the supplicant is looked after, which takes its time.
            let longer = if network.is_some() { LONG_ENOUGH } else { 1 };
            due.min(jiff::SignedDuration::from_secs(
                device.config.retry_first.max(longer).into(),
            ))
        })
    }

    /// Has a Wi-Fi configuration, and the supplicant has it too.
    async fn wifi(&self, config: &DppConfig, aside: &mut Aside) -> Result<(), AgentError> {
        let device = &self.device;
        let fresh = match wifi::join::in_force(device).await? {
            Some(configuration) => {
                if self.handed_over.load(Ordering::Relaxed) {
                    return Ok(());
                }
                Fresh::from(configuration)
            }
            None => self.configured(config, aside).await?,
        };
        wifi::join::hand(device, config, fresh)
            .await
            .map_err(AgentError::Wifi)?;
        self.handed_over.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A new Wi-Fi configuration: over TCP from the first controller that gives one, else over the
    /// air.
    async fn configured(&self, config: &DppConfig, aside: &mut Aside) -> Result<Fresh, AgentError> {
        let device = &self.device;
        let before = wifi::join::before(device).await?;
        let mut last = WifiError::TimedOut;
        for controller in self.controllers(config).await? {
            let Some(address) = controller.addr else {
                continue;
            };
            let named = address.to_string();
            if aside.until(&controller.origin, device.now()).is_some() {
                continue;
            }
            if let Some(before) = &before {
                match wifi::join::ask(device, config, address, Some(before)).await {
                    Ok(fresh) => {
                        device.note(&named, "reconfigured", "", String::new())?;
                        return Ok(fresh);
                    }
                    Err(WifiError::Local(error)) => return Err(error.into()),
                    Err(error) => {
                        let (code, section) = (error.code(), error.section());
                        device.note(&named, code, section, error.to_string())?;
                    }
                }
            }
            match wifi::join::ask(device, config, address, None).await {
                Ok(fresh) => {
                    device.note(&named, "configured", "", String::new())?;
                    return Ok(fresh);
                }
                Err(WifiError::Local(error)) => return Err(error.into()),
                Err(error) => {
                    self.put_controller_aside(aside, &controller.origin, named, &error)?;
                    last = error;
                }
            }
        }
        if config.air {
            let patience = Duration::from_secs(config.patience.into());
            match wifi::join::announce(device, config, patience).await {
                Ok(configuration) => {
                    device.note("air", "configured", "", String::new())?;
                    return Ok(configuration.into());
                }
                Err(WifiError::Local(error)) => return Err(error.into()),
                Err(error) => {
                    let (code, section) = (error.code(), error.section());
                    device.note("air", code, section, error.to_string())?;
                    last = error;
                }
            }
        }
        Err(AgentError::Wifi(last))
    }

    /// Controllers for Wi-Fi Easy Connect: those configured, then those that mDNS finds.
    async fn controllers(&self, config: &DppConfig) -> Result<Vec<Candidate>, LocalError> {
        let mut found = Vec::new();
        for named in &config.controllers {
            let wrong = |why: String| LocalError::Config {
                key: "dpp.controllers",
                why,
            };
            let host: Host = named.parse().map_err(|_| wrong(named.clone()))?;
            let origin = Origin::new(host.address(), host.port());
            let resolved = tokio::net::lookup_host((host.address(), host.port())).await;
            match resolved.map(|mut addresses| addresses.next()) {
                Ok(addr) => found.push(Candidate {
                    origin,
                    addr,
                    found: Found::Configured,
                }),
                Err(error) => tracing::warn!(%error, named, "the name of a controller"),
            }
        }
        if config.mdns && found.is_empty() {
            let own = &self.device.config;
            let shown = discover::controllers(&own.mdns_interface, own.window()).await?;
            add(&mut found, shown);
        }
        Ok(found)
    }

    fn put_controller_aside(
        &self,
        aside: &mut Aside,
        controller: &Origin,
        named: String,
        error: &WifiError,
    ) -> Result<(), LocalError> {
        let now = self.device.now();
        let pause = aside.put(controller, now, u64::from_be_bytes(random::bytes()?));
        let (code, section) = (error.code(), error.section());
        self.device.note(&named, code, section, error.to_string())?;
        self.device.tell(Event::NetworkPutAside {
            registrar: named,
            code,
            section,
            text: error.to_string(),
            seconds: pause.as_secs(),
        });
        Ok(())
    }

    /// Joins the first network that takes the device. With `once`, networks that asked for patience
    /// are asked again when they wanted to be; the others had their chance.
    pub(crate) async fn join(
        &self,
        aside: &mut Aside,
        once: bool,
    ) -> Result<Credential, AgentError> {
        let device = &self.device;
        let mut candidates = self.named(None)?;
        let mut looked = !device.config.mdns;
        if candidates.is_empty() && !looked {
            candidates = self.discovered(&[], aside).await?;
            looked = !once || candidates.is_empty();
        }
        device.tell(Event::Searching {
            candidates: candidates.len(),
        });
        let (mut tried, mut waiting, mut last) = (Vec::new(), Vec::new(), None);
        loop {
            for candidate in self.in_order(candidates.clone(), aside) {
                if !tried.contains(&candidate.origin) {
                    tried.push(candidate.origin.clone());
                }
                match attempt::onboard(device, &candidate).await {
                    Ok(credential) => return self.joined(credential).map_err(Into::into),
                    Err(Failure::Local(error)) => return Err(error.into()),
                    Err(failure) => {
                        self.put_aside(aside, &candidate, &failure)?;
                        if matches!(failure, Failure::NotYet { .. }) {
                            waiting.push(candidate);
                        }
                        last = Some(failure);
                    }
                }
            }
            if !looked && tried.len() < MAX_CANDIDATES {
                // Nobody so far took the device. Only now is it worth to wait for others, and who
                // has one chance looks until a whole window brings nobody new.
                candidates = self
                    .discovered(&tried, aside)
                    .await
                    .unwrap_or_else(|error| {
                        tracing::warn!(%error, "only registrars known already are tried");
                        Vec::new()
                    });
                looked = !once || candidates.is_empty();
                device.tell(Event::Searching {
                    candidates: candidates.len(),
                });
                continue;
            }
            if !once || waiting.is_empty() {
                return Err(last.map_or(AgentError::NoCandidate, |last| {
                    AgentError::NothingWorked {
                        tried: tried.len(),
                        last,
                    }
                }));
            }
            // All of them, so that none is forgotten for the one that is ready first.
            let now = device.now();
            let until = waiting
                .iter()
                .filter_map(|candidate| aside.until(&candidate.origin, now))
                .max();
            self.sleep_until(until.unwrap_or(now)).await;
            candidates = std::mem::take(&mut waiting);
        }
    }

    fn joined(&self, credential: Credential) -> Result<Credential, LocalError> {
        let registrar = credential.stored.registrar.clone();
        self.device
            .note(&registrar, "onboarded", "", String::new())?;
        let serial = credential.leaf.serial_hex();
        self.device.tell(Event::Onboarded {
            credential: serial,
            registrar,
        });
        Ok(credential)
    }

    /// Renews by credential, by birth certificate, or by joining anew: where renewal is refused, or
    /// nobody is left to ask and the credential has ended.
    pub(crate) async fn renewed(
        &self,
        credential: Credential,
        aside: &mut Aside,
        once: bool,
    ) -> Result<Credential, AgentError> {
        let candidates = self.named(Some(&credential))?;
        let candidates = self.in_order(candidates, aside);
        let mut done = renew::renew(&self.device, credential.clone(), &candidates).await;
        if let Err(renew::Stopped::Later(failures)) = &mut done
            && self.device.config.mdns
        {
            // A device that joined through a proxy is elsewhere now; whoever else of the domain is
            // here may renew as well.
            let known: Vec<_> = candidates.iter().map(|it| it.origin.clone()).collect();
            let found = self.discovered(&known, aside).await.unwrap_or_default();
            let found = self.in_order(found, aside);
            match renew::renew(&self.device, credential, &found).await {
                Err(renew::Stopped::Later(more)) => failures.extend(more),
                other => done = other,
            }
        }
        match done {
            Ok(credential) => {
                let registrar = credential.stored.registrar.clone();
                self.device.note(&registrar, "renewed", "", String::new())?;
                Ok(credential)
            }
            Err(renew::Stopped::Local(error)) => Err(error.into()),
            Err(renew::Stopped::StartAgain) => self.join(aside, once).await,
            // A network that is gone for good must not hold a device whose credential has ended.
            Err(renew::Stopped::Later(_)) if self.device.has_ended()? => {
                self.join(aside, once).await
            }
            Err(renew::Stopped::Later(failures)) => {
                let tried = failures.len();
                let mut last = None;
                for (candidate, failure) in failures {
                    self.put_aside(aside, &candidate, &failure)?;
                    last = Some(failure);
                }
                Err(
                    last.map_or(AgentError::NoCandidate, |last| AgentError::NothingWorked {
                        tried,
                        last,
                    }),
                )
            }
        }
    }

    /// Remembered, then configured.
    pub(crate) fn named(&self, known: Option<&Credential>) -> Result<Vec<Candidate>, LocalError> {
        let mut candidates = Vec::new();
        if let Some(credential) = known {
            let origin = credential.origin()?;
            candidates.push(Candidate {
                origin,
                addr: None,
                found: Found::Remembered,
            });
        }
        let configured = self.device.config.origins()?.into_iter();
        add(
            &mut candidates,
            configured.map(|origin| Candidate {
                origin,
                addr: None,
                found: Found::Configured,
            }),
        );
        Ok(candidates)
    }

    /// Those that mDNS finds beside these.
    ///
    /// Those that were put aside are known too: they would end the search before others are found.
    pub(crate) async fn discovered(
        &self,
        known: &[Origin],
        aside: &Aside,
    ) -> Result<Vec<Candidate>, LocalError> {
        let config = &self.device.config;
        let away = aside.away(self.device.now());
        let known: Vec<_> = known.iter().chain(away).cloned().collect();
        discover::browse(&config.mdns_interface, config.window(), &known).await
    }

    /// Those that are not put aside; who failed least comes first.
    fn in_order(&self, candidates: Vec<Candidate>, aside: &Aside) -> Vec<Candidate> {
        let now = self.device.now();
        let mut free: Vec<_> = candidates
            .into_iter()
            .filter(|candidate| aside.until(&candidate.origin, now).is_none())
            .collect();
        free.sort_by_key(|candidate| (aside.failures(&candidate.origin), candidate.found));
        free
    }

    fn put_aside(
        &self,
        aside: &mut Aside,
        candidate: &Candidate,
        failure: &Failure,
    ) -> Result<(), LocalError> {
        let now = self.device.now();
        let pause = match failure {
            Failure::NotYet { retry_after } => {
                aside.come_back(&candidate.origin, now, *retry_after)
            }
            _ => aside.put(&candidate.origin, now, u64::from_be_bytes(random::bytes()?)),
        };
        let (code, section) = (failure.code(), failure.section());
        let registrar = candidate.origin.to_string();
        self.device
            .note(&registrar, code, section, failure.to_string())?;
        self.device.tell(Event::NetworkPutAside {
            registrar,
            code,
            section,
            text: failure.to_string(),
            seconds: pause.as_secs(),
        });
        Ok(())
    }

    /// How long until some network may be tried again.
    fn next_try(&self, aside: &Aside) -> Result<jiff::SignedDuration, LocalError> {
        let now = self.device.now();
        let first = jiff::SignedDuration::from_secs(self.device.config.retry_first.into());
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let soonest = [aside.soonest(now), open.soonest(now)];
        let soonest = soonest.into_iter().flatten().min();
        let soonest = soonest.map(|until| until.duration_since(now));
        let pause = soonest.unwrap_or(first);
        // Those that refused are no reason to look for others seldom.
        Ok(match self.device.config.mdns {
            true => pause.min(LONGEST_LOOK),
            false => pause,
        })
    }

    /// In pieces, since the machine's clock may be set or the machine sleep meanwhile.
    async fn sleep_until(&self, until: Timestamp) {
        loop {
            let left = until.duration_since(self.device.now());
            let Ok(left) = Duration::try_from(left) else {
                return;
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
        }
    }

    pub(crate) fn aside<K: Ord + Clone>(&self) -> Aside<K> {
        aside(&self.device.config)
    }
}

fn aside<K: Ord + Clone>(config: &Config) -> Aside<K> {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Aside::new(seconds(config.retry_first), seconds(config.retry_longest))
}

fn local(failure: Failure) -> AgentError {
    match failure {
        Failure::Local(error) => error.into(),
        last => AgentError::NothingWorked { tried: 1, last },
    }
}
