//! A key set in memory. Finds the key for a token's header.
//!
//! A key is checked when it is imported, and parsed once for each algorithm that it supports. We
//! leave out an invalid entry, and keep the reason. This doesn't affect the other entries, which
//! stay usable.
//!
//! The document is untrusted. The strict JSON parser parses each entry separately, and counts its
//! depth from the root of the document. We do not read more than [`MAX_ENTRIES`] entries.

use std::{borrow::Cow, collections::HashMap, fmt, hash::Hash, sync::Arc};

use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::auth::{
    display::ShownText,
    keys::{
        document,
        jwk::{self, KeyVerifier, Material},
        key_file::{self, KeyFile},
        left_out::{LeftOut, Reason},
    },
    token::json::{self, Fault},
};

/// The maximum number of entries to read. Large issuers usually publish about a dozen.
const MAX_ENTRIES: usize = 512;

/// One version of an issuer's keys (RFC 7517 §5).
#[derive(Debug)]
pub(crate) struct KeySet {
    generation: u64,
    keys: Vec<Arc<Key>>,
    by_kid: HashMap<String, Vec<Arc<Key>>>,
    /// The keys that were left out, in document order
    left_out: Arc<[LeftOut]>,
    /// Set if the document has more entries than we read. The last element of `left_out` represents
    /// them.
    has_unread: bool,
    /// Set if the keys are from a file and have no `kid`, as in PEM. We then ignore the `kid` of a
    /// token.
    is_nameless: bool,
    /// Why a key was left out whose `kid` cannot be used. The first such key, if there are several.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    hidden: Option<String>,
}

/// A key, and the algorithms that it may verify
pub(crate) struct Key {
    kid: Option<String>,
    /// The generation of the set that contains the key. Every new set gets a new generation.
    generation: u64,
    /// `None` for a secret, and for an entry that is not a key.
    material: Option<Material>,
    /// A verifier for each allowed algorithm that the key supports. May be empty. The `kid` is
    /// indexed even then, or else it would trigger fetches.
    verifiers: Vec<(Algorithm, KeyVerifier)>,
    /// True if the entry is not a valid key. The issuer may correct it under the same `kid`.
    invalid: bool,
}

/// The reason why there is no key for a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    /// No key has this `kid`. A newer set may have one.
    UnknownKid,
    /// The key with this `kid` is invalid, or valid for another algorithm. A newer set may have
    /// another key with this `kid`.
    AlgorithmMismatch,
    /// The key with this `kid` is for another use, or of a type that is not supported.
    OtherUse,
    /// We cannot tell which key to use. Either the token has no `kid` and the number of keys for
    /// its algorithm is not one, or two different keys with its `kid` support its algorithm. A
    /// newer set may have exactly one.
    Ambiguous,
}

/// The reason why a set has no key for a token, although it may have the key that signed the token.
#[cfg(feature = "service")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoMatch {
    /// Two different keys have the `kid` of the token.
    SameKid,
    /// The keys have no `kid`, and the token either has one or fits several keys.
    WithoutKid,
    /// The set has more entries than we read.
    NotRead,
    /// A key was left out, and we cannot use its `kid`. Contains the reason.
    Hidden(String),
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
    /// A file in another format. The field says what it is, and what to do.
    #[error("it is {0}; a JWK set, a JWK, an array of JWKs, or public keys in PEM can be read")]
    OtherFile(&'static str),
    /// The keys in the set are valid, but not for an allowed algorithm.
    #[error(
        "no usable key among {keys}; {} is for {algorithm}, which is not an allowed algorithm",
        kid.as_deref().map_or("one".to_owned(), |kid| ShownText::new(kid).to_string())
    )]
    NotAllowed {
        /// The number of keys in the set.
        keys: usize,
        /// The `kid` of the first valid key.
        kid: Option<String>,
        /// The algorithm of the first valid key.
        algorithm: Algorithm,
    },
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

impl NoKeys {
    fn of_file(format: Option<&'static str>) -> Self {
        format.map_or(Self::NotAKeyFile, Self::OtherFile)
    }
}

impl KeySet {
    pub(crate) fn parse(
        document: &[u8],
        allowed: &[Algorithm],
        generation: u64,
    ) -> Result<Self, NoKeys> {
        let entries = Entries::of(document)?;
        let keys = entries.jwks();
        Self::empty(generation).filled(keys, entries.skipped, allowed)
    }

