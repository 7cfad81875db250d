//! Policies on routes, with tokens like those of real issuers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
#[cfg(feature = "axum")]
use warp::http::{HeaderMap, HeaderValue, header};
use warp::{Filter, filters::BoxedFilter, reply::Response};
use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, BearerFilterExt, Builder, Claims, SetupError, TrustedIssuer,
        claims::NoPrivate,
        error::DurationOption,
        handle_rejection,
        policy::{
            Requirement, check, check_async, claim, contains, equals, machine, organization,
            permission, role, scope, user,
        },
        with_auth,
    },
    issuer::{Issuer, TokenBuilder},
};

use crate::support::{Answer, answer};

async fn issuer() -> Issuer {
    Issuer::with_algorithm(Algorithm::ES256).await
}

fn builder(issuer: &Issuer) -> Builder {
    Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
}

async fn ready(builder: Builder) -> Auth {
    let auth = builder.build().unwrap();
    auth.ready().await;
    auth
}

fn requiring<X>(auth: &Auth, requirement: impl Into<Requirement<X>>) -> BoxedFilter<(Response,)>
where
    X: serde::de::DeserializeOwned + Send + 'static,
{
    warp::path!("a")
        .and(with_auth(auth).require(requirement))
        .map(|_: Claims<X>| "in")
        .route()
}

async fn status(route: &BoxedFilter<(Response,)>, token: TokenBuilder) -> u16 {
    ask(route, &format!("Bearer {}", token.sign()))
        .await
        .status
        .as_u16()
}

async fn ask(route: &BoxedFilter<(Response,)>, field: &str) -> Answer {
    let routes = route.clone().recover(handle_rejection);
    let request = warp::test::request().path("/a");
    answer(&request.header("authorization", field).reply(&routes).await)
}

/// Checks that axum and tonic apply a policy as warp does.
#[cfg(feature = "axum")]
async fn adapters_agree(
    auth: &Auth,
    policy: &warp_bearer::auth::policy::Policy,
    token: TokenBuilder,
) {
    use crate::support::adapters::Adapters;

    let adapters = Adapters::requiring::<NoPrivate>(auth, || policy.clone().into());
    let route = warp::path!("a")
        .and(with_auth(auth).require(policy.clone()))
        .map(|claims: Claims| serde_json::to_string(&claims).unwrap())
        .route();
    for field in [&*format!("Bearer {}", token.sign()), "Basic YTpi", "Bearer"] {
        let headers = [(header::AUTHORIZATION, HeaderValue::try_from(field).unwrap())];
        let answer = ask(&route, field).await;
        adapters
            .agree(&HeaderMap::from_iter(headers), &answer)
            .await;
    }
}

