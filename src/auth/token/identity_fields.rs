//! [`IdentityFields`]: a cache for the response headers with the identity in a token.
//!
//! A proxy sends many requests with the same token, and usually wants the same headers for the
//! application each time. Creating them takes a sixth of a request like this, so we store them with
//! the token. The total memory is limited.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use http::HeaderValue;

const FIELDS: usize = 4;

/// The memory limit for the headers of all tokens. Once it is reached, we do not cache headers any
/// more.
static LIMIT: MemoryLimit = MemoryLimit::new(8 * 1024 * 1024);

#[derive(Debug, Default)]
pub(crate) struct IdentityFields(OnceLock<Option<Box<CachedFields>>>);

impl IdentityFields {
    /// The cached headers, or new ones from `build`. `None` if `build` returns `None`.
    pub(crate) fn get_or_build(
        &self,
        build: impl Fn() -> Option<[HeaderValue; FIELDS]>,
    ) -> Option<[HeaderValue; FIELDS]> {
        let kept = self.0.get_or_init(|| LIMIT.keep(build()?).map(Box::new));
        match kept {
            Some(kept) => Some(kept.fields.clone()),
            None => build(),
        }
    }
}

/// A limit on the memory of all cached headers, in bytes.
#[derive(Debug)]
struct MemoryLimit {
    limit: usize,
    used: AtomicUsize,
}

/// Cached headers. Their memory counts towards the limit until they are dropped.
#[derive(Debug)]
struct CachedFields {
    fields: [HeaderValue; FIELDS],
    bytes: usize,
    limit: &'static MemoryLimit,
}

impl MemoryLimit {
    const fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
        }
    }

    /// `None` if the headers would exceed the limit
    fn keep(&'static self, fields: [HeaderValue; FIELDS]) -> Option<CachedFields> {
        let values: usize = fields.iter().map(HeaderValue::len).sum();
        let bytes = size_of::<CachedFields>() + values;
        let used = self.used.fetch_add(bytes, Relaxed);
        // dropping this value subtracts its bytes again
        let kept = CachedFields {
            fields,
            bytes,
            limit: self,
        };
        (used + bytes <= self.limit).then_some(kept)
    }
}

impl Drop for CachedFields {
    fn drop(&mut self) {
        self.limit.used.fetch_sub(self.bytes, Relaxed);
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
        const BYTES: usize = size_of::<CachedFields>() + FIELDS;
        static LIMIT: MemoryLimit = MemoryLimit::new(2 * BYTES);
        let one = LIMIT.keep(fields());
        let two = LIMIT.keep(fields());
        assert!(one.is_some() && two.is_some());
        for _ in 0..2 {
            assert!(LIMIT.keep(fields()).is_none());
        }
        drop(one);
        assert!(LIMIT.keep(fields()).is_some(), "freed memory is used again");
    }
}
