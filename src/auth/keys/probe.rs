//! Fetches one of an issuer's documents for `check`, as the refresher would, and measures the answer:
//! how long it took, what time it is there, and which certificate was shown.

use std::time::{Duration, Instant, SystemTime};

use reqwest::{Url, header, tls::TlsInfo};

use crate::auth::{
    keys::{
        discovery,
        fetch::{self, Document, FetchError, FetchUrl, endpoint},
    },
    verifier::Auth,
};

/// The result of one probe.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) took: Duration,
    /// How far our clock is ahead of the one there, in seconds, give or take half the time it took
    /// and half a second, since `Date` has no fractions.
    pub(crate) ahead: Option<f64>,
    /// The certificate of an answer over TLS, DER.
    pub(crate) certificate: Option<Vec<u8>>,
    /// It answers, and no TLS comes about.
    pub(crate) is_no_tls: bool,
    /// The document, or why there is none, in words.
    pub(crate) body: Result<Vec<u8>, String>,
    pub(crate) max_age: Option<Duration>,
}

/// Fetches from an address that the operator configured, for `limit` at most.
pub(crate) async fn probe(url: &str, limit: Duration) -> Probe {
    match endpoint(url) {
        Ok(url) => probe_url(&FetchUrl::configured(url), limit).await,
        Err(fault) => {
            let error = FetchError::JwksUri(url.into(), fault);
            Probe::failed(Duration::ZERO, &error)
        }
    }
}

/// Fetches from `target`, for `limit` at most.
pub(crate) async fn probe_url(target: &FetchUrl, limit: Duration) -> Probe {
    let (began, sent) = (Instant::now(), SystemTime::now());
    let mut probe = Probe::failed(limit, &FetchError::TimedOut(limit));
    let Ok(outcome) = tokio::time::timeout(limit, ask(target, sent, &mut probe)).await else {
        return probe;
    };
    probe.took = began.elapsed();
    probe.body = match outcome {
        Ok(Document { body, max_age, .. }) => {
            probe.max_age = max_age;
            Ok(body)
        }
        Err(error) => Err(error.to_string()),
    };
    probe
}

impl Probe {
    fn failed(took: Duration, error: &FetchError) -> Self {
        Self {
            took,
            ahead: None,
            certificate: None,
            is_no_tls: false,
            body: Err(error.to_string()),
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
    let mut client = target.builder();
    if url.scheme() == "https" {
        client = client.tls_info(true);
    }
    let client = client
        .build()
        .map_err(|error| fetch::unreachable(url, &error))?;
    let asked = client
        .get(url.clone())
        .header(header::ACCEPT, "application/json");
    let answer = asked.send().await.map_err(|error| {
        probe.is_no_tls = url.scheme() == "https" && fetch::is_of_tls(&error);
        fetch::unreachable(url, &error)
    })?;
    probe.ahead = ahead(answer.headers(), sent);
    let shown = answer.extensions().get::<TlsInfo>();
    probe.certificate = shown
        .and_then(|tls| tls.peer_certificate())
        .map(<[u8]>::to_vec);
    fetch::document(url, answer).await
}

/// Our clock, halfway between question and answer, less the one there, which an answer out of a
/// cache has told as long ago as its `Age` says.
fn ahead(headers: &header::HeaderMap, sent: SystemTime) -> Option<f64> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let date = httpdate::parse_http_date(date).ok()?;
    let age = fetch::seconds(headers.get(header::AGE)).unwrap_or_default();
    let there = date + age + Duration::from_millis(500);
    let here = sent + sent.elapsed().unwrap_or_default() / 2;
    Some(match here.duration_since(there) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    })
}

/// Returns the address of an issuer's metadata.
pub(crate) fn metadata_of(issuer: &str) -> Option<String> {
    discovery::well_known(issuer).ok().map(String::from)
}

/// Returns where the issuer's metadata say that its keys are, or what is wrong with the metadata.
pub(crate) fn jwks_uri(body: &[u8], url: &str, issuer: &str) -> Result<FetchUrl, String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    discovery::read(body, &url, issuer).map_err(|error| error.to_string())
}

impl Auth {
    /// How far our clock is ahead of the first issuer's that tells the time, and whose that is.
    pub(crate) async fn ahead(&self, limit: Duration) -> Option<(String, f64)> {
        for (issuer, _) in self.trusts() {
            let Some(url) = metadata_of(issuer) else {
                continue;
            };
            if let Some(ahead) = probe(&url, limit).await.ahead {
                return Some((issuer.to_owned(), ahead));
            }
        }
        None
    }
}
