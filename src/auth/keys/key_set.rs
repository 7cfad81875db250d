//! A key set in memory. Finds the key for a token's header.
//!
//! A key is checked when it is imported, and parsed once for each algorithm that it supports. An
//! invalid entry is left out, and the reason is kept. The other entries stay usable.
//!
//! The document is untrusted. The strict JSON parser parses each entry separately, and counts its
//! depth from the root of the document. At most [`MAX_ENTRIES`] entries are read.

use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::auth::{
    keys::{
        document,
        jwk::{self, KeyVerifier, Material},
        key_file::{self, KeyFile},
        left_out::{LeftOut, Reason},
    },
    token::json,
};

/// The maximum number of entries to read. Large issuers publish about a dozen.
const MAX_ENTRIES: usize = 512;

/// One version of an issuer's keys (RFC 7517 §5).
#[derive(Debug)]
pub(crate) struct KeySet {
    generation: u64,
    keys: Vec<Arc<Key>>,
    by_kid: HashMap<String, Vec<Arc<Key>>>,
    /// The keys that were left out, in document order.
    left_out: Arc<[LeftOut]>,
    /// True if the document has more entries than are read. The last element of `left_out`
    /// represents them.
    has_unread: bool,
    /// True if the keys are from a file and have no `kid`, as in PEM. In that case, the `kid` of a
    /// token is ignored.
    is_nameless: bool,
}

/// A key, and the algorithms that it may verify.
pub(crate) struct Key {
    kid: Option<String>,
    /// The generation of the set that contains the key. Every new set gets a new generation.
    generation: u64,
    /// `None` for a secret, and for an entry that is not a key.
    material: Option<Material>,
    /// A verifier for each allowed algorithm that the key supports. May be empty, because the `kid`
    /// is indexed in any case, so that it never triggers a fetch.
    verifiers: Vec<(Algorithm, KeyVerifier)>,
    /// True if the entry is not a valid key. The issuer may correct it under the same `kid`.
    invalid: bool,
}

/// The reason why there is no key for a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    /// No key has this `kid`. A newer set may have one.
    UnknownKid,
    /// The key with this `kid` does not support the algorithm.
    AlgorithmMismatch,
    /// The key with this `kid` is invalid. A newer set may have a valid one.
    InvalidKey,
    /// It is unclear which key to use. Either the token has no `kid` and the number of keys for its
    /// algorithm is not one, or two different keys with its `kid` support its algorithm.
    Ambiguous,
}

/// The reason why a document is not a usable key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoKeys {
    /// Not a JSON object with an array named `keys`. The field says what it is instead.
    #[error("not a JSON object with an array \"keys\": it is {0}")]
    NotAKeySet(&'static str),
    /// A JSON object without the member `keys`.
    #[error("a JSON object without a member \"keys\"")]
    NoMember,
    /// A file in none of the supported formats.
    #[error("not a JWK set, a JWK, an array of JWKs, or public keys in PEM")]
    NotAKeyFile,
    /// `keys` is empty.
    #[error("an empty key set")]
    Empty,
    /// No key in the set can be used with an allowed algorithm.
    #[error("no usable key among {keys}{}", skipped.as_ref().map(|s| format!("; the first: {s}")).unwrap_or_default())]
    NoneUsable {
        /// The number of keys in the set.
        keys: usize,
        /// The `kid` of the first key that was left out, and the reason.
        skipped: Option<String>,
    },
}

impl KeySet {
    /// Imports the keys of a JWK set one by one.
    pub(crate) fn parse(
        document: &[u8],
        allowed: &[Algorithm],
        generation: u64,
    ) -> Result<Self, NoKeys> {
        let entries = Entries::of(document)?;
        let keys = entries.jwks().map(Ok);
        Self::empty(generation).filled(keys, entries.skipped, allowed)
    }

