//! Footnotes for cells, so that the table is fair: they say when a default or the server in
//! `bench/peers` is to blame rather than the library.
//!
//! A cell gets a note if the note lists its server and its question, and the server didn't behave
//! as the row expects.

use super::{
    subject::Subject,
    table::{Cell, Question},
};

struct Note {
    name: &'static str,
    of: &'static [&'static str],
    on: &'static [&'static str],
    text: &'static str,
}

#[rustfmt::skip]
const NOTES: &[Note] = &[
    Note {
        name: "handler",
        of: &["warp-jsonwebtoken", "actix", "haproxy", "fastapi"],
        on: ANSWERS,
        text: "The library or proxy leaves the answer to its user. This is the answer of bench/peers, which \
               follows the tutorial where there is one.",
    },
    Note {
        name: "body",
        of: &["express"],
        on: &["the body of a 401"],
        text: "This is the body of the server in bench/peers. The default body of Express is [a page of HTML](https://github.com/auth0/node-oauth2-jwt-bearer/blob/main/packages/express-oauth2-jwt-bearer/README.md#error-handling).",
    },
    Note {
        name: "required",
        of: &["warp-jsonwebtoken", "actix"],
        on: &["no `aud`", "no `iss`"],
        text: "By default. [`Validation::set_required_spec_claims`](https://docs.rs/jsonwebtoken/11.1.0/jsonwebtoken/struct.Validation.html) \
               makes claims required.",
    },
    Note {
        name: "nbf",
        of: &["warp-jsonwebtoken", "actix"],
        on: &["`nbf` an hour from now", "`nbf` is a string"],
        text: "By default. [`Validation::validate_nbf`](https://docs.rs/jsonwebtoken/11.1.0/jsonwebtoken/struct.Validation.html) \
               turns it on.",
    },
    Note {
        name: "authorizer-nbf",
        of: &["axum-jwt-authorizer"],
        on: &["`nbf` an hour from now", "`nbf` is a string"],
        text: "By default. [`Validation::nbf`](https://docs.rs/jwt-authorizer/0.15.0/jwt_authorizer/validation/struct.Validation.html) \
               turns it on.",
    },
    Note {
        name: "tower-nbf",
        of: &["axum-tower-oauth2"],
        on: &["`nbf` an hour from now", "`nbf` is a string"],
        text: "By default, unless the issuer's metadata lists `nbf` in `claims_supported`. \
               [`ClaimsValidationSpec::nbf`](https://docs.rs/tower-oauth2-resource-server/0.12.5/tower_oauth2_resource_server/validation/struct.ClaimsValidationSpec.html) \
               turns it on.",
    },
    Note {
        name: "envoy-exp",
        of: &["envoy"],
        on: &["no `exp`"],
        text: "By default. [`require_expiration`](https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/jwt_authn/v3/config.proto) \
               makes it required.",
    },
    Note {
        name: "envoy-query",
        of: &["envoy"],
        on: &["the token in the query of the URL"],
        text: "By default. [`from_headers`](https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/jwt_authn/v3/config.proto) \
               limits it to the field.",
    },
    Note {
        name: "fastify-required",
        of: &["fastify"],
        on: &["no `aud`", "no `iss`", "no `exp`"],
        text: "By default. [`requiredClaims`](https://github.com/nearform/fast-jwt#createverifier) makes claims required.",
    },
    Note {
        name: "pyjwt-required",
        of: &["fastapi"],
        on: &["no `exp`"],
        text: "By default. [`options={\"require\": [\"exp\"]}`](https://pyjwt.readthedocs.io/en/stable/api.html) makes it required.",
    },
    Note {
        name: "haproxy-rules",
        of: &["haproxy"],
        on: &[
            "no `exp`", "`exp` is a string", "`nbf` an hour from now", "`nbf` is a string", "`aud` is an array that contains ours",
            "`crit` with an unknown name", "`b64: false`, named in `crit`", "`typ: logout+jwt`", "`typ: dpop+jwt`",
            "`cnf`: bound to a key that the client does not prove",
        ],
        text: "The rules are those of [HAProxy's own guide](https://www.haproxy.com/blog/verify-oauth-jwt-tokens-with-haproxy); \
               others can be written.",
    },
    Note {
        name: "strict",
        of: &["express"],
        on: &["`typ: logout+jwt`", "`typ: dpop+jwt`"],
        text: "By default. With [`strict`](https://auth0.github.io/node-oauth2-jwt-bearer/interfaces/AuthOptions.html), it \
               accepts only `at+jwt`.",
    },
    Note {
        name: "interval",
        of: &["axum-jwt-authorizer"],
        on: &["a new key is accepted, right after another fetch", "a new key is accepted, right after these fetches", "a key that replaces another under the same `kid` is accepted", "a removed key is rejected"],
        text: "By default it fetches again only for a `kid` that it does not hold, and once in ten minutes. \
               [`Refresh`](https://docs.rs/jwt-authorizer/0.15.0/jwt_authorizer/struct.Refresh.html) can shorten that, or \
               have it fetch at intervals.",
    },
    Note {
        name: "poll",
        of: &["axum-tower-oauth2"],
        on: &["a new key is accepted, right after another fetch", "a new key is accepted, right after these fetches", "a key that replaces another under the same `kid` is accepted"],
        text: "By default, it fetches once a minute, whatever tokens arrive. \
               [`jwks_refresh_interval`](https://docs.rs/tower-oauth2-resource-server/0.12.5/tower_oauth2_resource_server/tenant/struct.TenantConfigurationBuilder.html) changes that.",
    },
    Note {
        name: "cache-duration",
        of: &["envoy"],
        on: &["a new key is accepted, right after another fetch", "a new key is accepted, right after these fetches", "a key that replaces another under the same `kid` is accepted"],
        text: "By default, it fetches once in ten minutes, whatever tokens arrive. \
               [`cache_duration`](https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/jwt_authn/v3/config.proto) changes that.",
    },
    Note {
        name: "cooldown",
        of: &["express", "fastapi"],
        on: &["a new key is accepted, right after another fetch", "a new key is accepted, right after these fetches"],
        text: "After each fetch it waits 30 s by default before it fetches for an unknown `kid`: `cooldownDuration` of \
               [express-oauth2-jwt-bearer](https://auth0.github.io/node-oauth2-jwt-bearer/interfaces/AuthOptions.html), \
               `cooldown_duration` of [PyJWKClient](https://pyjwt.readthedocs.io/en/stable/api.html).",
    },
    Note {
        name: "jwks-url",
        of: &["axum-tower-oauth2"],
        on: &["the issuer is down at the start: the server starts", "… the answer to a valid token", "… time until a valid token is accepted once the issuer is back"],
        text: "With discovery, which has to succeed at the start. With \
               [`jwks_url`](https://docs.rs/tower-oauth2-resource-server/0.12.5/tower_oauth2_resource_server/tenant/struct.TenantConfigurationBuilder.html) \
               it starts without the issuer.",
    },
];

const ANSWERS: &[&str] = &[
    "no token: 401",
    "no token: `Bearer` with a parameter, and no `error`",
    "bad signature: 401",
    "expired: 401",
    "another audience: 401",
    "expired: `error=\"invalid_token\"`",
    "`Authorization: Bearer two words`: 400",
    "`Authorization: Bearer two words`: `error=\"invalid_request\"`",
    "the body of a 401",
    "the answer repeats nothing of the token",
];

pub fn of(subject: &Subject<'_>, question: &Question, cell: &Cell) -> Option<&'static str> {
    if matches!(cell, Cell::Yes) {
        return None;
    }
    let of_it = |note: &&Note| note.of.contains(&subject.name) && note.on.contains(&question.text);
    NOTES.iter().find(of_it).map(|note| note.name)
}

pub fn text(name: &str) -> &'static str {
    NOTES.iter().find(|note| note.name == name).unwrap().text
}
