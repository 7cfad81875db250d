//! [`Resolver`]: looks up issuers that are not configured, with a function that the user provides.
//!
//! Known and unknown names are cached for a limited time, in two bounded caches, so that made-up
//! names can only evict each other. Concurrent requests for a name share one lookup, and at most
//! [`MAX_LOOKUPS`] lookups run at once. Beyond that, requests get a 503, and so does each request
//! that waits for a lookup longer than [`LOOKUP_TIMEOUT`].
//!
//! We refresh the keys of each cached issuer in the background, so there's also a task that drops
//! the issuers that are no longer used.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use quick_cache::sync::Cache;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use crate::algorithm::Algorithm;
use crate::auth::{
    error::{AuthError, SetupError},
    issuer::{TENANT, TrustedIssuer},
    token::payload::IssuerContext,
    trusted::Trusted,
};

/// The maximum number of cached issuers, and of cached unknown names
const MAX_CACHED: usize = 1000;
const ISSUER_TTL: Duration = Duration::from_secs(10 * 60);
/// How long an issuer is kept after [`ISSUER_TTL`]. A request during this time resolves the issuer
/// again, and the issuer keeps its keys. This means that an issuer that's in use will work even
/// while we can't fetch its keys.
const GRACE: Duration = ISSUER_TTL;
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const UNKNOWN_TTL: Duration = Duration::from_secs(60);
/// The timeout of a request that waits for a lookup
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// A lookup times out this much earlier than the request that waits for it.
const MARGIN: Duration = Duration::from_millis(50);
/// How long a lookup without an answer is cached. Also the `Retry-After` of the requests that
/// waited for it.
const FAILURE_TTL: Duration = Duration::from_secs(1);
const UNAVAILABLE: AuthError = AuthError::KeysUnavailable {
    retry_after: FAILURE_TTL,
};
const MAX_LOOKUPS: usize = 16;
/// The maximum length of a name in bytes. We don't look up longer ones.
const MAX_NAME: usize = 1024;

/// The slot of a resolved issuer, which isn't in the list of issuers
pub(crate) const NO_SLOT: usize = usize::MAX;

pub(crate) type Answer = Pin<Box<dyn Future<Output = Option<TrustedIssuer>> + Send>>;
pub(crate) type Resolve = Arc<dyn Fn(String) -> Answer + Send + Sync>;
pub(crate) type Prescreen = Arc<dyn Fn(&str) -> bool + Send + Sync>;
/// Creates an issuer from its options, with the keys and rules of the previous issuer if possible.
pub(crate) type Trust =
    Box<dyn Fn(&TrustedIssuer, Option<&Trusted>) -> Result<Trusted, SetupError> + Send + Sync>;

pub(crate) struct Resolver {
    resolve: Resolve,
    prescreen: Option<Prescreen>,
    trust: Trust,
    /// The algorithms of issuers that set none of their own.
    pub(crate) algorithms: Arc<[Algorithm]>,
    issuers: Arc<CachedIssuers>,
    /// The task that drops unused issuers. It is aborted together with the resolver.
    sweeper: OnceLock<JoinSet<()>>,
    unknown: Cache<String, Lookup>,
    lookups: Semaphore,
}

type CachedIssuers = Cache<String, CachedIssuer>;

#[derive(Clone)]
struct CachedIssuer {
    issuer: Arc<Trusted>,
    until: Instant,
}

/// The result of a lookup, shared by all requests that wait for it
#[derive(Clone)]
struct Lookup {
    outcome: Result<CachedIssuer, AuthError>,
    until: Instant,
}

impl Resolver {
    pub(crate) fn new(
        resolve: Resolve,
        prescreen: Option<Prescreen>,
        trust: Trust,
        algorithms: &[Algorithm],
    ) -> Self {
        Self {
            resolve,
            prescreen,
            trust,
            algorithms: algorithms.into(),
            issuers: Arc::new(Cache::new(MAX_CACHED)),
            sweeper: OnceLock::new(),
            unknown: Cache::new(MAX_CACHED),
            lookups: Semaphore::new(MAX_LOOKUPS),
        }
    }

    /// The issuer that owns this context, if it's still cached
    pub(crate) fn with_context(&self, context: &Arc<IssuerContext>) -> Option<Arc<Trusted>> {
        let held = self.issuers.get(&*context.issuer)?;
        let is_current = held.until > Instant::now() && Arc::ptr_eq(&held.issuer.context, context);
        is_current.then_some(held.issuer)
    }

