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

# An access token from the tenant that .env names, as JSON; with --raw, the token alone
[no-exit-message]
token *options:
    @cargo run --quiet --example token -- {{options}}

# Every test, with no network but loopback
test:
    cargo test

# Format and clippy, as CI has them
lint:
    cargo fmt --check && cargo clippy --all-targets -- -D warnings

# The documentation of the library
doc:
    cargo doc --no-deps --open

# The README's session in a terminal, recorded anew; needs Python 3 and curl, and port 8000 free
record:
    docs/record

# What each verification costs: hits, misses, refusals, algorithms, sizes
bench:
    cargo bench --bench verification

# The service beside bare hyper, hyper with one RSA verification, and its peers, which it installs
bench-http:
    bench/http

# The service beside the references, its instructions beside BASE's, and how they grow; some fifteen minutes
bench-gate:
    bench/gate

# Proxies in front of an application, alone and asking the service about each request
bench-forward:
    bench/forward

# What the service and its peers answer to the same questions, into docs/peers.md; some ten minutes
peers:
    bench/behaviour

# Every test and every doc example with each feature set
features:
    .ci/features

# The public API beside tests/api/public.txt; `tests/api/run --write` writes it. Installs cargo-public-api
api:
    tests/api/run

# The public API beside the last release's, by cargo-semver-checks; until the first tag there is none
semver:
    if tag="$(git describe --tags --match 'v*' --abbrev=0 2>/dev/null)"; then cargo semver-checks --baseline-rev "$tag" --only-explicit-features --features warp,testing; else echo 'semver: no baseline until the first tag (v0.1.0); `just api` compares with tests/api/public.txt'; fi

# A crate with another backend of jsonwebtoken beside the library
neighbour:
    tests/neighbour/run

# All that CI runs
ci:
    .ci/run

# The same, what takes longer, a second opinion by PyJWT, a provider that is not ours, the peers of the pages, proxies, and MCP clients; some fifteen minutes more
ci-full:
    .ci/run && .ci/features && .ci/msrv && .ci/minimal-versions && deploy/docs-rs && just audit && tests/api/run && cargo test --release --test server -- --ignored --test-threads=1 && cargo test --release --test operate -- --ignored --test-threads=1 && tests/second_opinion/run && tests/docs/run && tests/docs/browse && tests/interop/run && tests/dpop_clients/run && tests/peers/run && tests/proxies/run && tests/mcp/run && cargo package --locked --allow-dirty

# /docs and /errors in a real browser; installs Chromium, needs Python 3
browser:
    tests/docs/browse

# The service in front of npm's oidc-provider, by configuration alone; needs Node.js
interop:
    tests/interop/run

# DPoP proofs by npm's dpop and oauth4webapi and by Python's joserfc; needs Node.js and Python 3
dpop-clients:
    tests/dpop_clients/run

# The FastAPI tutorial and Express beside the library, as docs/ has them; needs Python 3 and Node.js
migrations:
    tests/peers/run

# An application behind nginx, Caddy, HAProxy and Envoy, which ask /auth; installs them, needs Python 3
proxies:
    tests/proxies/run

# Five MCP clients through every proxy as shipped, from discovery to step-up; needs Node.js and Python 3
mcp:
    tests/mcp/run

# A minute of load with a new key every ten seconds; memory has to end as it began
soak:
    cargo test --release --test operate -- soak --ignored --nocapture

# Each fuzz target for a minute; needs cargo-fuzz
fuzz seconds="60":
    for target in field compact verifier key_set nested proof; do mkdir -p fuzz/corpus/$target && RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $target fuzz/corpus/$target fuzz/seeds/$target -- -max_total_time={{seconds}} -max_len=20000 -dict=fuzz/json.dict || exit 1; done

# Each for two hours
fuzz-long: (fuzz "7200")

# The files of deploy/ and static binaries, by glibc and by musl, with the tools for them, which it fetches
check-deploy:
    target="$(rustc --print host-tuple)" && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --features otel --target "$target" && deploy/check "target/$target/release/warp-bearer" $(deploy/musl)

# All of a release but the push: artefacts, release notes, a tag; with --dry-run, without the tag
release *arguments:
    deploy/release {{arguments}}

# The documentation as docs.rs builds it
docs-rs:
    deploy/docs-rs

# The oldest Rust that Cargo.toml promises; rustup has to have it or to get it
msrv:
    .ci/msrv

# The oldest versions of dependencies that Cargo.toml allows
minimal-versions:
    .ci/minimal-versions

# The feature fips: signatures and TLS by AWS-LC's FIPS module; needs CMake and Go
fips:
    cargo test --locked --features fips --test library --test tokens --test server

# Licences, bans and sources of the dependencies, and advisories where their database can be had; needs cargo-deny
audit:
    cargo deny check licenses bans sources && if cargo deny fetch db; then cargo deny check --disable-fetch advisories; else echo 'advisories: not checked, their database cannot be had'; fi
