//! What network admission keeps.

use vouchsafe_fleet::admission::{self, GateCredential};
use vouchsafe_fleet::commit::Change;
use vouchsafe_fleet::{Commit, CredentialId, Digest};
use vouchsafe_store::Holder;

use crate::engine::Backend;
use crate::fixture::at;

fn credential(number: i64, revoked: bool) -> GateCredential {
    GateCredential {
        id: CredentialId(format!("{number:04x}")),
        gate: "hall".to_owned(),
        sha256: Digest::of(&number.to_be_bytes()),
        not_after: at(1_000_000),
        // Several in the same moment, and the later numbers earlier.
        revoked_at: revoked.then(|| at(100 - number / 4)),
    }
}

pub(crate) async fn revocations_of_gates_are_read_page_by_page(backend: &Backend) {
    let store = backend.open().await;
    let put = |credential: GateCredential| {
        Change::Admission(admission::Change::PutGateCredential(Box::new(credential)))
    };
    let changes = (0..30).map(|number| put(credential(number, number % 3 > 0)));
    let commit = Commit {
        changes: changes.collect(),
        ..Commit::default()
    };
    store.commit(commit).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let after = seen
            .last()
            .map(|last: &vouchsafe_store::Revocation| (last.at, &last.id));
        let page = store.revocations(Holder::Gate, after, 7).await.unwrap();
        let is_last = page.len() < 7;
        seen.extend(page);
        if is_last {
            break;
        }
    }
    let mut expected: Vec<_> = (0..30)
        .map(|number| credential(number, number % 3 > 0))
        .filter_map(|it| it.revoked_at.map(|at| (at, it.id)))
        .collect();
    expected.sort();
    let seen: Vec<_> = seen.into_iter().map(|it| (it.at, it.id)).collect();
    assert_eq!(seen, expected);
    store.close().await;
}
