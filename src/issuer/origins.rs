//! Which pages may fetch a token: those of the origins that somebody named, and none before that.
//!
//! The token endpoint alone is read across origins: it is what a page has no other way to reach.

use warp::{
    Reply,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN, VARY,
        },
    },
    reply::Response,
};

use crate::issuer::state::State;

/// The answer to a preflight; none for a page that may not.
pub(super) fn preflight(state: &State, headers: &HeaderMap) -> Option<Response> {
    allowed(state, headers)?;
    let mut answer = mark(state, headers, StatusCode::NO_CONTENT.into_response());
    let fields = answer.headers_mut();
    fields.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST"),
    );
    fields.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Authorization, Content-Type, X-Requested-With"),
    );
    Some(answer)
}

/// Lets the page read the answer, where it may.
pub(super) fn mark(state: &State, headers: &HeaderMap, mut answer: Response) -> Response {
    if let Some(origin) = allowed(state, headers) {
        let fields = answer.headers_mut();
        fields.insert(VARY, HeaderValue::from_static("Origin"));
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    answer
}

fn allowed(state: &State, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let settings = state.settings();
    let known = settings.origins.iter().any(|known| origin == known);
    known.then(|| origin.clone())
}
