//! The demo: from the factory line to a second owner, in one terminal, with nothing to configure.
//!
//! 1. The factory makes eight devices and sells seven of them.
//! 2. Two owners set up; the first imports what it bought.
//! 3. Everybody starts at once, attackers too. Who belongs here comes in, the others do not, each for
//!    a reason that somebody states.
//! 4. A device renews, one is reset and tries again, one changes its owner.
//! 5. What the controllers' registers and journals say of all that.
//!
//! Every actor is a process of its own ([`program`]) in one temporary folder ([`stage`]); what
//! people see ([`narrator`]) is what those processes said. Each expected outcome is checked against
//! that, or against what the API says; one that did not happen makes the exit code 1.

mod admission;
mod cast;
mod enterprise;
mod factory;
mod finale;
mod life;
mod narrator;
mod onboarding;
mod owners;
mod program;
mod sentence;
mod stage;
mod wifi;
mod wired;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use narrator::Narrator;
use stage::Stage;

/// How the demo is run.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// End after the story instead of staying up.
    #[arg(long)]
    once: bool,
    /// Tell another story: Wi-Fi Easy Connect on simulated radios. It ends by itself.
    #[arg(long)]
    wifi: bool,
    /// Tell another story: network admission at wired ports. Needs root.
    #[arg(long, conflicts_with = "wifi")]
    wired: bool,
    /// Tell another story: WPA3-Enterprise on simulated radios, from an open network that leads only to
    /// the join proxy. It ends by itself.
    #[arg(long, conflicts_with_all = ["wifi", "wired"])]
    enterprise: bool,
    /// Where `vouchsafe` and `vouchsafe-agent` are; beside this program without it.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
}

/// Exit code after a signal in the middle of the story, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Tells the story.
///
/// # Errors
/// The first expected outcome that did not happen.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    // One thread: children ask to end with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        let mut stop = Stop::new()?;
        if options.wifi {
            return wifi::run(options, stop).await;
        }
        if options.enterprise {
            return enterprise::run(options, stop).await;
        }
        if options.wired {
            return wired::run(options, stop).await;
        }
        let narrator = Narrator::new();
        let stage = Stage::set(options.bin_dir.as_deref())?;
        // Whoever is still running is ended when the story is dropped, before the stage is.
        let told = tokio::select! {
            told = story(&stage, &narrator, options.once) => told,
            () = stop.told() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        match told {
            Ok(world) => {
                if !options.once {
                    finale::next_steps(&stage, &narrator, &world);
                    stop.told().await;
                }
                world.end(&narrator).await?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                stage.show_logs(&narrator);
                Err(error)
            }
        }
    })
}

/// Everybody who is still running at the end.
struct World {
    factory: factory::Factory,
    first: owners::Owner,
    second: owners::Owner,
}

impl World {
    async fn end(self, narrator: &Narrator) -> anyhow::Result<()> {
        narrator.note("ending every program and removing the folder");
        self.first.server.end_gracefully().await?;
        self.second.server.end_gracefully().await?;
        self.factory.server.end_gracefully().await
    }
}

async fn story(stage: &Stage, narrator: &Narrator, once: bool) -> anyhow::Result<World> {
    narrator.title("Vouchsafe: from the factory line to a second owner");
    narrator.note("every actor below is a process of its own; they meet over sockets only");
    narrator.chapter(1, "The factory");
    let mut factory = factory::build(stage, narrator).await?;
    narrator.chapter(2, "The owners");
    let (first, second) = owners::set_up(stage, narrator, &mut factory).await?;
    narrator.chapter(3, "Everybody starts at once");
    let mut outcomes = onboarding::all_at_once(stage, narrator, &factory, &first).await?;
    narrator.chapter(4, "A longer life");
    let second = life::go_on(stage, narrator, &factory, &first, second, &mut outcomes).await?;
    narrator.chapter(5, "What remains");
    let world = World {
        factory,
        first,
        second,
    };
    finale::show(stage, narrator, &world, &outcomes).await?;
    if once {
        narrator.note("every expected outcome happened");
    }
    Ok(world)
}

/// SIGINT, SIGTERM, SIGHUP.
struct Stop([Signal; 3]);

impl Stop {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening to signals");
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn told(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
