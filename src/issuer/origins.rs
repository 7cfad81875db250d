//! CORS for the token endpoint: only pages of the configured origins can fetch a token.
//!
//! The token is all that a page needs, so the other endpoints have no CORS.

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

/// `None` if the page's origin is not allowed.
pub(super) fn preflight(state: &State, headers: &HeaderMap) -> Option<Response> {
    allowed(state, headers)?;
    let mut answer = allow_origin(state, headers, StatusCode::NO_CONTENT.into_response());
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

/// Lets the page read the response, if its origin is allowed.
pub(super) fn allow_origin(state: &State, headers: &HeaderMap, mut answer: Response) -> Response {
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
