//! One issuer, from its name to its keys.

use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::Value;

use crate::{
    auth::{
        Algorithm,
        display::{ShownText, ShownUrl},
        keys::{
            fetch::FetchUrl,
            probe::{self, Probe},
        },
        token::json,
    },
    service::{
        cli::{
            check::{Section, certificate, keys},
            terminal::Mark,
            time_format::{self, length, relative},
        },
        config::Config,
    },
};

/// What to examine an issuer by.
pub(in crate::service) struct Plan<'a> {
    pub(in crate::service) config: &'a Config,
    /// Whether requests over https leave by a proxy, which then resolves the names.
    pub(in crate::service) proxied: bool,
    /// In seconds since the epoch.
    pub(in crate::service) now: f64,
}

/// An answer that takes longer is worth a look.
const SLOW: Duration = Duration::from_secs(1);
/// A certificate that ends sooner is worth a look.
const SOON: f64 = 14.0 * 86400.0;

/// Examines one issuer. `tell` hears what is asked, before it is.
pub(in crate::service) async fn examine(
    issuer: &str,
    plan: &Plan<'_>,
    tell: impl Fn(&str),
) -> Section {
    let mut section = Section::new(format!("Issuer {issuer}"));
    let config = plan.config;
    if config.algorithms == [Algorithm::HS256] {
        let text = "none to fetch: HS256 is verified with AUTH0_SIGNING_SECRET";
        section.add(Mark::Good, "keys", text);
        return section;
    }
    if let Some(path) = &config.jwks_file {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(document) => keys::judge(&mut section, &document, &name, plan),
            Err(error) => section.add(Mark::Bad, "keys", format!("{name}: {error}")),
        }
        return section;
    }
    let seen = match &config.jwks_uri {
        Some(address) => {
            section.add(Mark::Plain, "discovery", "not asked: AUTH0_JWKS_URI is set");
            if resolve(address, plan, &mut section, &tell).await {
                tell(address);
                let probe = probe::probe(address, config.jwks_timeout).await;
                Some((address.clone(), probe))
            } else {
                None
            }
        }
        None => match discover(issuer, plan, &mut section, &tell).await {
            Some(target) => {
                let address = target.url().to_string();
                tell(&address);
                let probe = probe::probe_url(&target, config.jwks_timeout).await;
                Some((address, probe))
            }
            None => None,
        },
    };
    if let Some((address, probe)) = seen {
        if config.jwks_uri.is_some() {
            connection(&address, &probe, plan, &mut section);
        }
        match &probe.body {
            Ok(document) => {
                let fresh = probe.max_age.map_or("no max-age".to_owned(), |age| {
                    format!("max-age {}", length(age.as_secs_f64()))
                });
                took(&mut section, "key set", &address, &probe, &fresh);
                keys::judge(&mut section, document, &address, plan);
            }
            Err(why) => failed(&mut section, "key set", &probe, why),
        }
    }
    section
}

/// Returns the address of the keys, if the issuer names one that can be used.
async fn discover(
    issuer: &str,
    plan: &Plan<'_>,
    section: &mut Section,
    tell: &impl Fn(&str),
) -> Option<FetchUrl> {
    let url = probe::metadata_of(issuer)?;
    if !resolve(&url, plan, section, tell).await {
        return None;
    }
    tell(&url);
    let probe = probe::probe(&url, plan.config.jwks_timeout).await;
    connection(&url, &probe, plan, section);
    let body = match &probe.body {
        Ok(body) => body,
        Err(why) => {
            failed(section, "discovery", &probe, why);
            return None;
        }
    };
    match probe::jwks_uri(body, &url, issuer) {
        Ok(address) => {
            took(section, "discovery", &url, &probe, "");
            section.add(Mark::Good, "issuer", "calls itself so, to the letter");
            offers(body, plan, section);
            Some(address)
        }
        Err(why) => {
            section.add(Mark::Bad, "issuer", why);
            None
        }
    }
}

