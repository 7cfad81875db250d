//! [`RevocationList`]: the revocations in force, indexed for fast lookups.
//!
//! A lookup reads an immutable snapshot and never waits for a lock or a writer. If the list is
//! empty, it's a single atomic load. The list has two parts: one for the recent entries and a base
//! for the rest, so adding an entry only has to copy the recent part.
//!
//! Invariant: **an entry stays in the list until it expires.** Sources can only add entries.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use tokio::sync::watch;

use crate::auth::{
    display::ShownUrl,
    revocation::entry::{Revocation, Target},
};

/// The maximum number of recent entries, or a sixteenth of the base entries if that is more. Adding
/// an entry copies the recent ones. When there are too many we merge them into the base, which
/// takes time in proportion to the size of the base.
const MAX_RECENT: usize = 1024;

/// The maximum number of issuers that we warn about. A file may have thousands of wrong names.
const MAX_REPORTED: usize = 16;

const EMPTY: u64 = 0;

/// The state of a list that is too old to use.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct RevocationList {
    /// [`EMPTY`], [`UNKNOWN`], or the version of the list.
    state: AtomicU64,
    snapshot: ArcSwap<Snapshot>,
    writer: Mutex<Writer>,
    /// Held while the base is rebuilt. Entries can be added in the meantime.
    rebuilding: Mutex<()>,
    /// True from [`request_merge`](Self::request_merge) to [`merge`](Self::merge).
    is_merge_requested: AtomicBool,
    changed: watch::Sender<u64>,
    issuers: Mutex<Known>,
}

/// The issuers whose entries are used.
#[derive(Debug, Default)]
struct Known {
    /// `None` if any issuer may be trusted later
    trusted: Option<HashSet<String>>,
    /// Other issuers, for which we have logged a warning.
    reported: HashSet<String>,
}

/// How a request must use the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    /// Look up the token, unless it was already looked up in this version.
    Version(u64),
    Unknown,
}

/// The claims that revocations are compared with
#[derive(Debug, Default)]
pub(crate) struct RevocableClaims<'a> {
    pub(crate) jti: Option<Cow<'a, str>>,
    pub(crate) sub: Option<Cow<'a, str>>,
    pub(crate) sid: Option<Cow<'a, str>>,
    /// `client_id`, `azp` and `cid`.
    pub(crate) clients: SmallVec<[Cow<'a, str>; 3]>,
    /// `iat`. A token without it counts as issued before any time.
    pub(crate) issued: Option<f64>,
}

#[derive(Debug, Default)]
struct Writer {
    version: u64,
    /// The number of sources that have been unreachable for too long.
    unknown: usize,
}

#[derive(Debug, Default, Clone)]
struct Snapshot {
    base: Arc<Entries>,
    recent: Arc<Entries>,
}

#[derive(Debug, Default, Clone)]
struct Entries {
    issuers: HashMap<Arc<str>, IssuerEntries>,
    len: usize,
}

#[derive(Debug, Default, Clone)]
struct IssuerEntries {
    all: Rules,
    jti: HashMap<Arc<str>, Rules>,
    sub: HashMap<Arc<str>, Rules>,
    client: HashMap<Arc<str>, Rules>,
    sid: HashMap<Arc<str>, Rules>,
}

/// The rules for one name. Usually just one.
type Rules = SmallVec<[Rule; 1]>;

type MakeTarget = fn(String) -> Target;

/// Selects the tokens that are revoked. Times are in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rule {
    /// Revokes tokens issued before this time. Infinity revokes every token.
    before: f64,
    /// The time at which the rule expires. Infinity means never.
    until: f64,
}

