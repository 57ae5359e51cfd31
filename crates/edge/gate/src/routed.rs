//! The deny set for gateways that route the traffic of their devices: a table of the family inet, ahead of
//! connection tracking and of every rule that lets established flows through.
//!
//! A live flow survives the removal of what allowed it. So whoever must go is dropped here first, by its
//! MAC address at the interfaces behind which devices are; what the access point is told comes after. A
//! device that comes in again is taken out of the set.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::config::RoutedConfig;
use crate::error::GateError;
use crate::event::mac_text;
use crate::nft;
use crate::radius::Desk;

/// How often the set is looked at without a reason, and tried again.
const LOOK: Duration = Duration::from_secs(2);

/// Most elements in one line of a transaction.
const BATCH: usize = 1_000;

/// The table.
pub(crate) struct Routed {
    config: RoutedConfig,
    join_proxy: Option<u16>,
    desk: Desk,
    denied: BTreeSet<[u8; 6]>,
}

impl Routed {
    /// Puts the table in place, with whoever was denied before: nobody is let through for a moment.
    pub(crate) async fn begin(
        config: RoutedConfig,
        join_proxy: Option<u16>,
        desk: Desk,
    ) -> Result<Self, GateError> {
        let denied = desk.admission.cut_off().into_iter().collect();
        let routed = Self {
            config,
            join_proxy,
            desk,
            denied,
        };
        nft::run(&routed.whole()).await?;
        Ok(routed)
    }

    /// Keeps the set in agreement until the gate stops.
    pub(crate) async fn run(mut self) {
        let mut changes = self.desk.admission.changes();
        let mut next_look = Instant::now() + LOOK;
        while !self.desk.stop.load(Ordering::Acquire) {
            changes.borrow_and_update();
            match self.agree().await {
                Ok(()) => self.confirm(),
                Err(error) => {
                    tracing::error!(%error, "the deny set of routed traffic is not up to date");
                    self.restore().await;
                }
            }
            let _ = timeout_at(next_look, changes.changed()).await;
            // Also where something changes all the time.
            if Instant::now() >= next_look {
                if !self.is_in_place().await {
                    tracing::warn!("the deny set of routed traffic was altered; restoring it");
                    self.restore().await;
                }
                next_look = Instant::now() + LOOK;
            }
        }
    }

    async fn agree(&mut self) -> Result<(), GateError> {
        let wanted: BTreeSet<_> = self.desk.admission.cut_off().into_iter().collect();
        let mut text = String::new();
        self.write(&mut text, "add", wanted.difference(&self.denied));
        // What is not there cannot be removed: it is added first, in the same transaction.
        self.write(&mut text, "add", self.denied.difference(&wanted));
        self.write(&mut text, "delete", self.denied.difference(&wanted));
        if !text.is_empty() {
            nft::run(&text).await?;
            self.denied = wanted;
        }
        Ok(())
    }

    async fn restore(&mut self) {
        if let Err(error) = nft::run(&self.whole()).await {
            tracing::error!(%error, "the packet filter cannot be restored");
        }
    }

    async fn is_in_place(&self) -> bool {
        let table = &self.config.table;
        match (self.denied.first(), self.config.interfaces.first()) {
            (Some(mac), _) => nft::has(&format!("inet {table} denied"), &mac_text(*mac)).await,
            (None, Some(interface)) => {
                let interface = format!("\"{interface}\"");
                nft::has(&format!("inet {table} interfaces"), &interface).await
            }
            (None, None) => true,
        }
    }

    /// Access points that are told nothing confirm nothing: there the filter's word counts.
    fn confirm(&self) {
        for (number, client) in self.desk.clients.all() {
            if client.disconnect.is_some() || client.is_over_tls() {
                continue;
            }
            for (place, session) in self.desk.admission.ending(number) {
                let is_denied = place.mac.is_some_and(|mac| self.denied.contains(&mac));
                if !is_denied || self.desk.admission.is_own(&place) {
                    continue;
                }
                self.desk.cut_off(&place, &session, "filter");
            }
        }
    }

    /// The table and all that is in it.
    fn whole(&self) -> String {
        let mut text = self.text();
        self.write(&mut text, "add", self.denied.iter());
        text
    }

    fn text(&self) -> String {
        let table = &self.config.table;
        let names = self.config.interfaces.iter();
        let names: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
        let names = names.join(", ");
        // A device that is out may onboard again: it reaches the join proxy, as any new one.
        let onboarding = match self.join_proxy {
            Some(port) => format!(
                "iifname @interfaces tcp dport {port} fib daddr type local accept\n\
                 iifname @interfaces udp dport {{ 67, 547, 5353, 7017 }} \
                 fib daddr type {{ local, broadcast, multicast }} accept\n\
                 iifname @interfaces icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, \
                 nd-neighbor-advert }} accept\n"
            ),
            None => String::new(),
        };
        format!(
            "add table inet {table}\n\
             delete table inet {table}\n\
             table inet {table} {{\n\
             set denied {{ type ether_addr; }}\n\
             set interfaces {{ type ifname; elements = {{ {names} }} }}\n\
             chain arriving {{ type filter hook prerouting priority -300; policy accept;\n\
             {onboarding}\
             iifname @interfaces ether saddr @denied drop\n\
             }}\n\
             }}\n"
        )
    }

    fn write<'a>(
        &self,
        text: &mut String,
        verb: &str,
        stations: impl Iterator<Item = &'a [u8; 6]>,
    ) {
        let table = &self.config.table;
        let stations: Vec<_> = stations.map(|mac| mac_text(*mac)).collect();
        for stations in stations.chunks(BATCH) {
            let stations = stations.join(", ");
            let _ = writeln!(text, "{verb} element inet {table} denied {{ {stations} }}");
        }
    }
}
