//! The clock of a connection: how long the connection has been idle, and how long its peer has left an
//! answer untaken.
//!
//! hyper's clock runs only while an HTTP/1.1 head is awaited. A peer that never sends its first byte,
//! never finishes an HTTP/2 handshake or header block, keeps an empty HTTP/2 connection open with pings,
//! or asks and does not read is under no clock of hyper's. This one ends all of them, by two rules:
//!
//! - A connection on which nothing is at work for the limit is idle and ends. A request is at work until
//!   the last byte of its answer has been handed to hyper, so a handler may be silent for as long as it
//!   likes (server-sent events).
//! - An answer of which the peer takes nothing for the limit ends, *whatever else happens on the
//!   connection*: other requests do not reset its clock. An HTTP/2 answer ends with its stream while that
//!   is still possible, else with the connection.
//! - A connection whose socket takes no byte for [`BLOCKED`] times the limit ends. The clocks of its
//!   HTTP/2 answers stand still meanwhile.
//!
//! "Takes" means that the bytes have left the process: hyper has written them to the socket. A slow reader
//! takes bytes in large steps. Its kernel fills a receive buffer of 128 KiB or more at once and asks for
//! more only when the reader has nearly emptied it; in between, nothing shows here that it reads.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use futures_util::future::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// How many limits a socket may take no byte. At the default limit of 30 s a peer that reads 1 KiB each
/// second empties a receive buffer of 240 KiB in time.
const BLOCKED: u32 = 8;

/// The state of one connection, by which it ends.
#[derive(Debug)]
pub(in crate::service) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests whose answers have not been handed over to their end.
    at_work: usize,
    /// The time when a request last began or ended, or a blocked socket last took bytes again.
    since: Instant,
    /// The time since which the socket takes no bytes, if it takes none.
    blocked: Option<Instant>,
    /// Whether an HTTP/1.1 answer is handed over piece by piece and more of it is there.
    hands_over: bool,
    /// Reads again once the answer is handed over. Set while the end of the peer's side is kept back.
    reader: Option<Waker>,
    /// Whether the peer took the last piece of HTTP/2 in one go, so that it will take another.
    is_wide: bool,
    /// HTTP/2 answers, each at the place that its [`Offer`] knows.
    offers: Vec<Offered>,
}

/// An HTTP/2 answer under way.
#[derive(Debug)]
struct Offered {
    /// Pieces that hyper holds and the peer has not taken.
    pieces: usize,
    /// The time when a piece was last handed over or taken.
    since: Instant,
    /// Ends the stream, while its task runs. Afterwards hyper holds the last pieces by itself, and only
    /// the end of the connection frees them.
    stream: Option<AbortHandle>,
    /// Ends the answer once all its pieces are taken.
    end: Option<Waker>,
}

impl Offered {
    fn is_over(&self) -> bool {
        self.pieces == 0 && self.stream.is_none()
    }
}

