//! [`Verified`]: the payload of a verified token, with the claims that every request reads.
//!
//! Claims are stored as positions in the payload, so that only texts with JSON escapes are copied.
//! `checks.rs` decides whether a claim is acceptable.

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
    revocation::list::{Marks, RevocationList, State},
    token::{
        checks::{TimeRules, Times},
        confirmation::Binding,
        implied::ImpliedScopes,
        json::{self, Value},
        pseudonym::Pseudonym,
        registered::Registered,
    },
};

/// The payload of a verified token, with the positions of the claims that every request reads.
pub(crate) struct Verified {
    /// The payload, followed by the unescaped claims that are not slices of it.
    text: String,
    /// The length of the payload in `text`.
    payload: Place,
    claims: Pieces,
    pub(crate) times: Times,
    pub(crate) context: Arc<IssuerContext>,
    pub(crate) source: VerifiedBy,
    /// What the token is bound to. Boxed, because most tokens are not.
    pub(crate) binding: Option<Box<Binding>>,
    /// Computed when a log first needs it.
    pseudonym: OnceLock<Option<Pseudonym>>,
    /// The version of the list of revoked tokens that does not have this one. 0: not looked up.
    not_revoked_in: AtomicU64,
    /// The number of the policy that the token met last. 0: none.
    pub(crate) met_last: AtomicU64,
    /// Built when a proxy first asks about the token.
    #[cfg(feature = "service")]
    pub(crate) fields: IdentityFields,
}

/// The position of each claim. Kept small, because every cached token has one of these.
#[derive(Clone)]
struct Pieces {
    subject: Option<Piece>,
    /// `scope`, if it is a string.
    scope: Option<Piece>,
    /// `scp`, if it is a string.
    scp: Option<Piece>,
    /// The items of `scope` and `scp` as far as they are arrays, of the audience and of the
    /// permissions, in this order.
    lists: SmallVec<[Piece; FEW]>,
    /// The index in `lists` where the audience begins.
    audience: Place,
    /// The index in `lists` where the permissions begin.
    permissions: Place,
}

/// The number of items that most tokens have in all lists together. More are stored on the heap.
const FEW: usize = 4;

/// The start and the end of a text.
type Piece = (Place, Place);

/// A position in a text. A token and an introspection answer have 64 KiB at most, so that a payload
/// and the unescaped claims together can be longer than 16 bits count.
type Place = u32;

