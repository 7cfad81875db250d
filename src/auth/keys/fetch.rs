//! Fetches small JSON documents of an issuer, within limits.
//!
//! The fetcher follows no redirects, reads at most 512 KiB before and after decoding, and uses
//! https except on loopback. It knows nothing about key sets or schedules.

use std::{
    borrow::Cow,
    error::Error,
    io::{self, ErrorKind},
    iter,
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use once_cell::sync::OnceCell;
use reqwest::{
    Certificate, Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url,
    header::{self, HeaderMap, HeaderValue},
    redirect,
};
use tokio::task::JoinError;

use crate::auth::{
    blocking::Blocking,
    display::{ShownText, ShownUrl, settable},
    error::UrlFault,
    files::{self, FileReader},
    keys::{
        content_coding::{ContentCoding, Undecodable},
        key_set::NoKeys,
        locality::{Guard, Local},
        name_lookup::System,
        tls_error,
    },
};

const MAX_BODY: usize = 512 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Fetches documents. Its TLS client is built on first use.
#[derive(Debug, Default)]
pub(crate) struct Fetcher {
    secure: Arc<LazyClient>,
    /// The client for plain http, which is only allowed on loopback. It uses no proxy. It also
    /// loads no certificate authorities, because a minimal container image likely has none.
    plain: OnceCell<Client>,
}

/// An HTTP client that is built on first use.
#[derive(Debug, Default)]
struct LazyClient {
    client: OnceCell<Client>,
    building: Blocking<Client, reqwest::Error>,
}

impl LazyClient {
    /// Builds the client on a blocking thread: reading the certificate authorities and generating
    /// the first random number take about 70 ms, which would block a single-threaded runtime.
    async fn build(
        self: &Arc<Self>,
        builder: ClientBuilder,
    ) -> Result<Result<Client, reqwest::Error>, JoinError> {
        let lazy = Arc::clone(self);
        let build = move || {
            // Generate the first random number now. If this fails, the handshake fails too.
            let _ = aws_lc_rs::rand::fill(&mut [0]);
            lazy.client.get_or_try_init(|| builder.build()).cloned()
        };
        self.building.run(build).await
    }
}

/// Settings for an issuer's own URLs: certificate authorities, and a token to send.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    ca_file: Option<Arc<Path>>,
    token_file: Option<Arc<Path>>,
    reader: FileReader,
}

impl Access {
    pub(crate) fn new(ca_file: Option<&Path>, token_file: Option<&Path>) -> Self {
        Self {
            ca_file: ca_file.map(Into::into),
            token_file: token_file.map(Into::into),
            reader: FileReader::default(),
        }
    }

    /// The authorities in the file, if one is configured
    async fn authorities(&self) -> Result<Option<Vec<Certificate>>, FetchError> {
        let Some(path) = &self.ca_file else {
            return Ok(None);
        };
        let found = Certificate::from_pem_bundle(&self.read(path).await?).unwrap_or_default();
        if found.is_empty() {
            return Err(file_error(path, "has no certificate in PEM"));
        }
        Ok(Some(found))
    }

    /// The value of `Authorization`, if a token is configured
    async fn authorization(&self) -> Result<Option<HeaderValue>, FetchError> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let token = self.read(path).await?;
        let field = [b"Bearer ", token.trim_ascii()].concat();
        let mut field = HeaderValue::from_bytes(&field)
            .map_err(|_| file_error(path, "is not one line of text"))?;
        field.set_sensitive(true);
        Ok(Some(field))
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, FetchError> {
        let document = self.reader.read(path).await;
        document.map_err(|error| file_error(path, files::describe(error.kind())))
    }
}

fn file_error(path: &Path, reason: impl Into<Cow<'static, str>>) -> FetchError {
    FetchError::File(path.display().to_string(), reason.into())
}

#[derive(Debug, Clone)]
pub(crate) struct FetchUrl {
    url: Url,
    access: Access,
    /// The client for a URL from metadata, built on first use. It refuses to connect to local
    /// addresses. `None` if the URL is configured.
    guarded: Option<Arc<LazyClient>>,
}

impl PartialEq for FetchUrl {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl FetchUrl {
    /// A URL without a guard, which means that it may be local. It's either configured, or a
    /// published one that [`published`](crate::auth::keys::discovery::published) trusts like a
    /// configured one.
    pub(crate) fn configured(url: Url) -> Self {
        Self {
            url,
            access: Access::default(),
            guarded: None,
        }
    }

