//! The wired ports: what hostapd says of stations, what the admission says of sessions, and the packet
//! filter that must agree with both.
//!
//! Driver `wired` speaks EAPOL and blocks nothing, and its events are no account of what is: a supplicant
//! that dies and comes back makes no second one, and a listener that starts late hears none. So each
//! event is a reason to look at its port, each change of sessions a reason to look at those, and each
//! second one to look at everything:
//!
//! 1. A session that must go: deny first, then deauthenticate, then confirm. Many at once are denied in one
//!    transaction. Nobody is asked before, and what fails for one is tried again and stops no other.
//! 2. A session that belongs to another segment: moved there, in place.
//! 3. For each port, ask hostapd for its stations. One that hostapd holds for authorized **and** that has a
//!    session here that may stay is let through; one without is denied and deauthenticated.
//! 4. One that hostapd no longer holds for authorized: no longer let through.
//! 5. The table that somebody else took away is put back as soon as nftables tells of that.
//! 6. A station that the state lets in by its MAC address comes in where the bridge sees it
//!    ([`crate::bystander`]), unless one with this address has proved itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::admission::{Place, Session, Touched, Wanted};
use crate::bystander::Bystanders;
use crate::config::{PortConfig, WiredConfig};
use crate::error::GateError;
use crate::event::{Event, mac_text};
use crate::filter::{Entry, Filter, Shape, Treatment};
use crate::hostapd::{Control, Station};
use crate::radius::Desk;

/// How often everything is looked at without a reason.
const LOOK: Duration = Duration::from_secs(1);

/// How many looks pass between two at whether the packet filter holds what we put there.
const READ_BACK: u32 = 5;

/// Most changes that are followed in one transaction.
const TOGETHER: usize = 5_000;

/// How often its rules are looked at. With many stations nftables needs more than a second for that.
const READ_RULES: Duration = Duration::from_secs(60);

/// All wired ports of this machine.
pub(crate) struct Wired {
    config: WiredConfig,
    desk: Desk,
    filter: Filter,
    controls: BTreeMap<String, Control>,
    own: PathBuf,
    woken: Woken,
    helpers: JoinSet<()>,
}

/// Ports at which something happened. Clones are the same.
#[derive(Clone)]
struct Woken {
    ports: Arc<Mutex<BTreeSet<String>>>,
    count: watch::Sender<u64>,
}

impl Woken {
    fn wake(&self, port: &str) {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.insert(port.to_owned());
        drop(ports);
        self.wake_for_all();
    }

