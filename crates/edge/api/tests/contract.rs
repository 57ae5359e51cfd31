//! The contract is checked in: whoever changes a route, a type or a role sees the difference in
//! the review. `UPDATE=1 cargo test -p vouchsafe-api` rewrites both files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use vouchsafe_api::route::{Access, IfMatchRule, ROUTES};
use vouchsafe_api::{openapi, role_table};

#[test]
fn openapi_document_is_the_checked_in_one() {
    let mut document = serde_json::to_string_pretty(&openapi()).unwrap();
    document.push('\n');
    compare("openapi.json", &document);
}

#[test]
fn role_table_is_the_checked_in_one() {
    compare("roles.txt", &role_table());
}

#[test]
fn every_reference_of_the_document_resolves() {
    let document = serde_json::to_value(openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(
            schemas.contains_key(name),
            "{name} is referred to and not described"
        );
    }
}

#[test]
fn every_route_is_in_the_document_once() {
    let document = serde_json::to_value(openapi()).unwrap();
    let operations: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|item| item.as_object().unwrap().len())
        .sum();
    assert_eq!(operations, ROUTES.len());
    let ids: BTreeSet<&str> = ROUTES.iter().map(|route| route.id).collect();
    assert_eq!(ids.len(), ROUTES.len());
}

#[test]
fn only_probes_revocation_and_the_document_are_open() {
    let open: Vec<&str> = ROUTES
        .iter()
        .filter(|route| route.access == Access::Open)
        .map(|route| route.id)
        .collect();
    let expected = [
        "show_crl",
        "ask_ocsp",
        "ask_ocsp_by_path",
        "show_openapi",
        "healthz",
        "readyz",
    ];
    assert_eq!(open, expected);
}

#[test]
fn every_replacement_requires_the_version_it_replaces() {
    for route in ROUTES {
        if http::Method::from(route.method) == http::Method::PUT {
            assert_eq!(route.if_match, IfMatchRule::Required, "{}", route.id);
        }
    }
}

fn collect_references(value: &serde_json::Value, into: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    serde_json::Value::String(text) if name == "$ref" => {
                        into.insert(text.clone());
                    }
                    other => collect_references(other, into),
                }
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                collect_references(item, into);
            }
        }
        _ => {}
    }
}

fn compare(name: &str, current: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, current).unwrap();
        return;
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == current,
        "{name} is not what the code says; look at the change, then UPDATE=1 rewrites it"
    );
}
