//! Filters for WebSocket handshakes: [`with_websocket_auth`] and [`subprotocol`].
//!
//! A page can't set `Authorization` for a WebSocket, but it can set the list of subprotocols.
//! Because of this, a token can also be in that list, after the name `bearer`. Tokens in the URL
//! are not supported, as servers and proxies typically log URLs.

use std::convert::Infallible;

use serde::de::DeserializeOwned;
use warp::{
    Filter, Rejection, Reply,
    http::{HeaderMap, HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL},
    reply::Response,
};

use crate::auth::{
    challenge::Scheme,
    credential::{Credential, bearer},
    error::AuthError,
    token::claims::Claims,
    verifier::Auth,
    warp::filter::filter,
};

const BEARER: &str = "bearer";

/// Like [`with_auth`](crate::auth::with_auth), for the handshake of a WebSocket (RFC 6455 §4).
///
/// Reads the token from `Authorization` or from the subprotocols, where a page can put it after the
/// name `bearer`: `new WebSocket(url, ["bearer", token])`. A request with more than one token is
/// rejected. Another scheme in `Authorization`, such as `Basic`, is ignored, unless a word after a
/// comma begins like ours: a proxy may have joined two headers.
///
/// In the subprotocols, tokens bound to a key are rejected, because a page cannot send a
/// DPoP proof. In `Authorization`, they are accepted with the scheme `DPoP` and a proof, as in
/// other routes.
///
/// With warp's feature `websocket`, a route looks like this:
///
/// ```no_run
/// use warp::{Filter, ws::{WebSocket, Ws}};
/// use warp_bearer::auth::{
///     Auth, Claims, BearerFilterExt, websocket::{Subprotocol, subprotocol, with_websocket_auth},
///     policy::scope,
/// };
///
/// # let auth = Auth::builder().build().unwrap();
/// async fn chat(claims: Claims, socket: WebSocket) {}
///
/// let chat = warp::path!("chat")
///     .and(with_websocket_auth(&auth).require(scope("chat")))
///     .and(subprotocol())
///     .and(warp::ws())
///     .map(|claims: Claims, subprotocol: Subprotocol, ws: Ws| {
///         subprotocol.answer(ws.on_upgrade(move |socket| chat(claims, socket)))
///     })
///     .route();
/// ```
///
/// Before you use it:
/// - A refusal is an ordinary 401 or 403 with a challenge, but a page cannot read the response of a
///   handshake. If it needs the reason, it must first send a request to an ordinary route.
/// - The socket stays open after the token has expired, unless the handler closes it at
///   [`Claims::expires_at`].
/// - Proxies treat `Authorization` as a secret, but not `Sec-WebSocket-Protocol`. If a proxy logs
///   headers, use short-lived tokens in pages, or exclude this header from the log.
/// - `Origin` is not checked. Browsers let any page open a socket to your server and send cookies
///   with it, but a page must know a token to send it.
pub fn with_websocket_auth<X>(
    auth: &Auth,
) -> impl Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static + use<X>
where
    X: DeserializeOwned + Send + 'static,
{
    filter(auth, credential)
}

/// Extracts the subprotocol for the response to the handshake: `bearer`, if the client offered it.
/// Browsers close the socket if they offered subprotocols and the response does not select one.
pub fn subprotocol()
-> impl Filter<Extract = (Subprotocol,), Error = Infallible> + Clone + Send + Sync + 'static {
    warp::header::headers_cloned().map(|headers: HeaderMap| Subprotocol {
        is_bearer: offered(&headers).any(|name| name == BEARER.as_bytes()),
    })
}

/// The subprotocol for the response to a handshake, from [`subprotocol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subprotocol {
    is_bearer: bool,
}

impl Subprotocol {
    /// Adds the subprotocol to the response that opens the socket (101). If the response already
    /// has a subprotocol, such as the application's own, keeps it.
    pub fn answer(self, reply: impl Reply) -> Response {
        let mut response = reply.into_response();
        if self.is_bearer && response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let bearer = HeaderValue::from_static(BEARER);
            let headers = response.headers_mut();
            headers.entry(SEC_WEBSOCKET_PROTOCOL).or_insert(bearer);
        }
        response
    }
}

