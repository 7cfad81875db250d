//! A reload that changes which tokens need a proof.

use warp::{Filter, filters::BoxedFilter, reply::Response};
use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, Builder, CertificateSource, SetupError, TrustedIssuer,
        claims::NoPrivate,
        dpop::{Dpop, DpopMode},
        error::FixedOption,
    },
    issuer::{Issuer, SigningKey},
    service::{Access, Shutdown, routes},
};

use crate::{
    PUBLIC_URL, challenges,
    support::{Answer, answer},
};

const MODES: [DpopMode; 3] = [DpopMode::Off, DpopMode::Allowed, DpopMode::Required];

async fn issuer() -> Issuer {
    Issuer::with_algorithm(Algorithm::ES256).await
}

fn of(issuer: impl Into<TrustedIssuer>) -> Builder {
    Auth::builder()
        .issuer(issuer)
        .audience("https://api.example.com")
        .algorithms([Algorithm::ES256])
}

/// After a reload, the service answers every request as if it had been started with the new mode.
#[tokio::test]
async fn answers_as_after_a_start_with_the_new_mode() {
    let issuer = issuer().await;
    let key = SigningKey::generate(Algorithm::ES256);
    let (plain, bound) = (issuer.token().sign(), issuer.token().bound_to(&key).sign());
    for (from, to) in MODES.iter().flat_map(|from| MODES.map(|to| (*from, to))) {
        for is_own in [false, true] {
            let auth = with_mode(&issuer, from, is_own).build().unwrap();
            auth.ready().await;
            let reloaded = service(&auth);
            // cached before the reload
            let _ = auth.verify::<NoPrivate>(&plain).await;
            let replacement = with_mode(&issuer, to, is_own);
            auth.replace_issuers(&replacement).unwrap();
            let auth = replacement.build().unwrap();
            auth.ready().await;
            let started = service(&auth);
            // Both services must have started before the proofs are made
            for (case, path, fields) in &requests(&plain, &bound, &key) {
                let case = format!("{case}: {from:?} to {to:?}, own: {is_own}");
                let found = ask(&reloaded, path, fields).await;
                let expected = ask(&started, path, fields).await;
                assert_eq!(found.status, expected.status, "{case}: {found:?}");
                assert_eq!(challenges(&found), challenges(&expected), "{case}");
                assert_eq!(found.body, expected.body, "{case}");
            }
        }
    }
}

fn service(auth: &Auth) -> BoxedFilter<(Response,)> {
    routes(&Access::from(auth), &Shutdown::new()).boxed()
}

/// The issuer has this mode by its own option (`is_own`) or by the builder's default.
fn with_mode(issuer: &Issuer, mode: DpopMode, is_own: bool) -> Builder {
    let trusted = TrustedIssuer::new(issuer.url());
    let builder = if is_own {
        of(trusted.dpop(mode)).dpop(Dpop::allowed(PUBLIC_URL))
    } else {
        of(trusted).dpop(Dpop::new(mode, PUBLIC_URL))
    };
    builder.resource("https://api.example.com")
}

