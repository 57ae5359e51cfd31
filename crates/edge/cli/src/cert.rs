//! Certificates of this domain.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;
use serde_json::json;
use vouchsafe_api::{Credential, CredentialFilter, CredentialState, RevocationReason, Revoke};

use crate::enforcement::{self, WaitArgs};
use crate::failure::{Exit, Failure};
use crate::input::{self, PageArgs, words};
use crate::output::{Printer, facts, table, when, word};
use crate::remote::Api;

/// Words for [`RevocationReason`].
pub(crate) const REASONS: &[&str] = &[
    "unspecified",
    "key-compromise",
    "affiliation-changed",
    "superseded",
    "cessation-of-operation",
    "privilege-withdrawn",
];

/// Commands on certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// List certificates
    List {
        /// Only those of this device (id)
        #[arg(long, value_name = "ID")]
        device: Option<String>,
        /// Only those in this state
        #[arg(long, value_parser = words::<CredentialState>(&["active", "superseded", "revoked"]))]
        state: Option<CredentialState>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show one certificate
    Show {
        /// Its serial number, hexadecimal
        id: String,
    },
    /// Take a certificate back
    Revoke {
        /// Its serial number, hexadecimal
        id: String,
        /// The reason that revocation lists show
        #[arg(long, value_parser = words::<RevocationReason>(REASONS), default_value = "unspecified")]
        revocation_reason: RevocationReason,
        /// Why; goes into the journal
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Fetch the revocation list
    Crl {
        /// Write it to this file (DER) and do not show it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(crate) async fn run(
    command: CertCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        CertCommand::List {
            device,
            state,
            page,
        } => {
            let filter = CredentialFilter { device, state };
            let page = page
                .fetch(|query| {
                    let filter = &filter;
                    async move { api.list_credentials(filter, &query).await }
                })
                .await?;
            printer.show(&page, |page| {
                let rows = page.items.iter().map(|credential| {
                    [
                        credential.id.clone(),
                        credential.device.clone(),
                        word(&credential.state),
                        when(credential.not_before),
                        when(credential.not_after),
                    ]
                });
                table(["serial number", "device", "state", "from", "to"], rows)
            })?;
            input::note_more(&page, printer);
        }
        CertCommand::Show { id } => {
            printer.show(&api.show_credential(&id).await?, text)?;
        }
        CertCommand::Revoke {
            id,
            revocation_reason,
            reason,
            wait,
        } => {
            let revoke = Revoke {
                revocation_reason,
                reason,
            };
            let revoked = wait.client(api).revoke_credential(&id, &revoke).await?;
            printer.show(&revoked, text)?;
            enforcement::note(revoked.enforcement.as_ref(), printer);
        }
        CertCommand::Crl { out } => {
            let der = api.show_crl().await?;
            match out {
                Some(file) => {
                    input::write(&file, &der)?;
                    printer.show(&json!({ "crl_file": file }), |_| {
                        format!("the revocation list is in {}", file.display())
                    })?;
                }
                None => {
                    let pem = pem(&der);
                    printer.show(&json!({ "crl_pem": pem }), |_| pem.clone())?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

fn pem(der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN X509 CRL-----\n");
    for (place, character) in base64.chars().enumerate() {
        if place > 0 && place % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END X509 CRL-----\n");
    pem
}

fn text(credential: &Credential) -> String {
    let revoked = credential.revoked_at.map(|at| {
        let reason = credential.revocation_reason.as_ref().map(word);
        format!("{} {}", when(at), reason.unwrap_or_default())
    });
    let facts = facts([
        ("serial number", credential.id.clone()),
        ("device", credential.device.clone()),
        ("state", word(&credential.state)),
        ("from", when(credential.not_before)),
        ("to", when(credential.not_after)),
        ("revoked", revoked.unwrap_or_default()),
        ("key", credential.spki_sha256.clone()),
    ]);
    let reached = enforcement::text(credential.enforcement.as_ref());
    format!("{facts}{reached}\n\n{}", credential.certificate_pem)
}
