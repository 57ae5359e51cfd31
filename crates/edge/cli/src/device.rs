//! Devices of the inventory.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand};
use vouchsafe_api::{
    Approve, Claim, ClaimAddress, ClaimByUri, Device, DeviceAddress, DeviceAdmission, DeviceClaim,
    DeviceFilter, DeviceRole, DeviceState, DeviceWifi, PageQuery, Reasoned, Reconfigure, Release,
    RemoveAddress, RevocationReason, Revoke, StateClaim,
};

use crate::dpp::{self, qr};
use crate::enforcement::{self, WaitArgs};
use crate::failure::{Exit, Failure};
use crate::input::{self, PageArgs, Why, words};
use crate::output::{Printer, facts, table, when, word};
use crate::remote::Api;
use crate::{cert, journal, session};

/// Words for [`DeviceRole`].
const ROLES: &[&str] = &["station", "access-point"];

/// Words for [`DeviceState`].
const STATES: &[&str] = &[
    "provisioned",
    "transferred",
    "claimed",
    "onboarding",
    "onboarded",
    "quarantined",
    "released",
    "retired",
];

const QUARANTINE_EXAMPLES: &str = "\
Examples:
  vouchsafe device quarantine A-1 --reason 'talks to strangers'
  vouchsafe device quarantine A-1 --reason 'talks to strangers' --wait 30 --output json

The answer tells which gates confirmed in how many milliseconds, and which are still waited for.";

const ADDRESS_EXAMPLES: &str = "\
Examples:
  vouchsafe device add-address P-1 00:1b:63:84:45:e6 --reason 'printed on its back'
  vouchsafe device state P-1 admit-by-mac without-credential --reason 'it knows no 802.1X'

Anybody can copy an address: the default policy lets nobody in by one alone, unless a statement says so.";

const STATE_EXAMPLES: &str = "\
Examples:
  vouchsafe device state P-1 admit-by-mac without-credential --reason 'it knows no 802.1X'
  vouchsafe device state A-1 deny true --until 2027-01-31T12:00:00Z --reason 'recalled by its maker'
  vouchsafe device state A-1 deny --reason 'mended'";

const REVOKE_EXAMPLES: &str = "\
Examples:
  vouchsafe device revoke A-1 --revocation-reason key-compromise --reason stolen";

/// Commands on devices. A device is named by its id, or by its serial number where that is unique.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// List devices
    List(List),
    /// Show one device
    Show {
        /// Id or serial number
        device: String,
    },
    /// Say that a device is ours, so that it may come in
    Claim(ClaimArgs),
    /// Say that a MAC address is a device's; whether it may come in by that, policy says
    #[command(after_help = ADDRESS_EXAMPLES)]
    AddAddress {
        /// Id or serial number
        device: String,
        /// The address, such as 00:1b:63:84:45:e6
        mac: String,
        /// Why, or on which paper; goes into the journal
        #[arg(long)]
        reason: Option<String>,
    },
    /// Take a MAC address away from a device; gates confirm that
    RemoveAddress {
        /// Id or serial number
        device: String,
        /// The address
        mac: String,
        /// Why; goes into the journal
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// State something of a device, for policy to judge
    #[command(after_help = STATE_EXAMPLES)]
    State {
        /// Id or serial number
        device: String,
        /// What is claimed, such as admit-by-mac
        kind: String,
        /// The value: JSON, or else a text; without it the statement is taken back
        value: Option<String>,
        /// When it stops counting, such as 2027-01-31T12:00:00Z
        #[arg(long, value_name = "TIME")]
        until: Option<jiff::Timestamp>,
        /// Why; goes into the journal
        #[arg(long)]
        reason: String,
    },
    /// Let a waiting device in
    Approve {
        /// Id or serial number
        device: String,
        /// The segment it goes to, if policy leaves it open
        #[arg(long)]
        segment: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Keep a waiting device out
    Deny(Change),
    /// Take all credentials of a device back
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Id or serial number
        device: String,
        /// The reason that revocation lists show
        #[arg(long, value_parser = words::<RevocationReason>(cert::REASONS), default_value = "unspecified")]
        revocation_reason: RevocationReason,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Mean a device for another Wi-Fi network; it gets that when it is configured next
    Reconfigure {
        /// Id or serial number
        device: String,
        /// The network's name
        #[arg(long)]
        network: String,
        #[command(flatten)]
        why: Why,
    },
    /// Keep a device apart; gates confirm that
    #[command(after_help = QUARANTINE_EXAMPLES)]
    Quarantine(CutOff),
    /// Let a quarantined device back
    Restore(CutOff),
    /// Give a device up for another owner
    Release {
        /// Id or serial number
        device: String,
        /// The next owner's id, when it is known
        #[arg(long, value_name = "ID")]
        next_owner: Option<String>,
        /// Write the signed statement for the manufacturer to this file
        #[arg(long, value_name = "FILE")]
        statement: Option<PathBuf>,
        /// Only say what would come of it
        #[arg(long, conflicts_with = "statement")]
        dry_run: bool,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// End a device's life
    Retire(CutOff),
    /// Show the journal of one device, from the factory to today
    Journal {
        /// Id or serial number
        device: String,
    },
}

/// `device list`
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only devices in this state
    #[arg(long, value_parser = words::<DeviceState>(STATES))]
    state: Option<DeviceState>,
    /// Only devices of this manufacturer (id)
    #[arg(long, value_name = "ID")]
    manufacturer: Option<String>,
    /// Only devices with this serial number
    #[arg(long)]
    serial: Option<String>,
    /// Only devices in this segment
    #[arg(long)]
    segment: Option<String>,
    /// Only devices that wait for a person
    #[arg(long)]
    waiting: bool,
    #[command(flatten)]
    page: PageArgs,
}

/// A device and why it is changed.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// Id or serial number
    device: String,
    #[command(flatten)]
    why: Why,
}

