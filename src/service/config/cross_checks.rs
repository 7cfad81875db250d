//! Checks of combinations of variables, each of which is valid on its own.
//!
//! We reject an ambiguous combination rather than guess its meaning. If a value is invalid on its
//! own, it already has a fault, and no check here should add a second one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{
    algorithm::Algorithm,
    auth::{dpop::DpopMode, resource::spellings},
    service::config::{
        dpop::{self, Dpop},
        limits::least_limit,
        needed::{NO_AUDIENCE, NO_ISSUER},
        reader::Reader,
        types::Secret,
        url,
        variables::{
            AUTH0_API_AUDIENCE, AUTH0_AUDIENCE_CLAIM, AUTH0_DOMAIN, AUTH0_INTROSPECTION,
            AUTH0_INTROSPECTION_CLIENT_ID, AUTH0_INTROSPECTION_CLIENT_SECRET,
            AUTH0_INTROSPECTION_KEY_FILE, AUTH0_INTROSPECTION_TTL, AUTH0_INTROSPECTION_URI,
            AUTH0_ISSUER, AUTH0_JWKS_FILE, AUTH0_JWKS_URI, AUTH0_MAX_TOKEN_BYTES, AUTH0_RESOURCE,
            AUTH0_RESOURCE_SCOPES, AUTH0_SIGNING_SECRET, CORS_ORIGINS, ISSUERS_FILE, LISTEN,
            MAX_HEADER_BYTES, METRICS_LISTEN, PORT, TLS_CERT_FILE, TLS_KEY_FILE,
        },
    },
};

/// The variables that the issuers file replaces
pub(super) const OF_ONE_ISSUER: [&str; 12] = [
    AUTH0_DOMAIN.name(),
    AUTH0_ISSUER.name(),
    AUTH0_AUDIENCE_CLAIM.name(),
    AUTH0_JWKS_URI.name(),
    AUTH0_JWKS_FILE.name(),
    AUTH0_SIGNING_SECRET.name(),
    AUTH0_INTROSPECTION.name(),
    AUTH0_INTROSPECTION_URI.name(),
    AUTH0_INTROSPECTION_CLIENT_ID.name(),
    AUTH0_INTROSPECTION_CLIENT_SECRET.name(),
    AUTH0_INTROSPECTION_KEY_FILE.name(),
    AUTH0_INTROSPECTION_TTL.name(),
];

/// The variables that can only be set for a single issuer
pub(super) const OF_ONLY_ISSUER: [&str; 4] = [
    AUTH0_AUDIENCE_CLAIM.name(),
    AUTH0_JWKS_URI.name(),
    AUTH0_JWKS_FILE.name(),
    AUTH0_SIGNING_SECRET.name(),
];

/// The limit for heads must leave room for the largest token. If only the limit for heads is set,
/// this is a warning, since tokens may be smaller than the default allows.
pub(super) fn token_size(reader: &mut Reader, token: usize, head: u32) {
    let least = least_limit(token);
    // Otherwise, it grows with the largest token
    let is_set =
        reader.is_set(MAX_HEADER_BYTES.name()) && !reader.has_fault(MAX_HEADER_BYTES.name());
    if !is_set || u64::from(head) >= least {
        return;
    }
    if reader.is_set(AUTH0_MAX_TOKEN_BYTES.name()) {
        reader.fault(
            MAX_HEADER_BYTES.name(),
            format_args!(
                "{head} bytes, but a request head with a token of AUTH0_MAX_TOKEN_BYTES may have {least}; set at least that, or remove it"
            ),
        );
    } else {
        let most = u64::from(head).saturating_sub(least_limit(0));
        reader.warn(
            MAX_HEADER_BYTES.name(),
            format_args!(
                "{head} bytes, but a request head with the largest token ({token} bytes) may have {least}, and then gets 431; set at least that, or AUTH0_MAX_TOKEN_BYTES to at most {most}"
            ),
        );
    }
}

