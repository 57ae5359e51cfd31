//! MAC addresses: whose they are, who comes in by them, and what is refused by name.

use vouchsafe_fleet::admission::{
    self, AddressGrant, ClaimedAddress, GRANT_LIFETIME, MAX_ADDRESSES, MacAddress,
};
use vouchsafe_fleet::decide::admission::{
    ClaimAddressFacts, JudgeAddressFacts, claim_address, judge_address, remove_address,
};
use vouchsafe_fleet::decide::{
    MAX_STATEMENTS, PERSON, StatementFacts, release, retire, revoke_all, state,
};
use vouchsafe_fleet::policy::ByAddress;
use vouchsafe_fleet::*;

use crate::world::{DAY, allow, at, deny, device, operate, person};

const MAC: MacAddress = MacAddress([0x00, 0x1b, 0x63, 0x84, 0x45, 0xe6]);

fn facts<'a>(
    actor: &'a Actor,
    device: &'a Device,
    known: Option<&'a ClaimedAddress>,
) -> ClaimAddressFacts<'a> {
    ClaimAddressFacts {
        now: at(0),
        actor,
        device,
        mac: MAC,
        known,
        count: 0,
        reasons: &[],
    }
}

fn claimed(device: &Device) -> ClaimedAddress {
    let actor = person();
    let outcome = claim_address(&facts(&actor, device, None));
    outcome.accepted().unwrap().unwrap().clone()
}

fn put(outcome: &Outcome<ClaimedAddress>) -> &ClaimedAddress {
    let mut changes = outcome.commit.changes.iter();
    let found = changes.find_map(|change| match change {
        Change::Admission(admission::Change::PutAddress(address)) => Some(address),
        _ => None,
    });
    found.unwrap()
}

fn says(by_address: Option<ByAddress>) -> Verdict {
    Verdict {
        by_address,
        ..allow()
    }
}

fn judge(
    device: &Device,
    address: &ClaimedAddress,
    holds_credential: bool,
    verdict: &Verdict,
) -> Option<Outcome<ClaimedAddress>> {
    judge_address(&JudgeAddressFacts {
        now: at(0),
        actor: &Actor::new(ActorKind::Policy, "policy"),
        policy: &Evidence::new("policy", Digest::of(b"policy")),
        device,
        address,
        holds_credential,
        verdict,
    })
}

/// The reason that comes first, of an address that is not admitted.
fn refused(outcome: &Option<Outcome<ClaimedAddress>>) -> String {
    let address = put(outcome.as_ref().unwrap());
    assert_eq!(address.grant, None);
    address.reasons[0].code.clone()
}

#[test]
fn an_address_belongs_to_one_device_and_who_contradicts_is_told_whose_it_is() {
    let (alice, bob) = (person(), Actor::new(ActorKind::Person, "bob"));
    let first = device(State::Claimed);
    let second = Device {
        id: DeviceId([7; 16]),
        ..first.clone()
    };
    let mut address = claimed(&first);
    address.grant = Some(AddressGrant {
        segment: None,
        expires_at: at(DAY),
        despite_credential: true,
    });
    let outcome = claim_address(&facts(&bob, &second, Some(&address)));
    assert_eq!(outcome.refusal(), Some(Refusal::AddressConflict));
    let Decision::Refuse { reasons, .. } = &outcome.decision else {
        panic!("accepted");
    };
    let text = format!("{reasons:?}");
    assert!(
        text.contains(&first.id.to_string()) && text.contains("alice"),
        "{text}"
    );
    let marked = put(&outcome).clone();
    assert_eq!(
        marked.conflict.as_ref().map(|it| it.device),
        Some(second.id)
    );
    assert_eq!((marked.device, marked.granted(at(0))), (first.id, None));
    // The same contradiction again writes nothing anew; policy lets nobody in meanwhile.
    let again = claim_address(&facts(&bob, &second, Some(&marked)));
    assert_eq!(again.refusal(), Some(Refusal::AddressConflict));
    assert!(again.commit.changes.is_empty());
    let judged = judge(&first, &marked, false, &says(Some(ByAddress::Always)));
    assert_eq!(refused(&judged), "address-conflict");
    // A person says again that it is the first one's.
    let settled = claim_address(&facts(&alice, &first, Some(&marked)));
    assert_eq!(put(&settled).conflict, None);
    assert_eq!(settled.commit.entries[0].action, Action::AddressSettled);
    // And once more: nothing is new.
    let same = claim_address(&facts(&alice, &first, Some(&address)));
    assert!(same.commit.is_empty() && same.refusal().is_none());
}

