//! The chapters.
//!
//! 1. Factory, controller and gate start; the ports are closed.
//! 2. The devices are switched on and onboard. One that nobody bought is refused.
//! 3. Their agents hand the LDevIDs to their supplicants: they come in by 802.1X and talk to the service. A
//!    copied MAC address at another port gets nothing.
//! 4. One is quarantined and restored; one is revoked, and its live connection dies.
//! 5. The controller is killed, and a known device still gets in. It returns, and everything agrees.
//! 6. What the journal says, and that it was not altered.

use std::cell::Cell;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::net::{Net, Port};
use crate::demo::admission::device::Device;
use crate::demo::admission::gateway::{self, Gateway};
use crate::demo::admission::site::{OFFICE, OWNER, REMEDIATION, SERVICE, Site};
use crate::demo::admission::{PATIENCE, entry, time};
use crate::demo::finale;
use crate::demo::narrator::{Narrator, Tone};
use crate::demo::program::Program;
use crate::demo::sentence::{is, text};
use crate::demo::stage::Stage;
use crate::wifi::hostap::{Hostap, Kind, Setup};

/// Is quarantined and restored; its MAC address is copied.
const QUARANTINED: &str = "LW-0001";
/// Is revoked.
const REVOKED: &str = "LW-0002";
/// Comes back while there is no controller.
const RETURNS: &str = "LW-0003";
/// Was never sold.
const UNSOLD: &str = "LW-0004";
/// Has nothing but a MAC address that it saw.
const COPIER: &str = "a copier";

/// What the journal of the revoked device cannot lack.
const MUST_HAVE: [&str; 3] = ["credential-issued", "credential-revoked", "cut-off"];

/// Tells them; `over` says from when on everything has happened.
pub(super) async fn tell(
    stage: &Stage,
    narrator: &Narrator,
    net: &Net,
    once: bool,
    over: &Cell<bool>,
) -> anyhow::Result<()> {
    let [first, second, third, fourth, fifth] = &net.ports[..] else {
        bail!("five ports are needed");
    };
    narrator.title("Vouchsafe: a certificate opens the port, and nothing else does");
    narrator.note("every actor is a process of its own, in network namespaces of its own");
    narrator.chapter(1, "Factory, controller, gate");
    let made = [QUARANTINED, REVOKED, RETURNS, UNSOLD];
    let sold = [QUARANTINED, REVOKED, RETURNS];
    let site = Site::set_up(stage, narrator, &net.backbone, &made, &sold).await?;
    let masa = site.masa().await?;
    let controller = site.controller().await?;
    site.import(3).await?;
    let services = site.services().await?;
    let hostapd: anyhow::Result<Vec<Hostap>> = net
        .ports
        .iter()
        .map(|port| authenticator(&site, port))
        .collect();
    let hostapd = hostapd?;
    let said = "Debian's, speaks EAPOL at each port and blocks nothing; the gate's filter does";
    narrator.said("hostapd", Tone::Plain, said);
    site.command(&["segment", "set", "devices"]).await?;
    let reach = REMEDIATION.replace(':', ",tcp,");
    site.command(&["segment", "set", "quarantine", "--reach", &reach])
        .await?;
    let mut gateway = Gateway::start(&site, &settings(&site, &net.ports)).await?;
    let mut devices = [
        Device::new(&site, QUARANTINED, first.place()),
        Device::new(&site, REVOKED, second.place()),
        Device::new(&site, RETURNS, third.place()),
        Device::new(&site, UNSOLD, fourth.place()),
    ];
    let copier = Device::new(&site, COPIER, fifth.place());

    narrator.chapter(2, "The way in");
    way_in(&mut gateway, &mut devices).await?;
    narrator.chapter(3, "802.1X with the LDevID");
    let [quarantined, revoked, returns, _] = &mut devices;
    admitted(&mut gateway, &mut [quarantined, revoked, returns]).await?;
    copied(&copier, &fifth.name, quarantined).await?;
    narrator.chapter(4, "Trust ends");
    quarantine(&site, quarantined).await?;
    let steps = revoke(&site, &mut gateway, revoked).await?;
    narrator.chapter(5, "The controller is gone");
    let controller = without_controller(&site, &mut gateway, returns, controller).await?;
    narrator.chapter(6, "What remains");
    narrator.table(&["revocation, step by step", "ms", "who says so"], &steps);
    remains(&site, narrator).await?;
    over.set(true);
    narrator.note("every expected outcome happened");
    if !once {
        next_steps(stage, narrator, net);
        std::future::pending::<()>().await;
    }
    narrator.note("ending every program and removing folder and namespaces");
    for device in &mut devices {
        device.pull_out();
    }
    gateway.end().await?;
    drop(hostapd);
    controller.end_gracefully().await?;
    masa.end_gracefully().await?;
    drop(services);
    Ok(())
}

