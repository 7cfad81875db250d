//! A small `OpenID` issuer on loopback for tests, with real keys, real HTTP and faults on demand.
//!
//! The issuer publishes its keys and metadata at the usual URLs, supports the client credentials
//! grant as Auth0 does, and signs any token that a test needs. It has no users and no login, and
//! does not need an account or a network. Enable the feature `testing`:
//!
//! ```toml
//! [dev-dependencies]
//! warp-bearer = { version = "0.1", default-features = false, features = ["testing"] }
//! ```
//!
//! # A token that your routes accept
//!
//! Three lines create an issuer, the [`Auth`](crate::auth::Auth) that trusts it, and a token.
//!
//! ```
//! use warp::Filter;
//! use warp_bearer::{
//!     auth::{Auth, Claims, BearerFilterExt, with_auth},
//!     issuer::Issuer,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
//! let issuer = Issuer::start().await;
//! let auth = Auth::discover(issuer.url(), issuer.audience())?;
//! let token = issuer.token().scope("read:messages").sign();
//!
//! let me = warp::path!("me").and(with_auth(&auth)).map(|_: Claims| "in").route();
//! let request = warp::test::request().path("/me");
//! let answer = request.header("authorization", format!("Bearer {token}")).reply(&me).await;
//! assert_eq!(answer.body(), "in");
//! # Ok(())
//! # }
//! ```
//!
//! # Tokens
//!
//! [`Issuer::token`] returns a builder for a valid token. Each method of [`TokenBuilder`] changes
//! one part of the token. If there is no method for the change that you need, use
//! [`claim`](TokenBuilder::claim), [`header`](TokenBuilder::header) or [`Issuer::sign_raw`].
//!
//! ```
//! # use warp_bearer::{auth::Algorithm, issuer::{Issuer, SigningKey}};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
//! # let stranger = SigningKey::generate(Algorithm::ES256);
//! for (case, token) in [
//!     ("by permission", issuer.token().permissions(["messages:read"])),
//!     ("a machine", issuer.token().subject("my-app@clients")),
//!     ("expired", issuer.token().expired()),
//!     ("for another API", issuer.token().audience("https://other.example")),
//!     ("a logout token", issuer.token().typ("logout+jwt")),
//!     ("signed by another key", issuer.token().key(&stranger)),
//! ] {
//! #   let _ = (case, token.sign());
//!     // …
//! }
//! # }
//! ```
//!
//! # Key rotation and faults
//!
//! The issuer has an RSA key by default. [`Issuer::with_algorithm`] selects another algorithm.
//! Elliptic-curve keys are generated faster.
//!
//! To change keys, call [`rotate`](Issuer::rotate), [`retire`](Issuer::retire), or
//! [`replace`](Issuer::replace) to keep the `kid`. To simulate an outage, call
//! [`fail`](Issuer::fail) with a [`Fault`], [`hang`](Issuer::hang), or [`go_down`](Issuer::go_down)
//! and [`come_back`](Issuer::come_back). The issuer counts its [`requests`](Issuer::requests).
//!
//! ```
//! # use warp_bearer::{auth::{Algorithm, Auth, AuthError, Claims}, issuer::{Fault, Issuer}};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
//! let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
//! let auth = Auth::builder()
//!     .issuer(issuer.url())
//!     .audience(issuer.audience())
//!     .algorithms([Algorithm::ES256])
//!     .build()?;
//! auth.ready().await;
//!
//! issuer.rotate();
//! let claims: Result<Claims, _> = auth.verify(&issuer.token().sign()).await;
//! assert!(claims.is_ok(), "the new key is fetched");
//! assert_eq!(issuer.requests().jwks, 2);
//!
//! issuer.fail(Fault::Status(503));
//! let claims: Result<Claims, _> = auth.verify(&issuer.token().sign()).await;
//! assert!(claims.is_ok(), "a known key needs no fetch");
//!
//! issuer.rotate();
//! let claims: Result<Claims, _> = auth.verify(&issuer.token().sign()).await;
//! assert_eq!(claims.unwrap_err(), AuthError::UnknownKey);
//! # Ok(())
//! # }
//! ```
//!
//! The issuer stops when its last clone is dropped. It has no timers except in [`Fault::Drip`], so
//! with tokio's paused clock, a test can skip hours of refreshes.