#[test]
fn what_no_station_can_have_and_what_is_too_much_is_refused() {
    let actor = person();
    let here = device(State::Claimed);
    let refusal = |facts: ClaimAddressFacts<'_>| claim_address(&facts).refusal();
    for mac in [[0; 6], [0xff; 6], [0x01, 0, 0x5e, 0, 0, 0xfb]] {
        let facts = ClaimAddressFacts {
            mac: MacAddress(mac),
            ..facts(&actor, &here, None)
        };
        assert_eq!(refusal(facts), Some(Refusal::BadAddress));
    }
    let facts_of = |count| ClaimAddressFacts {
        count,
        ..facts(&actor, &here, None)
    };
    assert_eq!(refusal(facts_of(MAX_ADDRESSES - 1)), None);
    assert_eq!(
        refusal(facts_of(MAX_ADDRESSES)),
        Some(Refusal::TooManyAddresses)
    );
    for (state, expected) in [
        (State::Transferred, Refusal::NotClaimed),
        (State::Released, Refusal::DeviceReleased),
        (State::Retired, Refusal::DeviceRetired),
    ] {
        let gone = device(state);
        assert_eq!(refusal(facts(&actor, &gone, None)), Some(expected));
    }
}

/// Deny is the default: a policy that says yes to devices says nothing of addresses.
#[test]
fn only_a_yes_that_speaks_of_addresses_is_one() {
    let device = device(State::Claimed);
    let address = claimed(&device);
    let word = |by| judge(&device, &address, false, &says(by));
    assert_eq!(refused(&word(None)), "address-not-allowed");
    assert_eq!(
        refused(&judge(&device, &address, false, &deny())),
        "policy-denied"
    );
    let without = word(Some(ByAddress::WithoutCredential)).unwrap();
    let grant = put(&without).grant.clone().unwrap();
    assert_eq!(grant.segment.as_deref(), Some("lamps"));
    assert_eq!(grant.expires_at, at(0) + GRANT_LIFETIME);
    assert!(!grant.despite_credential);
    assert_eq!(without.commit.entries[0].action, Action::AddressAdmitted);
    // Asked again the same is no news, until half of it is over.
    let granted = put(&without).clone();
    let verdict = says(Some(ByAddress::WithoutCredential));
    assert_eq!(judge(&device, &granted, false, &verdict), None);
    let late = ClaimedAddress {
        grant: Some(AddressGrant {
            expires_at: at(0) + GRANT_LIFETIME / 2,
            ..grant
        }),
        ..granted.clone()
    };
    assert!(judge(&device, &late, false, &verdict).is_some());
    // It got a certificate.
    assert_eq!(
        refused(&judge(&device, &granted, true, &verdict)),
        "credential-held"
    );
    let always = judge(&device, &granted, true, &says(Some(ByAddress::Always)));
    assert!(put(&always.unwrap()).grant.is_some());
    // In quarantine nothing changes: it is the device that is out.
    let cut_off = crate::world::device(State::Quarantined);
    assert_eq!(judge(&cut_off, &granted, false, &deny()), None);
}

#[test]
fn a_yes_ends_when_policy_says_and_one_that_is_over_is_none() {
    let device = device(State::Claimed);
    let address = claimed(&device);
    let until = |seconds| Verdict {
        ask_again_at: Some(at(seconds)),
        ..says(Some(ByAddress::Always))
    };
    let judged = judge(&device, &address, false, &until(60)).unwrap();
    let granted = put(&judged);
    assert_eq!(granted.granted(at(59)).unwrap().expires_at, at(60));
    assert_eq!(granted.granted(at(60)), None);
    assert_eq!(
        refused(&judge(&device, &address, false, &until(0))),
        "policy-denied"
    );
}