    /// Imports the keys of a file: a JWK set, one JWK, an array of JWKs, or PEM.
    pub(crate) fn parse_file(
        file: &[u8],
        allowed: &[Algorithm],
        generation: u64,
    ) -> Result<Self, NoKeys> {
        let mut set = match key_file::read(file).ok_or(NoKeys::NotAKeyFile)? {
            KeyFile::Set(set) => Self::parse(set.as_bytes(), allowed, generation)?,
            KeyFile::Pem(keys) => Self::empty(generation).filled(keys.into_iter(), 0, allowed)?,
        };
        set.is_nameless = set.keys.iter().all(|key| key.kid.is_none());
        Ok(set)
    }

    /// Imports `keys`. The document has `more` keys that are not read.
    fn filled(
        mut self,
        keys: impl Iterator<Item = Result<Value, Reason>>,
        more: usize,
        allowed: &[Algorithm],
    ) -> Result<Self, NoKeys> {
        let (mut found, mut left_out) = (more, Vec::new());
        for jwk in keys {
            found += 1;
            left_out.extend(match jwk {
                Ok(jwk) => self.import(&jwk, allowed),
                Err(reason) => Some(LeftOut::new(None, &reason)),
            });
        }
        if found == 0 {
            return Err(NoKeys::Empty);
        }
        self.has_unread = more > 0;
        if self.has_unread {
            left_out.push(LeftOut::new(None, &Reason::TooMany));
        }
        self.left_out = left_out.into();
        if self.usable() == 0 {
            return Err(NoKeys::NoneUsable {
                keys: found,
                skipped: self.left_out.first().map(ToString::to_string),
            });
        }
        Ok(self)
    }

    fn empty(generation: u64) -> Self {
        Self {
            generation,
            keys: Vec::new(),
            by_kid: HashMap::new(),
            left_out: Arc::default(),
            has_unread: false,
            is_nameless: false,
        }
    }

    /// Adds a key. If it is left out, returns the reason, and only the `kid` is added.
    fn import(&mut self, jwk: &Value, allowed: &[Algorithm]) -> Option<LeftOut> {
        let mut left_out = None;
        let kid = jwk::kid(jwk).map(str::to_owned);
        let (material, verifiers, invalid) = match jwk::import(jwk, allowed) {
            Ok((material, verifiers)) => (Some(material), verifiers, false),
            Err(reason) => {
                let invalid = reason.is_invalid();
                left_out = Some(LeftOut::new(kid.as_deref(), &reason));
                (None, Vec::new(), invalid)
            }
        };
        self.add(Arc::new(Key {
            kid,
            generation: self.generation,
            material,
            verifiers,
            invalid,
        }));
        left_out
    }

