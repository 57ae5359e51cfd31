//! The packet filter of the wired ports: an nftables table of the bridge family, default drop.
//!
//! ```text
//! onboarding                 ── accept, to this machine only: join proxy, mDNS, GRASP, neighbour discovery
//! deny set (port, station)   ── drop, before anything else
//! allow set (port, station)  ── accept, to and from uplinks
//! set of a confined segment  ── what its list says, to and from uplinks; else drop
//! broadcast to open ports    ── accept, from uplinks only
//! everything else            ── drop
//! ```
//!
//! EAPOL is accepted to this machine, never onwards: the bridge hands link-local frames to hostapd
//! through its input hook. From port to port nothing passes, whatever the segments.
//! The sets are keyed by port **and** station, so that a copied address opens no other port. The deny set
//! stands first: in a table with connection tracking, a live flow survives the removal of what
//! allowed it. A station changes its segment by changing its set, in one transaction.
//!
//! The bridge family sees no connections, so what a confined device may reach is told by addresses and
//! ports in both directions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vouchsafe_api::gate::TransportProtocol;

use crate::config::WiredConfig;
use crate::error::GateError;
use crate::event::mac_text;
use crate::nft;
use crate::segment::{Reach, Segments};

/// Most entries of the deny set; the oldest go first, and are then simply not allowed.
const MAX_DENIED: usize = 16_384;

/// Most elements in one line of a transaction.
const BATCH: usize = 1_000;

/// A station at a port.
pub(crate) type Entry = (String, [u8; 6]);

/// What the filter does with a station at a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It reaches everything behind the uplinks.
    Open,
    /// It reaches what its segment's list says.
    Confined(String),
    /// It is dropped ahead of everything.
    Denied,
}

/// The table, and what we put into it.
#[derive(Debug)]
pub(crate) struct Filter {
    shape: Shape,
    places: BTreeMap<Entry, Treatment>,
    denied_order: VecDeque<Entry>,
    /// Which entry is looked at next when the table is read back.
    sample: usize,
}

/// All of the table but its entries.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    table: String,
    ports: Vec<String>,
    uplinks: Vec<String>,
    onboarding: Option<Onboarding>,
    segments: Arc<Segments>,
}

#[derive(Debug, Clone)]
struct Onboarding {
    ports: Vec<u16>,
    dhcp: bool,
}

impl Shape {
    /// `join_proxy` is the port of this machine's join proxy, if it has one.
    pub(crate) fn of(config: &WiredConfig, join_proxy: Option<u16>) -> Self {
        let onboarding = match &config.onboarding {
            None if join_proxy.is_none() => None,
            None => Some(Onboarding {
                ports: join_proxy.into_iter().collect(),
                dhcp: false,
            }),
            Some(onboarding) => Some(Onboarding {
                ports: match &onboarding.ports {
                    Some(ports) => ports.clone(),
                    None => join_proxy.into_iter().collect(),
                },
                dhcp: onboarding.dhcp,
            }),
        };
        Self {
            table: config.table.clone(),
            ports: config.ports.iter().map(|it| it.interface.clone()).collect(),
            uplinks: config.uplinks.clone(),
            onboarding,
            segments: Arc::default(),
        }
    }

    /// The number of a confined segment, which its set and chains are called by.
    fn number(&self, segment: &str) -> Option<usize> {
        let mut confined = self.segments.confined();
        confined.position(|(name, _)| name == segment)
    }

    fn set(&self, treatment: &Treatment) -> String {
        match treatment {
            Treatment::Denied => "denied".to_owned(),
            Treatment::Open => "allowed".to_owned(),
            // A segment that is not confined any more opens; callers ask by the segments in force.
            Treatment::Confined(name) => match self.number(name) {
                Some(number) => format!("in_{number}"),
                None => "denied".to_owned(),
            },
        }
    }

