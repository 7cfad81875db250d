//! [`Introspector`]: gets the claims of a token from its issuer, with a cache and limits.
//!
//! - A cached response is used until it expires.
//! - Concurrent requests with the same token share one request to the issuer, which continues even
//!   if all of them are dropped.
//! - At most 64 requests to the issuer are in flight, and each unknown token needs a unit of the
//!   budget.
//!
//! Invariant: **only a valid response with `active: true` that passes every check becomes claims.**
//! Everything else is an error. If a response says inactive, or its claims fail a check, we cache
//! that as an error for 5 s. No other error is cached.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

#[cfg(feature = "service")]
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use crate::auth::{
    context,
    error::{AuthError, SetupError},
    introspection::{
        answer::{self, Answer},
        budget::{self, Budget, Reservation},
        cache::{Answers, Cached, REJECTION_TTL, TokenHash, Verdict},
        client::{Client, IntrospectionError},
        credentials::Credentials,
        options::{Introspection, Mode},
        status::IntrospectionStatus,
    },
    keys::fetch::{Access, Fetcher, in_trace},
    token::payload::Verified,
};

pub(in crate::auth) use crate::auth::introspection::answer::AnswerChecker;

/// The maximum number of requests in flight. Also the maximum number of requests about unknown
/// tokens, including those that wait for the budget.
pub(crate) const MAX_OPEN: usize = 64;

/// How long a request waits for a unit of the budget while all units are reserved
const BUDGET_TIMEOUT: Duration = Duration::from_secs(2);

/// The minimum length of a token. We never introspect shorter ones -- they could be guessed.
const MIN_TOKEN: usize = 16;

/// Introspects the tokens of one issuer. Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct Introspector {
    shared: Arc<Shared>,
    mode: Mode,
}

#[derive(Debug)]
struct Shared {
    client: Arc<Client>,
    checker: AnswerChecker,
    ttl: Duration,
    answers: Answers,
    state: Mutex<State>,
    reservation_ended: Notify,
    counts: Counts,
    /// The last failure, until a request succeeds
    failure: Mutex<Option<IntrospectionError>>,
    /// The last active answer, for `explain`. `None` unless [`Introspector::keep_answer`] was called.
    #[cfg(feature = "service")]
    kept: Mutex<Option<String>>,
}

#[derive(Debug)]
struct State {
    budget: Budget,
    open: HashMap<TokenHash, Open>,
    /// The number of open requests about tokens that were not active before
    unknown: usize,
}

impl State {
    /// Is there room for another request?
    ///
    /// At most [`budget::MAX_UNITS`] requests about unknown tokens are in flight. The rest wait for
    /// the budget, so made-up tokens cannot block requests about known ones.
    fn has_room(&self, is_known: bool) -> bool {
        let known = self.open.len() - self.unknown;
        let in_flight = known + self.unknown.min(budget::MAX_UNITS as usize);
        in_flight < MAX_OPEN && (is_known || self.unknown < MAX_OPEN)
    }
}

#[derive(Debug)]
struct Open {
    answered: watch::Receiver<Option<Verdict>>,
    is_known: bool,
}

#[derive(Debug, Default)]
struct Counts {
    active: AtomicU64,
    inactive: AtomicU64,
    failed: AtomicU64,
    denied: AtomicU64,
    refused: AtomicU64,
}

impl Introspector {
    pub(in crate::auth) fn new(
        options: &Introspection,
        configured: Option<reqwest::Url>,
        checker: AnswerChecker,
        fetcher: Arc<Fetcher>,
        access: Access,
    ) -> Result<Self, SetupError> {
        let issuer = Arc::clone(&checker.context.issuer);
        let credentials = Credentials::new(options)?;
        Ok(Self {
            mode: options.mode,
            shared: Arc::new(Shared {
                client: Arc::new(Client::new(
                    issuer,
                    configured,
                    credentials,
                    fetcher,
                    access,
                )),
                checker,
                ttl: options.ttl,
                answers: Answers::new(),
                state: Mutex::new(State {
                    budget: Budget::new(Instant::now()),
                    open: HashMap::new(),
                    unknown: 0,
                }),
                reservation_ended: Notify::new(),
                counts: Counts::default(),
                failure: Mutex::default(),
                #[cfg(feature = "service")]
                kept: Mutex::default(),
            }),
        })
    }

