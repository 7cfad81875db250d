//! What routes can require beyond a valid token. Policies can be combined, and the challenge lists
//! their scopes.

use std::convert::Infallible;

use warp::{Filter, filters::BoxedFilter, reply::Response};
use warp_bearer::{
    auth::{
        Auth, BearerFilterExt, Claims,
        claims::NoPrivate,
        handle_rejection,
        policy::{
            Policy, Requirement, check, claim, equals, organization, permission, role, scope, user,
        },
        with_auth,
    },
    issuer::Issuer,
};

/// Checked at compile time: `scope("read messages")` would be an error here.
const READ: Policy = scope("read:messages");

fn routes(auth: &Auth) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let write = READ & scope("write:messages") | role("admin");
    let gold = claim("https://my.app/tier", equals("gold")) & user();
    // `check` is for rules that no other policy can express
    let brief = check(|claims: &Claims| claims.scopes().count() < 3);

    open(auth, "read", READ | permission("messages:read"))
        .or(open(auth, "write", write))
        .unify()
        .or(open(auth, "gold", gold & organization("org_1")))
        .unify()
        .or(open(auth, "brief", READ & brief))
        .unify()
        .recover(handle_rejection)
        .unify()
}

fn open(
    auth: &Auth,
    path: &'static str,
    needs: impl Into<Requirement<NoPrivate>>,
) -> BoxedFilter<(Response,)> {
    warp::path(path)
        .and(warp::path::end())
        .and(warp::get())
        .and(with_auth(auth).require(needs))
        .map(|_: Claims| "in")
        .route()
}

#[tokio::main]
async fn main() {
    let issuer = Issuer::start().await; // in a service of yours, your tenant
    let token = issuer.token().scope("read:messages").sign();
    println!("curl -i http://127.0.0.1:8001/read -H 'Authorization: Bearer {token}'");
    match Auth::discover(issuer.url(), issuer.audience()) {
        Ok(auth) => warp::serve(routes(&auth)).run(([127, 0, 0, 1], 8001)).await,
        Err(error) => eprintln!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn routes_apply_their_policy_and_name_the_missing_scopes() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        auth.ready().await;
        let token = || issuer.token();
        let gold = || {
            token()
                .claim("https://my.app/tier", "gold")
                .claim("azp", "my-app")
        };
        let granted = |scope| token().scope(scope);
        #[rustfmt::skip]
        let rows = [
            ("a scope", "/read", granted("read:messages"), 200, None),
            ("or a permission", "/read", token().permissions(["messages:read"]), 200, None),
            ("neither", "/read", token(), 403, Some("read:messages")),
            ("both scopes", "/write", granted("read:messages write:messages"), 200, None),
            ("or a role", "/write", token().claim("roles", ["admin"]), 200, None),
            ("one of both", "/write", granted("read:messages"), 403, Some("read:messages write:messages")),
            ("a claim", "/gold", gold().claim("org_id", "org_1"), 200, None),
            ("elsewhere", "/gold", gold().claim("org_id", "org_2"), 403, None),
            ("a machine", "/gold", gold().claim("org_id", "org_1").subject("a@clients"), 403, None),
            ("a check", "/brief", granted("read:messages b"), 200, None),
            ("not met", "/brief", granted("read:messages b c"), 403, None),
        ];
        for (case, path, token, status, named) in rows {
            let request = warp::test::request().path(path);
            let request = request.header("authorization", format!("Bearer {}", token.sign()));
            let answer = request.reply(&routes(&auth)).await;
            assert_eq!(answer.status(), status, "{case}: {answer:?}");
            let challenge = answer.headers().get("www-authenticate");
            let challenge = challenge.map_or("", |challenge| challenge.to_str().unwrap());
            match named {
                Some(scope) => {
                    assert!(challenge.ends_with(&format!("scope=\"{scope}\"")), "{case}");
                }
                None => assert!(!challenge.contains("scope=\""), "{case}: {challenge}"),
            }
        }
    }
}
