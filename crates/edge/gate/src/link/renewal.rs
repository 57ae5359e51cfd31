//! The certificate is renewed at two thirds of its life (RFC 7030 §4.2.2).

use std::time::Duration;

use jiff::Timestamp;
use vouchsafe_net::{Origin, ReloadableIdentity};
use vouchsafe_trust::Certificate;

use super::enrol::renew;
use super::error::LinkError;
use super::folder::LinkFolder;
use super::health::Health;
use crate::event::Event;
use crate::random;

/// Longest sleep in one go: clocks are set, machines suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// Pause after a renewal that failed: half of it to all of it.
const AGAIN: Duration = Duration::from_secs(300);

/// What is needed to renew.
pub(super) struct Renewal {
    pub(super) folder: LinkFolder,
    pub(super) controller: Origin,
    pub(super) identity: ReloadableIdentity,
    pub(super) health: Health,
}

/// Two thirds of the way through its life.
pub(crate) fn renew_at(certificate: &Certificate) -> Timestamp {
    let (start, end) = (certificate.not_before(), certificate.not_after());
    let life = end.duration_since(start);
    start.checked_add(life / 3 * 2).unwrap_or(end)
}

impl Renewal {
    /// Renews whenever it is time.
    pub(super) async fn run(self) {
        loop {
            let current = self.identity.current();
            let due = current.chain().first().map(renew_at);
            let left = due
                .unwrap_or(Timestamp::MAX)
                .duration_since(self.health.now());
            match Duration::try_from(left) {
                Ok(left) if !left.is_zero() => {
                    tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
                    continue;
                }
                _ => {}
            }
            if let Err(error) = self.once().await {
                self.health.tell(Event::RenewalFailed {
                    reason: error.code(),
                    problem: error.to_string(),
                });
                let random = random::bytes().map_or(0, u32::from_be_bytes);
                let half = AGAIN / 2;
                let share = f64::from(random) / f64::from(u32::MAX);
                tokio::time::sleep(half + half.mul_f64(share)).await;
            }
        }
    }

    async fn once(&self) -> Result<(), LinkError> {
        let certificate = renew(&self.folder, &self.controller, self.health.clock()).await?;
        self.identity.replace(self.folder.identity()?);
        self.health.tell(Event::Renewed {
            certificate: certificate.serial_hex(),
            until: certificate.not_after(),
        });
        Ok(())
    }
}