    /// What happened concerns no port alone.
    fn wake_for_all(&self) {
        self.count
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.ports.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is to be done at the ports, in this order.
#[derive(Default)]
struct Plan {
    cuts: Vec<Entry>,
    /// Sessions that must go, which a cut confirms.
    ending: Vec<(Place, Session)>,
    forgets: Vec<Entry>,
    moves: Vec<(Entry, Treatment)>,
}

impl Wired {
    /// Closes all ports. `own` is the folder for our ends of the control sockets, `join_proxy` the port of
    /// this machine's join proxy.
    pub(crate) async fn begin(
        config: WiredConfig,
        join_proxy: Option<u16>,
        desk: Desk,
        own: PathBuf,
    ) -> Result<Self, GateError> {
        let filter = Filter::begin(Shape::of(&config, join_proxy)).await?;
        Ok(Self {
            config,
            desk,
            filter,
            controls: BTreeMap::new(),
            own,
            woken: Woken {
                ports: Arc::default(),
                count: watch::Sender::new(0),
            },
            helpers: JoinSet::new(),
        })
    }

    /// Keeps the filter in agreement until the gate stops.
    pub(crate) async fn run(mut self) {
        let mut woken = self.woken.count.subscribe();
        let mut changes = self.desk.admission.changes();
        for port in self.config.ports.clone() {
            let own = self.own.join(format!("{}.events", port.interface));
            self.helpers.spawn(listen(port, own, self.woken.clone()));
        }
        let all: BTreeSet<String> = self
            .config
            .ports
            .iter()
            .map(|it| it.interface.clone())
            .collect();
        let bystanders = Bystanders::at(all.clone());
        self.helpers.spawn(bystanders.run(self.desk.clone()));
        let lost = Arc::new(AtomicBool::new(false));
        let watch = self.filter.watch_rules(READ_RULES, lost.clone());
        self.helpers.spawn(watch);
        let doubted = Arc::new(AtomicBool::new(false));
        let watch = self.filter.watch_table(LOOK, {
            let (doubted, woken) = (doubted.clone(), self.woken.clone());
            move || {
                doubted.store(true, Ordering::Release);
                woken.wake_for_all();
            }
        });
        self.helpers.spawn(watch);
        let mut looks = 0_u32;
        let mut next_look = Instant::now();
        while !self.desk.stop.load(Ordering::Acquire) {
            woken.borrow_and_update();
            changes.borrow_and_update();
            let mut ports = self.woken.take();
            let is_due = Instant::now() >= next_look;
            if doubted.swap(false, Ordering::AcqRel) && !self.filter.has_table().await {
                self.close_and_restore().await;
            }
            if is_due {
                next_look = Instant::now() + LOOK;
                looks = looks.wrapping_add(1);
                ports.clone_from(&all);
                let has_rules = !lost.swap(false, Ordering::AcqRel);
                self.read_back(looks, has_rules).await;
            }
            // 1 and 2, before anybody is asked.
            ports.extend(self.follow_sessions().await);
            // 3 and 4
            for port in self.config.ports.clone() {
                if ports.contains(&port.interface) {
                    let plan = self.look(&port).await;
                    self.carry_out(plan).await;
                }
                // Nobody who must go waits for the look at the other ports.
                if changes.has_changed().unwrap_or(false) {
                    changes.borrow_and_update();
                    for port in self.follow_sessions().await {
                        self.woken.wake(&port);
                    }
                }
            }
            tokio::select! {
                () = sleep_until(next_look) => {}
                _ = woken.changed() => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// Somebody took the table away, and the bridge is open: closed first, which is a matter of milliseconds
    /// however many stations there are.
    async fn close_and_restore(&mut self) {
        let table = &self.config.table;
        tracing::warn!(table, "the packet filter was taken away; restoring it");
        for done in [self.filter.close().await, self.filter.restore().await] {
            if let Err(error) = done {
                tracing::error!(%error, "the packet filter cannot be restored");
            }
        }
    }

    /// Somebody may have altered the table, or emptied it.
    async fn read_back(&mut self, looks: u32, has_rules: bool) {
        let in_place = !looks.is_multiple_of(READ_BACK) || self.filter.is_in_place().await;
        if in_place && has_rules {
            return;
        }
        let table = &self.config.table;
        tracing::warn!(table, "the packet filter was altered; restoring it");
        if let Err(error) = self.filter.restore().await {
            tracing::error!(%error, "the packet filter cannot be restored");
        }
    }

    /// Steps 1 and 2: by what changed in the admission. Gives the ports at which somebody may be waiting.
    ///
    /// Many changes are followed in parts, each with what must go by then: neither memory nor whoever is to be
    /// cut off has to wait for all of them.
    async fn follow_sessions(&mut self) -> BTreeSet<String> {
        let (mut ports, mut failed) = (BTreeSet::new(), BTreeSet::new());
        let mut has_segments = true;
        loop {
            let touched = self.desk.admission.take_touched(TOGETHER);
            let (version, has_more) = (touched.version, touched.has_more);
            if let Err(error) = self.filter.use_segments(touched.segments.clone()).await {
                tracing::error!(%error, "the segments in force are not those of the state");
                has_segments = false;
            }
            self.follow(touched, &mut ports, &mut failed).await;
            if !has_more {
                let version = version.filter(|_| has_segments);
                self.desk.admission.carried_out(version, failed);
                return ports;
            }
        }
    }

    async fn follow(
        &mut self,
        touched: Touched,
        ports: &mut BTreeSet<String>,
        failed: &mut BTreeSet<Place>,
    ) {
        let mut plan = Plan::default();
        for wanted in touched.places {
            let (Some(port), Some(mac)) = (wanted.place.access_point.clone(), wanted.place.mac)
            else {
                continue;
            };
            let entry = (port, mac);
            let is_through = self.is_let_through(&entry);
            match &wanted.session {
                // Below.
                Some(session) if session.ending.is_some() => {}
                Some(session) if is_through || session.is_weak() => {
                    let treatment = self.filter.treatment_for(wanted.confined.as_deref());
                    if treatment == Treatment::Denied {
                        failed.insert(wanted.place);
                    }
                    plan.moves.push((entry, treatment));
                }
                Some(_) => {
                    ports.insert(entry.0);
                }
                None if is_through => plan.forgets.push(entry),
                None => {}
            }
        }
        // All of them each time: what failed before is tried again.
        for (place, session) in touched.ending {
            match (place.access_point.clone(), place.mac) {
                (Some(port), Some(mac)) => {
                    plan.cuts.push((port, mac));
                    plan.ending.push((place, session));
                }
                // Nothing passes for a station without an address: it was never let through.
                _ => self.desk.cut_off(&place, &session, "filter"),
            }
        }
        let left = self.carry_out(plan).await;
        let admission = &self.desk.admission;
        let left = left
            .iter()
            .filter_map(|(port, mac)| admission.own_place(port, *mac));
        failed.extend(left);
    }

    fn is_let_through(&self, entry: &Entry) -> bool {
        let treatment = self.filter.treatment(entry);
        treatment.is_some_and(|it| *it != Treatment::Denied)
    }

    /// Steps 3 and 4 for one port.
    async fn look(&mut self, port: &PortConfig) -> Plan {
        let mut plan = Plan::default();
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
        let authorized = stations.iter().filter(|station| station.is_authorized);
        let authorized: BTreeSet<_> = authorized.map(|station| station.mac).collect();
        for mac in &authorized {
            let entry: Entry = (name.clone(), *mac);
            let wanted = self.desk.admission.wanted_at(name, *mac);
            let is_in = |wanted: &Wanted| {
                let session = wanted.session.as_ref();
                session.is_some_and(|session| session.ending.is_none())
            };
            match wanted.filter(is_in) {
                Some(wanted) => {
                    let treatment = self.filter.treatment_for(wanted.confined.as_deref());
                    plan.moves.push((entry, treatment));
                }
                None => plan.cuts.push(entry),
            }
        }
        let mut others = self.filter.let_through_at(name);
        others.retain(|mac| !authorized.contains(mac));
        let weak = self.desk.admission.weak_among(name, &others);
        let forgets = others.into_iter().filter(|mac| !weak.contains(mac));
        plan.forgets.extend(forgets.map(|mac| (name.clone(), mac)));
        plan
    }

    /// Cuts, then what closes, then what opens. Gives where the filter did not take it.
    async fn carry_out(&mut self, plan: Plan) -> BTreeSet<Entry> {
        let denials = plan
            .cuts
            .into_iter()
            .map(|it| (it, Some(Treatment::Denied)));
        let denials: Vec<_> = denials.collect();
        let closed: Vec<_> = denials
            .iter()
            .map(|(entry, _)| entry)
            .filter(|entry| self.is_let_through(entry))
            .cloned()
            .collect();
        let mut failed = self.apply(&denials).await;
        for entry in closed.iter().filter(|entry| !failed.contains(*entry)) {
            self.tell_closed(entry);
        }
        // Confirmed is what the filter took: whatever hostapd says, nothing passes.
        for (place, session) in &plan.ending {
            let is_done = |mac| {
                let port = place.access_point.clone().unwrap_or_default();
                !failed.contains(&(port, mac))
            };
            if place.mac.is_some_and(is_done) {
                self.desk.cut_off(place, session, "filter");
            }
        }
        for ((port, mac), _) in &denials {
            if let Some(control) = self.controls.get(port)
                && let Err(error) = control.deauthenticate(*mac).await
            {
                tracing::debug!(port, %error, "hostapd does not end a session");
                // Where it hangs, others are not to wait for each of its stations; and what it answers late
                // would be taken for another answer.
                if error.kind() == std::io::ErrorKind::TimedOut {
                    self.controls.remove(port);
                }
            }
        }
        let forgets: Vec<_> = plan.forgets.into_iter().map(|it| (it, None)).collect();
        let not_closed = self.apply(&forgets).await;
        for (entry, _) in forgets.iter().filter(|(it, _)| !not_closed.contains(it)) {
            self.tell_closed(entry);
        }
        failed.extend(not_closed);
        let denied: BTreeSet<_> = denials.iter().map(|(entry, _)| entry).collect();
        let moves = still_wanted(plan.moves, &denied, &self.filter);
        let was_through: Vec<_> = moves
            .iter()
            .map(|(it, _)| self.is_let_through(it))
            .collect();
        let not_moved = self.apply(&moves).await;
        for ((entry, treatment), was_through) in moves.into_iter().zip(was_through) {
            if not_moved.contains(&entry) {
                continue;
            }
            if self.is_let_through(&entry) {
                self.tell_opened(entry, treatment, was_through);
            } else if was_through {
                self.tell_closed(&entry);
            }
        }
        failed.extend(not_moved);
        failed
    }

    /// In one transaction; and if that fails, one for each, so that one failure stops no other. Gives those
    /// that failed.
    async fn apply(&mut self, moves: &[(Entry, Option<Treatment>)]) -> BTreeSet<Entry> {
        let mut failed = BTreeSet::new();
        if moves.is_empty() || self.filter.apply(moves).await.is_ok() {
            return failed;
        }
        if !self.filter.is_in_place().await
            && let Err(error) = self.filter.restore().await
        {
            tracing::error!(%error, "the packet filter cannot be restored");
        }
        for each in moves {
            if let Err(error) = self.filter.apply(std::slice::from_ref(each)).await {
                let (port, mac) = &each.0;
                self.tell(Event::FilterFailed {
                    port: port.clone(),
                    station: mac_text(*mac),
                    problem: error.to_string(),
                });
                failed.insert(each.0.clone());
            }
        }
        failed
    }

    fn tell_opened(&self, entry: Entry, treatment: Option<Treatment>, was_through: bool) {
        let (port, station) = (entry.0, mac_text(entry.1));
        let segment = match treatment {
            Some(Treatment::Confined(segment)) => Some(segment),
            _ => None,
        };
        if !was_through {
            self.tell(Event::PortOpened {
                port: port.clone(),
                station: station.clone(),
            });
        }
        if was_through || segment.is_some() {
            self.tell(Event::StationMoved {
                port,
                station,
                confined: segment,
            });
        }
    }

    fn tell_closed(&self, entry: &Entry) {
        self.tell(Event::PortClosed {
            port: entry.0.clone(),
            station: mac_text(entry.1),
        });
    }

    fn tell(&self, event: Event) {
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

/// Moves that change something. Who was cut off is not let in again by what was seen a moment before.
fn still_wanted(
    moves: Vec<(Entry, Treatment)>,
    denied: &BTreeSet<&Entry>,
    filter: &Filter,
) -> Vec<(Entry, Option<Treatment>)> {
    let moves = moves.into_iter();
    let moves =
        moves.filter(|(entry, it)| !denied.contains(entry) && filter.treatment(entry) != Some(it));
    moves.map(|(entry, it)| (entry, Some(it))).collect()
}

/// Wakes the loop at each event of a port, for as long as its hostapd is there; and tries again.
async fn listen(port: PortConfig, own: PathBuf, woken: Woken) {
    loop {
        if let Ok(control) = Control::open(&port.control, own.clone())
            && control.attach().await.is_ok()
        {
            loop {
                woken.wake(&port.interface);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// hostapd still held the station for authorized when it was asked, and the session went meanwhile.
    #[test]
    fn nobody_is_let_in_by_what_was_seen_before_the_cut() {
        let (cut, other) = (
            ("p1".to_owned(), [2, 0, 0, 0, 0, 1]),
            ("p2".to_owned(), [2, 0, 0, 0, 0, 2]),
        );
        let moves = vec![
            (cut.clone(), Treatment::Open),
            (other.clone(), Treatment::Open),
        ];
        let denied = BTreeSet::from([&cut]);
        let left = still_wanted(moves, &denied, &Filter::unset());
        assert_eq!(left, [(other, Some(Treatment::Open))]);
    }
}
