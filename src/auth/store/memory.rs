//! [`Memory`]: a store in the memory of this process.
//!
//! A random hash distributes the keys over shards. Each shard has its own lock, so a claim is
//! atomic and threads shouldn't wait for each other often. A shard is a hash table that never grows
//! beyond its share of the memory. We only ever remove expired entries: when a shard has no room
//! for another entry, it's rebuilt without the expired ones, but at most once a second while it is
//! full. A shard that is full of unexpired entries rejects claims.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use hashbrown::HashTable;

use crate::auth::store::claim::{Claim, Claimed, Unavailable};

/// The default size, for more than two million keys.
pub(crate) const DEFAULT_BYTES: usize = 64 << 20;

/// The maximum number of slots in a shard. A claim that rebuilds such a shard takes about 50 µs.
const MAX_SLOTS: usize = 4096;

/// The minimum number of slots in a shard, for very small stores.
const MIN_SLOTS: usize = 16;

const INITIAL_CAPACITY: usize = 14;

/// The size of a slot in bytes: the entry, and the table's control byte for it.
const SLOT_BYTES: usize = size_of::<Entry>() + 1;

/// Claimed keys that have not expired.
#[derive(Debug)]
pub(crate) struct Memory {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    began: OnceLock<Began>,
}

/// The start of the store, by two clocks: the caller's and the monotonic one.
#[derive(Debug)]
struct Began {
    at: SystemTime,
    instant: Instant,
}

#[derive(Debug)]
struct Shard {
    /// Doesn't grow by itself, and we never remove a single entry from it. Removals would leave
    /// tombstones, with which the table could exceed its memory. That's why `rebuild` replaces the
    /// whole table instead.
    entries: HashTable<Entry>,
    /// The number of entries that fit into the shard's share of the memory
    limit: usize,
    /// No entry expires before this time, in seconds.
    earliest: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The first half of the key. Another key with the same half is rejected, but that's safe.
    key: [u8; 16],
    /// The last second in which the key must be remembered.
    until: u32,
}

impl Memory {
    /// Creates an empty store of at most `bytes`. There is always room for a few keys.
    pub(crate) fn new(bytes: usize) -> Self {
        let slots = (bytes / SLOT_BYTES).max(MIN_SLOTS);
        let slots_per_shard = (1 << slots.ilog2()).min(MAX_SLOTS);
        let shard = || {
            Mutex::new(Shard {
                entries: HashTable::new(),
                // the table keeps at least one of eight slots free
                limit: slots_per_shard / 8 * 7,
                earliest: u32::MAX,
            })
        };
        Self {
            shards: (0..slots / slots_per_shard).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            began: OnceLock::new(),
        }
    }

    /// From now on, rejects values that were issued before `now`, which another process may have
    /// accepted. Only the first call has an effect.
    pub(crate) fn begin(&self, now: SystemTime) {
        let instant = Instant::now();
        self.began.get_or_init(|| Began { at: now, instant });
    }

    pub(crate) fn claim(&self, claim: &Claim) -> Result<Claimed, Unavailable> {
        if self.began.get().is_some_and(|began| began.is_after(claim)) {
            return Err(Unavailable::TooOld);
        }
        let entry = Entry::of(claim);
        let hash = self.hasher.hash_one(entry.key);
        let hasher = |entry: &Entry| self.hasher.hash_one(entry.key);
        let mut shard = self.shard_of(hash);
        shard.claim(entry, hash, second(claim.now), hasher)
    }

    /// Checks whether a key was claimed and hasn't expired.
    #[cfg(feature = "redis")]
    pub(crate) fn holds(&self, claim: &Claim) -> bool {
        let key = Entry::of(claim).key;
        let hash = self.hasher.hash_one(key);
        let shard = self.shard_of(hash);
        let held = shard.entries.find(hash, |held| held.key == key);
        held.is_some_and(|held| held.until >= second(claim.now))
    }

    /// Also counts expired keys.
    pub(crate) fn len(&self) -> usize {
        let shards = self.shards.iter().map(lock);
        shards.map(|shard| shard.entries.len()).sum()
    }

    /// Locks the shard of a hash. The table uses the lowest bits and the seven highest ones, so
    /// here we take the bits in between.
    fn shard_of(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let middle = usize::try_from((hash >> 24) & 0xffff_ffff).unwrap_or_default();
        lock(&self.shards[middle % self.shards.len()])
    }
}

