//! Server-sent events that end when the token expires or is revoked.

use std::{convert::Infallible, time::Duration};

use futures_util::{Stream, StreamExt, future, stream};
use warp::{Filter, reply::Response, sse};
use warp_bearer::{
    auth::{Auth, BearerFilterExt, Claims, handle_rejection, policy::scope, with_auth},
    issuer::Issuer,
};

/// Sends an event with a counter once a second until the token ends. The last event says why, so
/// that the page fetches a new token and doesn't just reconnect with the old one.
fn ticks(claims: &Claims) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send + use<> {
    let ended = Box::pin(claims.ended());
    let ticks = stream::unfold(0_u64, |count| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let event = sse::Event::default().event("tick").data(count.to_string());
        Some((event, count + 1))
    });
    let last = stream::once(ended).map(|why| sse::Event::default().event("end").data(why.code()));
    // The stream of ticks never ends, so the `None` after the last event ends the whole stream
    stream::select(ticks.map(Some), last.map(Some).chain(stream::iter([None])))
        .take_while(|event| future::ready(event.is_some()))
        .filter_map(future::ready)
        .map(Ok)
}

fn routes(auth: &Auth) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let events = warp::path!("events")
        .and(warp::get())
        .and(with_auth(auth).require(scope("read:events")))
        .map(|claims: Claims| sse::reply(sse::keep_alive().stream(ticks(&claims))))
        .route();
    events.recover(handle_rejection).unify()
}

#[tokio::main]
async fn main() {
    let issuer = Issuer::start().await; // in a service of yours, your tenant
    let token = issuer.token().scope("read:events").sign();
    println!("curl -N -H 'Authorization: Bearer {token}' http://127.0.0.1:8001/events");
    match Auth::discover(issuer.url(), issuer.audience()) {
        Ok(auth) => warp::serve(routes(&auth)).run(([127, 0, 0, 1], 8001)).await,
        Err(error) => eprintln!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use warp_bearer::auth::revocation::Revocation;

    use super::*;

    #[tokio::test]
    async fn the_stream_ends_when_the_token_is_revoked() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        let claims: Claims = auth.verify(&issuer.token().sign()).await.unwrap();
        let mut events = Box::pin(ticks(&claims));
        let first = events.next().await.unwrap().unwrap().to_string();
        assert!(first.contains("tick"), "{first}");
        auth.revoke(Revocation::subject(issuer.url(), "auth0|alice"));
        let rest: Vec<_> = events.collect().await;
        let last = rest.last().unwrap().as_ref().unwrap().to_string();
        assert!(last.contains("token_revoked"), "{last}");
    }

    #[tokio::test]
    async fn the_stream_ends_when_the_token_expires() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        let token = issuer
            .token()
            .scope("read:events")
            .expires_in(Duration::ZERO);
        let request = warp::test::request()
            .path("/events")
            .header("authorization", format!("Bearer {}", token.sign()));
        let answer = request.reply(&routes(&auth)).await;
        assert_eq!(answer.status(), 200, "within the leeway");
        let text = str::from_utf8(answer.body()).unwrap();
        assert!(text.contains("event:end"), "{text}");
        assert!(text.contains("data:token_expired"), "{text}");
    }
}
