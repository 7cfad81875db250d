//! [`Client`]: asks the introspection endpoint of one issuer about one token (RFC 7662 §2).
//!
//! Follows no redirects, reads at most 64 KiB, and waits at most 2 s. Caches only the address of
//! the endpoint.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use reqwest::{
    StatusCode, Url,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;
use tokio::{sync::Mutex, task::spawn_blocking, time::Instant};

use crate::auth::{
    display::{ShownText, ShownUrl},
    error::UrlFault,
    introspection::{
        answer::{Answer, read},
        credentials::{Credentials, SecretPlacement, form},
    },
    keys::{
        discovery, document,
        fetch::{self, Access, FetchError, FetchUrl, Fetcher},
    },
    token::json,
};

/// The timeout of one request, discovery included.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum size of an answer in bytes.
const MAX_BODY: usize = 64 * 1024;

/// How long a discovered endpoint is used before discovery is repeated.
const DISCOVERED_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The client for one issuer's endpoint.
#[derive(Debug)]
pub(in crate::auth) struct Client {
    issuer: Arc<str>,
    /// The configured address. `None` if it is discovered.
    configured: Option<Url>,
    credentials: Credentials,
    fetcher: Arc<Fetcher>,
    access: Access,
    endpoint: ArcSwapOption<Endpoint>,
    /// Locked during discovery, so that concurrent requests share one discovery.
    discovering: Mutex<()>,
}

/// An endpoint, and the HTTP client that keeps connections to it.
#[derive(Debug)]
struct Endpoint {
    url: Url,
    client: reqwest::Client,
    placement: SecretPlacement,
    /// `None` if the address is configured.
    discovered: Option<Instant>,
}

/// The reason why there is no readable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no endpoint: {0}")]
    Discovery(FetchError),
    #[error("{0} has no introspection_endpoint")]
    NoEndpoint(ShownUrl),
    #[error("the introspection_endpoint of the issuer, {0:?}, {1}")]
    BadEndpoint(ShownUrl, UrlFault),
    #[error(transparent)]
    Http(FetchError),
    #[error("{0} answered {1}: it rejects the client's credentials")]
    Denied(ShownUrl, StatusCode),
    #[error("{0} answered with more than 64 KiB")]
    TooLarge(ShownUrl),
    #[error("{0} answered with a document that is not a JSON object with a boolean \"active\"")]
    Unreadable(ShownUrl),
    #[error("the answer of {0} is about another token")]
    OtherToken(ShownUrl),
    #[error("the client assertion cannot be signed")]
    Unsigned,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    introspection_endpoint: Option<String>,
    introspection_endpoint_auth_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Client {
    pub(super) fn new(
        issuer: Arc<str>,
        configured: Option<Url>,
        credentials: Credentials,
        fetcher: Arc<Fetcher>,
        access: Access,
    ) -> Self {
        Self {
            issuer,
            configured,
            credentials,
            fetcher,
            access,
            endpoint: ArcSwapOption::empty(),
            discovering: Mutex::new(()),
        }
    }

    /// Asks about a token.
    pub(super) async fn ask(&self, token: &str) -> Result<Answer, AskError> {
        let timed_out = || AskError::Http(FetchError::TimedOut(TIMEOUT));
        let asked = tokio::time::timeout(TIMEOUT, self.ask_without_limit(token));
        asked.await.unwrap_or_else(|_| Err(timed_out()))
    }

    async fn ask_without_limit(&self, token: &str) -> Result<Answer, AskError> {
        let endpoint = self.endpoint().await?;
        let url = &endpoint.url;
        let credentials = &self.credentials;
        let own = credentials.parameters(endpoint.placement, &self.issuer);
        let own = own.ok_or(AskError::Unsigned)?;
        let asked = [("token", token), ("token_type_hint", "access_token")];
        let own = own.iter().map(|(name, value)| (*name, &**value));
        let mut request = endpoint
            .client
            .post(url.clone())
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form(asked.into_iter().chain(own)));
        if let Some(field) = credentials.authorization(endpoint.placement) {
            request = request.header(AUTHORIZATION, field);
        }
        let failed = |error| AskError::Http(fetch::unreachable(url, &error));
        let answer = request.send().await.map_err(failed)?;
        match answer.status() {
            StatusCode::OK => {}
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(AskError::Denied(url.into(), status));
            }
            status if status.is_redirection() => {
                return Err(AskError::Http(FetchError::Redirect(url.into())));
            }
            status => {
                return Err(AskError::Http(FetchError::Status {
                    url: url.into(),
                    status,
                    retry_after: None,
                }));
            }
        }
        let body = fetch::body(answer, MAX_BODY).await;
        let body = body.map_err(|error| match error {
            FetchError::TooLarge(url) => AskError::TooLarge(url),
            error => AskError::Http(error),
        })?;
        read(body).ok_or_else(|| AskError::Unreadable(url.into()))
    }

    /// Returns the error of an answer that is about another token.
    pub(super) fn other_token(&self) -> AskError {
        let endpoint = self.endpoint.load();
        let url = endpoint
            .as_ref()
            .map(|endpoint| ShownUrl::from(&endpoint.url));
        AskError::OtherToken(url.unwrap_or_else(|| ShownUrl::new(&self.issuer)))
    }

    /// Returns the endpoint. It is discovered when it is first needed, and again each day. If a
    /// later discovery fails, the known endpoint stays in use.
    async fn endpoint(&self) -> Result<Arc<Endpoint>, AskError> {
        if let Some(endpoint) = self.current() {
            return Ok(endpoint);
        }
        let _turn = self.discovering.lock().await;
        if let Some(endpoint) = self.current() {
            return Ok(endpoint);
        }
        let found = match &self.configured {
            Some(url) => {
                let target = FetchUrl::configured(url.clone()).with_access(self.access.clone());
                Endpoint::new(&target, SecretPlacement::Basic, None).await
            }
            None => self.discover().await,
        };
        match (found, self.endpoint.load_full()) {
            (Ok(endpoint), _) => {
                let endpoint = Arc::new(endpoint);
                self.endpoint.store(Some(Arc::clone(&endpoint)));
                Ok(endpoint)
            }
            (Err(_), Some(known)) => Ok(known),
            (Err(error), None) => Err(error),
        }
    }

    fn current(&self) -> Option<Arc<Endpoint>> {
        let is_current = |endpoint: &Arc<Endpoint>| {
            endpoint
                .discovered
                .is_none_or(|at| at.elapsed() < DISCOVERED_TTL)
        };
        self.endpoint.load_full().filter(is_current)
    }

    async fn discover(&self) -> Result<Endpoint, AskError> {
        let well_known = discovery::well_known(&self.issuer)
            .map_err(|fault| AskError::BadEndpoint((&*self.issuer).into(), fault))?;
        let metadata_url = FetchUrl::configured(well_known).with_access(self.access.clone());
        let document = self.fetcher.get(&metadata_url).await;
        let document = document.map_err(AskError::Discovery)?;
        let metadata: Metadata = document::text(&document.body)
            .and_then(|text| json::object_as(text).ok())
            .ok_or_else(|| {
                AskError::Discovery(FetchError::NoMetadata(metadata_url.url().into()))
            })?;
        if metadata.issuer != *self.issuer {
            let error = FetchError::wrong_issuer(&self.issuer, &metadata.issuer);
            return Err(AskError::Discovery(error));
        }
        let endpoint = metadata.introspection_endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| AskError::NoEndpoint(metadata_url.url().into()))?;
        let target = discovery::published(endpoint, metadata_url.url());
        let target = target.map_err(|error| match error {
            FetchError::JwksUri(url, fault) => AskError::BadEndpoint(url, fault),
            other => AskError::Discovery(other),
        })?;
        let target = target.with_access_of(&metadata_url);
        Endpoint::new(&target, metadata.placement(), Some(Instant::now())).await
    }
}

