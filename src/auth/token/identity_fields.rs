//! [`IdentityFields`]: header fields about a verified token, kept beside it.
//!
//! A proxy asks about the same token again and again, and the fields for the application behind it
//! are the same each time. Building them costs a sixth of such a request. This module keeps them
//! within a bound and does not know what they say.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use http::HeaderValue;

/// The number of fields.
const FIELDS: usize = 4;

/// The room for the fields of all tokens. When it is full, fields are built for each request.
static ROOM: Room = Room::new(8 * 1024 * 1024);

/// The fields of one token, once they are built.
#[derive(Debug, Default)]
pub(crate) struct IdentityFields(OnceLock<Option<Box<Kept>>>);

impl IdentityFields {
    /// Returns the fields that `build` builds, from memory if they were built before. `None` if
    /// `build` returns none.
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

/// Limits the bytes that fields take.
#[derive(Debug)]
struct Room {
    most: usize,
    taken: AtomicUsize,
}

/// Fields that take room until they are dropped.
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

    /// Keeps the fields. `None` if there is no room for them.
    fn keep(&'static self, fields: [HeaderValue; FIELDS]) -> Option<Kept> {
        let values: usize = fields.iter().map(HeaderValue::len).sum();
        let bytes = size_of::<Kept>() + values;
        let taken = self.taken.fetch_add(bytes, Relaxed);
        // From here on, dropping it gives the room back.
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
    fn keeps_no_more_than_there_is_room_for() {
        const BYTES: usize = size_of::<Kept>() + FIELDS;
        static ROOM: Room = Room::new(2 * BYTES);
        let one = ROOM.keep(fields());
        let two = ROOM.keep(fields());
        assert!(one.is_some() && two.is_some());
        for _ in 0..2 {
            assert!(ROOM.keep(fields()).is_none());
        }
        drop(one);
        assert!(ROOM.keep(fields()).is_some(), "room that was given back");
    }
}
