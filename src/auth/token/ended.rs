//! Waits for the end of a token: its expiry, or its revocation.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::auth::{error::AuthError, revocation::list::State, token::payload::Verified};

/// The longest sleep. The clock of the system may jump, and a sleeping process does not notice.
const LONGEST: Duration = Duration::from_secs(60);

/// Returns the error that the token is rejected with from then on.
pub(super) async fn ended(verified: Arc<Verified>) -> AuthError {
    let context = &verified.context;
    let mut changes = context.revocations.changes();
    loop {
        // Before the lookup, so that a change during it is not missed.
        changes.borrow_and_update();
        if context.revocations.state() != State::Quiet && verified.is_revoked() {
            return AuthError::TokenRevoked;
        }
        let left = verified.times.end(&context.rules) - context.clock.now();
        if left <= 0.0 {
            return AuthError::TokenExpired;
        }
        let left = Duration::try_from_secs_f64(left).unwrap_or(LONGEST);
        tokio::select! {
            () = sleep(left.min(LONGEST)) => {}
            // The list outlives this future, which holds the token's context.
            _ = changes.changed() => {}
        }
    }
}
