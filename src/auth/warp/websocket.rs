//! The token of a WebSocket's handshake: [`with_websocket_auth`] and [`subprotocol`].
//!
//! A page cannot set `Authorization` on a WebSocket; what it can set is the list of subprotocols.
//! So the token may stand there, after the name `bearer`, and nowhere else: never in the URL, which
//! everybody logs.

use std::convert::Infallible;

use serde::de::DeserializeOwned;
use warp::{
    Filter, Rejection, Reply,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
    },
    reply::Response,
};

use crate::auth::{
    credential::bearer, error::AuthError, token::claims::Claims, verifier::Auth,
    warp::filter::with_auth_from,
};

/// The name of the subprotocol whose successor in the list is the token.
const BEARER: &str = "bearer";

/// As [`with_auth`](crate::auth::with_auth), for the handshake of a WebSocket (RFC 6455 §4): takes the
/// token from `Authorization`, or from the subprotocols where a page offers `bearer` and the token
/// after it: `new WebSocket(url, ["bearer", token])`. One token in both places, or two in one, is
/// refused.
///
/// It needs no feature of warp's. With warp's feature `websocket`, a route is
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
/// What to know before it is used:
/// - A refusal is an ordinary 401 or 403 with its challenge. A page sees none of it, only that the
///   socket does not open; where it matters, it asks an ordinary route first.
/// - The socket outlives the token unless the handler ends it at [`Claims::expires_at`].
/// - Proxies know that `Authorization` is a secret, and not that this field is one. Where heads are
///   logged on the way, keep the tokens of pages short-lived, or take this field out of the log.
/// - `Origin` is not looked at. Browsers open sockets to anybody, with the cookies they have; a
///   token they do not add by themselves, and whoever holds it may use it from anywhere.
pub fn with_websocket_auth<X>(
    auth: &Auth,
) -> impl Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static + use<X>
where
    X: DeserializeOwned + Send + 'static,
{
    with_auth_from(auth, token)
}

/// The subprotocol that the handshake's answer has to name, without which browsers close the socket
/// again: `bearer` where the client offered it, and never the token.
pub fn subprotocol()
-> impl Filter<Extract = (Subprotocol,), Error = Infallible> + Clone + Send + Sync + 'static {
    warp::header::headers_cloned().map(|headers: HeaderMap| Subprotocol {
        is_bearer: offered(&headers).any(|name| name == BEARER.as_bytes()),
    })
}

/// What a handshake offered, as far as [`subprotocol`] cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subprotocol {
    is_bearer: bool,
}

impl Subprotocol {
    /// Adds the subprotocol to the answer that opens the socket (101). Where that names one already,
    /// an application's own that the client offered as well, it stays as it is.
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

/// Takes the token out of a handshake's header fields.
fn token(headers: &HeaderMap) -> Result<&[u8], AuthError> {
    let mut offered = offered(headers).skip_while(|name| *name != BEARER.as_bytes());
    if offered.next().is_none() {
        return bearer::token(headers);
    }
    let token = offered.next().filter(|token| !token.is_empty());
    let token = token.ok_or(AuthError::MalformedAuthorization)?;
    // Two credentials: choosing one would let somebody else choose the other.
    if headers.contains_key(AUTHORIZATION) || offered.any(|name| name == BEARER.as_bytes()) {
        return Err(AuthError::MultipleCredentials);
    }
    Ok(token)
}

/// The names in `Sec-WebSocket-Protocol`, which may come in several fields (RFC 6455 §11.3.4).
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let names = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
    names.map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::warp::filter::BearerFilterExt;

    type Fields = &'static [&'static str];

    #[test]
    fn a_token_stands_after_bearer_and_nowhere_else() {
        use AuthError::{MalformedAuthorization, MissingToken, MultipleCredentials};
        #[rustfmt::skip]
        let rows: [(&str, Fields, Fields, Result<&str, AuthError>); 15] = [
            ("subprotocols", &["bearer, a.b.c"], &[], Ok("a.b.c")),
            ("without blanks", &["bearer,a.b.c"], &[], Ok("a.b.c")),
            ("after another", &["chat.v2, bearer, a.b.c"], &[], Ok("a.b.c")),
            ("before another", &["bearer, a.b.c, chat.v2"], &[], Ok("a.b.c")),
            ("in two fields", &["bearer", "a.b.c"], &[], Ok("a.b.c")),
            ("the header alone", &[], &["Bearer a.b.c"], Ok("a.b.c")),
            ("beside another's subprotocol", &["chat.v2"], &["Bearer a.b.c"], Ok("a.b.c")),
            ("nowhere", &[], &[], Err(MissingToken)),
            ("another's subprotocol", &["chat.v2"], &[], Err(MissingToken)),
            ("a token without its name", &["a.b.c"], &[], Err(MissingToken)),
            ("in capitals, another name", &["Bearer, a.b.c"], &[], Err(MissingToken)),
            ("nothing after it", &["bearer"], &[], Err(MalformedAuthorization)),
            ("an empty name after it", &["bearer, , a.b.c"], &[], Err(MalformedAuthorization)),
            ("in both", &["bearer, a.b.c"], &["Bearer a.b.c"], Err(MultipleCredentials)),
            ("two", &["bearer, a.b.c, bearer, d.e.f"], &[], Err(MultipleCredentials)),
        ];
        for (case, subprotocols, authorization, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in subprotocols {
                headers.append(SEC_WEBSOCKET_PROTOCOL, value.parse().unwrap());
            }
            for value in authorization {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(token(&headers), expected.map(str::as_bytes), "{case}");
        }
    }

    #[tokio::test]
    async fn what_no_token_can_be_is_no_token_here_either() {
        let auth = Auth::discover("https://tenant.example/", "https://api.example").unwrap();
        let routes = with_websocket_auth(&auth).map(|_: Claims| "open").route();
        for (offered, status) in [("bearer, a\"b", 400), ("bearer, a.b.c", 401)] {
            let request = warp::test::request().header("sec-websocket-protocol", offered);
            assert_eq!(request.reply(&routes).await.status(), status, "{offered}");
        }
    }

    #[test]
    fn the_answer_names_bearer_where_it_was_offered_and_is_a_101() {
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
