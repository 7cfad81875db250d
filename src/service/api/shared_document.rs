//! [`SharedDocument`]: a document whose size grows with the number of issuers.
//!
//! A client that requests such a document but doesn't read it keeps the document in memory, so
//! requests within the same second share a copy, and a flood of them only costs one copy per second
//! instead of one per request. We do not share short documents: they are always up to date, and a
//! connection has room for them.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::body::Bytes;
use tokio::time::Instant;

/// The memory bound in `docs/production.md` allows each request a response of this size
const SHORT: usize = 4 * 1024;

const AGE: Duration = Duration::from_secs(1);

/// The last copies of a document, one for each variant
#[derive(Debug)]
pub(super) struct SharedDocument<K>(Mutex<HashMap<K, (Instant, Bytes)>>);

impl<K: Eq + Hash> SharedDocument<K> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The document, at most a second old. `None` if `render` returns `None`.
    ///
    /// We render under the lock. Without it, every request that arrives meanwhile would render its
    /// own copy.
    pub(super) fn get(&self, variant: K, render: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let held = copies.remove(&variant);
        let (since, document) = match held {
            Some((since, document)) if now - since < AGE => (since, document),
            held => {
                let rendered = render()?;
                // If nothing has changed, we keep sharing the same copy
                let held = held.map(|(_, held)| held).filter(|held| *held == rendered);
                (now, held.unwrap_or(rendered))
            }
        };
        if document.len() > SHORT {
            // drop variants that are no longer requested
            copies.retain(|_, (since, _)| now - *since < 60 * AGE);
            copies.insert(variant, (since, document.clone()));
        }
        Some(document)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn of(byte: u8, length: usize) -> Bytes {
        vec![byte; length].into()
    }

    #[tokio::test(start_paused = true)]
    async fn shares_a_long_document_for_a_second() {
        let shared = SharedDocument::new();
        let first = shared.get("a", || Some(of(1, SHORT + 1))).unwrap();
        let again = shared.get("a", || panic!("rendered again")).unwrap();
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert_eq!(
            shared.get("b", || Some(of(2, SHORT + 1))),
            Some(of(2, SHORT + 1))
        );

        advance(AGE).await;
        let same = shared.get("a", || Some(of(1, SHORT + 1))).unwrap();
        assert_eq!(first.as_ptr(), same.as_ptr(), "it has not changed");
        advance(AGE).await;
        assert_eq!(
            shared.get("a", || Some(of(3, SHORT + 1))),
            Some(of(3, SHORT + 1))
        );
        advance(AGE).await;
        assert_eq!(shared.get("a", || None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn renders_a_short_document_for_each_request() {
        let shared = SharedDocument::new();
        assert_eq!(shared.get("a", || Some(of(1, SHORT))), Some(of(1, SHORT)));
        assert_eq!(shared.get("a", || Some(of(2, SHORT))), Some(of(2, SHORT)));
    }
}
