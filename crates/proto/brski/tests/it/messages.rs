//! Reports, audit logs, statuses and media types.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use vouchsafe_brski::audit::{AuditEvent, AuditLog, MAX_EVENTS, domain_id};
use vouchsafe_brski::telemetry::StatusReport;
use vouchsafe_brski::{
    Assertion, Encoding, Error, Malformed, Misuse, Nonce, Refusal, Unsupported, idevid, status,
};

use crate::world::{World, now};

fn event(domain: &str, nonce: Option<&str>, minute: i64) -> AuditEvent {
    AuditEvent {
        date: now() + SignedDuration::from_mins(minute),
        domain_id: domain.to_owned(),
        nonce: nonce.map(str::to_owned),
        assertion: Assertion::Logged,
        truncated: 0,
    }
}

/// RFC 8995 §5.8.1: at most 1024 events; duplicates go first, and what went is counted.
#[test]
fn rfc8995_5_8_1_a_long_log_is_truncated_and_says_so() {
    let mut events = Vec::new();
    for minute in 0..1500 {
        events.push(event(
            if minute % 2 == 0 { "a" } else { "b" },
            Some("n"),
            minute,
        ));
    }
    let log = AuditLog::new(events);
    assert_eq!(log.events.len(), MAX_EVENTS);
    assert_eq!(log.truncation.nonced_duplicates, 1500 - 1024);
    assert_eq!(log.truncation.arbitrary, 0);
    assert_eq!(
        log.events.last().unwrap().date,
        now() + SignedDuration::from_mins(1499)
    );
    let truncated: u64 = log.events.iter().map(|event| event.truncated).sum();
    assert_eq!(truncated, 476);

    let events = (0..1100).map(|minute| event("a", None, minute)).collect();
    let log = AuditLog::new(events);
    assert_eq!(log.truncation.nonceless_duplicates, 76);
    let events = (0..1100)
        .map(|minute| event(&format!("domain {minute}"), None, minute))
        .collect();
    let log = AuditLog::new(events);
    assert_eq!(log.truncation.arbitrary, 76);
    assert_eq!(log.events[0].domain_id, "domain 76", "the oldest go");
    assert_eq!(AuditLog::from_json(&log.to_json()).unwrap(), log);
}

#[test]
fn rfc8995_5_8_1_numbers_are_written_as_numbers_and_read_either_way() {
    let log = AuditLog::new(vec![event("a", None, 0)]);
    let json: serde_json::Value = serde_json::from_slice(&log.to_json()).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["truncation"]["nonced duplicates"], 0);
    assert_eq!(json["events"][0]["nonce"], serde_json::Value::Null);
    let text = json!({
        "version": "1",
        "events": [{"date": "2019-05-15T17:25:55.644-04:00", "domainID": "a", "nonce": null,
            "assertion": "verified", "truncated": "3"}],
        "truncation": {"arbitrary": "2"},
    });
    let log = AuditLog::from_json(text.to_string().as_bytes()).unwrap();
    assert_eq!(log.events[0].truncated, 3);
    assert_eq!(log.truncation.arbitrary, 2);
    assert_eq!(log.truncation.nonced_duplicates, 0);
}

#[test]
fn malformed_logs_are_refused_by_name() {
    let refusal = |value: serde_json::Value| {
        AuditLog::from_json(value.to_string().as_bytes())
            .unwrap_err()
            .reason_code()
    };
    assert_eq!(
        refusal(json!({"version": 2, "events": []})),
        "audit-version"
    );
    assert_eq!(refusal(json!({"events": []})), "audit-log-malformed");
    assert_eq!(refusal(json!({"version": 1})), "audit-log-malformed");
    assert_eq!(
        refusal(
            json!({"version": 1, "events": [{"date": "x", "domainID": "a", "assertion": "logged"}]})
        ),
        "date-malformed"
    );
    let many = vec![
        json!({"date": "2019-05-15T17:25:55Z", "domainID": "a", "assertion": "logged"});
        MAX_EVENTS + 1
    ];
    assert_eq!(refusal(json!({"version": 1, "events": many})), "too-large");
}

/// RFC 8995 §5.8.3: what a registrar's policy needs to know.
#[test]
fn a_log_is_judged_from_one_domains_view() {
    let log = AuditLog::new(vec![
        event("other", None, 0),
        event("ours", Some("n"), 1),
        event("other", Some("n"), 2),
        event("third", Some("n"), 3),
    ]);
    let findings = log.judge(&["ours".to_owned()]);
    assert_eq!(findings.own_events, 1);
    assert_eq!(findings.other_domains, ["other", "third"]);
    assert_eq!(findings.other_nonceless, 1);
    assert_eq!(
        findings.last_other,
        Some(now() + SignedDuration::from_mins(3))
    );
}

