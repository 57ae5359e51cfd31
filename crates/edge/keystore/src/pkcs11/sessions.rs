//! A pool of logged-in sessions with one token, which survives the loss of any of them.
//!
//! The login belongs to all sessions of the process together. When anything says that sessions,
//! login, handles or token are gone, the whole generation is dropped: the slot is looked for by
//! label again, a new session logs in, and the operation is tried once more.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use cryptoki::context::{Function, Pkcs11};
use cryptoki::error::{Error as CryptokiError, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use vouchsafe_trust::Secret;

use super::module;
use crate::{Error, HardwareProblem};

/// Most sessions open at once with one token; more threads wait for one to come back.
const MAX_SESSIONS: usize = 16;

/// What the module itself answers.
pub(super) type Attempt<T> = Result<T, CryptokiError>;

/// Counts the logins: handles found under one mean nothing under the next.
pub(super) type Generation = u64;

pub(super) struct Token {
    pkcs11: Pkcs11,
    label: String,
    pin: Secret,
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    generation: Generation,
    slot: Option<Slot>,
    idle: Vec<Session>,
    /// Sessions idle and lent, of any generation.
    open: usize,
    /// The token refused the PIN: trying again would lock it.
    pin_refused: Option<HardwareProblem>,
}

impl Token {
    pub(super) fn new(pkcs11: Pkcs11, label: &str, pin: Secret) -> Self {
        let state = State {
            generation: 0,
            slot: None,
            idle: Vec::new(),
            open: 0,
            pin_refused: None,
        };
        Self {
            pkcs11,
            label: label.to_owned(),
            pin,
            state: Mutex::new(state),
            returned: Condvar::new(),
        }
    }

    /// The token in words, for messages.
    pub(super) fn what(&self) -> String {
        format!("token {:?}", self.label)
    }

    /// Does something in a logged-in session, a second time when the first shows that the session
    /// was lost.
    pub(super) fn run<T>(
        &self,
        doing: &'static str,
        work: impl Fn(&Session, Generation) -> Attempt<T>,
    ) -> Result<T, Error> {
        let first = self.lend()?;
        match first.run(&work) {
            Err(error) if is_lost(&error) => {
                tracing::info!(token = self.label, %error, "session lost, logging in again");
                self.forget(first.generation);
                drop(first);
            }
            done => return done.map_err(|error| self.refused(doing, &error)),
        }
        if let Err(error) = module::initialize(&self.pkcs11) {
            return Err(self.refused("initialise module", &error));
        }
        let second = self.lend()?;
        second.run(&work).map_err(|error| {
            if is_lost(&error) {
                self.forget(second.generation);
            }
            self.refused(doing, &error)
        })
    }

    fn lend(&self) -> Result<Lent<'_>, Error> {
        let mut state = self.state();
        loop {
            if let Some(session) = state.idle.pop() {
                return Ok(self.lent(session, state.generation));
            }
            if state.open < MAX_SESSIONS {
                match self.open(&mut state) {
                    // The token allows fewer than we do.
                    Err(CryptokiError::Pkcs11(RvError::SessionCount, _)) if state.open > 0 => {}
                    Err(error) => return Err(self.login_failed(&mut state, &error)),
                    Ok(None) => {
                        return Err(match state.pin_refused.clone() {
                            Some(problem) => Error::hardware(self.what(), problem),
                            None => self.missing_token(),
                        });
                    }
                    Ok(Some(session)) => {
                        state.open += 1;
                        return Ok(self.lent(session, state.generation));
                    }
                }
            }
            state = self
                .returned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lent(&self, session: Session, generation: Generation) -> Lent<'_> {
        Lent {
            token: self,
            session: Some(session),
            generation,
        }
    }

    /// Opens and logs in a session; `None` when there is no such token or the PIN is no good.
    fn open(&self, state: &mut State) -> Attempt<Option<Session>> {
        if state.pin_refused.is_some() {
            return Ok(None);
        }
        let slot = match state.slot {
            Some(slot) => slot,
            None => match self.find_slots()?.as_slice() {
                [slot] => *slot,
                _ => return Ok(None),
            },
        };
        let session = self.pkcs11.open_rw_session(slot)?;
        let pin = String::from_utf8(self.pin.expose().to_vec()).unwrap_or_default();
        match session.login(UserType::User, Some(&AuthPin::new(pin.into()))) {
            Ok(()) | Err(CryptokiError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(error),
        }
        state.slot = Some(slot);
        Ok(Some(session))
    }

    fn find_slots(&self) -> Attempt<Vec<Slot>> {
        let mut slots = Vec::new();
        for slot in self.pkcs11.get_slots_with_token()? {
            // A slot whose token was pulled just now is none of ours.
            if self
                .pkcs11
                .get_token_info(slot)
                .is_ok_and(|info| info.token_initialized() && info.label() == self.label)
            {
                slots.push(slot);
            }
        }
        Ok(slots)
    }

    fn missing_token(&self) -> Error {
        let several = self.find_slots().is_ok_and(|slots| slots.len() > 1);
        let problem = if several {
            HardwareProblem::TokenAmbiguous
        } else {
            HardwareProblem::TokenMissing
        };
        Error::hardware(self.what(), problem)
    }

    fn login_failed(&self, state: &mut State, error: &CryptokiError) -> Error {
        state.slot = None;
        let problem = match error {
            CryptokiError::Pkcs11(
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                _,
            ) => HardwareProblem::PinWrong,
            CryptokiError::Pkcs11(RvError::PinLocked | RvError::PinExpired, _) => {
                HardwareProblem::PinLocked
            }
            CryptokiError::Pkcs11(RvError::TokenNotPresent | RvError::SlotIdInvalid, _) => {
                return Error::hardware(self.what(), HardwareProblem::TokenMissing);
            }
            other => return self.refused("log in", other),
        };
        state.pin_refused = Some(problem.clone());
        Error::hardware(self.what(), problem)
    }

    fn forget(&self, generation: Generation) {
        let mut state = self.state();
        if state.generation == generation {
            state.generation += 1;
            state.slot = None;
            state.open -= state.idle.len();
            state.idle.clear();
        }
    }

    fn refused(&self, doing: &'static str, error: &CryptokiError) -> Error {
        let problem = match error {
            CryptokiError::Pkcs11(RvError::TokenNotPresent | RvError::DeviceRemoved, _) => {
                HardwareProblem::TokenMissing
            }
            other => HardwareProblem::Refused {
                doing,
                reason: other.to_string(),
            },
        };
        Error::hardware(self.what(), problem)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?})", self.label)
    }
}

/// A session that goes back to the pool when dropped, also when the work panics.
struct Lent<'a> {
    token: &'a Token,
    session: Option<Session>,
    generation: Generation,
}

impl Lent<'_> {
    fn run<T>(&self, work: impl Fn(&Session, Generation) -> Attempt<T>) -> Attempt<T> {
        match &self.session {
            Some(session) => work(session, self.generation),
            None => Err(CryptokiError::Pkcs11(
                RvError::SessionClosed,
                Function::GetSessionInfo,
            )),
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.token.state();
        match self.session.take() {
            Some(session) if state.generation == self.generation => state.idle.push(session),
            // Of a lost generation: closed here.
            _ => state.open -= 1,
        }
        drop(state);
        self.token.returned.notify_one();
    }
}

fn is_lost(error: &CryptokiError) -> bool {
    matches!(
        error,
        CryptokiError::Pkcs11(
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::UserNotLoggedIn
                | RvError::DeviceRemoved
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::SlotIdInvalid
                | RvError::CryptokiNotInitialized
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::OperationActive,
            _
        )
    )
}
