//! What clients learn about bound tokens from challenges, from the metadata and from
//! `/openapi.json`.

use http::HeaderName;
use serde_json::json;
use warp_bearer::{
    auth::{
        Algorithm, TrustedIssuer,
        dpop::{Dpop, DpopMode},
    },
    issuer::Issuer,
};

use crate::{Bound, PUBLIC_URL, challenges};

#[tokio::test]
#[rustfmt::skip]
async fn offers_every_scheme_without_a_token() {
    const BEARER: &str = r#"Bearer realm="api""#;
    const DPOP: &str = r#"DPoP realm="api", algs="ES256 ES384 EdDSA PS256 RS256""#;
    for (mode, expected) in [
        (DpopMode::Off, &[BEARER][..]),
        (DpopMode::Allowed, &[BEARER, DPOP]),
        (DpopMode::Required, &[DPOP]),
    ] {
        let mut bound = Bound::start(mode).await;
        for lines in ["", "Authorization: Basic YTpi\r\n", "DPoP: x\r\n"] {
            let answer = bound.client.with_lines(lines.as_bytes()).await;
            assert_eq!((answer.status.as_u16(), &*answer.code()), (401, "missing_token"), "{lines}");
            assert_eq!(challenges(&answer), expected, "{mode:?}: {lines}");
        }
        let scoped = bound.ask("GET /api/private-scoped", "").await;
        assert_eq!(challenges(&scoped).len(), expected.len());
        for challenge in challenges(&scoped) {
            assert!(challenge.contains(r#", scope="read:messages""#), "{challenge}");
        }
    }
}

/// In a field without schemes, the scheme in `Authorization` says nothing about the token.
#[tokio::test]
async fn challenge_ignores_authorization_if_another_field_has_the_token() {
    let mut bound = Bound::with(|builder| {
        builder
            .dpop(Dpop::allowed(PUBLIC_URL))
            .token_field(HeaderName::from_static("x-token"))
    })
    .await;
    for lines in ["X-Token: \r\n", "X-Token: \r\nAuthorization: DPoP x\r\n"] {
        let answer = bound.ask("GET /api/private", lines).await;
        assert_eq!(answer.code(), "malformed_authorization", "{lines}");
        let challenges = challenges(&answer);
        assert_eq!(challenges.len(), 1, "{lines}: {challenges:?}");
        assert!(
            challenges[0].starts_with("Bearer "),
            "{lines}: {challenges:?}"
        );
    }
}

#[tokio::test]
async fn challenge_of_a_403_uses_the_requests_scheme() {
    const URL: &str = "https://api.example.com/v1/api/private-scoped";
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    let proof = bound.key.proof("GET", URL).token(&token).sign();
    let plain = bound.issuer.token().sign();
    for (scheme, lines) in [
        (
            "DPoP",
            format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n"),
        ),
        ("Bearer", format!("Authorization: Bearer {plain}\r\n")),
    ] {
        let answer = bound.ask("GET /api/private-scoped", &lines).await;
        assert_eq!(answer.status, 403, "{scheme}");
        let challenges = challenges(&answer);
        let start = format!("{scheme} realm=\"api\", error=\"insufficient_scope\"");
        assert!(
            challenges.len() == 1 && challenges[0].starts_with(&start),
            "{challenges:?}"
        );
        assert!(
            challenges[0].contains(r#", scope="read:messages""#),
            "{challenges:?}"
        );
    }
}

#[tokio::test]
async fn metadata_list_the_proof_algorithms() {
    for (mode, algorithms, required) in [
        (DpopMode::Off, json!(null), json!(null)),
        (
            DpopMode::Allowed,
            json!(["ES256", "ES384", "EdDSA", "PS256", "RS256"]),
            json!(null),
        ),
        (
            DpopMode::Required,
            json!(["ES256", "ES384", "EdDSA", "PS256", "RS256"]),
            json!(true),
        ),
    ] {
        let mut bound = Bound::with(|builder| {
            builder
                .resource("https://api.example.com")
                .dpop(Dpop::new(mode, PUBLIC_URL))
        })
        .await;
        let answer = bound
            .ask("GET /.well-known/oauth-protected-resource", "")
            .await;
        let metadata = answer.json();
        assert_eq!(metadata["dpop_signing_alg_values_supported"], algorithms);
        assert_eq!(metadata["dpop_bound_access_tokens_required"], required);
    }
}

/// A resolved issuer may have any mode, so clients must not conclude that a scheme is never
/// accepted.
#[tokio::test]
async fn offers_every_scheme_if_issuers_are_resolved() {
    use DpopMode::{Allowed, Off, Required};
    for mode in [Off, Allowed, Required] {
        for own in [None, Some(Off), Some(Allowed), Some(Required)] {
            let case = format!("{mode:?}, own: {own:?}");
            let mut bound = Bound::with(|builder| {
                builder
                    .resource("https://api.example.com")
                    .dpop(Dpop::new(mode, PUBLIC_URL))
                    .resolve_issuers(move |name: String| {
                        let issuer = TrustedIssuer::new(name);
                        let issuer = match own {
                            Some(own) => issuer.dpop(own),
                            None => issuer,
                        };
                        async move { Some(issuer) }
                    })
            })
            .await;
            let answer = bound.client.with_lines(b"").await;
            assert_eq!(challenges(&answer).len(), 2, "{case}: {answer:?}");
            let answer = bound
                .ask("GET /.well-known/oauth-protected-resource", "")
                .await;
            let metadata = answer.json();
            let required = &metadata["dpop_bound_access_tokens_required"];
            assert_eq!(*required, json!(null), "{case}");
            let algorithms = &metadata["dpop_signing_alg_values_supported"];
            assert!(algorithms.is_array(), "{case}");

            let resolved = Issuer::with_algorithm(Algorithm::ES256).await;
            let plain = format!("Authorization: Bearer {}\r\n", resolved.token().sign());
            let answer = bound.client.with_lines(plain.as_bytes()).await;
            let mode = own.unwrap_or(mode);
            assert_eq!(answer.status == 200, mode != Required, "{case}: {answer:?}");
            let token = resolved.token().bound_to(&bound.key).sign();
            let proof = bound.proof(&token).sign();
            let answer = bound.send(&token, &proof).await;
            assert_eq!(answer.status == 200, mode != Off, "{case}: {answer:?}");
        }
    }
}

#[cfg(feature = "docs")]
#[tokio::test]
async fn openapi_lists_the_accepted_schemes() {
    for (mode, names) in [
        (DpopMode::Off, &["bearer"][..]),
        (DpopMode::Allowed, &["bearer", "dpop"]),
        (DpopMode::Required, &["dpop"]),
    ] {
        let mut bound = Bound::start(mode).await;
        let description = bound.ask("GET /openapi.json", "").await.json();
        let security = &description["paths"]["/api/private"]["get"]["security"];
        let security = security.as_array().unwrap().iter();
        let named = security.flat_map(|one| one.as_object().unwrap().keys().cloned());
        assert_eq!(named.collect::<Vec<_>>(), names, "{mode:?}");
        let schemes = &description["components"]["securitySchemes"];
        for name in names {
            assert!(schemes[name].is_object(), "{name}");
        }
    }
}

#[tokio::test]
async fn cross_origin_pages_may_read_the_nonce() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let answer = bound
        .ask("GET /api/private", "Origin: https://app.example\r\n")
        .await;
    let exposed = answer.header("access-control-expose-headers");
    assert!(exposed.contains("DPoP-Nonce"), "{exposed}");
    let preflight = "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n\
                     Access-Control-Request-Headers: dpop\r\n";
    let answer = bound.ask("OPTIONS /api/private", preflight).await;
    let allowed = answer.header("access-control-allow-headers");
    assert!(allowed.to_ascii_lowercase().contains("dpop"), "{allowed}");
}