#[test]
fn rfc8995_5_8_2_a_domain_is_named_by_its_key_identifier() {
    let world = World::new();
    let ca = world.domain.authority.certificate();
    use base64::Engine as _;
    let expected = base64::engine::general_purpose::STANDARD.encode(ca.key_identifier().unwrap());
    assert_eq!(domain_id(ca), expected);
    let voucher = world
        .at_pledge(&world.voucher(Encoding::CmsJson), Encoding::CmsJson)
        .unwrap();
    let event = AuditEvent::of_voucher(&voucher, ca);
    assert_eq!(event.nonce, Some(world.nonce(Encoding::CmsJson).to_text()));
    assert_eq!(event.domain_id, expected);
}

/// RFC 8995 §5.7 and RFC 8995 §5.9.4: one form for the report on the voucher and that on the
/// enrolment.
#[test]
fn rfc8995_5_7_reports_are_written_and_read() {
    let error = Error::from(Refusal::VoucherWrongNonce);
    let report = StatusReport::failure(&error);
    let json: serde_json::Value = serde_json::from_slice(&report.to_json()).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["status"], false);
    assert_eq!(json["reason-context"]["code"], "voucher-wrong-nonce");
    assert_eq!(json["reason-context"]["section"], "RFC 8995 §5.6.1");
    assert_eq!(StatusReport::from_json(&report.to_json()).unwrap(), report);
    let success = StatusReport::success();
    assert_eq!(success.to_json(), br#"{"version":1,"status":true}"#);
    let other =
        StatusReport::from_json(br#"{"version":"1","status":true,"pvs-details":"x"}"#).unwrap();
    assert_eq!(other.other["pvs-details"], "x");
}

/// RFC 8995 §5.7: version and status are mandatory.
#[test]
fn rfc8995_5_7_malformed_reports_are_refused() {
    for text in [
        "",
        "{}",
        r#"{"version":1}"#,
        r#"{"status":true}"#,
        r#"{"version":1,"status":"yes"}"#,
        "[1]",
    ] {
        assert!(matches!(
            StatusReport::from_json(text.as_bytes()).unwrap_err(),
            Error::Malformed(Malformed::Telemetry)
        ));
    }
    let large = vec![b' '; 20_000];
    assert!(matches!(
        StatusReport::from_json(&large).unwrap_err(),
        Error::Malformed(Malformed::TooLarge)
    ));
}

#[test]
fn every_reason_has_a_code_of_its_own_a_section_and_a_status() {
    let mut codes = std::collections::BTreeSet::new();
    let errors = Refusal::ALL
        .iter()
        .map(|reason| Error::from(*reason))
        .chain(Malformed::ALL.iter().map(|reason| Error::from(*reason)))
        .chain(Unsupported::ALL.iter().map(|reason| Error::from(*reason)))
        .chain(Misuse::ALL.iter().map(|reason| Error::from(*reason)));
    for error in errors {
        assert!(
            codes.insert(error.reason_code()),
            "{} stands twice",
            error.reason_code()
        );
        assert!(
            error
                .reason_code()
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        );
        assert!(error.section().contains(" §"), "{}", error.section());
        assert!((400..=500).contains(&status::of_registrar(&error)));
        assert!((400..=500).contains(&status::of_masa(&error)));
    }
}

#[test]
fn media_types_are_read_in_their_variants() {
    for (text, encoding) in [
        ("application/voucher-cms+json", Some(Encoding::CmsJson)),
        (
            "Application/Voucher-CMS+JSON; charset=utf-8",
            Some(Encoding::CmsJson),
        ),
        ("application/voucher-jws+json", Some(Encoding::JwsJson)),
        ("application/voucher+cose", Some(Encoding::CoseCbor)),
        ("application/voucher-cose+cbor", Some(Encoding::CoseCbor)),
        ("application/json", None),
        ("", None),
    ] {
        assert_eq!(Encoding::from_media_type(text), encoding, "{text}");
    }
    for encoding in Encoding::ALL {
        assert_eq!(
            Encoding::from_media_type(encoding.media_type()),
            Some(encoding)
        );
    }
}

#[test]
fn rfc8995_5_6_an_answer_follows_accept_and_else_the_request() {
    let jws = Encoding::JwsJson;
    for (accept, answer) in [
        (None, Some(jws)),
        (Some("*/*"), Some(jws)),
        (Some("text/plain, application/*;q=0.1"), Some(jws)),
        (
            Some("application/voucher-cms+json"),
            Some(Encoding::CmsJson),
        ),
        (
            Some("application/voucher-cms+json, application/voucher-jws+json"),
            Some(jws),
        ),
        (
            Some("application/voucher-jws+json;q=0, application/voucher+cose"),
            Some(Encoding::CoseCbor),
        ),
        (Some("text/plain"), None),
    ] {
        assert_eq!(Encoding::from_accept(accept, jws), answer, "{accept:?}");
    }
}

/// RFC 8995 §2.3.2: a bare authority stands for the well-known path below it, always over HTTPS.
#[test]
fn rfc8995_2_3_2_masa_urls_are_completed() {
    for (written, meant) in [
        ("masa.example", "https://masa.example/.well-known/brski"),
        (
            "masa.example:9444",
            "https://masa.example:9444/.well-known/brski",
        ),
        (
            "https://masa.example/",
            "https://masa.example/.well-known/brski",
        ),
        ("http://masa.example/a/b", "https://masa.example/a/b"),
        ("masa.example/a", "https://masa.example/a"),
    ] {
        assert_eq!(idevid::normalize_masa_url(written), meant);
    }
    let world = World::new();
    assert_eq!(
        idevid::masa_url(world.device.leaf()).as_deref(),
        Some("https://masa.example/.well-known/brski")
    );
}

#[test]
fn rfc8366bis_6_3_an_issuer_without_key_identifier_is_named_by_the_devices_key() {
    let world = World::new();
    // A root of ours always has an AKI; the pledge of RFC 8995 appendix C does not.
    let Some(folder) = std::env::var_os("VOUCHSAFE_VECTORS") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "VOUCHSAFE_VECTORS is not set"
        );
        println!("skipped: no vectors");
        return;
    };
    let path = std::path::Path::new(&folder).join("rfc8995/idevid_00-D0-E5-F2-00-02.crt");
    let idevid =
        vouchsafe_trust::Certificate::from_pem(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(idevid.authority_key_identifier_extension(), None);
    let issuer = idevid::issuer(&idevid);
    assert_eq!(issuer.len(), 26);
    assert_eq!(issuer[..6], [0x04, 0x18, 0x30, 0x16, 0x80, 0x14]);
    assert_eq!(issuer[6..], idevid.public_key().key_identifier_sha1());
    assert!(idevid::issuer_matches(
        &issuer,
        &idevid,
        &world.compatibility
    ));
    assert!(!idevid::issuer_matches(&[], &idevid, &world.compatibility));
    assert!(!idevid::issuer_matches(
        &issuer[20..],
        &idevid,
        &world.compatibility
    ));
}

