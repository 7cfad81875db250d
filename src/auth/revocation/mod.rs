//! Revocation: rejects tokens before they expire.
//!
//! - `entry.rs` has the public [`Revocation`] and its JSON line.
//! - `list.rs` is the list that requests read without I/O and without a lock.
//! - `file.rs` reads entries from a file, `source.rs` reads them from any other source, and
//!   `sync.rs` shares the list with other processes. `status.rs` combines them, and reports their
//!   state.

pub(crate) mod entry;
pub(crate) mod file;
pub(crate) mod list;
pub(super) mod source;
pub(super) mod status;
pub(crate) mod sync;

pub use self::{
    entry::Revocation,
    source::{RevocationOutage, RevocationSource},
    status::{RevocationSourceStatus, RevocationStatus},
};

pub(crate) use self::status::Revocations;
