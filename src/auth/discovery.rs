//! An issuer → its metadata → the address of its key set (OpenID Connect Discovery §4, RFC 8414).

use reqwest::Url;
use serde::Deserialize;

use super::error::UrlFault;
use super::fetch::{Answer, FetchError, Fetcher, endpoint, is_loopback};
use super::json;

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Asks the issuer where its keys are.
pub(crate) async fn jwks_uri(fetcher: &Fetcher, issuer: &str) -> Result<Url, FetchError> {
    let url = well_known(issuer).map_err(|fault| FetchError::JwksUri(issuer.into(), fault))?;
    let Answer::Document { body, .. } = fetcher.get(&url, None).await? else {
        return Err(FetchError::NoMetadata((&url).into()));
    };
    read(&body, &url, issuer)
}

/// What the metadata at `url` say of the keys of `issuer`.
pub(super) fn read(body: &[u8], url: &Url, issuer: &str) -> Result<Url, FetchError> {
    let text = std::str::from_utf8(body).ok();
    let metadata: Metadata = text
        .and_then(|text| json::object_as(text).ok())
        .ok_or_else(|| FetchError::NoMetadata(url.into()))?;
    // To the letter: two issuers that differ by a slash are two issuers (RFC 8414 §3.3).
    if metadata.issuer != issuer {
        return Err(FetchError::wrong_issuer(issuer, &metadata.issuer));
    }
    published(&metadata.jwks_uri, url)
        .map_err(|fault| FetchError::JwksUri((&*metadata.jwks_uri).into(), fault))
}

/// One slash at the end is stripped before the suffix is appended (OpenID Connect Discovery §4).
pub(super) fn well_known(issuer: &str) -> Result<Url, UrlFault> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    endpoint(&format!("{base}/.well-known/openid-configuration"))
}

/// An issuer elsewhere has no business with addresses of our own machine.
fn published(jwks_uri: &str, issuer: &Url) -> Result<Url, UrlFault> {
    let url = endpoint(jwks_uri)?;
    if is_loopback(&url) && !is_loopback(issuer) {
        return Err(UrlFault::NotHttps);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_stands_below_the_issuer() {
        for (issuer, expected) in [
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example/realms/b",
                "https://a.example/realms/b/.well-known/openid-configuration",
            ),
            (
                "https://a.example/b//",
                "https://a.example/b//.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(well_known(issuer).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn a_foreign_issuer_cannot_point_at_loopback() {
        let foreign = Url::parse("https://a.example/").unwrap();
        let here = Url::parse("http://127.0.0.1:1/").unwrap();
        assert!(published("http://127.0.0.1:2/keys", &foreign).is_err());
        assert!(published("https://b.example/keys", &foreign).is_ok());
        assert!(published("http://127.0.0.1:2/keys", &here).is_ok());
    }
}