    fn add(&mut self, key: Arc<Key>) {
        if let Some(kid) = &key.kid {
            let named = self.by_kid.entry(kid.clone()).or_default();
            named.push(Arc::clone(&key));
        }
        self.keys.push(key);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns `true` if both sets have the same entries, in any order. Every token then has the
    /// same result with both.
    pub(crate) fn is_equivalent(&self, other: &Self) -> bool {
        self.entries() == other.entries()
    }

    fn entries(&self) -> HashMap<impl Eq + Hash, usize> {
        let mut entries = HashMap::new();
        for key in &self.keys {
            *entries.entry(key.identity()).or_default() += 1;
        }
        entries
    }

    pub(crate) fn usable(&self) -> usize {
        self.keys
            .iter()
            .filter(|key| !key.verifiers.is_empty())
            .count()
    }

    /// Returns the `kid`s of the usable keys.
    #[cfg(feature = "service")]
    pub(crate) fn kids(&self) -> Vec<String> {
        let usable = self.keys.iter().filter(|key| !key.verifiers.is_empty());
        usable.filter_map(|key| key.kid.clone()).collect()
    }

    /// Returns `true` if the document has more entries than are read.
    pub(crate) fn has_unread(&self) -> bool {
        self.has_unread
    }

    /// Returns the keys that were left out, in document order.
    pub(crate) fn left_out(&self) -> &Arc<[LeftOut]> {
        &self.left_out
    }

    /// Returns why the key with this `kid` was left out. `None` if a valid key has this `kid`.
    #[cfg(feature = "service")]
    pub(crate) fn why_left_out(&self, kid: &str) -> Option<&str> {
        let named = self.by_kid.get(kid)?;
        if named.iter().any(|key| key.material.is_some()) {
            return None;
        }
        let mut left_out = self.left_out.iter();
        let left_out = left_out.find(|key| key.kid.as_deref() == Some(kid))?;
        Some(&left_out.reason)
    }

    /// Returns the key for a header's `alg` and `kid`.
    pub(crate) fn find(&self, alg: Algorithm, kid: Option<&str>) -> Result<&Arc<Key>, Miss> {
        let Some(kid) = kid.filter(|_| !self.is_nameless) else {
            return the_only(&self.keys, alg)?.ok_or(Miss::Ambiguous);
        };
        let named = self.by_kid.get(kid).ok_or(Miss::UnknownKid)?;
        let is_invalid = || named.iter().any(|key| key.invalid);
        the_only(named, alg)?.ok_or_else(|| {
            if is_invalid() {
                Miss::InvalidKey
            } else {
                Miss::AlgorithmMismatch
            }
        })
    }
}

/// A key of a document, and its allowed algorithms or the reason why it was left out.
#[cfg(feature = "service")]
pub(crate) type Examined = (Value, Result<Vec<Algorithm>, Reason>);

/// Examines each key of a document as [`KeySet::parse`] would.
#[cfg(feature = "service")]
pub(crate) fn examine(document: &[u8], allowed: &[Algorithm]) -> Result<Vec<Examined>, NoKeys> {
    let entries = Entries::of(document)?;
    let examined = entries.jwks().map(|jwk| examine_key(jwk, allowed));
    let beyond = (entries.skipped > 0).then_some((Value::Null, Err(Reason::TooMany)));
    Ok(examined.chain(beyond).collect())
}

/// Examines each key of a file as [`KeySet::parse_file`] would.
#[cfg(feature = "service")]
pub(crate) fn examine_file(file: &[u8], allowed: &[Algorithm]) -> Result<Vec<Examined>, NoKeys> {
    match key_file::read(file).ok_or(NoKeys::NotAKeyFile)? {
        KeyFile::Set(set) => examine(set.as_bytes(), allowed),
        KeyFile::Pem(keys) => Ok(keys
            .into_iter()
            .map(|key| match key {
                Ok(jwk) => examine_key(jwk, allowed),
                Err(reason) => (Value::Null, Err(reason)),
            })
            .collect()),
    }
}

#[cfg(feature = "service")]
fn examine_key(jwk: Value, allowed: &[Algorithm]) -> Examined {
    let good_for = jwk::import(&jwk, allowed)
        .map(|(_, verifiers)| verifiers.iter().map(|(alg, _)| *alg).collect());
    (jwk, good_for)
}

/// The JSON text of each entry of `keys` in a document.
struct Entries<'a> {
    read: Vec<&'a str>,
    /// The number of entries that are not read.
    skipped: usize,
}

impl<'a> Entries<'a> {
    /// The depth of an entry below the root: inside the document and inside `keys`.
    const DEPTH: usize = 2;

    fn of(document: &'a [u8]) -> Result<Self, NoKeys> {
        let fault = || NoKeys::NotAKeySet(document::form(document, "a JSON object"));
        let text = document::text(document).ok_or_else(fault)?;
        let members = json::object(text).map_err(|_| fault())?;
        let mut others = members.iter().filter(|(name, _)| name != "keys");
        if others.any(|(_, other)| json::check_below(1, other).is_err()) {
            return Err(NoKeys::NotAKeySet(
                "a JSON object with an error in a member",
            ));
        }
        let keys = members.iter().find(|(name, _)| name == "keys");
        let (_, keys) = keys.ok_or(NoKeys::NoMember)?;
        let (read, skipped) = json::array(keys, MAX_ENTRIES)
            .map_err(|_| NoKeys::NotAKeySet("a JSON object whose \"keys\" is not an array"))?;
        Ok(Self { read, skipped })
    }

