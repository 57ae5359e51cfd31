//! Filters that are understood, and those that are refused by name.

use vouchsafe_api::{ScimDevice, ScimDpp};

use super::Filter;

fn record() -> ScimDevice {
    ScimDevice {
        schemas: Vec::new(),
        id: Some("ab12".to_owned()),
        external_id: None,
        display_name: Some("Heart \"A\" and more".to_owned()),
        active: true,
        mud_url: None,
        dpp: Some(ScimDpp {
            dpp_version: 2,
            device_mac_address: Some("2C:54:91:88:C9:E3".to_owned()),
            serial_number: Some("477".to_owned()),
            ..ScimDpp::default()
        }),
        meta: None,
    }
}

#[test]
fn equal_and_together() {
    for (text, takes) in [
        ("id eq \"ab12\"", true),
        ("id eq \"AB12\"", false),
        ("ID EQ \"ab12\"  AND active eq true", true),
        ("active eq false", false),
        ("displayName eq \"heart \\\"a\\\" AND more\"", true),
        ("serialNumber eq \"477\" and serialNumber eq \"478\"", false),
        (
            "urn:ietf:params:scim:schemas:extension:dpp:2.0:Device:deviceMacAddress eq \"2c:54:91:88:c9:e3\"",
            true,
        ),
        (
            "urn:ietf:params:scim:schemas:core:2.0:Device:active eq true",
            true,
        ),
        ("dppVersion eq 2 and active eq true", true),
        ("mudUrl eq \"https://example.com\"", false),
        ("meta.resourceType eq \"Device\"", false),
    ] {
        let filter = Filter::read(text).unwrap();
        assert_eq!(filter.takes(&record()), takes, "{text}");
    }
}

/// RFC 7644 §3.12: what is not understood is `invalidFilter`.
#[test]
fn the_rest_of_the_grammar_is_refused() {
    let many = vec!["active eq true"; 17].join(" and ");
    let long = format!("id eq \"{}\"", "a".repeat(3000));
    for text in [
        "",
        "id",
        "id pr",
        "id eq",
        "id eq ab12",
        "id eq \"ab12",
        "id eq 5",
        "active eq \"true\"",
        "dppVersion eq -1",
        "dppVersion eq 1.5",
        "id co \"a\"",
        "id ne \"a\"",
        "bootstrapKey eq \"a\"",
        "externalId eq \"a\"",
        "urn:ietf:params:scim:schemas:core:2.0:Device:serialNumber eq \"477\"",
        "urn:other:id eq \"a\"",
        "(id eq \"a\")",
        "not (id eq \"a\")",
        "id eq \"a\" or id eq \"b\"",
        "id eq \"a\" and",
        "id eq \"a\" id eq \"b\"",
        "id eq {\"a\": 1}",
        many.as_str(),
        long.as_str(),
    ] {
        let refused = Filter::read(text).expect_err(text);
        assert_eq!(refused.kind, "invalidFilter", "{text}");
    }
}