impl Verified {
    /// Returns the payload as the issuer signed it.
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
        self.list(self.claims.permissions, Place::MAX)
    }

    /// Returns `scope` and `scp` as far as they are strings of scopes separated by spaces.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        let strings = [self.claims.scope, self.claims.scp].into_iter();
        strings.flatten().map(|string| self.read(string))
    }

    /// Returns the items of `scope` and `scp` as far as they are arrays.
    pub(crate) fn scopes_one_by_one(&self) -> impl Iterator<Item = &str> {
        self.list(0, self.claims.audience)
    }

    pub(crate) fn pseudonym(&self) -> Option<Pseudonym> {
        let of = || Pseudonym::of(&self.context.issuer, self.subject()?);
        *self.pseudonym.get_or_init(of)
    }

    /// Returns the memory that this takes in bytes, without the allocator's overhead.
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

    /// Checks that the token is not on the list of revoked tokens. A token is looked up once for
    /// each version of the list, so that a cached token costs no lookup.
    pub(crate) fn check_not_revoked(&self) -> Result<(), AuthError> {
        let version = match self.context.revocations.state() {
            State::Quiet => return Ok(()),
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

    /// Looks the token up in the list of revoked tokens.
    pub(crate) fn is_revoked(&self) -> bool {
        let context = &self.context;
        let mut marks = Marks {
            issued: self.times.issued,
            ..Marks::default()
        };
        // The payload was accepted before, so it can be read again.
        let _ = json::members(self.payload(), |name, value| match (name, value) {
            ("jti", Value::Text(jti)) => marks.jti = Some(jti),
            ("sub", Value::Text(sub)) => marks.sub = Some(sub),
            ("sid", Value::Text(sid)) => marks.sid = Some(sid),
            ("client_id" | "azp" | "cid", Value::Text(client)) => marks.clients.push(client),
            _ => {}
        });
        let now = context.clock.now();
        context.revocations.has(&context.issuer, &marks, now)
    }

    /// Returns these claims, limited by an introspection answer about the same token: it expires at
    /// the earlier of both times, and grants the scopes that are in both. An answer without scopes
    /// does not limit them.
    ///
    /// # Errors
    /// [`AuthError::TokenBound`] if they are bound to different keys.
    pub(crate) fn limited_by(&self, answer: &Self) -> Result<Self, AuthError> {
        let mut text = self.text.clone();
        let mut claims = self.claims.clone();
        if answer.lists_scopes() {
            let granted = |verified: &Self, name: &str| {
                let mut words = verified.scopes().flat_map(|string| string.split(' '));
                words.any(|word| word == name)
                    || verified.scopes_one_by_one().any(|word| word == name)
            };
            let words = self.scopes().flat_map(|string| string.split(' '));
            let words = words.chain(self.scopes_one_by_one());
            let both: Vec<_> = words
                .filter(|name| !name.is_empty() && granted(answer, name))
                .collect();
            let both = both.join(" ");
            let from = text.len();
            text.push_str(&both);
            claims.scope = Some((place(from), place(text.len())));
            claims.scp = None;
            let scps = usize::try_from(claims.audience).unwrap_or_default();
            claims.lists.drain(..scps);
            claims.permissions -= claims.audience;
            claims.audience = 0;
        }
        let binding = Binding::of_both(self.binding.as_deref(), answer.binding.as_deref())?;
        Ok(Self {
            text,
            payload: self.payload,
            claims,
            binding: binding.map(Box::new),
            times: Times {
                expires: self.times.expires.min(answer.times.expires),
                ..self.times
            },
            context: Arc::clone(&self.context),
            source: self.source.clone(),
            pseudonym: OnceLock::new(),
            not_revoked_in: AtomicU64::new(0),
            met_last: AtomicU64::new(0),
            #[cfg(feature = "service")]
            fields: IdentityFields::default(),
        })
    }

    /// Returns whether the payload says anything about scopes. An empty list grants none.
    fn lists_scopes(&self) -> bool {
        let claims = ["scope", "scp"].map(|name| json::member(self.payload(), name));
        claims
            .into_iter()
            .flatten()
            .any(|value| value.trim() != "null")
    }

    fn list(&self, from: Place, to: Place) -> impl Iterator<Item = &str> {
        let pieces = self.claims.lists.iter().take(to as usize);
        pieces.skip(from as usize).map(|piece| self.read(*piece))
    }

    fn read(&self, (from, to): Piece) -> &str {
        let text = self.text.get(from as usize..to as usize);
        text.unwrap_or_default()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

/// The claims of a payload, extracted before the signature is verified.
pub(crate) struct Extract {
    claims: Pieces,
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
        let mut cut = Cut {
            payload,
            escaped: String::new(),
        };
        let scopes = texts(claims.scope.as_ref().filter(|scope| is_list(scope)));
        let scps = texts(claims.scp.as_ref().filter(|scp| is_list(scp)));
        let audience = texts(claims.aud.as_ref());
        let permissions = texts(claims.permissions.as_ref());
        let granted = scopes.len() + scps.len();
        let mut lists = SmallVec::with_capacity(granted + audience.len() + permissions.len());
        for list in [scopes, scps, audience, permissions] {
            lists.extend(list.iter().map(|text| cut.piece(text)));
        }
        let claims = Pieces {
            subject: cut.text(claims.sub.as_ref()),
            scope: cut.text(claims.scope.as_ref()),
            scp: cut.text(claims.scp.as_ref()),
            lists,
            audience: place(granted),
            permissions: place(granted + audience.len()),
        };
        Self {
            claims,
            times,
            binding: binding.map(Box::new),
            escaped: cut.escaped,
        }
    }

    /// Combines the claims with their payload. Only `verifier.rs` calls it, after it has verified
    /// the signature.
    pub(crate) fn verified(
        self,
        payload: String,
        context: Arc<IssuerContext>,
        source: VerifiedBy,
    ) -> Verified {
        let length = place(payload.len());
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

/// The key, the secret or the answer that verified a token.
#[derive(Debug, Clone)]
pub(crate) enum VerifiedBy {
    /// A key of the issuer's set.
    Key(Arc<Key>),
    /// The secret shared with the issuer.
    Secret,
    /// An answer of the issuer's introspection endpoint.
    Introspection,
}

impl VerifiedBy {
    /// Returns the source of a token that `key` has verified.
    pub(crate) fn of(algorithm: Algorithm, key: Arc<Key>) -> Self {
        if algorithm.is_symmetric() {
            Self::Secret
        } else {
            Self::Key(key)
        }
    }

    /// Returns the `kid` of the key, if it has one.
    pub(crate) fn kid(&self) -> Option<&str> {
        match self {
            Self::Key(key) => key.kid(),
            Self::Secret | Self::Introspection => None,
        }
    }
}

/// The data that all tokens of one issuer share: the issuer's name, the challenge of this API, how
/// the claims are read, and what decides how long a verified token is good.
#[derive(Debug)]
pub(crate) struct IssuerContext {
    pub(crate) issuer: Arc<str>,
    /// The position of the issuer in the list of all.
    pub(crate) slot: usize,
    pub(crate) challenge: Challenge,
    pub(crate) roles_at: Arc<str>,
    /// True if the issuer is asked about verified JWTs too.
    pub(crate) introspects_jwts: bool,
    pub(crate) clock: Clock,
    pub(crate) rules: TimeRules,
    pub(crate) revocations: Arc<RevocationList>,
    pub(crate) groups_at: Arc<str>,
    /// The scopes that every token of the issuer must grant, separated by spaces.
    pub(crate) required_scope: Option<Arc<str>>,
    pub(crate) implied: Arc<ImpliedScopes>,
    /// True if a token must be bound to the key of a DPoP proof.
    pub(crate) requires_key: bool,
}

impl IssuerContext {
    /// Returns whether both say the same about a token, wherever they are in the list.
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

/// Finds the positions of texts in the payload that they were read from.
struct Cut<'a> {
    payload: &'a str,
    escaped: String,
}

impl Cut<'_> {
    fn text(&mut self, claim: Option<&Value<'_>>) -> Option<Piece> {
        match claim {
            Some(Value::Text(text)) => Some(self.piece(text)),
            _ => None,
        }
    }

    #[allow(clippy::ptr_arg)] // the function depends on whether the text is borrowed
    fn piece(&mut self, text: &Cow<'_, str>) -> Piece {
        let from = match text {
            // The text is a slice of the payload, so the difference of the two addresses is its
            // start.
            Cow::Borrowed(text) => {
                (text.as_ptr() as usize).wrapping_sub(self.payload.as_ptr() as usize)
            }
            Cow::Owned(text) => {
                let from = self.payload.len() + self.escaped.len();
                self.escaped.push_str(text);
                from
            }
        };
        (place(from), place(from + text.len()))
    }
}

fn place(at: usize) -> Place {
    Place::try_from(at).unwrap_or(Place::MAX)
}

fn is_list(claim: &Value<'_>) -> bool {
    matches!(claim, Value::Texts(_))
}

/// Returns the items of a string or of an array of strings.
fn texts<'v, 'a>(claim: Option<&'v Value<'a>>) -> &'v [Cow<'a, str>] {
    match claim {
        Some(Value::Text(text)) => slice::from_ref(text),
        Some(Value::Texts(texts)) => texts,
        _ => &[],
    }
}
