//! [`Client`]: sends introspection requests to one issuer (RFC 7662 §2).
//!
//! The client follows no redirects, reads at most 64 KiB, and times out after 2 s. It caches the
//! URL of the endpoint and the certificate authorities that it trusts, but never a response.

use std::{
    sync::{
        Arc, Mutex as StdMutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use reqwest::{
    ClientBuilder, StatusCode, Url,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::spawn_blocking,
    time::{Instant, timeout},
};

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
};

/// The timeout of a request, including discovery.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout for connecting. It is shorter than [`TIMEOUT`]: otherwise, the request would time
/// out first, and an endpoint that swallows connections would not be discovered again. It is longer
/// than a second, after which the system retries a connection whose first packet was lost.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Of a response, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// How long an endpoint is used before we discover it again or, if its URL is configured, build it
/// again.
const ENDPOINT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The age after which a 404 from a discovered endpoint triggers a new discovery
const MOVED_TTL: Duration = Duration::from_secs(60);

/// While no endpoint is known, this many discoveries may fail in a row without a pause.
const BURST: u32 = 4;

/// The pause after each further failure.
const RETRY: Duration = Duration::from_secs(1);

/// The longest pause after a discovery that didn't help, while an endpoint is known.
const MAX_PAUSE: Duration = Duration::from_secs(64);

#[derive(Debug)]
pub(in crate::auth) struct Client {
    issuer: Arc<str>,
    /// `None` if the URL is discovered.
    configured: Option<Url>,
    credentials: Credentials,
    fetcher: Arc<Fetcher>,
    access: Access,
    endpoint: ArcSwapOption<Endpoint>,
    /// Set if discovery must be repeated before the known endpoint expires.
    wants_discovery: AtomicBool,
    /// Like `wants_discovery`, but without waiting for the pause after a failure.
    is_refresh_requested: AtomicBool,
    /// Held during discovery, so only one runs at a time.
    discovery: Arc<Mutex<Discovery>>,
}

/// The outcome of the last discovery. If the URL of the endpoint is configured, discovery only
/// builds its HTTP client, which reads the certificate authorities.
#[derive(Debug, Default)]
struct Discovery {
    /// How many times in a row discovery failed, or didn't make the endpoint reachable.
    failures: u32,
    error: Option<IntrospectionError>,
    ended: Option<Instant>,
}

/// An endpoint, and the HTTP client that keeps connections to it. The client trusts the certificate
/// authorities that it read when it was built.
#[derive(Debug)]
struct Endpoint {
    url: Url,
    client: reqwest::Client,
    placement: SecretPlacement,
    built: Instant,
    reachability: StdMutex<Reachability>,
}

/// When an endpoint could be reached. A request that cannot connect, or whose TLS handshake fails,
/// does not reach it. The address or the certificate authority may then have changed.
#[derive(Debug, Default)]
struct Reachability {
    /// The first answer after the last failure. `None` if there was no answer after it.
    answers_since: Option<Instant>,
    /// The longest time from such an answer to the next failure. `None` if no request has failed.
    longest: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IntrospectionError {
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
    #[error(
        "{0} answered with a document that is not a JSON object with a boolean \"active\": it is {1}"
    )]
    Unreadable(ShownUrl, &'static str),
    #[error("the answer of {0} is about another token")]
    OtherToken(ShownUrl),
    #[cfg(feature = "service")]
    #[error("{0} answered that a made-up token is active")]
    AcceptsMadeUp(ShownUrl),
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
            wants_discovery: AtomicBool::new(false),
            is_refresh_requested: AtomicBool::new(false),
            discovery: Arc::default(),
        }
    }

    /// Makes the next request repeat discovery, and read the certificate authorities again.
    pub(super) fn refresh(&self) {
        self.is_refresh_requested.store(true, Relaxed);
    }

    pub(super) async fn ask(self: &Arc<Self>, token: &str) -> Result<Answer, IntrospectionError> {
        let timed_out = || IntrospectionError::Http(FetchError::TimedOut(TIMEOUT));
        let asked = timeout(TIMEOUT, self.ask_without_limit(token));
        asked.await.unwrap_or_else(|_| Err(timed_out()))
    }

    async fn ask_without_limit(
        self: &Arc<Self>,
        token: &str,
    ) -> Result<Answer, IntrospectionError> {
        let endpoint = self.endpoint().await?;
        let url = &endpoint.url;
        let credentials = &self.credentials;
        let own = credentials.parameters(endpoint.placement, &self.issuer);
        let own = own.ok_or(IntrospectionError::Unsigned)?;
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
        if let Some(traceparent) = fetch::traceparent() {
            request = request.header("traceparent", traceparent);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = fetch::unreachable(url, &error);
                if error.is_of_connection() {
                    self.could_not_connect(&endpoint);
                }
                return Err(IntrospectionError::Http(error));
            }
        };
        endpoint.answered();
        match answer.status() {
            StatusCode::OK => {}
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(IntrospectionError::Denied(url.into(), status));
            }
            status if status.is_redirection() => {
                let error = FetchError::redirect(url, answer.headers());
                return Err(IntrospectionError::Http(error));
            }
            status => {
                let is_missing = status == StatusCode::NOT_FOUND && self.configured.is_none();
                if is_missing && endpoint.built.elapsed() >= MOVED_TTL {
                    self.wants_discovery.store(true, Relaxed);
                }
                return Err(IntrospectionError::Http(FetchError::Status {
                    url: url.into(),
                    status,
                    retry_after: None,
                    is_page: false,
                }));
            }
        }
        let body = fetch::body(answer, MAX_BODY).await;
        let body = body.map_err(|error| match error {
            FetchError::TooLarge(url) => IntrospectionError::TooLarge(url),
            error => IntrospectionError::Http(error),
        })?;
        read(&body).ok_or_else(|| {
            let form = if body.starts_with(b"\xef\xbb\xbf") {
                "text with a byte order mark"
            } else {
                document::form(&body, "a JSON object without such a member")
            };
            IntrospectionError::Unreadable(url.into(), form)
        })
    }

    pub(super) fn other_token(&self) -> IntrospectionError {
        IntrospectionError::OtherToken(self.shown())
    }

    #[cfg(feature = "service")]
    pub(super) fn accepts_made_up(&self) -> IntrospectionError {
        IntrospectionError::AcceptsMadeUp(self.shown())
    }

    /// The URL of the endpoint, or the issuer if the endpoint is unknown
    fn shown(&self) -> ShownUrl {
        let endpoint = self.endpoint.load();
        let url = endpoint
            .as_ref()
            .map(|endpoint| ShownUrl::from(&endpoint.url));
        url.unwrap_or_else(|| ShownUrl::new(&self.issuer))
    }

    /// The endpoint. We discover it on first use, then daily, on request, after a connection or TLS
    /// failure, and after a 404. The known endpoint stays in use during discovery, and also if
    /// discovery fails.
    async fn endpoint(self: &Arc<Self>) -> Result<Arc<Endpoint>, IntrospectionError> {
        if let Some(endpoint) = self.endpoint.load_full() {
            let is_due = self.is_refresh_requested.load(Relaxed)
                || self.wants_discovery.load(Relaxed)
                || endpoint.is_unreachable()
                || endpoint.built.elapsed() >= ENDPOINT_TTL;
            if is_due {
                self.discover_in_background();
            }
            return Ok(endpoint);
        }
        // While no endpoint is known, a request retries at once, or once a second after several
        // failures. So the first request after the issuer has recovered usually succeeds, but a flood of
        // requests doesn't reach the issuer. Concurrent requests share one discovery.
        let began = Instant::now();
        loop {
            let turn = Arc::clone(&self.discovery).lock_owned().await;
            if let Some(endpoint) = self.endpoint.load_full() {
                return Ok(endpoint);
            }
            let is_paused = turn.failures >= BURST && !self.is_refresh_requested.load(Relaxed);
            if let Some(error) = &turn.error
                && let Some(ended) = turn.ended
                && (ended >= began || is_paused && ended.elapsed() < RETRY)
            {
                return Err(error.clone());
            }
            self.start_discovery(turn);
        }
    }

    /// Records that we can't send requests to this endpoint, and starts discovery, after which the
    /// next request should succeed.
    fn could_not_connect(self: &Arc<Self>, endpoint: &Arc<Endpoint>) {
        endpoint.failed();
        // another request might have replaced the endpoint in the meantime
        let current = self.endpoint.load();
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, endpoint))
        {
            self.discover_in_background();
        }
    }

    /// Starts discovery, unless it is already running or has just failed.
    fn discover_in_background(self: &Arc<Self>) {
        let Ok(turn) = Arc::clone(&self.discovery).try_lock_owned() else {
            return;
        };
        if self.is_refresh_requested.load(Relaxed) || !turn.is_paused() {
            self.start_discovery(turn);
        }
    }

    /// Discovers the endpoint in a separate task, which keeps running if the caller is dropped. If
    /// it didn't, a failure wouldn't be recorded, and the next request would repeat discovery right
    /// away.
    fn start_discovery(self: &Arc<Self>, mut turn: OwnedMutexGuard<Discovery>) {
        let client = Arc::clone(self);
        tokio::spawn(async move {
            client.wants_discovery.store(false, Relaxed);
            client.is_refresh_requested.store(false, Relaxed);
            match client.find().await {
                Ok(endpoint) => {
                    let before = client.endpoint.swap(Some(Arc::new(endpoint)));
                    turn.succeeded(before.as_deref());
                }
                Err(error) => {
                    let issuer = &*client.issuer;
                    if turn.error.is_none() && client.endpoint.load().is_some() {
                        tracing::warn!(issuer, %error, "introspection endpoint not renewed; using the known one");
                    }
                    client.wants_discovery.store(true, Relaxed);
                    turn.failures += 1;
                    turn.error = Some(error);
                    turn.ended = Some(Instant::now());
                }
            }
        });
    }

    /// Finds the endpoint and builds its HTTP client. The timeout does not apply to building, which
    /// reads the certificate authorities and cannot be interrupted. Otherwise, if reading hung, each
    /// discovery would occupy another thread, and if it took longer than the timeout, discovery
    /// would never succeed.
    async fn find(&self) -> Result<Endpoint, IntrospectionError> {
        let timed_out = |_| Err(IntrospectionError::Discovery(FetchError::TimedOut(TIMEOUT)));
        let located = timeout(TIMEOUT, self.locate()).await;
        let (target, builder, placement) = located.unwrap_or_else(timed_out)?;
        Endpoint::new(&target, builder, placement).await
    }

    async fn locate(
        &self,
    ) -> Result<(FetchUrl, ClientBuilder, SecretPlacement), IntrospectionError> {
        let (target, placement) = match &self.configured {
            Some(url) => {
                let target = FetchUrl::configured(url.clone()).with_access(self.access.clone());
                (target, SecretPlacement::Basic)
            }
            None => self.discover().await?,
        };
        let builder = target.builder().await.map_err(IntrospectionError::Http)?;
        Ok((target, builder, placement))
    }

    async fn discover(&self) -> Result<(FetchUrl, SecretPlacement), IntrospectionError> {
        let found = discovery::metadata(&self.fetcher, &self.issuer, &self.access).await;
        let (at, body) = found.map_err(IntrospectionError::discovery)?;
        let metadata: Metadata = discovery::parse(&body, at.url(), &["issuer"])
            .map_err(IntrospectionError::discovery)?;
        if metadata.issuer != *self.issuer {
            let error = FetchError::wrong_issuer(&self.issuer, &metadata.issuer);
            return Err(IntrospectionError::Discovery(error));
        }
        let endpoint = metadata.introspection_endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| IntrospectionError::NoEndpoint(at.url().into()))?;
        let target =
            discovery::published(endpoint, at.url()).map_err(IntrospectionError::discovery)?;
        Ok((target.with_access_of(&at), metadata.placement()))
    }
}

