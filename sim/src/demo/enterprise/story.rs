//! The story itself, inside the machine.
//!
//! ```text
//!  LW-0001 ┐       ┌ wlan0  open, leads to the join proxy      office: MASA, controller
//!          ├ (air) ┤        gateway: two hostapd, vouchsafe-gate
//!  LW-0002 ┘       └ wlan1  WPA3-Enterprise ── bridge ── up0 ── uplink: the service
//! ```
//!
//! 1. Factory, controller, both access points and the gate start.
//! 2. A device joins the open network, where nothing but the join proxy answers, and onboards by BRSKI.
//!    Another one, which nobody bought, is refused.
//! 3. The first comes back on the closed network with its LDevID, by TLS 1.3 in EAP. The other shows its
//!    birth certificate there, and stays out.
//! 4. The first is revoked: the access point is told to end its session (RFC 5176), and does.

use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::demo::Options;
use crate::demo::admission::device::{Access, Device, Place};
use crate::demo::admission::gateway::{self, Gateway};
use crate::demo::admission::site::{Backbone, OFFICE, OWNER, SERVICE, Site};
use crate::demo::admission::{PATIENCE, entry, time};
use crate::demo::finale;
use crate::demo::narrator::{Narrator, Tone};
use crate::demo::sentence::{is, text};
use crate::demo::stage::Stage;
use crate::wifi::guest::{self, Radio};
use crate::wifi::hostap::{Hostap, Kind, Setup};
use crate::wired::space::Space;

/// Comes in, and is revoked.
const DEVICE: &str = "LW-0001";
/// Was never sold.
const UNSOLD: &str = "LW-0002";

/// The open network.
const OPEN: &str = "harbour-onboarding";
/// The closed one.
const CLOSED: &str = "harbour";

/// The gateway on the open network.
const GATEWAY: &str = "10.88.0.1";

/// Where the closed network's access point takes Disconnect-Requests.
const DISCONNECT: u16 = 3799;

/// What both access points begin with.
const CHANNEL: [&str; 2] = ["hw_mode=g", "channel=6"];

/// Tells it.
pub(super) async fn tell(options: &Options) -> anyhow::Result<ExitCode> {
    let narrator = Narrator::new();
    guest::load_bridges()?;
    let radios = guest::make_radios(4)?;
    let mut stage = Stage::set_with(options.bin_dir.as_deref(), &["vouchsafe-gate"])?;
    let net = Backbone::lay(stage.simulator())?;
    stage.move_to(&net.office);
    let told = act(&stage, &narrator, &net, &radios).await;
    if let Err(error) = &told {
        stage.show_logs(&narrator);
        narrator.line(&format!("\nerror: {error:#}"));
        return Ok(ExitCode::FAILURE);
    }
    narrator.note("every expected outcome happened");
    Ok(ExitCode::SUCCESS)
}