    /// A URL from an issuer's metadata. Fetching it fails if its host resolves to a
    /// [local](crate::auth::keys::locality) address.
    pub(in crate::auth) fn guarded(url: Url) -> Self {
        Self {
            guarded: Some(Arc::default()),
            ..Self::configured(url)
        }
    }

    pub(crate) fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Copies the settings from `metadata`, the URL of the document that contains this URL. We only
    /// copy the token if both have the same origin.
    pub(in crate::auth) fn with_access_of(self, metadata: &Self) -> Self {
        let is_own = self.url.origin() == metadata.url.origin();
        let access = Access {
            ca_file: metadata.access.ca_file.clone(),
            token_file: metadata.access.token_file.clone().filter(|_| is_own),
            reader: metadata.access.reader.clone(),
        };
        self.with_access(access)
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    #[cfg(test)]
    pub(in crate::auth) fn is_guarded(&self) -> bool {
        self.guarded.is_some()
    }

    pub(in crate::auth) async fn builder(&self) -> Result<ClientBuilder, FetchError> {
        let builder = match (self.url.scheme(), &self.guarded) {
            ("http", _) => return Ok(plain()),
            (_, None) => secure(),
            (_, Some(_)) => {
                let host = self.url.host_str().unwrap_or_default();
                secure().dns_resolver(Guard::new(host, System))
            }
        };
        Ok(match self.access.authorities().await? {
            None => builder,
            Some(authorities) => builder.tls_certs_only(authorities),
        })
    }

    pub(in crate::auth) async fn request(
        &self,
        client: &Client,
    ) -> Result<RequestBuilder, FetchError> {
        let mut request = client.get(self.url.clone());
        request = request
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(field) = self.access.authorization().await? {
            request = request.header(header::AUTHORIZATION, field);
        }
        Ok(request)
    }
}

/// A fetched document, and the parts of the response headers that are used
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) body: Vec<u8>,
    pub(crate) etag: Option<HeaderValue>,
    pub(crate) max_age: Option<Duration>,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Document(Document),
    NotModified { max_age: Option<Duration> },
}

/// Why a fetch failed.
///
/// The message is for the log, `check` and `explain`; `/readyz` is public and only shows the
/// [`word`](Self::word). We store URLs and untrusted strings as [`ShownUrl`] and [`ShownText`], so
/// no variant contains a secret or a very long string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0} cannot be reached: {1}")]
    Unreachable(ShownUrl, ShownText, Layer),
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
    #[error("{url} answered {status}")]
    Status {
        url: ShownUrl,
        status: StatusCode,
        retry_after: Option<Duration>,
        /// The body is an HTML page, so it may be from something before the issuer
        is_page: bool,
    },
    #[error(
        "{url} answered with a redirect{}, which is not followed",
        to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default()
    )]
    Redirect {
        url: ShownUrl,
        /// The target. `None` if there isn't one, or it isn't a URL.
        to: Option<ShownUrl>,
    },
    #[error("{0} answered with more than 512 KiB")]
    TooLarge(ShownUrl),
    #[error("{0} answered in the content coding {1:?}, and only gzip is supported")]
    Coding(ShownUrl, ShownText),
    #[error("{0} answered in the content coding gzip, but the body is not gzip")]
    NotGzip(ShownUrl),
    /// The second field is the [fault](crate::auth::keys::document::fault) of the document.
    #[error("{0} answered with a document that is not issuer metadata: {1}")]
    NoMetadata(ShownUrl, Cow<'static, str>),
    /// RFC 8414 §2 allows this. Such an issuer has only opaque tokens.
    #[error("{0} answered with issuer metadata that lack the member jwks_uri")]
    NoJwksUri(ShownUrl),
    #[error(
        "the issuer's name is {found:?}, but {configured:?} is configured{}",
        if *differs_by_slash { "; they differ only in the trailing slash" } else { "" }
    )]
    WrongIssuer {
        configured: ShownUrl,
        found: ShownUrl,
        /// The whole name, if we can recommend it as the value of a setting
        name: Option<Box<str>>,
        /// The URL of the keys in the same document, if we can recommend that
        jwks_uri: Option<Box<str>>,
        differs_by_slash: bool,
    },
    #[error("the jwks_uri of the issuer, {0:?}, {1}")]
    JwksUri(ShownUrl, UrlFault),
    #[error(
        "the issuer's metadata contains {url}, whose address {address} belongs to this machine, to its \
         local link or to a cloud metadata service; such an address must be configured, unless the \
         issuer is on this machine"
    )]
    Local { url: ShownUrl, address: ShownText },
    #[error("{0} has no usable key set: {1}")]
    NoKeys(ShownUrl, NoKeys),
    #[error("{0} {1}")]
    File(String, Cow<'static, str>),
}