impl IntrospectionError {
    fn discovery(error: FetchError) -> Self {
        match error {
            FetchError::JwksUri(url, fault) => Self::BadEndpoint(url, fault),
            other => Self::Discovery(other),
        }
    }
}

impl Discovery {
    /// Checks whether the last failure was too recent for a retry.
    fn is_paused(&self) -> bool {
        self.ended.is_some_and(|at| at.elapsed() < self.pause())
    }

    /// Returns the pause after the last failure. It doubles with each failure, from 1 s to 64 s.
    fn pause(&self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        Duration::from_secs(1 << doublings.min(6)).min(MAX_PAUSE)
    }

    /// Records a discovery that replaced the endpoint `before`. If requests could not reach
    /// `before`, they may not reach the new endpoint either, so the next discovery has to wait. The
    /// pause keeps doubling unless `before` was reachable for longer than the last pause.
    fn succeeded(&mut self, before: Option<&Endpoint>) {
        self.failures = match before.and_then(|before| before.reachability().longest) {
            None => 0,
            Some(longest) if longest > self.pause() => 1,
            Some(_) => self.failures + 1,
        };
        self.error = None;
        self.ended = Some(Instant::now());
    }
}

impl Metadata {
    /// Where to send the secret: in the form if the metadata allows `client_secret_post` but not
    /// `client_secret_basic`, and otherwise by HTTP Basic. If the metadata lists no methods for
    /// this endpoint, we use the list for the token endpoint, which is usually the same.
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
    /// Builds the HTTP client on another thread. Reading the certificate authorities takes about 70
    /// ms and would block a single-threaded runtime.
    async fn new(
        target: &FetchUrl,
        builder: ClientBuilder,
        placement: SecretPlacement,
    ) -> Result<Self, IntrospectionError> {
        let url = target.url();
        let built = if url.scheme() == "http" {
            build(builder, target)
        } else {
            let address = target.clone();
            let built = spawn_blocking(move || build(builder, &address)).await;
            built.unwrap_or_else(|error| {
                let (cause, layer) = (ShownText::message(error), fetch::Layer::Connect);
                Err(FetchError::Unreachable(url.into(), cause, layer))
            })
        };
        Ok(Self {
            client: built.map_err(IntrospectionError::Http)?,
            url: url.clone(),
            placement,
            built: Instant::now(),
            reachability: StdMutex::default(),
        })
    }

