# Each recipe is one command, which also works without just. With `no-exit-message`, just does not repeat that the
# command failed.

# Lists the recipes
_list:
    @just --list --unsorted

# Runs the service for the tenant in .env
[no-exit-message]
run:
    cargo run

# Runs the service with a local issuer on loopback; needs no tenant
[no-exit-message]
dev:
    cargo run -- dev

# Prints an access token from the tenant in .env as JSON; with --raw, only the token
[no-exit-message]
token *options:
    @cargo run --quiet --example token -- {{options}}

# Runs every test, with loopback as the only network
test:
    cargo test

# Checks format and clippy, as CI does
lint:
    cargo fmt --check && cargo clippy --all-targets -- -D warnings

# Builds the documentation of the library, and opens it
doc:
    cargo doc --no-deps --open

# Records the README's terminal session again; needs Python 3, curl and a free port 8000
record:
    docs/record

# Measures single verifications: hits, misses, refusals, algorithms, sizes
bench:
    cargo bench --bench verification

# Measures the service beside bare hyper, hyper with one RSA verification, and other servers, which it installs
bench-http:
    bench/http

# Measures the service beside the references and its instructions beside BASE's; about fifteen minutes
bench-gate:
    bench/gate

# Measures proxies in front of an application, alone and with the service
bench-forward:
    bench/forward

# Sends the same requests to the service and to other servers, and writes docs/peers.md; about ten minutes
peers:
    bench/behaviour

# Runs every test and doc example with each feature set
features:
    .ci/features

# Compares the public API with tests/api/public.txt; `tests/api/run --write` updates it. Installs cargo-public-api
api:
    tests/api/run

# Compares the public API with that of the last tag, with cargo-semver-checks; does nothing before the first tag
semver:
    if tag="$(git describe --tags --match 'v*' --abbrev=0 2>/dev/null)"; then cargo semver-checks --baseline-rev "$tag" --only-explicit-features --features warp,testing; else echo 'semver: no baseline until the first tag (v0.1.0); `just api` compares with tests/api/public.txt'; fi

# Builds and runs a crate with another backend of jsonwebtoken beside the library
neighbour:
    tests/neighbour/run

# Runs all of CI
ci:
    .ci/run

# Runs CI and the slower checks, which need other ecosystems: all features, PyJWT, other issuers, proxies, MCP clients
ci-full:
    .ci/run && .ci/features && .ci/msrv && .ci/minimal-versions && deploy/docs-rs && just audit && tests/api/run && cargo test --release --test server -- --ignored --test-threads=1 && cargo test --release --test operate -- --ignored --test-threads=1 && tests/second_opinion/run && tests/docs/run && tests/docs/browse && tests/interop/run && tests/dpop_clients/run && tests/peers/run && tests/proxies/run && tests/mcp/run && cargo package --locked --allow-dirty

# Tests /docs and /errors in a real browser; installs Chromium, needs Python 3
browser:
    tests/docs/browse

# Tests the service with issuers of other projects; needs Node.js, Python 3 and Debian's packages
interop:
    tests/interop/run

# Tests DPoP proofs of npm's dpop and oauth4webapi and of Python's joserfc; needs Node.js and Python 3
dpop-clients:
    tests/dpop_clients/run

# Compares the FastAPI tutorial and Express with the library, as docs/ shows them; needs Python 3 and Node.js
migrations:
    tests/peers/run

# Attacks an application behind nginx, Caddy, HAProxy and Envoy, which ask /auth; installs them, needs Python 3
proxies:
    tests/proxies/run

# Tests five MCP clients through every proxy, from discovery to step-up; needs Node.js and Python 3
mcp:
    tests/mcp/run

# Runs a minute of load with a new key every ten seconds; checks that memory does not grow
soak:
    cargo test --release --test operate -- soak --ignored --nocapture

# Runs each fuzz target for a minute; needs cargo-fuzz
fuzz seconds="60":
    for target in field compact verifier key_set nested proof; do mkdir -p fuzz/corpus/$target && RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $target fuzz/corpus/$target fuzz/seeds/$target -- -max_total_time={{seconds}} -max_len=20000 -dict=fuzz/json.dict || exit 1; done

# Runs each fuzz target for two hours
fuzz-long: (fuzz "7200")

# Checks the files of deploy/ and static binaries with glibc and musl; fetches the tools
check-deploy:
    target="$(rustc --print host-tuple)" && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --features otel --target "$target" && deploy/check "target/$target/release/warp-bearer" $(deploy/musl)

# Makes a release, without pushing it: artifacts, release notes and a tag; with --dry-run, no tag
release *arguments:
    deploy/release {{arguments}}

# Builds the documentation as docs.rs does
docs-rs:
    deploy/docs-rs

# Checks with the `rust-version` of Cargo.toml; rustup installs it if it is missing
msrv:
    .ci/msrv

# Builds with the oldest versions of dependencies that Cargo.toml allows
minimal-versions:
    .ci/minimal-versions

# Tests the feature fips (signatures and TLS with AWS-LC's FIPS module); needs CMake and Go
fips:
    cargo test --locked --features fips --test library --test tokens --test server

# Checks licences, bans and sources of the dependencies, and advisories if their database is reachable; needs cargo-deny
audit:
    cargo deny check licenses bans sources && if cargo deny fetch db; then cargo deny check --disable-fetch advisories; else echo 'advisories: not checked, because the database cannot be fetched'; fi
