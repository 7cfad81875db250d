//! What variables mean together: each may be right, and the pair of them not.
//!
//! Where two readings are possible, neither is chosen.

use std::net::{IpAddr, SocketAddr};

use crate::algorithm::Algorithm;
use crate::service::config::{Secret, reader::Reader};

/// Adds the faults and warnings that lie between variables. What is `None` has a fault already, or
/// is missing.
pub(super) fn judge(
    reader: &mut Reader,
    issuers: Option<&[String]>,
    audiences: Option<&[String]>,
    resource: Option<&str>,
    algorithms: Option<&[Algorithm]>,
    secret: Option<&Secret>,
) {
    missing(reader);
    if let Some(issuers) = issuers {
        one_issuer_each(reader, issuers);
        slash(reader, issuers);
    }
    if reader.has("AUTH0_JWKS_URI") && reader.has("AUTH0_JWKS_FILE") {
        reader.fault(
            "AUTH0_JWKS_FILE",
            "set together with AUTH0_JWKS_URI; keep one of them",
        );
    }
    if let (Some(resource), Some(audiences)) = (resource, audiences) {
        resource_is_an_audience(reader, resource, audiences);
    }
    if let Some(algorithms) = algorithms {
        signing_secret(reader, algorithms);
    }
    if secret.is_some_and(|secret| secret.0.trim() != secret.0) {
        reader.warn(
            "AUTH0_SIGNING_SECRET",
            "begins or ends with a blank or a line break, which counts as part of it",
        );
    }
}

/// One of the two is set and the other is not.
pub(super) fn both_or_neither(reader: &mut Reader, one: &str, other: &str) {
    for (one, other) in [(one, other), (other, one)] {
        if reader.has(one) && !reader.has(other) {
            reader.fault(
                other,
                format_args!("not set, but {one} is; set both for TLS, or neither"),
            );
        }
    }
}

/// Whoever lists origins does not mean all of them.
pub(super) fn any_beside_others(reader: &mut Reader, name: &str) {
    reader.fault(
        name,
        "has * beside other origins; keep * alone, for every origin there is, or take it out",
    );
}

/// Two listeners cannot have one port of one address; port 0 is a different one for each.
pub(super) fn one_door_each(
    reader: &mut Reader,
    listen: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
) {
    let (Some(listen), Some(metrics)) = (listen, metrics) else {
        return;
    };
    let all = |one: IpAddr, other: IpAddr| one.is_unspecified() && one.is_ipv4() == other.is_ipv4();
    let (one, other) = (listen.ip(), metrics.ip());
    let overlap = one == other || all(one, other) || all(other, one);
    if overlap && listen.port() == metrics.port() && listen.port() != 0 {
        reader.fault(
            "METRICS_LISTEN",
            format_args!(
                "found \"{metrics}\", but LISTEN is \"{listen}\", and each needs a port of its own; give another, such as 127.0.0.1:9090"
            ),
        );
    }
}

fn missing(reader: &mut Reader) {
    if !reader.has("AUTH0_DOMAIN") && !reader.has("AUTH0_ISSUER") {
        reader.missing(
            &["AUTH0_DOMAIN", "AUTH0_ISSUER"],
            "set it to the host of your tenant, such as tenant.eu.auth0.com, or AUTH0_ISSUER to the URL of your issuer; without either, `warp-bearer dev` brings its own",
        );
    }
    if !reader.has("AUTH0_API_AUDIENCE") {
        reader.missing(
            &["AUTH0_API_AUDIENCE"],
            "set it to the identifier of your API, such as https://api.example.com",
        );
    }
}

/// Keys belong to one issuer. Shared by several, whoever signs for one could sign for all.
fn one_issuer_each(reader: &mut Reader, issuers: &[String]) {
    if issuers.len() < 2 {
        return;
    }
    for name in ["AUTH0_JWKS_URI", "AUTH0_JWKS_FILE", "AUTH0_SIGNING_SECRET"] {
        if reader.has(name) {
            reader.fault(
                name,
                "set, but AUTH0_ISSUER has several, and it does not say which; take it out, or keep one issuer",
            );
        }
    }
}

/// The commonest slip with Auth0, and one that no token survives.
fn slash(reader: &mut Reader, issuers: &[String]) {
    // Beside a domain, which is Auth0's way, a custom one of theirs is meant.
    let is_auth0s = reader.has("AUTH0_DOMAIN");
    let bare = |issuer: &&String| issuer.matches('/').count() == 2;
    for issuer in issuers
        .iter()
        .filter(bare)
        .filter(|issuer| is_auth0s || issuer.ends_with(".auth0.com"))
    {
        reader.warn(
            "AUTH0_ISSUER",
            format_args!("Auth0's issuers end with a slash; did you mean {issuer}/?"),
        );
    }
}

/// A client that has read the metadata asks for a token for the resource (RFC 8707 §2).
fn resource_is_an_audience(reader: &mut Reader, resource: &str, audiences: &[String]) {
    if !audiences.iter().any(|audience| audience == resource) {
        reader.warn(
            "AUTH0_RESOURCE",
            "none of AUTH0_API_AUDIENCE, so that a client which asks for a token by it (RFC 8707) gets one that is refused here",
        );
    }
}

fn signing_secret(reader: &mut Reader, algorithms: &[Algorithm]) {
    let hs256 = algorithms.contains(&Algorithm::HS256);
    let set = reader.has("AUTH0_SIGNING_SECRET");
    if hs256 && !set {
        reader.fault(
            "AUTH0_SIGNING_SECRET",
            "not set, but AUTH0_ALGORITHMS has HS256; set it to the secret that the issuer signs with, 32 bytes or more, or take HS256 out",
        );
    }
    if set && !hs256 {
        reader.warn(
            "AUTH0_SIGNING_SECRET",
            "not used, since AUTH0_ALGORITHMS does not have HS256",
        );
    }
    if hs256 && algorithms.len() == 1 {
        for name in reader.names("AUTH0_JWKS_") {
            reader.warn(&name, "not used, since AUTH0_ALGORITHMS has HS256 alone");
        }
    }
}
