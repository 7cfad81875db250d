//! Checks one issuer: its name, its discovery document and its keys.

use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::Value;

use crate::{
    auth::{
        Algorithm,
        display::{ShownText, ShownUrl},
        files,
        keys::{
            fetch::{Access, FetchError, FetchUrl},
            key_set::{examine, examine_file},
            probe::{self, Probe},
        },
        token::json,
    },
    service::{
        cli::{
            check::{
                certificate::{self, SOON},
                entra, keys,
                report::Section,
            },
            context::Context,
            fetch_advice::{Wanted, fetch_advice, name_advice},
            terminal::Mark,
            time_format::{self, length, relative},
        },
        config::Config,
    },
};

/// Report responses that are slower
const SLOW: Duration = Duration::from_secs(1);

/// Calls `on_request` with the target of each request before it is sent.
pub(in crate::service) async fn check(
    issuer: &str,
    context: &Context<'_>,
    on_request: impl Fn(&str),
) -> Section {
    let mut section = Section::new(format!("Issuer {issuer}"));
    let config = context.config;
    entra::check(issuer, context, &mut section);
    if config.algorithms == [Algorithm::HS256] {
        let text = "none are fetched: HS256 uses AUTH0_SIGNING_SECRET";
        section.add(Mark::Good, "keys", text);
        return section;
    }
    if let Some(path) = &config.jwks_file {
        let name = path.display().to_string();
        match files::read(path) {
            Ok(document) => {
                let examined = examine_file(&document, &config.algorithms);
                keys::check(&mut section, examined, &name, &[], context);
            }
            Err(error) => section.add(
                Mark::Bad,
                "keys",
                format!("{name} {}", files::describe(error.kind())),
            ),
        }
        return section;
    }
    let fetched = match &config.jwks_uri {
        Some(address) => {
            let text = if config.tables.is_empty() {
                "not used: AUTH0_JWKS_URI is set"
            } else {
                "not used: jwks_uri is set"
            };
            section.add(Mark::Plain, "discovery", text);
            if resolve(address, context, &mut section, &on_request).await {
                on_request(address);
                let response = probe::probe(address, &access(config), config.jwks_timeout).await;
                connection(address, &response, context, &mut section);
                Some((address.clone(), response, Vec::new()))
            } else {
                None
            }
        }
        None => match discover(issuer, context, &mut section, &on_request).await {
            Some((target, offered)) => {
                let address = target.url().to_string();
                on_request(&address);
                let response = probe::probe_url(&target, config.jwks_timeout).await;
                Some((address, response, offered))
            }
            None => None,
        },
    };
    if let Some((address, response, offered)) = fetched {
        match &response.body {
            Ok(document) => {
                let fresh = response.max_age.map_or("no max-age".to_owned(), |age| {
                    format!("max-age {}", length(age.as_secs_f64()))
                });
                took(&mut section, "key set", &address, &response, &fresh);
                let examined = examine(document, &config.algorithms);
                keys::check(&mut section, examined, &address, &offered, context);
            }
            Err(error) => {
                let hint = fetch_advice(error, Wanted::KeySet, context);
                failed(&mut section, "key set", &response, error, &hint);
            }
        }
    }
    section
}

/// The settings for fetches from the issuer's table, if it has any.
fn access(config: &Config) -> Access {
    let table = config.tables.first();
    table.map_or_else(Access::default, |table| {
        Access::new(table.ca_file.as_deref(), table.fetch_token_file.as_deref())
    })
}

