//! A reload that changes which tokens need a proof.

use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, Builder, CertificateSource, SetupError, TrustedIssuer,
        claims::NoPrivate,
        dpop::{Dpop, DpopMode},
        error::FixedOption,
    },
    issuer::Issuer,
};

use crate::PUBLIC_URL;

async fn issuer() -> Issuer {
    Issuer::with_algorithm(Algorithm::ES256).await
}

fn of(issuer: impl Into<TrustedIssuer>) -> Builder {
    Auth::builder()
        .issuer(issuer)
        .audience("https://api.example.com")
        .algorithms([Algorithm::ES256])
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
