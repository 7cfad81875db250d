//! Your own claims as a type: Auth0's claims, and those that an Action of the tenant adds.

use std::convert::Infallible;

use serde::Deserialize;
use warp::{Filter, reply::Response};
use warp_bearer::{
    auth::{Auth, BearerFilterExt, Claims, claims::Auth0, handle_rejection, with_auth},
    issuer::Issuer,
};

/// A token that doesn't fit is rejected with 401 `invalid_claim` before the handler runs.
#[derive(Deserialize)]
struct Customer {
    #[serde(flatten)]
    auth0: Auth0,
    #[serde(rename = "https://my.app/tier")]
    tier: String,
}

async fn tier(claims: Claims<Customer>) -> String {
    let Customer { auth0, tier } = claims.private();
    format!("{tier}, by {}", auth0.client().unwrap_or("nobody"))
}

fn routes(auth: &Auth) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let path = warp::path!("tier").and(warp::get());
    let tier = path.and(with_auth(auth)).then(tier).route();
    tier.recover(handle_rejection).unify()
}

#[tokio::main]
async fn main() {
    let issuer = Issuer::start().await; // in a service of yours, your tenant
    let token = issuer.token().claim("https://my.app/tier", "gold").sign();
    println!("curl -i http://127.0.0.1:8001/tier -H 'Authorization: Bearer {token}'");
    match Auth::discover(issuer.url(), issuer.audience()) {
        Ok(auth) => warp::serve(routes(&auth)).run(([127, 0, 0, 1], 8001)).await,
        Err(error) => eprintln!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn accepts_both_profiles_and_rejects_other_claim_types() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        auth.ready().await;
        let token = || issuer.token().claim("https://my.app/tier", "gold");
        let invalid = "invalid_claim";
        #[rustfmt::skip]
        let rows = [
            ("Auth0's profile", token().claim("azp", "app").claim("gty", "password"), 200, "gold, by app"),
            ("after a refresh", token().claim("azp", "app").claim("gty", ["refresh_token", "password"]), 200, "gold, by app"),
            ("RFC 9068", token().typ("at+jwt").claim("client_id", "app").claim("jti", "j"), 200, "gold, by app"),
            ("neither", token(), 200, "gold, by nobody"),
            ("no tier", token().without("https://my.app/tier"), 401, invalid),
            ("a tier of another type", token().claim("https://my.app/tier", json!([])), 401, invalid),
            ("a client of another type", token().claim("azp", 1), 401, invalid),
        ];
        for (case, token, status, body) in rows {
            let request = warp::test::request().path("/tier");
            let request = request.header("authorization", format!("Bearer {}", token.sign()));
            let answer = request.reply(&routes(&auth)).await;
            let text = String::from_utf8_lossy(answer.body());
            assert_eq!(answer.status(), status, "{case}: {text}");
            assert!(text.contains(body), "{case}: {text}");
        }
    }
}