#[tokio::test]
async fn policies_read_the_claims_of_real_issuers() {
    let issuer = issuer().await;
    let auth = ready(builder(&issuer).roles_at("realm_access.roles")).await;
    let gold = || claim("https://my.app/tier", equals("gold"));
    #[rustfmt::skip]
    let rows = [
        ("scope, RFC 9068", scope("a"), json!({"scope": "b a"}), 200),
        ("scp, Entra ID", scope("a"), json!({"scp": "b a"}), 200),
        ("scp, Okta", scope("a"), json!({"scp": ["b", "a"]}), 200),
        ("an item of scp with a space", scope("a"), json!({"scp": ["b a"]}), 403),
        ("scp without it", scope("a"), json!({"scp": ["b"]}), 403),
        ("scp with numbers", scope("a"), json!({"scp": [1]}), 401),
        ("scope, an array", scope("a"), json!({"scope": ["b", "a"]}), 200),
        ("scope and scp, both arrays", scope("a") & scope("b"), json!({"scope": ["a"], "scp": ["b"]}), 200),
        ("scope an array, scp a string", scope("a") & scope("b"), json!({"scope": ["a"], "scp": "b"}), 200),
        ("an item of scope with a space", scope("a"), json!({"scope": ["b a"]}), 403),
        ("permissions, Auth0", permission("p:x"), json!({"permissions": ["p:x"]}), 200),
        ("permissions without it", permission("p:x"), json!({"permissions": ["p:y"]}), 403),
        ("permissions as scope", permission("p:x"), json!({"scope": "p:x"}), 403),
        ("roles, Keycloak", role("r"), json!({"realm_access": {"roles": ["q", "r"]}}), 200),
        ("roles elsewhere", role("r"), json!({"roles": ["r"]}), 403),
        ("roles in another format", role("r"), json!({"realm_access": {"roles": {"r": 1}}}), 403),
        ("a claim", gold(), json!({"https://my.app/tier": "gold"}), 200),
        ("another value", gold(), json!({"https://my.app/tier": "lead"}), 403),
        ("another type", gold(), json!({"https://my.app/tier": ["gold"]}), 403),
        ("absent", gold(), json!({}), 403),
        ("a nested claim", claim("a.b", equals(1)), json!({"a": {"b": 1}}), 200),
        ("a whole name first", claim("a.b", equals(1)), json!({"a": {"b": 2}, "a.b": 1}), 200),
        ("an array", claim("groups", contains("x")), json!({"groups": ["y", "x"]}), 200),
        ("an array without it", claim("groups", contains("x")), json!({"groups": ["y"]}), 403),
        ("an organization", organization("org_1"), json!({"org_id": "org_1"}), 200),
        ("another organization", organization("org_1"), json!({"org_id": "org_2"}), 403),
        ("a machine by gty", machine(), json!({"gty": "client-credentials"}), 200),
        ("a machine by sub", machine(), json!({"sub": "abc@clients", "azp": "abc"}), 200),
        ("a self-chosen subject", machine(), json!({"sub": "eve@clients", "azp": "abc"}), 403),
        ("a self-chosen subject does not prove a user", user(), json!({"sub": "eve@clients", "azp": "abc"}), 403),
        ("an anonymous session", user(), json!({"sub": "anon@4a1b", "azp": "abc"}), 403),
        ("an anonymous session is not a machine", machine(), json!({"sub": "anon@4a1b", "azp": "abc"}), 403),
        ("Okta's machine", machine(), json!({"sub": "0oa1", "cid": "0oa1"}), 200),
        ("Okta's machine is no user", user(), json!({"sub": "0oa1", "cid": "0oa1"}), 403),
        ("Entra ID's machine", machine(), json!({"sub": "1", "tid": "t", "idtyp": "app"}), 200),
        ("Entra ID's machine is no user", user(), json!({"sub": "1", "tid": "t"}), 403),
        ("Firebase's anonymous session is no user", user(), json!({"auth_time": 1, "provider_id": "anonymous", "firebase": {"sign_in_provider": "anonymous"}}), 403),
        ("authentik's service account is not a user", user(), json!({"sub": "1", "preferred_username": "ak-job"}), 403),
        ("a subject with a bar is not a user", user(), json!({"sub": "svc|billing", "azp": "abc"}), 403),
        ("a client's own token is not a user's", user(), json!({"sub": "abc", "azp": "abc", "tid": "t", "scp": "s"}), 403),
        ("an anonymous login is not a user", user(), json!({"sub": "1", "amr": ["anonymous"]}), 403),
        ("an empty user name is not a user", user(), json!({"sub": "1", "preferred_username": ""}), 403),
        ("Keycloak's machine is no user", user(), json!({"sub": "1", "sid": "s", "preferred_username": "service-account-job"}), 403),
        ("a machine by client_id", machine(), json!({"sub": "abc", "client_id": "abc"}), 200),
        ("a user is not a machine", machine(), json!({"sub": "auth0|1", "client_id": "abc"}), 403),
        ("a user", user(), json!({"sub": "auth0|1", "client_id": "abc"}), 200),
        ("a machine is not a user", user(), json!({"gty": "client-credentials"}), 403),
        ("both of two", scope("a") & role("r"), json!({"scope": "a", "realm_access": {"roles": ["r"]}}), 200),
        ("one of both", scope("a") & role("r"), json!({"scope": "a"}), 403),
        ("either", scope("a") | role("r"), json!({"scope": "a"}), 200),
        ("neither", scope("a") | role("r"), json!({}), 403),
    ];
    for (case, policy, claims, expected) in rows {
        let route = requiring::<NoPrivate>(&auth, policy.clone());
        let Value::Object(claims) = claims else {
            unreachable!()
        };
        let token = claims
            .into_iter()
            .fold(issuer.token(), |token, (name, value)| {
                token.claim(&name, value)
            });
        assert_eq!(status(&route, token.clone()).await, expected, "{case}");
        #[cfg(feature = "axum")]
        adapters_agree(&auth, &policy, token).await;
    }
}

