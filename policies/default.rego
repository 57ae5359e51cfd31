# The policy in force when an owner has set none.
#
# A device that is in the inventory, of a manufacturer that is trusted, may join. So may one that
# proves the bootstrapping key it was claimed by: there the claim vouches for it, and its manufacturer
# needs only not to be blocked. Claims change that: `deny` keeps a device out, `approval-required` asks
# a person first, `mutual-required` keeps out a device that the network did not prove itself to,
# `segment` says where it belongs. A claim about the device weighs more than one about its model, and
# that more than one about its manufacturer or owner.
#
# Nobody comes in by a MAC address alone, which anybody can copy, unless the claim `admit-by-mac` says so:
# `without-credential` for a device that holds no certificate, `always` for one that does, too. An address
# that nobody assigned (locally administered) needs the claim `admit-local-mac` besides.
package vouchsafe

import rego.v1

default verdict := {
	"answer": "deny",
	"reasons": [{"code": "no-rule", "text": "No rule lets this device in."}],
}

verdict := {"answer": "deny", "reasons": denials} if count(denials) > 0

verdict := {
	"answer": "wait",
	"retry_after": 30,
	"reasons": [{"code": "approval-required", "text": "A person must approve this device."}],
} if {
	count(denials) == 0
	approval_required
}

verdict := {
	"answer": "allow",
	"segment": segment,
	"ask_again_at": ask_again_at,
	"by_address": by_address,
	"reasons": [{"code": "in-inventory", "text": why_in}],
} if {
	count(denials) == 0
	not approval_required
}

default why_in := "The device is in the inventory and its manufacturer is trusted."

why_in := "The device is in the inventory, by its bootstrapping key." if by_bootstrapping_key

why_in := "The device is in the inventory, and may show its MAC address instead of a proof." if by_mac

by_bootstrapping_key if input.onboarding.method == "dpp"

by_mac if input.onboarding.method == "mac"

# Of these two the inventory speaks, not the manufacturer.
by_claim_alone if by_bootstrapping_key

by_claim_alone if by_mac

default by_address := null

by_address := effective("admit-by-mac") if by_mac

# Why not.

denials contains {"code": "unknown-device", "text": "The device is in no inventory."} if {
	is_null(input.device)
}

denials contains {"code": "unknown-manufacturer", "text": "The manufacturer is not known."} if {
	is_null(input.manufacturer)
	not by_claim_alone
}

denials contains {"code": "manufacturer-not-trusted", "text": "The manufacturer is not trusted."} if {
	not is_null(input.manufacturer)
	not by_claim_alone
	not input.manufacturer.trust in {"voucher-required", "plain-est"}
}

denials contains {"code": "manufacturer-blocked", "text": "The manufacturer is blocked."} if {
	by_claim_alone
	input.manufacturer.trust == "blocked"
}

denials contains {"code": "not-mutual", "text": "The network did not prove itself to the device, which is asked for here."} if {
	by_bootstrapping_key
	not input.onboarding.mutual
	effective("mutual-required") != false
}

denials contains {"code": "mac-proves-nothing", "text": "A MAC address proves nothing, and no claim lets this device in by it."} if {
	by_mac
	not may_by_mac
}

may_by_mac if effective("admit-by-mac") in {"without-credential", "always"}

denials contains {"code": "mac-is-local", "text": "Nobody assigned this MAC address, and no claim lets the device in by such a one."} if {
	by_mac
	input.address.local
	not local_may
}

local_may if effective("admit-local-mac") == true

denials contains {"code": "not-in-service", "text": "The device is not claimed, or cut off, or out of service."} if {
	not is_null(input.device)
	not input.device.state in {"claimed", "onboarding", "onboarded"}
}

denials contains {"code": "denied-by-claim", "text": sprintf("%v says that the device must stay out.", [claim.issuer])} if {
	some claim in input.claims
	claim.kind == "deny"
	claim.value != false
}

# Whether a person must say yes first. That is asked when a device joins, not at each renewal.

approval_required if {
	input.request.kind in {"voucher", "enrol", "configure"}
	effective("approval-required") != false
}

# Where it belongs.

default segment := "devices"

segment := effective("segment")

# The claim of a kind that counts: the one nearest to the device, and of those the latest.

nearness := {"device": 3, "model": 2, "manufacturer": 1, "owner": 0}

effective(kind) := max([
[nearness[claim.subject], claim.issued_at, claim.value] |
	some claim in input.claims
	claim.kind == kind
])[2]

# The answer holds until the first claim it may rest on runs out.

default ask_again_at := null

ask_again_at := min([claim.expires_at |
	some claim in input.claims
	not is_null(claim.expires_at)
])