impl Change {
    fn body(&self) -> Reasoned {
        Reasoned {
            reason: self.why.reason.clone(),
        }
    }
}

/// A device whose standing is changed, and how long gates are waited for.
#[derive(Debug, Args)]
pub(crate) struct CutOff {
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    wait: WaitArgs,
}

/// `device claim`: by manufacturer and serial number, or by the label for Wi-Fi Easy Connect.
#[derive(Debug, Args)]
pub(crate) struct ClaimArgs {
    /// The manufacturer's id
    #[arg(long, value_name = "ID", requires = "serial", required_unless_present_any = ["dpp_uri", "qr", "mac"])]
    manufacturer: Option<String>,
    /// The serial number; with a label and no manufacturer, whatever the device shall be called
    #[arg(long)]
    serial: Option<String>,
    /// The bootstrapping URI on the device's label, DPP:…; - for standard input
    #[arg(long, value_name = "URI", conflicts_with = "qr")]
    dpp_uri: Option<String>,
    /// A picture of the label (PNG or JPEG)
    #[arg(long, value_name = "FILE")]
    qr: Option<PathBuf>,
    /// With a label: as what the device may be configured
    #[arg(long, value_parser = words::<DeviceRole>(ROLES), default_value = "station")]
    role: DeviceRole,
    /// With a label: the network it is meant for, else the one that fits its segment
    #[arg(long)]
    network: Option<String>,
    /// The manufacturer's name of the model
    #[arg(long)]
    model: Option<String>,
    /// The segment it goes to, if policy leaves it open
    #[arg(long)]
    segment: Option<String>,
    /// The MAC address by which it may come in, where policy says so: weak, anybody can copy it
    #[arg(long, requires = "serial", conflicts_with_all = ["dpp_uri", "qr"])]
    mac: Option<String>,
    /// Why, or on which paper; goes into the journal
    #[arg(long)]
    reason: Option<String>,
}