#[derive(Deserialize)]
struct Account {
    balance: i64,
}

#[tokio::test]
async fn typed_checks_combine_with_policies() {
    let issuer = issuer().await;
    let auth = ready(builder(&issuer)).await;
    let rich = || check(|claims: &Claims<Account>| claims.private().balance > 0);
    let token = |scope: &str, balance: i64| issuer.token().scope(scope).claim("balance", balance);
    #[rustfmt::skip]
    let rows = [
        ("and, both", scope("spend") & rich(), "spend", 1, 200),
        ("and, one", scope("spend") & rich(), "spend", 0, 403),
        ("and, the other", rich() & scope("spend"), "", 1, 403),
        ("or, one", scope("spend") | rich(), "", 1, 200),
        ("or, the other", rich() | scope("spend"), "spend", 0, 200),
        ("or, neither", rich() | scope("spend"), "", 0, 403),
        ("alone", rich(), "", 1, 200),
    ];
    for (case, requirement, scope, balance, expected) in rows {
        let route = requiring(&auth, requirement);
        assert_eq!(
            status(&route, token(scope, balance)).await,
            expected,
            "{case}"
        );
    }
}

#[tokio::test]
async fn refusal_names_sufficient_scopes_but_no_role() {
    let issuer = issuer().await;
    let auth = ready(builder(&issuer)).await;
    #[rustfmt::skip]
    let rows = [
        (scope("a") & scope("b"), "insufficient_scope", Some("a b")),
        (scope("a") | role("secret-role"), "insufficient_scope", Some("a")),
        (scope("a") & role("secret-role"), "insufficient_permissions", None),
        (scope("a") & permission("held"), "insufficient_scope", Some("a")),
        (role("secret-role") | scope("a") & permission("held") & scope("b"), "insufficient_scope", Some("a b")),
        (role("secret-role"), "insufficient_permissions", None),
    ];
    for (policy, code, named) in rows {
        let policy_needs_more = policy.scopes().is_none();
        let route = requiring::<warp_bearer::auth::claims::NoPrivate>(&auth, policy);
        let routes = route.recover(handle_rejection);
        let token = issuer.token().permissions(["held"]).sign();
        for token in [Some(token), None] {
            let mut request = warp::test::request().path("/a");
            if let Some(token) = &token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let answer = answer(&request.reply(&routes).await);
            if token.is_some() {
                answer.assert_is_problem(code, 403, code);
            }
            let text = format!("{:?} {}", answer.headers, answer.body);
            assert!(!text.contains("secret-role"), "{text}");
            let challenge = answer.header("www-authenticate").to_owned();
            let scope = named.map(|scope| format!("scope=\"{scope}\""));
            match scope {
                // Without a token, the library can't know whether the client has the permission or
                // the role that the policy also needs, so we don't check the scopes here.
                None if token.is_none() => {}
                Some(_) if token.is_none() && policy_needs_more => {}
                Some(scope) => assert!(challenge.contains(&scope), "{challenge}"),
                None => assert!(!challenge.contains("scope=\""), "{challenge}"),
            }
        }
    }
}

#[tokio::test]
async fn issuer_can_have_its_own_audiences_algorithms_and_keys() {
    let (people, robots) = (
        issuer().await,
        Issuer::with_algorithm(Algorithm::EdDSA).await,
    );
    let own = TrustedIssuer::new(robots.url())
        .audience("urn:robots")
        .algorithms([Algorithm::EdDSA])
        .jwks_uri(robots.jwks_uri());
    let auth = ready(builder(&people).issuer(own)).await;
    let robot = || robots.token().audience("urn:robots");
    #[rustfmt::skip]
    let rows = [
        ("a user's token", people.token(), None),
        ("a machine's token", robot(), None),
        ("a machine's token with the users' audience", robots.token(), Some(AuthError::WrongAudience)),
        ("a user's token with the machines' audience", people.token().audience("urn:robots"), Some(AuthError::WrongAudience)),
        ("a user's token with the machines' algorithm", people.token().header("alg", "EdDSA"), Some(AuthError::AlgorithmNotAllowed)),
        ("a machine's token with the users' algorithm", robot().header("alg", "ES256"), Some(AuthError::AlgorithmNotAllowed)),
        ("a robot of people", robot().claim("iss", people.url()).claim("aud", people.audience()), Some(AuthError::AlgorithmNotAllowed)),
    ];
    for (case, token, expected) in rows {
        let verdict = auth.verify(&token.sign()).await.map(|_: Claims| ());
        assert_eq!(verdict.err(), expected, "{case}");
    }
    assert_eq!(
        robots.requests().discovery,
        0,
        "a configured key set needs no discovery"
    );
}

