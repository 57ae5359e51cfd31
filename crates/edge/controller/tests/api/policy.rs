//! The policy: shown, checked, tried, replaced.

use vouchsafe_api::{CheckPolicy, Claim, Code, Decision, DryRunPolicy, PutPolicy, Role, Version};

use crate::world::{Maker, World, code};

const DENY: &str = r#"package vouchsafe

verdict := {"answer": "deny", "reasons": [{"code": "closed", "text": "The site is closed."}]}
"#;

const ALLOW: &str = r#"package vouchsafe

verdict := {"answer": "allow", "reasons": []}
"#;

fn put(rego: &str) -> PutPolicy {
    PutPolicy {
        rego: rego.to_owned(),
        reason: "the fair is over".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_comes_into_force_only_from_the_version_that_was_read_and_only_when_it_can_be_read()
 {
    let world = World::new().await;
    let admin = world.admin();
    let first = admin.show_policy().await.unwrap();
    assert_eq!(first.value.updated_by, "default");
    let version = first.version.unwrap();
    let unreadable = admin.put_policy(&put("package"), version).await;
    assert_eq!(code(unreadable), Code::PolicyRefused);
    assert_eq!(admin.show_policy().await.unwrap().value, first.value);

    let second = admin.put_policy(&put(DENY), version).await.unwrap();
    assert_eq!(
        (second.rego.as_str(), second.updated_by.as_str()),
        (DENY, "admin")
    );
    let status = admin.show_status().await.unwrap();
    assert_eq!(status.policy_sha256, second.sha256);
    let stale = admin.put_policy(&put(ALLOW), version).await;
    assert_eq!(code(stale), Code::PreconditionFailed);
    let third = admin
        .put_policy(&put(ALLOW), Version(second.version))
        .await
        .unwrap();
    assert!(third.version > second.version);

    // It is in force after a restart too.
    let world = world.restarted().await;
    let kept = world.admin().show_policy().await.unwrap().value;
    assert_eq!(kept, third);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_who_would_be_cut_off_and_changes_nothing() {
    let world = World::new().await;
    let admin = world.admin();
    let before = admin.show_policy().await.unwrap();
    let before = admin
        .put_policy(&put(ALLOW), before.version.unwrap())
        .await
        .unwrap();
    let maker = Maker::new("Maker");
    for serial in ["A-1", "A-2"] {
        let claim = Claim {
            manufacturer: maker.id.to_string(),
            serial: serial.to_owned(),
            model: None,
            segment: None,
            mac: None,
            reason: None,
        };
        admin.claim_device(&claim).await.unwrap();
    }
    let auditor = world.role(Role::Auditor).await;
    let position = admin.show_status().await.unwrap().journal_position;
    let proposal = DryRunPolicy {
        rego: DENY.to_owned(),
    };
    let said = auditor.dry_run_policy(&proposal).await.unwrap();
    assert_eq!((said.evaluated, said.cut_off, said.changed), (2, 2, 2));
    assert_eq!(
        (said.changes[0].now, said.changes[0].then),
        (Decision::Allow, Decision::Deny)
    );
    assert_eq!(said.changes[0].reasons, ["closed"]);
    let status = admin.show_status().await.unwrap();
    assert_eq!(
        (status.journal_position, status.policy_sha256),
        (position, before.sha256)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_is_wrong() {
    let world = World::new().await;
    let auditor = world.role(Role::Auditor).await;
    let check = |rego: &str| CheckPolicy {
        rego: rego.to_owned(),
    };
    assert!(auditor.check_policy(&check(ALLOW)).await.unwrap().ok);
    let said = auditor
        .check_policy(&check("package vouchsafe\n\nverdict := {\n"))
        .await
        .unwrap();
    assert!(!said.ok);
    assert_eq!(said.faults[0].line, Some(4), "{said:?}");
    let said = auditor
        .check_policy(&check("package vouchsafe"))
        .await
        .unwrap();
    assert!(!said.ok && said.faults[0].line.is_none(), "{said:?}");
}
