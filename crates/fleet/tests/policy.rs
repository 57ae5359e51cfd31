//! The default policy's own tests, and how a policy that is wrong in any way means deny.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

use jiff::Timestamp;
use proptest::prelude::*;
use vouchsafe_fleet::policy::{
    Answer, DEFAULT_POLICY, Input, MAX_POLICY, Onboarding, Policy, PolicyError, RequestKind,
    dry_run,
};
use vouchsafe_fleet::{
    Claim, ClaimSubject, Device, DeviceId, Digest, IdevidRules, KeyOrigin, Manufacturer,
    ManufacturerId, ManufacturerTrust, State,
};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn device(state: State) -> Device {
    let manufacturer = ManufacturerId([1; 16]);
    Device {
        id: DeviceId::new(manufacturer, "A-1"),
        manufacturer,
        serial: "A-1".to_owned(),
        model: Some("lamp".to_owned()),
        state,
        owner: None,
        segment: None,
        idevid_sha256: None,
        idevid_spki_sha256: None,
        idevid_der: None,
        mud_url: None,
        key_origin: KeyOrigin::Device,
        version: 1,
        journal_seq: 0,
        journal_head: Digest::ZERO,
        reason: None,
        created_at: now(),
        updated_at: now(),
    }
}

fn manufacturer(trust: ManufacturerTrust) -> Manufacturer {
    Manufacturer {
        id: ManufacturerId([1; 16]),
        name: "Lamps".to_owned(),
        anchors: vec![],
        masa_url: None,
        masa_anchors: vec![],
        trust,
        idevid_rules: IdevidRules::default(),
        version: 1,
        created_at: now(),
        updated_at: now(),
    }
}

fn claim(kind: &str, value: serde_json::Value) -> Claim {
    Claim {
        issuer: "alice".to_owned(),
        subject: ClaimSubject::Device {
            id: device(State::Claimed).id,
        },
        kind: kind.to_owned(),
        value,
        strength: vouchsafe_fleet::Strength::Stated,
        issued_at: now(),
        expires_at: None,
        evidence: None,
        signature: None,
    }
}

fn input<'a>(device: &'a Device, manufacturer: &'a Manufacturer, claims: &'a [Claim]) -> Input<'a> {
    Input {
        now: now(),
        request: RequestKind::Voucher,
        device: Some(device),
        manufacturer: Some(manufacturer),
        onboarding: Some(Onboarding::BRSKI),
        address: None,
        claims,
    }
}

fn verdict_of(answer: &str) -> String {
    format!("package vouchsafe\n\nimport rego.v1\n\n{answer}\n")
}

#[test]
fn the_default_policy_passes_its_own_tests() {
    let tests = include_str!("../../../policies/default_test.rego");
    let mut engine = regorus::Engine::new();
    engine
        .add_policy("default.rego".to_owned(), DEFAULT_POLICY.to_owned())
        .unwrap();
    engine
        .add_policy("default_test.rego".to_owned(), tests.to_owned())
        .unwrap();
    let names: Vec<&str> = tests
        .lines()
        .filter_map(|line| line.strip_suffix(" if {"))
        .filter(|name| name.starts_with("test_"))
        .collect();
    assert!(names.len() >= 13, "{names:?}");
    for name in names {
        let value = engine.eval_rule(format!("data.vouchsafe_test.{name}"));
        assert_eq!(value.unwrap(), regorus::Value::from(true), "{name}");
    }
}

