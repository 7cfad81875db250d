//! One look at an address of an issuer's, as the keeper would take it, with what the keeper has no
//! use for: how long it took, what time it is there, and which certificate was shown.

use std::time::{Duration, Instant, SystemTime};

use reqwest::{Url, header, tls::TlsInfo};

use crate::auth::{
    keys::{
        discovery,
        fetch::{self, Document, FetchError, Place, endpoint},
    },
    verifier::Auth,
};

/// The result of one look.
#[derive(Debug)]
pub(crate) struct Look {
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

/// Looks at an address that the operator configured, for `limit` at most.
pub(crate) async fn look(url: &str, limit: Duration) -> Look {
    match endpoint(url) {
        Ok(url) => look_at(&Place::configured(url), limit).await,
        Err(fault) => {
            let error = FetchError::JwksUri(url.into(), fault);
            Look::failed(Duration::ZERO, &error)
        }
    }
}

/// Looks at `place`, for `limit` at most.
pub(crate) async fn look_at(place: &Place, limit: Duration) -> Look {
    let (began, sent) = (Instant::now(), SystemTime::now());
    let mut look = Look::failed(limit, &FetchError::TimedOut(limit));
    let Ok(outcome) = tokio::time::timeout(limit, ask(place, sent, &mut look)).await else {
        return look;
    };
    look.took = began.elapsed();
    look.body = match outcome {
        Ok(Document { body, max_age, .. }) => {
            look.max_age = max_age;
            Ok(body)
        }
        Err(error) => Err(error.to_string()),
    };
    look
}

impl Look {
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

async fn ask(place: &Place, sent: SystemTime, look: &mut Look) -> Result<Document, FetchError> {
    let url = place.url();
    let mut client = place.builder();
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
        look.is_no_tls = url.scheme() == "https" && fetch::is_of_tls(&error);
        fetch::unreachable(url, &error)
    })?;
    look.ahead = ahead(answer.headers(), sent);
    let shown = answer.extensions().get::<TlsInfo>();
    look.certificate = shown
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
pub(crate) fn jwks_uri(body: &[u8], url: &str, issuer: &str) -> Result<Place, String> {
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
            if let Some(ahead) = look(&url, limit).await.ahead {
                return Some((issuer.to_owned(), ahead));
            }
        }
        None
    }
}