    pub(in crate::auth) fn mode(&self) -> Mode {
        self.mode
    }

    /// The claims of an opaque token.
    ///
    /// # Errors
    /// Returns [`AuthError::TokenNotJwt`] if the token is too short or not UTF-8.
    pub(in crate::auth) async fn opaque(&self, token: &[u8]) -> Verdict {
        let text = str::from_utf8(token).map_err(|_| AuthError::TokenNotJwt)?;
        if token.len() < MIN_TOKEN {
            return Err(AuthError::TokenNotJwt);
        }
        self.verdict(text, None).await
    }

    /// The claims of a verified JWT, limited to what the introspection response grants
    pub(in crate::auth) async fn jwt(&self, token: &[u8], jwt: &Arc<Verified>) -> Verdict {
        let text = str::from_utf8(token).map_err(|_| AuthError::TokenMalformed)?;
        self.verdict(text, Some(jwt)).await
    }

    async fn verdict(&self, token: &str, jwt: Option<&Arc<Verified>>) -> Verdict {
        let hash = TokenHash::of(token.as_bytes());
        let is_known = match self.shared.answers.get(hash, Instant::now()) {
            Cached::Fresh(verdict) => {
                let verified = verdict?;
                self.shared.checker.check_times(&verified)?;
                return Ok(verified);
            }
            Cached::WasActive => true,
            Cached::Unknown => false,
        };
        // We have verified the JWT, so it isn't made up. Count it as known, so that a flood of
        // made-up tokens can't block it.
        let is_known = is_known || jwt.is_some();
        // boxed, so that the future of every other request stays small
        Box::pin(self.ask(hash, token, jwt, is_known)).await
    }

    async fn ask(
        &self,
        hash: TokenHash,
        token: &str,
        jwt: Option<&Arc<Verified>>,
        is_known: bool,
    ) -> Verdict {
        let mut answered = self.join_or_open(hash, token, jwt, is_known)?;
        let began = std::time::Instant::now();
        let verdict = answered.wait_for(Option::is_some).await;
        context::waited(context::WaitReason::Introspection, began);
        // If the sender is gone without a verdict, the task must have panicked
        let verdict = verdict.ok().and_then(|verdict| verdict.clone());
        verdict.unwrap_or(Err(unavailable(Duration::from_secs(1))))
    }

    fn join_or_open(
        &self,
        hash: TokenHash,
        token: &str,
        jwt: Option<&Arc<Verified>>,
        is_known: bool,
    ) -> Result<watch::Receiver<Option<Verdict>>, AuthError> {
        let shared = &self.shared;
        let mut state = shared.state();
        if let Some(open) = state.open.get(&hash) {
            return Ok(open.answered.clone());
        }
        // Look again now that we have the lock: the response might have arrived since the first
        // lookup.
        if let Cached::Fresh(verdict) = shared.answers.get(hash, Instant::now()) {
            return Ok(watch::channel(Some(verdict)).1);
        }
        if !state.has_room(is_known) {
            drop(state);
            shared.counts.refused.fetch_add(1, Relaxed);
            return Err(unavailable(Duration::from_secs(1)));
        }
        let (sender, answered) = watch::channel(None);
        let open = Open {
            answered: answered.clone(),
            is_known,
        };
        state.open.insert(hash, open);
        state.unknown += usize::from(!is_known);
        drop(state);
        let request = OpenRequest {
            shared: Arc::clone(shared),
            hash,
        };
        let (token, jwt) = (token.to_owned(), jwt.cloned());
        tokio::spawn(in_trace(context::traceparent(), async move {
            let verdict = request.verdict(&token, jwt.as_deref(), is_known).await;
            sender.send_replace(Some(verdict));
        }));
        Ok(answered)
    }