    fn text(&self) -> String {
        let table = &self.table;
        let (uplinks, ports) = (quoted(&self.uplinks), quoted(&self.ports));
        let mut text = format!(
            "add table bridge {table}\n\
             delete table bridge {table}\n\
             table bridge {table} {{\n\
             set denied {{ type ifname . ether_addr; }}\n\
             set allowed {{ type ifname . ether_addr; }}\n\
             set open {{ type ifname; }}\n\
             set limited {{ type ifname; }}\n\
             set ports {{ type ifname; elements = {{ {ports} }} }}\n\
             set uplinks {{ type ifname; elements = {{ {uplinks} }} }}\n\
             chain asking {{\n{ASKING}}}\n\
             chain answering {{\n{ANSWERING}}}\n"
        );
        let mut chosen = (String::new(), String::new());
        for (number, (_, reach)) in self.segments.confined().enumerate() {
            let (to, from) = (allowed(reach, 'd'), allowed(reach, 's'));
            let _ = write!(
                text,
                "set in_{number} {{ type ifname . ether_addr; }}\n\
                 chain to_{number} {{\njump asking\n{to}drop\n}}\n\
                 chain from_{number} {{\njump answering\n{from}drop\n}}\n"
            );
            let _ = writeln!(
                chosen.0,
                "iifname . ether saddr @in_{number} jump to_{number}"
            );
            let _ = write!(
                chosen.1,
                "oifname @uplinks iifname . ether saddr @in_{number} jump to_{number}\n\
                 iifname @uplinks oifname . ether daddr @in_{number} jump from_{number}\n"
            );
        }
        let onboarding = self.onboarding.as_ref().map(Onboarding::text);
        let onboarding = onboarding.unwrap_or_default();
        let _ = write!(
            text,
            "chain onboarding {{\n{onboarding}}}\n\
             chain input {{ type filter hook input priority -200; policy drop;\n\
             ether type 0x888e accept\n\
             iifname @uplinks accept\n\
             iifname @ports jump onboarding\n\
             iifname . ether saddr @denied drop\n\
             iifname . ether saddr @allowed accept\n\
             {}\
             }}\n\
             chain forward {{ type filter hook forward priority -200; policy drop;\n\
             oifname . ether daddr @denied drop\n\
             iifname . ether saddr @denied drop\n\
             iifname . ether saddr @allowed oifname @uplinks accept\n\
             iifname @uplinks oifname . ether daddr @allowed accept\n\
             iifname @uplinks oifname @open {GROUP} accept\n\
             iifname @uplinks oifname @uplinks accept\n\
             {}\
             iifname @uplinks oifname @limited {GROUP} jump answering\n\
             }}\n\
             }}\n",
            chosen.0, chosen.1
        );
        text
    }
}

/// To more than one station.
const GROUP: &str = "ether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00";

/// IPv6 needs it on every link (RFC 4861, RFC 3810).
const DISCOVERY: &str = "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, \
     nd-neighbor-advert, mld-listener-report, mld2-listener-report } accept\n";

/// What a confined device says besides: to its own link, and to nobody behind it. An address is renewed
/// by the broadcast that follows when the server does not answer (RFC 2131 §4.4.5, RFC 8415 §18.2.5).
const ASKING: &str = "ether type arp accept\n\
     ip6 daddr { fe80::/10, ff02::/16 } icmpv6 type { nd-router-solicit, nd-neighbor-solicit, \
     nd-neighbor-advert, mld-listener-report, mld2-listener-report } accept\n\
     ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept\n\
     ip6 daddr ff02::1:2 udp sport 546 udp dport 547 accept\n";

/// What a confined device hears besides. What has a hop limit of 255 comes from its own link
/// (RFC 4861 §6.1.1, §7.1.1).
const ANSWERING: &str = "ether type arp accept\n\
     ip6 hoplimit 255 icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept\n\
     ip6 saddr fe80::/10 icmpv6 type { mld-listener-query, mld-listener-report, \
     mld2-listener-report } accept\n\
     udp sport 67 udp dport 68 accept\n\
     ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept\n";