/// The stage at which a request failed without a complete response
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Not connected: the name doesn't resolve, the connection was refused, or there's no route.
    Connect,
    /// Connected, but the TLS handshake failed.
    Tls,
    /// Connected, but the certificate is from an untrusted authority.
    Untrusted,
    /// The request was sent, but no complete response arrived.
    Answer,
    /// Not connected in time.
    Timeout,
}

impl FetchError {
    pub(in crate::auth) fn local(url: &Url, address: &str) -> Self {
        Self::Local {
            url: url.into(),
            address: ShownText::new(address),
        }
    }

    pub(in crate::auth) fn redirect(url: &Url, headers: &HeaderMap) -> Self {
        let location = headers.get(header::LOCATION);
        let to = location.and_then(|to| url.join(to.to_str().ok()?).ok());
        Self::Redirect {
            url: url.into(),
            to: to.as_ref().map(Into::into),
        }
    }

    pub(crate) fn wrong_issuer(configured: &str, found: &str) -> Self {
        let differs_by_slash = configured.trim_end_matches('/') == found.trim_end_matches('/');
        Self::WrongIssuer {
            configured: configured.into(),
            found: found.into(),
            name: settable(found).map(Into::into),
            jwks_uri: None,
            differs_by_slash,
        }
    }

    /// Adds the URL of the keys to an error about the issuer's name.
    pub(crate) fn with_jwks_uri(mut self, url: Option<&str>) -> Self {
        if let Self::WrongIssuer { jwks_uri, .. } = &mut self {
            *jwks_uri = url.and_then(settable).map(Into::into);
        }
        self
    }

    /// The error as a word from a fixed list. `docs/production.md` explains each word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Unreachable(_, _, Layer::Connect) => "connect",
            Self::Unreachable(_, _, Layer::Tls | Layer::Untrusted) => "tls",
            Self::Unreachable(_, _, Layer::Answer) => "broken_answer",
            Self::Unreachable(_, _, Layer::Timeout) | Self::TimedOut(_) => "timeout",
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::TooLarge(_) => "too_large",
            Self::Coding(..) | Self::NotGzip(_) => "content_coding",
            Self::NoMetadata(..) => "no_metadata",
            Self::NoJwksUri(_) => "no_jwks_uri",
            Self::WrongIssuer { .. } => "wrong_issuer",
            Self::JwksUri(..) | Self::Local { .. } => "bad_jwks_uri",
            Self::NoKeys(
                _,
                NoKeys::NotAKeySet(_)
                | NoKeys::NoMember
                | NoKeys::NotAKeyFile
                | NoKeys::OtherFile(_),
            ) => "no_key_set",
            Self::NoKeys(..) => "no_keys",
            Self::File(..) => "file",
        }
    }

    /// Returns `true` if no connection was established in time, or its TLS handshake failed. The
    /// address or the certificate authority may have changed.
    pub(in crate::auth) fn is_of_connection(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(
                _,
                _,
                Layer::Connect | Layer::Tls | Layer::Untrusted | Layer::Timeout
            )
        )
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Fetcher {
    /// Fetches the document at `target`. The request isn't conditional, so we should never see a
    /// 304 here, and if we do it's an error.
    pub(crate) async fn get(&self, target: &FetchUrl) -> Result<Document, FetchError> {
        let answer = self.send(target, None).await?;
        document(&target.url, answer).await
    }

    /// The conditional request: fetches only if the entity tag is not `etag`.
    pub(crate) async fn get_unless(
        &self,
        target: &FetchUrl,
        etag: &HeaderValue,
    ) -> Result<Answer, FetchError> {
        let answer = self.send(target, Some(etag)).await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            let max_age = max_age(answer.headers());
            return Ok(Answer::NotModified { max_age });
        }
        document(&target.url, answer).await.map(Answer::Document)
    }

    /// Sends a request, as part of the trace set by [`in_trace`]
    async fn send(
        &self,
        target: &FetchUrl,
        etag: Option<&HeaderValue>,
    ) -> Result<Response, FetchError> {
        let mut request = target.request(&self.client(target).await?).await?;
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        if let Some(traceparent) = traceparent() {
            request = request.header("traceparent", traceparent);
        }
        let answer = request.send().await;
        answer.map_err(|error| unreachable(&target.url, &error))
    }

    async fn client(&self, target: &FetchUrl) -> Result<Client, FetchError> {
        let url = &target.url;
        let failed = |error| unreachable(url, &error);
        if url.scheme() == "http" {
            let made = self.plain.get_or_try_init(|| plain().build());
            return made.cloned().map_err(failed);
        }
        // A configured file of authorities might change, so build a new client for each fetch.
        let own = Arc::default();
        let lazy = match &target.access.ca_file {
            Some(_) => &own,
            None => target.guarded.as_ref().unwrap_or(&self.secure),
        };
        if let Some(client) = lazy.client.get() {
            return Ok(client.clone());
        }
        let made = lazy.build(target.builder().await?).await;
        made.map_err(|error| {
            FetchError::Unreachable(url.into(), ShownText::message(error), Layer::Connect)
        })?
        .map_err(failed)
    }
}