/// Chapter 2.
async fn way_in(gateway: &mut Gateway<'_>, devices: &mut [Device<'_>; 4]) -> anyhow::Result<()> {
    let [first, ..] = &*devices;
    first.reaches_not(SERVICE, "the service").await?;
    let registrar = format!("{OFFICE}:8443");
    first.reaches_not(&registrar, "the registrar").await?;
    for device in devices {
        device.switch_on()?;
        if device.name == UNSOLD {
            let refused = |line: &Value| is(line, "network-put-aside");
            device.says("refusal", refused).await?;
            device.pull_out();
            continue;
        }
        device.onboarded().await?;
        gateway.know(&device.id, device.name);
    }
    Ok(())
}

/// Chapter 3: a certificate opens a port.
async fn admitted(
    gateway: &mut Gateway<'_>,
    devices: &mut [&mut Device<'_>],
) -> anyhow::Result<()> {
    for device in devices {
        let id = device.id.clone();
        let accepted = |line: &Value| is(line, "accepted") && text(line, "device") == id;
        gateway.event("acceptance", accepted).await?;
        device.comes_in().await?;
        device.reaches_soon(SERVICE, "the service").await?;
    }
    Ok(())
}

/// Chapter 3: a MAC address alone does not.
async fn copied(copier: &Device<'_>, at: &str, of: &Device<'_>) -> anyhow::Result<()> {
    let copy = format!(
        "link set eth0 down\nlink set eth0 address {}\nlink set eth0 up\n",
        of.place.mac
    );
    copier.place.space.ip(&copy)?;
    let said = format!("has the MAC address of {}, at {at}", of.name);
    copier.say(Tone::Hostile, &said);
    copier.reaches_not(SERVICE, "the service").await?;
    copier.place.space.ip("link set eth0 down\n")?;
    of.reaches_soon(SERVICE, "the service").await
}

/// Chapter 4: less is trusted, for a while.
async fn quarantine(site: &Site<'_>, device: &Device<'_>) -> anyhow::Result<()> {
    let name = device.name;
    let why = ["--reason", "its firmware is old"];
    let change = [&["device", "quarantine", name], &why[..]].concat();
    everywhere(site, &site.command(&change).await?)?;
    device
        .reaches_soon(REMEDIATION, "the remediation service")
        .await?;
    device.reaches_not(SERVICE, "the service").await?;
    let why = ["--reason", "it was updated"];
    let change = [&["device", "restore", name], &why[..]].concat();
    everywhere(site, &site.command(&change).await?)?;
    device.reaches_soon(SERVICE, "the service").await
}

/// The answer to a change says that every gate has confirmed it; in how many milliseconds.
fn everywhere(site: &Site<'_>, answer: &Value) -> anyhow::Result<u64> {
    let enforcement = answer.get("enforcement").unwrap_or(&Value::Null);
    let waiting = enforcement.get("waiting").and_then(Value::as_array);
    ensure!(
        waiting.is_some_and(Vec::is_empty),
        "a gate did not confirm: {answer}"
    );
    let took = enforcement.pointer("/confirmed/0/milliseconds");
    let took = took.and_then(Value::as_u64).context("no gate confirmed")?;
    let said = format!("knows from the gate that it is so, after {took} ms");
    site.narrator.said(OWNER, Tone::Good, said);
    Ok(took)
}

/// Chapter 4: nothing is trusted any more. Gives the steps and when each was over.
async fn revoke(
    site: &Site<'_>,
    gateway: &mut Gateway<'_>,
    device: &Device<'_>,
) -> anyhow::Result<Vec<Vec<String>>> {
    let name = device.name;
    let mut flow = device.flow(SERVICE).await?;
    let why = ["--reason", "it was stolen"];
    let change = [&["device", "revoke", name], &why[..]].concat();
    everywhere(site, &site.command(&change).await?)?;
    let id = &device.id;
    let cut = |line: &Value| is(line, "cut-off") && text(line, "device") == id;
    let cut = gateway.event("the cut", cut).await?;
    let silent = |line: &Value| is(line, "silent");
    let silent = flow.wait_for("silence", PATIENCE, silent).await?;
    device.say(Tone::Refused, "gets nothing more over its live connection");
    device.reaches_not(SERVICE, "the service").await?;
    // It asks again by itself, and again in vain.
    let refused = |line: &Value| is(line, "refused");
    gateway.event("refusal", refused).await?;

    let journal = site.look_up(&["device", "journal", name]).await?;
    let decided = entry(&journal, "credential-revoked").context("no entry of the revocation")?;
    let decided = time(decided, "at")?;
    let journaled = entry(&journal, "cut-off").context("no entry of the cut")?;
    let row = |what: &str, at: Timestamp, who: &str| {
        let milliseconds = at.duration_since(decided).as_millis();
        vec![what.to_owned(), milliseconds.to_string(), who.to_owned()]
    };
    Ok(vec![
        row("decided and journaled", decided, OWNER),
        row(
            "last answer over the live connection",
            time(&silent, "last_at")?,
            name,
        ),
        row(
            "packets dropped, session ended, confirmed",
            time(&cut, "at")?,
            "the gate",
        ),
        row("confirmation journaled", time(journaled, "at")?, OWNER),
    ])
}

/// Chapter 5.
async fn without_controller(
    site: &Site<'_>,
    gateway: &mut Gateway<'_>,
    device: &mut Device<'_>,
    controller: Program,
) -> anyhow::Result<Program> {
    controller.kill().await?;
    site.narrator.said(OWNER, Tone::Hostile, "is killed");
    device.pull_out();
    device.say(Tone::Plain, "is switched off and on again");
    device.switch_on()?;
    let id = device.id.clone();
    let accepted = |line: &Value| is(line, "accepted") && text(line, "device") == id;
    gateway.event("acceptance", accepted).await?;
    device.comes_in().await?;
    device.reaches_soon(SERVICE, "the service").await?;
    let controller = site.controller().await?;
    gateway
        .event("the link", |line| is(line, "link-up"))
        .await?;
    agree(site, &device.id).await?;
    Ok(controller)
}

/// Waits until gate and controller say the same: the version in force, and who is in.
async fn agree(site: &Site<'_>, returned: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let gate = site.look_up(&["gate", "show", gateway::NAME]).await?;
        let sessions = site.look_up(&["session", "list"]).await?;
        let versions = ["wanted", "in_force"].map(|field| gate.get(field).and_then(Value::as_u64));
        let items = sessions.get("items").and_then(Value::as_array);
        let live = items
            .into_iter()
            .flatten()
            .filter(|it| it.get("ended").is_none());
        let live: Vec<&str> = live.map(|it| text(it, "device")).collect();
        let [wanted, in_force] = versions;
        if wanted.is_some() && wanted == in_force && live.len() == 2 && live.contains(&returned) {
            let said = "agrees with the gate: version, and two sessions, one of them new";
            site.narrator.said(OWNER, Tone::Good, said);
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "they do not agree: {gate} {sessions}"
        );
    }
}

