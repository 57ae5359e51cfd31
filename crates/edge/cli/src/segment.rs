//! Segments: the parts of the network that admission speaks of.

use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::json;
use vouchsafe_api::gate::{Destination, TransportProtocol};
use vouchsafe_api::{ClientError, Code, PutSegment, Segment};

use crate::failure::{Exit, Failure};
use crate::input::{self, PageArgs};
use crate::maker::no_version;
use crate::output::{Printer, facts, table, when};
use crate::remote::Api;

const SET_EXAMPLES: &str = "\
Examples:
  vouchsafe segment set lamps --vlan 20
  vouchsafe segment set quarantine --vlan 99 --reach 10.0.0.7,tcp,443 --reach 10.0.0.8
  vouchsafe segment set nowhere --reach-nothing

A segment that is there is described anew, whole: what is not said is taken away. Gates put it in
force at once.";

/// Commands on segments.
#[derive(Debug, Subcommand)]
pub(crate) enum SegmentCommand {
    /// List segments
    List(PageArgs),
    /// Show one segment
    Show {
        /// Its name
        name: String,
    },
    /// Describe a segment, a new one or one that is there
    #[command(after_help = SET_EXAMPLES)]
    Set(Set),
    /// Remove a segment to which no device belongs
    Remove {
        /// Its name
        name: String,
    },
}

/// `segment set`
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Its name: lower-case letters, digits and hyphens
    name: String,
    /// Its VLAN, where access points know it by number
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: Option<u16>,
    /// Its devices reach this address or network and no other, NETWORK[,tcp|udp[,PORT]]; may be repeated
    #[arg(long, value_name = "DESTINATION")]
    reach: Vec<Reach>,
    /// Its devices reach nothing
    #[arg(long, conflicts_with = "reach")]
    reach_nothing: bool,
}

/// A destination as it is written: `10.0.0.7`, `10.0.0.0/24,tcp`, `2001:db8::7,udp,53`.
#[derive(Debug, Clone)]
pub(crate) struct Reach(Destination);

impl FromStr for Reach {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let network = parts.next().unwrap_or_default().to_owned();
        let protocol = match parts.next() {
            None => None,
            Some("tcp") => Some(TransportProtocol::Tcp),
            Some("udp") => Some(TransportProtocol::Udp),
            Some(other) => return Err(format!("{other:?} is neither tcp nor udp")),
        };
        let port = parts.next().map(|port| {
            let number: Option<u16> = port.parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| format!("{port:?} is no port from 1 to 65535"))
        });
        match (network.is_empty(), parts.next()) {
            (true, _) => Err("an address or a network comes first".to_owned()),
            (_, Some(_)) => Err("after the port comes nothing".to_owned()),
            (false, None) => Ok(Self(Destination {
                network,
                protocol,
                port: port.transpose()?,
            })),
        }
    }
}

pub(crate) async fn run(
    command: SegmentCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    let segment = match command {
        SegmentCommand::List(page) => {
            let page = page
                .fetch(|query| async move { api.list_segments(&query).await })
                .await?;
            printer.show(&page, |page| {
                let rows = page.items.iter().map(|segment| {
                    [
                        segment.name.clone(),
                        vlan(segment),
                        reach(segment),
                        when(segment.updated_at),
                    ]
                });
                table(["name", "VLAN", "reaches", "changed"], rows)
            })?;
            input::note_more(&page, printer);
            return Ok(Exit::Done);
        }
        SegmentCommand::Show { name } => api.show_segment(&name).await?.value,
        SegmentCommand::Set(set) => put(set, api).await?,
        SegmentCommand::Remove { name } => {
            let version = api.show_segment(&name).await?.version;
            api.remove_segment(&name, version).await?;
            printer.show(&json!({ "removed": name }), |_| {
                format!("segment {name} is removed")
            })?;
            return Ok(Exit::Done);
        }
    };
    printer.show(&segment, text)?;
    Ok(Exit::Done)
}

async fn put(set: Set, api: &Api) -> Result<Segment, Failure> {
    let reach: Vec<Destination> = set.reach.into_iter().map(|reach| reach.0).collect();
    let segment = PutSegment {
        name: set.name,
        vlan: set.vlan,
        reach: (set.reach_nothing || !reach.is_empty()).then_some(reach),
    };
    match api.show_segment(&segment.name).await {
        Ok(found) => {
            let version = found.version.ok_or_else(no_version)?;
            Ok(api.put_segment(&segment, version).await?.value)
        }
        Err(error) if is_absent(&error) => Ok(api.add_segment(&segment).await?),
        Err(error) => Err(error.into()),
    }
}

fn is_absent<E: std::error::Error + Send + Sync + 'static>(error: &ClientError<E>) -> bool {
    matches!(error, ClientError::Problem(problem) if problem.code == Code::NotFound)
}

fn vlan(segment: &Segment) -> String {
    segment
        .vlan
        .map(|vlan| vlan.to_string())
        .unwrap_or_default()
}

fn reach(segment: &Segment) -> String {
    match segment.reach.as_deref() {
        None => "everything".to_owned(),
        Some([]) => "nothing".to_owned(),
        Some(reach) => {
            let written: Vec<String> = reach.iter().map(destination).collect();
            written.join(" ")
        }
    }
}

fn destination(to: &Destination) -> String {
    let mut text = to.network.clone();
    if let Some(protocol) = to.protocol {
        text.push_str(match protocol {
            TransportProtocol::Tcp => ",tcp",
            TransportProtocol::Udp => ",udp",
        });
    }
    if let Some(port) = to.port {
        text.push_str(&format!(",{port}"));
    }
    text
}

fn text(segment: &Segment) -> String {
    facts([
        ("name", segment.name.clone()),
        ("VLAN", vlan(segment)),
        ("reaches", reach(segment)),
        ("created", when(segment.created_at)),
        ("changed", when(segment.updated_at)),
        ("version", segment.version.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_as_they_are_written() {
        for text in ["10.0.0.7", "10.0.0.0/24,tcp", "2001:db8::/32,udp,53"] {
            let Reach(read) = text.parse().unwrap();
            assert_eq!(destination(&read), text);
        }
        for wrong in [
            "",
            ",tcp",
            "10.0.0.7,sctp",
            "10.0.0.7,tcp,0",
            "10.0.0.7,tcp,70000",
            "10.0.0.7,tcp,1,2",
        ] {
            assert!(wrong.parse::<Reach>().is_err(), "{wrong}");
        }
    }
}
