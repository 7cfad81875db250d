//! Reads a form (`application/x-www-form-urlencoded`) of bounded size.

use std::pin::pin;

use futures_util::{Stream, StreamExt};
use hyper::body::{Buf, Bytes};
use warp::http::{HeaderMap, header::CONTENT_TYPE};

use crate::{auth::Problem, service::api::forward_auth::decoded};

/// Looks at the `Content-Type`, without its parameters.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| {
        let essence = essence.trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// Returns [`Problem::PayloadTooLarge`] as soon as the body is longer, and
/// [`Problem::InvalidBody`] if it ends early.
pub(super) async fn read<B: Buf, E>(
    body: impl Stream<Item = Result<B, E>>,
    limit: usize,
) -> Result<Bytes, Problem> {
    let mut body = pin!(body);
    // One allocation for the whole limit: a buffer that grows leaves holes of its former sizes in
    // the heap. (Memory that isn't written yet is not resident, so this is cheaper than it looks.)
    let mut read = Vec::with_capacity(limit);
    while let Some(piece) = body.next().await {
        let mut piece = piece.map_err(|_| Problem::InvalidBody)?;
        if read.len() + piece.remaining() > limit {
            return Err(Problem::PayloadTooLarge);
        }
        read.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    Ok(read.into())
}

/// `None` if the field is missing, repeated or not UTF-8.
pub(super) fn only_value(form: &[u8], wanted: &str) -> Option<String> {
    let form = str::from_utf8(form).ok()?;
    let fields = form.split('&').filter_map(|field| field.split_once('='));
    let mut values = fields
        .filter(|(name, _)| decoded(name).as_deref() == Some(wanted))
        .map(|(_, value)| value);
    let value = values.next().filter(|_| values.next().is_none())?;
    decoded(value)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    #[test]
    fn returns_the_only_value_of_a_field() {
        #[rustfmt::skip]
        let rows = [
            ("alone", "a=1", Some("1")),
            ("among others", "b=2&a=1&c", Some("1")),
            ("escaped", "%61=%31+2", Some("1 2")),
            ("empty", "a=", Some("")),
            ("twice", "a=1&a=1", None),
            ("twice, once escaped", "a=1&%61=1", None),
            ("never", "b=1", None),
            ("no value", "a", None),
            ("not UTF-8", "a=%ff", None),
            ("another field that is not UTF-8", "b=%ff&a=1", Some("1")),
            ("nothing", "", None),
        ];
        for (case, form, expected) in rows {
            assert_eq!(
                only_value(form.as_bytes(), "a").as_deref(),
                expected,
                "{case}"
            );
        }
    }

    #[tokio::test]
    async fn reads_no_more_than_the_limit() {
        for (pieces, expected) in [
            (&["ab", "cd"][..], Ok("abcd")),
            (&["abcd", ""], Ok("abcd")),
            (&["abcde"], Err(Problem::PayloadTooLarge)),
            (&["ab", "cde"], Err(Problem::PayloadTooLarge)),
        ] {
            let pieces = pieces
                .iter()
                .map(|piece| Ok::<_, Infallible>(piece.as_bytes()));
            let read = read(stream::iter(pieces), 4).await;
            assert_eq!(read, expected.map(Bytes::from), "{expected:?}");
        }
    }
}