#[test]
fn fresh_nonces_have_their_length() {
    for length in [0, 7, 33] {
        let error = Nonce::fresh(&vec![1; length], Encoding::CmsJson).unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::NonceLength)));
    }
    for length in [8, 32] {
        for encoding in Encoding::ALL {
            let nonce = Nonce::fresh(&vec![1; length], encoding).unwrap();
            assert_eq!(nonce.octets(), vec![1; length]);
            nonce.check_length().unwrap();
        }
    }
}

#[test]
fn dates_are_written_in_utc_with_milliseconds_and_read_with_any_offset() {
    let world = World::new();
    let bytes = world.pledge_request(Encoding::CmsJson);
    let shown = vouchsafe_brski::inspect(&bytes).unwrap();
    assert_eq!(shown.fields["created-on"], "2026-03-01T12:00:00.000Z");
    let bytes = crate::world::forge(&bytes, Encoding::CmsJson, &world.device, |fields| {
        fields.insert("created-on".into(), "2026-03-01T08:00:00-04:00".into());
    });
    let pledge = world.at_registrar(&bytes, Encoding::CmsJson).unwrap();
    assert_eq!(pledge.request.created_on, Some(now()));
    let bytes = crate::world::forge(
        &world.voucher(Encoding::CmsJson),
        Encoding::CmsJson,
        &world.masa,
        |fields| {
            fields.insert("last-renewal-date".into(), "9999-12-31T23:59:59Z".into());
        },
    );
    let voucher = world.at_pledge(&bytes, Encoding::CmsJson).unwrap();
    assert_eq!(voucher.last_renewal_date, Some(Timestamp::MAX));
}
