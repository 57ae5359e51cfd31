//! Vouchers and voucher requests, anybody's: to see what is in them, and which rule they break.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use vouchsafe_brski::examine::{self, Check, Expectations, Outcome};
use vouchsafe_brski::{InspectedCertificate, Inspection, inspect};
use vouchsafe_net::Clock;

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::{Printer, facts, printable, word};
use crate::remote::{read_anchors, read_certificates};

/// Commands on vouchers.
#[derive(Debug, Subcommand)]
pub(crate) enum VoucherCommand {
    /// Show everything in a voucher or voucher request; nothing is verified
    Show {
        /// The file: CMS, JWS or COSE, also as base64 or PEM; - for standard input
        file: PathBuf,
    },
    /// Verify a voucher as the device would, and show each rule; 2 if not every rule could be checked
    Verify(Verify),
}

/// `voucher verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The voucher: CMS, JWS or COSE, also as base64 or PEM; - for standard input
    file: PathBuf,
    /// Whom the device trusts to sign vouchers (PEM); may be repeated
    #[arg(long, value_name = "PEM", required = true)]
    anchor: Vec<PathBuf>,
    /// The time to judge by (RFC 3339); by default now
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// The nonce of the request, as base64 as it stands in JSON, or as text
    #[arg(long, allow_hyphen_values = true)]
    nonce: Option<String>,
    /// The device's serial number
    #[arg(long, allow_hyphen_values = true)]
    serial: Option<String>,
    /// The device's birth certificate (PEM), for serial number and issuer
    #[arg(long, value_name = "PEM")]
    idevid: Option<PathBuf>,
    /// The certificates that the registrar showed (PEM, its own first), to hold against the pin
    #[arg(long, value_name = "PEM")]
    registrar_chain: Option<PathBuf>,
}

/// The result of `voucher verify`.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether no rule is broken.
    ok: bool,
    /// Whether every rule was checked; only then does `ok` say that the voucher is good.
    complete: bool,
    /// The time it was judged by.
    at: Timestamp,
    checks: Vec<Check>,
}

pub(crate) fn run(command: VoucherCommand, printer: Printer) -> Result<Exit, Failure> {
    match command {
        VoucherCommand::Show { file } => {
            let inspection = inspect(&input::read(&file)?).map_err(|error| {
                let message = format!("{}: {error} ({})", file.display(), error.section());
                Failure::new(Exit::Refused, error.reason_code(), message)
            })?;
            printer.show(&inspection, |inspection| {
                let mut lines = Vec::new();
                describe(inspection, 0, &mut lines);
                lines
                    .push("nothing of this is verified: see `vouchsafe voucher verify`".to_owned());
                lines.join("\n")
            })?;
            Ok(Exit::Done)
        }
        VoucherCommand::Verify(command) => verify(&command, printer),
    }
}

fn verify(command: &Verify, printer: Printer) -> Result<Exit, Failure> {
    let at = command.at.unwrap_or_else(|| Clock::system().now());
    let idevid = match &command.idevid {
        Some(file) => read_certificates(file)?.into_iter().next(),
        None => None,
    };
    let registrar_chain = (command.registrar_chain.as_deref())
        .map(read_certificates)
        .transpose()?;
    let checks = examine::voucher(
        &input::read(&command.file)?,
        &Expectations {
            masa: &read_anchors(&command.anchor)?,
            at,
            serial_number: command.serial.as_deref(),
            idevid: idevid.as_ref(),
            nonce: command.nonce.as_deref(),
            registrar_chain: registrar_chain.as_deref(),
        },
    );
    let ok = !checks
        .iter()
        .any(|check| matches!(check.outcome, Outcome::Broken { .. }));
    let complete = unchecked(&checks).next().is_none();
    let report = Report {
        ok,
        complete,
        at,
        checks,
    };
    printer.show(&report, report_text)?;
    Ok(match (ok, complete) {
        (false, _) => Exit::Refused,
        (true, false) => Exit::Usage,
        (true, true) => Exit::Done,
    })
}