#[tokio::test]
async fn strict_profile_and_maximum_age_reject_more() {
    let issuer = issuer().await;
    let strict = ready(builder(&issuer).rfc9068(true)).await;
    let young = ready(builder(&issuer).max_age(std::time::Duration::from_secs(600))).await;
    let profile = || {
        let token = issuer.token().typ("at+jwt").claim("client_id", "c");
        token.claim("jti", "j")
    };
    #[rustfmt::skip]
    let rows = [
        ("the profile", &strict, profile(), None),
        ("typ JWT", &strict, profile().typ("JWT"), Some(AuthError::WrongTokenType)),
        ("no typ", &strict, profile().without_header("typ"), Some(AuthError::WrongTokenType)),
        ("no client_id", &strict, profile().without("client_id"), Some(AuthError::MissingClaim)),
        ("young", &young, issuer.token().issued_at(-500), None),
        ("old", &young, issuer.token().issued_at(-700), Some(AuthError::TokenExpired)),
        ("no iat", &young, issuer.token().without("iat"), Some(AuthError::MissingClaim)),
    ];
    for (case, auth, token, expected) in rows {
        let token = token.sign();
        for _ in 0..2 {
            let verdict = auth.verify(&token).await.map(|_: Claims| ());
            assert_eq!(verdict.err(), expected, "{case}");
        }
    }
}