pub(crate) async fn run(
    command: DeviceCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    let changed = match command {
        DeviceCommand::List(list) => return show_list(list, api, printer).await,
        DeviceCommand::Show { device } => {
            let id = resolve(api, &device).await?;
            api.show_device(&id).await?.value
        }
        DeviceCommand::Claim(claim) if claim.dpp_uri.is_some() || claim.qr.is_some() => {
            return claim_by_label(claim, api, printer).await;
        }
        DeviceCommand::Claim(claim) => {
            if claim.network.is_some() || claim.role != DeviceRole::Station {
                return Err(Failure::usage("--network and --role go with a label")
                    .next_step("`vouchsafe device reconfigure` means a device for a network"));
            }
            api.claim_device(&Claim {
                manufacturer: claim.manufacturer.unwrap_or_default(),
                serial: claim.serial.unwrap_or_default(),
                model: claim.model,
                segment: claim.segment,
                mac: claim.mac,
                reason: claim.reason,
            })
            .await?
        }
        DeviceCommand::AddAddress {
            device,
            mac,
            reason,
        } => {
            let id = resolve(api, &device).await?;
            api.claim_address(&id, &ClaimAddress { mac, reason })
                .await?
        }
        DeviceCommand::RemoveAddress {
            device,
            mac,
            reason,
            wait,
        } => {
            let id = resolve(api, &device).await?;
            wait.client(api)
                .remove_address(&id, &RemoveAddress { mac, reason })
                .await?
        }
        DeviceCommand::State {
            device,
            kind,
            value,
            until,
            reason,
        } => {
            let id = resolve(api, &device).await?;
            let claim = StateClaim {
                kind,
                value: value.map_or(serde_json::Value::Null, read_value),
                expires_at: until,
                reason,
            };
            api.state_claim(&id, &claim).await?
        }
        DeviceCommand::Reconfigure {
            device,
            network,
            why,
        } => {
            let id = resolve(api, &device).await?;
            let reconfigure = Reconfigure {
                network,
                reason: why.reason.clone(),
            };
            api.reconfigure_device(&id, &reconfigure, why.version())
                .await?
        }
        DeviceCommand::Approve {
            device,
            segment,
            why,
        } => {
            let id = resolve(api, &device).await?;
            let approve = Approve {
                reason: why.reason.clone(),
                segment,
            };
            api.approve_device(&id, &approve, why.version()).await?
        }
        DeviceCommand::Deny(change) => {
            let id = resolve(api, &change.device).await?;
            api.deny_device(&id, &change.body(), change.why.version())
                .await?
        }
        DeviceCommand::Revoke {
            device,
            revocation_reason,
            why,
            wait,
        } => {
            let id = resolve(api, &device).await?;
            let revoke = Revoke {
                revocation_reason,
                reason: why.reason.clone(),
            };
            wait.client(api)
                .revoke_device(&id, &revoke, why.version())
                .await?
        }
        DeviceCommand::Quarantine(CutOff { change, wait }) => {
            let id = resolve(api, &change.device).await?;
            wait.client(api)
                .quarantine_device(&id, &change.body(), change.why.version())
                .await?
        }
        DeviceCommand::Restore(CutOff { change, wait }) => {
            let id = resolve(api, &change.device).await?;
            wait.client(api)
                .restore_device(&id, &change.body(), change.why.version())
                .await?
        }
        DeviceCommand::Retire(CutOff { change, wait }) => {
            let id = resolve(api, &change.device).await?;
            wait.client(api)
                .retire_device(&id, &change.body(), change.why.version())
                .await?
        }
        DeviceCommand::Release {
            device,
            next_owner,
            statement,
            dry_run,
            why,
            wait,
        } => {
            let id = resolve(api, &device).await?;
            let release = Release {
                reason: why.reason.clone(),
                next_owner,
            };
            if dry_run {
                let would = api.rehearse_release(&id, &release, why.version()).await?;
                printer.note("nothing was changed: --dry-run");
                printer.show(&would, |would| device_text(&would.device))?;
                return Ok(Exit::Done);
            }
            if let Some(file) = &statement {
                input::writable(file)?;
            }
            let released = wait
                .client(api)
                .release_device(&id, &release, why.version())
                .await?;
            if let Some(file) = statement {
                let bytes = BASE64_STANDARD
                    .decode(&released.statement)
                    .map_err(|error| {
                        Failure::new(
                            Exit::Internal,
                            "statement",
                            format!("the statement: {error}"),
                        )
                    })?;
                input::write(&file, &bytes)?;
            }
            printer.show(&released, |released| device_text(&released.device))?;
            enforcement::note(released.device.enforcement.as_ref(), printer);
            printer.note("the manufacturer needs the statement: vouchsafe manufacturer release");
            return Ok(Exit::Done);
        }
        DeviceCommand::Journal { device } => {
            let id = resolve(api, &device).await?;
            let whole = journal::of_device(api, &id).await?;
            printer.show(&whole, |whole| journal::entries_text(&whole.entries))?;
            return Ok(Exit::Done);
        }
    };
    printer.show(&changed, device_text)?;
    enforcement::note(changed.enforcement.as_ref(), printer);
    Ok(Exit::Done)
}