impl Onboarding {
    /// mDNS finds the join proxy, and so does GRASP (RFC 8990 §2.3).
    fn text(&self) -> String {
        let mut text =
            format!("ether type arp accept\n{DISCOVERY}udp dport {{ 5353, 7017 }} accept\n");
        if !self.ports.is_empty() {
            let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
            let _ = writeln!(text, "tcp dport {{ {} }} accept", ports.join(", "));
        }
        if self.dhcp {
            text.push_str("udp dport { 67, 547 } accept\n");
        }
        text
    }
}

impl Filter {
    /// Puts the table in place, empty: nothing passes. An older one of the same name goes in the same
    /// transaction.
    pub(crate) async fn begin(shape: Shape) -> Result<Self, GateError> {
        nft::run(&shape.text()).await?;
        Ok(Self {
            shape,
            places: BTreeMap::new(),
            denied_order: VecDeque::new(),
            sample: 0,
        })
    }

    /// What is done with a station at a port; without an answer it is not known, and nothing passes.
    pub(crate) fn treatment(&self, entry: &Entry) -> Option<&Treatment> {
        self.places.get(entry)
    }

    /// What is done with a session, `confined` to a segment where the state says so. What the table does not
    /// have yet lets nobody through.
    pub(crate) fn treatment_for(&self, confined: Option<&str>) -> Treatment {
        match confined {
            Some(name) if self.shape.segments.reach(name).is_some() => {
                Treatment::Confined(name.to_owned())
            }
            Some(_) => Treatment::Denied,
            None => Treatment::Open,
        }
    }

    /// The stations let through at a port.
    pub(crate) fn let_through_at(&self, port: &str) -> Vec<[u8; 6]> {
        let first = (port.to_owned(), [0; 6]);
        let here = self.places.range(first..);
        here.take_while(|((name, _), _)| name == port)
            .filter(|(_, treatment)| **treatment != Treatment::Denied)
            .map(|((_, mac), _)| *mac)
            .collect()
    }

    /// Other segments: the whole table anew, with all that is in it, in one transaction.
    pub(crate) async fn use_segments(&mut self, segments: Arc<Segments>) -> Result<(), GateError> {
        if *self.shape.segments == *segments {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.shape.segments, segments);
        if let Err(error) = self.restore().await {
            self.shape.segments = before;
            return Err(error);
        }
        Ok(())
    }

    /// The table and all that is in it anew, in one transaction: what is in stays in all the time.
    pub(crate) async fn restore(&mut self) -> Result<(), GateError> {
        let mut text = self.shape.text();
        self.fill(&mut text);
        nft::run(&text).await
    }

    /// The table without anything in it: nothing passes until it is restored.
    pub(crate) async fn close(&self) -> Result<(), GateError> {
        nft::run(&self.shape.text()).await
    }