    /// Imports the keys of a file: a JWK set, one JWK, an array of JWKs, or PEM.
    pub(crate) fn parse_file(
        file: &[u8],
        allowed: &[Algorithm],
        generation: u64,
    ) -> Result<Self, NoKeys> {
        let mut set = match key_file::read(file).map_err(NoKeys::of_file)? {
            KeyFile::Set(set) => Self::parse(set.as_bytes(), allowed, generation)?,
            KeyFile::Pem(keys) => Self::empty(generation).filled(keys.into_iter(), 0, allowed)?,
        };
        set.is_nameless = set.keys.iter().all(|key| key.kid.is_none());
        Ok(set)
    }

    /// Imports `keys`. The document has `more` keys that we do not read.
    fn filled(
        mut self,
        keys: impl Iterator<Item = Result<Value, Reason>>,
        more: usize,
        allowed: &[Algorithm],
    ) -> Result<Self, NoKeys> {
        let (mut found, mut left_out) = (more, Vec::new());
        let mut not_allowed = None;
        for jwk in keys {
            found += 1;
            let reason = match jwk {
                Ok(jwk) => self.import(&jwk, allowed),
                Err(reason) => {
                    self.add_unread();
                    Some((None, reason))
                }
            };
            match reason {
                None => {}
                Some((kid, Reason::NotAllowed(algorithm))) => {
                    not_allowed.get_or_insert((kid, algorithm));
                }
                Some((kid, reason)) => {
                    if reason.hides_kid() {
                        self.hidden.get_or_insert_with(|| reason.to_string());
                    }
                    left_out.push(LeftOut::new(kid.as_deref(), &reason));
                }
            }
        }
        if found == 0 {
            return Err(NoKeys::Empty);
        }
        self.has_unread = more > 0;
        if self.has_unread {
            left_out.push(LeftOut::new(None, &Reason::TooMany));
        }
        self.left_out = left_out.into();
        match not_allowed {
            Some((kid, algorithm)) if self.usable() == 0 => {
                let keys = found;
                return Err(NoKeys::NotAllowed {
                    keys,
                    kid,
                    algorithm,
                });
            }
            None if self.usable() == 0 => {
                return Err(NoKeys::NoneUsable {
                    keys: found,
                    skipped: self.left_out.first().map(ToString::to_string),
                });
            }
            _ => {}
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
            hidden: None,
        }
    }

    /// Adds a key. If no token can use it, we get its `kid` and the reason. Such a key has no
    /// verifiers, but its `kid` counts as known.
    fn import(&mut self, jwk: &Value, allowed: &[Algorithm]) -> Option<(Option<String>, Reason)> {
        let mut unused = None;
        let kid = jwk::kid(jwk).map(str::to_owned);
        let (material, verifiers, invalid) = match jwk::import(jwk, allowed) {
            Ok((material, verifiers)) => {
                if verifiers.is_empty() {
                    unused = Some(Reason::NotAllowed(material.algorithm_of(jwk)));
                }
                (Some(material), verifiers, false)
            }
            Err(reason) => {
                let invalid = reason.is_invalid();
                unused = Some(reason);
                (None, Vec::new(), invalid)
            }
        };
        self.add(Arc::new(Key {
            kid: kid.clone(),
            generation: self.generation,
            material,
            verifiers,
            invalid,
        }));
        unused.map(|reason| (kid, reason))
    }

