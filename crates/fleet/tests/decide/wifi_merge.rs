//! A device that was claimed by its label and comes again in its manufacturer's manifest.

use vouchsafe_fleet::commit::Change;
use vouchsafe_fleet::decide::wifi::*;
use vouchsafe_fleet::decide::{Decision, ImportFacts, import};
use vouchsafe_fleet::wifi::*;
use vouchsafe_fleet::*;

use crate::intake::{import_facts, made_and_sold};
use crate::wifi_facts::*;
use crate::world::*;

/// The device of a label alone: what `claim_uri` makes.
fn by_label() -> Device {
    Device {
        id: DeviceId::of_bootstrapping_key(key_id()),
        manufacturer: ManufacturerId::NONE,
        serial: "lamp at the door".to_owned(),
        owner: Some(OWNER),
        segment: Some("lamps".to_owned()),
        idevid_sha256: None,
        idevid_spki_sha256: None,
        journal_seq: 0,
        journal_head: Digest::ZERO,
        ..device(State::Claimed)
    }
}

fn its_key() -> BootstrappingKey {
    BootstrappingKey {
        device: by_label().id,
        source: KeySource::Person,
        role: DeviceRole::AccessPoint,
        ..key()
    }
}

/// All that is known, to be contradicted piece by piece.
#[derive(Clone)]
struct Known {
    device: Device,
    key: BootstrappingKey,
    holdings: Holdings,
    certificates: Vec<Credential>,
    claims: Vec<Claim>,
    keys: Vec<BootstrappingKey>,
    other_keys: Vec<BootstrappingKey>,
    existing: Option<Device>,
}

fn agreeing() -> Known {
    let standing = Standing {
        wanted: Some("home".to_owned()),
        ..Standing::nothing(by_label().id, at(0))
    };
    Known {
        device: by_label(),
        key: its_key(),
        holdings: Holdings {
            standing: Some(standing),
            access: Vec::new(),
        },
        certificates: Vec::new(),
        claims: vec![
            serde_json::from_value(serde_json::json!({
                "issuer": "alice",
                "subject": ClaimSubject::Device { id: by_label().id },
                "kind": "room",
                "value": "hall",
                "issued_at": at(0),
                "expires_at": null,
                "evidence": null,
            }))
            .unwrap(),
        ],
        keys: vec![its_key()],
        other_keys: Vec::new(),
        existing: None,
    }
}

fn imported(known: &Known) -> Outcome<Device> {
    let (alice, (_, line)) = (person(), made_and_sold(OWNER));
    let owned = Ownership {
        device: known.device.id,
        ..ownership(OWNER, None)
    };
    import(&ImportFacts {
        existing: known.existing.as_ref(),
        key: Some(ImportKey {
            key: key_facts(),
            known: Some(&known.key),
        }),
        labelled: Some(Labelled {
            device: &known.device,
            holdings: &known.holdings,
            certificates: &known.certificates,
            addresses: &[],
            claims: &known.claims,
            ownership: Some(&owned),
            keys: &known.keys,
            other_keys: &known.other_keys,
            other_holdings: Holdings::NONE,
        }),
        ..import_facts(&alice, &line)
    })
}

