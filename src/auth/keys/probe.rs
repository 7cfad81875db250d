//! Fetches a document of an issuer for `check`, just as the refresher would. Also measures the
//! duration and the difference between the clocks, and returns the certificate.

use std::time::{Duration, Instant, SystemTime};

use reqwest::{Url, header, tls::TlsInfo};

use crate::auth::{
    keys::{
        discovery,
        fetch::{self, Access, Document, FetchError, FetchUrl, endpoint},
    },
    verifier::Auth,
};

#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) took: Duration,
    /// The seconds by which our clock is ahead of the issuer's. `Date` has no fractions, so the
    /// error can be up to half the duration of the request plus half a second.
    pub(crate) ahead: Option<f64>,
    /// The certificate of a TLS server, in DER.
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) tls_failed: bool,
    pub(crate) body: Result<Vec<u8>, FetchError>,
    pub(crate) max_age: Option<Duration>,
}

/// Fetches a configured URL. Gives up after `limit`.
pub(crate) async fn probe(url: &str, access: &Access, limit: Duration) -> Probe {
    match endpoint(url) {
        Ok(url) => {
            let target = FetchUrl::configured(url).with_access(access.clone());
            probe_url(&target, limit).await
        }
        Err(fault) => {
            let error = FetchError::JwksUri(url.into(), fault);
            Probe::failed(Duration::ZERO, error)
        }
    }
}

/// Fetches `target`. Gives up after `limit`.
pub(crate) async fn probe_url(target: &FetchUrl, limit: Duration) -> Probe {
    let (began, sent) = (Instant::now(), SystemTime::now());
    let mut probe = Probe::failed(limit, FetchError::TimedOut(limit));
    let Ok(outcome) = tokio::time::timeout(limit, ask(target, sent, &mut probe)).await else {
        return probe;
    };
    probe.took = began.elapsed();
    probe.body = match outcome {
        Ok(Document { body, max_age, .. }) => {
            probe.max_age = max_age;
            Ok(body)
        }
        Err(error) => Err(error),
    };
    probe
}

impl Probe {
    fn failed(took: Duration, error: FetchError) -> Self {
        Self {
            took,
            ahead: None,
            certificate: None,
            tls_failed: false,
            body: Err(error),
            max_age: None,
        }
    }
}

async fn ask(
    target: &FetchUrl,
    sent: SystemTime,
    probe: &mut Probe,
) -> Result<Document, FetchError> {
    let url = target.url();
    let mut client = target.builder().await?;
    if url.scheme() == "https" {
        client = client.tls_info(true);
    }
    let client = client
        .build()
        .map_err(|error| fetch::unreachable(url, &error))?;
    let answer = target
        .request(&client)
        .await?
        .send()
        .await
        .map_err(|error| {
            probe.tls_failed = url.scheme() == "https" && fetch::is_of_tls(&error);
            fetch::unreachable(url, &error)
        })?;
    probe.ahead = ahead(answer.headers(), sent);
    let shown = answer.extensions().get::<TlsInfo>();
    probe.certificate = shown
        .and_then(|tls| tls.peer_certificate())
        .map(<[u8]>::to_vec);
    fetch::document(url, answer).await
}

/// How far our clock is ahead of the issuer's, in seconds. We compare `Date` with the midpoint
/// between request and response. If the response comes from a cache, we add its `Age`.
fn ahead(headers: &header::HeaderMap, sent: SystemTime) -> Option<f64> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let date = httpdate::parse_http_date(date).ok()?;
    let age = fetch::seconds(headers.get(header::AGE)).unwrap_or_default();
    // `Age` can be as large as `u64::MAX`, and then the sum isn't a valid date
    let there = date
        .checked_add(age)?
        .checked_add(Duration::from_millis(500))?;
    let here = sent + sent.elapsed().unwrap_or_default() / 2;
    Some(match here.duration_since(there) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    })
}

pub(crate) fn metadata_of(issuer: &str) -> Option<Url> {
    discovery::well_known(issuer).ok()
}

/// The second URL of an issuer's metadata, to try if the first one does not exist.
pub(crate) fn other_metadata_of(issuer: &str) -> Option<Url> {
    discovery::well_known_oauth(issuer).ok()
}

/// Checks whether `error` makes the service try [`other_metadata_of`].
pub(crate) fn is_not_found(error: &FetchError) -> bool {
    discovery::is_not_found(error)
}

/// Whether the server has no document at the URL
pub(crate) fn is_missing(error: &FetchError) -> bool {
    matches!(error, FetchError::Status { status, .. } if [404, 405, 410].contains(&status.as_u16()))
}

/// The URL of the keys in the issuer's metadata, or the problem with the metadata.
pub(crate) fn jwks_uri(
    body: &[u8],
    url: &Url,
    issuer: &str,
    access: &Access,
) -> Result<FetchUrl, FetchError> {
    let found = discovery::read(body, url, issuer)?;
    let metadata = FetchUrl::configured(url.clone()).with_access(access.clone());
    Ok(found.with_access_of(&metadata))
}

impl Auth {
    /// The first issuer that sends a `Date`, and how far our clock is ahead of it, in seconds.
    pub(crate) async fn ahead(&self, limit: Duration) -> Option<(String, f64)> {
        for (issuer, _) in self.trusted_audiences() {
            let Some(url) = metadata_of(&issuer) else {
                continue;
            };
            if let Some(ahead) = probe(url.as_str(), &Access::default(), limit).await.ahead {
                return Some((issuer.to_string(), ahead));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_the_clocks_by_date_and_age() {
        let sent = SystemTime::now();
        let date = httpdate::fmt_http_date(sent - Duration::from_secs(100));
        for (case, age, expected) in [
            ("no age", None, Some(100.0)),
            ("an age", Some("60"), Some(40.0)),
            ("no number", Some("-1"), Some(100.0)),
            (
                "an age beyond every date",
                Some("18446744073709551615"),
                None,
            ),
            (
                "an age beyond 64 bits",
                Some("18446744073709551616"),
                Some(100.0 - f64::from(u32::MAX)),
            ),
        ] {
            let mut headers = header::HeaderMap::new();
            headers.insert(header::DATE, date.parse().unwrap());
            if let Some(age) = age {
                headers.insert(header::AGE, age.parse().unwrap());
            }
            let found = ahead(&headers, sent);
            // might be off by a second, `Date` has no fractions
            let is_near = found
                .zip(expected)
                .map(|(found, expected)| f64::abs(found - expected) < 2.0);
            assert_eq!(is_near, expected.map(|_| true), "{case}: {found:?}");
        }
    }
}
