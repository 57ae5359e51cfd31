//! The story itself, inside the machine.
//!
//! ```text
//!  LW-0001 ┐       ┌ wlan0  open, leads to the join proxy      office: MASA, controller
//!          ├ (air) ┤        gateway: two hostapd, vouchsafe-gate
//!  LW-0002 ┘       └ wlan1  WPA3-Enterprise ── bridge ── up0 ── uplink: the service
//! ```
//!
//! 1. Factory, controller, both access points and the gate start.
//! 2. Somebody joins the open network, where nothing but the join proxy answers. A device that nobody bought
//!    finds it, and is refused.
//! 3. A device that was bought is switched on, and nothing else is done: it finds the open network, onboards
//!    by BRSKI, hears which network its LDevID opens, and is in there by TLS 1.3 in EAP. Switched off and on, it
//!    comes straight back.
//! 4. It is quarantined and restored, then revoked: the gate has hostapd throw it out.

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

/// The open network, and by what devices look for it: the one by its realm, the other by its name.
const OPEN: &str = "BRSKI%harbour";
const REALM: &str = "eap.arpa";
const BY_REALM: &str = "onboarding_realm = \"eap.arpa\"";
const BY_NAME: &str = "onboarding_ssid = \"BRSKI%*\"";
/// The closed one.
const CLOSED: &str = "harbour";

/// The gateway on the open network.
const GATEWAY: &str = "10.88.0.1";

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
    let opens = [
        "--ssid",
        CLOSED,
        "--credential",
        "certificate",
        "--server-name",
        gateway::NAME,
    ];
    site.command(&[&["network", "add", CLOSED], &opens[..]].concat())
        .await?;
    let services = site.services().await?;
    let points = [open_point(&site, open)?, closed_point(&site, closed)?];
    let mut gateway =
        Gateway::start(&site, &settings(&site, &open.interface, &closed.interface)).await?;
    let mut device = Device::new(&site, DEVICE, place(first_space, first, BY_REALM));
    let mut unsold = Device::new(&site, UNSOLD, place(second_space, second, BY_NAME));

    narrator.chapter(2, "The open network");
    onlooker(&mut unsold).await?;
    refused(&mut unsold).await?;
    narrator.chapter(3, "A device is switched on");
    comes_by_itself(&mut gateway, &mut device).await?;
    comes_back(&mut gateway, &mut device).await?;
    narrator.chapter(4, "Trust ends");
    quarantine(&site, &mut gateway, &device).await?;
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

fn place<'a>(space: &'a Space, radio: &'a Radio, by: &'static str) -> Place<'a> {
    Place {
        space,
        interface: &radio.interface,
        mac: &radio.address,
        by: Access::Wifi(by),
    }
}

/// The access point that anybody may join.
fn open_point(site: &Site<'_>, radio: &Radio) -> anyhow::Result<Hostap> {
    let mut settings: Vec<String> = CHANNEL.map(str::to_owned).to_vec();
    settings.extend([
        format!("ssid={OPEN}"),
        "ap_isolate=1".to_owned(),
        "interworking=1".to_owned(),
        format!("nai_realm=0,{REALM}"),
    ]);
    let setup = Setup::on(Kind::AccessPoint, &radio.interface, &settings);
    let point = gateway::authenticator(site, OPEN, setup)?;
    point.until("state", "ENABLED")?;
    let interface = &radio.interface;
    site.net
        .gateway
        .ip(&format!("addr add {GATEWAY}/24 dev {interface}\n"))?;
    let said = format!("is open, announces the realm {REALM}, and leads to the join proxy only");
    site.narrator.said(OPEN, Tone::Plain, &said);
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
    let setup = Setup::on(Kind::AccessPoint, &radio.interface, &settings);
    let point = gateway::authenticator(site, CLOSED, setup)?;
    point.until("state", "ENABLED")?;
    let said = "asks the gate about everybody (WPA3-Enterprise)";
    site.narrator.said(CLOSED, Tone::Plain, said);
    Ok(point)
}

/// The gate's settings: the join proxy on the open network, hostapd's control socket on the closed one.
fn settings(site: &Site<'_>, open: &str, closed: &str) -> String {
    let control = gateway::control(site, CLOSED, closed);
    format!(
        "[join_proxy]\ninterfaces = [\"{open}\"]\n\
         [[wifi]]\ninterface = \"{closed}\"\ncontrol = \"{}\"\nclient = \"{}\"\n\
         access_point = \"{CLOSED}\"\n",
        control.display(),
        gateway::CLIENT,
    )
}