    fn answered(&self) {
        let mut reachability = self.reachability();
        reachability.answers_since.get_or_insert_with(Instant::now);
    }

    fn failed(&self) {
        let mut reachability = self.reachability();
        let since = reachability.answers_since.take();
        let lasted = since.map(|since| since.elapsed());
        reachability.longest = reachability.longest.max(Some(lasted.unwrap_or_default()));
    }

    /// Returns `true` if the last request failed.
    fn is_unreachable(&self) -> bool {
        let reachability = self.reachability();
        reachability.longest.is_some() && reachability.answers_since.is_none()
    }

    fn reachability(&self) -> MutexGuard<'_, Reachability> {
        self.reachability
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps connections open. Introspection is frequent, unlike key fetches.
fn build(builder: ClientBuilder, target: &FetchUrl) -> Result<reqwest::Client, FetchError> {
    let builder = builder
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(16)
        .pool_idle_timeout(Duration::from_secs(20));
    let built = builder.build();
    built.map_err(|error| fetch::unreachable(target.url(), &error))
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::atomic::{AtomicU8, AtomicUsize},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpSocket, TcpStream},
        task::JoinHandle,
        time::{advance, sleep},
    };

    use super::*;
    use crate::auth::introspection::options::Introspection;

    /// How the issuer responds to requests for its metadata.
    const GOOD: u8 = 0;
    const RFC_8414_ONLY: u8 = 1;
    const FAILING: u8 = 2;
    const SILENT: u8 = 3;
    /// The metadata names an endpoint that refuses connections.
    const MOVED: u8 = 4;
    /// The metadata name an endpoint that does not respond to attempts to connect.
    const SWALLOWED: u8 = 5;

    /// An issuer that answers every introspection request with `active: false`.
    struct Stub {
        client: Arc<Client>,
        mode: Arc<AtomicU8>,
        discoveries: Arc<AtomicUsize>,
        served: JoinHandle<()>,
        _swallowing: Swallowing,
    }

    impl Stub {
        async fn start(mode: u8) -> Self {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let issuer = format!("http://{}", listener.local_addr().unwrap());
            let (mode, discoveries) = (Arc::new(AtomicU8::new(mode)), Arc::default());
            let options = Introspection::opaque("api").client_secret("secret");
            let credentials = Credentials::new(&options).unwrap();
            let access = Access::default();
            let name = issuer.as_str().into();
            let client = Client::new(name, None, credentials, Arc::default(), access);
            let (of, counted) = (Arc::clone(&mode), Arc::clone(&discoveries));
            // keeps its port, but doesn't listen
            let refusing = TcpSocket::new_v4().unwrap();
            refusing.bind(([127, 0, 0, 1], 0).into()).unwrap();
            let swallowing = Swallowing::start().await;
            let swallowed = swallowing.address;
            let served = tokio::spawn(async move {
                let refusing = refusing.local_addr().unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (issuer, mode) = (issuer.clone(), of.load(Relaxed));
                    let endpoint = match mode {
                        MOVED => format!("http://{refusing}"),
                        SWALLOWED => format!("http://{swallowed}"),
                        _ => issuer.clone(),
                    };
                    let counted = Arc::clone(&counted);
                    tokio::spawn(answer(stream, issuer, endpoint, mode, counted));
                }
            });
            Self {
                client: Arc::new(client),
                mode,
                discoveries,
                served,
                _swallowing: swallowing,
            }
        }

        fn discoveries(&self) -> usize {
            self.discoveries.load(Relaxed)
        }
    }

    impl Drop for Stub {
        fn drop(&mut self) {
            self.served.abort();
        }
    }

    /// A listener whose backlog is full, so that the system drops further attempts to connect.
    struct Swallowing {
        address: SocketAddr,
        _held: (TcpListener, Vec<TcpStream>),
    }

    impl Swallowing {
        async fn start() -> Self {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
            let listener = socket.listen(1).unwrap();
            let address = listener.local_addr().unwrap();
            let mut waiting = Vec::new();
            let connect = || timeout(Duration::from_millis(100), TcpStream::connect(address));
            while let Ok(connected) = connect().await {
                waiting.push(connected.unwrap());
            }
            Self {
                address,
                _held: (listener, waiting),
            }
        }
    }

    async fn answer(
        mut stream: TcpStream,
        issuer: String,
        endpoint: String,
        mode: u8,
        discoveries: Arc<AtomicUsize>,
    ) {
        let mut head = vec![0; 4096];
        let read = stream.read(&mut head).await.unwrap_or_default();
        let head = String::from_utf8_lossy(&head[..read]).into_owned();
        let (status, body) = if head.starts_with("POST /introspect ") {
            (200, r#"{"active":false}"#.to_owned())
        } else {
            discoveries.fetch_add(1, Relaxed);
            let is_oauth = head.starts_with("GET /.well-known/oauth-authorization-server ");
            match mode {
                RFC_8414_ONLY if !is_oauth => (404, String::new()),
                FAILING => (500, String::new()),
                SILENT => return sleep(Duration::from_secs(60)).await,
                _ => (
                    200,
                    format!(
                        r#"{{"issuer":"{issuer}","introspection_endpoint":"{endpoint}/introspect"}}"#
                    ),
                ),
            }
        };
        let answer = format!(
            "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    #[tokio::test]
    async fn discovers_the_endpoint_in_either_document() {
        for (mode, discoveries) in [(GOOD, 1), (RFC_8414_ONLY, 2)] {
            let stub = Stub::start(mode).await;
            for _ in 0..3 {
                assert_eq!(stub.client.ask("token").await, Ok(Answer::Inactive));
            }
            assert_eq!(stub.discoveries(), discoveries);
        }
    }

    #[tokio::test]
    async fn introspection_does_not_wait_for_rediscovery() {
        let stub = Stub::start(GOOD).await;
        assert_eq!(stub.client.ask("token").await, Ok(Answer::Inactive));
        for (mode, requests) in [(SILENT, 1), (FAILING, 1)] {
            stub.mode.store(mode, Relaxed);
            let before = stub.discoveries();
            let begin = Instant::now();
            stub.client.refresh();
            for _ in 0..5 {
                assert_eq!(stub.client.ask("token").await, Ok(Answer::Inactive));
            }
            assert!(begin.elapsed() < TIMEOUT / 2, "{:?}", begin.elapsed());
            // wait until discovery has ended
            let turn = stub.client.discovery.lock().await;
            assert_eq!(stub.discoveries() - before, requests, "{mode}");
            assert!(turn.failures > 0, "{mode}");
            drop(turn);
            assert_eq!(stub.client.ask("token").await, Ok(Answer::Inactive));
            assert_eq!(stub.discoveries() - before, requests, "{mode}: it pauses");
            *stub.client.discovery.lock().await = Discovery::default();
        }
        stub.mode.store(GOOD, Relaxed);
        assert_eq!(stub.client.ask("token").await, Ok(Answer::Inactive));
        let turn = stub.client.discovery.lock().await;
        assert_eq!(turn.failures, 0);
        assert!(!stub.client.wants_discovery.load(Relaxed));
    }

    #[tokio::test]
    async fn unreachable_endpoint_is_discovered_again_with_pauses() {
        let stub = Stub::start(MOVED).await;
        // keeps the clock from advancing on its own
        let (_held, dropped) = std::sync::mpsc::channel::<()>();
        let _blocking = spawn_blocking(move || dropped.recv());
        tokio::time::pause();
        let is_answered = async || {
            let asked = stub.client.ask("token").await;
            // wait until discovery has ended
            drop(stub.client.discovery.lock().await);
            asked.is_ok()
        };
        #[rustfmt::skip]
        let rows = [
            ("first request", 0, 2),
            ("too early", 0, 2),
            ("after a second", 1, 3),
            ("too early again", 1, 3),
            ("after two seconds", 1, 4),
            ("too early once more", 3, 4),
        ];
        for (case, seconds, discoveries) in rows {
            advance(Duration::from_secs(seconds)).await;
            assert!(!is_answered().await, "{case}");
            assert_eq!(stub.discoveries(), discoveries, "{case}");
        }
        stub.client.refresh();
        assert!(!is_answered().await, "discovered during the request");
        assert_eq!(stub.discoveries(), 5, "at once");
        stub.mode.store(GOOD, Relaxed);
        stub.client.refresh();
        assert!(!is_answered().await, "discovered during the request");
        assert!(is_answered().await);
        assert!(is_answered().await);
        assert_eq!(stub.discoveries(), 6);
    }

    #[tokio::test]
    async fn endpoint_that_swallows_connections_is_discovered_again() {
        let stub = Stub::start(SWALLOWED).await;
        let began = Instant::now();
        let outcome = stub.client.ask("token").await;
        assert!(outcome.is_err(), "{outcome:?}");
        assert!(began.elapsed() <= TIMEOUT + Duration::from_millis(200));
        // Waits until discovery has ended.
        drop(stub.client.discovery.lock().await);
        assert_eq!(stub.discoveries(), 2);
    }

    #[tokio::test]
    async fn pause_doubles_for_an_endpoint_that_answers_between_failures() {
        let stub = Stub::start(GOOD).await;
        // Keeps the clock from advancing on its own.
        let (_held, dropped) = std::sync::mpsc::channel::<()>();
        let _blocking = spawn_blocking(move || dropped.recv());
        tokio::time::pause();
        let discoveries_in = async |seconds: u64| {
            let before = stub.discoveries();
            for _ in 0..2 * seconds {
                assert_eq!(stub.client.ask("token").await, Ok(Answer::Inactive));
                let endpoint = stub.client.endpoint.load_full().unwrap();
                stub.client.could_not_connect(&endpoint);
                // Another request is answered before discovery has ended.
                assert_eq!(stub.client.ask("token").await, Ok(Answer::Inactive));
                drop(stub.client.discovery.lock().await);
                advance(Duration::from_millis(500)).await;
            }
            stub.discoveries() - before
        };
        assert_eq!(
            discoveries_in(16).await,
            6,
            "first, then after 0, 1, 2, 4, 8 s"
        );
        assert_eq!(stub.client.ask("token").await, Ok(Answer::Inactive));
        advance(MAX_PAUSE).await;
        assert_eq!(discoveries_in(3).await, 2, "the pause is 1 s again");
    }

    /// If the build were repeated after each timeout, it would never have a result.
    #[test]
    fn http_client_that_is_built_slowly_is_used() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            // Until the sender is dropped, the build waits for the only thread.
            let (go_on, end) = std::sync::mpsc::channel::<()>();
            let _blocking = spawn_blocking(move || end.recv());
            let url = Url::parse("https://127.0.0.1:1/introspect").unwrap();
            let options = Introspection::opaque("api").client_secret("secret");
            let credentials = Credentials::new(&options).unwrap();
            let (issuer, access) = ("https://a.example/".into(), Access::default());
            let client = Client::new(issuer, Some(url), credentials, Arc::default(), access);
            let client = Arc::new(client);
            for _ in 0..3 {
                let (asked, ()) = tokio::join!(client.ask("token"), advance(2 * TIMEOUT));
                let timed_out = IntrospectionError::Http(FetchError::TimedOut(TIMEOUT));
                assert_eq!(asked, Err(timed_out));
            }
            drop(go_on);
            // Waits until discovery has ended.
            drop(client.discovery.lock().await);
            assert!(client.endpoint.load().is_some());
        });
    }

    #[tokio::test]
    async fn failed_first_discovery_is_shared_but_not_cached() {
        let stub = Stub::start(FAILING).await;
        let questions = (0..8).map(|_| {
            let client = Arc::clone(&stub.client);
            tokio::spawn(async move { client.ask("token").await })
        });
        for question in questions.collect::<Vec<_>>() {
            let outcome = question.await.unwrap();
            assert!(
                matches!(outcome, Err(IntrospectionError::Discovery(_))),
                "{outcome:?}"
            );
        }
        assert_eq!(stub.discoveries(), 1);
        stub.mode.store(GOOD, Relaxed);
        assert_eq!(stub.client.ask("token").await, Ok(Answer::Inactive));
        assert_eq!(stub.discoveries(), 2);
    }

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