    /// Parses the entries. An entry that is not strict JSON becomes null, which is not a valid key.
    fn jwks(&self) -> impl Iterator<Item = Value> {
        let read = |entry: &&str| json::value_below(Self::DEPTH, entry).unwrap_or_default();
        self.read.iter().map(read)
    }
}

/// Returns the key that supports `alg`, if there is exactly one. Copies of a key count as one. If
/// two different keys support it, neither is used, because it is unclear which one the issuer
/// means.
fn the_only(keys: &[Arc<Key>], alg: Algorithm) -> Result<Option<&Arc<Key>>, Miss> {
    let mut fitting = keys.iter().filter(|key| key.verifier(alg).is_some());
    let Some(first) = fitting.next() else {
        return Ok(None);
    };
    if fitting.any(|other| other.material != first.material) {
        return Err(Miss::Ambiguous);
    }
    Ok(Some(first))
}

impl Key {
    /// The generation of keys that are never fetched. The generations of fetched sets start at 1.
    pub(crate) const FIXED: u64 = 0;

    /// Creates a key from the configured secret for `HS256`.
    pub(crate) fn secret(secret: &[u8]) -> Self {
        Self {
            kid: None,
            generation: Self::FIXED,
            material: None,
            verifiers: vec![(Algorithm::HS256, KeyVerifier::secret(secret))],
            invalid: false,
        }
    }

    /// Returns the `kid` of the key as the issuer publishes it.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns everything about this key that can change the result for a token.
    fn identity(&self) -> impl Eq + Hash {
        let algorithms = self.verifiers.iter().map(|(algorithm, _)| *algorithm);
        let algorithms: Vec<_> = algorithms.collect();
        (&self.kid, &self.material, algorithms, self.invalid)
    }

    fn verifier(&self, alg: Algorithm) -> Option<&KeyVerifier> {
        let of = |(algorithm, _): &&(Algorithm, KeyVerifier)| *algorithm == alg;
        self.verifiers.iter().find(of).map(|(_, verifier)| verifier)
    }

