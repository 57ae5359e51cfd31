//! The lines of a list, in batches that are each one transaction. What others change meanwhile is decided anew.

use vouchsafe_api::{ImportResult, RefusedLine};
use vouchsafe_fleet::decide::Outcome;
use vouchsafe_fleet::wifi::{BootstrappingKey, Standing};
use vouchsafe_fleet::{Commit, Device, DeviceId, Digest};

use crate::api::label::Label;
use crate::api::problem::{Failure, accepted};
use crate::controller::{Controller, Fault};

/// Devices in one transaction.
pub(super) const BATCH: usize = 500;

/// How often a batch is decided anew when others change its devices meanwhile.
const MAX_ATTEMPTS: usize = 8;

/// What becomes of one line.
pub(super) enum Step {
    /// A decision, with what to store.
    Decided(Box<Outcome<Device>>),
    /// Nothing to do.
    Unchanged,
    /// The line says nothing that could be decided: code and sentence.
    Unreadable(&'static str, String),
}

pub(super) fn unreadable(code: &'static str, detail: &str) -> Step {
    Step::Unreadable(code, detail.to_owned())
}

/// What is stored about a line's device.
pub(super) struct Stored {
    pub(super) device: Option<Device>,
    /// The bootstrapping key that the line names.
    pub(super) key: Option<BootstrappingKey>,
    /// The device's standing with Wi-Fi, where the line names a key.
    pub(super) standing: Option<Standing>,
    /// The device that is named after that key and has it now, where it is another one.
    pub(super) labelled: Option<Label>,
}

/// Lines that are stored together.
pub(super) struct Batch<'a> {
    pub(super) controller: &'a Controller,
    /// Number of the first of them, from 1.
    pub(super) first_line: usize,
    pub(super) dry_run: bool,
}

impl Batch<'_> {
    /// Decides every line on what is stored, commits all at once, and counts. When somebody else
    /// changed a device meanwhile, the whole batch is decided anew.
    pub(super) async fn run<L>(
        &self,
        lines: &[L],
        result: &mut ImportResult,
        subject: impl Fn(&L, Option<&BootstrappingKey>) -> (Option<DeviceId>, String),
        key: impl Fn(&L) -> Option<Digest>,
        decide: impl Fn(&L, &Stored) -> Step,
    ) -> Result<(), Failure> {
        for _ in 0..MAX_ATTEMPTS {
            let mut counted = nothing();
            let mut all = Commit::default();
            let mut seen = std::collections::BTreeSet::new();
            let mut seen_keys = std::collections::BTreeSet::new();
            for (index, line) in lines.iter().enumerate() {
                let key = key(line);
                let known = self.known(key).await?;
                let (id, serial) = subject(line, known.as_ref());
                let stored = self.stored(id, known, key.is_some()).await?;
                let twice = |what| format!("the {what} stands twice in the list");
                let step = if id.is_some_and(|id| !seen.insert(id)) {
                    Step::Unreadable("twice", twice("device"))
                } else if key.is_some_and(|key| !seen_keys.insert(key)) {
                    Step::Unreadable("twice", twice("bootstrapping key"))
                } else {
                    decide(line, &stored)
                };
                let number = (self.first_line + index) as u64;
                match step {
                    Step::Decided(outcome) => {
                        let changes = !outcome.commit.is_empty();
                        crate::api::append(&mut all, outcome.commit);
                        match accepted(outcome.decision) {
                            Ok(_) if changes => counted.claimed += 1,
                            Ok(_) => counted.unchanged += 1,
                            Err(problem) => {
                                let code = problem.code.as_str();
                                refuse(&mut counted, number, serial, code, &problem.detail);
                            }
                        }
                    }
                    Step::Unchanged => counted.unchanged += 1,
                    Step::Unreadable(code, detail) => {
                        refuse(&mut counted, number, serial, code, &detail);
                    }
                }
            }
            let committed = match self.dry_run {
                true => Ok(()),
                false => self.controller.commit(all).await,
            };
            match committed {
                Ok(()) => {
                    result.claimed += counted.claimed;
                    result.unchanged += counted.unchanged;
                    result.refused += counted.refused;
                    result.refusals.extend(counted.refusals);
                    result.refusals.truncate(ImportResult::MAX_REFUSED);
                    return Ok(());
                }
                Err(vouchsafe_store::CommitError::Conflict(conflict)) => {
                    tracing::debug!(?conflict, "a batch is decided anew");
                }
                Err(error) => return Err(Fault::Commit(error).into()),
            }
        }
        Err(Fault::Contended.into())
    }

    async fn known(&self, key: Option<Digest>) -> Result<Option<BootstrappingKey>, Failure> {
        match key {
            Some(key) => Ok(self.controller.store.bootstrapping_key(key).await?),
            None => Ok(None),
        }
    }

    async fn stored(
        &self,
        id: Option<DeviceId>,
        key: Option<BootstrappingKey>,
        with_standing: bool,
    ) -> Result<Stored, Failure> {
        let store = &self.controller.store;
        let device = match id {
            Some(id) => store.device(id).await?,
            None => None,
        };
        let standing = match &device {
            Some(device) if with_standing => store.wifi_standing(device.id).await?,
            _ => None,
        };
        let labelled = match (&key, id) {
            (Some(key), Some(id)) => Label::find(store, key, id).await?,
            _ => None,
        };
        Ok(Stored {
            device,
            key,
            standing,
            labelled,
        })
    }
}

fn refuse(result: &mut ImportResult, line: u64, serial: String, code: &str, detail: &str) {
    result.refused += 1;
    if result.refusals.len() < ImportResult::MAX_REFUSED {
        result.refusals.push(RefusedLine {
            line,
            serial,
            code: code.to_owned(),
            detail: detail.to_owned(),
        });
    }
}

pub(super) fn nothing() -> ImportResult {
    ImportResult {
        claimed: 0,
        unchanged: 0,
        refused: 0,
        refusals: Vec::new(),
        manufacturer: None,
        warnings: Vec::new(),
    }
}
