# Tests of default.rego. Each rule named test_… must be true.
package vouchsafe_test

import rego.v1

import data.vouchsafe

device := {
	"id": "30687e8062bc3fd6303c2aaace364ff3", "serial": "A-1", "model": "lamp", "state": "claimed",
	"segment": null, "key_origin": "device", "mud_url": null, "birth_key_known": true,
}

manufacturer := {"id": "2c70e12b7a0646f92279f427c7b38e73", "name": "Lamps", "trust": "voucher-required"}

known := {
	"now": 1000, "request": {"kind": "voucher"}, "device": device,
	"manufacturer": manufacturer, "claims": [],
}

claim(subject, kind, value) := {
	"issuer": "alice", "subject": subject, "kind": kind, "value": value,
	"issued_at": 500, "expires_at": null,
}

codes(verdict) := {reason.code | some reason in verdict.reasons}

test_a_known_device_may_join if {
	verdict := vouchsafe.verdict with input as known
	verdict.answer == "allow"
	verdict.segment == "devices"
	verdict.ask_again_at == null
}

test_plain_est_is_trusted_too if {
	plain := object.union(known, {"manufacturer": {"trust": "plain-est"}})
	verdict := vouchsafe.verdict with input as plain
	verdict.answer == "allow"
}

test_an_unknown_device_stays_out if {
	verdict := vouchsafe.verdict with input as object.union(known, {"device": null})
	verdict.answer == "deny"
	codes(verdict) == {"unknown-device"}
}

test_an_unknown_manufacturer_stays_out if {
	verdict := vouchsafe.verdict with input as object.union(known, {"manufacturer": null})
	verdict.answer == "deny"
	codes(verdict) == {"unknown-manufacturer"}
}

test_only_two_degrees_of_trust_are_enough if {
	every trust in ["unknown", "seen", "blocked", "", "Voucher-Required"] {
		verdict := vouchsafe.verdict with input as object.union(known, {"manufacturer": {"trust": trust}})
		verdict.answer == "deny"
		codes(verdict) == {"manufacturer-not-trusted"}
	}
}

test_a_device_out_of_service_stays_out if {
	every state in ["provisioned", "transferred", "quarantined", "released", "retired"] {
		verdict := vouchsafe.verdict with input as object.union(known, {"device": {"state": state}})
		verdict.answer == "deny"
		codes(verdict) == {"not-in-service"}
	}
}

test_a_claim_keeps_a_device_out if {
	verdict := vouchsafe.verdict with input as object.union(known, {"claims": [claim("model", "deny", true)]})
	verdict.answer == "deny"
	codes(verdict) == {"denied-by-claim"}
}

test_a_withdrawn_denial_is_none if {
	verdict := vouchsafe.verdict with input as object.union(known, {"claims": [claim("device", "deny", false)]})
	verdict.answer == "allow"
}

test_approval_can_be_required if {
	asked := object.union(known, {"claims": [claim("manufacturer", "approval-required", true)]})
	verdict := vouchsafe.verdict with input as asked
	verdict.answer == "wait"
	verdict.retry_after == 30
}

test_approval_is_not_asked_at_renewal if {
	renewal := object.union(known, {
		"request": {"kind": "renew"},
		"claims": [claim("manufacturer", "approval-required", true)],
	})
	verdict := vouchsafe.verdict with input as renewal
	verdict.answer == "allow"
}

test_the_nearest_claim_counts if {
	spared := object.union(known, {"claims": [
		claim("manufacturer", "approval-required", true),
		claim("device", "approval-required", false),
		claim("owner", "segment", "office"),
		claim("model", "segment", "lamps"),
	]})
	verdict := vouchsafe.verdict with input as spared
	verdict.answer == "allow"
	verdict.segment == "lamps"
}

test_denial_weighs_more_than_approval if {
	both := object.union(known, {"claims": [
		claim("device", "approval-required", true),
		claim("device", "deny", true),
	]})
	verdict := vouchsafe.verdict with input as both
	verdict.answer == "deny"
}

test_the_answer_holds_until_the_first_claim_runs_out if {
	dated := object.union(known, {"claims": [
		object.union(claim("device", "segment", "lamps"), {"expires_at": 2000}),
		object.union(claim("device", "note", "spare"), {"expires_at": 1500}),
	]})
	verdict := vouchsafe.verdict with input as dated
	verdict.ask_again_at == 1500
}

# Wi-Fi Easy Connect.

