//! The state that the routes read and that tests change.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::issuer::{
    client::Client,
    faults::{Fault, Faults},
    key_set::KeySet,
    keys::{SigningKey, random_name},
    mint::{Profile, TokenBuilder},
    tokens::Tokens,
};

pub(super) const JWKS: &str = "/.well-known/jwks.json";
pub(super) const TOKEN: &str = "/oauth/token";
pub(super) const INTROSPECT: &str = "/oauth/introspect";
pub(super) const REVOKE: &str = "/oauth/revoke";

/// The number of requests since the issuer started, or since
/// [`reset_requests`](crate::issuer::Issuer::reset_requests).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests for the discovery document, including failed ones.
    pub discovery: u64,
    /// Requests for the key set, including failed, unanswered and conditional ones.
    pub jwks: u64,
    /// Requests for the key set that got a 304.
    pub not_modified: u64,
    /// Requests for a token, including rejected ones.
    pub token: u64,
    /// Requests to introspect a token, including failed and rejected ones.
    pub introspection: u64,
}

/// The state that the routes share. It must not own the server, which would then keep itself alive
/// after the last `Issuer` is dropped.
pub(super) struct State {
    pub(super) addr: SocketAddr,
    pub(super) url: String,
    pub(super) jwks_uri: String,
    pub(super) token_endpoint: String,
    pub(super) audience: String,
    pub(super) client: Client,
    settings: Mutex<Settings>,
    tokens: Mutex<Tokens>,
    pub(super) faults: watch::Sender<Faults>,
    pub(super) requests: watch::Sender<Requests>,
}

pub(super) struct Settings {
    pub(super) keys: KeySet,
    pub(super) max_age: Option<u64>,
    pub(super) etag: bool,
    pub(super) profile: Profile,
    pub(super) origins: Vec<String>,
    pub(super) opaque: bool,
    /// Set if clients must send their credentials in the form, and not by HTTP Basic
    pub(super) form_only: bool,
}

impl State {
    pub(super) fn new(addr: SocketAddr, key: SigningKey, client: Client) -> Self {
        Self {
            addr,
            url: format!("http://{addr}/"),
            jwks_uri: format!("http://{addr}{JWKS}"),
            token_endpoint: format!("http://{addr}{TOKEN}"),
            audience: "https://api.example.com".to_owned(),
            client,
            settings: Mutex::new(Settings {
                keys: KeySet::new(key),
                max_age: Some(600),
                etag: true,
                profile: Profile::default(),
                origins: Vec::new(),
                opaque: false,
                form_only: false,
            }),
            tokens: Mutex::default(),
            faults: watch::Sender::default(),
            requests: watch::Sender::default(),
        }
    }

    pub(super) fn token(&self) -> TokenBuilder {
        let key = self.settings().keys.current().clone();
        TokenBuilder::new(key, &self.url, &self.audience)
    }

    /// Issues a token for a client: an opaque one if `opaque` is set, otherwise a JWT. The token
    /// will be active at introspection.
    pub(super) fn granted(&self, token: TokenBuilder) -> String {
        let claims = token.claims().clone();
        let token = if self.settings().opaque {
            match random_name(32) {
                Ok(name) => name,
                Err(fault) => panic!("no randomness: {fault}"),
            }
        } else {
            token.sign()
        };
        self.tokens().insert(token.clone(), claims);
        token
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, add: fn(&mut Requests)) {
        self.requests.send_modify(add);
    }

    /// Waits while the fault that `of` returns is [`Fault::Hold`], and returns the next fault.
    pub(super) async fn fault(&self, of: fn(&Faults) -> &Option<Fault>) -> Option<Fault> {
        let mut faults = self.faults.subscribe();
        let held = |faults: &Faults| matches!(of(faults), Some(Fault::Hold));
        let settled = faults.wait_for(|faults| !held(faults)).await;
        settled.ok().and_then(|faults| of(&faults).clone())
    }
}