#[test]
fn the_default_policy_as_a_table() {
    let policy = Policy::load(DEFAULT_POLICY).unwrap();
    let mut table = String::new();
    for trust in ManufacturerTrust::ALL {
        for state in State::ALL {
            let (device, manufacturer) = (device(*state), manufacturer(*trust));
            let verdict = policy.evaluate(&input(&device, &manufacturer, &[]));
            let answer = match verdict.answer {
                Answer::Allow { segment } => format!("allow in {}", segment.unwrap()),
                Answer::Wait { .. } => "wait".to_owned(),
                Answer::Deny => "deny".to_owned(),
            };
            let codes: Vec<String> = verdict.reasons.into_iter().map(|it| it.code).collect();
            table += &format!("{trust:<17}{state:<13}{answer:<18}{}\n", codes.join(", "));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_text_that_is_no_policy_is_refused_by_name() {
    assert!(matches!(
        Policy::load("package vouchsafe\nverdict :="),
        Err(PolicyError::Syntax(_))
    ));
    assert!(matches!(
        Policy::load("package other\nverdict := 1"),
        Err(PolicyError::NoVerdict(_))
    ));
    assert!(matches!(Policy::load(""), Err(PolicyError::Syntax(_))));
    let long = format!("package vouchsafe\n{}", "#\n".repeat(MAX_POLICY));
    assert_eq!(Policy::load(&long), Err(PolicyError::TooLong));
}

#[test]
fn a_policy_may_not_read_the_clock() {
    let text = verdict_of("verdict := {\"answer\": \"allow\", \"ask_again_at\": time.now_ns()}");
    assert_eq!(Policy::load(&text), Err(PolicyError::ReadsClock));
}

#[test]
fn a_policy_has_no_way_out() {
    for call in [
        "http.send({\"method\": \"get\", \"url\": \"http://localhost\"})",
        "opa.runtime()",
        "rand.intn(\"a\", 5)",
    ] {
        let text = verdict_of(&format!(
            "verdict := {{\"answer\": \"allow\"}} if {call} != null"
        ));
        assert!(Policy::load(&text).is_err(), "{call}");
    }
}

#[test]
fn an_answer_that_is_not_exactly_right_is_refused_when_loading() {
    for wrong in [
        "verdict := true",
        "verdict := {}",
        "verdict := {\"answer\": true}",
        "verdict := {\"answer\": \"Allow\"}",
        "verdict := {\"answer\": \"allow\", \"segment\": 5}",
        "verdict := {\"answer\": \"allow\", \"retry_after\": 5}",
        "verdict := {\"answer\": \"allow\", \"ask_again\": 5}",
        "verdict := {\"answer\": \"allow\", \"ask_again_at\": \"tomorrow\"}",
        "verdict := {\"answer\": \"wait\"}",
        "verdict := {\"answer\": \"wait\", \"retry_after\": -5}",
        "verdict := {\"answer\": \"deny\", \"segment\": \"a\"}",
        "verdict := {\"answer\": \"deny\", \"reasons\": [\"because\"]}",
        "verdict := {\"answer\": \"deny\", \"reasons\": \"because\"}",
    ] {
        assert!(
            matches!(
                Policy::load(&verdict_of(wrong)),
                Err(PolicyError::NoVerdict(_))
            ),
            "{wrong}"
        );
    }
}

#[test]
fn an_answer_that_is_wrong_only_later_means_deny() {
    let (device, manufacturer) = (
        device(State::Claimed),
        manufacturer(ManufacturerTrust::VoucherRequired),
    );
    for wrong in [
        // No answer at all for a device that is known.
        "verdict := {\"answer\": \"deny\"} if is_null(input.device)",
        // Two answers at once.
        "verdict := {\"answer\": \"allow\"}\n\nverdict := {\"answer\": \"deny\"} if not is_null(input.device)",
        // The wrong type.
        "answer := \"deny\" if is_null(input.device)\n\nanswer := 1 if not is_null(input.device)\n\nverdict := {\"answer\": answer}",
    ] {
        let policy = Policy::load(&verdict_of(wrong)).unwrap();
        let verdict = policy.evaluate(&input(&device, &manufacturer, &[]));
        assert_eq!(verdict.answer, Answer::Deny, "{wrong}");
        assert_eq!(verdict.reasons[0].code, "policy-failed", "{wrong}");
    }
}

#[test]
fn a_policy_that_takes_too_long_means_deny() {
    let (device, manufacturer) = (
        device(State::Claimed),
        manufacturer(ManufacturerTrust::VoucherRequired),
    );
    let text = verdict_of(
        "many := numbers.range(1, 3000)\n\n\
         slow if {\n\tnot is_null(input.device)\n\tsome a in many\n\tsome b in many\n\ta * b == -1\n}\n\n\
         verdict := {\"answer\": \"deny\"} if is_null(input.device)\n\n\
         verdict := {\"answer\": \"allow\"} if {\n\tnot is_null(input.device)\n\tnot slow\n}",
    );
    let policy = Policy::load(&text).unwrap();
    let verdict = policy.evaluate(&input(&device, &manufacturer, &[]));
    assert_eq!(verdict.answer, Answer::Deny);
    assert_eq!(verdict.reasons[0].code, "policy-failed");
}

#[test]
fn evidence_that_has_run_out_is_not_shown() {
    let policy = Policy::load(DEFAULT_POLICY).unwrap();
    let (device, manufacturer) = (
        device(State::Claimed),
        manufacturer(ManufacturerTrust::VoucherRequired),
    );
    let mut claims = [claim("deny", true.into())];
    let answer = |claims: &[Claim]| {
        policy
            .evaluate(&input(&device, &manufacturer, claims))
            .answer
    };
    assert_eq!(answer(&claims), Answer::Deny);
    claims[0].expires_at = Some(now());
    assert_ne!(answer(&claims), Answer::Deny);
}

#[test]
fn a_dry_run_tells_whom_a_new_policy_would_cut_off() {
    let in_force = Policy::load(DEFAULT_POLICY).unwrap();
    let stricter = Policy::load(&verdict_of(
        "default verdict := {\"answer\": \"deny\"}\n\n\
         verdict := {\"answer\": \"allow\", \"segment\": \"devices\", \"reasons\": []} if input.device.state == \"claimed\"",
    ))
    .unwrap();
    let devices = [
        device(State::Claimed),
        device(State::Onboarded),
        device(State::Retired),
    ];
    let manufacturer = manufacturer(ManufacturerTrust::VoucherRequired);
    let inputs = devices
        .iter()
        .map(|device| input(device, &manufacturer, &[]));
    let differences: Vec<_> = dry_run(&in_force, &stricter, inputs).collect();
    assert_eq!(differences.len(), 1);
    assert!(differences[0].cuts_off());
    assert_eq!(differences[0].device, Some(devices[1].id));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn loading_any_text_never_panics(text in "(?s).{0,200}") {
        let _ = Policy::load(&text);
        let _ = Policy::load(&verdict_of(&text));
    }

    #[test]
    fn no_claim_lets_a_quarantined_device_in(kind in "[a-z-]{1,12}", value in any::<bool>()) {
        let policy = Policy::load(DEFAULT_POLICY).unwrap();
        let (device, manufacturer) =
            (device(State::Quarantined), manufacturer(ManufacturerTrust::VoucherRequired));
        let claims = [claim(&kind, value.into())];
        let verdict = policy.evaluate(&input(&device, &manufacturer, &claims));
        prop_assert_eq!(verdict.answer, Answer::Deny);
    }
}
