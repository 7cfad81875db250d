//! Limits the size of a request's body.
//!
//! Reading past the limit fails, and no byte beyond it is passed on. warp's rejection does not say
//! why the read failed, so [`Overflow`] remembers that it was us.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

#[derive(Debug)]
pub(in crate::service) struct LimitedBody {
    inner: Incoming,
    left: u64,
    overflow: Overflow,
}

/// Set once a body has exceeded its limit. `None` if the request has no body.
#[derive(Clone, Debug)]
pub(in crate::service) struct Overflow(Option<Arc<AtomicBool>>);

impl LimitedBody {
    pub(in crate::service) fn new(inner: Incoming, limit: u64) -> (Self, Overflow) {
        let overflow = Overflow((!inner.is_end_stream()).then(Arc::default));
        let body = Self {
            inner,
            left: limit,
            overflow: overflow.clone(),
        };
        (body, overflow)
    }
}

impl Overflow {
    pub(in crate::service) fn happened(&self) -> bool {
        self.0.as_ref().is_some_and(|it| it.load(Ordering::Relaxed))
    }

    fn raise(&self) -> Box<dyn Error + Send + Sync> {
        if let Some(it) = &self.0 {
            it.store(true, Ordering::Relaxed);
        }
        "the body is over its limit".into()
    }
}

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // a larger `Content-Length`: reject it before hyper sends `100 Continue`
        if self.inner.size_hint().lower() > self.left {
            return Poll::Ready(Some(Err(self.overflow.raise())));
        }
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(cx)?) else {
            return Poll::Ready(None);
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left) = self.left.checked_sub(length) else {
            return Poll::Ready(Some(Err(self.overflow.raise())));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