mod client;
mod faults;
mod grant;
pub(crate) mod hosts;
mod introspection;
mod key_set;
mod keys;
mod mint;
mod opaque;
mod origins;
mod proof;
mod proof_check;
mod routes;
mod server;
mod state;
mod tokens;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::issuer::{client::Client, faults::Faults, server::Server, state::State};

pub use self::{
    faults::{Fault, UnknownFault},
    keys::SigningKey,
    mint::{Profile, TokenBuilder},
    proof::ProofBuilder,
    state::Requests,
};

/// A running issuer. Clones share it, and it stops when the last clone is dropped.
///
/// The issuer generates its keys and its client's secret when it starts, and does not store them.
#[derive(Clone)]
pub struct Issuer {
    state: Arc<State>,
    server: Arc<Server>,
}

/// Start and addresses.
impl Issuer {
    /// Starts an issuer on a free port of 127.0.0.1, with an RSA key of 2048 bits for `RS256`.
    ///
    /// # Panics
    /// Panics if no port on loopback can be bound, or outside of a tokio runtime.
    pub async fn start() -> Self {
        Self::with_algorithm(Algorithm::RS256).await
    }

    /// Like [`start`](Self::start), with a key for `algorithm`. Elliptic-curve keys are generated
    /// faster than RSA keys.
    ///
    /// # Panics
    /// Panics like [`start`](Self::start), and if `algorithm` is an HMAC.
    pub async fn with_algorithm(algorithm: Algorithm) -> Self {
        match Self::bind((Ipv4Addr::LOCALHOST, 0).into(), algorithm).await {
            Ok(issuer) => issuer,
            Err(fault) => panic!("no issuer for {algorithm:?} on loopback: {fault}"),
        }
    }

    /// Starts an issuer at `addr`. Port 0 means any free port.
    ///
    /// Requests are rejected with 421 unless their `Host` is `localhost`, a loopback address or
    /// `addr`, with any port or none. If `addr` is unspecified (`0.0.0.0`), any IP address is
    /// accepted. This prevents web pages from fetching a token by DNS rebinding.
    ///
    /// # Errors
    /// Fails if the address cannot be bound, or if `algorithm` is an HMAC, which has no public key.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    pub async fn bind(addr: SocketAddr, algorithm: Algorithm) -> io::Result<Self> {
        Self::for_client(addr, algorithm, Client::register()?).await
    }

    /// Like [`bind`](Self::bind), with a client whose id and secret are fixed in advance.
    #[cfg(feature = "service")]
    pub(crate) async fn with_known_client(
        addr: SocketAddr,
        algorithm: Algorithm,
        (id, secret): (&str, &str),
    ) -> io::Result<Self> {
        let (id, secret) = (id.to_owned(), secret.to_owned());
        Self::for_client(addr, algorithm, Client { id, secret }).await
    }

    async fn for_client(
        addr: SocketAddr,
        algorithm: Algorithm,
        client: Client,
    ) -> io::Result<Self> {
        let server = Server::bind(addr)?;
        // Generate the key on a blocking thread, since this takes long for RSA.
        let key = tokio::task::spawn_blocking(move || SigningKey::try_generate(algorithm));
        let key = key.await.map_err(io::Error::other)??;
        let issuer = Self {
            state: Arc::new(State::new(server.addr(), key, client)),
            server: Arc::new(server),
        };
        issuer.listen().await?;
        Ok(issuer)
    }

    /// The name of the issuer, which ends in a slash like Auth0's: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// The URL of the key set.
    pub fn jwks_uri(&self) -> &str {
        &self.state.jwks_uri
    }

    /// The URL of the token endpoint.
    pub fn token_endpoint(&self) -> &str {
        &self.state.token_endpoint
    }

    /// The audience of tokens: `https://api.example.com`.
    pub fn audience(&self) -> &str {
        &self.state.audience
    }

    /// The address of the socket.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The id of the registered client, for the token endpoint. Random at each start.
    pub fn client_id(&self) -> &str {
        &self.state.client.id
    }

    /// The secret of the registered client. Random at each start.
    pub fn client_secret(&self) -> &str {
        &self.state.client.secret
    }
}

