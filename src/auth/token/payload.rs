//! [`Verified`]: the payload of a verified token, with the claims that every request reads.
//!
//! A claim is kept as a position in the payload, so nothing is copied except texts with JSON escapes.
//! Whether a claim is acceptable is decided in `checks.rs`.

use std::{
    borrow::Cow,
    fmt, slice,
    sync::{Arc, OnceLock},
};

use smallvec::SmallVec;

use crate::algorithm::Algorithm;

use crate::auth::{
    challenge::Challenge,
    keys::key_set::Key,
    token::{checks::Times, json::Value, pseudonym::Pseudonym, registered::Registered},
};

/// A payload whose token was verified, with the claims that every request asks for.
pub(crate) struct Verified {
    /// The payload, and behind it what escapes keep from being a piece of it.
    text: String,
    payload: Place,
    claims: Pieces,
    pub(crate) times: Times,
    pub(crate) context: Arc<IssuerContext>,
    pub(crate) source: Source,
    /// Made when a log first asks for it.
    pseudonym: OnceLock<Option<Pseudonym>>,
}

/// Where each claim stands. No larger than it has to be: every token that is remembered has it.
struct Pieces {
    subject: Option<Piece>,
    scope: Option<Piece>,
    /// `scp` as a string, or as an array.
    scp: Option<Piece>,
    /// That array, the audience and the permissions, one after another.
    lists: SmallVec<[Piece; FEW]>,
    audience: Place,
    permissions: Place,
}

/// As many as most tokens list in all. Larger ones take memory of their own.
const FEW: usize = 4;

/// From where to where.
type Piece = (Place, Place);

/// A token has 16 KiB at most, and so has what is in it.
type Place = u16;

impl Verified {
    /// As the issuer signed it.
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

    /// `scope` and `scp`, each as a string of words.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        let strings = [self.claims.scope, self.claims.scp].into_iter();
        strings.flatten().map(|string| self.read(string))
    }

    /// `scp` as an array of scopes.
    pub(crate) fn scopes_one_by_one(&self) -> impl Iterator<Item = &str> {
        self.list(0, self.claims.audience)
    }

    pub(crate) fn pseudonym(&self) -> Option<Pseudonym> {
        let of = || Pseudonym::of(&self.context.issuer, self.subject()?);
        *self.pseudonym.get_or_init(of)
    }

    /// What it holds in memory, in bytes, give or take the allocator's share.
    pub(crate) fn size(&self) -> usize {
        let lists = &self.claims.lists;
        let lists = if lists.spilled() {
            size_of_val(&**lists)
        } else {
            0
        };
        size_of::<Self>() + self.text.len() + lists
    }

    fn list(&self, from: Place, to: Place) -> impl Iterator<Item = &str> {
        let pieces = self.claims.lists.iter().take(to.into());
        pieces.skip(from.into()).map(|piece| self.read(*piece))
    }

    fn read(&self, (from, to): Piece) -> &str {
        let text = self.text.get(from.into()..to.into());
        text.unwrap_or_default()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

/// The claims of a payload, taken out of it before it is known whether it can be trusted.
pub(crate) struct Extract {
    claims: Pieces,
    times: Times,
    escaped: String,
}

impl Extract {
    pub(crate) fn new(payload: &str, claims: &Registered<'_>, times: Times) -> Self {
        let mut cut = Cut {
            payload,
            escaped: String::new(),
        };
        let scps = texts(claims.scp.as_ref().filter(|scp| is_list(scp)));
        let audience = texts(claims.aud.as_ref());
        let permissions = texts(claims.permissions.as_ref());
        let mut lists = SmallVec::with_capacity(scps.len() + audience.len() + permissions.len());
        for list in [scps, audience, permissions] {
            lists.extend(list.iter().map(|text| cut.piece(text)));
        }
        let claims = Pieces {
            subject: cut.text(claims.sub.as_ref()),
            scope: cut.text(claims.scope.as_ref()),
            scp: cut.text(claims.scp.as_ref()),
            lists,
            audience: place(scps.len()),
            permissions: place(scps.len() + audience.len()),
        };
        Self {
            claims,
            times,
            escaped: cut.escaped,
        }
    }

    /// Called once in `verifier.rs`, after the signature.
    pub(crate) fn verified(
        self,
        payload: String,
        context: Arc<IssuerContext>,
        source: Source,
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
            pseudonym: OnceLock::new(),
        }
    }
}

/// What a token was verified by.
#[derive(Debug)]
pub(crate) enum Source {
    /// A key of the issuer's set.
    Key(Arc<Key>),
    /// The secret that is shared with the issuer.
    Secret,
}

impl Source {
    /// The source of a token that `key` has verified.
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
            Self::Secret => None,
        }
    }
}

/// What the tokens of one issuer have in common: its name, the challenge of this API, and where roles
/// are.
#[derive(Debug)]
pub(crate) struct IssuerContext {
    pub(crate) issuer: Arc<str>,
    pub(crate) challenge: Challenge,
    pub(crate) roles_at: Arc<str>,
}

/// Cuts texts out of the payload that they were read from.
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

    #[allow(clippy::ptr_arg)] // whether it is borrowed is the question
    fn piece(&mut self, text: &Cow<'_, str>) -> Piece {
        let from = match text {
            // It lies within the payload; where it begins is the difference of two addresses.
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

/// One, or an array of them.
fn texts<'v, 'a>(claim: Option<&'v Value<'a>>) -> &'v [Cow<'a, str>] {
    match claim {
        Some(Value::Text(text)) => slice::from_ref(text),
        Some(Value::Texts(texts)) => texts,
        _ => &[],
    }
}
