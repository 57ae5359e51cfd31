//! Orders to the desk, and what comes back.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use vouchsafe_fleet::{Actor, Device};
use vouchsafe_manufacturer::{Desk, Order, Progress, Reply};
use vouchsafe_net::Clock;

use crate::failure::{Exit, Failure};
use crate::output::{Format, Printer};
use crate::site::required;

/// Which data folder, on whose account, and where results go.
pub(super) struct Place<'a> {
    pub(super) dir: Option<&'a Path>,
    pub(super) actor: Actor,
    pub(super) printer: Printer,
}

impl Place<'_> {
    /// Opens the desk, gives one order, and closes it.
    pub(super) async fn order(&self, order: Order) -> Result<Reply, Failure> {
        let mut replies = self.orders([order]).await?;
        replies.pop().ok_or_else(unexpected)
    }

    /// As [`Place::order`] for several, one after the other, up to the first that fails.
    pub(super) async fn orders(
        &self,
        orders: impl IntoIterator<Item = Order>,
    ) -> Result<Vec<Reply>, Failure> {
        let desk = self.open().await?;
        let bar = Bar::new(self.printer);
        let progress = |made: &Progress| bar.show(made);
        let mut replies = Vec::new();
        let mut failure = None;
        for order in orders {
            match desk.carry_out(&self.actor, order, &progress).await {
                Ok(reply) => replies.push(reply),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        bar.finish();
        desk.close().await;
        match failure {
            Some(error) => Err(error.into()),
            None => Ok(replies),
        }
    }

    pub(super) async fn open(&self) -> Result<Desk, Failure> {
        Ok(Desk::open(required(self.dir)?, Clock::system()).await?)
    }
}

/// A reply of another kind than the order asks for: a program of another version is running.
pub(super) fn unexpected() -> Failure {
    Failure::new(
        Exit::Internal,
        "reply",
        "the running program gave another answer than asked for",
    )
    .next_step("do both programs have the same version?")
}

/// The devices of a reply.
pub(super) fn devices(reply: Reply) -> Result<Vec<Device>, Failure> {
    match reply {
        Reply::Devices(devices) => Ok(devices),
        _ => Err(unexpected()),
    }
}

/// A progress bar on standard error, when a person is watching.
struct Bar(ProgressBar);

impl Bar {
    fn new(printer: Printer) -> Self {
        let watched = std::io::IsTerminal::is_terminal(&std::io::stderr());
        if printer.quiet || printer.format == Format::Json || !watched {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::no_length();
        let template = "{wide_bar} {human_pos}/{human_len}  {per_sec}  {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    fn show(&self, made: &Progress) {
        if let Some(total) = made.total {
            self.0.set_length(total);
        }
        self.0.set_position(made.made + made.passed_over);
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}