impl Metadata {
    /// Returns where to send the secret: in the form only if Basic is not allowed. If the metadata
    /// do not list methods for this endpoint, the list for the token endpoint usually applies.
    fn placement(&self) -> SecretPlacement {
        let methods = self.introspection_endpoint_auth_methods_supported.as_ref();
        let methods = methods.or(self.token_endpoint_auth_methods_supported.as_ref());
        let allows = |name: &str| methods.is_some_and(|all| all.iter().any(|one| one == name));
        if allows("client_secret_post") && !allows("client_secret_basic") {
            SecretPlacement::Form
        } else {
            SecretPlacement::Basic
        }
    }
}

impl Endpoint {
    /// Builds the HTTP client on another thread. Reading certificate authorities takes about 70 ms
    /// and would block a single-threaded runtime for that long.
    async fn new(
        target: &FetchUrl,
        placement: SecretPlacement,
        discovered: Option<Instant>,
    ) -> Result<Self, AskError> {
        let url = target.url();
        let built = if url.scheme() == "http" {
            build(target)
        } else {
            let target = target.clone();
            let built = spawn_blocking(move || build(&target)).await;
            built.unwrap_or_else(|error| {
                let (cause, layer) = (ShownText::message(error), fetch::Layer::Connect);
                Err(FetchError::Unreachable(url.into(), cause, layer))
            })
        };
        Ok(Self {
            client: built.map_err(AskError::Http)?,
            url: url.clone(),
            placement,
            discovered,
        })
    }
}

/// Builds a client that keeps connections open, because introspection is frequent, unlike key
/// fetches.
fn build(target: &FetchUrl) -> Result<reqwest::Client, FetchError> {
    let builder = target
        .builder()?
        .pool_max_idle_per_host(16)
        .pool_idle_timeout(Duration::from_secs(20));
    let built = builder.build();
    built.map_err(|error| fetch::unreachable(target.url(), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_the_form_only_if_basic_is_not_allowed() {
        let placement = |own: Option<&[&str]>, token: Option<&[&str]>| {
            let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let metadata = Metadata {
                issuer: String::new(),
                introspection_endpoint: None,
                introspection_endpoint_auth_methods_supported: own.map(list),
                token_endpoint_auth_methods_supported: token.map(list),
            };
            metadata.placement()
        };
        let (basic, post) = ("client_secret_basic", "client_secret_post");
        for (case, own, token, expected) in [
            ("nothing announced", None, None, SecretPlacement::Basic),
            (
                "both",
                Some(&[post, basic][..]),
                None,
                SecretPlacement::Basic,
            ),
            ("form only", Some(&[post][..]), None, SecretPlacement::Form),
            (
                "neither",
                Some(&["private_key_jwt"][..]),
                None,
                SecretPlacement::Basic,
            ),
            (
                "of the token endpoint",
                None,
                Some(&[post][..]),
                SecretPlacement::Form,
            ),
            (
                "its own list wins",
                Some(&[basic][..]),
                Some(&[post][..]),
                SecretPlacement::Basic,
            ),
        ] {
            assert_eq!(placement(own, token), expected, "{case}");
        }
    }
}
