//! A warp service that uses the library, and its tests. The README shows both.
//!
//! With the issuer that `cargo run -- dev` starts, or any other:
//! `ISSUER=http://127.0.0.1:8002/ cargo run --example hello`

use std::{convert::Infallible, env, error::Error};

use warp::{Filter, reply::Response};
use warp_bearer::auth::{Auth, BearerFilterExt, Claims, handle_rejection, policy, with_auth};

fn routes(auth: &Auth) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let me = warp::path!("me")
        .and(warp::get())
        .and(with_auth(auth))
        .map(|claims: Claims| warp::reply::json(&claims))
        .route();

    let messages = warp::path!("messages")
        .and(warp::get())
        .and(
            with_auth(auth)
                .require(policy::scope("read:messages") | policy::permission("messages:read")),
        )
        .map(|claims: Claims| format!("no messages for {}", claims.subject().unwrap_or("you")))
        .route(); // answers a rejected request here, in JSON; no later route gets it

    me.or(messages).unify().recover(handle_rejection).unify()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = env::var("ISSUER").map_err(|_| "set ISSUER to the URL of your issuer")?;
    // Returns at once; `auth.ready().await` would wait for the issuer's keys.
    let auth = Auth::discover(&issuer, "https://api.example.com")?;
    warp::serve(routes(&auth)).run(([127, 0, 0, 1], 8001)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use warp_bearer::issuer::Issuer;

    use super::*;

    #[tokio::test]
    async fn messages_require_the_scope() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        auth.ready().await;
        let token = || issuer.token();
        for (case, token, status) in [
            ("by scope", token().scope("openid read:messages"), 200),
            ("by permission", token().permissions(["messages:read"]), 200),
            ("neither", token().scope("write:messages"), 403),
            ("expired", token().scope("read:messages").expired(), 401),
        ] {
            let answer = warp::test::request()
                .path("/messages")
                .header("authorization", format!("Bearer {}", token.sign()))
                .reply(&routes(&auth))
                .await;
            assert_eq!(answer.status(), status, "{case}");
        }
    }
}
