//! [`Verified`]: the payload of a verified token, with fast access to the claims that every request
//! uses.
//!
//! We store claims as positions in the payload, so only strings with JSON escapes have to be
//! copied. The claims are checked in `checks.rs`.

use std::{
    borrow::Cow,
    fmt, slice,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use smallvec::SmallVec;

use crate::algorithm::Algorithm;

#[cfg(feature = "service")]
use crate::auth::token::identity_fields::IdentityFields;
use crate::auth::{
    challenge::Challenge,
    clock::Clock,
    error::AuthError,
    keys::key_set::Key,
    revocation::list::{RevocableClaims, RevocationList, State},
    token::{
        checks::{TimeRules, Times},
        confirmation::Binding,
        implied::ImpliedScopes,
        json::{self, Value},
        pseudonym::Pseudonym,
        registered::Registered,
    },
};

pub(crate) struct Verified {
    /// The payload, followed by claims that had escapes and therefore are not slices of the
    /// payload.
    text: String,
    payload: Offset,
    claims: ClaimSpans,
    pub(crate) times: Times,
    pub(crate) context: Arc<IssuerContext>,
    pub(crate) source: VerifiedBy,
    /// The key or certificate that the token is bound to. Boxed, because tokens usually don't have
    /// one.
    pub(crate) binding: Option<Box<Binding>>,
    /// Computed when we first log it
    pseudonym: OnceLock<Option<Pseudonym>>,
    /// The last version of the revocation list in which we looked up the token and did not find it.
    /// 0 if we never did.
    not_revoked_in: AtomicU64,
    /// The number of the policy that the token last met. 0 if there is none.
    pub(crate) met_last: AtomicU64,
    /// Created when a proxy first asks about the token
    #[cfg(feature = "service")]
    pub(crate) fields: IdentityFields,
}

/// The position of each claim. This should stay small, every cached token contains one.
#[derive(Clone)]
struct ClaimSpans {
    subject: Option<Span>,
    /// `scope`, if it is a string
    scope: Option<Span>,
    /// `scp`, if it is a string
    scp: Option<Span>,
    /// The items of `scope` and `scp` that are one scope, if they are arrays, then the items of the
    /// audience, then those of the permissions.
    lists: SmallVec<[Span; INLINE_ITEMS]>,
    /// The index in `lists` where the audience begins
    audience: Offset,
    /// The index in `lists` where the permissions begin
    permissions: Offset,
}

/// The maximum lifetime to record, in seconds: 100 years.
const CENTURY: u64 = 100 * 365 * 86_400;

/// Tokens usually have at most this number of items. If there are more, they go on the heap.
const INLINE_ITEMS: usize = 4;

type Span = (Offset, Offset);

/// A position in a text. 16 bits are not enough: a token or an introspection response may have 64
/// KiB, plus the claims that had escapes.
type Offset = u32;

impl Verified {
    /// The payload as the issuer signed it, unless introspection has limited it
    pub(crate) fn payload(&self) -> &str {
        self.read((0, self.payload))
    }

    pub(crate) fn subject(&self) -> Option<&str> {
        self.claims.subject.map(|subject| self.read(subject))
    }

    pub(crate) fn audience(&self) -> impl Iterator<Item = &str> {
        self.list(self.claims.audience, self.claims.permissions)
    }

    pub(crate) fn permissions(&self) -> impl Iterator<Item = &str> {
        self.list(self.claims.permissions, Offset::MAX)
    }

    /// `scope` and `scp` if they are strings of scopes separated by spaces
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        let strings = [self.claims.scope, self.claims.scp].into_iter();
        strings.flatten().map(|string| self.read(string))
    }

    /// The items of `scope` and `scp` that are one scope, if they are arrays
    pub(crate) fn scopes_one_by_one(&self) -> impl Iterator<Item = &str> {
        self.list(0, self.claims.audience)
    }

    pub(crate) fn pseudonym(&self) -> Option<Pseudonym> {
        let of = || Pseudonym::of(&self.context.issuer, self.subject()?);
        *self.pseudonym.get_or_init(of)
    }

    /// In bytes, without the allocator's overhead.
    pub(crate) fn size(&self) -> usize {
        let lists = &self.claims.lists;
        let lists = if lists.spilled() {
            size_of_val(&**lists)
        } else {
            0
        };
        let binding = self.binding.as_deref().map_or(0, size_of_val);
        size_of::<Self>() + self.text.len() + lists + binding
    }

    /// Checks that the token is not revoked. This will only look it up once for each version of the
    /// revocation list, and a cached token usually needs no lookup at all.
    pub(crate) fn check_not_revoked(&self) -> Result<(), AuthError> {
        let version = match self.context.revocations.state() {
            State::Empty => return Ok(()),
            State::Version(version) if version == self.not_revoked_in.load(Relaxed) => {
                return Ok(());
            }
            State::Version(version) => version,
            State::Unknown => {
                return Err(AuthError::StateUnavailable {
                    retry_after: std::time::Duration::from_secs(1),
                });
            }
        };
        if self.is_revoked() {
            return Err(AuthError::TokenRevoked);
        }
        self.not_revoked_in.store(version, Relaxed);
        Ok(())
    }

    pub(crate) fn is_revoked(&self) -> bool {
        let context = &self.context;
        let mut marks = RevocableClaims {
            issued: self.times.issued,
            ..RevocableClaims::default()
        };
        if context
            .revocations
            .has_only_subject_entries(&context.issuer)
        {
            // don't parse the payload again
            marks.sub = self.subject().map(Cow::Borrowed);
        } else {
            // The payload was accepted before, so this should always succeed
            let _ = json::members(self.payload(), |name, value| match (name, value) {
                ("jti", Value::Text(jti)) => marks.jti = Some(jti),
                ("sub", Value::Text(sub)) => marks.sub = Some(sub),
                ("sid", Value::Text(sid)) => marks.sid = Some(sid),
                ("client_id" | "azp" | "cid", Value::Text(client)) => marks.clients.push(client),
                _ => {}
            });
        }
        let now = context.clock.now();
        context.revocations.has(&context.issuer, &marks, now)
    }

    /// These claims, limited by an introspection response about the same token. The result expires
    /// at the earlier of both times, and grants only scopes that are in both. A response without
    /// scopes does not limit them. Note that we have to change the payload too, because
    /// applications read it.
    ///
    /// # Errors
    /// Returns [`AuthError::TokenBound`] if they are bound to different keys.
    pub(crate) fn limited_by(&self, answer: &Self) -> Result<Self, AuthError> {
        let binding = Binding::of_both(self.binding.as_deref(), answer.binding.as_deref())?;
        let payload = self.payload_limited_by(answer)?;
        let times = Times {
            expires: self.times.expires.min(answer.times.expires),
            ..self.times
        };
        let claims = Registered::parse(&payload)?;
        let extract = Extract::new(&payload, &claims, times, binding);
        drop(claims);
        let context = Arc::clone(&self.context);
        Ok(extract.verified(payload, context, self.source.clone()))
    }

    /// The payload with `scope`, `scp` and `exp` limited by a response. If there is nothing to
    /// limit, it stays as it was signed.
    fn payload_limited_by(&self, answer: &Self) -> Result<String, AuthError> {
        let limits_scopes = answer.lists_scopes();
        let expires_earlier = answer.times.expires < self.times.expires;
        let mut is_limited = false;
        let mut payload = String::with_capacity(self.payload().len());
        let members = json::object(self.payload()).map_err(|_| AuthError::TokenMalformed)?;
        for (name, value) in members {
            let limited = match &*name {
                "scope" | "scp" if limits_scopes => answer.granted_of(value),
                "exp" if expires_earlier => {
                    json::member(answer.payload(), "exp").map(Cow::Borrowed)
                }
                _ => None,
            };
            is_limited |= limited.is_some();
            let value = limited.unwrap_or(Cow::Borrowed(value));
            let start = if payload.is_empty() { '{' } else { ',' };
            payload.push(start);
            payload.push_str(&serde_json::Value::from(name).to_string());
            payload.push(':');
            payload.push_str(&value);
        }
        if !is_limited {
            return Ok(self.payload().to_owned());
        }
        payload.push('}');
        Ok(payload)
    }

    /// Limits a value of `scope` or `scp` to the scopes that these claims grant. `None` if they
    /// grant all of them.
    fn granted_of(&self, scopes: &str) -> Option<Cow<'static, str>> {
        let is_granted = |name: &str| {
            let mut words = self.scopes().flat_map(|string| string.split(' '));
            words.any(|word| word == name) || self.scopes_one_by_one().any(|word| word == name)
        };
        let scopes = json::accepted::<serde_json::Value>(scopes).ok()?;
        let limited = match &scopes {
            serde_json::Value::String(text) => {
                let words = text.split(' ');
                let words = words.filter(|name| !name.is_empty() && is_granted(name));
                serde_json::Value::from(words.collect::<Vec<_>>().join(" "))
            }
            serde_json::Value::Array(items) => {
                let items = items
                    .iter()
                    .filter(|item| item.as_str().is_some_and(is_granted));
                items.cloned().collect()
            }
            _ => return None,
        };
        (limited != scopes).then(|| Cow::Owned(limited.to_string()))
    }

    /// The payload has a claim for scopes, which may be an empty list.
    fn lists_scopes(&self) -> bool {
        let claims = ["scope", "scp"].map(|name| json::member(self.payload(), name));
        claims
            .into_iter()
            .flatten()
            .any(|value| value.trim() != "null")
    }

    fn list(&self, from: Offset, to: Offset) -> impl Iterator<Item = &str> {
        let spans = self.claims.lists.iter().take(to as usize);
        spans.skip(from as usize).map(|span| self.read(*span))
    }

    fn read(&self, (from, to): Span) -> &str {
        let text = self.text.get(from as usize..to as usize);
        text.unwrap_or_default()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

/// The claims of a payload, extracted before the signature is verified
pub(crate) struct Extract {
    claims: ClaimSpans,
    times: Times,
    binding: Option<Box<Binding>>,
    escaped: String,
}

impl Extract {
    pub(crate) fn new(
        payload: &str,
        claims: &Registered<'_>,
        times: Times,
        binding: Option<Binding>,
    ) -> Self {
        let mut cut = SpanFinder {
            payload,
            escaped: String::new(),
        };
        let scopes = texts(claims.scope.as_ref().filter(|scope| is_list(scope)));
        let scps = texts(claims.scp.as_ref().filter(|scp| is_list(scp)));
        // an item with a space isn't one scope, and grants nothing
        let granted = scopes.iter().chain(scps);
        let granted = granted.filter(|item| !item.is_empty() && !item.contains(' '));
        let audience = texts(claims.aud.as_ref());
        let permissions = texts(claims.permissions.as_ref());
        let capacity = scopes.len() + scps.len() + audience.len() + permissions.len();
        let mut lists = SmallVec::with_capacity(capacity);
        lists.extend(granted.map(|text| cut.span(text)));
        let granted = lists.len();
        for list in [audience, permissions] {
            lists.extend(list.iter().map(|text| cut.span(text)));
        }
        let claims = ClaimSpans {
            subject: cut.text(claims.sub.as_ref()),
            scope: cut.text(claims.scope.as_ref()),
            scp: cut.text(claims.scp.as_ref()),
            lists,
            audience: offset(granted),
            permissions: offset(granted + audience.len()),
        };
        Self {
            claims,
            times,
            binding: binding.map(Box::new),
            escaped: cut.escaped,
        }
    }

    /// Combines the claims with their payload. Call this only after the signature is verified, or
    /// with an introspection answer that is active.
    pub(crate) fn verified(
        self,
        payload: String,
        context: Arc<IssuerContext>,
        source: VerifiedBy,
    ) -> Verified {
        context.record_lifetime(&self.times);
        let length = offset(payload.len());
        let mut text = payload;
        text.push_str(&self.escaped);
        Verified {
            text,
            payload: length,
            claims: self.claims,
            times: self.times,
            context,
            source,
            binding: self.binding,
            pseudonym: OnceLock::new(),
            not_revoked_in: AtomicU64::new(0),
            met_last: AtomicU64::new(0),
            #[cfg(feature = "service")]
            fields: IdentityFields::default(),
        }
    }
}

/// The source of trust in a token: a key, a secret, or introspection.
#[derive(Debug, Clone)]
pub(crate) enum VerifiedBy {
    Key(Arc<Key>),
    Secret,
    Introspection,
}

impl VerifiedBy {
    pub(crate) fn of(algorithm: Algorithm, key: Arc<Key>) -> Self {
        if algorithm.is_symmetric() {
            Self::Secret
        } else {
            Self::Key(key)
        }
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        match self {
            Self::Key(key) => key.kid(),
            Self::Secret | Self::Introspection => None,
        }
    }
}

/// The data that all tokens of an issuer share: the issuer's name, the challenge of this API, the
/// options for reading claims, and the rules for how long a verified token is valid.
#[derive(Debug)]
pub(crate) struct IssuerContext {
    pub(crate) issuer: Arc<str>,
    pub(crate) slot: usize,
    pub(crate) challenge: Challenge,
    pub(crate) roles_at: Arc<str>,
    /// Set if verified JWTs are introspected too.
    pub(crate) introspects_jwts: bool,
    pub(crate) clock: Clock,
    pub(crate) rules: TimeRules,
    pub(crate) revocations: Arc<RevocationList>,
    pub(crate) groups_at: Arc<str>,
    /// The scopes that every token of the issuer must grant, separated by spaces
    pub(crate) required_scope: Option<Arc<str>>,
    pub(crate) implied: Arc<ImpliedScopes>,
    /// True if a token must be bound to the key of a DPoP proof
    pub(crate) requires_key: bool,
    /// The longest lifetime of any verified token, in whole seconds
    pub(crate) longest_lifetime: AtomicU64,
}

impl IssuerContext {
    /// Records the lifetime of the token, if it is the longest so far. Without `iat` we assume that
    /// the token was issued now.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    fn record_lifetime(&self, times: &Times) {
        let issued = times.issued.unwrap_or_else(|| self.clock.now());
        let lifetime = ((times.expires - issued).ceil() as u64).min(CENTURY);
        // usually all tokens have the same lifetime, so writes are rare
        if lifetime > self.longest_lifetime.load(Relaxed) {
            self.longest_lifetime.fetch_max(lifetime, Relaxed);
        }
    }

    /// Do both treat tokens in the same way, apart from what the issuer's `Rules` determine? (The
    /// slots may differ.)
    pub(crate) fn is_equivalent(&self, other: &Self) -> bool {
        self.issuer == other.issuer
            && self.challenge == other.challenge
            && self.roles_at == other.roles_at
            && self.groups_at == other.groups_at
            && self.required_scope == other.required_scope
            && self.implied == other.implied
            && self.requires_key == other.requires_key
    }
}

