//! The timeouts of a connection: for an idle peer, and for a peer that does not read.
//!
//! hyper's own timeout only covers the wait for an HTTP/1.1 head. It doesn't cover a peer that
//! never sends its first byte, never finishes an HTTP/2 handshake or header block, keeps an empty
//! HTTP/2 connection open with pings, or sends a request and does not read the response. Three
//! rules cover all of these. "The limit" is `Limits::idle`:
//!
//! - A connection without an active request is closed after the limit. A request is active until
//!   hyper has received the last byte of its response, so a handler can pause for any time (e.g.
//!   server-sent events).
//! - A response is cut off if the peer reads none of it for as long as the limit. *Other requests
//!   on the connection do not reset this timer.* In HTTP/2, we reset only the stream if its task is
//!   still running, and close the whole connection otherwise.
//! - A connection is closed if its socket accepts no bytes for [`BLOCKED_FACTOR`] times the limit.
//!   During this time, the timers of the other two rules are paused, but for at most
//!   [`BLOCKED_FACTOR`] times the limit in total. Without that bound, a peer could keep its socket
//!   full with pings and read a few of the responses from time to time.
//!
//! Note that "reads" here means that hyper has written the bytes to the socket. With a slow reader
//! this happens in large steps: its kernel fills a receive buffer of 128 KiB or more at once, and
//! only asks for more when that is nearly empty.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use futures_util::future::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// The limit for a socket that accepts no bytes, as a multiple of the other limit. With the default
/// of 30 s, a peer that reads 1 KiB per second can empty a receive buffer of 240 KiB in this time.
const BLOCKED_FACTOR: u32 = 8;

#[derive(Debug)]
pub(in crate::service) struct IdleTimeout(Mutex<State>);

#[derive(Debug)]
struct State {
    active: usize,
    /// The last time that a request began or ended, that hyper wrote a piece of an HTTP/2 response,
    /// or that the socket was unblocked
    since: Instant,
    /// Like `since`, but not reset when the socket is unblocked. Limits how far a blocked socket
    /// can postpone `since`.
    used: Instant,
    blocked: Option<Instant>,
    /// An HTTP/1.1 response is being passed to hyper, and its next piece is available
    hands_over: bool,
    /// Set while we hold back the peer's end of stream. Wakes the reader once the response has been
    /// passed on.
    reader: Option<Waker>,
    /// The peer took the last HTTP/2 piece as a whole, so it'll probably take the next one too
    is_wide: bool,
    /// Indexed by `StreamedAnswer::place`
    streams: Vec<StreamState>,
}