/// Requests the discovery document. If it is usable, returns the URL of the keys, and the supported
/// algorithms that the issuer offers.
async fn discover(
    issuer: &str,
    context: &Context<'_>,
    section: &mut Section,
    on_request: &impl Fn(&str),
) -> Option<(FetchUrl, Vec<Algorithm>)> {
    let mut url = probe::metadata_of(issuer)?;
    if !resolve(url.as_str(), context, section, on_request).await {
        return None;
    }
    on_request(url.as_str());
    let limit = context.config.jwks_timeout;
    let access = access(context.config);
    let mut response = probe::probe(url.as_str(), &access, limit).await;
    connection(url.as_str(), &response, context, section);
    if response.body.as_ref().is_err_and(probe::is_not_found)
        && let Some(other) = probe::other_metadata_of(issuer)
    {
        let shown = ShownUrl::from(&url).to_string();
        section.add_more(
            Mark::Plain,
            "discovery",
            shown,
            "404; trying the address of RFC 8414",
        );
        on_request(other.as_str());
        let answer = probe::probe(other.as_str(), &access, limit).await;
        // if neither document exists, report the first URL
        if !answer.body.as_ref().is_err_and(probe::is_not_found) {
            (url, response) = (other, answer);
        }
    }
    let body = match &response.body {
        Ok(body) => body,
        Err(error) => {
            let hint = fetch_advice(error, Wanted::Metadata, context);
            failed(section, "discovery", &response, error, &hint);
            return None;
        }
    };
    match probe::jwks_uri(body, &url, issuer, &access) {
        Ok(address) => {
            took(section, "discovery", url.as_str(), &response, "");
            section.add(Mark::Good, "issuer", "has exactly the configured name");
            let offered = offers(body, context, section);
            Some((address, offered))
        }
        // With introspection of all tokens, the service needs keys too
        Err(FetchError::NoJwksUri(_)) if context.config.introspects_opaque_tokens() => {
            took(section, "discovery", url.as_str(), &response, "");
            section.add(Mark::Good, "issuer", "has exactly the configured name");
            let text = "none: the metadata have no jwks_uri, so every JWT of this issuer gets 503";
            let more = "its opaque tokens are verified by introspection";
            section.add_more(Mark::Note, "keys", text, more);
            None
        }
        Err(error) => {
            let hint = fetch_advice(&error, Wanted::Metadata, context);
            section.add_failure("issuer", &error, &hint);
            None
        }
    }
}

/// The metadata may be invalid. Null if it is not strict JSON.
fn metadata(body: &[u8]) -> Value {
    let text = std::str::from_utf8(body).ok();
    let read = text.and_then(|text| json::value(text).ok());
    read.unwrap_or_default()
}

/// `false` if the host cannot be resolved. There's no point in sending a request then.
async fn resolve(
    url: &str,
    context: &Context<'_>,
    section: &mut Section,
    on_request: &impl Fn(&str),
) -> bool {
    let url = Url::parse(url).ok();
    let target = url.as_ref().and_then(|url| {
        let port = url.port_or_known_default()?;
        Some((url.as_str(), url.host_str()?, port))
    });
    // the request itself reports an invalid URL
    let Some((url, host, port)) = target else {
        return true;
    };
    if context.is_proxied(url) {
        let text = "resolved by the proxy in the environment";
        section.add(Mark::Plain, "name", text);
        return true;
    }
    on_request(host);
    let began = Instant::now();
    let host = host.trim_matches(['[', ']']);
    let found = tokio::net::lookup_host((host, port));
    match tokio::time::timeout(context.config.jwks_timeout, found).await {
        Ok(Ok(addresses)) => {
            let addresses = addresses.map(|address| address.ip().to_string());
            let text = addresses.collect::<Vec<_>>().join(", ");
            section.add_more(Mark::Good, "name", text, millis(began.elapsed()));
            return true;
        }
        Ok(Err(error)) => {
            let (host, error) = (ShownText::new(host), ShownText::message(error));
            section.add_more(
                Mark::Bad,
                "name",
                format!("{host}: {error}"),
                name_advice(context),
            );
        }
        Err(_) => {
            let text = format!("{}: no response in time", ShownText::new(host));
            section.add_more(Mark::Bad, "name", text, name_advice(context));
        }
    }
    false
}