    /// All of `moves`, or none, in one transaction. Without a treatment a station is forgotten.
    pub(crate) async fn apply(
        &mut self,
        moves: &[(Entry, Option<Treatment>)],
    ) -> Result<(), GateError> {
        let mut places = BTreeMap::new();
        for (entry, treatment) in moves {
            places.insert(entry, treatment.as_ref());
        }
        places.retain(|entry, treatment| self.places.get(*entry) != *treatment);
        if places.is_empty() {
            return Ok(());
        }
        // The oldest denials give way.
        let new = places
            .iter()
            .filter(|(_, it)| **it == Some(&Treatment::Denied));
        let over = (self.denied_order.len() + new.count()).saturating_sub(MAX_DENIED);
        let oldest: Vec<_> = self.denied_order.iter().take(over).cloned().collect();
        for entry in &oldest {
            places.entry(entry).or_insert(None);
        }
        let mut changes: BTreeMap<(String, bool), Vec<String>> = BTreeMap::new();
        let mut change = |set: String, add, what: String| {
            changes.entry((set, add)).or_default().push(what);
        };
        let mut ports = BTreeSet::new();
        for (entry, treatment) in &places {
            ports.insert(entry.0.clone());
            let target = treatment.map(|it| self.shape.set(it));
            if let Some(before) = self.places.get(*entry).map(|it| self.shape.set(it))
                && target.as_ref() != Some(&before)
            {
                change(before, false, element(entry));
            }
            if let Some(target) = target {
                change(target, true, element(entry));
            }
        }
        let after = |port: &str, wanted: fn(&Treatment) -> bool| {
            let first = (port.to_owned(), [0; 6]);
            let here = self
                .places
                .range(first..)
                .take_while(|((name, _), _)| name == port);
            let here = here.filter(|(entry, _)| !places.contains_key(entry));
            let new = places.iter().filter(|(entry, _)| entry.0 == port);
            here.map(|(_, it)| it)
                .chain(new.filter_map(|(_, it)| *it))
                .any(wanted)
        };
        for port in ports {
            change(
                "open".to_owned(),
                after(&port, |it| *it == Treatment::Open),
                quoted(std::slice::from_ref(&port)),
            );
            change(
                "limited".to_owned(),
                after(&port, |it| matches!(it, Treatment::Confined(_))),
                quoted(&[port]),
            );
        }
        // Denials first, although the transaction is one: whoever reads the text sees the order.
        let mut text = String::new();
        let table = &self.shape.table;
        for ((set, is_added), elements) in &changes {
            write_elements(&mut text, table, set, elements, *is_added);
        }
        nft::run(&text).await?;
        self.denied_order
            .retain(|denied| !places.contains_key(denied));
        for (entry, treatment) in places {
            let entry = entry.clone();
            match treatment {
                Some(treatment) => {
                    if *treatment == Treatment::Denied {
                        self.denied_order.push_back(entry.clone());
                    }
                    self.places.insert(entry, treatment.clone());
                }
                None => {
                    self.places.remove(&entry);
                }
            }
        }
        Ok(())
    }

    /// Whether the table still holds what we put there: one of its entries is looked for, another one each
    /// time. Never all: listing is what nftables is slow at.
    pub(crate) async fn is_in_place(&mut self) -> bool {
        if !self.has_table().await {
            return false;
        }
        let table = &self.shape.table;
        if self.places.is_empty() {
            return true;
        }
        self.sample = (self.sample + 1) % self.places.len();
        let Some((entry, treatment)) = self.places.iter().nth(self.sample) else {
            return true;
        };
        let set = self.shape.set(treatment);
        nft::has(&format!("bridge {table} {set}"), &element(entry)).await
    }

    /// Whether there is the table at all. Without it the bridge is open.
    pub(crate) async fn has_table(&self) -> bool {
        let table = &self.shape.table;
        let Some(uplink) = self.shape.uplinks.first() else {
            return true;
        };
        let uplink = quoted(std::slice::from_ref(uplink));
        nft::has(&format!("bridge {table} uplinks"), &uplink).await
    }

    /// Calls `look` each time the table went, by whomever: it may be there again by then. A watch that ended
    /// begins anew after a pause.
    pub(crate) fn watch_table(
        &self,
        pause: Duration,
        look: impl Fn() + Send + Sync + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let gone = format!("delete table bridge {}", self.shape.table);
        async move {
            loop {
                let watched = nft::watch_tables(|line| {
                    if line.trim_end() == gone {
                        look();
                    }
                });
                if let Err(error) = watched.await {
                    tracing::warn!(%error, "the packet filter's tables are not watched");
                }
                tokio::time::sleep(pause).await;
                // Nobody looked meanwhile.
                look();
            }
        }
    }

    /// Looks whether the rules are still there, so often, and tells when they are not. Listing is slow, and
    /// nobody waits for it.
    pub(crate) fn watch_rules(
        &self,
        every: Duration,
        lost: Arc<AtomicBool>,
    ) -> impl Future<Output = ()> + 'static {
        let table = self.shape.table.clone();
        async move {
            loop {
                tokio::time::sleep(every).await;
                let listed = nft::list(&["list", "chain", "bridge", &table, "forward"]).await;
                let listed = listed.unwrap_or_default();
                let is_there =
                    listed.contains("daddr @denied drop") && listed.contains("saddr @denied drop");
                if !is_there {
                    lost.store(true, Ordering::Release);
                }
            }
        }
    }

    fn fill(&self, text: &mut String) {
        let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut open, mut limited) = (BTreeSet::new(), BTreeSet::new());
        for (entry, treatment) in &self.places {
            let set = self.shape.set(treatment);
            match treatment {
                Treatment::Open => open.insert(&entry.0),
                Treatment::Confined(_) => limited.insert(&entry.0),
                Treatment::Denied => false,
            };
            sets.entry(set).or_default().push(element(entry));
        }
        for (set, ports) in [("open", open), ("limited", limited)] {
            let ports = ports
                .into_iter()
                .map(|port| quoted(std::slice::from_ref(port)));
            sets.insert(set.to_owned(), ports.collect());
        }
        for (set, elements) in &sets {
            write_elements(text, &self.shape.table, set, elements, true);
        }
    }
}