pub(super) fn required(reader: &mut Reader) {
    if reader.is_set(ISSUERS_FILE.name()) {
        beside_issuers_file(reader, &OF_ONE_ISSUER);
        // the tables have audiences, or the file already has faults
        return;
    }
    if !reader.is_set(AUTH0_DOMAIN.name()) && !reader.is_set(AUTH0_ISSUER.name()) {
        reader.missing(&[AUTH0_DOMAIN.name(), AUTH0_ISSUER.name()], NO_ISSUER);
    }
    if !reader.is_set(AUTH0_API_AUDIENCE.name()) {
        reader.missing(&[AUTH0_API_AUDIENCE.name()], NO_AUDIENCE);
    }
}

/// Rejects these variables, which the issuers file replaces.
pub(super) fn beside_issuers_file(reader: &mut Reader, names: &[&str]) {
    for name in names {
        if reader.is_set(name) {
            reader.fault(
                name,
                "set together with ISSUERS_FILE, which sets it for each issuer; remove one of them",
            );
        }
    }
}

/// Checks the names of the issuers. Keys can only be configured for a single issuer: if several
/// shared a key, they could sign each other's tokens.
pub(super) fn issuers(reader: &mut Reader, issuers: &[String], needs_key_set: bool) {
    if issuers.len() > 1 {
        for name in OF_ONLY_ISSUER {
            if reader.is_set(name) {
                reader.fault(
                    name,
                    "set, but AUTH0_ISSUER has several issuers, and this can apply to only one; remove it, or keep one issuer",
                );
            }
        }
    }
    let has_source = reader.is_set(AUTH0_JWKS_URI.name()) || reader.is_set(AUTH0_JWKS_FILE.name());
    if needs_key_set && !has_source {
        let check = match issuers {
            [_] => url::discoverable_issuer,
            _ => url::discoverable_among_several,
        };
        for issuer in issuers {
            reader.check(&AUTH0_ISSUER.variable, issuer, check);
        }
    }
    slash(reader, issuers);
}

/// Warns about audiences that tokens for other APIs have. Anyone who gets such a token could use it
/// here.
pub(super) fn audiences(reader: &mut Reader, audiences: &[String], issuers: &[String]) {
    for audience in audiences {
        if let Some(warning) = foreign_audience(audience, issuers) {
            reader.warn(AUTH0_API_AUDIENCE.name(), warning);
        }
    }
}

/// Warns about audiences for which no DPoP proof passes. With an issuers file, its reader does that
/// for each table.
pub(super) fn origins(reader: &mut Reader, audiences: &[String], dpop: &Dpop) {
    let is_on = dpop.mode != DpopMode::Off && !reader.is_set(ISSUERS_FILE.name());
    let Some(public_url) = dpop.public_url.as_ref().filter(|_| is_on) else {
        return;
    };
    for warning in dpop::foreign_origins(audiences, public_url) {
        reader.warn(AUTH0_API_AUDIENCE.name(), warning);
    }
}

/// Returns a warning if tokens of these issuers for other APIs have this audience.
pub(super) fn foreign_audience(audience: &str, issuers: &[String]) -> Option<String> {
    /// The application ID of Microsoft Graph.
    const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
    let is_keycloak = issuers.iter().any(|issuer| issuer.contains("/realms/"));
    // Your own API may have an audience with the same ending
    let is_of_issuer = |name: &str| issuers.iter().any(|issuer| name.starts_with(&**issuer));
    let is_of_auth0 = |name: &str| {
        let rest = name.strip_prefix("https://").unwrap_or_default();
        rest.split('/')
            .next()
            .is_some_and(|host| host.ends_with(".auth0.com"))
    };
    let owner = match audience {
        "*" => {
            return Some(
                "* is compared with aud like any other name, and does not mean every audience"
                    .to_owned(),
            );
        }
        "account" if is_keycloak => "of Keycloak's own account API, which most tokens have",
        GRAPH | "https://graph.microsoft.com" | "https://graph.microsoft.com/" => {
            "of Microsoft Graph"
        }
        name if name.ends_with("/userinfo") && (is_of_issuer(name) || is_of_auth0(name)) => {
            "of the issuer's own /userinfo, which most tokens of users have"
        }
        name if name.ends_with("/api/v2/") && is_of_auth0(name) => "of Auth0's Management API",
        _ => return None,
    };
    Some(format!(
        "{audience} is the audience {owner}, so tokens that are not for this API are accepted; have the issuer add an audience for this API, and set that"
    ))
}