async fn act(
    stage: &Stage,
    narrator: &Narrator,
    net: &Backbone,
    radios: &[Radio],
) -> anyhow::Result<()> {
    let [open, closed, first, second] = radios else {
        bail!("four radios are needed");
    };
    for radio in [open, closed] {
        guest::move_radio(radio, net.gateway.id())?;
    }
    let simulator = stage.simulator();
    let spaces = [Space::new(simulator)?, Space::new(simulator)?];
    let [first_space, second_space] = &spaces;
    guest::move_radio(first, first_space.id())?;
    guest::move_radio(second, second_space.id())?;
    narrator.title("Vouchsafe: a certificate opens the Wi-Fi, and nothing else does");
    narrator.note("the radios are simulated; hostapd and wpa_supplicant are Debian's");
    narrator.chapter(1, "Factory, controller, access points, gate");
    let site = Site::set_up(stage, narrator, net, &[DEVICE, UNSOLD], &[DEVICE]).await?;
    let masa = site.masa().await?;
    let controller = site.controller().await?;
    site.import(1).await?;
    let services = site.services().await?;
    let points = [open_point(&site, open)?, closed_point(&site, closed)?];
    let mut gateway = Gateway::start(
        &site,
        &format!("disconnect = \"127.0.0.1:{DISCONNECT}\"\n"),
        &format!("[join_proxy]\ninterfaces = [\"{}\"]\n", open.interface),
    )
    .await?;
    let mut device = Device::new(&site, DEVICE, place(first_space, first));
    let mut unsold = Device::new(&site, UNSOLD, place(second_space, second));

    narrator.chapter(2, "The open network");
    ensure!(way_in(&mut device, 21).await?, "{DEVICE} had to come in");
    gateway.know(&device.id, DEVICE);
    ensure!(!way_in(&mut unsold, 22).await?, "{UNSOLD} came in");
    narrator.chapter(3, "The closed network");
    admitted(&mut gateway, &device).await?;
    unsold.ask_by_birth()?;
    let refused = |line: &Value| is(line, "refused") && text(line, "station") == unsold.place.mac;
    gateway.event("refusal", refused).await?;
    narrator.chapter(4, "Trust ends");
    revoke(&site, &mut gateway, &device).await?;
    let journal = site.command(&["device", "journal", DEVICE]).await?;
    finale::show_journal(narrator, &journal)?;
    let verified = site.command(&["journal", "verify"]).await?;
    finale::confirm(narrator, OWNER, &verified)?;
    for device in [&mut device, &mut unsold] {
        device.pull_out();
    }
    gateway.end().await?;
    drop(points);
    controller.end_gracefully().await?;
    masa.end_gracefully().await?;
    drop(services);
    Ok(())
}

fn place<'a>(space: &'a Space, radio: &'a Radio) -> Place<'a> {
    Place {
        space,
        interface: &radio.interface,
        mac: &radio.address,
        by: Access::Wifi(CLOSED),
    }
}

/// The access point that anybody may join.
fn open_point(site: &Site<'_>, radio: &Radio) -> anyhow::Result<Hostap> {
    let mut settings: Vec<String> = CHANNEL.map(str::to_owned).to_vec();
    settings.extend([format!("ssid={OPEN}"), "ap_isolate=1".to_owned()]);
    let setup = Setup::on(Kind::AccessPoint, &radio.interface, &settings);
    let point = gateway::authenticator(site, OPEN, setup)?;
    point.until("state", "ENABLED")?;
    let interface = &radio.interface;
    site.net
        .gateway
        .ip(&format!("addr add {GATEWAY}/24 dev {interface}\n"))?;
    let said = "is open, and leads to the join proxy only";
    site.narrator.said(OPEN, Tone::Plain, said);
    Ok(point)
}

/// The one that asks the gate.
fn closed_point(site: &Site<'_>, radio: &Radio) -> anyhow::Result<Hostap> {
    let mut settings: Vec<String> = CHANNEL.map(str::to_owned).to_vec();
    settings.extend([
        format!("ssid={CLOSED}"),
        "bridge=br0".to_owned(),
        "wpa=2".to_owned(),
        "wpa_key_mgmt=WPA-EAP-SHA256".to_owned(),
        "rsn_pairwise=CCMP".to_owned(),
        "ieee80211w=2".to_owned(),
    ]);
    settings.extend(gateway::ask_the_gate(CLOSED));
    settings.extend(gateway::obey_the_gate(DISCONNECT));
    let setup = Setup::on(Kind::AccessPoint, &radio.interface, &settings);
    let point = gateway::authenticator(site, CLOSED, setup)?;
    point.until("state", "ENABLED")?;
    let said = "asks the gate about everybody (WPA3-Enterprise)";
    site.narrator.said(CLOSED, Tone::Plain, said);
    Ok(point)
}