tokio::task_local! {
    static TRACE: Option<HeaderValue>;
}

/// Runs a fetch as part of the trace with this `traceparent`
pub(in crate::auth) fn in_trace<F: Future>(
    traceparent: Option<HeaderValue>,
    fetch: F,
) -> impl Future<Output = F::Output> {
    TRACE.scope(traceparent, fetch)
}

pub(in crate::auth) fn traceparent() -> Option<HeaderValue> {
    TRACE.try_with(Clone::clone).ok().flatten()
}

/// Reads the response to an unconditional request for `url`
pub(in crate::auth) async fn document(url: &Url, answer: Response) -> Result<Document, FetchError> {
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(Document {
            etag: answer.headers().get(header::ETAG).cloned(),
            max_age: max_age(answer.headers()),
            body: body(answer, MAX_BODY).await?,
        });
    }
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        return Err(FetchError::redirect(url, answer.headers()));
    }
    Err(FetchError::Status {
        url: url.into(),
        status,
        retry_after: retry_after(answer.headers()),
        is_page: is_page(answer.headers()),
    })
}

fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| {
        kind.as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"text/html")
    })
}

pub(in crate::auth) fn plain() -> ClientBuilder {
    client().no_proxy().tls_certs_only([])
}

pub(in crate::auth) fn secure() -> ClientBuilder {
    client().https_only(true)
}

fn client() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("warp-bearer/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .dns_resolver(System)
        // No idle connections. Fetches are minutes apart, and the server would close them anyway.
        .pool_max_idle_per_host(0)
}

/// Reads and decodes the body of a response. `limit` applies both before and after decoding.
///
/// # Errors
/// Returns [`FetchError::TooLarge`] if the limit is exceeded. Note that its message says 512 KiB,
/// so a caller with another limit must replace the message.
pub(in crate::auth) async fn body(
    mut answer: Response,
    limit: usize,
) -> Result<Vec<u8>, FetchError> {
    let url = answer.url().clone();
    let coding = ContentCoding::of(answer.headers())
        .map_err(|coding| FetchError::Coding((&url).into(), ShownText::new(&coding)))?;
    let mut body = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| unreachable(&url, &error))?
    {
        if body.len() + chunk.len() > limit {
            return Err(FetchError::TooLarge((&url).into()));
        }
        body.extend_from_slice(&chunk);
    }
    coding.decode(body, limit).map_err(|error| match error {
        Undecodable::TooLarge => FetchError::TooLarge((&url).into()),
        Undecodable::Corrupt => FetchError::NotGzip((&url).into()),
    })
}

