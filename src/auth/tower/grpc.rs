//! Turns a [`Refusal`] into a gRPC status. This does not need a gRPC library, because the response
//! to a call that fails before its first message has only headers (gRPC over HTTP/2,
//! "Trailers-Only").

use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, RETRY_AFTER},
};

use crate::auth::{
    challenge::Refusal,
    tower::layer::{AuthLayer, IntoRequirement, RefusalResponse, RequireLayer},
    verifier::Auth,
};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The delay before a retry in milliseconds (gRFC A6). gRPC clients honour it automatically.
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// Turns refusals into responses with [`Refusal::grpc_response`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct GrpcStatus;

impl<B: Default> RefusalResponse<B> for GrpcStatus {
    fn response(&self, refusal: &Refusal) -> Response<B> {
        refusal.grpc_response()
    }
}

impl AuthLayer<GrpcStatus> {
    /// Creates a layer that rejects requests with a gRPC status, for tonic.
    pub fn grpc(auth: &Auth) -> Self {
        AuthLayer::new(auth).answer_with(GrpcStatus)
    }
}

impl RequireLayer<GrpcStatus> {
    /// Creates a layer that rejects requests with a gRPC status, for tonic.
    pub fn grpc(auth: &Auth, requirement: impl IntoRequirement) -> Self {
        RequireLayer::new(auth, requirement).answer_with(GrpcStatus)
    }
}

impl Refusal {
    /// Returns the response to a gRPC call, with a status and the message for the caller.
    ///
    /// The status is `UNAUTHENTICATED` instead of 400 and 401, `PERMISSION_DENIED` instead of 403,
    /// and `UNAVAILABLE` instead of 503. The metadata contains the challenge as `www-authenticate`.
    /// If a retry may help, it also contains `retry-after` and `grpc-retry-pushback-ms`.
    ///
    /// ```
    /// use warp_bearer::auth::{Auth, AuthError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
    /// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
    /// let answer = auth.refusal(AuthError::TokenExpired).grpc_response::<()>();
    /// assert_eq!(answer.status(), 200);
    /// assert_eq!(answer.headers()["grpc-status"], "16");
    /// assert!(answer.headers().contains_key("www-authenticate"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn grpc_response<B: Default>(&self) -> Response<B> {
        // every header of the HTTP response except its content type becomes metadata
        let mut response = self.response::<&'static str>().map(|_| B::default());
        let status = grpc_status(response.status());
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        let pushback = headers.get(RETRY_AFTER).and_then(milliseconds);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(STATUS, status.into());
        // The messages contain no `%`, which we'd have to escape.
        headers.insert(MESSAGE, HeaderValue::from_static(self.detail()));
        if let Some(pushback) = pushback {
            headers.insert(PUSHBACK, pushback.into());
        }
        response
    }
}

/// The codes are those of google.rpc.Code.
fn grpc_status(status: StatusCode) -> u16 {
    const PERMISSION_DENIED: u16 = 7;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
        StatusCode::FORBIDDEN => PERMISSION_DENIED,
        StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
        _ => INTERNAL,
    }
}

fn milliseconds(seconds: &HeaderValue) -> Option<u64> {
    let seconds: u64 = seconds.to_str().ok()?.parse().ok()?;
    seconds.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthError, problem::Challenge};

    #[test]
    fn every_error_has_a_grpc_status_and_message() {
        for error in AuthError::ALL {
            let refusal = Refusal::new(*error, Challenge::default());
            let answer = refusal.grpc_response::<()>();
            let expected = match error.status().as_u16() {
                400 | 401 => "16",
                403 => "7",
                503 => "14",
                other => panic!("{other} has no gRPC status"),
            };
            assert_eq!(answer.headers()[STATUS], expected, "{error:?}");
            let message = answer.headers()[MESSAGE].to_str().unwrap();
            assert!(!message.is_empty() && !message.contains('%'), "{error:?}");
            let is_retried = answer.headers().contains_key(PUSHBACK);
            assert_eq!(is_retried, expected == "14", "{error:?}");
        }
    }
}