impl Pulse {
    pub(in crate::service) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            at_work: 0,
            since: Instant::now(),
            blocked: None,
            hands_over: false,
            reader: None,
            is_wide: false,
            offers: Vec::new(),
        })))
    }

    /// Counts a request as at work until the returned guard drops.
    pub(in crate::service) fn at_work(self: &Arc<Self>) -> AtWork {
        let mut state = self.state();
        let since = Instant::now();
        (state.at_work, state.since) = (state.at_work + 1, since);
        AtWork {
            pulse: Arc::clone(self),
            since,
            until: None,
        }
    }

    /// Notes that the socket takes no more.
    pub(in crate::service) fn block(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    /// Notes that the socket takes bytes again.
    pub(in crate::service) fn unblock(&self) {
        let (mut state, now) = (self.state(), Instant::now());
        let stood_still = state.blocked.take().map(|blocked| now - blocked);
        for offer in &mut state.offers {
            offer.since = now.min(offer.since + stood_still.unwrap_or_default());
        }
        state.since = now;
    }

    /// Keeps back the end of the peer's side while an answer is on its way to the peer; hyper would cut
    /// the answer. The task is woken once the answer is handed over. A handler that is silent does not
    /// count: it may never write again, and a peer that has left shows in nothing else.
    pub(in crate::service) fn keeps_back_end(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        let keeps = state.hands_over || state.blocked.is_some();
        if keeps {
            state.reader = Some(cx.waker().clone());
        }
        keeps
    }

    /// Starts every clock of the connection anew.
    pub(in crate::service) fn restart(&self) {
        let (mut state, now) = (self.state(), Instant::now());
        state.since = now;
        state.blocked = state.blocked.map(|_| now);
        for offer in &mut state.offers {
            offer.since = now;
        }
    }

    /// Waits until the connection has been idle for `limit`, the peer has taken nothing of an answer for
    /// as long that no stream could be ended for, or the socket has been blocked for [`BLOCKED`] limits.
    pub(in crate::service) async fn still_for(&self, limit: Duration) {
        self.still(limit, limit * BLOCKED).await;
    }

    /// As [`still_for`](Self::still_for), for a connection that has to end: a blocked socket is given no
    /// more time than `limit`.
    pub(in crate::service) async fn at_last_still_for(&self, limit: Duration) {
        self.still(limit, limit).await;
    }

    async fn still(&self, limit: Duration, blocked: Duration) {
        while let Some(due) = self.look(limit, blocked) {
            sleep_until(due).await;
        }
    }

    /// Ends the streams of answers that are due, and returns when to look next, or `None` if the
    /// connection has to end now.
    fn look(&self, limit: Duration, blocked_limit: Duration) -> Option<Instant> {
        let (mut state, now) = (self.state(), Instant::now());
        // Nothing that begins after this look is due any sooner.
        let mut next = now + limit;
        let is_idle = state.at_work == 0 && state.offers.iter().all(|offer| offer.pieces == 0);
        if let Some(blocked) = state.blocked {
            let due = blocked + blocked_limit;
            return (due > now).then(|| next.min(due));
        }
        if is_idle {
            next = next.min(state.since + limit);
        }
        for offer in state.offers.iter_mut().filter(|offer| offer.pieces > 0) {
            if offer.since + limit <= now
                && let Some(stream) = &offer.stream
                && !stream.is_aborted()
            {
                stream.abort();
                offer.since = now;
            }
            next = next.min(offer.since + limit);
        }
        (next > now).then_some(next)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request at work.
#[derive(Debug)]
pub(in crate::service) struct AtWork {
    pulse: Arc<Pulse>,
    since: Instant,
    until: Option<Instant>,
}

impl AtWork {
    /// Returns when the request came.
    pub(in crate::service) fn since(&self) -> Instant {
        self.since
    }

    /// Notes that the request is answered and returns the time. Unless [`go_on`](Self::go_on) is called,
    /// this counts as the end of its work, which saves a second look at the clock.
    pub(in crate::service) fn answered(&mut self) -> Instant {
        *self.until.insert(Instant::now())
    }

    /// Notes that the answer is not at its end yet.
    pub(in crate::service) fn go_on(&mut self) {
        self.until = None;
    }

    /// Returns whether the socket takes no more.
    pub(in crate::service) fn is_blocked(&self) -> bool {
        self.pulse.state().blocked.is_some()
    }

    /// Notes whether more of an HTTP/1.1 answer is there to be handed over.
    pub(in crate::service) fn hands_over(&self, more: bool) {
        let mut state = self.pulse.state();
        state.hands_over = more;
        let reader = state.reader.take_if(|_| !more);
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Registers the answer as one on an HTTP/2 stream, which `stream` ends.
    pub(in crate::service) fn offer(&self, stream: AbortHandle) -> Offer {
        let mut state = self.pulse.state();
        let offered = Offered {
            pieces: 0,
            since: self.since,
            stream: Some(stream),
            end: None,
        };
        let free = state.offers.iter().position(Offered::is_over);
        let place = free.unwrap_or(state.offers.len());
        if free.is_some() {
            state.offers[place] = offered;
        } else {
            state.offers.push(offered);
        }
        Offer {
            pulse: Arc::clone(&self.pulse),
            place,
            keeps_end: false,
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let until = self.until.unwrap_or_else(Instant::now);
        let mut state = self.pulse.state();
        (state.at_work, state.since) = (state.at_work - 1, state.since.max(until));
        state.hands_over = false;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// An HTTP/2 answer under way, for as long as its stream's task runs.
#[derive(Debug)]
pub(in crate::service) struct Offer {
    pulse: Arc<Pulse>,
    place: usize,
    /// Whether `END_STREAM` waits until the peer has taken all pieces. With `END_STREAM` hyper ends the
    /// stream's task, and a stream without a task cannot be reset: only the end of the connection would
    /// free what the peer leaves of a last piece. Not kept back where that would cost a short answer a
    /// second write: with the only piece for a peer that takes whole pieces.
    pub(in crate::service) keeps_end: bool,
}

impl Offer {
    /// Counts a piece as offered to the peer until the returned guard drops.
    pub(in crate::service) fn piece(&self) -> Untaken {
        let mut state = self.pulse.state();
        let offer = &mut state.offers[self.place];
        (offer.pieces, offer.since) = (offer.pieces + 1, Instant::now());
        Untaken {
            pulse: Arc::clone(&self.pulse),
            place: self.place,
            is_cut: false,
            is_taken: false,
        }
    }

    /// Returns whether the peer took the piece before, of this or another answer, in one go.
    pub(in crate::service) fn is_wide(&self) -> bool {
        self.pulse.state().is_wide
    }

    /// Returns whether all pieces are taken. If not, the task is woken when they are.
    pub(in crate::service) fn is_taken(&self, cx: &Context<'_>) -> bool {
        let offer = &mut self.pulse.state().offers[self.place];
        let is_taken = offer.pieces == 0;
        offer.end = (!is_taken).then(|| cx.waker().clone());
        is_taken
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let offer = &mut self.pulse.state().offers[self.place];
        (offer.stream, offer.end) = (None, None);
    }
}

/// A piece of an HTTP/2 answer that the peer has not taken.
#[derive(Debug)]
pub(in crate::service) struct Untaken {
    pulse: Arc<Pulse>,
    place: usize,
    is_cut: bool,
    is_taken: bool,
}

impl Untaken {
    /// Notes that the peer has taken a part of the piece.
    pub(in crate::service) fn progress(&mut self) {
        self.is_cut = true;
        let mut state = self.pulse.state();
        state.is_wide = false;
        state.offers[self.place].since = Instant::now();
    }

    /// Notes that the peer has taken the piece.
    pub(in crate::service) fn take(&mut self) {
        self.is_taken = true;
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        let (mut state, now) = (self.pulse.state(), Instant::now());
        let offer = &mut state.offers[self.place];
        (offer.pieces, offer.since) = (offer.pieces - 1, now);
        let end = offer.end.take_if(|_| offer.pieces == 0);
        state.since = now;
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

    /// Keeps a connection busy with requests that are answered at once.
    fn keep_busy(pulse: &Arc<Pulse>) {
        let pulse = Arc::clone(pulse);
        tokio::spawn(async move {
            loop {
                drop(pulse.at_work());
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_at_work_holds_the_clock_and_its_end_restarts_it() {
        let (start, pulse) = (Instant::now(), Pulse::new());

        let request = pulse.at_work();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(47)).await;
            drop(request);
        });
        pulse.still_for(LIMIT).await;

        assert_eq!(start.elapsed(), Duration::from_secs(77));
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_socket_ends_a_busy_connection() {
        let (start, pulse) = (Instant::now(), Pulse::new());
        let _streaming = pulse.at_work();
        keep_busy(&pulse);

        pulse.block();
        advance(Duration::from_secs(29)).await;
        pulse.unblock();
        advance(Duration::from_secs(8)).await;
        pulse.block();
        pulse.still_for(LIMIT).await;

        assert_eq!(start.elapsed(), Duration::from_secs(37) + LIMIT * BLOCKED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_socket_is_given_no_extra_time_at_last() {
        let (start, pulse) = (Instant::now(), Pulse::new());
        let _streaming = pulse.at_work();

        pulse.block();
        pulse.at_last_still_for(LIMIT).await;

        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_untaken_answer_waits_while_the_socket_is_blocked() {
        let (start, pulse) = (Instant::now(), Pulse::new());
        let (stream, _registration) = AbortHandle::new_pair();
        let request = pulse.at_work();
        let offer = request.offer(stream.clone());
        let _piece = offer.piece();

        advance(Duration::from_secs(10)).await;
        pulse.block();
        assert!(timeout(LIMIT * 2, pulse.still_for(LIMIT)).await.is_err());
        pulse.unblock();
        assert!(!stream.is_aborted());

        // 20 s of its limit are left.
        pulse.still_for(LIMIT).await;
        assert!(stream.is_aborted());
        assert_eq!(start.elapsed(), LIMIT * 2 + LIMIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_once_its_pieces_are_taken() {
        let (pulse, waits) = (Pulse::new(), &Context::from_waker(Waker::noop()));
        let request = pulse.at_work();
        let offer = request.offer(AbortHandle::new_pair().0);

        let (one, other) = (offer.piece(), offer.piece());
        assert!(!offer.is_taken(waits));
        drop(one);
        assert!(!offer.is_taken(waits));
        drop(other);
        assert!(offer.is_taken(waits));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_wide_if_it_took_the_last_piece_in_one_go() {
        let pulse = Pulse::new();
        let request = pulse.at_work();
        let offer = request.offer(AbortHandle::new_pair().0);
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
    fn the_end_of_the_peers_side_is_kept_back_while_an_answer_is_handed_over() {
        let (pulse, reads) = (Pulse::new(), &Context::from_waker(Waker::noop()));
        let request = pulse.at_work();
        assert!(!pulse.keeps_back_end(reads));

        request.hands_over(true);
        assert!(pulse.keeps_back_end(reads));
        request.hands_over(false);
        assert!(!pulse.keeps_back_end(reads), "a silent handler");

        request.hands_over(true);
        drop(request);
        assert!(!pulse.keeps_back_end(reads), "over");
        pulse.block();
        assert!(pulse.keeps_back_end(reads), "the last piece is not written");
    }

    #[tokio::test(start_paused = true)]
    async fn an_untaken_answer_ends_its_stream_and_then_the_connection() {
        let (start, pulse) = (Instant::now(), Pulse::new());
        keep_busy(&pulse);
        let (stream, _registration) = AbortHandle::new_pair();
        let request = pulse.at_work();
        let offer = request.offer(stream.clone());
        let _piece = offer.piece();

        assert!(
            timeout(LIMIT * 3 / 2, pulse.still_for(LIMIT))
                .await
                .is_err()
        );
        assert!(stream.is_aborted());

        // hyper has not let go of the piece.
        pulse.still_for(LIMIT).await;
        assert_eq!(start.elapsed(), LIMIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_untaken_rest_without_a_stream_ends_the_connection() {
        let (start, pulse) = (Instant::now(), Pulse::new());
        keep_busy(&pulse);
        let request = pulse.at_work();
        let offer = request.offer(AbortHandle::new_pair().0);
        let mut piece = offer.piece();
        drop((offer, request));

        advance(Duration::from_secs(20)).await;
        piece.progress();
        pulse.still_for(LIMIT).await;

        assert_eq!(start.elapsed(), Duration::from_secs(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_handler_holds_the_clock_once_its_pieces_are_taken() {
        let pulse = Pulse::new();
        let request = pulse.at_work();
        let (stream, _registration) = AbortHandle::new_pair();
        let offer = request.offer(stream.clone());
        drop(offer.piece());

        assert!(timeout(LIMIT * 10, pulse.still_for(LIMIT)).await.is_err());
        assert!(!stream.is_aborted());
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_used_again() {
        let pulse = Pulse::new();
        for _ in 0..3 {
            let request = pulse.at_work();
            let (stream, _registration) = AbortHandle::new_pair();
            let offer = request.offer(stream);
            let (one, other) = (offer.piece(), offer.piece());
            drop(offer);
            drop(one);
            assert_eq!(pulse.state().offers[0].pieces, 1);
            drop(other);
        }
        assert_eq!(pulse.state().offers.len(), 1);
    }
}