#[test]
fn whoever_ends_trust_ends_the_address() {
    let actor = person();
    let here = device(State::Claimed);
    let addresses = [claimed(&here)];
    let facts = decide::OperateFacts {
        addresses: &addresses,
        ..operate(at(0), &actor, &here, &[])
    };
    for outcome in [
        release(&facts),
        retire(&facts),
        revoke_all(&facts, RevocationReason::KeyCompromise),
    ] {
        let removed = |change: &Change| {
            matches!(
                change,
                Change::Admission(admission::Change::RemoveAddress { mac, .. }) if *mac == MAC
            )
        };
        assert!(outcome.commit.changes.iter().any(removed), "{outcome:?}");
        let entries = &outcome.commit.entries;
        assert!(
            entries
                .iter()
                .any(|entry| entry.action == Action::AddressRemoved)
        );
    }
    let reason = Reason::new("person", "another board", "owner policy");
    let outcome = remove_address(at(0), &actor, &addresses[0], &reason);
    assert_eq!(outcome.commit.entries[0].reasons, [reason]);
    // Who never onboarded can be cut off, too.
    let outcome = decide::quarantine(&facts);
    assert_eq!(
        outcome.accepted().unwrap().unwrap().state,
        State::Quarantined
    );
    assert!(
        decide::restore(&decide::OperateFacts {
            device: &device(State::Quarantined),
            ..facts
        })
        .accepted()
        .is_ok()
    );
}

#[test]
fn what_a_person_states_is_bounded_and_can_be_taken_back() {
    let actor = person();
    let here = device(State::Claimed);
    let reason = Reason::new("person", "seen", "owner policy");
    let facts = |kind, value, before, count| StatementFacts {
        now: at(0),
        actor: &actor,
        device: &here,
        kind,
        value,
        expires_at: None,
        before,
        count,
        reason: &reason,
    };
    let (yes, null) = (serde_json::json!(true), serde_json::Value::Null);
    let long = serde_json::json!("x".repeat(1024));
    for (kind, value) in [("", &yes), ("Deny", &yes), ("de ny", &yes), ("deny", &long)] {
        let outcome = state(&facts(kind, value, None, 0));
        assert_eq!(outcome.refusal(), Some(Refusal::BadStatement), "{kind}");
    }
    let over = StatementFacts {
        expires_at: Some(at(0)),
        ..facts("deny", &yes, None, 0)
    };
    assert_eq!(state(&over).refusal(), Some(Refusal::BadStatement));
    let said = state(&facts("deny", &yes, None, 0));
    let [Change::PutClaim(claim), forget] = &said.commit.changes[..] else {
        panic!("{said:?}");
    };
    assert_eq!(
        (claim.issuer.as_str(), claim.strength),
        (PERSON, Strength::Stated)
    );
    assert_eq!(said.commit.entries[0].action, Action::Stated);
    // Each statement takes away those that have run out.
    let ended = Change::ForgetClaims {
        subject: claim.subject.clone(),
        issuer: PERSON.to_owned(),
        ended_by: at(0),
    };
    assert_eq!(*forget, ended);
    let stated = (**claim).clone();
    let back = state(&facts("deny", &null, Some(&stated), 1));
    let [Change::PutClaim(claim), forget] = &back.commit.changes[..] else {
        panic!("{back:?}");
    };
    assert!(claim.has_run_out(at(0)));
    assert_eq!(*forget, ended);
    // What a clock that went back has yet to come can be taken back too.
    let to_come = Claim {
        issued_at: at(60),
        ..stated.clone()
    };
    let back = state(&facts("deny", &null, Some(&to_come), 1));
    assert_eq!(back.commit.changes.len(), 2);
    let over = Claim {
        expires_at: Some(at(0)),
        ..stated.clone()
    };
    for before in [None, Some(&over)] {
        assert!(state(&facts("deny", &null, before, 0)).commit.is_empty());
        let outcome = state(&facts("deny", &yes, before, MAX_STATEMENTS));
        assert_eq!(outcome.refusal(), Some(Refusal::TooManyStatements));
    }
    // One of them may still change, and nothing is stated of who is gone.
    for value in [&yes, &null] {
        let outcome = state(&facts("deny", value, Some(&stated), MAX_STATEMENTS));
        assert_eq!(outcome.refusal(), None);
    }
    let gone = StatementFacts {
        device: &device(State::Retired),
        ..facts("deny", &yes, None, 0)
    };
    assert_eq!(state(&gone).refusal(), Some(Refusal::DeviceRetired));
}