fn failed(section: &mut Section, name: &str, response: &Probe, error: &FetchError, hint: &str) {
    let name = if response.tls_failed { "TLS" } else { name };
    section.add_failure(name, error, hint);
}

fn connection(url: &str, response: &Probe, context: &Context<'_>, section: &mut Section) {
    if let Some(shown) = &response.certificate {
        match certificate::validity(shown) {
            Some((_, until)) if until - context.now < SOON => {
                let text = format!("the certificate ends {}", relative(until - context.now));
                section.add(Mark::Note, "TLS", text);
            }
            Some((_, until)) => {
                let text = format!("trusted; it ends {}", relative(until - context.now));
                section.add(Mark::Good, "TLS", text);
            }
            None => section.add(Mark::Good, "TLS", "trusted"),
        }
    } else if url.starts_with("http://") {
        section.add(
            Mark::Note,
            "TLS",
            "none: plain http, which is allowed on loopback only",
        );
    }
    if let Some(ahead) = response.ahead {
        clock(ahead, response.took, context, section);
    }
}

fn clock(ahead: f64, took: Duration, context: &Context<'_>, section: &mut Section) {
    let leeway = context.config.leeway.as_secs_f64();
    // `Date` has no fractions, and we don't know how long the response was on its way
    let uncertainty = 0.5 + took.as_secs_f64() / 2.0;
    if ahead.abs() <= uncertainty + 0.5 {
        section.add(Mark::Good, "clock", "same as the issuer's");
        return;
    }
    let text = format!("{} the issuer's", time_format::ahead(ahead));
    if ahead.abs() > leeway + uncertainty {
        let more = format!(
            "beyond AUTH0_LEEWAY, {}; correct the clock, with NTP",
            length(leeway)
        );
        section.add_more(Mark::Bad, "clock", text, more);
    } else {
        let more = format!("within AUTH0_LEEWAY, {}", length(leeway));
        section.add_more(Mark::Note, "clock", text, more);
    }
}

fn took(section: &mut Section, name: &str, url: &str, response: &Probe, more: &str) {
    let mark = if response.took > SLOW {
        Mark::Note
    } else {
        Mark::Good
    };
    let more = [millis(response.took), more.to_owned()];
    let more = more.iter().filter(|more| !more.is_empty());
    let more: Vec<_> = more.map(String::as_str).collect();
    section.add_more(mark, name, ShownUrl::new(url).to_string(), more.join(", "));
}

fn millis(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

/// Adds findings about the algorithms that the issuer offers for ID tokens, and returns the
/// supported ones. They are only notes, since access tokens may use other algorithms.
fn offers(body: &[u8], context: &Context<'_>, section: &mut Section) -> Vec<Algorithm> {
    let metadata = metadata(body);
    let offered = metadata["id_token_signing_alg_values_supported"].as_array();
    let offered: Vec<_> = offered
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let allowed = &context.config.algorithms;
    if offered.contains(&"none") {
        let text = "the issuer offers alg none; the service never accepts such a token";
        section.add(Mark::Note, "algorithms", text);
    }
    if offered.contains(&"HS256") && !allowed.contains(&Algorithm::HS256) {
        let text = "the issuer offers HS256; the service rejects tokens that are signed with it";
        section.add(Mark::Note, "algorithms", text);
    }
    // Parsed, because an algorithm may have a second name (RFC 9864)
    let known = offered.iter().filter_map(|name| name.parse().ok());
    let known: Vec<Algorithm> = known.collect();
    let missing = allowed.iter().filter(|alg| !known.contains(alg));
    let missing: Vec<_> = missing.map(|alg| alg.as_str()).collect();
    if !offered.is_empty() && !missing.is_empty() {
        let text = format!(
            "configured, but not offered by the issuer: {}",
            missing.join(", ")
        );
        section.add(Mark::Note, "algorithms", text);
    }
    known
}
