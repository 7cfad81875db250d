//! Step-up authentication (RFC 9470).

use std::time::{Duration, SystemTime};

use warp::Filter;
use warp_bearer::{
    auth::{
        Algorithm, Auth, BearerFilterExt, Claims,
        policy::{Policy, acr, max_auth_age, role, scope},
        with_auth,
    },
    issuer::{Issuer, TokenBuilder},
};

const MINUTE: Duration = Duration::from_secs(60);

async fn issuer() -> (Issuer, Auth) {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256]);
    let auth = auth.build().unwrap();
    (issuer, auth)
}

fn seconds_ago(seconds: u64) -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() - seconds
}

async fn ask(auth: &Auth, policy: Policy, token: &str) -> (u16, String) {
    let route = warp::path!("pay")
        .and(with_auth(auth).require(policy))
        .map(|_: Claims| "paid")
        .route();
    let request = warp::test::request()
        .path("/pay")
        .header("authorization", format!("Bearer {token}"));
    let answer = request.reply(&route).await;
    let challenge = answer.headers().get("www-authenticate");
    let challenge = challenge.map(|field| field.to_str().unwrap().to_owned());
    (answer.status().as_u16(), challenge.unwrap_or_default())
}

type Change = Box<dyn Fn(TokenBuilder) -> TokenBuilder>;

#[tokio::test]
async fn challenge_names_the_required_authentication() {
    const STEP_UP: &str = r#"error="insufficient_user_authentication""#;
    let (issuer, auth) = issuer().await;
    let gold = |token: TokenBuilder| token.claim("acr", "gold");
    let plain = |token: TokenBuilder| token;
    let since = |seconds: u64| -> Change {
        Box::new(move |token| token.claim("auth_time", seconds_ago(seconds)))
    };
    let five = || max_auth_age(5 * MINUTE);
    #[rustfmt::skip]
    let rows: Vec<(&str, Policy, Change, u16, &[&str])> = vec![
        ("the required acr", acr("gold"), Box::new(gold), 200, &[]),
        ("no acr", acr("gold"), Box::new(plain), 401, &[STEP_UP, r#"acr_values="gold""#]),
        ("another acr", acr("platinum"), Box::new(gold), 401, &[r#"acr_values="platinum""#]),
        ("one of two", acr("platinum") | acr("gold"), Box::new(gold), 200, &[]),
        ("neither of two", acr("a") | acr("b"), Box::new(gold), 401, &[r#"acr_values="a b""#]),
        ("recent", five(), since(10), 200, &[]),
        ("within the leeway", five(), since(310), 200, &[]),
        ("too long ago", five(), since(400), 401, &[STEP_UP, r#"max_age="300""#]),
        ("no auth_time", five(), Box::new(plain), 401, &[STEP_UP, r#"max_age="300""#]),
        ("an auth_time that is a string", five(), Box::new(|token| token.claim("auth_time", "now")), 401, &[STEP_UP]),
        ("an auth_time in the future", five(), Box::new(|token| token.claim("auth_time", 4_000_000_000_u64)), 401, &[STEP_UP]),
        ("both", acr("gold") & five(), Box::new(plain), 401, &[r#"acr_values="gold", max_age="300""#]),
        ("the stricter age", five() & max_auth_age(MINUTE), Box::new(plain), 401, &[r#"max_age="60""#]),
        ("the age only", acr("gold") & five(), Box::new(gold), 401, &[r#"detail", max_age="300""#]),
        ("a scope as well", scope("pay") & acr("gold"), Box::new(plain), 401, &[STEP_UP, r#"acr_values="gold", scope="pay""#]),
        ("only the scope", scope("pay") & acr("gold"), Box::new(gold), 403, &[r#"error="insufficient_scope""#, r#"scope="pay""#]),
        ("a role as well", role("clerk") & acr("gold"), Box::new(plain), 403, &[r#"error="insufficient_scope""#]),
        ("or a scope", acr("gold") | scope("pay"), Box::new(|token| token.scope("pay")), 200, &[]),
    ];
    for (case, policy, change, status, parts) in rows {
        let token = change(issuer.token()).sign();
        let (found, challenge) = ask(&auth, policy, &token).await;
        assert_eq!(found, status, "{case}: {challenge}");
        for part in parts {
            let part = part.replace(
                "detail\"",
                "This resource requires a more recent or a stronger authentication of the user.\"",
            );
            assert!(challenge.contains(&part), "{case}: {challenge}");
        }
        assert_eq!(
            challenge.contains("acr_values"),
            parts.iter().any(|part| part.contains("acr_values")),
            "{case}: {challenge}"
        );
    }
}

#[tokio::test]
async fn challenge_without_a_token_names_only_scopes() {
    let (_issuer, auth) = issuer().await;
    let route = warp::path!("pay")
        .and(with_auth(&auth).require(scope("pay") & acr("gold")))
        .map(|_: Claims| "paid")
        .route();
    let answer = warp::test::request().path("/pay").reply(&route).await;
    let challenge = &answer.headers()["www-authenticate"];
    assert_eq!(challenge, r#"Bearer realm="api", scope="pay""#);
}