#[test]
fn label_and_manifest_of_one_key_are_one_device() {
    let known = agreeing();
    let outcome = imported(&known);
    let device = accepted(&outcome);
    assert_eq!(
        actions(&outcome.commit),
        ["imported", "claimed", "device-merged", "device-merged"]
    );
    // It is called as the manifest says, and goes where the person sent it.
    assert_eq!(device.manufacturer, MAKER);
    assert_eq!(device.segment.as_deref(), Some("lamps"));
    let rows: Vec<&Device> = outcome
        .commit
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::PutDevice(row) => Some(&**row),
            _ => None,
        })
        .collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(*rows[0], device);
    assert_eq!(
        (rows[1].id, rows[1].state),
        (known.device.id, State::Released)
    );
    let key = outcome
        .commit
        .changes
        .iter()
        .find_map(|change| match change {
            Change::Wifi(vouchsafe_fleet::wifi::Change::PutKey(key)) => Some(&**key),
            _ => None,
        });
    let key = key.expect("the key moves");
    assert_eq!((key.device, &key.conflict), (device.id, &None));
    assert_eq!(
        (key.role, key.source),
        (DeviceRole::AccessPoint, KeySource::Person)
    );
    // Whoever said something of the one has said it of the other.
    assert!(outcome.commit.changes.iter().any(|change| matches!(
        change,
        Change::PutClaim(claim)
            if claim.issuer == "alice" && claim.subject == ClaimSubject::Device { id: device.id }
    )));
    let journal = pretty(&outcome.commit);
    for said in ["lamp at the door", "\"person\"", "manifest", "merged-into"] {
        assert!(journal.contains(said), "{said}: {journal}");
    }
}

#[test]
fn a_device_that_is_here_by_its_serial_number_already_gets_the_key() {
    let first = accepted(&import(&import_facts(&person(), &made_and_sold(OWNER).1)));
    let known = Known {
        existing: Some(first.clone()),
        ..agreeing()
    };
    let outcome = imported(&known);
    assert_eq!(actions(&outcome.commit), ["device-merged", "device-merged"]);
    assert_eq!(accepted(&outcome).id, first.id);
}

#[test]
fn whatever_contradicts_leaves_a_conflict_to_a_person() {
    let known = agreeing();
    let here = accepted(&import(&import_facts(&person(), &made_and_sold(OWNER).1)));
    let given = Given {
        network: "home".to_owned(),
        network_version: 1,
        role: DeviceRole::Station,
        key: Some(key_id()),
        assurance: Assurance::ResponderOnly,
        called: None,
        certificate: None,
        certified_by: Vec::new(),
        at: at(0),
        confirmed_at: None,
    };
    let second_key = BootstrappingKey {
        id: Digest::of(b"another key"),
        ..its_key()
    };
    let cases = [
        (
            "it belongs to somebody else",
            Known {
                device: Device {
                    owner: Some(OTHER),
                    ..by_label()
                },
                ..known.clone()
            },
        ),
        (
            "the key is disputed",
            Known {
                key: BootstrappingKey {
                    conflict: disputed().conflict,
                    ..its_key()
                },
                ..known.clone()
            },
        ),
        (
            "the device of that serial number has another key",
            Known {
                other_keys: vec![second_key.clone()],
                ..known.clone()
            },
        ),
        (
            "the device of the label has a second key",
            Known {
                keys: vec![its_key(), second_key],
                ..known.clone()
            },
        ),
        (
            "it was named by manufacturer and serial number",
            Known {
                device: Device {
                    manufacturer: MAKER,
                    ..by_label()
                },
                ..known.clone()
            },
        ),
        (
            "it was given a network",
            Known {
                holdings: Holdings {
                    standing: Some(Standing {
                        given: Some(given),
                        ..Standing::nothing(by_label().id, at(0))
                    }),
                    access: Vec::new(),
                },
                ..known.clone()
            },
        ),
        (
            "it had a certificate",
            Known {
                certificates: vec![credential(1, at(0))],
                ..known.clone()
            },
        ),
        (
            "it is cut off",
            Known {
                device: Device {
                    state: State::Quarantined,
                    ..by_label()
                },
                ..known.clone()
            },
        ),
        (
            "the serial number is in use by a device in service",
            Known {
                existing: Some(Device {
                    state: State::Onboarded,
                    ..here
                }),
                ..known.clone()
            },
        ),
    ];
    for (what, known) in cases {
        let outcome = imported(&known);
        assert!(matches!(outcome.decision, Decision::Accept(_)), "{what}");
        let actions = actions(&outcome.commit);
        assert!(!actions.contains(&"device-merged"), "{what}");
        if known.key.conflict.is_none() {
            assert!(actions.contains(&"bootstrapping-key-conflict"), "{what}");
        }
    }
}
