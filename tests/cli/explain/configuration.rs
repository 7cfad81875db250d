//! Mistakes in the configuration.

use base64::{Engine, engine::general_purpose::STANDARD};
use warp_bearer::{
    auth::Algorithm,
    issuer::{Fault, Issuer, SigningKey},
    service::api::errors::causes,
};

use super::{lacks_keys, refuses};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn explains_each_broken_configuration() {
    let issuer = Issuer::start().await;
    let world = || World::of(issuer.clone());
    let good = issuer.token().sign();
    let without = issuer.url().trim_end_matches('/').to_owned();
    let secret = "a secret that nobody else can know";
    let other = SigningKey::from_secret("another secret that nobody can know");
    let hs256 = || {
        world()
            .set("AUTH0_ALGORITHMS", "HS256")
            .set("AUTH0_SIGNING_SECRET", secret)
    };
    let strict = || world().set("AUTH0_TOKEN_PROFILE", "rfc9068");
    let tenant = "https://tenant.eu.auth0.com/";
    let on_disk = || World::named(&issuer, tenant);
    let key = SigningKey::generate(Algorithm::RS256);
    issuer.publish_key(&key);
    let changed = issuer.token().claim("iss", tenant).key(&key);
    let changed = changed.kid(issuer.key().kid()).sign();
    let of_no_key = issuer.token().without_header("kid").sign();
    let by_typ = issuer.token().typ("at+jwt").sign();
    let old = issuer.token().issued_at(-700).sign();
    let ageless = issuer.token().without("iat").sign();
    let other_algorithm = issuer.token().algorithm(Algorithm::PS256).sign();
    let by_secret = issuer.token().key(&other).without_header("kid").sign();
    let encoded = hs256().set(
        "AUTH0_SIGNING_SECRET",
        STANDARD.encode("another secret that nobody can know"),
    );
    let of_auth0 = issuer.token().claim("iss", tenant).sign();
    let jose = issuer.token().typ("JOSE").sign();
    #[rustfmt::skip]
    let rows = [
        ("an issuer without its trailing slash", world().set("AUTH0_ISSUER", without), &good, "unknown_issuer", causes::SLASH),
        ("another issuer", world().set("AUTH0_ISSUER", "http://127.0.0.1:9/"), &good, "unknown_issuer", causes::OTHER_PORT),
        ("another audience", world().set("AUTH0_API_AUDIENCE", "https://other.example.com"), &good, "wrong_audience", causes::OTHER_API),
        ("another algorithm", world().set("AUTH0_ALGORITHMS", "ES256"), &good, "algorithm_not_allowed", causes::OTHER_ALGORITHM),
        ("another secret", hs256(), &by_secret, "bad_signature", causes::OTHER_SECRET),
        ("the secret in base64", encoded, &by_secret, "bad_signature", causes::ENCODED_SECRET),
        ("the strict profile, of Auth0", on_disk().set("AUTH0_TOKEN_PROFILE", "rfc9068"), &of_auth0, "wrong_token_type", causes::AUTH0_NOT_AT_JWT),
        ("another type in the strict profile", strict(), &jose, "wrong_token_type", causes::NOT_AT_JWT),
        ("another algorithm of the key", world().set("AUTH0_ALGORITHMS", "RS256,PS256"), &other_algorithm, "algorithm_not_allowed", causes::KEY_FOR_ANOTHER),
        ("another tenant's signature", on_disk(), &changed, "bad_signature", causes::CHANGED),
        ("no key verifies it, two fit", world(), &of_no_key, "unknown_key", causes::NO_KID),
        ("the strict profile", strict(), &good, "wrong_token_type", causes::NOT_AT_JWT),
        ("the strict profile, by typ alone", strict(), &by_typ, "missing_claim", causes::NOT_RFC9068),
        ("too old", world().set("AUTH0_TOKEN_MAX_AGE", "10m"), &old, "token_expired", causes::TOO_OLD),
        ("a maximum age, no iat", world().set("AUTH0_TOKEN_MAX_AGE", "10m"), &ageless, "missing_claim", causes::NO_TIME_OF_ISSUE),
    ];
    for (case, world, token, code, cause) in rows {
        refuses(&world, case, token, code, cause);
    }

    let without_keys = |case, cause, words| {
        lacks_keys(&world(), case, &good, cause, words);
    };
    issuer.wrong_issuer(format!("{}other/", issuer.url()));
    without_keys(
        "another name",
        causes::NOT_ITS_NAME,
        "set AUTH0_ISSUER to it",
    );
    issuer.recover();
    issuer.fail_jwks(Fault::EmptySet);
    without_keys("no keys", causes::NO_KEY_SET, "if its keys are elsewhere");
    issuer.fail(Fault::Status(500));
    without_keys("500", causes::ISSUER_UNREACHABLE, "wait until it answers");
    issuer.go_down().await;
    let output = world().run(&["explain"], &good);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(
        output.stdout.contains("cannot be reached"),
        "{}",
        output.stdout
    );
    // Connections to this machine never use a proxy, so the advice shouldn't mention one.
    let advice = "Check that the issuer is running on this machine";
    assert!(output.stdout.contains(advice), "{}", output.stdout);
    assert!(!output.stdout.contains("HTTPS_PROXY"), "{}", output.stdout);
}
