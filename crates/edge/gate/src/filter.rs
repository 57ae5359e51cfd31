//! The packet filter of the wired ports: an nftables table of the bridge family, default drop.
//!
//! ```text
//! deny set (port, station)   ── drop, before anything else
//! allow set (port, station)  ── accept, to and from
//! broadcast to open ports    ── accept, from uplinks only
//! everything else            ── drop
//! ```
//!
//! EAPOL is accepted to this machine, never onwards: the bridge hands link-local frames to hostapd
//! through its input hook.
//! The sets are keyed by port **and** station, so that a copied address opens no other port. The deny set
//! stands first: in a table with connection tracking, a live flow survives the removal of what
//! allowed it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::config::WiredConfig;
use crate::error::GateError;
use crate::event::mac_text;

/// Most entries of the deny set; the oldest go first, and are then simply not allowed.
const MAX_DENIED: usize = 16_384;

/// A station at a port.
pub(crate) type Entry = (String, [u8; 6]);

/// The table, and what we put into it.
#[derive(Debug)]
pub(crate) struct Filter {
    table: String,
    allowed: BTreeSet<Entry>,
    denied: BTreeSet<Entry>,
    denied_order: std::collections::VecDeque<Entry>,
}

impl Filter {
    /// Puts the table in place, empty: nothing passes. An older one of the same name goes in the same
    /// transaction.
    pub(crate) async fn begin(config: &WiredConfig) -> Result<Self, GateError> {
        let table = &config.table;
        let uplinks = quoted(&config.uplinks);
        let text = format!(
            "add table bridge {table}\n\
             delete table bridge {table}\n\
             table bridge {table} {{\n\
             set denied {{ type ifname . ether_addr; }}\n\
             set allowed {{ type ifname . ether_addr; }}\n\
             set open {{ type ifname; }}\n\
             set uplinks {{ type ifname; elements = {{ {uplinks} }} }}\n\
             chain decide {{\n\
             ether type 0x888e accept\n\
             iifname . ether saddr @denied drop\n\
             iifname . ether saddr @allowed accept\n\
             iifname @uplinks accept\n\
             drop\n\
             }}\n\
             chain forward {{ type filter hook forward priority -200; policy drop;\n\
             oifname . ether daddr @denied drop\n\
             iifname . ether saddr @denied drop\n\
             iifname . ether saddr @allowed oifname @uplinks accept\n\
             iifname @uplinks oifname . ether daddr @allowed accept\n\
             iifname @uplinks oifname @open ether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00 accept\n\
             iifname @uplinks oifname @uplinks accept\n\
             }}\n\
             chain input {{ type filter hook input priority -200; policy drop; jump decide; }}\n\
             }}\n"
        );
        nft(&text).await?;
        Ok(Self {
            table: table.clone(),
            allowed: BTreeSet::new(),
            denied: BTreeSet::new(),
            denied_order: std::collections::VecDeque::new(),
        })
    }

    /// Whether a station is let through at a port.
    pub(crate) fn allows(&self, entry: &Entry) -> bool {
        self.allowed.contains(entry)
    }

    /// The stations let through at a port.
    pub(crate) fn allowed_at(&self, port: &str) -> Vec<[u8; 6]> {
        let here = self.allowed.iter().filter(|(name, _)| name == port);
        here.map(|(_, mac)| *mac).collect()
    }

    /// Lets a station through.
    pub(crate) async fn allow(&mut self, entry: &Entry) -> Result<(), GateError> {
        let table = &self.table;
        let (port, element) = (&entry.0, element(entry));
        let mut text = String::new();
        if self.denied.contains(entry) {
            let _ = writeln!(text, "delete element bridge {table} denied {{ {element} }}");
        }
        let _ = writeln!(text, "add element bridge {table} allowed {{ {element} }}");
        let _ = writeln!(text, "add element bridge {table} open {{ \"{port}\" }}");
        nft(&text).await?;
        self.denied.remove(entry);
        self.denied_order.retain(|denied| denied != entry);
        self.allowed.insert(entry.clone());
        Ok(())
    }

    /// Stops a station at a port: into the deny set first, out of the allow set with it.
    pub(crate) async fn deny(&mut self, entry: &Entry) -> Result<(), GateError> {
        let table = &self.table;
        let element = element(entry);
        let mut text = format!("add element bridge {table} denied {{ {element} }}\n");
        text.push_str(&self.without(entry));
        nft(&text).await?;
        self.allowed.remove(entry);
        if self.denied.insert(entry.clone()) {
            self.denied_order.push_back(entry.clone());
        }
        if self.denied_order.len() > MAX_DENIED
            && let Some(oldest) = self.denied_order.pop_front()
        {
            let element = self::element(&oldest);
            let table = &self.table;
            nft(&format!(
                "delete element bridge {table} denied {{ {element} }}\n"
            ))
            .await?;
            self.denied.remove(&oldest);
        }
        Ok(())
    }

    /// Forgets a station that left by itself.
    pub(crate) async fn forget(&mut self, entry: &Entry) -> Result<(), GateError> {
        let text = self.without(entry);
        if !text.is_empty() {
            nft(&text).await?;
            self.allowed.remove(entry);
        }
        Ok(())
    }

    /// Whether the table is still there with our entries; somebody may have flushed it.
    pub(crate) async fn is_in_place(&self) -> bool {
        let table = &self.table;
        let Ok(listed) = list(&["list", "set", "bridge", table, "allowed"]).await else {
            return false;
        };
        self.allowed
            .iter()
            .all(|(port, mac)| listed.contains(&format!("\"{port}\" . {}", mac_text(*mac))))
    }

    /// What takes an entry out of the allow set, and closes the port when it was the last.
    fn without(&self, entry: &Entry) -> String {
        let table = &self.table;
        let mut text = String::new();
        if self.allowed.contains(entry) {
            let element = element(entry);
            let _ = writeln!(
                text,
                "delete element bridge {table} allowed {{ {element} }}"
            );
            let others = self.allowed.iter().filter(|(port, _)| *port == entry.0);
            if others.count() == 1 {
                let port = &entry.0;
                let _ = writeln!(text, "delete element bridge {table} open {{ \"{port}\" }}");
            }
        }
        text
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

fn element((port, mac): &Entry) -> String {
    format!("\"{port}\" . {}", mac_text(*mac))
}

/// One transaction: all of it, or nothing.
async fn nft(text: &str) -> Result<(), GateError> {
    let failed = |error: std::io::Error| GateError::Filter(error.to_string());
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes()).await.map_err(failed)?;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(GateError::Filter(said.trim().to_owned()))
}

async fn list(arguments: &[&str]) -> Result<String, GateError> {
    let failed = |error: std::io::Error| GateError::Filter(error.to_string());
    let output = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(GateError::Filter(said.trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
