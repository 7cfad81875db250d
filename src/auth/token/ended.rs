//! Waits for a token to expire or to be revoked.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::auth::{error::AuthError, revocation::list::State, token::payload::Verified};

/// The maximum sleep. A timer doesn't notice when the system clock changes.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// Waits until the token expires or is revoked, and returns the error.
pub(super) async fn ended(verified: Arc<Verified>) -> AuthError {
    let context = &verified.context;
    let mut changes = context.revocations.changes();
    loop {
        // Mark the current version as seen before the lookup, so that we don't miss a change during
        // the lookup.
        changes.borrow_and_update();
        if context.revocations.state() != State::Empty && verified.is_revoked() {
            return AuthError::TokenRevoked;
        }
        let left = verified.times.end(&context.rules) - context.clock.now();
        if left <= 0.0 {
            return AuthError::TokenExpired;
        }
        let left = Duration::try_from_secs_f64(left).unwrap_or(MAX_SLEEP);
        tokio::select! {
            () = sleep(left.min(MAX_SLEEP)) => {}
            // can't fail: the future holds the token's context, which keeps the list alive
            _ = changes.changed() => {}
        }
    }
}