/// Whether there is somebody to ask.
async fn resolve(url: &str, plan: &Plan<'_>, section: &mut Section, tell: &impl Fn(&str)) -> bool {
    let url = Url::parse(url).ok();
    let target = url.as_ref().and_then(|url| {
        let port = url.port_or_known_default()?;
        Some((url.scheme(), url.host_str()?, port))
    });
    // Whoever asks says what is wrong with it.
    let Some((scheme, host, port)) = target else {
        return true;
    };
    if plan.proxied && scheme == "https" {
        let text = "left to the proxy that the environment names";
        section.add(Mark::Plain, "name", text);
        return true;
    }
    tell(host);
    let began = Instant::now();
    let host = host.trim_matches(['[', ']']);
    let found = tokio::net::lookup_host((host, port));
    match tokio::time::timeout(plan.config.jwks_timeout, found).await {
        Ok(Ok(addresses)) => {
            let addresses = addresses.map(|address| address.ip().to_string());
            let text = addresses.collect::<Vec<_>>().join(", ");
            section.add_more(Mark::Good, "name", text, millis(began.elapsed()));
            return true;
        }
        Ok(Err(error)) => {
            let (host, error) = (ShownText::new(host), ShownText::message(error));
            section.add(Mark::Bad, "name", format!("{host}: {error}"));
        }
        Err(_) => {
            let host = ShownText::new(host);
            section.add(Mark::Bad, "name", format!("{host}: no answer in time"));
        }
    }
    false
}

/// What there is no document for.
fn failed(section: &mut Section, name: &str, probe: &Probe, why: &str) {
    if probe.is_no_tls {
        let more = "SSL_CERT_FILE names certificate authorities of your own";
        return section.add_more(Mark::Bad, "TLS", why, more);
    }
    section.add(Mark::Bad, name, why);
}

/// What an answer says beside its document: the certificate, and the time.
fn connection(url: &str, probe: &Probe, plan: &Plan<'_>, section: &mut Section) {
    if let Some(shown) = &probe.certificate {
        match certificate::validity(shown) {
            Some((_, until)) if until - plan.now < SOON => {
                let text = format!("the certificate ends {}", relative(until - plan.now));
                section.add(Mark::Note, "TLS", text);
            }
            Some((_, until)) => {
                let text = format!("trusted; it ends {}", relative(until - plan.now));
                section.add(Mark::Good, "TLS", text);
            }
            None => section.add(Mark::Good, "TLS", "trusted"),
        }
    } else if url.starts_with("http://") {
        section.add(Mark::Note, "TLS", "none: plain http, which is for loopback");
    }
    if let Some(ahead) = probe.ahead {
        clock(ahead, probe.took, plan, section);
    }
}

fn clock(ahead: f64, took: Duration, plan: &Plan<'_>, section: &mut Section) {
    let leeway = plan.config.leeway.as_secs_f64();
    // `Date` has no fractions, and nobody knows how long each way took.
    let blur = 0.5 + took.as_secs_f64() / 2.0;
    if ahead.abs() <= blur + 0.5 {
        section.add(Mark::Good, "clock", "as the issuer's");
        return;
    }
    let text = format!("{} the issuer's", time_format::ahead(ahead));
    if ahead.abs() > leeway + blur {
        let more = format!(
            "beyond AUTH0_LEEWAY, {}; set it right, with NTP",
            length(leeway)
        );
        section.add_more(Mark::Bad, "clock", text, more);
    } else {
        let more = format!("within AUTH0_LEEWAY, {}", length(leeway));
        section.add_more(Mark::Note, "clock", text, more);
    }
}

fn took(section: &mut Section, name: &str, url: &str, probe: &Probe, more: &str) {
    let mark = if probe.took > SLOW {
        Mark::Note
    } else {
        Mark::Good
    };
    let more = [millis(probe.took), more.to_owned()];
    let more = more.iter().filter(|more| !more.is_empty());
    let more: Vec<_> = more.map(String::as_str).collect();
    section.add_more(mark, name, ShownUrl::new(url).to_string(), more.join(", "));
}

fn millis(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

/// Algorithms that the issuer can sign with and that should not be met here.
fn offers(metadata: &[u8], plan: &Plan<'_>, section: &mut Section) {
    let metadata = std::str::from_utf8(metadata).ok();
    let metadata = metadata
        .and_then(|text| json::value(text).ok())
        .unwrap_or_default();
    let offered = metadata["id_token_signing_alg_values_supported"].as_array();
    let offered: Vec<_> = offered
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if offered.contains(&"none") {
        let text = "the issuer offers alg none; such a token is never accepted here";
        section.add(Mark::Note, "algorithms", text);
    }
    if offered.contains(&"HS256") && !plan.config.algorithms.contains(&Algorithm::HS256) {
        let text = "the issuer offers HS256; tokens of an API that is set to it are refused here";
        section.add(Mark::Note, "algorithms", text);
    }
    let ours = plan.config.algorithms.iter().map(|alg| format!("{alg:?}"));
    let missing: Vec<_> = ours.filter(|alg| !offered.contains(&&**alg)).collect();
    if !offered.is_empty() && !missing.is_empty() {
        let text = format!(
            "accepted here and not offered there: {}",
            missing.join(", ")
        );
        section.add(Mark::Note, "algorithms", text);
    }
}