impl Began {
    /// Checks whether the value of a claim was issued before the second in which the store began.
    /// Most values have whole seconds, so within that second we can't tell which values were issued
    /// first.
    ///
    /// If the caller's clock was set back since then, the monotonic clock decides how long ago the
    /// store began.
    fn is_after(&self, claim: &Claim) -> bool {
        let is_before = |time| second(claim.issued_at) < second(time);
        is_before(self.at) && is_before(claim.now - self.instant.elapsed())
    }
}

/// Ignores poisoning. Only a failed allocation can panic under the lock, and then the shard is
/// still intact.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    fn of(claim: &Claim) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&claim.key[..16]);
        Self {
            key,
            until: second_after(claim.until),
        }
    }
}

impl Shard {
    fn claim(
        &mut self,
        entry: Entry,
        hash: u64,
        now: u32,
        hasher: impl Fn(&Entry) -> u64,
    ) -> Result<Claimed, Unavailable> {
        if let Some(held) = self.entries.find_mut(hash, |held| held.key == entry.key) {
            if held.until >= now {
                return Ok(Claimed::Used);
            }
            held.until = entry.until;
            self.earliest = self.earliest.min(entry.until);
            return Ok(Claimed::First);
        }
        if self.entries.len() == self.entries.capacity() {
            if self.entries.len() >= self.limit && self.earliest >= now {
                return Err(Unavailable::Full);
            }
            self.rebuild(now, &hasher);
            if self.entries.len() >= self.limit {
                return Err(Unavailable::Full);
            }
        }
        self.earliest = self.earliest.min(entry.until);
        self.entries.insert_unique(hash, entry, hasher);
        Ok(Claimed::First)
    }

    /// Replaces the table with one without the expired entries, and with room for as many new ones.
    fn rebuild(&mut self, now: u32, hasher: impl Fn(&Entry) -> u64) {
        let is_held = |entry: &&Entry| entry.until >= now;
        let held = self.entries.iter().filter(is_held).count();
        let capacity = (held * 2).clamp(INITIAL_CAPACITY.min(self.limit), self.limit);
        let mut entries = HashTable::with_capacity(capacity);
        self.earliest = u32::MAX;
        for entry in self.entries.iter().filter(is_held) {
            self.earliest = self.earliest.min(entry.until);
            entries.insert_unique(hasher(entry), *entry, &hasher);
        }
        self.entries = entries;
    }
}

