//! Your own rejections beside those of the library, with either handler first.

use std::convert::Infallible;

use warp::{
    Filter, Rejection, Reply, filters::BoxedFilter, http::StatusCode, reject::Reject,
    reply::Response,
};
use warp_bearer::{
    auth::{Auth, BearerFilterExt, Claims, handle_refusal, handle_rejection, with_auth},
    issuer::Issuer,
};

/// Your own rejection, e.g. when the shop is closed.
#[derive(Debug)]
struct Closed;
impl Reject for Closed {}

async fn handle_closed(rejection: Rejection) -> Result<Response, Rejection> {
    match rejection.find::<Closed>() {
        Some(Closed) => Ok(warp::reply::with_status("closed", StatusCode::GONE).into_response()),
        None => Err(rejection),
    }
}

/// The final handler that your service already has.
async fn handle_anything(rejection: Rejection) -> Result<Response, Infallible> {
    Ok(handle_closed(rejection).await.unwrap_or_else(|_| {
        warp::reply::with_status("nothing here", StatusCode::NOT_FOUND).into_response()
    }))
}

fn shop(auth: &Auth) -> BoxedFilter<(Response,)> {
    let closed =
        warp::path!("shop").and_then(|| async { Err::<&str, _>(warp::reject::custom(Closed)) });
    let orders = warp::path!("orders")
        .and(with_auth(auth))
        .map(|_: Claims| "none");
    closed.route().or(orders.route()).unify().boxed()
}

/// Your handler first. The library answers the remaining rejections in JSON.
fn theirs_first(
    auth: &Auth,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    shop(auth)
        .recover(handle_closed)
        .unify()
        .recover(handle_rejection)
        .unify()
}

/// The library's handler first. It answers refusals of tokens and passes on the rest.
fn ours_first(
    auth: &Auth,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    shop(auth)
        .recover(handle_refusal)
        .unify()
        .recover(handle_anything)
        .unify()
}

#[tokio::main]
async fn main() {
    let issuer = Issuer::start().await; // in a service of yours, your tenant
    println!("curl -i http://127.0.0.1:8001/shop; curl -i http://127.0.0.1:8001/a/orders");
    match Auth::discover(issuer.url(), issuer.audience()) {
        Ok(auth) => {
            let a = warp::path("a").and(ours_first(&auth));
            let routes = a.or(theirs_first(&auth));
            warp::serve(routes).run(([127, 0, 0, 1], 8001)).await;
        }
        Err(error) => eprintln!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_handler_answers_its_own_rejections_in_either_order() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        #[rustfmt::skip]
        let rows = [
            ("theirs", "/shop", 410, "closed", 410, "closed"),
            ("ours", "/orders", 401, "missing_token", 401, "missing_token"),
            ("an unknown path", "/nowhere", 404, "not_found", 404, "nothing here"),
        ];
        for (case, path, status, body, last_status, last_body) in rows {
            let request = || warp::test::request().path(path);
            let first = request().reply(&theirs_first(&auth)).await;
            assert_eq!(first.status(), status, "{case}");
            assert!(
                String::from_utf8_lossy(first.body()).contains(body),
                "{case}"
            );
            let last = request().reply(&ours_first(&auth)).await;
            assert_eq!(last.status(), last_status, "{case}");
            assert!(
                String::from_utf8_lossy(last.body()).contains(last_body),
                "{case}"
            );
        }
    }
}