    pub(in crate::auth) fn refresh(&self) {
        self.shared.client.refresh();
    }

    pub(in crate::auth) fn status(&self) -> IntrospectionStatus {
        let counts = &self.shared.counts;
        IntrospectionStatus {
            issuer: self.shared.checker.context.issuer.to_string(),
            active: counts.active.load(Relaxed),
            inactive: counts.inactive.load(Relaxed),
            failed: counts.failed.load(Relaxed),
            denied: counts.denied.load(Relaxed),
            refused: counts.refused.load(Relaxed),
            cached: self.shared.answers.len(),
        }
    }

    #[cfg(feature = "service")]
    pub(in crate::auth) fn checker(&self) -> &AnswerChecker {
        &self.shared.checker
    }

    /// Keeps the next active answer for [`kept_answer`](Self::kept_answer), accepted or not. Only
    /// `explain` does this, for one token.
    #[cfg(feature = "service")]
    pub(in crate::auth) fn keep_answer(&self) {
        self.shared.kept().get_or_insert_default();
    }

    /// Returns the active answer that was kept. `None` if there was none.
    #[cfg(feature = "service")]
    pub(in crate::auth) fn kept_answer(&self) -> Option<String> {
        self.shared.kept().clone().filter(|kept| !kept.is_empty())
    }

    /// Tests the endpoint and the credentials with a made-up token. If the token is active, the
    /// endpoint accepts tokens that the issuer never issued, and this is an error.
    #[cfg(feature = "service")]
    pub(in crate::auth) async fn probe(&self) -> Result<(), IntrospectionError> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| IntrospectionError::Unsigned)?;
        let token = BASE64_URL_SAFE_NO_PAD.encode(random);
        match self.shared.client.ask(&token).await? {
            Answer::Inactive => Ok(()),
            Answer::Active(_) => Err(self.shared.client.accepts_made_up()),
        }
    }
}

fn unavailable(retry_after: Duration) -> AuthError {
    AuthError::IntrospectionUnavailable { retry_after }
}

/// An open request. Closed on drop, even after a panic.
struct OpenRequest {
    shared: Arc<Shared>,
    hash: TokenHash,
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if let Some(open) = state.open.remove(&self.hash) {
            state.unknown -= usize::from(!open.is_known);
        }
    }
}

impl OpenRequest {
    async fn verdict(&self, token: &str, jwt: Option<&Verified>, is_known: bool) -> Verdict {
        let shared = &self.shared;
        let reserved = if is_known {
            None
        } else {
            Some(Reserved::wait(shared).await?)
        };
        let (verdict, is_active) = shared.ask(token, jwt, self.hash).await;
        if let Some(mut reserved) = reserved {
            reserved.is_spent = !is_active;
        }
        verdict
    }
}

/// A reserved unit of the budget, spent on drop unless the token is active
struct Reserved<'s> {
    shared: &'s Shared,
    is_spent: bool,
}