#[tokio::test]
async fn every_challenge_links_the_resource_metadata() {
    let issuer = issuer().await;
    let url = "https://api.example.com/.well-known/oauth-protected-resource";
    let auth = ready(builder(&issuer).resource_metadata(url)).await;
    let route = requiring::<warp_bearer::auth::claims::NoPrivate>(&auth, scope("a"));
    let routes = route.recover(handle_rejection);
    let (poor, bad) = (issuer.token().sign(), issuer.token().expired().sign());
    for (field, status) in [
        (None, 401),
        (Some(format!("Bearer {bad}")), 401),
        (Some(format!("Bearer {poor}")), 403),
        (Some("Bearer".to_owned()), 400),
    ] {
        let mut request = warp::test::request().path("/a");
        if let Some(field) = field {
            request = request.header("authorization", field);
        }
        let answer = answer(&request.reply(&routes).await);
        assert_eq!(answer.status.as_u16(), status);
        let said = format!("resource_metadata=\"{url}\"");
        assert!(
            answer.header("www-authenticate").ends_with(&said),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn array_items_that_are_not_one_scope_grant_nothing() {
    let issuer = issuer().await;
    let auth = ready(builder(&issuer)).await;
    #[rustfmt::skip]
    let rows = [
        ("scp", json!({"scp": ["a", "b admin", "", "c"]})),
        ("scope", json!({"scope": ["a", "b admin", " ", "c"]})),
    ];
    for (case, claims) in rows {
        let mut token = issuer.token();
        for (name, value) in claims.as_object().unwrap() {
            token = token.claim(name, value);
        }
        let claims: Claims = auth.verify(&token.sign()).await.unwrap();
        assert!(claims.scopes().eq(["a", "c"]), "{case}");
    }
}

#[tokio::test]
async fn async_check_runs_at_most_once_and_only_if_needed() {
    type Make = fn(Requirement<NoPrivate>) -> Requirement<NoPrivate>;
    let issuer = issuer().await;
    let auth = ready(builder(&issuer)).await;
    let (reader, stranger) = (|| issuer.token().scope("read"), || issuer.token());
    #[rustfmt::skip]
    let rows: [(&str, Make, bool, TokenBuilder, u16, usize); 12] = [
        ("alone, met", |check| check, true, stranger(), 200, 1),
        ("alone, unmet", |check| check, false, stranger(), 403, 1),
        ("and, met", |check| scope("read") & check, true, reader(), 200, 1),
        ("and, unmet", |check| scope("read") & check, false, reader(), 403, 1),
        ("and, scope missing", |check| scope("read") & check, true, stranger(), 403, 0),
        ("or, scope granted", |check| scope("read") | check, false, reader(), 200, 0),
        ("or, scope missing", |check| scope("read") | check, true, stranger(), 200, 1),
        ("and, check first", |check| check & scope("read"), true, reader(), 200, 1),
        ("and, check first, scope missing", |check| check & scope("read"), true, stranger(), 403, 0),
        ("or, check first", |check| check | scope("read"), false, stranger(), 403, 1),
        ("or, check first, scope granted", |check| check | scope("read"), false, reader(), 200, 0),
        ("an alternative in a group, scope missing", |check| (check | scope("write")) & scope("read"), true, stranger(), 403, 0),
    ];
    for (case, make, answer, token, expected, asked) in rows {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let check = check_async(move |_: Claims| {
            let counted = Arc::clone(&counted);
            async move {
                tokio::task::yield_now().await;
                counted.fetch_add(1, Relaxed);
                answer
            }
        });
        let route = requiring(&auth, make(check));
        assert_eq!(status(&route, token).await, expected, "{case}");
        assert_eq!(count.load(Relaxed), asked, "{case}");
    }
}

#[tokio::test]
async fn setup_errors_name_the_reason() {
    let issuer = issuer().await;
    let base = || builder(&issuer);
    #[rustfmt::skip]
    let rows = [
        ("no issuer", Auth::builder().audience("a"), SetupError::NoIssuer),
        ("no audience", Auth::builder().issuer("https://a.example/"), SetupError::NoAudience),
        ("an empty audience", base().audience(""), SetupError::NoAudience),
        ("no algorithm", base().algorithms([]), SetupError::NoAlgorithm),
        ("HS256 without a secret", base().algorithms([Algorithm::HS256]), SetupError::NoSecret),
        ("a secret without HS256", base().signing_secret([0; 32]), SetupError::UnusedSecret),
        ("a short secret", base().algorithms([Algorithm::HS256]).signing_secret([0; 31]), SetupError::ShortSecret),
        ("a leeway of more than five minutes", base().leeway(Duration::from_secs(301)), SetupError::OutOfRange(DurationOption::Leeway)),
        ("an age of zero", base().max_age(Duration::ZERO), SetupError::OutOfRange(DurationOption::MaxAge)),
        ("a time to live of zero", base().jwks_ttl(Duration::ZERO), SetupError::OutOfRange(DurationOption::JwksTtl)),
        ("a cooldown of zero", base().jwks_cooldown(Duration::ZERO), SetupError::OutOfRange(DurationOption::JwksCooldown)),
        ("an unlimited stale time", base().jwks_stale(Duration::MAX), SetupError::OutOfRange(DurationOption::JwksStale)),
        ("a timeout of zero", base().jwks_timeout(Duration::ZERO), SetupError::OutOfRange(DurationOption::JwksTimeout)),
        ("a token field with a scheme", base().token_field(http::header::AUTHORIZATION), SetupError::TokenField),
        ("a realm with a quote", base().realm("a\"b"), SetupError::Realm),
        ("a secret and two issuers", base().issuer("https://b.example/").algorithms([Algorithm::HS256]).signing_secret([0; 32]), SetupError::AmbiguousKeySet),
        ("a key set and two issuers", base().issuer("https://b.example/").jwks_uri("https://b.example/keys"), SetupError::AmbiguousKeySet),
    ];
    for (case, builder, expected) in rows {
        assert_eq!(builder.build().err(), Some(expected), "{case}");
    }
}

#[test]
fn building_without_a_runtime_is_an_error() {
    let built = Auth::discover("https://a.example/", "a");
    assert_eq!(built.err(), Some(SetupError::NoRuntime));
}
