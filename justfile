# A menu of one-liners; everything is also plain `cargo xtask …`.

# List the recipes.
default:
    @just --list

# The whole story in one terminal; stays up until Ctrl-C.
demo *ARGS:
    cargo xtask demo {{ARGS}}

# Everything continuous integration runs.
test *ARGS:
    cargo xtask test {{ARGS}}

# Install what the tests need.
prepare:
    cargo xtask prepare

# Only the dependency and floor rules.
arch:
    cargo xtask arch

# Only the house rules.
tidy:
    cargo xtask tidy

# Throughput tables, each beside its floor.
bench *NAMES:
    cargo xtask bench {{NAMES}}

# Run one fuzz target for a while, or list them.
fuzz *ARGS:
    cargo xtask fuzz {{ARGS}}

# Format everything.
fmt:
    cargo fmt --all

# Rewrite the checked-in OpenAPI document and role table.
api:
    UPDATE=1 cargo test -p vouchsafe-api

# Licences, bans and sources of every dependency (needs cargo-deny).
deny:
    cargo deny check licenses bans sources