/// Converts an error of `reqwest`. We only keep the innermost cause -- the outer ones don't say
/// what happened. TLS errors get our own description.
pub(in crate::auth) fn unreachable(url: &Url, error: &reqwest::Error) -> FetchError {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if let Some(Local(address)) = cause.downcast_ref() {
        return FetchError::local(url, &address.to_string());
    }
    let layer = if error.is_timeout() {
        Layer::Timeout
    } else if tls_error::is_untrusted(error) {
        Layer::Untrusted
    } else if error.is_connect() && url.scheme() == "https" && is_of_tls(error) {
        Layer::Tls
    } else if error.is_connect() || error.is_builder() {
        Layer::Connect
    } else {
        Layer::Answer
    };
    let message = match tls_error::describe(error) {
        Some(message) => ShownText::message(message),
        None => ShownText::message(cause),
    };
    FetchError::Unreachable(url.into(), message, layer)
}

/// True for a TLS failure, which rustls reports as an I/O error. Causes are an untrusted
/// certificate, and a peer that doesn't speak TLS or closes during the handshake.
pub(in crate::auth) fn is_of_tls(error: &reqwest::Error) -> bool {
    let first: &dyn Error = error;
    let mut causes = iter::successors(Some(first), |&cause| cause.source());
    let of_tls = |kind| matches!(kind, ErrorKind::InvalidData | ErrorKind::UnexpectedEof);
    causes.any(|cause| {
        cause
            .downcast_ref()
            .is_some_and(|error| of_tls(innermost_kind(error)))
    })
}

/// The kind of the innermost I/O error. (For an error that wraps another, the kind is just
/// `Other`.)
fn innermost_kind(error: &io::Error) -> ErrorKind {
    let within = error.get_ref().and_then(|within| within.downcast_ref());
    within.map_or(error.kind(), innermost_kind)
}

/// `max-age` minus the `Age` of the response (RFC 9111 §4.2)
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(header::CACHE_CONTROL).iter();
    let mut directives = fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','));
    let max_age = directives.find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        let value = value.trim_matches('"');
        name.eq_ignore_ascii_case("max-age")
            .then(|| delta_seconds(value))?
    })?;
    let age = seconds(headers.get(header::AGE)).unwrap_or_default();
    Some(max_age.saturating_sub(age))
}

/// Parses a header value as a number of seconds. Saturates at `u32::MAX` (RFC 9111 §1.2.2).
pub(in crate::auth) fn seconds(field: Option<&HeaderValue>) -> Option<Duration> {
    delta_seconds(field?.to_str().ok()?.trim())
}

fn delta_seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))))
}

/// `Retry-After` (RFC 9110 §10.2.3) is a number of seconds, or a date, which we compare with the
/// `Date` of the response.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let field = headers.get(header::RETRY_AFTER);
    if let Some(seconds) = seconds(field) {
        return Some(seconds);
    }
    let date = |field: &HeaderValue| httpdate::parse_http_date(field.to_str().ok()?).ok();
    let (until, now) = (date(field?)?, date(headers.get(header::DATE)?)?);
    until.duration_since(now).ok()
}

