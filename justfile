# Each recipe is one command, which works as well without just. Where the command has said what is
# wrong, just does not add to it.

# What there is
_list:
    @just --list --unsorted

# The service for the tenant that .env names
[no-exit-message]
run:
    cargo run

# The service with an issuer of its own on loopback; it needs no tenant
[no-exit-message]
dev:
    cargo run -- dev

# An access token from the tenant that .env names, as JSON
[no-exit-message]
token:
    @cargo run --quiet --example token

# Every test, with no network but loopback
test:
    cargo test

# Format and clippy, as CI has them
lint:
    cargo fmt --check && cargo clippy --all-targets -- -D warnings

# The documentation of the library
doc:
    cargo doc --no-deps --open

# Requests per second of processor time, beside bare hyper and hyper with one RSA verification
bench:
    cargo build --release && cargo run --release --manifest-path bench/Cargo.toml -- rounds target/release/warp-bearer 9 20000 table

# All that CI runs
ci:
    .ci/run

# The same, the server's promises at full size, and a build of what would be published
ci-full:
    .ci/run && cargo test --release --test server -- --ignored && cargo package --locked --allow-dirty

# Licences, bans and sources of the dependencies, and advisories where their database can be had; needs cargo-deny
audit:
    cargo deny check licenses bans sources && if cargo deny fetch db; then cargo deny check --disable-fetch advisories; else echo 'advisories: not checked, their database cannot be had'; fi