impl RevocationList {
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU64::new(EMPTY),
            snapshot: ArcSwap::default(),
            writer: Mutex::default(),
            rebuilding: Mutex::default(),
            is_merge_requested: AtomicBool::new(false),
            changed: watch::Sender::new(0),
            issuers: Mutex::default(),
        }
    }

    /// Sets the trusted issuers, or `None` if they're not known in advance. Entries of other
    /// issuers have no effect. We log a warning for these, as their names may be misspelt.
    pub(crate) fn trust(&self, issuers: Option<HashSet<String>>) {
        self.issuers().trusted = issuers;
        let snapshot = self.snapshot.load();
        let parts = [&snapshot.base, &snapshot.recent].into_iter();
        self.warn_of_others(parts.flat_map(|part| part.issuers.keys().map(|name| &**name)));
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            EMPTY => State::Empty,
            UNKNOWN => State::Unknown,
            version => State::Version(version),
        }
    }

    pub(crate) fn has(&self, issuer: &str, marks: &RevocableClaims<'_>, now: f64) -> bool {
        let snapshot = self.snapshot.load();
        let parts = [&snapshot.base, &snapshot.recent];
        parts.into_iter().any(|part| {
            let issuer = part.issuers.get(issuer);
            issuer.is_some_and(|issuer| issuer.has(marks, now))
        })
    }

    /// Checks whether all entries of the issuer are for subjects or for the whole issuer.
    pub(crate) fn has_only_subject_entries(&self, issuer: &str) -> bool {
        let snapshot = self.snapshot.load();
        let parts = [&snapshot.base, &snapshot.recent].into_iter();
        let mut of_issuer = parts.filter_map(|part| part.issuers.get(issuer));
        of_issuer.all(|entries| {
            let others = [&entries.jti, &entries.client, &entries.sid];
            others.into_iter().all(HashMap::is_empty)
        })
    }

    /// Adds entries, and returns the new ones. Skips expired entries and those covered by another
    /// one. May take time in proportion to the list, so call this on a thread for such work.
    pub(crate) fn add(
        &self,
        entries: impl IntoIterator<Item = Revocation>,
        now: f64,
    ) -> Vec<Revocation> {
        let (batch, added) = self.batch_of(entries, now);
        self.add_batch(batch);
        added
    }

    /// [`add`](Self::add) for a thread that serves requests. Never merges the entries into the base.
    /// If [`request_merge`](Self::request_merge) returns true afterwards, call [`merge`](Self::merge)
    /// on another thread.
    pub(crate) fn add_recent(
        &self,
        entries: impl IntoIterator<Item = Revocation>,
        now: f64,
    ) -> Vec<Revocation> {
        let (batch, added) = self.batch_of(entries, now);
        self.extend_recent(&mut self.writer(), &batch.entries, now);
        self.warn_of_others(added.iter().map(Revocation::issuer));
        added
    }

    fn batch_of(
        &self,
        entries: impl IntoIterator<Item = Revocation>,
        now: f64,
    ) -> (Batch, Vec<Revocation>) {
        let mut batch = self.batch(now);
        let entries = entries.into_iter();
        let added = entries.filter(|entry| batch.push(entry)).collect();
        (batch, added)
    }

    /// An empty batch, to add many entries at once or none of them.
    pub(crate) fn batch(&self, now: f64) -> Batch {
        Batch {
            held: self.snapshot.load_full(),
            entries: Entries::default(),
            now,
        }
    }

    pub(crate) fn add_batch(&self, batch: Batch) {
        let issuers: Vec<_> = batch.entries.issuers.keys().cloned().collect();
        self.join(batch.entries, batch.now);
        self.warn_of_others(issuers.iter().map(|issuer| &**issuer));
    }

    fn join(&self, new: Entries, now: f64) {
        let mut writer = self.writer();
        let held = self.snapshot.load_full();
        if new.len <= held.max_recent() {
            self.extend_recent(&mut writer, &new, now);
            drop(writer);
            if self.snapshot.load().needs_merge() {
                self.merge(now);
            }
        } else {
            // as recent entries, they'd be copied twice
            drop(writer);
            let _rebuilding = lock(&self.rebuilding);
            let mut writer = self.writer();
            let held = self.snapshot.load_full();
            if held.base.len == 0 && held.recent.len == 0 {
                let snapshot = Snapshot {
                    base: Arc::new(new),
                    recent: Arc::default(),
                };
                self.publish(&mut writer, snapshot);
            } else {
                drop(writer);
                self.rebuild(&new, now);
            }
        }
    }

    fn extend_recent(&self, writer: &mut Writer, new: &Entries, now: f64) {
        if new.len == 0 {
            return;
        }
        let held = self.snapshot.load_full();
        let mut recent = Entries::clone(&held.recent);
        recent.extend(new, now);
        let snapshot = Snapshot {
            base: Arc::clone(&held.base),
            recent: Arc::new(recent),
        };
        self.publish(writer, snapshot);
    }

    /// Returns true if there are too many recent entries, and nobody was asked to merge them yet.
    pub(crate) fn request_merge(&self) -> bool {
        self.snapshot.load().needs_merge() && !self.is_merge_requested.swap(true, Ordering::Relaxed)
    }

    /// Merges the recent entries into the base if there are too many of them, and no other thread is
    /// doing it. Takes time in proportion to the list.
    pub(crate) fn merge(&self, now: f64) {
        self.is_merge_requested.store(false, Ordering::Relaxed);
        let _rebuilding = match self.rebuilding.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if self.snapshot.load().needs_merge() {
            self.rebuild(&Entries::default(), now);
        }
    }

    /// Frees the memory of expired entries.
    pub(crate) fn sweep(&self, now: f64) {
        let _rebuilding = lock(&self.rebuilding);
        let held = self.snapshot.load_full();
        // If nothing has expired, don't make a copy. It takes as much memory as the list.
        if held.base.has_expired(now) || held.recent.has_expired(now) {
            drop(held);
            self.rebuild(&Entries::default(), now);
        }
    }

    /// Makes a new base of all entries in force and `new`. The caller must hold `rebuilding`, so that
    /// the base does not change meanwhile. The lock of the writer is held only for a moment at the
    /// end, because a thread that serves requests may wait for it.
    fn rebuild(&self, new: &Entries, now: f64) {
        let held = self.snapshot.load_full();
        let mut base = held.base.in_force(now);
        base.extend(&held.recent, now);
        base.extend(new, now);
        let mut writer = self.writer();
        let current = self.snapshot.load_full();
        let recent = if Arc::ptr_eq(&current.recent, &held.recent) {
            Entries::default()
        } else {
            current.recent.without(&base, now)
        };
        let snapshot = Snapshot {
            base: Arc::new(base),
            recent: Arc::new(recent),
        };
        self.publish(&mut writer, snapshot);
    }

    /// Records that a source is too old, or has been read again. While any source is too old, we
    /// can't accept any token.
    pub(crate) fn source_became(&self, is_unknown: bool) {
        let mut writer = self.writer();
        writer.unknown = if is_unknown {
            writer.unknown + 1
        } else {
            writer.unknown.saturating_sub(1)
        };
        self.publish_state(&writer);
    }

    pub(crate) fn entries(&self, now: f64) -> Vec<Revocation> {
        let mut entries = Vec::new();
        self.each(now, |entry| entries.push(entry));
        entries
    }

    /// Calls `with` for each entry in force, without copying all of them at once.
    pub(crate) fn each(&self, now: f64, mut with: impl FnMut(Revocation)) {
        let snapshot = self.snapshot.load_full();
        for part in [&snapshot.base, &snapshot.recent] {
            part.each(|issuer, target, rule| {
                if rule.until > now {
                    with(rule.entry(issuer, target));
                }
            });
        }
    }

    pub(crate) fn len(&self) -> usize {
        let snapshot = self.snapshot.load();
        snapshot.base.len + snapshot.recent.len
    }

    /// The receiver is notified of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Publishes the snapshot first and its version second. The other way round, a request could
    /// look up a token in the old snapshot and mark it as looked up in the new version.
    fn publish(&self, writer: &mut Writer, snapshot: Snapshot) {
        writer.version += 1;
        self.snapshot.store(Arc::new(snapshot));
        self.publish_state(writer);
        self.changed.send_replace(writer.version);
    }

    fn publish_state(&self, writer: &Writer) {
        let state = if writer.unknown > 0 {
            UNKNOWN
        } else if self.len() == 0 {
            EMPTY
        } else {
            writer.version
        };
        self.state.store(state, Ordering::Release);
    }

    /// Logs one warning for each issuer that is not trusted, up to [`MAX_REPORTED`].
    fn warn_of_others<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let mut issuers = self.issuers();
        let Known { trusted, reported } = &mut *issuers;
        let Some(trusted) = trusted else {
            return;
        };
        let mut others = Vec::new();
        for name in names.filter(|name| !trusted.contains(*name)) {
            if reported.len() < MAX_REPORTED && reported.insert(name.to_owned()) {
                others.push(ShownUrl::new(name));
            }
        }
        // don't log under the lock
        drop(issuers);
        for issuer in others {
            tracing::warn!(%issuer, "revocations of an issuer that is not configured have no effect");
        }
    }

    fn issuers(&self) -> MutexGuard<'_, Known> {
        lock(&self.issuers)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        lock(&self.writer)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Snapshot {
    fn max_recent(&self) -> usize {
        MAX_RECENT.max(self.base.len / 16)
    }

    fn needs_merge(&self) -> bool {
        self.recent.len > self.max_recent()
    }
}