fn credential<'h>(
    auth: &Auth,
    headers: &'h HeaderMap,
    is_dpop_enabled: bool,
) -> Result<Credential<'h>, AuthError> {
    let mut offered = offered(headers).skip_while(|name| *name != BEARER.as_bytes());
    if offered.next().is_none() {
        return auth.presented(headers, is_dpop_enabled);
    }
    let token = offered.next().filter(|token| !token.is_empty());
    let token = token.ok_or(AuthError::MalformedAuthorization)?;
    // There are two credentials. A proxy might have checked only the one that we'd ignore.
    let is_in_field = match &auth.inner.field {
        Some(name) => headers.contains_key(name),
        None => bearer::may_have_credential(headers),
    };
    if is_in_field || offered.any(|name| name == BEARER.as_bytes()) {
        return Err(AuthError::MultipleCredentials);
    }
    let scheme = Some(Scheme::Bearer);
    Ok(Credential { token, scheme })
}

/// The names in `Sec-WebSocket-Protocol`, which may be split over several headers (RFC 6455
/// §11.3.4).
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let names = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
    names.map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, header::AUTHORIZATION};

    use super::*;
    use crate::{algorithm::Algorithm, auth::warp::filter::BearerFilterExt};

    type Fields = &'static [&'static str];

    #[test]
    fn accepts_only_the_token_after_bearer() {
        use AuthError::{MalformedAuthorization, MissingToken, MultipleCredentials};
        #[rustfmt::skip]
        let rows: [(&str, Fields, Fields, Result<&str, AuthError>); 15] = [
            ("subprotocols", &["bearer, a.b.c"], &[], Ok("a.b.c")),
            ("without spaces", &["bearer,a.b.c"], &[], Ok("a.b.c")),
            ("after another", &["chat.v2, bearer, a.b.c"], &[], Ok("a.b.c")),
            ("before another", &["bearer, a.b.c, chat.v2"], &[], Ok("a.b.c")),
            ("in two fields", &["bearer", "a.b.c"], &[], Ok("a.b.c")),
            ("the header only", &[], &["Bearer a.b.c"], Ok("a.b.c")),
            ("with another's subprotocol", &["chat.v2"], &["Bearer a.b.c"], Ok("a.b.c")),
            ("no token", &[], &[], Err(MissingToken)),
            ("another's subprotocol", &["chat.v2"], &[], Err(MissingToken)),
            ("a token without its name", &["a.b.c"], &[], Err(MissingToken)),
            ("in capitals, another name", &["Bearer, a.b.c"], &[], Err(MissingToken)),
            ("no token after it", &["bearer"], &[], Err(MalformedAuthorization)),
            ("an empty name after it", &["bearer, , a.b.c"], &[], Err(MalformedAuthorization)),
            ("in both places", &["bearer, a.b.c"], &["Bearer a.b.c"], Err(MultipleCredentials)),
            ("two tokens", &["bearer, a.b.c, bearer, d.e.f"], &[], Err(MultipleCredentials)),
        ];
        let auth = Auth::builder().issuer("https://a.example/").audience("a");
        let auth = auth.algorithms([Algorithm::HS256]).signing_secret([7; 32]);
        let auth = auth.build().unwrap();
        for (case, subprotocols, authorization, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in subprotocols {
                headers.append(SEC_WEBSOCKET_PROTOCOL, value.parse().unwrap());
            }
            for value in authorization {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            let found = credential(&auth, &headers, false).map(|credential| credential.token);
            assert_eq!(found, expected.map(str::as_bytes), "{case}");
        }
    }

    #[test]
    fn ignores_other_schemes_beside_a_token_in_the_subprotocols() {
        use AuthError::MultipleCredentials;
        #[rustfmt::skip]
        let rows: [(&str, Fields, Result<&str, AuthError>); 10] = [
            ("Basic", &["Basic YTpi"], Ok("a.b.c")),
            ("Basic and Bearer in one", &["Basic YTpi, Bearer d.e.f"], Err(MultipleCredentials)),
            ("a scheme alone", &["Negotiate"], Ok("a.b.c")),
            ("a longer name", &["Bearers d.e.f"], Ok("a.b.c")),
            ("Bearer without a token", &["bearer"], Err(MultipleCredentials)),
            ("Bearer and a tab", &["Bearer\td.e.f"], Err(MultipleCredentials)),
            ("DPoP, which is off", &["DPoP d.e.f"], Err(MultipleCredentials)),
            ("empty", &[""], Err(MultipleCredentials)),
            ("no scheme", &["\"Bearer d.e.f\""], Err(MultipleCredentials)),
            ("two fields", &["Basic YTpi", "Basic YTpi"], Err(MultipleCredentials)),
        ];
        let auth = Auth::builder().issuer("https://a.example/").audience("a");
        let auth = auth.algorithms([Algorithm::HS256]).signing_secret([7; 32]);
        let auth = auth.build().unwrap();
        for (case, authorization, expected) in rows {
            let mut headers = HeaderMap::new();
            let offered = HeaderValue::from_static("bearer, a.b.c");
            headers.insert(SEC_WEBSOCKET_PROTOCOL, offered);
            for value in authorization {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            let found = credential(&auth, &headers, false).map(|credential| credential.token);
            assert_eq!(found, expected.map(str::as_bytes), "{case}");
        }
    }

    #[test]
    fn rejects_a_token_in_the_subprotocols_and_in_the_field_for_tokens() {
        let auth = Auth::builder().issuer("https://a.example/").audience("a");
        let auth = auth.algorithms([Algorithm::HS256]).signing_secret([7; 32]);
        let auth = auth.token_field(HeaderName::from_static("x-token"));
        let auth = auth.build().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static("bearer, a.b.c"),
        );
        // a header without a token isn't a second credential
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer d.e.f"));
        let found = credential(&auth, &headers, false);
        assert_eq!(found.unwrap().token, b"a.b.c");
        headers.insert("x-token", HeaderValue::from_static("d.e.f"));
        let found = credential(&auth, &headers, false);
        assert_eq!(found.unwrap_err(), AuthError::MultipleCredentials);
    }

    #[tokio::test]
    async fn rejects_characters_that_no_token_has() {
        let auth = Auth::discover("https://tenant.example/", "https://api.example").unwrap();
        let routes = with_websocket_auth(&auth).map(|_: Claims| "open").route();
        for (offered, status) in [("bearer, a\"b", 400), ("bearer, a.b.c", 401)] {
            let request = warp::test::request().header("sec-websocket-protocol", offered);
            assert_eq!(request.reply(&routes).await.status(), status, "{offered}");
        }
    }

    #[test]
    fn names_bearer_in_the_101_if_offered() {
        #[rustfmt::skip]
        let rows = [
            ("offered", true, StatusCode::SWITCHING_PROTOCOLS, None, Some("bearer")),
            ("not offered", false, StatusCode::SWITCHING_PROTOCOLS, None, None),
            ("no handshake", true, StatusCode::OK, None, None),
            ("another one chosen", true, StatusCode::SWITCHING_PROTOCOLS, Some("chat.v2"), Some("chat.v2")),
        ];
        for (case, is_bearer, status, chosen, expected) in rows {
            let mut reply = status.into_response();
            if let Some(chosen) = chosen {
                let headers = reply.headers_mut();
                headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
            }
            let answer = Subprotocol { is_bearer }.answer(reply);
            let named = answer.headers().get(SEC_WEBSOCKET_PROTOCOL);
            let named = named.map(|name| name.to_str().unwrap());
            assert_eq!(named, expected, "{case}");
        }
    }
}