/// Parses the URL of an issuer or a key set. Must be https, or http on loopback.
pub(crate) fn endpoint(url: &str) -> Result<Url, UrlFault> {
    let url = Url::parse(url).map_err(|_| UrlFault::NotAUrl)?;
    if !url.has_host() {
        return Err(UrlFault::NotAUrl);
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(UrlFault::NotHttps),
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtracts_age_from_max_age() {
        for (case, control, age, expected) in [
            ("alone", "max-age=60", "", Some(60)),
            (
                "among others",
                "public, max-age=60, must-revalidate",
                "",
                Some(60),
            ),
            ("in capitals", "Max-Age=60", "", Some(60)),
            ("quoted", "max-age=\"60\"", "", Some(60)),
            ("aged", "max-age=60", "20", Some(40)),
            ("older than max-age", "max-age=60", "90", Some(0)),
            ("absent", "no-store", "", None),
            ("not a number", "max-age=soon", "", None),
            ("s-maxage is for proxies", "s-maxage=5", "", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, control.parse().unwrap());
            if !age.is_empty() {
                headers.insert(header::AGE, age.parse().unwrap());
            }
            let expected = expected.map(Duration::from_secs);
            assert_eq!(max_age(&headers), expected, "{case}");
        }
    }

    /// With a proxy, we only resolve the proxy's name, and here it resolves to loopback.
    #[tokio::test]
    async fn reaches_a_guarded_address_through_a_local_proxy() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let target = FetchUrl::guarded(Url::parse("https://keys.invalid/keys").unwrap());
        let builder = target
            .builder()
            .await
            .unwrap()
            .proxy(reqwest::Proxy::https(proxy).unwrap());
        let client = builder.build().unwrap();
        tokio::spawn(client.get(target.url().clone()).send());
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 24];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut head)
            .await
            .unwrap();
        assert_eq!(&head, b"CONNECT keys.invalid:443");
    }

    #[test]
    fn every_error_word_is_documented() {
        let page = include_str!("../../../docs/production.md");
        let (_, table) = page.split_once("| `last_error` | what happened |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let url = || ShownUrl::new("https://a.example/");
        let unreachable = |layer| FetchError::Unreachable(url(), ShownText::new("no route"), layer);
        let none_usable = NoKeys::NoneUsable {
            keys: 1,
            skipped: None,
        };
        let errors = [
            unreachable(Layer::Connect),
            unreachable(Layer::Tls),
            unreachable(Layer::Untrusted),
            unreachable(Layer::Answer),
            unreachable(Layer::Timeout),
            FetchError::TimedOut(CONNECT_TIMEOUT),
            FetchError::Status {
                url: url(),
                status: StatusCode::NOT_FOUND,
                retry_after: None,
                is_page: false,
            },
            FetchError::Redirect {
                url: url(),
                to: None,
            },
            FetchError::TooLarge(url()),
            FetchError::Coding(url(), ShownText::new("br")),
            FetchError::NotGzip(url()),
            FetchError::NoMetadata(url(), "it is empty".into()),
            FetchError::NoJwksUri(url()),
            FetchError::wrong_issuer("a", "b"),
            FetchError::JwksUri(url(), UrlFault::NotAUrl),
            FetchError::local(&Url::parse("https://a.example/").unwrap(), "127.0.0.1"),
            FetchError::NoKeys(url(), NoKeys::NotAKeySet("empty")),
            FetchError::NoKeys(url(), none_usable),
            FetchError::File("a".to_owned(), "does not exist".into()),
        ];
        for error in errors {
            let word = format!("`{}`", error.word());
            assert!(table.contains(&word), "{word}");
        }
    }

    #[test]
    fn mentions_a_differing_slash_even_if_names_are_cut() {
        let long = format!("https://a.example/{}", "b".repeat(100));
        let message = |found: &str| FetchError::wrong_issuer(&long, found).to_string();
        let slash = "differ only in the trailing slash";
        assert!(message(&format!("{long}/")).contains(slash));
        assert!(!message(&format!("{long}c")).contains(slash));
    }

    #[test]
    fn requires_https_except_on_loopback() {
        for (url, expected) in [
            ("https://a.example/", Ok(())),
            ("http://127.0.0.1:1/", Ok(())),
            ("http://127.9.9.9/", Ok(())),
            ("http://localhost:1", Ok(())),
            ("http://[::1]:1/", Ok(())),
            ("http://a.example/", Err(UrlFault::NotHttps)),
            ("http://localhost.example/", Err(UrlFault::NotHttps)),
            ("http://127.0.0.1.example/", Err(UrlFault::NotHttps)),
            ("file:///etc/passwd", Err(UrlFault::NotAUrl)),
            ("ftp://a.example/", Err(UrlFault::NotHttps)),
            ("a.example", Err(UrlFault::NotAUrl)),
            ("", Err(UrlFault::NotAUrl)),
        ] {
            assert_eq!(endpoint(url).map(|_| ()), expected, "{url}");
        }
    }

    #[test]
    fn parses_retry_after_as_seconds_or_date() {
        #[rustfmt::skip]
        let rows = [
            ("seconds", "20", Some(20)),
            ("more than can be counted", "99999999999999999999", Some(u64::from(u32::MAX))),
            ("a date", "Mon, 23 Nov 2026 10:00:20 GMT", Some(20)),
            ("a date that is past", "Mon, 23 Nov 2026 09:59:00 GMT", None),
            ("neither", "soon", None),
            ("negative", "-1", None),
        ];
        for (case, field, expected) in rows {
            let mut headers = HeaderMap::new();
            let date = HeaderValue::from_static("Mon, 23 Nov 2026 10:00:00 GMT");
            headers.insert(header::DATE, date);
            headers.insert(header::RETRY_AFTER, field.parse().unwrap());
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(&headers), expected, "{case}");
        }
    }
}