async fn claim_by_label(claim: ClaimArgs, api: &Api, printer: Printer) -> Result<Exit, Failure> {
    let uri = match (&claim.qr, claim.dpp_uri.as_deref()) {
        (Some(file), _) => qr::uri_in(file)?,
        (None, Some("-")) => input::read_text(std::path::Path::new("-"))?,
        (None, uri) => uri.unwrap_or_default().to_owned(),
    };
    let claimed = api
        .claim_by_uri(&ClaimByUri {
            uri: uri.trim().to_owned(),
            manufacturer: claim.manufacturer,
            serial: claim.serial,
            model: claim.model,
            role: claim.role,
            segment: claim.segment,
            network: claim.network,
            reason: claim.reason,
        })
        .await?;
    printer.show(&claimed, |claimed| {
        let key = dpp::key_text(&claimed.key);
        format!("{}\n\nits key\n{key}", device_text(&claimed.device))
    })?;
    if let Some(at) = claimed.announced_at {
        printer.note(&format!(
            "it announced itself before, last at {}: it goes on doing so, and is answered now",
            when(at)
        ));
    }
    Ok(Exit::Done)
}

async fn show_list(list: List, api: &Api, printer: Printer) -> Result<Exit, Failure> {
    let filter = DeviceFilter {
        state: list.state,
        manufacturer: list.manufacturer,
        serial: list.serial,
        segment: list.segment,
        waiting: list.waiting.then_some(true),
    };
    let page = list
        .page
        .fetch(|query| {
            let filter = &filter;
            async move { api.list_devices(filter, &query).await }
        })
        .await?;
    printer.show(&page, |page| {
        let rows = page.items.iter().map(|device| {
            let state = word(&device.state);
            [
                device.id.clone(),
                device.serial.clone(),
                device.model.clone().unwrap_or_default(),
                if device.waiting {
                    format!("{state}, waiting")
                } else {
                    state
                },
                device.segment.clone().unwrap_or_default(),
                device.reason.clone().unwrap_or_default(),
            ]
        });
        table(["id", "serial", "model", "state", "segment", "why"], rows)
    })?;
    input::note_more(&page, printer);
    Ok(Exit::Done)
}

/// The id of the device that a person names.
async fn resolve(api: &Api, device: &str) -> Result<String, Failure> {
    let is_id = device.len() == 32 && device.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id {
        return Ok(device.to_ascii_lowercase());
    }
    let filter = DeviceFilter {
        serial: Some(device.to_owned()),
        ..DeviceFilter::default()
    };
    let page = api.list_devices(&filter, &PageQuery::default()).await?;
    match page.items.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Failure::new(
            Exit::NotFound,
            "not-found",
            format!("there is no device with serial number `{device}`"),
        )
        .next_step("`vouchsafe device list` shows what there is")),
        several => Err(Failure::usage(format!(
            "{} manufacturers have a device with serial number `{device}`",
            several.len()
        ))
        .next_step("give the id: `vouchsafe device list --serial …` shows them")),
    }
}

fn device_text(device: &Device) -> String {
    let mut text = facts([
        ("id", device.id.clone()),
        ("serial", device.serial.clone()),
        ("model", device.model.clone().unwrap_or_default()),
        ("manufacturer", device.manufacturer.clone()),
        ("state", word(&device.state)),
        (
            "waiting",
            if device.waiting {
                "for a person".to_owned()
            } else {
                String::new()
            },
        ),
        ("why", device.reason.clone().unwrap_or_default()),
        ("owner", device.owner.clone().unwrap_or_default()),
        ("segment", device.segment.clone().unwrap_or_default()),
        (
            "birth certificate",
            device.idevid_sha256.clone().unwrap_or_default(),
        ),
        ("key made", device.key_origin.clone().unwrap_or_default()),
        ("MUD URL", device.mud_url.clone().unwrap_or_default()),
        ("journal entries", device.journal_length.to_string()),
        ("created", when(device.created_at)),
        ("changed", when(device.updated_at)),
        ("version", device.version.to_string()),
    ]);
    if let Some(wifi) = &device.wifi {
        text.push_str(&wifi_text(wifi));
    }
    if !device.addresses.is_empty() {
        text.push_str("\n\n");
        text.push_str(&addresses_table(&device.addresses));
    }
    if !device.claims.is_empty() {
        text.push_str("\n\n");
        text.push_str(&claims_table(&device.claims));
    }
    if let Some(admission) = &device.admission {
        text.push_str(&admission_text(admission));
    }
    text.push_str(&enforcement::text(device.enforcement.as_ref()));
    text
}