/// Tokens.
impl Issuer {
    /// Returns a builder for a valid token, signed with the current key.
    pub fn token(&self) -> TokenBuilder {
        self.state.token()
    }

    /// Sets the profile of the tokens that the token endpoint issues. Defaults to
    /// [`Profile::Auth0`].
    pub fn profile(&self, profile: Profile) {
        self.state.settings().profile = profile;
    }

    /// Lets pages of these origins (e.g. `http://127.0.0.1:8000`) fetch tokens from a browser
    /// (CORS). Defaults to none.
    pub fn allow_origins(&self, origins: impl IntoIterator<Item: Into<String>>) {
        self.state.settings().origins = origins.into_iter().map(Into::into).collect();
    }

    /// Returns a token with exactly this header and payload, JSON or not, signed with the current
    /// key.
    ///
    /// ```
    /// use warp_bearer::{auth::{Auth, AuthError, claims::NoPrivate}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// let token = issuer.sign_raw(br#"{"alg":"RS256","alg":"RS256"}"#, b"{}");
    /// let verdict = auth.verify::<NoPrivate>(&token).await;
    /// assert_eq!(verdict.unwrap_err(), AuthError::TokenMalformed, "a duplicate member");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics if the system's random number generator fails.
    pub fn sign_raw(&self, header: &[u8], payload: &[u8]) -> String {
        let key = self.key();
        mint::compact(&key, key.algorithm(), header, payload)
    }

    /// Signs `signing_input`, the part of a token before its last dot, with the current key.
    ///
    /// # Panics
    /// Panics if the system's random number generator fails.
    pub fn sign_input(&self, signing_input: &str) -> Vec<u8> {
        self.key().sign(signing_input.as_bytes())
    }
}

/// Keys. Generating an RSA key blocks for a moment.
impl Issuer {
    /// The current signing key.
    pub fn key(&self) -> SigningKey {
        self.state.settings().keys.current().clone()
    }

    /// Signs with a new key of the same algorithm from now on. Earlier keys stay published.
    ///
    /// # Panics
    /// Panics if the system's random number generator fails.
    pub fn rotate(&self) {
        let next = self.next_key();
        self.state.settings().keys.rotate(next);
    }

    /// Unpublishes every key except the current one.
    pub fn retire(&self) {
        self.state.settings().keys.retire();
    }

    /// Replaces the current key with a new key that has the same `kid`. This is what typically
    /// happens when a development issuer is restarted.
    ///
    /// ```
    /// use warp_bearer::{auth::{Auth, AuthError, claims::NoPrivate}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// auth.ready().await;
    /// issuer.replace();
    /// let token = issuer.token().sign();
    /// let first = auth.verify::<NoPrivate>(&token).await;
    /// assert_eq!(first.unwrap_err(), AuthError::BadSignature);
    /// while auth.verify::<NoPrivate>(&token).await.is_err() {
    ///     tokio::task::yield_now().await; // the key is fetched in the background
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics if the system's random number generator fails.
    pub fn replace(&self) {
        let next = self.next_key();
        self.state.settings().keys.replace(next);
    }

    /// Publishes a key that does not sign tokens.
    pub fn publish_key(&self, key: &SigningKey) {
        self.state.settings().keys.publish_key(key.clone());
    }

    /// Publishes `document` instead of the key set, until [`restore`](Self::restore) is called.
    /// Changes to the keys do not affect it.
    ///
    /// ```
    /// use serde_json::json;
    /// use warp_bearer::{auth::Auth, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// let odd = json!({"kty": "OKP", "crv": "X25519", "kid": "odd"});
    /// issuer.publish(json!({"keys": [odd, issuer.key().public_jwk()]}));
    ///
    /// let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// auth.ready().await;
    /// assert_eq!(auth.status()[0].keys, 1, "the odd key is skipped");
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish(&self, document: Value) {
        self.state.settings().keys.show(Some(document));
    }