/// Adding what is there changes nothing. Removing what is not there would fail the whole transaction, so it
/// is added first: nobody sees it in between.
fn write_elements(text: &mut String, table: &str, set: &str, elements: &[String], is_added: bool) {
    for elements in elements.chunks(BATCH) {
        let elements = elements.join(", ");
        let _ = writeln!(text, "add element bridge {table} {set} {{ {elements} }}");
        if !is_added {
            let _ = writeln!(text, "delete element bridge {table} {set} {{ {elements} }}");
        }
    }
}

/// What a list lets through; `side` is `d` on the way there and `s` on the way back.
fn allowed(reach: &[Reach], side: char) -> String {
    let mut lines = String::new();
    let mut groups: BTreeMap<_, Vec<&Reach>> = BTreeMap::new();
    for each in reach {
        let key = (each.address.is_ipv4(), each.protocol, each.port);
        groups.entry(key).or_default().push(each);
    }
    for ((is_ipv4, protocol, port), group) in groups {
        let family = if is_ipv4 { "ip" } else { "ip6" };
        let networks = widest(&group).join(", ");
        let _ = write!(lines, "{family} {side}addr {{ {networks} }} ");
        if let Some(protocol) = protocol {
            let protocol = match protocol {
                TransportProtocol::Tcp => "tcp",
                TransportProtocol::Udp => "udp",
            };
            let _ = match port {
                Some(port) => write!(lines, "{protocol} {side}port {port} "),
                None => write!(lines, "meta l4proto {protocol} "),
            };
        }
        lines.push_str("accept\n");
    }
    lines
}

/// Networks that no other one of them holds: the packet filter takes no overlaps.
fn widest(group: &[&Reach]) -> Vec<String> {
    let holds = |a: &Reach, b: &Reach| a.length < b.length && a.holds(b.address);
    let mut networks: Vec<_> = group
        .iter()
        .filter(|each| !group.iter().any(|other| holds(other, each)))
        .map(|each| each.network())
        .collect();
    networks.sort();
    networks.dedup();
    networks
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

fn element((port, mac): &Entry) -> String {
    format!("\"{port}\" . {}", mac_text(*mac))
}

#[cfg(test)]
impl Filter {
    /// One of which the kernel knows nothing.
    pub(crate) fn unset() -> Self {
        Self {
            shape: Shape {
                table: "t".to_owned(),
                ports: Vec::new(),
                uplinks: Vec::new(),
                onboarding: None,
                segments: Arc::default(),
            },
            places: BTreeMap::new(),
            denied_order: VecDeque::new(),
            sample: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use vouchsafe_api::gate::SegmentDefinition;

    use super::*;

    /// A segment that the table could not be given yet must not be open meanwhile.
    #[test]
    fn a_segment_that_the_table_does_not_have_lets_nobody_through() {
        let definition = SegmentDefinition {
            name: "quarantine".to_owned(),
            vlan: None,
            reach: Some(Vec::new()),
        };
        let mut filter = Filter::unset();
        let confined = Some("quarantine");
        assert_eq!(filter.treatment_for(confined), Treatment::Denied);
        filter.shape.segments = Arc::new(Segments::read(vec![definition]).unwrap());
        let expected = Treatment::Confined("quarantine".to_owned());
        assert_eq!(filter.treatment_for(confined), expected);
        assert_eq!(filter.treatment_for(None), Treatment::Open);
    }
}
