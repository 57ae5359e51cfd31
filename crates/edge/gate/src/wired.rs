//! The wired ports: what hostapd says of stations, what the admission says of sessions, and the packet
//! filter that must agree with both.
//!
//! Driver `wired` speaks EAPOL and blocks nothing, and its events are no account of what is: a supplicant
//! that dies and comes back makes no second one, and a listener that starts late hears none. So each
//! event, each change of sessions and each second is a reason to look at everything:
//!
//! 1. For each port, ask hostapd for its stations.
//! 2. A station that hostapd holds for authorized **and** that has a session here that may stay: let
//!    through.
//! 3. One whose session must go: deny first, then deauthenticate, then confirm.
//! 4. One that hostapd no longer holds for authorized: no longer let through.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{PortConfig, WiredConfig};
use crate::error::GateError;
use crate::event::{Event, mac_text};
use crate::filter::{Entry, Filter};
use crate::hostapd::{Control, Station};
use crate::radius::Desk;

/// How often everything is looked at without a reason.
const LOOK: Duration = Duration::from_secs(1);

/// How often the packet filter itself is read back.
const READ_BACK: u32 = 10;

/// All wired ports of this machine.
pub(crate) struct Wired {
    config: WiredConfig,
    desk: Desk,
    filter: Filter,
    controls: BTreeMap<String, Control>,
    own: PathBuf,
    wake: watch::Sender<u64>,
    listeners: JoinSet<()>,
}

impl Wired {
    /// Closes all ports. `own` is the folder for our ends of the control sockets.
    pub(crate) async fn begin(
        config: WiredConfig,
        desk: Desk,
        own: PathBuf,
    ) -> Result<Self, GateError> {
        let filter = Filter::begin(&config).await?;
        Ok(Self {
            config,
            desk,
            filter,
            controls: BTreeMap::new(),
            own,
            wake: watch::Sender::new(0),
            listeners: JoinSet::new(),
        })
    }

    /// Keeps the filter in agreement until the gate stops.
    pub(crate) async fn run(mut self) {
        let mut woken = self.wake.subscribe();
        let mut changes = self.desk.admission.changes();
        for port in self.config.ports.clone() {
            let own = self.own.join(format!("{}.events", port.interface));
            self.listeners.spawn(listen(port, own, self.wake.clone()));
        }
        let mut looks = 0_u32;
        while !self.desk.stop.load(Ordering::Acquire) {
            woken.borrow_and_update();
            changes.borrow_and_update();
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(READ_BACK) && !self.filter.is_in_place().await {
                self.restore().await;
            }
            for port in self.config.ports.clone() {
                if let Err(error) = self.look(&port).await {
                    tracing::warn!(port = port.interface, %error, "cannot be looked at");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = woken.changed() => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// Somebody took the table away: begin anew, and the next look fills it.
    async fn restore(&mut self) {
        tracing::warn!(
            table = self.config.table,
            "the packet filter was altered; restoring it"
        );
        match Filter::begin(&self.config).await {
            Ok(filter) => self.filter = filter,
            Err(error) => tracing::error!(%error, "the packet filter cannot be restored"),
        }
    }

    /// Steps 1 to 4 for one port.
    async fn look(&mut self, port: &PortConfig) -> Result<(), GateError> {
        let name = &port.interface;
        let stations = match self.stations(port).await {
            Ok(stations) => stations,
            Err(error) => {
                // Without its authenticator nobody can vouch for who is on the port.
                tracing::debug!(port = name, %error, "no hostapd");
                self.controls.remove(name);
                Vec::new()
            }
        };
        for station in stations.iter().filter(|station| station.is_authorized) {
            let entry: Entry = (name.clone(), station.mac);
            let at = self.desk.admission.at(name, station.mac);
            if at.is_some_and(|(_, session)| session.ending.is_none()) {
                self.open(&entry).await?;
            } else {
                self.cut(port, &entry).await?;
            }
        }
        let is_authorized = |mac: [u8; 6]| {
            let mut here = stations.iter();
            here.any(|station| station.mac == mac && station.is_authorized)
        };
        for mac in self.filter.allowed_at(name) {
            if !is_authorized(mac) {
                let entry = (name.clone(), mac);
                self.filter.forget(&entry).await?;
                self.tell_closed(&entry);
            }
        }
        self.confirm_ended(name, is_authorized);
        Ok(())
    }

    async fn open(&mut self, entry: &Entry) -> Result<(), GateError> {
        if self.filter.allows(entry) {
            return Ok(());
        }
        self.filter.allow(entry).await?;
        let event = Event::PortOpened {
            port: entry.0.clone(),
            station: mac_text(entry.1),
        };
        self.desk.events.tell(self.desk.clock.now(), event);
        Ok(())
    }

    /// Step 3.
    async fn cut(&mut self, port: &PortConfig, entry: &Entry) -> Result<(), GateError> {
        let was_open = self.filter.allows(entry);
        self.filter.deny(entry).await?;
        if was_open {
            self.tell_closed(entry);
        }
        if let Some(control) = self.controls.get(&port.interface)
            && let Err(error) = control.deauthenticate(entry.1).await
        {
            tracing::warn!(port = port.interface, %error, "hostapd does not end a session");
        }
        let at = self.desk.admission.at(&entry.0, entry.1);
        if let Some((place, session)) = at.filter(|(_, session)| session.ending.is_some()) {
            let now = self.desk.clock.now();
            if let Some(took) = self.desk.admission.gone(&place, &session.class, now) {
                let event = Event::CutOff {
                    device: session.device,
                    station: mac_text(entry.1),
                    access_point: entry.0.clone(),
                    milliseconds: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
                    confirmed_by: "filter",
                };
                self.desk.events.tell(now, event);
            }
        }
        Ok(())
    }

    /// A session that had to go, and whose station is not even there.
    fn confirm_ended(&self, name: &str, is_authorized: impl Fn([u8; 6]) -> bool) {
        let now = self.desk.clock.now();
        for (number, _) in self.desk.clients.all() {
            for (place, session) in self.desk.admission.ending(number) {
                let here = place.access_point.as_deref() == Some(name);
                if here && place.mac.is_some_and(|mac| !is_authorized(mac)) {
                    self.desk.admission.gone(&place, &session.class, now);
                }
            }
        }
    }

    fn tell_closed(&self, entry: &Entry) {
        let event = Event::PortClosed {
            port: entry.0.clone(),
            station: mac_text(entry.1),
        };
        self.desk.events.tell(self.desk.clock.now(), event);
    }

    async fn stations(&mut self, port: &PortConfig) -> std::io::Result<Vec<Station>> {
        let name = &port.interface;
        if !self.controls.contains_key(name) {
            let own = self.own.join(format!("{name}.control"));
            self.controls
                .insert(name.clone(), Control::open(&port.control, own)?);
        }
        match self.controls.get(name) {
            Some(control) => control.stations().await,
            None => Ok(Vec::new()),
        }
    }
}

/// Wakes the loop at each event of a port, for as long as its hostapd is there; and tries again.
async fn listen(port: PortConfig, own: PathBuf, wake: watch::Sender<u64>) {
    loop {
        if let Ok(control) = Control::open(&port.control, own.clone())
            && control.attach().await.is_ok()
        {
            loop {
                wake.send_modify(|count| *count = count.wrapping_add(1));
                // hostapd sends nothing when it ends; a new one does not know us.
                let event = tokio::time::timeout(LOOK * 10, control.event()).await;
                match event {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => break,
                    Err(_) if control.attach().await.is_err() => break,
                    Err(_) => {}
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