/// Chapter 2: whoever is in the open network has come no further.
async fn onlooker(unsold: &mut Device<'_>) -> anyhow::Result<()> {
    addresses(unsold, 22)?;
    unsold.wake()?;
    let ssid = format!("\"{OPEN}\"");
    unsold.join(&[("ssid", &ssid), ("key_mgmt", "NONE")])?;
    unsold.hears(0, "CTRL-EVENT-CONNECTED").await?;
    unsold.say(Tone::Plain, &format!("is put into {OPEN} by hand"));
    unsold.reaches_not(SERVICE, "the service").await?;
    let registrar = format!("{OFFICE}:8443");
    unsold.reaches_not(&registrar, "the registrar").await
}

/// Chapter 2: a device that nobody bought is led to the registrar, and no further.
async fn refused(unsold: &mut Device<'_>) -> anyhow::Result<()> {
    unsold.start_agent()?;
    let aside = |line: &Value| is(line, "open-network-put-aside");
    let aside = unsold.says("refusal", aside).await?;
    ensure!(
        text(&aside, "code") == "refused-by-registrar",
        "refused for another reason: {aside}"
    );
    unsold.pull_out();
    Ok(())
}

/// Addresses in both networks, as if DHCP had given them.
fn addresses(device: &Device<'_>, number: u32) -> anyhow::Result<()> {
    let interface = device.place.interface;
    device.place.space.ip(&format!(
        "link set {interface} up\n\
         addr add 10.88.0.{number}/24 dev {interface}\n\
         addr add 10.77.0.{number}/24 dev {interface}\n\
         route add default via {GATEWAY}\n"
    ))
}

/// Chapter 3.
async fn comes_by_itself(gateway: &mut Gateway<'_>, device: &mut Device<'_>) -> anyhow::Result<()> {
    addresses(device, 21)?;
    device.switch_on()?;
    device.onboarded().await?;
    gateway.know(&device.id, DEVICE);
    device.comes_in().await?;
    accepted(gateway, device).await?;
    let supplicant = device.supplicant()?;
    let (method, tls) = (
        supplicant.state("key_mgmt")?,
        supplicant.state("eap_tls_version")?,
    );
    ensure!(supplicant.state("ssid")? == CLOSED, "in another network");
    ensure!(tls == "TLSv1.3", "EAP-TLS by {tls}");
    let said = format!("is connected to {CLOSED} by {method}, {tls} in EAP");
    device.say(Tone::Good, &said);
    device.reaches_soon(SERVICE, "the service").await
}

/// Chapter 3: the open network is no longer needed.
async fn comes_back(gateway: &mut Gateway<'_>, device: &mut Device<'_>) -> anyhow::Result<()> {
    device.pull_out();
    device.say(Tone::Plain, "is switched off and on again");
    device.switch_on()?;
    let next = |line: &Value| is(line, "network-joined") || is(line, "open-network-joined");
    let next = device.says("its way back", next).await?;
    ensure!(is(&next, "network-joined"), "it went a long way: {next}");
    accepted(gateway, device).await?;
    device.reaches_soon(SERVICE, "the service").await
}

async fn accepted(gateway: &mut Gateway<'_>, device: &Device<'_>) -> anyhow::Result<()> {
    let accepted = |line: &Value| is(line, "accepted") && text(line, "device") == device.id;
    gateway.event("acceptance", accepted).await?;
    Ok(())
}

/// Chapter 4: less is trusted, for a while.
async fn quarantine(
    site: &Site<'_>,
    gateway: &mut Gateway<'_>,
    device: &Device<'_>,
) -> anyhow::Result<()> {
    let past = device.supplicant()?.now();
    let why = ["--reason", "its firmware is old"];
    site.command(&[&["device", "quarantine", DEVICE], &why[..]].concat())
        .await?;
    thrown_out(gateway, device, past).await?;
    device.reaches_not(SERVICE, "the service").await?;
    let why = ["--reason", "it was updated"];
    site.command(&[&["device", "restore", DEVICE], &why[..]].concat())
        .await?;
    accepted(gateway, device).await?;
    device.reaches_soon(SERVICE, "the service").await
}

/// The gate says that hostapd holds the station no longer, and the station knows.
async fn thrown_out(
    gateway: &mut Gateway<'_>,
    device: &Device<'_>,
    past: usize,
) -> anyhow::Result<Value> {
    let cut = |line: &Value| is(line, "cut-off") && text(line, "device") == device.id;
    let cut = gateway.event("the cut", cut).await?;
    ensure!(
        text(&cut, "confirmed_by") == "hostapd",
        "hostapd had to confirm: {cut}"
    );
    device.hears(past, "CTRL-EVENT-DISCONNECTED").await?;
    device.say(Tone::Refused, "is thrown off the air");
    Ok(cut)
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
    let cut = thrown_out(gateway, device, past).await?;
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
            "hostapd holds it no longer",
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