/// Finds the positions of strings in the payload that they were read from
struct SpanFinder<'a> {
    payload: &'a str,
    escaped: String,
}

impl SpanFinder<'_> {
    fn text(&mut self, claim: Option<&Value<'_>>) -> Option<Span> {
        match claim {
            Some(Value::Text(text)) => Some(self.span(text)),
            _ => None,
        }
    }

    #[allow(clippy::ptr_arg)] // the function depends on whether the text is borrowed
    fn span(&mut self, text: &Cow<'_, str>) -> Span {
        let from = match text {
            // The string is a slice of the payload, so the difference of their addresses is its
            // position.
            Cow::Borrowed(text) => {
                (text.as_ptr() as usize).wrapping_sub(self.payload.as_ptr() as usize)
            }
            Cow::Owned(text) => {
                let from = self.payload.len() + self.escaped.len();
                self.escaped.push_str(text);
                from
            }
        };
        (offset(from), offset(from + text.len()))
    }
}

fn offset(at: usize) -> Offset {
    Offset::try_from(at).unwrap_or(Offset::MAX)
}

fn is_list(claim: &Value<'_>) -> bool {
    matches!(claim, Value::Texts(_))
}

/// The items of an array of strings. A single string counts as one item.
fn texts<'v, 'a>(claim: Option<&'v Value<'a>>) -> &'v [Cow<'a, str>] {
    match claim {
        Some(Value::Text(text)) => slice::from_ref(text),
        Some(Value::Texts(texts)) => texts,
        _ => &[],
    }
}
