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
//!   is still possible, else with the connection. Where the connection itself takes no byte, it ends.
//!
//! "Takes" means that the bytes have left the process: hyper has written them to the socket.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::AbortHandle;
use tokio::time::{Instant, sleep_until};

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
        let mut state = self.state();
        (state.blocked, state.since) = (None, Instant::now());
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

    /// Waits until the connection has been idle for `limit`, or the peer has taken nothing of an answer
    /// for as long that no stream could be ended for.
    pub(in crate::service) async fn still_for(&self, limit: Duration) {
        while let Some(due) = self.look(limit) {
            sleep_until(due).await;
        }
    }

    /// Ends the streams of answers that are due, and returns when to look next, or `None` if the
    /// connection has to end now.
    fn look(&self, limit: Duration) -> Option<Instant> {
        let (mut state, now) = (self.state(), Instant::now());
        // Nothing that begins after this look is due any sooner.
        let mut next = now + limit;
        let is_idle = state.at_work == 0 && state.offers.iter().all(|offer| offer.pieces == 0);
        let idle_since = is_idle.then_some(state.since);
        for since in idle_since.into_iter().chain(state.blocked) {
            next = next.min(since + limit);
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

    /// Registers the answer as one on an HTTP/2 stream, which `stream` ends.
    pub(in crate::service) fn offer(&self, stream: AbortHandle) -> Offer {
        let mut state = self.pulse.state();
        let offered = Offered {
            pieces: 0,
            since: self.since,
            stream: Some(stream),
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
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let until = self.until.unwrap_or_else(Instant::now);
        let mut state = self.pulse.state();
        (state.at_work, state.since) = (state.at_work - 1, state.since.max(until));
    }
}

/// An HTTP/2 answer under way, for as long as its stream's task runs.
#[derive(Debug)]
pub(in crate::service) struct Offer {
    pulse: Arc<Pulse>,
    place: usize,
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
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.pulse.state().offers[self.place].stream = None;
    }
}

/// A piece of an HTTP/2 answer that the peer has not taken.
#[derive(Debug)]
pub(in crate::service) struct Untaken {
    pulse: Arc<Pulse>,
    place: usize,
}

impl Untaken {
    /// Notes that the peer has taken a part of the piece.
    pub(in crate::service) fn progress(&self) {
        self.pulse.state().offers[self.place].since = Instant::now();
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        let (mut state, now) = (self.pulse.state(), Instant::now());
        let offer = &mut state.offers[self.place];
        (offer.pieces, offer.since) = (offer.pieces - 1, now);
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

        assert_eq!(start.elapsed(), Duration::from_secs(67));
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
        let piece = offer.piece();
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