/// JSON, or else the text itself: people need not quote words.
fn read_value(text: String) -> serde_json::Value {
    serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
}

/// MAC addresses by which a device may come in, or may not.
fn addresses_table(addresses: &[DeviceAddress]) -> String {
    let rows = addresses.iter().map(|address| {
        [
            address.mac.clone(),
            match (&address.conflict, address.admitted) {
                (Some(other), _) => format!("claimed for {other} too"),
                (None, true) => "may come in (weak: by MAC address)".to_owned(),
                (None, false) => "may not come in by it".to_owned(),
            },
            address.segment.clone().unwrap_or_default(),
            address.expires_at.map(when).unwrap_or_default(),
            address.reasons.join(", "),
        ]
    });
    table(["MAC address", "", "segment", "until", "why"], rows)
}

/// What is claimed about a device.
fn claims_table(claims: &[DeviceClaim]) -> String {
    let rows = claims.iter().map(|claim| {
        [
            claim.kind.clone(),
            claim.value.to_string(),
            claim.subject.clone(),
            claim.issuer.clone(),
            claim.strength.clone(),
            when(claim.issued_at),
            claim.expires_at.map(when).unwrap_or_default(),
        ]
    });
    table(
        ["claim", "value", "of", "by", "rests on", "since", "until"],
        rows,
    )
}

/// Where a device is, and was, on the network.
fn admission_text(admission: &DeviceAdmission) -> String {
    let own = facts([
        (
            "first seen",
            admission.first_seen.map(when).unwrap_or_default(),
        ),
        (
            "last seen",
            admission.last_seen.map(when).unwrap_or_default(),
        ),
        ("octets from it", admission.octets_from.to_string()),
        ("octets to it", admission.octets_to.to_string()),
    ]);
    let mut text = format!("\n\non the network\n{own}");
    if !admission.sessions.is_empty() {
        text.push_str("\n\n");
        text.push_str(&session::sessions_table(&admission.sessions));
    }
    text
}

/// What a device has to do with Wi-Fi.
fn wifi_text(wifi: &DeviceWifi) -> String {
    let mut text = String::new();
    let given = wifi.given.as_ref();
    let refused = wifi.refused.as_ref();
    let own = facts([
        ("meant for network", wifi.wanted.clone().unwrap_or_default()),
        (
            "configured for",
            given.map(|given| given.network.clone()).unwrap_or_default(),
        ),
        (
            "proved then",
            given
                .map(|given| given.assurance.clone())
                .unwrap_or_default(),
        ),
        (
            "calls itself",
            given
                .and_then(|given| given.called.clone())
                .unwrap_or_default(),
        ),
        (
            "configured at",
            given.map(|given| when(given.at)).unwrap_or_default(),
        ),
        (
            "took it at",
            given
                .and_then(|given| given.confirmed_at.map(when))
                .unwrap_or_default(),
        ),
        (
            "last refused",
            refused
                .map(|refused| format!("{}, {}", refused.code, when(refused.at)))
                .unwrap_or_default(),
        ),
    ]);
    if !own.is_empty() {
        text.push_str("\n\nWi-Fi\n");
        text.push_str(&own);
    }
    if !wifi.keys.is_empty() {
        let rows = wifi.keys.iter().map(|key| {
            [
                key.id.clone(),
                key.curve.clone(),
                word(&key.role),
                word(&key.source),
                match key.conflict {
                    true => "claimed for two devices".to_owned(),
                    false => String::new(),
                },
            ]
        });
        text.push_str("\n\n");
        text.push_str(&table(
            ["bootstrapping key", "curve", "role", "from", ""],
            rows,
        ));
    }
    if !wifi.credentials.is_empty() {
        let rows = wifi.credentials.iter().map(|credential| {
            [
                credential.id.clone(),
                credential.kind.clone(),
                credential.network.clone(),
                word(&credential.state),
                when(credential.issued_at),
                credential.expires_at.map(when).unwrap_or_default(),
            ]
        });
        text.push_str("\n\n");
        text.push_str(&table(
            [
                "access credential",
                "kind",
                "network",
                "state",
                "issued",
                "ends",
            ],
            rows,
        ));
    }
    text
}