/// Chapter 2; whether the device is onboarded.
async fn way_in(device: &mut Device<'_>, number: u32) -> anyhow::Result<bool> {
    device.wake()?;
    let ssid = format!("\"{OPEN}\"");
    device.join(&[("ssid", &ssid), ("key_mgmt", "NONE")])?;
    device.hears(0, "CTRL-EVENT-CONNECTED").await?;
    device.say(Tone::Plain, &format!("has joined {OPEN}"));
    move_to(device, &format!("10.88.0.{number}/24"), Some(GATEWAY))?;
    device.reaches_not(SERVICE, "the service").await?;
    let registrar = format!("{OFFICE}:8443");
    device.reaches_not(&registrar, "the registrar").await?;
    device.onboard().await
}

/// Another address, as if DHCP had given it.
fn move_to(device: &Device<'_>, address: &str, way: Option<&str>) -> anyhow::Result<()> {
    let interface = device.place.interface;
    let way = way.map_or(String::new(), |by| format!("route add default via {by}\n"));
    device.place.space.ip(&format!(
        "addr flush dev {interface}\naddr add {address} dev {interface}\n{way}"
    ))
}

/// Chapter 3.
async fn admitted(gateway: &mut Gateway<'_>, device: &Device<'_>) -> anyhow::Result<()> {
    let past = device.supplicant()?.now();
    device.ask()?;
    let accepted = |line: &Value| is(line, "accepted") && text(line, "device") == device.id;
    gateway.event("acceptance", accepted).await?;
    device.hears(past, "CTRL-EVENT-CONNECTED").await?;
    let supplicant = device.supplicant()?;
    let (method, tls) = (
        supplicant.state("key_mgmt")?,
        supplicant.state("eap_tls_version")?,
    );
    ensure!(tls == "TLSv1.3", "EAP-TLS by {tls}");
    let said = format!("is connected to {CLOSED} by {method}, {tls} in EAP");
    device.say(Tone::Good, &said);
    move_to(device, "10.77.0.21/24", None)?;
    device.reaches_soon(SERVICE, "the service").await
}

/// Chapter 4.
async fn revoke(
    site: &Site<'_>,
    gateway: &mut Gateway<'_>,
    device: &Device<'_>,
) -> anyhow::Result<()> {
    let mut flow = device.flow(SERVICE).await?;
    let past = device.supplicant()?.now();
    let why = ["--reason", "it was stolen"];
    site.command(&[&["device", "revoke", DEVICE], &why[..]].concat())
        .await?;
    let cut = |line: &Value| is(line, "cut-off") && text(line, "device") == device.id;
    let cut = gateway.event("the cut", cut).await?;
    ensure!(
        text(&cut, "confirmed_by") == "access-point",
        "the access point had to confirm: {cut}"
    );
    device.hears(past, "CTRL-EVENT-DISCONNECTED").await?;
    device.say(Tone::Refused, "is thrown off the air");
    let silent = |line: &Value| is(line, "silent");
    let silent = flow.wait_for("silence", PATIENCE, silent).await?;
    device.reaches_not(SERVICE, "the service").await?;
    let refused = |line: &Value| is(line, "refused") && text(line, "station") == device.place.mac;
    gateway.event("refusal", refused).await?;
    let journal = site.look_up(&["device", "journal", DEVICE]).await?;
    let decided = entry(&journal, "credential-revoked").context("no entry of the revocation")?;
    let decided = time(decided, "at")?;
    let after = |at: jiff::Timestamp| at.duration_since(decided).as_millis().to_string();
    let rows = [
        ("decided and journaled", "0".to_owned(), OWNER),
        (
            "last answer over the live connection",
            after(time(&silent, "last_at")?),
            DEVICE,
        ),
        (
            "access point confirms the end",
            after(time(&cut, "at")?),
            "the gate",
        ),
    ];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(what, when, who)| vec![what.to_owned(), when, who.to_owned()])
        .collect();
    let header = [
        "revocation, step by step (emulated processor)",
        "ms",
        "who says so",
    ];
    site.narrator.table(&header, &rows);
    Ok(())
}