/// Rounds down.
fn second(time: SystemTime) -> u32 {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Rounds up.
fn second_after(time: SystemTime) -> u32 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let rounded = since_epoch.as_secs() + u64::from(since_epoch.subsec_nanos() > 0);
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
        time::Duration,
    };

    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    /// A claim of the key with this number, made at the second `now` and kept for ten seconds.
    fn claim(number: u64, now: u64) -> Claim {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Claim {
            key,
            now: at(now),
            issued_at: at(now),
            until: at(now + 10),
        }
    }

    #[test]
    fn accepts_a_key_once_until_it_expires() {
        let store = Memory::new(1 << 20);
        assert_eq!(store.claim(&claim(1, 100)), Ok(Claimed::First));
        for now in 100..=110 {
            assert_eq!(store.claim(&claim(1, now)), Ok(Claimed::Used), "{now}");
        }
        assert_eq!(store.claim(&claim(2, 100)), Ok(Claimed::First));
        assert_eq!(store.claim(&claim(1, 111)), Ok(Claimed::First));
        assert_eq!(store.claim(&claim(1, 121)), Ok(Claimed::Used));
    }

    #[test]
    fn rejects_values_issued_before_it_began() {
        let store = Memory::new(1 << 20);
        let began = at(100) + Duration::from_millis(900);
        store.begin(began);
        store.begin(at(50));
        let issued = |second, now| Claim {
            issued_at: at(second),
            ..claim(second, now)
        };
        for now in [101, 102, 1000] {
            let claimed = store.claim(&issued(99, now));
            assert_eq!(claimed, Err(Unavailable::TooOld), "{now}");
        }
        assert_eq!(store.claim(&issued(100, 102)), Ok(Claimed::First));
        assert_eq!(store.claim(&issued(100, 102)), Ok(Claimed::Used));
        // the clock was set back by a minute
        assert_eq!(store.claim(&issued(41, 42)), Ok(Claimed::First));
        let before = Memory::new(1 << 20);
        assert_eq!(before.claim(&issued(1, 102)), Ok(Claimed::First));
    }

    #[test]
    fn keeps_a_key_through_its_last_partial_second() {
        let store = Memory::new(1 << 20);
        let until = at(100) + Duration::from_millis(1);
        let now = until - Duration::from_micros(500);
        let first = Claim {
            until,
            ..claim(1, 99)
        };
        assert_eq!(store.claim(&first), Ok(Claimed::First));
        assert_eq!(store.claim(&Claim { now, ..first }), Ok(Claimed::Used));
    }

    /// Claims new keys until the store is full. Returns the number of claimed keys.
    fn fill(store: &Memory, now: u64) -> u64 {
        let mut numbers = 0..;
        let refused = numbers.find(|number| {
            let claimed = store.claim(&claim(*number, now));
            assert_ne!(claimed, Ok(Claimed::Used));
            claimed == Err(Unavailable::Full)
        });
        refused.unwrap()
    }

    #[test]
    fn rejects_claims_when_full_without_forgetting_keys() {
        let store = Memory::new(1 << 20);
        let held = fill(&store, 100);
        for number in 0..held {
            let claimed = store.claim(&claim(number, 110));
            assert_eq!(claimed, Ok(Claimed::Used), "{number}");
        }
        let mut numbers = held..;
        assert!(numbers.any(|number| store.claim(&claim(number, 110)).is_err()));
        assert_eq!(store.claim(&claim(held, 111)), Ok(Claimed::First));
    }

    #[test]
    fn accepts_new_keys_as_old_ones_expire() {
        let store = Memory::new(64 << 10);
        for number in 0..100_000 {
            let claimed = store.claim(&claim(number, number / 50));
            assert_eq!(claimed, Ok(Claimed::First), "{number}");
        }
        assert!(store.len() < 3000, "{}", store.len());
    }

    #[test]
    fn stays_within_its_memory() {
        for bytes in [1 << 10, 1 << 16, 1 << 20, 5 << 20] {
            let store = Memory::new(bytes);
            let held = fill(&store, 100);
            for number in 0..held {
                let _ = store.claim(&claim(number, 200 + number % 20));
            }
            let shards = store.shards.iter().map(|shard| shard.lock().unwrap());
            let size: usize = shards.map(|shard| shard.entries.allocation_size()).sum();
            assert!(size <= bytes + bytes / 20, "{bytes}: {size}");
            let needed = usize::try_from(held).unwrap() * SLOT_BYTES;
            assert!(needed > bytes / 3, "{bytes}: {needed}");
        }
    }

    /// Measures a claim: `cargo test --release -- --ignored nanoseconds_per_claim --nocapture`.
    #[test]
    #[ignore = "measures speed"]
    fn nanoseconds_per_claim() {
        const CLAIMS: u64 = 1_000_000;
        for threads in [1, 2] {
            let store = Memory::new(DEFAULT_BYTES);
            let begin = std::time::Instant::now();
            thread::scope(|scope| {
                for thread in 0..threads {
                    let store = &store;
                    scope.spawn(move || {
                        for number in thread * CLAIMS..(thread + 1) * CLAIMS {
                            // spreads the keys like hashes
                            let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                            let claimed = store.claim(&claim(number, 100));
                            assert_eq!(claimed, Ok(Claimed::First));
                        }
                    });
                }
            });
            let each = begin.elapsed() / u32::try_from(CLAIMS).unwrap();
            println!("{threads} threads: {each:?} a claim");
        }
    }

    /// Threads claim the same keys in the same order and compete for nearly every key.
    #[test]
    fn accepts_each_key_once_however_many_threads_claim_it() {
        const THREADS: usize = 4;
        const ROUNDS: usize = 50;
        const KEYS: u64 = 2_000;
        let store = Memory::new(4 << 20);
        let barrier = Barrier::new(THREADS);
        let first = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for round in 0..ROUNDS as u64 {
                        barrier.wait();
                        for number in 0..KEYS {
                            let claimed = store.claim(&claim(number, 100 * (round + 1)));
                            if claimed.unwrap() == Claimed::First {
                                first.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(first.into_inner(), ROUNDS * usize::try_from(KEYS).unwrap());
    }
}