/// Points to `LISTEN` if `PORT` is set but `LISTEN` is not.
pub(super) fn port(reader: &mut Reader) {
    let Some(port) = reader.port().filter(|_| !reader.is_set(LISTEN.name())) else {
        return;
    };
    let listen = match port.parse::<u16>() {
        Ok(port) => {
            format!("LISTEN=0.0.0.0:{port}, or LISTEN=127.0.0.1:{port} for this machine only")
        }
        Err(_) => "LISTEN to an address and a port".to_owned(),
    };
    reader.warn(PORT, format_args!("not read; set {listen}"));
}

/// Warns about an Auth0 issuer without the trailing slash. People often forget it, and then every
/// token is rejected.
fn slash(reader: &mut Reader, issuers: &[String]) {
    // If AUTH0_DOMAIN is set, the issuer is probably a custom domain of Auth0
    let is_auth0 = reader.is_set(AUTH0_DOMAIN.name());
    let is_bare = |issuer: &&String| issuer.matches('/').count() == 2;
    for issuer in issuers
        .iter()
        .filter(is_bare)
        .filter(|issuer| is_auth0 || issuer.ends_with(".auth0.com"))
    {
        reader.warn(
            AUTH0_ISSUER.name(),
            format_args!("Auth0's issuers end with a slash; did you mean {issuer}/?"),
        );
    }
}

/// Warns about a domain whose URL is none of the issuers. A tenant may have a custom domain, which
/// only the issuer has, so this is no fault.
pub(super) fn domain(reader: &mut Reader, domain: Option<&str>, issuers: &[String]) {
    let Some(domain) = domain else {
        return;
    };
    let is_its_url = |issuer: &String| {
        let host = issuer.strip_prefix("https://").unwrap_or_default();
        // `slash` warns about a missing slash
        host.strip_suffix('/')
            .unwrap_or(host)
            .eq_ignore_ascii_case(domain)
    };
    if !issuers.iter().any(is_its_url) {
        reader.warn(
            AUTH0_DOMAIN.name(),
            format_args!(
                "not used, because AUTH0_ISSUER is set, and is not https://{domain}/; remove AUTH0_DOMAIN, or correct one of them, unless the issuer is the custom domain of this tenant"
            ),
        );
    }
}

pub(super) fn key_sources(reader: &mut Reader) {
    if reader.is_set(AUTH0_JWKS_URI.name()) && reader.is_set(AUTH0_JWKS_FILE.name()) {
        reader.fault(
            AUTH0_JWKS_FILE.name(),
            "set together with AUTH0_JWKS_URI; keep one of them",
        );
    }
}

/// Warns if tokens for the resource would be rejected. A client that has read the metadata requests
/// exactly such a token (RFC 8707 §2). With an issuers file, the audiences of its tables count.
pub(super) fn resource(reader: &mut Reader, resource: Option<&str>, audiences: &[String]) {
    let Some(resource) = resource.filter(|_| !reader.is_set(ISSUERS_FILE.name())) else {
        return;
    };
    let spellings = spellings(resource);
    if !audiences
        .iter()
        .any(|audience| spellings.contains(audience))
    {
        reader.warn(
            AUTH0_RESOURCE.name(),
            "not in AUTH0_API_AUDIENCE, so a token that a client requests for this resource (RFC 8707) is rejected here",
        );
    }
}

