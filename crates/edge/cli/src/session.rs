//! Sessions: which device is where, as gates report it.

use clap::{Args, Subcommand};
use vouchsafe_api::{Reasoned, Session, SessionFilter};

use crate::enforcement::WaitArgs;
use crate::failure::{Exit, Failure};
use crate::input::{self, PageArgs};
use crate::output::{Printer, facts, table, when};
use crate::remote::Api;

const LIST_EXAMPLES: &str = "\
Examples:
  vouchsafe session list --gate hall --current
  vouchsafe session list --device 1f0c… --output json";

const END_EXAMPLES: &str = "\
Examples:
  vouchsafe session end 9c31… --reason 'cable moved'

The device may come in again, with a new proof: `vouchsafe device quarantine` keeps it out.";

/// Commands on sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List sessions
    #[command(after_help = LIST_EXAMPLES)]
    List(List),
    /// Show one session
    Show {
        /// Its id
        id: String,
    },
    /// End a session; the device may prove itself anew
    #[command(after_help = END_EXAMPLES)]
    End {
        /// Its id
        id: String,
        /// Why; goes into the journal
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

/// `session list`
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this device (id)
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Only those at this gate
    #[arg(long)]
    gate: Option<String>,
    /// Only those in this segment
    #[arg(long)]
    segment: Option<String>,
    /// Only those that have not ended
    #[arg(long)]
    current: bool,
    /// Only those that have ended
    #[arg(long, conflicts_with = "current")]
    ended: bool,
    #[command(flatten)]
    page: PageArgs,
}

pub(crate) async fn run(
    command: SessionCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    let session = match command {
        SessionCommand::List(list) => return show_list(list, api, printer).await,
        SessionCommand::Show { id } => api.show_session(&id).await?,
        SessionCommand::End { id, reason, wait } => {
            let ended = wait
                .client(api)
                .end_session(&id, &Reasoned { reason })
                .await?;
            if ended.ended.is_none() {
                printer.note("the gate has not said yet that it is over: `vouchsafe session show`");
            }
            ended
        }
    };
    printer.show(&session, text)?;
    Ok(Exit::Done)
}

async fn show_list(list: List, api: &Api, printer: Printer) -> Result<Exit, Failure> {
    let filter = SessionFilter {
        device: list.device,
        gate: list.gate,
        segment: list.segment,
        ended: match (list.current, list.ended) {
            (true, _) => Some(false),
            (_, true) => Some(true),
            (false, false) => None,
        },
    };
    let page = list
        .page
        .fetch(|query| {
            let filter = &filter;
            async move { api.list_sessions(filter, &query).await }
        })
        .await?;
    printer.show(&page, |page| sessions_table(&page.items))?;
    input::note_more(&page, printer);
    Ok(Exit::Done)
}

/// Sessions, one a line.
pub(crate) fn sessions_table(sessions: &[Session]) -> String {
    let rows = sessions.iter().map(|session| {
        [
            session.id.clone(),
            session.device.clone(),
            session.gate.clone(),
            session.access_point.clone(),
            session.segment.clone().unwrap_or_default(),
            proof(session).to_owned(),
            when(session.since),
            session.ended.map(when).unwrap_or_default(),
        ]
    });
    table(
        [
            "session", "device", "gate", "at", "segment", "by", "since", "ended",
        ],
        rows,
    )
}

/// What the device came in by.
fn proof(session: &Session) -> &'static str {
    match session.credential {
        Some(_) => "certificate",
        None => "MAC address (weak)",
    }
}

fn text(session: &Session) -> String {
    facts([
        ("id", session.id.clone()),
        ("device", session.device.clone()),
        ("gate", session.gate.clone()),
        ("access point", session.access_point.clone()),
        ("station", session.station.clone().unwrap_or_default()),
        ("came in by", proof(session).to_owned()),
        (
            "certificate",
            session.credential.clone().unwrap_or_default(),
        ),
        ("segment", session.segment.clone().unwrap_or_default()),
        ("since", when(session.since)),
        ("until without a new proof", when(session.until)),
        ("last heard of", when(session.seen)),
        ("ended", session.ended.map(when).unwrap_or_default()),
        ("octets from it", session.octets_from.to_string()),
        ("octets to it", session.octets_to.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_station_without_a_certificate_is_marked_weak() {
        let at: jiff::Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        let session = Session {
            id: "9c31".to_owned(),
            gate: "hall".to_owned(),
            device: "1f0c".to_owned(),
            credential: None,
            station: Some("02:00:00:00:00:01".to_owned()),
            access_point: "port-3".to_owned(),
            segment: Some("lamps".to_owned()),
            since: at,
            until: at,
            seen: at,
            ended: None,
            octets_from: 1,
            octets_to: 2,
        };
        assert!(text(&session).contains("weak"));
        let strong = Session {
            credential: Some("0a".to_owned()),
            ..session
        };
        assert!(!text(&strong).contains("weak"));
    }
}