    /// Adds an entry that could not be parsed. A set with that entry must not be equivalent to one
    /// without it.
    fn add_unread(&mut self) {
        self.add(Arc::new(Key {
            kid: None,
            generation: self.generation,
            material: None,
            verifiers: Vec::new(),
            invalid: true,
        }));
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

    /// Do both sets have the same entries, in any order? Then every token has the same result with
    /// both.
    pub(crate) fn is_equivalent(&self, other: &Self) -> bool {
        self.entries() == other.entries()
    }

    fn entries(&self) -> HashMap<impl Eq + Hash, usize> {
        counted(self.keys.iter().map(|key| key.identity()))
    }

    /// Do both sets leave out the same keys for the same reasons, in any order?
    pub(crate) fn leaves_out_the_same(&self, other: &Self) -> bool {
        let left_out = |set: &Self| {
            let keys = set.left_out.iter();
            counted(keys.map(|key| (key.kid.clone(), key.reason.clone())))
        };
        left_out(self) == left_out(other)
    }

    /// This set, with what `other` says about keys that are left out. Keeps the generation, so
    /// both sets must be [equivalent](Self::is_equivalent).
    pub(crate) fn with_left_out_of(&self, other: &Self) -> Self {
        Self {
            generation: self.generation,
            keys: self.keys.clone(),
            by_kid: self.by_kid.clone(),
            left_out: Arc::clone(&other.left_out),
            has_unread: other.has_unread,
            is_nameless: self.is_nameless,
            hidden: other.hidden.clone(),
        }
    }

    pub(crate) fn usable(&self) -> usize {
        self.keys
            .iter()
            .filter(|key| !key.verifiers.is_empty())
            .count()
    }

    #[cfg(feature = "service")]
    pub(crate) fn kids(&self) -> Vec<String> {
        let usable = self.keys.iter().filter(|key| !key.verifiers.is_empty());
        usable.filter_map(|key| key.kid.clone()).collect()
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.has_unread
    }

    pub(crate) fn left_out(&self) -> &Arc<[LeftOut]> {
        &self.left_out
    }

    /// `None` if a valid key has this `kid`.
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

    /// Why the set has no key for a header, although it may have the key that signed the token.
    #[cfg(feature = "service")]
    pub(crate) fn why_no_match(&self, alg: Algorithm, kid: Option<&str>) -> Option<NoMatch> {
        let mut usable = self.keys.iter().filter(|key| key.verifier(alg).is_some());
        match (self.find(alg, kid), kid) {
            (Err(Miss::Ambiguous), _) if self.is_nameless => Some(NoMatch::WithoutKid),
            (Err(Miss::Ambiguous), Some(_)) => Some(NoMatch::SameKid),
            (Err(Miss::Ambiguous), None) if usable.all(|key| key.kid.is_none()) => {
                Some(NoMatch::WithoutKid)
            }
            (Err(Miss::UnknownKid), _) => match &self.hidden {
                Some(reason) => Some(NoMatch::Hidden(reason.clone())),
                None if usable.any(|key| key.kid.is_none()) => Some(NoMatch::WithoutKid),
                None => self.has_unread.then_some(NoMatch::NotRead),
            },
            _ => None,
        }
    }

    pub(crate) fn find(&self, alg: Algorithm, kid: Option<&str>) -> Result<&Arc<Key>, Miss> {
        let Some(kid) = kid.filter(|_| !self.is_nameless) else {
            return the_only(&self.keys, alg)?.ok_or(Miss::Ambiguous);
        };
        let named = self.by_kid.get(kid).ok_or(Miss::UnknownKid)?;
        let is_for_signatures = |key: &Arc<Key>| key.invalid || key.material.is_some();
        the_only(named, alg)?.ok_or_else(|| {
            if named.iter().any(is_for_signatures) {
                Miss::AlgorithmMismatch
            } else {
                Miss::OtherUse
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
    let examined = entries.jwks().map(|jwk| match jwk {
        Ok(jwk) => examine_key(jwk, allowed),
        Err(reason) => (Value::Null, Err(reason)),
    });
    let beyond = (entries.skipped > 0).then_some((Value::Null, Err(Reason::TooMany)));
    Ok(examined.chain(beyond).collect())
}

/// Examines each key of a file as [`KeySet::parse_file`] would.
#[cfg(feature = "service")]
pub(crate) fn examine_file(file: &[u8], allowed: &[Algorithm]) -> Result<Vec<Examined>, NoKeys> {
    match key_file::read(file).map_err(NoKeys::of_file)? {
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

/// Each `kid` that two different keys with a common algorithm share. If no key has a `kid`, `None`
/// stands for the missing `kid` of two such keys.
#[cfg(feature = "service")]
pub(crate) fn shared_kids(examined: &[Examined]) -> Vec<Option<String>> {
    let usable = examined.iter().filter_map(|(jwk, good_for)| {
        let algorithms = good_for.as_ref().ok()?;
        let (material, _) = jwk::import(jwk, &[]).ok()?;
        Some((jwk::kid(jwk), algorithms, material))
    });
    let usable: Vec<_> = usable.collect();
    let has_names = usable.iter().any(|(kid, ..)| kid.is_some());
    let mut shared = Vec::new();
    for (at, (kid, algorithms, material)) in usable.iter().enumerate() {
        let conflicts = usable[..at].iter().any(|(other_kid, others, other)| {
            let have_common = algorithms
                .iter()
                .any(|algorithm| others.contains(algorithm));
            other_kid == kid && have_common && other != material
        });
        let kid = kid.map(str::to_owned);
        if conflicts && (kid.is_some() || !has_names) && !shared.contains(&kid) {
            shared.push(kid);
        }
    }
    shared
}

#[cfg(feature = "service")]
fn examine_key(jwk: Value, allowed: &[Algorithm]) -> Examined {
    let good_for = jwk::import(&jwk, allowed)
        .map(|(_, verifiers)| verifiers.iter().map(|(alg, _)| *alg).collect());
    (jwk, good_for)
}

/// Describes an object without `keys`, if it is of a known kind.
fn without_keys(members: &[(Cow<'_, str>, &str)]) -> NoKeys {
    let has = |wanted: &str| members.iter().any(|(name, _)| name == wanted);
    let is_certificate = |text: &str| text.contains("-----BEGIN CERTIFICATE-----");
    NoKeys::NotAKeySet(if has("jwks_uri") {
        "a discovery document, whose jwks_uri has the address of the keys"
    } else if has("kty") {
        "one JWK, not a set"
    } else if !members.is_empty() && members.iter().all(|(_, value)| is_certificate(value)) {
        "a map of certificates (for Firebase, the key set is at https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com)"
    } else {
        return NoKeys::NoMember;
    })
}

struct Entries<'a> {
    read: Vec<&'a str>,
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
        let (_, keys) = keys.ok_or_else(|| without_keys(&members))?;
        let (read, skipped) = json::array(keys, MAX_ENTRIES)
            .map_err(|_| NoKeys::NotAKeySet("a JSON object whose \"keys\" is not an array"))?;
        Ok(Self { read, skipped })
    }

    /// Parses the entries, or returns what is wrong with an entry.
    fn jwks(&self) -> impl Iterator<Item = Result<Value, Reason>> {
        let read = |entry: &&str| {
            let jwk = json::value_below(Self::DEPTH, entry);
            let mut jwk = jwk.map_err(|_| Reason::Malformed(Fault::of(entry.as_bytes())))?;
            restore_numbers(&mut jwk, entry);
            Ok(jwk)
        };
        self.read.iter().map(read)
    }
}

/// Replaces each null that stands for a number outside the range of `f64` with a number. Nulls
/// count as absent, so without this we'd report a member (e.g. `n`) as missing.
fn restore_numbers(jwk: &mut Value, entry: &str) {
    let Some(members) = jwk.as_object_mut() else {
        return;
    };
    if !members.values().any(Value::is_null) {
        return;
    }
    for (name, text) in json::object(entry).unwrap_or_default() {
        if text != "null"
            && let Some(value) = members.get_mut(&*name)
            && value.is_null()
        {
            *value = Value::from(0);
        }
    }
}

fn counted<T: Eq + Hash>(items: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// The key that supports `alg`, if there is exactly one (copies of a key count as one). If two
/// different keys support it we use neither -- there is no way to tell which one the issuer means.
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
    /// The generation of keys that we never fetch. Fetched sets start at 1.
    pub(crate) const FIXED: u64 = 0;

    pub(crate) fn secret(secret: &[u8]) -> Self {
        Self {
            kid: None,
            generation: Self::FIXED,
            material: None,
            verifiers: vec![(Algorithm::HS256, KeyVerifier::secret(secret))],
            invalid: false,
        }
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Everything about this key that can change the result for a token.
    fn identity(&self) -> impl Eq + Hash {
        let algorithms = self.verifiers.iter().map(|(algorithm, _)| *algorithm);
        let algorithms: Vec<_> = algorithms.collect();
        (&self.kid, &self.material, algorithms, self.invalid)
    }

    fn verifier(&self, alg: Algorithm) -> Option<&KeyVerifier> {
        let of = |(algorithm, _): &&(Algorithm, KeyVerifier)| *algorithm == alg;
        self.verifiers.iter().find(of).map(|(_, verifier)| verifier)
    }

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
        let digits = "9".repeat(617);
        let number = format!(r#"{{"keys":[{{"kid":"a","kty":"RSA","n":{digits},"e":"AQAB"}}]}}"#);
        let number = error(number.as_bytes());
        assert!(number.ends_with("a: `n` is not a string"), "{number}");
        let other = error(format!(r#"{{"keys":[1,{KEY}]}}"#).as_bytes());
        let reason = "a is for EdDSA, which is not an allowed algorithm";
        assert_eq!(other, format!("no usable key among 2; {reason}"));
    }

    #[cfg(feature = "service")]
    #[test]
    fn says_why_no_key_has_the_kid_of_a_token() {
        let eddsa = Algorithm::EdDSA;
        let bare = KEY.replace(r#""kid":"a","#, "");
        let other = KEY.replace("11qY", "12qY");
        let number = KEY.replace(r#""a""#, "5");
        let twice = KEY.replace(r#""kty""#, r#""kid":"b","kty""#);
        let long = KEY.replace(r#""a""#, &format!("\"{}\"", "a".repeat(1025)));
        let hidden = |words: &str| Some(NoMatch::Hidden(words.to_owned()));
        let many = format!("{KEY}{}", format!(",{KEY}").repeat(MAX_ENTRIES));
        #[rustfmt::skip]
        let rows = [
            ("rotated", KEY.to_owned(), Some("b"), None),
            ("two under one kid", format!("{KEY},{other}"), Some("a"), Some(NoMatch::SameKid)),
            ("two, and no kid in the token", format!("{KEY},{other}"), None, None),
            ("without a kid", bare.clone(), Some("a"), Some(NoMatch::WithoutKid)),
            ("two without a kid", format!("{bare},{}", other.replace(r#""kid":"a","#, "")), None, Some(NoMatch::WithoutKid)),
            ("a number", format!("{KEY},{number}"), Some("5"), hidden("`kid` is not a string")),
            ("a member twice", format!("{KEY},{twice}"), Some("b"), hidden("not a valid object: it has the member \"kid\" twice")),
            ("too long", format!("{KEY},{long}"), Some("b"), hidden("`kid` is longer than 1024 bytes")),
            ("not read", many, Some("b"), Some(NoMatch::NotRead)),
        ];
        for (case, keys, kid, expected) in rows {
            let document = format!(r#"{{"keys":[{keys}]}}"#);
            let set = KeySet::parse(document.as_bytes(), &[eddsa], 1).unwrap();
            assert_eq!(set.why_no_match(eddsa, kid), expected, "{case}");
        }
        let file = format!("[{bare},{}]", bare.replace("11qY", "12qY"));
        let file = KeySet::parse_file(file.as_bytes(), &[eddsa], 1).unwrap();
        let found = file.why_no_match(eddsa, Some("b"));
        assert_eq!(found, Some(NoMatch::WithoutKid));
    }

    #[cfg(feature = "service")]
    #[test]
    fn finds_kids_that_two_keys_share() {
        let bare = KEY.replace(r#""kid":"a","#, "");
        let differs = |key: &str| key.replace("11qY", "12qY");
        let a = Some("a".to_owned());
        #[rustfmt::skip]
        let rows = [
            ("one", KEY.to_owned(), vec![]),
            ("the same twice", format!("{KEY},{KEY}"), vec![]),
            ("two", format!("{KEY},{}", differs(KEY)), vec![a.clone()]),
            ("three", format!("{KEY},{0},{0}", differs(KEY)), vec![a]),
            ("two without a kid", format!("{bare},{}", differs(&bare)), vec![None]),
            ("two without a kid beside one", format!("{KEY},{bare},{}", differs(&bare)), vec![]),
        ];
        for (case, keys, expected) in rows {
            let document = format!(r#"{{"keys":[{keys}]}}"#);
            let examined = examine(document.as_bytes(), &[Algorithm::EdDSA]).unwrap();
            assert_eq!(shared_kids(&examined), expected, "{case}");
        }
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