    /// Returns `true` if `signature` is a valid signature of `message` by this key.
    pub(crate) fn verify(&self, alg: Algorithm, message: &[u8], signature: &Vec<u8>) -> bool {
        self.verifier(alg)
            .is_some_and(|verifier| verifier.verify(message, signature))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: &[Algorithm] = &[Algorithm::RS256];

    #[test]
    fn reports_unread_entries_only_once() {
        let key = r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let document = format!(r#"{{"keys":[{key}{}]}}"#, ",1".repeat(260_000));
        let set = KeySet::parse(document.as_bytes(), &[Algorithm::EdDSA], 1).unwrap();
        assert_eq!((set.usable(), set.keys.len()), (1, MAX_ENTRIES));
        assert_eq!(set.left_out.len(), MAX_ENTRIES);
        let last = &set.left_out[MAX_ENTRIES - 1];
        assert_eq!(*last, LeftOut::new(None, &Reason::TooMany));

        let none = KeySet::parse(document.as_bytes(), RSA, 1).unwrap_err();
        assert!(none.to_string().contains("among 260001"), "{none}");
    }

    const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    #[test]
    fn sets_with_the_same_entries_are_equivalent() {
        let parse = |keys: &str| {
            let document = format!(r#"{{"keys":[{keys}]}}"#);
            KeySet::parse(document.as_bytes(), &[Algorithm::EdDSA], 1).unwrap()
        };
        let member = |member: &str| KEY.replace('}', &format!(",{member}}}"));
        let named = |kid: &str| KEY.replace(r#""kid":"a""#, &format!(r#""kid":"{kid}""#));
        let (b, enc) = (named("b"), r#"{"kid":"e","kty":"oct"}"#);
        let other = KEY.replace("11qY", "12qY");
        #[rustfmt::skip]
        let rows = [
            ("the same", KEY.to_owned(), KEY.to_owned(), true),
            ("another order", format!("{KEY},{b}"), format!("{b},{KEY}"), true),
            ("white space", format!("{KEY},{b}"), format!(" {KEY} ,\n{b}"), true),
            ("an unused member", KEY.to_owned(), member(r#""x5t":"a""#), true),
            ("an alg that makes no difference", KEY.to_owned(), member(r#""alg":"EdDSA""#), true),
            ("one key more", KEY.to_owned(), format!("{KEY},{b}"), false),
            ("a key twice", KEY.to_owned(), format!("{KEY},{KEY}"), false),
            ("twice another", format!("{KEY},{KEY},{b}"), format!("{KEY},{b},{b}"), false),
            ("another name", KEY.to_owned(), b.clone(), false),
            ("another key", format!("{KEY},{b}"), format!("{other},{b}"), false),
            ("another use", format!("{KEY},{b}"), format!("{},{b}", member(r#""use":"enc""#)), false),
            ("one invalid key more", KEY.to_owned(), format!("{KEY},{enc}"), false),
        ];
        for (case, one, two, expected) in rows {
            assert_eq!(parse(&one).is_equivalent(&parse(&two)), expected, "{case}");
        }
    }

    #[test]
    fn skips_one_byte_order_mark() {
        for (marks, expected) in [(0, true), (1, true), (2, false)] {
            let document = format!(r#"{}{{"keys":[{KEY}]}}"#, "\u{feff}".repeat(marks));
            let set = KeySet::parse(document.as_bytes(), &[Algorithm::EdDSA], 1);
            assert_eq!(set.is_ok(), expected, "{marks}");
        }
    }

    #[test]
    fn ignores_kid_if_no_key_in_the_file_has_one() {
        let eddsa = Algorithm::EdDSA;
        let bare = KEY.replace(r#""kid":"a","#, "");
        let other = bare.replace("11qY", "12qY");
        #[rustfmt::skip]
        let rows = [
            ("one key without a name", bare.clone(), Ok(())),
            ("two of them", format!("[{bare},{other}]"), Err(Miss::Ambiguous)),
            ("one key of another name", KEY.to_owned(), Err(Miss::UnknownKid)),
            ("one with and one without", format!("[{KEY},{other}]"), Err(Miss::UnknownKid)),
        ];
        for (case, file, expected) in rows {
            let set = KeySet::parse_file(file.as_bytes(), &[eddsa], 1).unwrap();
            let found = set.find(eddsa, Some("b")).map(|_| ());
            assert_eq!(found, expected, "{case}");
        }
        let fetched = format!(r#"{{"keys":[{bare}]}}"#);
        let fetched = KeySet::parse(fetched.as_bytes(), &[eddsa], 1).unwrap();
        assert_eq!(fetched.find(eddsa, Some("b")).err(), Some(Miss::UnknownKid));
    }

    #[test]
    fn reports_what_a_document_lacks() {
        let error = |document: &[u8]| KeySet::parse(document, RSA, 1).unwrap_err().to_string();
        assert_eq!(error(b"{}"), "a JSON object without a member \"keys\"");
        let not_a_set = "not a JSON object with an array \"keys\": it is";
        assert_eq!(error(b"[]"), format!("{not_a_set} a JSON array"));
        assert_eq!(error(b"<html>"), format!("{not_a_set} HTML or XML"));
        assert_eq!(
            error(br#"{"keys":{}}"#),
            format!("{not_a_set} a JSON object whose \"keys\" is not an array")
        );
        let named = error(br#"{"keys":[{"kid":"a","kty":"RSA","e":"AQAB"}]}"#);
        assert_eq!(named, "no usable key among 1; the first: a: `n` is missing");
    }

    #[cfg(feature = "service")]
    #[test]
    fn examines_only_the_entries_that_are_read() {
        let document = format!(r#"{{"keys":[1{}]}}"#, ",1".repeat(600));
        let examined = examine(document.as_bytes(), RSA).unwrap();
        assert_eq!(examined.len(), MAX_ENTRIES + 1);
        assert_eq!(examined[MAX_ENTRIES].1, Err(Reason::TooMany));
    }
}