/// The rules for which nothing was given.
fn unchecked(checks: &[Check]) -> impl Iterator<Item = &'static str> {
    checks
        .iter()
        .filter(|check| matches!(check.outcome, Outcome::NotChecked { .. }))
        .map(|check| check.rule)
}

fn report_text(report: &Report) -> String {
    let mut lines = Vec::new();
    for check in &report.checks {
        let (mark, rest) = match &check.outcome {
            Outcome::Holds => ("✓", String::new()),
            Outcome::Broken { code, detail } => ("✗", format!("\n      {code}: {detail}")),
            Outcome::NotChecked { why } => ("–", format!("\n      not checked: {why}")),
        };
        lines.push(printable(&format!(
            "{mark} {} ({}){rest}",
            check.rule, check.section
        )));
    }
    let broken = report.checks.iter().find_map(|check| match &check.outcome {
        Outcome::Broken { code, .. } => Some((code, &check.section)),
        _ => None,
    });
    let at = report.at;
    lines.push(match broken {
        Some((code, section)) => format!("the voucher is refused: {code} ({section})"),
        None if report.complete => format!("the voucher is good at {at}"),
        None => {
            let open: Vec<&str> = unchecked(&report.checks).collect();
            let open = open.join("; ");
            format!("no rule that was checked is broken at {at}, but nobody checked: {open}")
        }
    });
    lines.join("\n")
}

fn describe(inspection: &Inspection, depth: usize, lines: &mut Vec<String>) {
    let indent = "    ".repeat(depth);
    let mut push = |text: &str| {
        lines.extend(text.lines().map(|line| format!("{indent}{line}")));
    };
    push(&format!(
        "{} in {} ({}), {} bytes",
        inspection.kind.replace('-', " "),
        word(&inspection.encoding),
        inspection.media_type,
        inspection.size
    ));
    // What is inside is shown below, not as a blob.
    let inside = inspection.prior.is_some();
    let fields = inspection.fields.iter().map(|(name, value)| {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text = match name.as_str() {
            "prior-signed-voucher-request" if inside => "(below)".to_owned(),
            "pinned-domain-cert" | "proximity-registrar-cert"
                if inspection.named_certificate.is_some() =>
            {
                "(below)".to_owned()
            }
            "idevid-issuer" => format!("{text} ({})", hexadecimal(&text)),
            _ => text,
        };
        (name.as_str(), text)
    });
    push(&indented(&facts(fields)));
    for other in &inspection.other_fields {
        push(&printable(&format!("  unknown field: {}", word(other))));
    }
    match &inspection.signer {
        Some(signer) => push(&format!("signer, as it says:\n{}", certificate(signer))),
        None => push("signer: not named"),
    }
    for carried in &inspection.certificates {
        push(&format!("it carries:\n{}", certificate(carried)));
    }
    if let Some(named) = &inspection.named_certificate {
        let role = if inspection.kind == "voucher" {
            "it pins"
        } else {
            "the pledge saw"
        };
        push(&format!("{role}:\n{}", certificate(named)));
    }
    if let Some(domain_id) = &inspection.domain_id {
        push(&format!("the domain in audit logs: {domain_id}"));
    }
    for remark in &inspection.remarks {
        push(&printable(&format!("! {remark}")));
    }
    if let Some(prior) = &inspection.prior {
        push("inside:");
        describe(prior, depth + 1, lines);
    }
}

fn certificate(certificate: &InspectedCertificate) -> String {
    indented(&facts([
        ("subject", certificate.subject.clone()),
        ("issuer", certificate.issuer.clone()),
        (
            "serial number",
            certificate.serial_number.clone().unwrap_or_default(),
        ),
        ("from", certificate.not_before.to_string()),
        ("to", certificate.not_after.to_string()),
        (
            "CA",
            if certificate.is_ca {
                "yes".to_owned()
            } else {
                String::new()
            },
        ),
        ("MASA", certificate.masa_url.clone().unwrap_or_default()),
        ("SHA-256", certificate.sha256.clone()),
    ]))
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

fn hexadecimal(base64: &str) -> String {
    let bytes = BASE64_STANDARD.decode(base64).unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
