//! Chapter 2: two owners, and who bought what.
//!
//! 1. Each owner makes a domain; its CA goes to the manufacturer, which sells to it.
//! 2. The first owner's controller starts and imports the signed manifest of what it bought.
//! 3. Somebody there also claims a device that lay around, without having bought it.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::cast::{Buyer, CLAIMED_WRONGLY, FIRST, MAKER, SECOND, bought_by};
use super::factory::Factory;
use super::narrator::{Narrator, Tone};
use super::program::Program;
use super::sentence::text;
use super::stage::{Ended, Stage};

/// An owner's domain, not running.
pub(super) struct Domain {
    pub(super) name: &'static str,
    pub(super) dir: PathBuf,
    /// The owner's id.
    pub(super) id: String,
}

/// An owner whose controller runs.
pub(super) struct Owner {
    pub(super) domain: Domain,
    pub(super) server: Program,
    /// `https://…` of the registrar.
    pub(super) registrar: String,
    /// `https://…` of the API.
    pub(super) api: String,
}

/// Makes both; the second one does not run yet.
pub(super) async fn set_up(
    stage: &Stage,
    narrator: &Narrator,
    factory: &mut Factory,
) -> anyhow::Result<(Owner, Domain)> {
    // 1
    let first = Domain::make(stage, narrator, FIRST, "house").await?;
    let second = Domain::make(stage, narrator, SECOND, "farm").await?;
    for (domain, buyer) in [(&first, Buyer::First), (&second, Buyer::Second)] {
        let ca = domain.dir.join("domain-ca.pem").display().to_string();
        factory
            .command(
                stage,
                narrator,
                &["owner", "add", domain.name, "--domain-ca", &ca],
            )
            .await?;
        let mut arguments = vec!["sell"];
        let serials = bought_by(buyer);
        arguments.extend(&serials);
        arguments.extend(["--to", domain.name]);
        factory.command(stage, narrator, &arguments).await?;
        let sold = format!("has sold {} to {}", serials.join(", "), domain.name);
        narrator.said(MAKER, Tone::Good, sold);
    }
    // 2
    let first = first.serve(stage, narrator).await?;
    first
        .import(stage, narrator, factory, bought_by(Buyer::First).len())
        .await?;
    // 3
    let claim = [
        "device",
        "claim",
        "--manufacturer",
        &factory.id,
        "--serial",
        CLAIMED_WRONGLY,
        "--reason",
        "it lay in our storeroom",
    ];
    first.command(stage, narrator, &claim).await?;
    let said = format!("claims {CLAIMED_WRONGLY} as well, which {SECOND} bought");
    narrator.said(FIRST, Tone::Plain, said);
    Ok((first, second))
}

impl Domain {
    async fn make(
        stage: &Stage,
        narrator: &Narrator,
        name: &'static str,
        folder: &str,
    ) -> anyhow::Result<Self> {
        let dir = stage.path(folder);
        let shown = dir.display().to_string();
        let arguments = [
            "init",
            "--dir",
            &shown,
            "--name",
            name,
            "--set",
            "registrar.listen=127.0.0.1:0",
            "--set",
            "registrar.announce_on=[\"loopback\"]",
            "--set",
            "api.listen=127.0.0.1:0",
        ];
        let made = stage.vouchsafe(narrator, &arguments).await?;
        let id = text(&made, "owner").to_owned();
        narrator.said(
            name,
            Tone::Good,
            format!("has its domain CA; it is owner {id}"),
        );
        Ok(Self { name, dir, id })
    }

    /// Starts its controller.
    pub(super) async fn serve(self, stage: &Stage, narrator: &Narrator) -> anyhow::Result<Owner> {
        let dir = self.dir.display().to_string();
        let arguments = ["serve", "--dir", &dir];
        let program = stage.program("vouchsafe");
        let (server, ready) = Program::serve(stage, self.name, &program, &arguments).await?;
        let address = |field: &str| text(&ready, field).to_owned();
        let owner = Owner {
            registrar: address("registrar"),
            api: address("api"),
            domain: self,
            server,
        };
        let said = format!("registrar at {}, API at {}", owner.registrar, owner.api);
        narrator.said(owner.domain.name, Tone::Good, said);
        Ok(owner)
    }
}

impl Owner {
    /// Runs a `vouchsafe` command against its API.
    pub(super) async fn command(
        &self,
        stage: &Stage,
        narrator: &Narrator,
        arguments: &[&str],
    ) -> anyhow::Result<Value> {
        self.try_command(stage, narrator, arguments).await?.json()
    }

    /// The same, whatever the end.
    pub(super) async fn try_command(
        &self,
        stage: &Stage,
        narrator: &Narrator,
        arguments: &[&str],
    ) -> anyhow::Result<Ended> {
        let dir = self.domain.dir.display().to_string();
        let mut all = arguments.to_vec();
        all.extend(["--dir", &dir]);
        stage.try_vouchsafe(narrator, &all).await
    }

    /// Gets its manifest from the manufacturer and imports it.
    pub(super) async fn import(
        &self,
        stage: &Stage,
        narrator: &Narrator,
        factory: &Factory,
        expected: usize,
    ) -> anyhow::Result<()> {
        let name = self.domain.name;
        let file = self.domain.dir.join("manifest.p7s").display().to_string();
        let arguments = ["manifest", "--owner", name, "--out", &file];
        factory.command(stage, narrator, &arguments).await?;
        let [root, masa] =
            ["root-ca.pem", "masa-ca.pem"].map(|name| factory.dir.join(name).display().to_string());
        let arguments = [
            "import", "manifest", &file, "--anchor", &root, "--anchor", &masa,
        ];
        let imported = self.command(stage, narrator, &arguments).await?;
        let claimed = imported
            .get("claimed")
            .and_then(Value::as_u64)
            .context("no count")?;
        ensure!(
            usize::try_from(claimed) == Ok(expected),
            "{name} imported {claimed} devices, not {expected}: {imported}"
        );
        narrator.said(
            name,
            Tone::Good,
            format!("has imported the signed manifest: {claimed} devices"),
        );
        Ok(())
    }

    /// A device as its API shows it.
    pub(super) async fn device(
        &self,
        stage: &Stage,
        narrator: &Narrator,
        serial: &str,
    ) -> anyhow::Result<Value> {
        self.command(stage, narrator, &["device", "show", serial])
            .await
    }
}
