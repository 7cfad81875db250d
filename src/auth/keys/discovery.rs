//! Finds the URL of an issuer's key set in its metadata (OpenID Connect Discovery §4, RFC 8414).

use reqwest::{StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};

use crate::auth::{
    error::UrlFault,
    keys::{
        document,
        fetch::{Access, FetchError, FetchUrl, Fetcher, endpoint},
        locality::{is_here, local_host},
    },
    token::json,
};

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: Option<String>,
}

/// Fetches the issuer's metadata and returns the URL of its key set.
pub(crate) async fn jwks_uri(
    fetcher: &Fetcher,
    issuer: &str,
    access: &Access,
) -> Result<FetchUrl, FetchError> {
    let (at, body) = metadata(fetcher, issuer, access).await?;
    let found = read(&body, at.url(), issuer)?;
    Ok(found.with_access_of(&at))
}

/// The URL of the key set that was discovered before a reload, with the settings after it.
pub(in crate::auth) fn known(url: &Url, issuer: &str, access: &Access) -> Option<FetchUrl> {
    let metadata = well_known(issuer).ok()?;
    let known = published(url.as_str(), &metadata).ok()?;
    let metadata = FetchUrl::configured(metadata).with_access(access.clone());
    Some(known.with_access_of(&metadata))
}

/// Fetches the issuer's metadata, and returns its URL too. If there's no OpenID document, we try
/// the URL of RFC 8414.
pub(in crate::auth) async fn metadata(
    fetcher: &Fetcher,
    issuer: &str,
    access: &Access,
) -> Result<(FetchUrl, Vec<u8>), FetchError> {
    let no_url = |fault| FetchError::JwksUri(issuer.into(), fault);
    let url = well_known(issuer).map_err(no_url)?;
    let error = match ask(fetcher, url, access).await {
        Err(error) if is_not_found(&error) => error,
        asked => return asked,
    };
    let url = well_known_oauth(issuer).map_err(no_url)?;
    let other = ask(fetcher, url, access).await;
    // if that one doesn't exist either, return the error for the first URL
    other.map_err(|other| if is_not_found(&other) { error } else { other })
}

async fn ask(
    fetcher: &Fetcher,
    url: Url,
    access: &Access,
) -> Result<(FetchUrl, Vec<u8>), FetchError> {
    let target = FetchUrl::configured(url).with_access(access.clone());
    let document = fetcher.get(&target).await?;
    Ok((target, document.body))
}

pub(in crate::auth) fn is_not_found(error: &FetchError) -> bool {
    matches!(error, FetchError::Status { status, .. } if *status == StatusCode::NOT_FOUND)
}

/// The URL of the keys from the metadata of `issuer`, which was fetched from `url`.
pub(in crate::auth) fn read(body: &[u8], url: &Url, issuer: &str) -> Result<FetchUrl, FetchError> {
    let metadata: Metadata = parse(body, url, &["issuer", "jwks_uri"])?;
    // Compare exactly: issuers that differ only by a slash are different issuers (RFC 8414 §3.3).
    if metadata.issuer != issuer {
        let jwks_uri = metadata.jwks_uri.as_deref();
        let usable = jwks_uri.filter(|jwks_uri| published(jwks_uri, url).is_ok());
        return Err(FetchError::wrong_issuer(issuer, &metadata.issuer).with_jwks_uri(usable));
    }
    let jwks_uri = metadata.jwks_uri;
    let jwks_uri = jwks_uri.ok_or_else(|| FetchError::NoJwksUri(url.into()))?;
    published(&jwks_uri, url)
}

/// Parses the metadata that was fetched from `url`. `required` names the members that `T` requires
/// (only for the error message).
pub(in crate::auth) fn parse<T: DeserializeOwned>(
    body: &[u8],
    url: &Url,
    required: &[&str],
) -> Result<T, FetchError> {
    document::text(body)
        .and_then(|text| json::object_as(text).ok())
        .ok_or_else(|| FetchError::NoMetadata(url.into(), document::fault(body, required)))
}

/// The URL of an issuer's metadata: the name without a trailing slash, and the well-known suffix
/// (OpenID Connect Discovery §4).
pub(in crate::auth) fn well_known(issuer: &str) -> Result<Url, UrlFault> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    endpoint(&format!("{base}/.well-known/openid-configuration"))
}

/// The same for RFC 8414 §3.1. Here the well-known path is inserted before the path of the issuer,
/// and a trailing slash is removed.
pub(in crate::auth) fn well_known_oauth(issuer: &str) -> Result<Url, UrlFault> {
    let mut url = endpoint(issuer)?;
    let path = url.path().strip_suffix('/').unwrap_or(url.path());
    let path = format!("/.well-known/oauth-authorization-server{path}");
    url.set_path(&path);
    Ok(url)
}