/// Entries that are added to the list all at once or not at all. They take no more memory than in
/// the list.
#[derive(Debug)]
pub(crate) struct Batch {
    held: Arc<Snapshot>,
    entries: Entries,
    now: f64,
}

impl Batch {
    /// Adds an entry. Returns whether it changes the list.
    pub(crate) fn push(&mut self, entry: &Revocation) -> bool {
        let rule = Rule::of(entry);
        let parts = [&*self.held.base, &*self.held.recent, &self.entries];
        let is_new = rule.until > self.now && !parts.iter().any(|part| part.covers(entry, rule));
        if is_new {
            self.entries.insert(entry, rule);
        }
        is_new
    }
}

impl Entries {
    fn insert(&mut self, entry: &Revocation, rule: Rule) {
        // Don't copy the name of an issuer that's already there, which it usually is.
        if !self.issuers.contains_key(entry.issuer()) {
            self.issuers
                .insert(entry.issuer().into(), IssuerEntries::default());
        }
        if let Some(issuer) = self.issuers.get_mut(entry.issuer()) {
            self.len += 1;
            self.len -= issuer.rules_mut(entry.target()).add(rule);
        }
    }

    fn has_expired(&self, now: f64) -> bool {
        let is_over = |rules: &Rules| rules.iter().any(|rule| rule.until <= now);
        self.issuers.values().any(|issuer| {
            let maps = [&issuer.jti, &issuer.sub, &issuer.client, &issuer.sid];
            is_over(&issuer.all) || maps.into_iter().any(|map| map.values().any(is_over))
        })
    }