impl<'s> Reserved<'s> {
    /// Reserves a unit. Waits as long as all units are reserved but some may still come back.
    async fn wait(shared: &'s Shared) -> Result<Self, AuthError> {
        let deadline = Instant::now() + BUDGET_TIMEOUT;
        loop {
            let mut reservation_ended = pin!(shared.reservation_ended.notified());
            // register before checking the budget, so that we don't miss a signal
            reservation_ended.as_mut().enable();
            let reservation = shared.state().budget.reserve(Instant::now());
            let retry_after = match reservation {
                Reservation::Granted => {
                    let is_spent = true;
                    return Ok(Self { shared, is_spent });
                }
                Reservation::Empty(wait) => wait,
                Reservation::Wait => {
                    if timeout_at(deadline, reservation_ended).await.is_ok() {
                        continue;
                    }
                    Duration::from_secs(1)
                }
            };
            shared.counts.refused.fetch_add(1, Relaxed);
            return Err(unavailable(retry_after));
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.shared.state().budget.settle(self.is_spent);
        self.shared.reservation_ended.notify_waiters();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "service")]
    fn kept(&self) -> MutexGuard<'_, Option<String>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks an active response.
    fn checked(&self, text: String, jwt: Option<&Verified>) -> Result<Verified, AuthError> {
        #[cfg(feature = "service")]
        if let Some(kept) = &mut *self.kept() {
            kept.clone_from(&text);
        }
        self.checker.verified(text, jwt)
    }

    /// Sends the request and caches a valid response. The flag says whether the token is active.
    async fn ask(&self, token: &str, jwt: Option<&Verified>, hash: TokenHash) -> (Verdict, bool) {
        match self.client.ask(token).await {
            Ok(Answer::Inactive) => {
                self.succeeded(&self.counts.inactive);
                let verdict = Err(AuthError::TokenInactive);
                self.answers
                    .insert(hash, verdict.clone(), Instant::now() + REJECTION_TTL);
                (verdict, false)
            }
            Ok(Answer::Active(text)) => match self.checked(text, jwt) {
                Ok(answer) if jwt.is_some_and(|jwt| answer::is_about_another(jwt, &answer)) => {
                    let error = self.client.other_token();
                    (Err(self.failed(&error)), false)
                }
                Ok(answer) => {
                    self.succeeded(&self.counts.active);
                    let verified = match jwt {
                        None => Ok(answer),
                        Some(jwt) => jwt.limited_by(&answer),
                    };
                    (self.remember(hash, verified), true)
                }
                Err(error) => {
                    self.succeeded(&self.counts.active);
                    (self.remember(hash, Err(error)), true)
                }
            },
            Err(error) => (Err(self.failed(&error)), false),
        }
    }

    /// Caches the result of checking an active response. Claims are kept for the time to live, but
    /// never longer than the token is valid, and an error for just a few seconds.
    fn remember(&self, hash: TokenHash, verdict: Result<Verified, AuthError>) -> Verdict {
        let time = match &verdict {
            Ok(verified) => {
                let lifetime = self.checker.lifetime(verified).max(0.0);
                let lifetime = Duration::try_from_secs_f64(lifetime).unwrap_or(self.ttl);
                self.ttl.min(lifetime)
            }
            Err(_) => REJECTION_TTL,
        };
        let verdict = verdict.map(Arc::new);
        self.answers
            .insert(hash, verdict.clone(), Instant::now() + time);
        verdict
    }

    fn succeeded(&self, count: &AtomicU64) {
        count.fetch_add(1, Relaxed);
        if self.failure().take().is_some() {
            let issuer = &*self.checker.context.issuer;
            tracing::info!(issuer, "introspection works again");
        }
    }

    /// Counts and logs a failure. If it equals the last one, we log it at debug level.
    fn failed(&self, error: &IntrospectionError) -> AuthError {
        self.counts.failed.fetch_add(1, Relaxed);
        let is_denied = matches!(error, IntrospectionError::Denied(..));
        if is_denied {
            self.counts.denied.fetch_add(1, Relaxed);
        }
        let is_repeated = self.failure().replace(error.clone()).as_ref() == Some(error);
        let issuer = &*self.checker.context.issuer;
        if is_repeated {
            tracing::debug!(issuer, %error, "introspection failed again");
        } else if is_denied {
            tracing::error!(issuer, %error, "introspection denied: the endpoint rejects the client's credentials");
        } else {
            tracing::warn!(issuer, %error, "introspection failed");
        }
        unavailable(Duration::from_secs(1))
    }

    fn failure(&self) -> MutexGuard<'_, Option<IntrospectionError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