/// Creates the [`FetchUrl`] for a URL in an issuer's metadata, and decides whether it is
/// [guarded](crate::auth::keys::locality). `metadata` is the configured URL of the metadata.
///
/// Two kinds of URLs aren't guarded: URLs on this machine if the issuer is on this machine, and
/// URLs with the same origin as the metadata. We send requests to that origin anyway.
pub(in crate::auth) fn published(jwks_uri: &str, metadata: &Url) -> Result<FetchUrl, FetchError> {
    let is_trusted = |url: &Url| is_here(metadata) || url.origin() == metadata.origin();
    if let Ok(url) = Url::parse(jwks_uri)
        && !is_trusted(&url)
        && let Some(host) = local_host(&url)
    {
        return Err(FetchError::local(&url, host));
    }
    let url = endpoint(jwks_uri).map_err(|fault| FetchError::JwksUri(jwks_uri.into(), fault))?;
    if is_trusted(&url) {
        return Ok(FetchUrl::configured(url));
    }
    Ok(FetchUrl::guarded(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_the_well_known_path_to_the_issuer() {
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
    fn inserts_the_rfc_8414_path_before_the_issuers_path() {
        for (issuer, expected) in [
            (
                "https://a.example",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example:1/b/c",
                "https://a.example:1/.well-known/oauth-authorization-server/b/c",
            ),
            (
                "https://a.example/b/",
                "https://a.example/.well-known/oauth-authorization-server/b",
            ),
        ] {
            assert_eq!(well_known_oauth(issuer).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn skips_one_byte_order_mark() {
        let issuer = "https://a.example/";
        let url = well_known(issuer).unwrap();
        for (marks, expected) in [(0, true), (1, true), (2, false)] {
            let document = r#"{"issuer":"https://a.example/","jwks_uri":"https://a.example/keys"}"#;
            let document = format!("{}{document}", "\u{feff}".repeat(marks));
            let found = read(document.as_bytes(), &url, issuer);
            assert_eq!(found.is_ok(), expected, "{marks}");
        }
    }

    #[test]
    fn only_local_issuers_may_name_local_addresses() {
        let foreign = Url::parse("https://a.example/.well-known/openid-configuration").unwrap();
        let here = Url::parse("http://127.0.0.1:1/.well-known/openid-configuration").unwrap();
        for local in [
            "http://127.0.0.1:2/keys",
            "https://127.0.0.1/keys",
            "https://0.0.0.0/keys",
            "https://[::]/keys",
            "https://[::ffff:127.0.0.1]/keys",
            "https://[fe80::1]/keys",
            "https://169.254.169.254/keys",
            "https://0x7f.1/keys",
            "https://localhost/keys",
            "https://localhost./keys",
            "https://a.localhost/keys",
        ] {
            let refused = published(local, &foreign);
            let is_refused = matches!(refused, Err(FetchError::Local { .. }));
            assert!(is_refused, "{local}: {refused:?}");
            if endpoint(local).is_ok() {
                assert!(published(local, &here).is_ok(), "{local}");
            }
        }
        for elsewhere in ["https://b.example/keys", "https://a.example:8443/keys"] {
            let target = published(elsewhere, &foreign).unwrap();
            assert!(target.is_guarded(), "{elsewhere}");
        }
        let own = published("https://a.example/keys", &foreign).unwrap();
        assert!(!own.is_guarded(), "its own origin, which was configured");
        let link = Url::parse("https://169.254.1.1/.well-known/openid-configuration").unwrap();
        assert!(published("https://127.0.0.1/keys", &link).is_err());
        assert!(published("https://169.254.1.1/keys", &link).is_ok());
        let plain = published("http://b.example/keys", &foreign);
        assert!(matches!(plain, Err(FetchError::JwksUri(..))));
    }

    #[tokio::test]
    async fn refuses_to_connect_to_a_name_that_resolves_to_loopback() {
        // `localhost` would be rejected by its name, so skip that check and resolve it
        let target = FetchUrl::guarded(Url::parse("https://localhost:1/keys").unwrap());
        let refused = Fetcher::default().get(&target).await.unwrap_err();
        assert!(matches!(refused, FetchError::Local { .. }), "{refused}");
        let configured = FetchUrl::configured(target.url().clone());
        let refused = Fetcher::default().get(&configured).await.unwrap_err();
        assert!(matches!(refused, FetchError::Unreachable(..)), "{refused}");
    }
}
