//! A WebSocket that opens for a valid token: in `Authorization`, or among the subprotocols, where a
//! page puts it: `new WebSocket("ws://127.0.0.1:8001/echo", ["bearer", token])`.

use std::convert::Infallible;

use futures_util::{SinkExt, StreamExt};
use warp::{
    Filter,
    reply::Response,
    ws::{Message, WebSocket},
};
use warp_bearer::{
    auth::{
        Auth, BearerFilterExt, Claims, handle_rejection,
        policy::scope,
        websocket::{Subprotocol, subprotocol, with_websocket_auth},
    },
    issuer::Issuer,
};

/// Codes from 4000 to 4999 are reserved for applications (RFC 6455 §7.4.2). This one means 401.
const UNAUTHORIZED: u16 = 4401;

/// Echoes messages until the token expires or is revoked. Without the `select!`, the socket would
/// outlive its token.
async fn echo(claims: Claims, mut socket: WebSocket) {
    let mut ended = std::pin::pin!(claims.ended());
    loop {
        tokio::select! {
            why = &mut ended => {
                // The reason is `token_expired` or `token_revoked`
                let last = Message::close_with(UNAUTHORIZED, why.code());
                // An error means that the client has left
                let _ = socket.send(last).await;
                return;
            }
            message = socket.next() => match message {
                Some(Ok(message)) if message.is_text() => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}

fn routes(auth: &Auth) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let echo = warp::path!("echo")
        .and(with_websocket_auth(auth).require(scope("echo")))
        .and(subprotocol())
        .and(warp::ws())
        .map(
            |claims: Claims, subprotocol: Subprotocol, ws: warp::ws::Ws| {
                subprotocol.answer(ws.on_upgrade(move |socket| echo(claims, socket)))
            },
        )
        .route();
    echo.recover(handle_rejection).unify()
}

#[tokio::main]
async fn main() {
    let issuer = Issuer::start().await; // in a service of yours, your tenant
    let token = issuer.token().scope("echo").sign();
    println!("new WebSocket(\"ws://127.0.0.1:8001/echo\", [\"bearer\", \"{token}\"])");
    match Auth::discover(issuer.url(), issuer.audience()) {
        Ok(auth) => warp::serve(routes(&auth)).run(([127, 0, 0, 1], 8001)).await,
        Err(error) => eprintln!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    use warp_bearer::{auth::revocation::Revocation, issuer::TokenBuilder};

    use super::*;

    const PROTOCOL: &str = "sec-websocket-protocol";

    #[tokio::test]
    async fn socket_opens_only_for_a_valid_token_in_either_place() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        auth.ready().await;
        let field = |token: TokenBuilder| ("authorization", format!("Bearer {}", token.sign()));
        let page = |token: TokenBuilder| (PROTOCOL, format!("bearer, {}", token.sign()));
        let good = || issuer.token().scope("echo");
        #[rustfmt::skip]
        let rows = [
            ("a client", field(good()), 101, ""),
            ("a page", page(good()), 101, "bearer"),
            ("a page without the scope", page(issuer.token()), 403, ""),
            ("a page, expired", page(good().expired()), 401, ""),
            ("a page without a token", (PROTOCOL, "bearer".to_owned()), 400, ""),
            ("a page that offers something else", (PROTOCOL, "chat".to_owned()), 401, ""),
        ];
        for (case, (name, value), status, chosen) in rows {
            let request = warp::test::request().path("/echo").header(name, value);
            let request = request
                .header("connection", "upgrade")
                .header("upgrade", "websocket");
            let request = request.header("sec-websocket-version", "13");
            let request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
            let answer = request.reply(&routes(&auth)).await;
            assert_eq!(answer.status(), status, "{case}");
            let named = answer.headers().get(PROTOCOL);
            let named = named.map_or("", |named| named.to_str().unwrap());
            assert_eq!(named, chosen, "{case}");
        }
    }

    /// Connects a socket and returns the connection after the handshake. We can't use warp's own
    /// client because it doesn't show how a socket was closed.
    async fn open(auth: &Auth, token: TokenBuilder) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        tokio::spawn(warp::serve(routes(auth)).incoming(listener).run());
        let head = format!(
            "GET /echo HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: bearer, {}\r\n\r\n",
            token.scope("echo").sign()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(socket.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        socket
    }

    /// Reads a short frame. Returns its first byte and its payload.
    async fn frame(socket: &mut TcpStream) -> (u8, Vec<u8>) {
        let first = socket.read_u8().await.unwrap();
        let length = socket.read_u8().await.unwrap();
        let mut payload = vec![0; length.into()];
        socket.read_exact(&mut payload).await.unwrap();
        (first, payload)
    }

    fn close(reason: &str) -> (u8, Vec<u8>) {
        let code = UNAUTHORIZED.to_be_bytes();
        (0x88, [&code, reason.as_bytes()].concat())
    }

    #[tokio::test]
    async fn echoes_messages_until_the_token_ends() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        auth.ready().await;
        let mut socket = open(&auth, issuer.token()).await;
        // A text frame. Clients must mask, so this one is masked with zeros.
        socket.write_all(b"\x81\x85\0\0\0\0hello").await.unwrap();
        assert_eq!(frame(&mut socket).await, (0x81, b"hello".to_vec()));

        // The leeway lets the socket open, but it closes at the token's own `exp`.
        let mut late = open(&auth, issuer.token().expires_in(Duration::ZERO)).await;
        assert_eq!(frame(&mut late).await, close("token_expired"));
        auth.revoke(Revocation::subject(issuer.url(), "auth0|alice"));
        assert_eq!(frame(&mut socket).await, close("token_revoked"));
    }
}