type Fields = Vec<(&'static str, String)>;

/// Requests with a plain and a bound token: a name, a path and the header fields.
#[rustfmt::skip]
fn requests(plain: &str, bound: &str, key: &SigningKey) -> Vec<(&'static str, &'static str, Fields)> {
    let (private, scoped) = ("/api/private", "/api/private-scoped");
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let dpop = |token: &str| ("authorization", format!("DPoP {token}"));
    let proof = |path: &str| ("dpop", key.proof("GET", &format!("{PUBLIC_URL}{path}")).token(bound).sign());
    let (method, uri) = (("x-forwarded-method", "GET".to_owned()), ("x-forwarded-uri", "/v1/cart".to_owned()));
    vec![
        ("no token", private, vec![]),
        ("plain", private, vec![bearer(plain)]),
        ("plain, under DPoP", private, vec![dpop(plain)]),
        ("bound, under Bearer", private, vec![bearer(bound), proof(private)]),
        ("bound, no proof", private, vec![dpop(bound)]),
        ("bound", private, vec![dpop(bound), proof(private)]),
        ("no token for a scope", scoped, vec![]),
        ("no scope, plain", scoped, vec![bearer(plain)]),
        ("no scope, bound", scoped, vec![dpop(bound), proof(scoped)]),
        ("a proxy, no token", "/auth", vec![]),
        ("a proxy, plain", "/auth", vec![bearer(plain)]),
        ("a proxy, bound", "/auth", vec![dpop(bound), proof("/cart"), method, uri]),
        ("the metadata", "/.well-known/oauth-protected-resource", vec![]),
        ("the description", "/openapi.json", vec![]),
    ]
}

async fn ask(routes: &BoxedFilter<(Response,)>, path: &str, fields: &Fields) -> Answer {
    let mut request = warp::test::request().path(path);
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    answer(&request.reply(routes).await)
}

#[tokio::test]
async fn takes_the_mode_of_the_new_builder() {
    let issuer = issuer().await;
    let plain = issuer.token().sign();
    let all = |mode| of(issuer.url()).dpop(Dpop::new(mode, PUBLIC_URL));
    let own = |mode| of(TrustedIssuer::new(issuer.url()).dpop(mode));
    let (accepted, not_bound) = (Ok(()), Err(AuthError::TokenNotBound));
    let auth = all(DpopMode::Allowed).build().unwrap();
    auth.ready().await;
    for (case, replacement, expected) in [
        ("as before", all(DpopMode::Allowed), accepted),
        ("required", all(DpopMode::Required), not_bound),
        ("no mode: the last one stays", of(issuer.url()), not_bound),
        ("off", all(DpopMode::Off), accepted),
        ("no mode: it stays off", of(issuer.url()), accepted),
        (
            "required by the issuer alone",
            own(DpopMode::Required),
            not_bound,
        ),
        (
            "allowed by the issuer alone",
            own(DpopMode::Allowed),
            accepted,
        ),
    ] {
        auth.replace_issuers(&replacement).unwrap();
        let verdict = auth.verify::<NoPrivate>(&plain).await.map(drop);
        assert_eq!(verdict, expected, "{case}");
    }
}

/// If we just ignored such an option, the service would be less strict than its configuration.
#[tokio::test]
async fn rejects_options_that_only_a_new_auth_can_have() {
    use FixedOption::{
        ClientCertificates, DpopAlgorithms, DpopModeOfResolved, DpopNonces, DpopWindow, PublicUrl,
    };
    const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);
    let issuer = issuer().await;
    let plain = issuer.token().sign();
    let required = || Dpop::required(PUBLIC_URL);
    let builder = || of(issuer.url()).client_certificates(CertificateSource::Connection);
    let resolving = || builder().resolve_issuers(|_| async { None });
    let allowed = || builder().dpop(Dpop::allowed(PUBLIC_URL).nonces_from([7; 32]));
    let nonces = || required().nonces_from([7; 32]);
    let other_url = Dpop::required("https://other.example/v1").nonces_from([7; 32]);
    let with = |dpop: Dpop| builder().dpop(dpop);
    let own = TrustedIssuer::new(issuer.url()).dpop(DpopMode::Required);
    #[rustfmt::skip]
    let rows = vec![
        ("another URL", allowed(), with(other_url), Err(SetupError::Fixed(PublicUrl))),
        ("the same URL", allowed(), with(Dpop::required(format!("{PUBLIC_URL}/")).nonces_from([7; 32])), Ok(())),
        ("other algorithms", allowed(), with(nonces().algorithms([Algorithm::ES256])), Err(SetupError::Fixed(DpopAlgorithms))),
        ("another window", allowed(), with(nonces().window(MINUTE)), Err(SetupError::Fixed(DpopWindow))),
        ("another secret", allowed(), with(required().nonces_from([8; 32])), Err(SetupError::Fixed(DpopNonces))),
        ("no nonces", allowed(), with(required()), Err(SetupError::Fixed(DpopNonces))),
        ("nonces", builder().dpop(Dpop::allowed(PUBLIC_URL)), with(required().nonces()), Err(SetupError::Fixed(DpopNonces))),
        ("the same nonces", allowed(), with(nonces()), Ok(())),
        ("the first URL", builder(), with(required()), Err(SetupError::Fixed(PublicUrl))),
        ("no URL at all", builder(), of(own), Err(SetupError::NoPublicUrl)),
        ("certificates", of(issuer.url()), builder(), Err(SetupError::Fixed(ClientCertificates))),
        ("the same certificates", builder(), builder(), Ok(())),
        ("a resolver", resolving().dpop(Dpop::allowed(PUBLIC_URL)), with(required()), Err(SetupError::Fixed(DpopModeOfResolved))),
        ("a resolver, the same mode", resolving().dpop(required()), with(required()), Ok(())),
        ("a resolver, no mode", resolving().dpop(required()), builder(), Ok(())),
    ];
    for (case, started, replacement, expected) in rows {
        let auth = started.build().unwrap();
        auth.ready().await;
        let before = auth.verify::<NoPrivate>(&plain).await.map(drop);
        assert_eq!(auth.replace_issuers(&replacement), expected, "{case}");
        let after = auth.verify::<NoPrivate>(&plain).await.map(drop);
        if expected.is_err() {
            assert_eq!(after, before, "{case}: nothing is replaced");
        }
    }
}