#[derive(Debug)]
struct StreamState {
    /// How many pieces hyper has not written yet
    pieces: usize,
    /// The last time that hyper wrote a piece, or received one while it had none, plus the time for
    /// which the socket has been blocked since then
    since: Instant,
    /// Like `since`, but without the added time. Limits how far a blocked socket can postpone
    /// `since`.
    progressed: Instant,
    /// Resets the stream. `None` once the stream's task has ended: hyper then holds the last
    /// pieces, and only frees them with the connection.
    abort: Option<AbortHandle>,
    /// Wakes the task that ends the response when all its pieces are taken.
    end: Option<Waker>,
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
            used: Instant::now(),
            blocked: None,
            hands_over: false,
            reader: None,
            is_wide: false,
            streams: Vec::new(),
        })))
    }

    /// The request counts as active until the guard is dropped.
    pub(in crate::service) fn begin_request(self: &Arc<Self>) -> ActiveRequest {
        let mut state = self.state();
        let since = Instant::now();
        (state.active, state.since, state.used) = (state.active + 1, since, since);
        ActiveRequest {
            idle_timeout: Arc::clone(self),
            since,
            until: None,
        }
    }

    pub(in crate::service) fn block(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    pub(in crate::service) fn unblock(&self) {
        let (mut state, now) = (self.state(), Instant::now());
        let stood_still = state.blocked.take().map(|blocked| now - blocked);
        for offer in &mut state.streams {
            offer.since = now.min(offer.since + stood_still.unwrap_or_default());
        }
        state.since = now;
    }

    /// Whether to hide the peer's end of stream from hyper, which would otherwise stop sending the
    /// current response. The task is woken once the response has been passed on.
    ///
    /// While the handler is silent, we do not hide it: the end of stream may be the only sign that
    /// the peer has gone.
    pub(in crate::service) fn keeps_back_end(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        let keeps = state.hands_over || state.blocked.is_some();
        if keeps {
            state.reader = Some(cx.waker().clone());
        }
        keeps
    }

    pub(in crate::service) fn restart(&self) {
        let (mut state, now) = (self.state(), Instant::now());
        (state.since, state.used) = (now, now);
        state.blocked = state.blocked.map(|_| now);
        for stream in &mut state.streams {
            (stream.since, stream.progressed) = (now, now);
        }
    }

    /// Waits until the connection must be closed: it has been idle for `limit`, its peer has not
    /// read a response for `limit` and there is no stream to reset, or its socket has been blocked
    /// for [`BLOCKED_FACTOR`] times `limit`.
    pub(in crate::service) async fn expired(&self, limit: Duration) {
        self.until_expired(limit, limit, limit * BLOCKED_FACTOR)
            .await;
    }

    /// Like [`expired`](Self::expired), but a connection without an active request only gets
    /// `idle`, and a blocked socket only gets `limit`. Used after hyper was told to close the
    /// connection.
    pub(in crate::service) async fn expired_at_last(&self, idle: Duration, limit: Duration) {
        self.until_expired(idle, limit, limit).await;
    }

    async fn until_expired(&self, idle: Duration, limit: Duration, blocked: Duration) {
        while let Some(due) = self.check(idle, limit, blocked) {
            sleep_until(due).await;
        }
    }

    /// Resets the streams whose responses have timed out. The result is the time of the next check,
    /// or `None` if the connection must be closed now.
    fn check(&self, idle: Duration, limit: Duration, blocked_limit: Duration) -> Option<Instant> {
        let (mut state, now) = (self.state(), Instant::now());
        let is_blocked = state.blocked.is_some();
        // a blocked socket pauses a timer, but only up to this bound
        let due = |since: Instant, limit: Duration, progressed: Instant| {
            let bound = progressed + blocked_limit;
            if is_blocked {
                bound
            } else {
                bound.min(since + limit)
            }
        };
        // Whatever begins after this check can't be due earlier than this
        let mut next = now + limit.min(idle);
        if let Some(blocked) = state.blocked {
            next = next.min(blocked + blocked_limit);
        }
        if state.active == 0 && state.streams.iter().all(|stream| stream.pieces == 0) {
            next = next.min(due(state.since, idle, state.used));
        }
        for stream in state.streams.iter_mut().filter(|stream| stream.pieces > 0) {
            if due(stream.since, limit, stream.progressed) <= now
                && let Some(abort) = &stream.abort
                && !abort.is_aborted()
            {
                abort.abort();
                (stream.since, stream.progressed) = (now, now);
            }
            next = next.min(due(stream.since, limit, stream.progressed));
        }
        (next > now).then_some(next)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(in crate::service) struct ActiveRequest {
    idle_timeout: Arc<IdleTimeout>,
    since: Instant,
    until: Option<Instant>,
}

impl ActiveRequest {
    pub(in crate::service) fn since(&self) -> Instant {
        self.since
    }

    /// Records that the request has a response. The request ends at the returned time, unless
    /// [`continues`](Self::continues) is called. The caller should reuse that time instead of
    /// reading the clock again.
    pub(in crate::service) fn answered(&mut self) -> Instant {
        *self.until.insert(Instant::now())
    }

    pub(in crate::service) fn continues(&mut self) {
        self.until = None;
    }

    pub(in crate::service) fn is_blocked(&self) -> bool {
        self.idle_timeout.state().blocked.is_some()
    }

    /// Records whether another piece of an HTTP/1.1 response is available.
    pub(in crate::service) fn hands_over(&self, more: bool) {
        let mut state = self.idle_timeout.state();
        state.hands_over = more;
        let reader = state.reader.take_if(|_| !more);
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// `abort` resets the stream.
    pub(in crate::service) fn begin_stream(&self, abort: AbortHandle) -> StreamedAnswer {
        let mut state = self.idle_timeout.state();
        let new = StreamState {
            pieces: 0,
            since: self.since,
            progressed: self.since,
            abort: Some(abort),
            end: None,
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
            keeps_end: false,
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let until = self.until.unwrap_or_else(Instant::now);
        let mut state = self.idle_timeout.state();
        state.active -= 1;
        (state.since, state.used) = (state.since.max(until), state.used.max(until));
        state.hands_over = false;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

#[derive(Debug)]
pub(in crate::service) struct StreamedAnswer {
    idle_timeout: Arc<IdleTimeout>,
    place: usize,
    /// `END_STREAM` must wait until the peer has taken all pieces. Once we send it, the stream's
    /// task ends, and without a task we can't reset the stream: a last piece that the peer never
    /// reads would stay in memory until the connection ends.
    ///
    /// There's one exception: after a response of a single piece, to a peer that takes whole
    /// pieces, waiting would only cost a second write.
    pub(in crate::service) keeps_end: bool,
}

impl StreamedAnswer {
    /// Counts as unwritten until the guard is dropped.
    pub(in crate::service) fn piece(&self) -> UnsentPiece {
        let mut state = self.idle_timeout.state();
        let stream = &mut state.streams[self.place];
        // If the peer hasn't taken the previous piece, another one isn't progress
        if stream.pieces == 0 {
            let now = Instant::now();
            (stream.since, stream.progressed) = (now, now);
        }
        stream.pieces += 1;
        UnsentPiece {
            idle_timeout: Arc::clone(&self.idle_timeout),
            place: self.place,
            is_cut: false,
            is_taken: false,
        }
    }

    /// Whether the peer took the previous piece, of this or another response, as a whole.
    pub(in crate::service) fn is_wide(&self) -> bool {
        self.idle_timeout.state().is_wide
    }

    /// If not all pieces are taken yet, the task is woken when they are.
    pub(in crate::service) fn is_taken(&self, cx: &Context<'_>) -> bool {
        let offer = &mut self.idle_timeout.state().streams[self.place];
        let is_taken = offer.pieces == 0;
        offer.end = (!is_taken).then(|| cx.waker().clone());
        is_taken
    }
}

impl Drop for StreamedAnswer {
    fn drop(&mut self) {
        let offer = &mut self.idle_timeout.state().streams[self.place];
        (offer.abort, offer.end) = (None, None);
    }
}

/// A piece of an HTTP/2 response that hyper hasn't written yet
#[derive(Debug)]
pub(in crate::service) struct UnsentPiece {
    idle_timeout: Arc<IdleTimeout>,
    place: usize,
    is_cut: bool,
    is_taken: bool,
}

impl UnsentPiece {
    pub(in crate::service) fn progress(&mut self) {
        self.is_cut = true;
        let mut state = self.idle_timeout.state();
        state.is_wide = false;
        let (stream, now) = (&mut state.streams[self.place], Instant::now());
        (stream.since, stream.progressed) = (now, now);
    }

    pub(in crate::service) fn take(&mut self) {
        self.is_taken = true;
    }
}

impl Drop for UnsentPiece {
    fn drop(&mut self) {
        let (mut state, now) = (self.idle_timeout.state(), Instant::now());
        let offer = &mut state.streams[self.place];
        offer.pieces -= 1;
        (offer.since, offer.progressed) = (now, now);
        let end = offer.end.take_if(|_| offer.pieces == 0);
        (state.since, state.used) = (now, now);
        state.is_wide |= self.is_taken && !self.is_cut;
        drop(state);
        if let Some(end) = end {
            end.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::AbortHandle;
    use tokio::time::{advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Keeps a connection busy with requests that get an immediate response.
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
    async fn active_requests_pause_the_idle_timer() {
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
    async fn last_request_has_time_and_the_connection_then_closes_soon() {
        const IDLE: Duration = Duration::from_secs(1);
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        idle_timeout.expired_at_last(IDLE, LIMIT).await;
        assert_eq!(start.elapsed(), IDLE, "no request");

        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        let request = idle_timeout.begin_request();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(17)).await;
            drop(request);
        });
        idle_timeout.expired_at_last(IDLE, LIMIT).await;
        assert_eq!(start.elapsed(), Duration::from_secs(18), "a request");

        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        idle_timeout.block();
        idle_timeout.expired_at_last(IDLE, LIMIT).await;
        assert_eq!(start.elapsed(), LIMIT, "a response in a blocked socket");
    }

    #[tokio::test(start_paused = true)]
    async fn blocked_socket_ends_a_busy_connection() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        let _streaming = idle_timeout.begin_request();
        keep_busy(&idle_timeout);

        idle_timeout.block();
        advance(Duration::from_secs(29)).await;
        idle_timeout.unblock();
        advance(Duration::from_secs(8)).await;
        idle_timeout.block();
        idle_timeout.expired(LIMIT).await;

        assert_eq!(
            start.elapsed(),
            Duration::from_secs(37) + LIMIT * BLOCKED_FACTOR
        );
    }

    #[tokio::test(start_paused = true)]
    async fn blocked_socket_gets_no_extra_time_during_shutdown() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        let _streaming = idle_timeout.begin_request();

        idle_timeout.block();
        idle_timeout.expired_at_last(LIMIT, LIMIT).await;

        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn unread_response_waits_while_the_socket_is_blocked() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        let (stream, _registration) = AbortHandle::new_pair();
        let request = idle_timeout.begin_request();
        let offer = request.begin_stream(stream.clone());
        let _piece = offer.piece();

        advance(Duration::from_secs(10)).await;
        idle_timeout.block();
        assert!(
            timeout(LIMIT * 2, idle_timeout.expired(LIMIT))
                .await
                .is_err()
        );
        idle_timeout.unblock();
        assert!(!stream.is_aborted());

        // 20 s of its limit remain
        idle_timeout.expired(LIMIT).await;
        assert!(stream.is_aborted());
        assert_eq!(start.elapsed(), LIMIT * 2 + LIMIT * 2);
    }

    /// Alternately fills and drains the socket, like a peer that sends pings and reads a few of the
    /// responses.
    fn trickle(idle_timeout: &Arc<IdleTimeout>) {
        let idle_timeout = Arc::clone(idle_timeout);
        tokio::spawn(async move {
            loop {
                idle_timeout.block();
                tokio::time::sleep(LIMIT * 2).await;
                idle_timeout.unblock();
                tokio::time::sleep(LIMIT / 30).await;
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn trickling_reads_do_not_keep_an_unread_response() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        let (abort, _registration) = AbortHandle::new_pair();
        let request = idle_timeout.begin_request();
        let stream = request.begin_stream(abort.clone());
        let _piece = stream.piece();
        trickle(&idle_timeout);

        let before = timeout(Duration::from_secs(239), idle_timeout.expired(LIMIT)).await;
        assert!(before.is_err());
        assert!(!abort.is_aborted());

        let after = timeout(Duration::from_secs(2), idle_timeout.expired(LIMIT)).await;
        assert!(after.is_err());
        assert!(abort.is_aborted());

        // hyper still holds the piece
        idle_timeout.expired(LIMIT).await;
        assert_eq!(start.elapsed(), LIMIT * BLOCKED_FACTOR * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn further_pieces_do_not_keep_an_unread_response() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        let (abort, _registration) = AbortHandle::new_pair();
        let request = idle_timeout.begin_request();
        let stream = request.begin_stream(abort.clone());
        tokio::spawn(async move {
            let mut events = Vec::new();
            loop {
                events.push(stream.piece());
                tokio::time::sleep(LIMIT / 2).await;
            }
        });

        let ended = timeout(LIMIT * 4, idle_timeout.expired(LIMIT)).await;

        assert!(ended.is_ok());
        assert!(abort.is_aborted());
        assert_eq!(start.elapsed(), LIMIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn trickling_reads_do_not_keep_an_idle_connection() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        drop(idle_timeout.begin_request());
        trickle(&idle_timeout);

        idle_timeout.expired(LIMIT).await;

        assert_eq!(start.elapsed(), LIMIT * BLOCKED_FACTOR);
    }

    #[tokio::test(start_paused = true)]
    async fn response_ends_once_its_pieces_are_taken() {
        let (idle_timeout, waits) = (IdleTimeout::new(), &Context::from_waker(Waker::noop()));
        let request = idle_timeout.begin_request();
        let offer = request.begin_stream(AbortHandle::new_pair().0);

        let (one, other) = (offer.piece(), offer.piece());
        assert!(!offer.is_taken(waits));
        drop(one);
        assert!(!offer.is_taken(waits));
        drop(other);
        assert!(offer.is_taken(waits));
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_took_a_whole_piece_is_wide() {
        let idle_timeout = IdleTimeout::new();
        let request = idle_timeout.begin_request();
        let offer = request.begin_stream(AbortHandle::new_pair().0);
        assert!(!offer.is_wide(), "nothing is known yet");

        drop(offer.piece());
        assert!(!offer.is_wide(), "dropped untaken");
        let mut piece = offer.piece();
        piece.take();
        drop(piece);
        assert!(offer.is_wide());
        let mut piece = offer.piece();
        piece.progress();
        assert!(!offer.is_wide());
        piece.take();
        drop(piece);
        assert!(!offer.is_wide(), "taken in two");
    }

    #[test]
    fn end_of_stream_is_held_back_while_a_response_is_sent() {
        let (idle_timeout, reads) = (IdleTimeout::new(), &Context::from_waker(Waker::noop()));
        let request = idle_timeout.begin_request();
        assert!(!idle_timeout.keeps_back_end(reads));

        request.hands_over(true);
        assert!(idle_timeout.keeps_back_end(reads));
        request.hands_over(false);
        assert!(!idle_timeout.keeps_back_end(reads), "a silent handler");

        request.hands_over(true);
        drop(request);
        assert!(!idle_timeout.keeps_back_end(reads), "over");
        idle_timeout.block();
        assert!(
            idle_timeout.keeps_back_end(reads),
            "the last piece is not written"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn unread_response_ends_its_stream_then_the_connection() {
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

        // hyper still holds the piece
        idle_timeout.expired(LIMIT).await;
        assert_eq!(start.elapsed(), LIMIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn unread_rest_without_a_stream_ends_the_connection() {
        let (start, idle_timeout) = (Instant::now(), IdleTimeout::new());
        keep_busy(&idle_timeout);
        let request = idle_timeout.begin_request();
        let offer = request.begin_stream(AbortHandle::new_pair().0);
        let mut piece = offer.piece();
        drop((offer, request));

        advance(Duration::from_secs(20)).await;
        piece.progress();
        idle_timeout.expired(LIMIT).await;

        assert_eq!(start.elapsed(), Duration::from_secs(50));
    }

    #[tokio::test(start_paused = true)]
    async fn silent_handler_keeps_the_connection_once_its_pieces_are_taken() {
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
    async fn stream_indices_are_reused() {
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
