//! [`IdentityFields`]: a cache for the response headers with the identity in a token.
//!
//! A proxy sends many requests with the same token, and gets the same headers for the application
//! each time. Creating them takes a sixth of such a request, so they are stored with the token. The
//! total memory is limited.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use http::HeaderValue;

/// The number of headers.
const FIELDS: usize = 4;

/// The memory limit for the headers of all tokens. When it is reached, headers are not cached.
static ROOM: Room = Room::new(8 * 1024 * 1024);

/// The cached headers of a token.
#[derive(Debug, Default)]
pub(crate) struct IdentityFields(OnceLock<Option<Box<Kept>>>);

impl IdentityFields {
    /// Returns the cached headers, or calls `build` to create them. `None` if `build` returns
    /// `None`.
    pub(crate) fn get_or_build(
        &self,
        build: impl Fn() -> Option<[HeaderValue; FIELDS]>,
    ) -> Option<[HeaderValue; FIELDS]> {
        let kept = self.0.get_or_init(|| ROOM.keep(build()?).map(Box::new));
        match kept {
            Some(kept) => Some(kept.fields.clone()),
            None => build(),
        }
    }
}

/// A memory limit in bytes.
#[derive(Debug)]
struct Room {
    most: usize,
    taken: AtomicUsize,
}

/// Cached headers. Their memory counts towards the limit until they are dropped.
#[derive(Debug)]
struct Kept {
    fields: [HeaderValue; FIELDS],
    bytes: usize,
    room: &'static Room,
}

impl Room {
    const fn new(most: usize) -> Self {
        Self {
            most,
            taken: AtomicUsize::new(0),
        }
    }

    /// Stores the headers. `None` if they would exceed the limit.
    fn keep(&'static self, fields: [HeaderValue; FIELDS]) -> Option<Kept> {
        let values: usize = fields.iter().map(HeaderValue::len).sum();
        let bytes = size_of::<Kept>() + values;
        let taken = self.taken.fetch_add(bytes, Relaxed);
        // Dropping this value subtracts its bytes again.
        let kept = Kept {
            fields,
            bytes,
            room: self,
        };
        (taken + bytes <= self.most).then_some(kept)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn fields() -> [HeaderValue; FIELDS] {
        ["a", "b", "c", "d"].map(HeaderValue::from_static)
    }

    #[test]
    fn builds_fields_once() {
        let count = Cell::new(0);
        let build = || {
            count.set(count.get() + 1);
            Some(fields())
        };
        let kept = IdentityFields::default();
        for _ in 0..3 {
            assert_eq!(kept.get_or_build(build), Some(fields()));
        }
        assert_eq!(count.get(), 1);
        assert_eq!(IdentityFields::default().get_or_build(|| None), None);
    }

    #[test]
    fn caches_up_to_the_memory_limit() {
        const BYTES: usize = size_of::<Kept>() + FIELDS;
        static ROOM: Room = Room::new(2 * BYTES);
        let one = ROOM.keep(fields());
        let two = ROOM.keep(fields());
        assert!(one.is_some() && two.is_some());
        for _ in 0..2 {
            assert!(ROOM.keep(fields()).is_none());
        }
        drop(one);
        assert!(ROOM.keep(fields()).is_some(), "freed memory is used again");
    }
}
