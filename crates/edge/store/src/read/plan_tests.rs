//! Every statement that reads must find its rows by an index, whoever writes it and when: the texts
//! are taken from the sources.

use super::{DeviceFilter, DeviceKey};
use crate::{Store, StoreConfig};

const SOURCES: [&str; 16] = [
    include_str!("admission.rs"),
    include_str!("credential.rs"),
    include_str!("device.rs"),
    include_str!("manufacturer_side.rs"),
    include_str!("measure.rs"),
    include_str!("register.rs"),
    include_str!("revocation.rs"),
    include_str!("voucher.rs"),
    include_str!("wifi.rs"),
    include_str!("../ask.rs"),
    include_str!("../batch.rs"),
    include_str!("../journal.rs"),
    include_str!("../table/admission.rs"),
    include_str!("../table/device.rs"),
    include_str!("../table/ownership.rs"),
    include_str!("../table/wifi.rs"),
];

/// Walked on purpose: the check of the whole journal, and a count that stops at its limit.
const WALKED: [&str; 2] = ["SELECT count(*) FROM journal)", "AS remembered"];

#[tokio::test]
async fn every_look_up_uses_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let store = Store::open(StoreConfig::sqlite(&file)).await.unwrap();
    store.close().await;
    let connection = rusqlite::Connection::open(&file).unwrap();

    let mut statements: Vec<String> = SOURCES.iter().flat_map(|source| literals(source)).collect();
    assert!(
        statements.len() > 30,
        "the texts are found: {}",
        statements.len()
    );
    statements.extend(lists());
    for sql in statements {
        if WALKED.iter().any(|walked| sql.contains(walked)) {
            continue;
        }
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let steps = (|| {
            let mut statement = connection.prepare(&explain)?;
            let mut rows = statement.raw_query();
            let mut steps: Vec<String> = Vec::new();
            while let Some(row) = rows.next()? {
                steps.push(row.get("detail")?);
            }
            Ok::<_, rusqlite::Error>(steps)
        })();
        let steps = steps.unwrap_or_else(|error| panic!("{sql}: {error}"));
        for step in steps {
            let scan = step.starts_with("SCAN") && !step.contains("USING");
            let sort = step.contains("TEMP B-TREE");
            assert!(!scan && !sort, "{sql}\n{step}");
        }
    }
}

/// An argument that stands alone behind `LIMIT` has SQLite prepare the statement at each execution.
#[test]
fn no_limit_is_an_argument_alone() {
    let statements = SOURCES.iter().flat_map(|source| literals(source));
    let limited: Vec<String> = statements.filter(|sql| sql.contains("LIMIT ?")).collect();
    assert!(limited.len() > 10, "the texts are found: {limited:?}");
    for sql in limited {
        let (_, limit) = sql.split_once("LIMIT ?").unwrap();
        let behind = limit.trim_start_matches(|digit: char| digit.is_ascii_digit());
        assert!(behind.starts_with(" + 0"), "{sql}");
    }
}

/// What `Store::devices` puts together.
fn lists() -> Vec<String> {
    let after = DeviceKey {
        serial: "x".to_owned(),
        id: vouchsafe_fleet::DeviceId([0; 16]),
    };
    let state = Some(vouchsafe_fleet::State::Claimed);
    let owner = Some(vouchsafe_fleet::OwnerId([0; 16]));
    let manufacturer = Some(vouchsafe_fleet::ManufacturerId([0; 16]));
    let serial_prefix = Some("SN".to_owned());
    let filters = [
        DeviceFilter::default(),
        DeviceFilter {
            state,
            ..DeviceFilter::default()
        },
        DeviceFilter {
            owner,
            ..DeviceFilter::default()
        },
        DeviceFilter {
            manufacturer,
            ..DeviceFilter::default()
        },
        DeviceFilter {
            serial_prefix: serial_prefix.clone(),
            ..DeviceFilter::default()
        },
        DeviceFilter {
            state,
            owner,
            manufacturer,
            serial_prefix,
        },
    ];
    let list = |filter, after| super::device::list(filter, after, 10).0;
    filters
        .iter()
        .flat_map(|filter| [list(filter, None), list(filter, Some(&after))])
        .collect()
}

/// The string literals of a source that begin with `SELECT`, their lines joined.
fn literals(source: &str) -> Vec<String> {
    let joined = |text: &str| {
        let lines = text.lines().map(|line| line.trim().trim_end_matches('\\'));
        lines.collect::<Vec<_>>().join(" ")
    };
    // Texts without a condition are beginnings, put together by `lists`.
    let is_select = |text: &&str| {
        text.starts_with("SELECT ") && text.contains(" WHERE ") && !text.contains('{')
    };
    source.split('"').filter(is_select).map(joined).collect()
}