    /// Finds an issuer by its name, in the cache or with a lookup.
    ///
    /// # Errors
    /// [`AuthError::UnknownIssuer`] if the name is unknown, and [`AuthError::KeysUnavailable`] if
    /// the function doesn't return in time or too many lookups are in flight.
    pub(crate) async fn issuer(&self, name: &str) -> Result<Arc<Trusted>, AuthError> {
        let now = Instant::now();
        let held = self.issuers.get(name);
        if let Some(held) = &held
            && held.until > now
        {
            return Ok(Arc::clone(&held.issuer));
        }
        let is_possible = |prescreen: &Prescreen| prescreen(name);
        if name.len() > MAX_NAME || !self.prescreen.as_ref().is_none_or(is_possible) {
            return Err(AuthError::UnknownIssuer);
        }
        if let Some(lookup) = self.unknown.get(name)
            && lookup.until <= now
        {
            self.unknown.remove(name);
        }
        let before = held.map(|held| held.issuer);
        // The cache runs one lookup for concurrent requests with the same name. If the request that
        // runs it is dropped, the next one starts a new lookup. `timeout_at` limits the whole wait.
        // A lookup ends `MARGIN` before its request, so that we can cache its failure and share it.
        let deadline = now + LOOKUP_TIMEOUT;
        let lookup = self
            .unknown
            .get_or_insert_async(name, self.ask(name, before, deadline - MARGIN));
        let lookup = timeout_at(deadline, lookup).await;
        let held = match lookup.map_err(|_| UNAVAILABLE)??.outcome {
            Ok(held) => held,
            Err(error) => {
                if error == AuthError::UnknownIssuer {
                    self.issuers.remove(name);
                }
                return Err(error);
            }
        };
        let issuer = Arc::clone(&held.issuer);
        self.issuers.insert(name.to_owned(), held);
        self.unknown.remove(name);
        self.sweeper.get_or_init(|| {
            let mut task = JoinSet::new();
            task.spawn(drop_unused(Arc::clone(&self.issuers)));
            task
        });
        Ok(issuer)
    }

    async fn ask(
        &self,
        name: &str,
        before: Option<Arc<Trusted>>,
        deadline: Instant,
    ) -> Result<Lookup, AuthError> {
        // Don't cache this failure -- we haven't called the function, so a later try will cost
        // nothing.
        let _permit = self.lookups.try_acquire().map_err(|_| UNAVAILABLE)?;
        let answer = timeout_at(deadline, (self.resolve)(name.to_owned())).await;
        let now = Instant::now();
        let Ok(options) = answer else {
            return Ok(Lookup {
                outcome: Err(UNAVAILABLE),
                until: now + FAILURE_TTL,
            });
        };
        let trusted = options.and_then(|options| {
            if options.issuer != name {
                tracing::error!("issuer resolver returned an issuer with another name");
                return None;
            }
            match (self.trust)(&options, before.as_deref()) {
                Ok(trusted) => Some(trusted),
                Err(error) => {
                    tracing::error!(%error, "issuer resolver returned an invalid issuer");
                    None
                }
            }
        });
        let held = trusted.map(|trusted| CachedIssuer {
            issuer: match before {
                Some(before)
                    if before.is_same(&trusted.context, &trusted.rules, &trusted.origin) =>
                {
                    before
                }
                _ => Arc::new(trusted),
            },
            until: now + ISSUER_TTL,
        });
        let until = now + UNKNOWN_TTL;
        let outcome = held.ok_or(AuthError::UnknownIssuer);
        Ok(Lookup { outcome, until })
    }

    pub(crate) fn held(&self) -> Vec<Arc<Trusted>> {
        let held = self.issuers.iter().map(|(_, held)| held.issuer);
        held.collect()
    }
}

/// Drops the issuers that no request has used for some time. Runs until the task is aborted.
async fn drop_unused(issuers: Arc<CachedIssuers>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let now = Instant::now();
        issuers.retain(|_, held| held.until + GRACE > now);
    }
}

/// Returns the part of an issuer's name that matches `{tenantid}` in `template`. `None` if the rest
/// of the name differs, or if this part has characters other than letters, digits, `-`, `.` and
/// `_`.
///
/// Use it in [`Builder::prescreen`](crate::auth::Builder::prescreen), to reject names without a
/// lookup.
///
/// ```
/// use warp_bearer::auth::tenant_of;
///
/// const ENTRA: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
/// let name = "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0";
/// assert_eq!(tenant_of(ENTRA, name), Some("72f988bf-86f1-41af-91ab-2d7cd011db47"));
/// assert_eq!(tenant_of(ENTRA, "https://login.microsoftonline.com/a/b/v2.0"), None);
/// assert_eq!(tenant_of(ENTRA, "https://evil.example/a/v2.0"), None);
/// ```
pub fn tenant_of<'n>(template: &str, name: &'n str) -> Option<&'n str> {
    let (before, after) = template.split_once(TENANT)?;
    let tenant = name.strip_prefix(before)?.strip_suffix(after)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    (!tenant.is_empty() && tenant != "." && tenant != ".." && tenant.chars().all(fits))
        .then_some(tenant)
}