/// Chapter 6.
async fn remains(site: &Site<'_>, narrator: &Narrator) -> anyhow::Result<()> {
    let journal = site.command(&["device", "journal", REVOKED]).await?;
    finale::show_journal(narrator, &journal)?;
    for action in MUST_HAVE {
        let found = entry(&journal, action);
        ensure!(found.is_some(), "the journal has no entry `{action}`");
    }
    let verified = site.command(&["journal", "verify"]).await?;
    finale::confirm(narrator, OWNER, &verified)
}

/// The gate's settings for the ports.
fn settings(site: &Site<'_>, ports: &[Port]) -> String {
    let mut text = "[join_proxy]\ninterfaces = [\"br0\"]\n\
                    [wired]\nuplinks = [\"up0\"]\n[wired.onboarding]\n"
        .to_owned();
    for port in ports {
        let name = &port.name;
        let control = gateway::control(site, name, name);
        text.push_str(&format!(
            "[[wired.port]]\ninterface = \"{name}\"\ncontrol = \"{}\"\n",
            control.display()
        ));
    }
    text
}

/// One that speaks EAPOL at a port.
fn authenticator(site: &Site<'_>, port: &Port) -> anyhow::Result<Hostap> {
    let mut settings = gateway::ask_the_gate(&port.name);
    settings.push("use_pae_group_addr=1".to_owned());
    let setup = Setup::wired(Kind::AccessPoint, &port.name, &settings);
    gateway::authenticator(site, &port.name, setup)
}

/// What people can do now.
fn next_steps(stage: &Stage, narrator: &Narrator, net: &Net) {
    let program = stage.program("vouchsafe");
    narrator.line(&format!(
        "\nEverything stays up until Ctrl-C.\n\nNext, in another terminal, as root:\n\n  \
         export VOUCHSAFE_DIR={}\n  \
         alias office='nsenter --net={}'\n  \
         office {program} device list\n  \
         office {program} device journal {REVOKED}\n  \
         office {program} device quarantine {RETURNS} --reason 'trying it out'\n  \
         nsenter --net={} nft list table bridge vouchsafe\n",
        stage.path("house").display(),
        net.backbone.office.file(),
        net.backbone.gateway.file(),
        program = program.display(),
    ));
}