    fn covers(&self, entry: &Revocation, rule: Rule) -> bool {
        let rules = self.issuers.get(entry.issuer());
        let rules = rules.and_then(|issuer| issuer.rules(entry.target()));
        rules.is_some_and(|rules| rules.iter().any(|held| held.covers(rule)))
    }

    fn in_force(&self, now: f64) -> Self {
        let mut copy = Self::default();
        copy.extend(self, now);
        copy
    }

    /// The entries in force that `other` does not cover.
    fn without(&self, other: &Self, now: f64) -> Self {
        let mut rest = Self::default();
        self.each(|issuer, target, rule| {
            let entry = rule.entry(issuer, target);
            if rule.until > now && !other.covers(&entry, *rule) {
                rest.insert(&entry, *rule);
            }
        });
        rest
    }

    fn extend(&mut self, others: &Self, now: f64) {
        for (name, theirs) in &others.issuers {
            let ours = self.issuers.entry(Arc::clone(name)).or_default();
            for rule in theirs.all.iter().filter(|rule| rule.until > now) {
                self.len += 1;
                self.len -= ours.all.add(*rule);
            }
            let maps = [
                (&mut ours.jti, &theirs.jti),
                (&mut ours.sub, &theirs.sub),
                (&mut ours.client, &theirs.client),
                (&mut ours.sid, &theirs.sid),
            ];
            for (ours, theirs) in maps {
                for (name, rules) in theirs {
                    for rule in rules.iter().filter(|rule| rule.until > now) {
                        self.len += 1;
                        self.len -= ours.entry(Arc::clone(name)).or_default().add(*rule);
                    }
                }
            }
        }
    }