    /// Publishes the issuer's own key set again.
    pub fn restore(&self) {
        self.state.settings().keys.show(None);
    }

    /// Sets the `max-age` of the key set in seconds. With `None`, `Cache-Control` is omitted.
    /// Defaults to 600.
    pub fn max_age(&self, seconds: Option<u64>) {
        self.state.settings().max_age = seconds;
    }

    /// Sets whether the key set has a strong `ETag` and honours `If-None-Match`. Defaults to true.
    pub fn etag(&self, sent: bool) {
        self.state.settings().etag = sent;
    }

    fn next_key(&self) -> SigningKey {
        SigningKey::generate(self.key().algorithm())
    }
}

/// Faults.
impl Issuer {
    /// Makes discovery and the key set fail, until [`recover`](Self::recover) is called.
    pub fn fail(&self, fault: Fault) {
        self.state.faults.send_modify(|faults| {
            faults.discovery = Some(fault.clone());
            faults.jwks = Some(fault);
        });
    }

    /// Makes discovery fail. The key set is not affected.
    pub fn fail_discovery(&self, fault: Fault) {
        self.state
            .faults
            .send_modify(|faults| faults.discovery = Some(fault));
    }

    /// Makes the key set fail. Discovery is not affected.
    pub fn fail_jwks(&self, fault: Fault) {
        self.state
            .faults
            .send_modify(|faults| faults.jwks = Some(fault));
    }

    /// Makes introspection fail. A status of 401 or 403 means that the client was rejected.
    pub fn fail_introspection(&self, fault: Fault) {
        self.state
            .faults
            .send_modify(|faults| faults.introspection = Some(fault));
    }

    /// Stops responding to requests for discovery and the key set, like [`Fault::Hang`].
    pub fn hang(&self) {
        self.fail(Fault::Hang);
    }

    /// Changes the issuer in the discovery document, like [`Fault::WrongIssuer`].
    pub fn wrong_issuer(&self, issuer: impl Into<String>) {
        self.fail_discovery(Fault::WrongIssuer(issuer.into()));
    }

    /// Ends all faults. Note that requests that are waiting because of [`Fault::Hang`] won't get a
    /// response.
    pub fn recover(&self) {
        self.state.faults.send_replace(Faults::default());
    }

    /// Closes the port and every connection. After this returns, new connections are refused, and
    /// the port stays reserved for this issuer.
    ///
    /// ```
    /// use warp_bearer::{auth::{Auth, AuthError, claims::NoPrivate}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// issuer.go_down().await;
    /// let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// let token = issuer.token().sign();
    /// let verdict = auth.verify::<NoPrivate>(&token).await;
    /// assert!(matches!(verdict.unwrap_err(), AuthError::KeysUnavailable { .. }));
    ///
    /// issuer.come_back().await;
    /// auth.refresh();
    /// auth.ready().await;
    /// assert!(auth.verify::<NoPrivate>(&token).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn go_down(&self) {
        self.server.close().await;
    }

    /// Listens again on the same port, with the same keys. Does nothing if the issuer is not down.
    ///
    /// # Panics
    /// Panics if another process has bound the port in the meantime. On Linux, this can't happen.
    pub async fn come_back(&self) {
        if let Err(fault) = self.listen().await {
            panic!("no issuer at {} again: {fault}", self.addr());
        }
    }

    async fn listen(&self) -> io::Result<()> {
        self.server.open(routes::routes(self.state.clone())).await
    }
}

/// Request counts.
impl Issuer {
    /// The number of requests so far, including those without a response.
    pub fn requests(&self) -> Requests {
        *self.state.requests.borrow()
    }

    /// Resets the counts to 0.
    pub fn reset_requests(&self) {
        self.state.requests.send_replace(Requests::default());
    }

    /// Waits until [`Requests::jwks`] is at least `count`.
    pub async fn jwks_requested(&self, count: u64) {
        let mut requests = self.state.requests.subscribe();
        // can't fail, `self` owns the sender
        let _ = requests.wait_for(|requests| requests.jwks >= count).await;
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("url", &self.state.url)
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}
