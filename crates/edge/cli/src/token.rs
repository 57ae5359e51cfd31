//! Tokens for the API.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use vouchsafe_api::{CreateToken, Role};

use crate::failure::{Exit, Failure};
use crate::input::{self, PageArgs};
use crate::output::{Printer, facts, table, when};
use crate::remote::Api;

/// Commands on tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its secret is shown once
    Create {
        /// What people call it
        name: String,
        /// admin, operator, installer, auditor or device-line
        #[arg(long)]
        role: Role,
        /// Days until it ends; without, it lasts until it is revoked
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
        /// Write the secret to this file (mode 0600) and do not show it
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// List tokens
    List(PageArgs),
    /// Revoke a token
    Revoke {
        /// Its id
        id: String,
    },
}

pub(crate) async fn run(
    command: TokenCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        TokenCommand::Create {
            name,
            role,
            days,
            secret_file,
        } => {
            let create = CreateToken {
                name,
                role,
                expires_in_days: days,
            };
            if let Some(file) = &secret_file {
                input::writable(file)?;
            }
            let created = api.create_token(&create).await?;
            match secret_file {
                Some(file) => {
                    input::write(&file, format!("{}\n", created.secret).as_bytes())?;
                    let result = json!({ "token": created.token, "secret_file": file });
                    printer.show(&result, |_| {
                        format!("token {} is in {}", created.token.id, file.display())
                    })?;
                }
                None => printer.show(&created, |created| {
                    facts([
                        ("id", created.token.id.clone()),
                        ("role", created.token.role.to_string()),
                        ("secret", created.secret.clone()),
                    ])
                })?,
            }
        }
        TokenCommand::List(page) => {
            let page = page
                .fetch(|query| async move { api.list_tokens(&query).await })
                .await?;
            printer.show(&page, |page| {
                let rows = page.items.iter().map(|token| {
                    let end = |at: Option<jiff::Timestamp>| at.map(when).unwrap_or_default();
                    [
                        token.id.clone(),
                        token.name.clone(),
                        token.role.to_string(),
                        when(token.created_at),
                        end(token.expires_at),
                        end(token.revoked_at),
                    ]
                });
                table(["id", "name", "role", "made", "ends", "revoked"], rows)
            })?;
            input::note_more(&page, printer);
        }
        TokenCommand::Revoke { id } => {
            api.revoke_token(&id).await?;
            printer.show(&json!({ "revoked": id }), |_| {
                format!("token {id} is revoked")
            })?;
        }
    }
    Ok(Exit::Done)
}