    fn each(&self, mut with: impl FnMut(&str, Target, &Rule)) {
        for (issuer, entries) in &self.issuers {
            for rule in &entries.all {
                with(issuer, Target::All, rule);
            }
            let maps: [(_, MakeTarget); 4] = [
                (&entries.jti, Target::Jti),
                (&entries.sub, Target::Sub),
                (&entries.client, Target::Client),
                (&entries.sid, Target::Sid),
            ];
            for (map, target) in maps {
                for (name, rules) in map {
                    for rule in rules {
                        with(issuer, target(name.to_string()), rule);
                    }
                }
            }
        }
    }
}

impl IssuerEntries {
    fn has(&self, marks: &RevocableClaims<'_>, now: f64) -> bool {
        let applies = |rules: &Rules| rules.iter().any(|rule| rule.applies(marks.issued, now));
        let named = |map: &HashMap<Arc<str>, Rules>, name: &str| map.get(name).is_some_and(applies);
        applies(&self.all)
            || marks.jti.as_ref().is_some_and(|jti| named(&self.jti, jti))
            || marks.sub.as_ref().is_some_and(|sub| named(&self.sub, sub))
            || marks.sid.as_ref().is_some_and(|sid| named(&self.sid, sid))
            || marks
                .clients
                .iter()
                .any(|client| named(&self.client, client))
    }

    fn rules(&self, target: &Target) -> Option<&Rules> {
        match target {
            Target::All => Some(&self.all),
            Target::Jti(name) => self.jti.get(&**name),
            Target::Sub(name) => self.sub.get(&**name),
            Target::Client(name) => self.client.get(&**name),
            Target::Sid(name) => self.sid.get(&**name),
        }
    }

    fn rules_mut(&mut self, target: &Target) -> &mut Rules {
        let (map, name) = match target {
            Target::All => return &mut self.all,
            Target::Jti(name) => (&mut self.jti, name),
            Target::Sub(name) => (&mut self.sub, name),
            Target::Client(name) => (&mut self.client, name),
            Target::Sid(name) => (&mut self.sid, name),
        };
        map.entry(name.as_str().into()).or_default()
    }
}

trait AddRule {
    /// Adds a rule. Returns the number of redundant rules: those that the new rule covers, or 1 if
    /// another rule covers the new one.
    fn add(&mut self, rule: Rule) -> usize;
}

impl AddRule for Rules {
    fn add(&mut self, rule: Rule) -> usize {
        if self.iter().any(|held| held.covers(rule)) {
            return 1;
        }
        let before = self.len();
        self.retain(|held| !rule.covers(*held));
        let removed = before - self.len();
        self.push(rule);
        removed
    }
}

impl Rule {
    fn of(entry: &Revocation) -> Self {
        Self {
            before: entry.before_seconds().unwrap_or(f64::INFINITY),
            until: entry.until_seconds().unwrap_or(f64::INFINITY),
        }
    }

