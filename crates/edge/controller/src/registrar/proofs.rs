//! What was proved about open connections, so that a chain is verified once per connection and
//! not once per request.
//!
//! A connection's chain never changes, and its number is never used again in this process. What is
//! remembered goes out of date with the catalogue it was proved by, and after a minute.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::identity::Birth;
use crate::catalogue::Catalogue;

/// Connections remembered at most; the one proved first makes room.
const MAX_PROOFS: usize = 4096;

/// For how long a proof is good, since certificates run out.
const PROOF_LIFE: SignedDuration = SignedDuration::from_mins(1);

/// The proofs of one process.
#[derive(Debug, Default)]
pub(crate) struct Proofs(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_connection: BTreeMap<u64, Proof>,
    order: VecDeque<u64>,
}

#[derive(Debug)]
struct Proof {
    birth: Arc<Birth>,
    catalogue: Arc<Catalogue>,
    at: Timestamp,
}

impl Proofs {
    /// What was proved about this connection by this very catalogue, a short while ago.
    pub(super) fn find(
        &self,
        connection: u64,
        catalogue: &Arc<Catalogue>,
        now: Timestamp,
    ) -> Option<Arc<Birth>> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = inner.by_connection.get(&connection)?;
        let age = now.duration_since(proof.at);
        let good = Arc::ptr_eq(&proof.catalogue, catalogue)
            && age <= PROOF_LIFE
            && age >= SignedDuration::ZERO;
        good.then(|| Arc::clone(&proof.birth))
    }

    /// Remembers a proof.
    pub(super) fn put(
        &self,
        connection: u64,
        birth: Arc<Birth>,
        catalogue: Arc<Catalogue>,
        now: Timestamp,
    ) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = Proof {
            birth,
            catalogue,
            at: now,
        };
        if inner.by_connection.insert(connection, proof).is_none() {
            inner.order.push_back(connection);
        }
        while inner.order.len() > MAX_PROOFS {
            if let Some(oldest) = inner.order.pop_front() {
                inner.by_connection.remove(&oldest);
            }
        }
    }
}
