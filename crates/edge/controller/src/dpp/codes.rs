//! Codes that a person has told a device, for PKEX (Wi-Fi Easy Connect 3.0 §5.6, version 2).
//!
//! 1. A person says a code, and as what its device comes in.
//! 2. A device shows that it knows the code, and its bootstrapping key with it ([`Codes::answer`],
//!    [`Codes::reveal`]). Each code is good for one device, for [`LIFETIME`], and for as many wrong
//!    guesses as the specification allows.
//! 3. The device is claimed in that person's name, and goes on as one whose label was read.
//!
//! Codes are in memory: one that is lost with the process is said again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use vouchsafe_dpp::authentication::Entropy;
use vouchsafe_dpp::pkex::{ExchangeRequest, PkexBinding, PkexCode, Responder, Tries};
use vouchsafe_dpp::{Agreement, BootstrappingPublicKey, Error, Refusal};
use vouchsafe_fleet::wifi::DeviceRole;
use vouchsafe_fleet::{Actor, Reason};

/// How long a code is good.
const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// Codes at once.
const MOST: usize = 64;

/// Shortest code: a guess must be worth nothing within the wrong ones that are allowed.
pub const SHORTEST: usize = 6;

/// The codes that are good now.
#[derive(Debug, Default)]
pub struct Codes(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    id: u64,
    code: PkexCode,
    tries: Tries,
    until: Timestamp,
    grant: Grant,
}

/// What a person said of the device that knows the code.
#[derive(Debug, Clone)]
pub struct Grant {
    /// As what it comes in.
    pub role: DeviceRole,
    /// For which network, by name.
    pub network: Option<String>,
    /// What stands for its serial number.
    pub label: Option<String>,
    /// Who said so.
    pub actor: Actor,
    /// And why.
    pub reasons: Vec<Reason>,
    /// Whether they may change a device in service.
    pub runs_devices: bool,
}

/// A code that is good now, without the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Good {
    /// Names it among those that are good.
    pub id: u64,
    /// By which a device finds it, where it has one.
    pub identifier: Option<String>,
    /// As what its device comes in.
    pub role: DeviceRole,
    /// For which network, by name.
    pub network: Option<String>,
    /// What stands for its device's serial number.
    pub label: Option<String>,
    /// Who said it.
    pub said_by: String,
    /// Until when it is good.
    pub until: Timestamp,
    /// Wrong guesses so far.
    pub guessed: u8,
}

/// A device that did not show that it knows the code.
#[derive(Debug)]
pub(super) struct Missed {
    /// The rule that it broke.
    pub(super) error: Error,
    /// The code as it is now; none when it was used up meanwhile.
    pub(super) code: Option<Box<Good>>,
}

/// An exchange under way.
pub(super) struct Exchange {
    id: u64,
    responder: Responder,
}

impl Known {
    fn shown(&self) -> Good {
        Good {
            id: self.id,
            identifier: self.code.identifier().map(str::to_owned),
            role: self.grant.role,
            network: self.grant.network.clone(),
            label: self.grant.label.clone(),
            said_by: self.grant.actor.name.clone(),
            until: self.until,
            guessed: self.tries.failed(),
        }
    }
}

impl Good {
    /// Wrong guesses that are left.
    pub fn left(&self) -> u8 {
        Tries::LIMIT.saturating_sub(self.guessed)
    }
}

impl Codes {
    /// Step 1: the code as it is good from now on; none when there are too many, or one of the same
    /// identifier.
    pub fn add(&self, code: PkexCode, grant: Grant, now: Timestamp) -> Option<Good> {
        let mut table = self.table(now);
        let taken = |known: &Known| known.code.identifier() == code.identifier();
        if table.known.len() >= MOST || table.known.iter().any(taken) {
            return None;
        }
        let until = now.saturating_add(LIFETIME).ok()?;
        let id = table.next;
        table.next += 1;
        let known = Known {
            id,
            code,
            tries: Tries::default(),
            until,
            grant,
        };
        let shown = known.shown();
        table.known.push(known);
        Some(shown)
    }

    /// Step 2, first half: the Exchange Response.
    ///
    /// # Errors
    /// [`Refusal::PkexIdentifier`] when no such code is good, and as [`Responder::answer`].
    pub(super) fn answer(
        &self,
        request: &ExchangeRequest,
        own: Arc<dyn Agreement>,
        entropy: &Entropy,
        now: Timestamp,
    ) -> Result<(Vec<u8>, Exchange), Error> {
        let mut table = self.table(now);
        let known = table
            .known
            .iter_mut()
            .find(|known| known.code.identifier() == request.identifier())
            .ok_or(Refusal::PkexIdentifier)?;
        let (response, responder) = Responder::answer(
            request,
            own,
            &known.code,
            PkexBinding::Versions,
            &mut known.tries,
            entropy,
        )?;
        let id = known.id;
        Ok((response, Exchange { id, responder }))
    }

    /// Step 2, second half: whoever wrote this knows the code, which is used up by it.
    ///
    /// # Errors
    /// [`Refusal::PkexIdentifier`] when it was used up meanwhile, and as [`Responder::handle`].
    pub(super) fn reveal(
        &self,
        exchange: Exchange,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<(Vec<u8>, BootstrappingPublicKey, Grant), Missed> {
        let mut table = self.table(now);
        let place = table.known.iter().position(|known| known.id == exchange.id);
        let Some(place) = place else {
            return Err(Missed {
                error: Refusal::PkexIdentifier.into(),
                code: None,
            });
        };
        let mut known = table.known.swap_remove(place);
        match exchange.responder.handle(frame, &mut known.tries) {
            Ok((response, key)) => Ok((response, key, known.grant)),
            Err(error) => {
                let code = Some(Box::new(known.shown()));
                table.known.push(known);
                Err(Missed { error, code })
            }
        }
    }

    /// The codes that are good, in the order in which they were said.
    pub fn list(&self, now: Timestamp) -> Vec<Good> {
        let table = self.table(now);
        let mut good: Vec<Good> = table.known.iter().map(Known::shown).collect();
        good.sort_by_key(|good| good.id);
        good
    }

    /// Takes a code back; whether there was one.
    pub fn remove(&self, id: u64, now: Timestamp) -> bool {
        let mut table = self.table(now);
        let before = table.known.len();
        table.known.retain(|known| known.id != id);
        table.known.len() < before
    }

    /// Without those whose time is over, or that were guessed at too often.
    fn table(&self, now: Timestamp) -> MutexGuard<'_, Table> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table
            .known
            .retain(|known| now < known.until && !known.tries.are_used_up());
        table
    }
}