    fn entry(&self, issuer: &str, target: Target) -> Revocation {
        let finite = |seconds: f64| seconds.is_finite().then_some(seconds);
        Revocation::from_parts(issuer, target, finite(self.before), finite(self.until))
    }

    fn covers(&self, other: Self) -> bool {
        self.before >= other.before && self.until >= other.until
    }

    fn applies(&self, issued: Option<f64>, now: f64) -> bool {
        self.until > now && issued.is_none_or(|issued| issued < self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://a/";

    fn entries(names: std::ops::Range<usize>) -> impl Iterator<Item = Revocation> {
        names.map(|name| Revocation::token(ISSUER, name.to_string()))
    }

    fn has(list: &RevocationList, name: usize) -> bool {
        let claims = RevocableClaims {
            jti: Some(name.to_string().into()),
            ..RevocableClaims::default()
        };
        list.has(ISSUER, &claims, 0.0)
    }

    #[test]
    fn recent_entries_are_merged_only_on_request() {
        const LARGE: usize = 3 * MAX_RECENT;
        let list = RevocationList::new();
        list.add(entries(0..LARGE), 0.0);
        let base = Arc::clone(&list.snapshot.load().base);
        assert_eq!(base.len, LARGE);
        let end = LARGE + MAX_RECENT + 1;
        for name in LARGE..end {
            assert!(!list.request_merge(), "{name}");
            let added = list.add_recent(entries(name..name + 1), 0.0);
            assert_eq!(added.len(), 1);
        }
        assert!(Arc::ptr_eq(&list.snapshot.load().base, &base));
        assert!(list.request_merge());
        assert!(!list.request_merge(), "requested before");
        list.merge(0.0);
        assert!(!list.request_merge(), "merged");
        assert_eq!(list.snapshot.load().base.len, end);
        assert_eq!(list.len(), end);
        assert!((0..end).all(|name| has(&list, name)));
    }

    #[test]
    fn entries_added_while_the_base_is_rebuilt_stay() {
        const LARGE: usize = 20 * MAX_RECENT;
        const ADDED: usize = 50 * MAX_RECENT;
        let list = RevocationList::new();
        let next = |from: usize| {
            std::thread::scope(|threads| {
                let adding = threads.spawn(|| {
                    for name in (from..from + ADDED).step_by(64) {
                        list.add_recent(entries(name..name + 64), 0.0);
                    }
                });
                let mut rebuilt = 0;
                while !adding.is_finished() {
                    let _rebuilding = lock(&list.rebuilding);
                    list.rebuild(&Entries::default(), 0.0);
                    rebuilt += 1;
                }
                rebuilt
            })
        };
        list.add(entries(0..LARGE), 0.0);
        assert!(next(LARGE) > 0);
        assert_eq!(list.len(), LARGE + ADDED);
        assert!((0..LARGE + ADDED).all(|name| has(&list, name)));
    }

    /// Otherwise, the rebuilt base would replace the new one.
    #[test]
    fn large_batch_for_an_empty_list_waits_while_the_base_is_rebuilt() {
        let list = RevocationList::new();
        std::thread::scope(|threads| {
            let rebuilding = lock(&list.rebuilding);
            let adding = threads.spawn(|| list.add(entries(0..2 * MAX_RECENT), 0.0));
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert_eq!(list.len(), 0);
            drop(rebuilding);
            adding.join().unwrap();
        });
        assert_eq!(list.len(), 2 * MAX_RECENT);
    }

    #[test]
    fn adding_does_not_wait_while_the_base_is_rebuilt() {
        let list = RevocationList::new();
        list.add(entries(0..2), 0.0);
        let rebuilding = lock(&list.rebuilding);
        assert_eq!(list.add(entries(2..4), 0.0).len(), 2);
        assert_eq!(list.add_recent(entries(4..6), 0.0).len(), 2);
        drop(rebuilding);
        assert_eq!(list.len(), 6);
    }
}