/// Warns about scopes for the metadata if there is no metadata.
pub(super) fn resource_scopes(
    reader: &mut Reader,
    resource: Option<&str>,
    scopes: Option<&[String]>,
) {
    if resource.is_none() && scopes.is_some() {
        reader.warn(
            AUTH0_RESOURCE_SCOPES.name(),
            "not used, because AUTH0_RESOURCE is not set",
        );
    }
}

/// HS256 needs the secret. Also warns about settings that are then unused.
pub(super) fn signing_secret(
    reader: &mut Reader,
    algorithms: &[Algorithm],
    secret: Option<&Secret>,
) {
    let name = AUTH0_SIGNING_SECRET.name();
    let hs256 = algorithms.contains(&Algorithm::HS256);
    let is_set = reader.is_set(name);
    if hs256 && !is_set && !reader.is_set(ISSUERS_FILE.name()) {
        reader.fault(
            name,
            "not set, but AUTH0_ALGORITHMS has HS256; set it to the secret that the issuer signs with, 32 bytes or more, or remove HS256",
        );
    }
    if is_set && !hs256 {
        reader.warn(
            name,
            "not used, because AUTH0_ALGORITHMS does not have HS256",
        );
    }
    // The tables of an issuers file may have other algorithms
    if hs256 && algorithms.len() == 1 && !reader.is_set(ISSUERS_FILE.name()) {
        for name in reader.names("AUTH0_JWKS_") {
            reader.warn(&name, "not used, because AUTH0_ALGORITHMS has only HS256");
        }
    }
    if secret.is_some_and(Secret::has_outer_blanks) {
        reader.warn(name, OUTER_BLANKS);
    }
}

pub(super) const OUTER_BLANKS: &str =
    "begins or ends with a space or a line break, which is part of the secret";

pub(super) fn tls(reader: &mut Reader) {
    let (certificate, key) = (TLS_CERT_FILE.name(), TLS_KEY_FILE.name());
    for (set, missing) in [(certificate, key), (key, certificate)] {
        if reader.is_set(set) && !reader.is_set(missing) {
            reader.fault(
                missing,
                format_args!("not set, but {set} is; set both for TLS, or neither"),
            );
        }
    }
}

/// Rejects `*` together with other origins: such a list contradicts itself.
pub(super) fn any_origin_among_others(reader: &mut Reader) {
    reader.fault(
        CORS_ORIGINS.name(),
        "has * beside other origins; keep * alone, which allows every origin, or remove it",
    );
}

/// Rejects two listeners on the same address and port, unless the port is 0.
pub(super) fn listeners(reader: &mut Reader, listen: SocketAddr, metrics: Option<SocketAddr>) {
    let Some(metrics) = metrics else {
        return;
    };
    // LISTEN was invalid, so this would compare its default
    if reader.has_fault(LISTEN.name()) {
        return;
    }
    if overlap(listen, metrics) {
        let free = other_port(listen);
        reader.fault(
            METRICS_LISTEN.name(),
            format_args!(
                "found \"{metrics}\", but LISTEN is \"{listen}\", and each needs its own port; set another, such as {free}"
            ),
        );
    }
}

/// Whether two listeners cannot both have their address and port.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let includes =
        |all: IpAddr, one: IpAddr| all.is_unspecified() && all.is_ipv4() == one.is_ipv4();
    let (ip, other_ip) = (one.ip(), other.ip());
    let has_same_ip = ip == other_ip || includes(ip, other_ip) || includes(other_ip, ip);
    has_same_ip && one.port() == other.port() && one.port() != 0
}

/// An address for the metrics, with another port than `listen`.
pub(super) fn other_port(listen: SocketAddr) -> SocketAddr {
    let port = if listen.port() == 9090 { 9091 } else { 9090 };
    (Ipv4Addr::LOCALHOST, port).into()
}
