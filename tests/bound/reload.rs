//! A reload that changes which tokens need a proof.

use serde_json::json;
use warp::{Filter, reply::Response};
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

use crate::{PRIVATE, PUBLIC_URL, challenges, support::answer};

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
    let with_mode = |mode, is_own: bool| {
        let (issuer, dpop) = if is_own {
            let own = TrustedIssuer::new(issuer.url()).dpop(mode);
            (own, Dpop::allowed(PUBLIC_URL))
        } else {
            let dpop = Dpop::new(mode, PUBLIC_URL);
            (TrustedIssuer::new(issuer.url()), dpop)
        };
        of(issuer).resource("https://api.example.com").dpop(dpop)
    };
    let scoped = PRIVATE.replace("private", "private-scoped");
    let proofs = [PRIVATE, &scoped].map(|url| key.proof("GET", url).token(&bound).sign());
    let (private, scoped) = ("/api/private", "/api/private-scoped");
    let rows = [
        ("no token", private, None, None),
        ("plain", private, Some(format!("Bearer {plain}")), None),
        (
            "plain, under DPoP",
            private,
            Some(format!("DPoP {plain}")),
            None,
        ),
        (
            "bound, under Bearer",
            private,
            Some(format!("Bearer {bound}")),
            None,
        ),
        (
            "bound, no proof",
            private,
            Some(format!("DPoP {bound}")),
            None,
        ),
        (
            "bound",
            private,
            Some(format!("DPoP {bound}")),
            Some(&proofs[0]),
        ),
        (
            "no scope, plain",
            scoped,
            Some(format!("Bearer {plain}")),
            None,
        ),
        (
            "no scope, bound",
            scoped,
            Some(format!("DPoP {bound}")),
            Some(&proofs[1]),
        ),
        ("no token for a scope", scoped, None, None),
        ("a proxy, no token", "/auth", None, None),
        (
            "a proxy, bound",
            "/auth",
            Some(format!("DPoP {bound}")),
            None,
        ),
        (
            "metadata",
            "/.well-known/oauth-protected-resource",
            None,
            None,
        ),
        ("description", "/openapi.json", None, None),
    ];
    for (from, to, is_own) in MODES.iter().flat_map(|from| {
        let to = MODES
            .iter()
            .flat_map(move |to| [(from, to, false), (from, to, true)]);
        to.collect::<Vec<_>>()
    }) {
        let auth = with_mode(*from, is_own).build().unwrap();
        auth.ready().await;
        let reloaded = routes(&Access::from(&auth), &Shutdown::new());
        // The token is cached before the reload.
        let _ = auth.verify::<NoPrivate>(&plain).await;
        auth.replace_issuers(&with_mode(*to, is_own)).unwrap();
        let fresh = with_mode(*to, is_own).build().unwrap();
        fresh.ready().await;
        let fresh = routes(&Access::from(&fresh), &Shutdown::new());
        for (case, path, authorization, proof) in &rows {
            let case = format!("{case}: {from:?} to {to:?}, own: {is_own}");
            let mut request = json!({});
            if let Some(authorization) = authorization {
                request["authorization"] = json!(authorization);
            }
            if let Some(proof) = proof {
                request["dpop"] = json!(proof);
            }
            let (found, expected) = (
                ask(&reloaded, path, &request).await,
                ask(&fresh, path, &request).await,
            );
            let (found, expected) = (answer(&found), answer(&expected));
            assert_eq!(found.status, expected.status, "{case}: {found:?}");
            assert_eq!(challenges(&found), challenges(&expected), "{case}");
            assert_eq!(found.body, expected.body, "{case}");
        }
    }
}

async fn ask<F>(
    routes: &F,
    path: &str,
    fields: &serde_json::Value,
) -> warp::http::Response<warp::hyper::body::Bytes>
where
    F: Filter<Extract = (Response,), Error = std::convert::Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let mut request = warp::test::request().path(path);
    for (name, value) in fields.as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    request.reply(routes).await
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

/// If such an option were ignored, the service would be less strict than its configuration.
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
    let rows = [
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
