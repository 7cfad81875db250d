//! The idle timeout of a connection, and the timeout of a peer that does not read.
//!
//! hyper's own timeout covers only the wait for an HTTP/1.1 head. It does not cover a peer that never
//! sends its first byte, never finishes an HTTP/2 handshake or header block, keeps an empty HTTP/2
//! connection open with pings, or sends a request and does not read the answer. This timeout covers all
//! of them, by two rules:
//!
//! - A connection without an active request ends after the limit. A request is active until the last byte
//!   of its answer has been given to hyper, so a handler may send nothing for any time (server-sent
//!   events).
//! - An answer ends if the peer reads nothing of it for the limit. *Other requests on the connection do
//!   not reset this timer.* An HTTP/2 answer ends with its stream while the stream's task still runs, and
//!   with the connection afterwards. A connection whose socket accepts no byte for the limit ends too.
//!
//! "Reads" means that hyper has written the bytes to the socket.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// The timers of one connection.
#[derive(Debug)]
pub(in crate::service) struct IdleTimeout(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests whose answers hyper does not have completely.
    active: usize,
    /// The time when a request last began or ended, or a blocked socket last accepted bytes again.
    since: Instant,
    /// The time since which the socket accepts no bytes. `None` if it accepts them.
    blocked: Option<Instant>,
    /// HTTP/2 answers. Each [`StreamedAnswer`] knows its index.
    streams: Vec<StreamState>,
}

/// The state of an HTTP/2 answer.
#[derive(Debug)]
struct StreamState {
    /// Pieces that hyper has not written yet.
    pieces: usize,
    /// The time when hyper last got or wrote a piece.
    since: Instant,
    /// Ends the stream. `None` once the stream's task has ended: hyper then holds the last pieces, and only
    /// the end of the connection frees them.
    abort: Option<AbortHandle>,
}

impl StreamState {
    fn is_over(&self) -> bool {
        self.pieces == 0 && self.abort.is_none()
    }
}

