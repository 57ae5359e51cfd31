//! The desired state that the controller writes for a gate.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouchsafe_api::{DesiredState, Reasoned, RevocationReason, Revoke, Role};
use vouchsafe_trust::Crl;

use crate::revocation::world_with;

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until(file: &Path, is_so: impl Fn(&DesiredState) -> bool) -> DesiredState {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Ok(text) = std::fs::read_to_string(file) {
            // The file is whole whenever it is there.
            let state: DesiredState = serde_json::from_str(&text).unwrap();
            if is_so(&state) {
                return state;
            }
        }
        assert!(Instant::now() < end, "no such state in {}", file.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn credentials(state: &DesiredState) -> Vec<&str> {
    let all = state.admitted.iter();
    all.map(|admitted| admitted.credential.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desired_state_follows_devices_and_credentials() {
    let (world, issued) = world_with(|config| {
        config.gate.state_file = Some("gate/desired.json".into());
    })
    .await;
    let file = world.dir.path().join("gate/desired.json");
    let [first, second] = [0, 1].map(|number| issued[number].serial_hex());

    // Two devices have onboarded; the third one's certificate is in no record.
    let state = until(&file, |state| !state.admitted.is_empty()).await;
    let mut expected = vec![first.as_str(), second.as_str()];
    let mut found = credentials(&state);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    let entry = state.admitted.iter().find(|it| it.credential == first);
    let ends = entry.unwrap().expires_at;
    assert_eq!(ends.as_second(), issued[0].not_after().as_second());

    // Revoked: off the list, and on the other one.
    let admin = world.role(Role::Operator).await;
    let revoke = Revoke {
        revocation_reason: RevocationReason::KeyCompromise,
        reason: "the key was on a bench".to_owned(),
    };
    admin.revoke_credential(&first, &revoke).await.unwrap();
    let later = until(&file, |state| credentials(state) == [&second]).await;
    assert!(later.version > state.version);
    let list = STANDARD.decode(&later.revocation_lists[0]).unwrap();
    let list = Crl::from_der(&list).unwrap();
    assert!(list.entry(issued[0].serial()).is_some());

    // Quarantined: nobody is left. Restored: back again.
    let device = state.admitted.iter().find(|it| it.credential == second);
    let device = device.unwrap().device.clone();
    let reason = Reasoned {
        reason: "it scans its neighbours".to_owned(),
    };
    admin
        .quarantine_device(&device, &reason, None)
        .await
        .unwrap();
    until(&file, |state| state.admitted.is_empty()).await;
    admin.restore_device(&device, &reason, None).await.unwrap();
    until(&file, |state| credentials(state) == [&second]).await;
}