by_key := object.union(known, {
	"request": {"kind": "configure"}, "manufacturer": null,
	"onboarding": {"method": "dpp", "mutual": false, "role": "station", "said": {"name": "lamp"}},
})

test_a_device_known_by_its_key_needs_no_manufacturer if {
	verdict := vouchsafe.verdict with input as by_key
	verdict.answer == "allow"
	codes(verdict) == {"in-inventory"}
}

test_its_manufacturer_needs_no_trust_but_must_not_be_blocked if {
	every trust in ["unknown", "seen", "plain-est", "voucher-required"] {
		verdict := vouchsafe.verdict with input as object.union(by_key, {"manufacturer": {"trust": trust}})
		verdict.answer == "allow"
	}
	blocked := object.union(by_key, {"manufacturer": {"trust": "blocked"}})
	verdict := vouchsafe.verdict with input as blocked
	verdict.answer == "deny"
	codes(verdict) == {"manufacturer-blocked"}
}

test_a_key_alone_makes_no_device_known if {
	verdict := vouchsafe.verdict with input as object.union(by_key, {"device": null})
	verdict.answer == "deny"
	codes(verdict) == {"unknown-device"}
}

test_by_brski_a_manufacturer_is_needed_whatever_the_device_says if {
	brski := object.union(by_key, {"onboarding": {"method": "brski", "said": {"method": "dpp"}}})
	verdict := vouchsafe.verdict with input as brski
	verdict.answer == "deny"
	codes(verdict) == {"unknown-manufacturer"}
}

test_approval_is_asked_before_a_configuration_too if {
	asked := object.union(by_key, {"claims": [claim("owner", "approval-required", true)]})
	verdict := vouchsafe.verdict with input as asked
	verdict.answer == "wait"
}

test_mutual_authentication_can_be_required if {
	required := object.union(by_key, {"claims": [claim("owner", "mutual-required", true)]})
	refused := vouchsafe.verdict with input as required
	refused.answer == "deny"
	codes(refused) == {"not-mutual"}
	mutual := object.union(required, {"onboarding": {"mutual": true}})
	verdict := vouchsafe.verdict with input as mutual
	verdict.answer == "allow"
}

# By its MAC address.

by_mac := object.union(known, {
	"request": {"kind": "review"}, "manufacturer": null,
	"onboarding": {"method": "mac", "mutual": false, "role": null, "said": {}},
	"address": {"mac": "00:1b:63:84:45:e6", "local": false, "holds_credential": false},
})

test_nobody_comes_in_by_an_address_alone if {
	verdict := vouchsafe.verdict with input as by_mac
	verdict.answer == "deny"
	codes(verdict) == {"mac-proves-nothing"}
}

test_a_claim_lets_in_by_an_address_as_far_as_it_says if {
	every word in ["without-credential", "always"] {
		claims := [claim("device", "admit-by-mac", word)]
		verdict := vouchsafe.verdict with input as object.union(by_mac, {"claims": claims})
		verdict.answer == "allow"
		verdict.by_address == word
	}
}

test_another_word_lets_nobody_in if {
	every word in [true, false, "yes", null, 1] {
		claims := [claim("model", "admit-by-mac", word)]
		verdict := vouchsafe.verdict with input as object.union(by_mac, {"claims": claims})
		verdict.answer == "deny"
	}
}

test_an_address_that_nobody_assigned_needs_a_word_of_its_own if {
	local := object.union(by_mac, {"address": {"mac": "02:00:00:00:00:01", "local": true}})
	word := claim("owner", "admit-by-mac", "always")
	refused := vouchsafe.verdict with input as object.union(local, {"claims": [word]})
	codes(refused) == {"mac-is-local"}
	claims := [word, claim("device", "admit-local-mac", true)]
	verdict := vouchsafe.verdict with input as object.union(local, {"claims": claims})
	verdict.answer == "allow"
}

test_the_word_for_addresses_says_nothing_of_others if {
	claims := [claim("device", "admit-by-mac", "always")]
	verdict := vouchsafe.verdict with input as object.union(known, {"claims": claims})
	verdict.answer == "allow"
	verdict.by_address == null
}

test_a_blocked_manufacturers_device_does_not_come_in_by_its_address if {
	blocked := {"id": "2c70e12b7a0646f92279f427c7b38e73", "name": "Lamps", "trust": "blocked"}
	word := claim("device", "admit-by-mac", "always")
	verdict := vouchsafe.verdict with input as object.union(by_mac, {"manufacturer": blocked, "claims": [word]})
	codes(verdict) == {"manufacturer-blocked"}
}