impl IdleTimeout {
    pub(in crate::service) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            active: 0,
            since: Instant::now(),
            blocked: None,
            streams: Vec::new(),
        })))
    }

    /// Counts a request as active until the returned guard drops.
    pub(in crate::service) fn begin_request(self: &Arc<Self>) -> ActiveRequest {
        let mut state = self.state();
        let since = Instant::now();
        (state.active, state.since) = (state.active + 1, since);
        ActiveRequest {
            idle_timeout: Arc::clone(self),
            since,
            until: None,
        }
    }

    /// Records that the socket accepts no more bytes.
    pub(in crate::service) fn block(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    /// Records that the socket accepts bytes again.
    pub(in crate::service) fn unblock(&self) {
        let mut state = self.state();
        (state.blocked, state.since) = (None, Instant::now());
    }

    /// Restarts every timer of the connection.
    pub(in crate::service) fn restart(&self) {
        let (mut state, now) = (self.state(), Instant::now());
        state.since = now;
        state.blocked = state.blocked.map(|_| now);
        for stream in &mut state.streams {
            stream.since = now;
        }
    }

    /// Waits until the connection has been idle for `limit`, or until the peer has read nothing of an
    /// answer for as long and ending the stream did not help.
    pub(in crate::service) async fn expired(&self, limit: Duration) {
        while let Some(due) = self.check(limit) {
            sleep_until(due).await;
        }
    }

    /// Ends the streams whose time is over, and returns when to check next. `None` if the connection has
    /// to end now.
    fn check(&self, limit: Duration) -> Option<Instant> {
        let (mut state, now) = (self.state(), Instant::now());
        // Nothing that begins after this check is due earlier.
        let mut next = now + limit;
        let is_idle = state.active == 0 && state.streams.iter().all(|stream| stream.pieces == 0);
        let idle_since = is_idle.then_some(state.since);
        for since in idle_since.into_iter().chain(state.blocked) {
            next = next.min(since + limit);
        }
        for stream in state.streams.iter_mut().filter(|stream| stream.pieces > 0) {
            if stream.since + limit <= now
                && let Some(abort) = &stream.abort
                && !abort.is_aborted()
            {
                abort.abort();
                stream.since = now;
            }
            next = next.min(stream.since + limit);
        }
        (next > now).then_some(next)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An active request.
#[derive(Debug)]
pub(in crate::service) struct ActiveRequest {
    idle_timeout: Arc<IdleTimeout>,
    since: Instant,
    until: Option<Instant>,
}

impl ActiveRequest {
    /// Returns when the request came.
    pub(in crate::service) fn since(&self) -> Instant {
        self.since
    }

    /// Records that the request is answered, and returns the time. Counts as the request's end unless
    /// [`continues`](Self::continues) is called, so that the clock is read only once.
    pub(in crate::service) fn answered(&mut self) -> Instant {
        *self.until.insert(Instant::now())
    }

    /// Records that more of the answer follows.
    pub(in crate::service) fn continues(&mut self) {
        self.until = None;
    }

    /// Returns whether the socket accepts no more bytes.
    pub(in crate::service) fn is_blocked(&self) -> bool {
        self.idle_timeout.state().blocked.is_some()
    }

    /// Registers the answer as one on an HTTP/2 stream, which `abort` ends.
    pub(in crate::service) fn begin_stream(&self, abort: AbortHandle) -> StreamedAnswer {
        let mut state = self.idle_timeout.state();
        let new = StreamState {
            pieces: 0,
            since: self.since,
            abort: Some(abort),
        };
        let free = state.streams.iter().position(StreamState::is_over);
        let place = free.unwrap_or(state.streams.len());
        if free.is_some() {
            state.streams[place] = new;
        } else {
            state.streams.push(new);
        }
        StreamedAnswer {
            idle_timeout: Arc::clone(&self.idle_timeout),
            place,
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let until = self.until.unwrap_or_else(Instant::now);
        let mut state = self.idle_timeout.state();
        (state.active, state.since) = (state.active - 1, state.since.max(until));
    }
}

/// An HTTP/2 answer whose stream's task runs.
#[derive(Debug)]
pub(in crate::service) struct StreamedAnswer {
    idle_timeout: Arc<IdleTimeout>,
    place: usize,
}

impl StreamedAnswer {
    /// Counts a piece as unwritten until the returned guard drops.
    pub(in crate::service) fn piece(&self) -> UnsentPiece {
        let mut state = self.idle_timeout.state();
        let stream = &mut state.streams[self.place];
        (stream.pieces, stream.since) = (stream.pieces + 1, Instant::now());
        UnsentPiece {
            idle_timeout: Arc::clone(&self.idle_timeout),
            place: self.place,
        }
    }
}

impl Drop for StreamedAnswer {
    fn drop(&mut self) {
        self.idle_timeout.state().streams[self.place].abort = None;
    }
}

/// A piece of an HTTP/2 answer that hyper has not written yet.
#[derive(Debug)]
pub(in crate::service) struct UnsentPiece {
    idle_timeout: Arc<IdleTimeout>,
    place: usize,
}

impl UnsentPiece {
    /// Records that hyper has written a part of the piece.
    pub(in crate::service) fn progress(&self) {
        self.idle_timeout.state().streams[self.place].since = Instant::now();
    }
}

impl Drop for UnsentPiece {
    fn drop(&mut self) {
        let (mut state, now) = (self.idle_timeout.state(), Instant::now());
        let stream = &mut state.streams[self.place];
        (stream.pieces, stream.since) = (stream.pieces - 1, now);
        state.since = now;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::AbortHandle;
    use tokio::time::{advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Keeps a connection busy with requests that are answered at once.
    fn keep_busy(idle_timeout: &Arc<IdleTimeout>) {
        let idle_timeout = Arc::clone(idle_timeout);
        tokio::spawn(async move {
            loop {
                drop(idle_timeout.begin_request());
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_at_work_holds_the_clock_and_its_end_restarts_it() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());

        let request = idle_timeout.begin_request();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(47)).await;
            drop(request);
        });
        idle_timeout.expired(LIMIT).await;

        assert_eq!(start.elapsed(), Duration::from_secs(77));
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_socket_ends_a_busy_connection() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        let _streaming = idle_timeout.begin_request();
        keep_busy(&idle_timeout);

        idle_timeout.block();
        advance(Duration::from_secs(29)).await;
        idle_timeout.unblock();
        advance(Duration::from_secs(8)).await;
        idle_timeout.block();
        idle_timeout.expired(LIMIT).await;

        assert_eq!(start.elapsed(), Duration::from_secs(67));
    }

    #[tokio::test(start_paused = true)]
    async fn an_untaken_answer_ends_its_stream_and_then_the_connection() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        keep_busy(&idle_timeout);
        let (abort, _registration) = AbortHandle::new_pair();
        let request = idle_timeout.begin_request();
        let stream = request.begin_stream(abort.clone());
        let _piece = stream.piece();

        assert!(
            timeout(LIMIT * 3 / 2, idle_timeout.expired(LIMIT))
                .await
                .is_err()
        );
        assert!(abort.is_aborted());

        // hyper still holds the piece.
        idle_timeout.expired(LIMIT).await;
        assert_eq!(start.elapsed(), LIMIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_untaken_rest_without_a_stream_ends_the_connection() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        keep_busy(&idle_timeout);
        let request = idle_timeout.begin_request();
        let stream = request.begin_stream(AbortHandle::new_pair().0);
        let piece = stream.piece();
        drop((stream, request));

        advance(Duration::from_secs(20)).await;
        piece.progress();
        idle_timeout.expired(LIMIT).await;

        assert_eq!(start.elapsed(), Duration::from_secs(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_handler_holds_the_clock_once_its_pieces_are_taken() {
        let idle_timeout = IdleTimeout::new();
        let request = idle_timeout.begin_request();
        let (abort, _registration) = AbortHandle::new_pair();
        let stream = request.begin_stream(abort.clone());
        drop(stream.piece());

        assert!(
            timeout(LIMIT * 10, idle_timeout.expired(LIMIT))
                .await
                .is_err()
        );
        assert!(!abort.is_aborted());
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_used_again() {
        let idle_timeout = IdleTimeout::new();
        for _ in 0..3 {
            let request = idle_timeout.begin_request();
            let (abort, _registration) = AbortHandle::new_pair();
            let stream = request.begin_stream(abort);
            let (one, other) = (stream.piece(), stream.piece());
            drop(stream);
            drop(one);
            assert_eq!(idle_timeout.state().streams[0].pieces, 1);
            drop(other);
        }
        assert_eq!(idle_timeout.state().streams.len(), 1);
    }
}
