//! The steps of validating a DPoP proof, for `warp-bearer explain --proof`.
//!
//! The steps call the same functions as `credential/dpop.rs`, in the same order. The verdict
//! applies to the whole request. After a failed step the trace continues as far as the proof can be
//! parsed, as a later step may show the cause.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, header::AUTHORIZATION};
use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::auth::{
    audience::OneAudience,
    credential::{
        RequestHead, bearer,
        dpop::{
            self, MAX_JTI, MAX_PROOF, PROOF, ProofClaims, ProofFault, ProofHeader, ProofKey,
            Proofs, TYP, token_hash,
        },
    },
    error::AuthError,
    explain::{StepValue, Trace, last_steps, names, quoted, shown},
    token::{
        claims::Claims,
        json,
        jws::{self, Parts},
    },
    verifier::Auth,
};

#[derive(Debug, Clone)]
pub(crate) struct ProofOfRequest {
    pub(crate) proof: String,
    pub(crate) method: Method,
    /// The path as this service receives it, or as the proxy sends it.
    pub(crate) path: String,
    /// `true` if a proxy asks `/auth` about the request. The path is then relative to the origin of
    /// the public URL.
    pub(crate) is_forwarded: bool,
}

impl Auth {
    /// The path of a request for `url`, as this service receives it or, with `is_forwarded`, as a
    /// proxy sends it to `/auth`. A `url` that is only a path stays as it is. `None` if `url` isn't
    /// below the public URL or, with `is_forwarded`, has another origin.
    pub(crate) fn path_of(&self, url: &str, is_forwarded: bool) -> Option<String> {
        if url.starts_with('/') {
            return Some(url.split(['?', '#']).next().unwrap_or_default().to_owned());
        }
        let proofs = self.inner.proofs.as_ref()?;
        proofs.url.path_below(url, is_forwarded)
    }

    /// Verifies a token and a proof as if a request had sent them with the `DPoP` scheme, or in the
    /// field that is configured instead of `Authorization`. Returns the steps and the verdict,
    /// which with `audience` is that for a proxy asking for this audience.
    pub(crate) async fn trace_with_proof(
        &self,
        token: &str,
        presented: &ProofOfRequest,
        audience: Option<&OneAudience<'_>>,
    ) -> (Trace, Result<Claims, AuthError>) {
        let proofs = self.inner.proofs.as_ref();
        let Some(proofs) = proofs.filter(|_| self.accepts_proofs()) else {
            let mut trace = Trace::default();
            let off = AuthError::MissingToken;
            trace.add::<()>("scheme", "Bearer, since DPoP is off", "DPoP", Err(off));
            return (trace, Err(off));
        };
        let mut trace = Trace::default();
        match bearer::check_credential(token, self.inner.max_token) {
            // `add_token_steps` reports the size
            Err(AuthError::TokenTooLarge) | Ok(()) => {}
            Err(error) => {
                let expected = "only letters, digits and -._~+/";
                trace.add::<()>("credential", expected, quoted(token), Err(error));
                return (trace, Err(error));
            }
        }
        self.add_token_steps(token, &mut trace).await;
        let verified = self.certificate_step(token, &mut trace).await;
        let (name, value) = match &self.inner.field {
            None => (AUTHORIZATION, format!("DPoP {token}")),
            Some(name) => (name.clone(), token.to_owned()),
        };
        let mut headers = HeaderMap::new();
        headers.extend(HeaderValue::try_from(value).map(|value| (name, value)));
        if let Ok(proof) = HeaderValue::from_str(&presented.proof) {
            headers.insert(PROOF, proof);
        }
        let (method, path) = (&presented.method, &presented.path);
        let request = if presented.is_forwarded {
            RequestHead::forwarded(method, path, &headers)
        } else {
            RequestHead::new(method, path, &headers)
        };
        let binding = verified.as_deref().and_then(|it| it.binding.as_deref());
        if let Some(jkt) = binding.and_then(|binding| binding.key) {
            let now = self.inner.clock.time();
            add_proof_steps(proofs, &request, token, &jkt.to_string(), now, &mut trace);
        }
        let verdict = self.verdict(&request, audience).await;
        last_steps(verified.as_deref(), audience, &verdict, &mut trace);
        (trace, verdict)
    }
}

/// Adds the steps of [`Proofs::validate`], up to the first one whose input is missing. Note that we
/// can't check for replay here: this process hasn't seen the earlier uses of the proof.
fn add_proof_steps(
    proofs: &Proofs,
    request: &RequestHead<'_>,
    token: &str,
    jkt: &str,
    now: SystemTime,
    trace: &mut Trace,
) -> Option<()> {
    let field = dpop::field(request.headers);
    let found = match &field {
        Ok(proof) => format!("{} bytes", proof.len()),
        Err(fault) => fault.detail().to_owned(),
    };
    let expected = format!("one proof of at most {MAX_PROOF} bytes");
    let proof = add(trace, "proof", expected, found, field)?;

    let documents = documents(proof);
    let found = if documents.is_ok() {
        "valid"
    } else {
        "not valid"
    };
    let expected = "three parts of base64url, JSON objects without duplicate members";
    let (parts, header, payload, signature) = add(trace, "proof form", expected, found, documents)?;
    let parsed = ProofHeader::parse(&header).ok()?;
    let algorithm = header_steps(proofs, &parsed, &value(&header), trace);
    let key = algorithm.and_then(|algorithm| key_step(&parsed, algorithm, trace));
    if let Some(key) = &key {
        let signed = key.verify(parts, &signature);
        let found = if signed.is_ok() { "valid" } else { "not valid" };
        add(trace, "proof signed", "valid for that key", found, signed);
    }
    let claims = ProofClaims::parse(&payload).ok()?;
    let claimed = value(&payload);
    request_steps(proofs, &claims, &claimed, request, trace);
    time_step(proofs, &claims, &claimed, now, trace);
    let expected = quoted(&token_hash(token.as_bytes()));
    let found = shown(claimed.get("ath"));
    add(
        trace,
        "proof ath",
        expected,
        found,
        claims.is_for_token(token.as_bytes()),
    );
    if proofs.nonces.is_some() {
        let (found, outcome) = (shown(claimed.get("nonce")), proofs.nonce_slot(&claims, now));
        add(trace, "proof nonce", "one of this service", found, outcome);
    }
    let (expected, found) = (format!("1 to {MAX_JTI} bytes"), shown(claimed.get("jti")));
    add(trace, "proof jti", expected, found, claims.id().map(|_| ()));
    let thumbprint = key?.thumbprint.to_string();
    let outcome = if thumbprint == jkt {
        Ok(())
    } else {
        Err(ProofFault::OtherKey)
    };
    add(
        trace,
        "proof key",
        quoted(jkt),
        quoted(&thumbprint),
        outcome,
    )
}

fn header_steps(
    proofs: &Proofs,
    parsed: &ProofHeader<'_>,
    header: &Value,
    trace: &mut Trace,
) -> Option<Algorithm> {
    let outcome = parsed.no_extension();
    let found = if outcome.is_ok() {
        "neither"
    } else {
        "crit or b64"
    };
    add(trace, "proof crit", "neither crit nor b64", found, outcome);
    let found = shown(header.get("typ"));
    add(trace, "proof typ", quoted(TYP), found, parsed.is_proof());
    let (expected, found) = (names(&proofs.algorithms), shown(header.get("alg")));
    add(
        trace,
        "proof alg",
        expected,
        found,
        proofs.algorithm(parsed),
    )
}

fn key_step(parsed: &ProofHeader<'_>, algorithm: Algorithm, trace: &mut Trace) -> Option<ProofKey> {
    let key = ProofKey::read(parsed, algorithm);
    let found = match &key {
        Ok(_) => "a public key for alg".to_owned(),
        Err(fault) => fault.detail().to_owned(),
    };
    add(trace, "proof jwk", "a public key for alg", found, key)
}

fn request_steps(
    proofs: &Proofs,
    claims: &ProofClaims<'_>,
    claimed: &Value,
    request: &RequestHead<'_>,
    trace: &mut Trace,
) {
    let method = request.method.map_or("", Method::as_str);
    let (expected, found) = (quoted(method), shown(claimed.get("htm")));
    add(
        trace,
        "proof htm",
        expected,
        found,
        claims.is_for_method(request),
    );
    let url = proofs
        .url
        .of(request.path.unwrap_or_default(), request.is_forwarded);
    let (expected, found) = (quoted(&url), shown(claimed.get("htu")));
    add(
        trace,
        "proof htu",
        expected,
        found,
        proofs.is_for_url(claims, request),
    );
}

fn time_step(
    proofs: &Proofs,
    claims: &ProofClaims<'_>,
    claimed: &Value,
    now: SystemTime,
    trace: &mut Trace,
) {
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since_epoch.unwrap_or_default().as_secs_f64();
    let leeway = proofs.leeway.as_secs_f64();
    let issued = match claims.issued() {
        Ok(issued) => issued,
        Err(fault) => {
            let found = shown(claimed.get("iat"));
            add::<()>(trace, "proof iat", "a number", found, Err(fault));
            return;
        }
    };
    let outcome = proofs.is_recent(issued, now);
    let expected = if outcome == Err(ProofFault::Ahead) {
        StepValue::Before(seconds, leeway)
    } else {
        StepValue::After(seconds - proofs.window.as_secs_f64(), leeway)
    };
    add(
        trace,
        "proof iat",
        expected,
        StepValue::Date(issued),
        outcome,
    );
}

type Documents<'p> = (Parts<'p>, String, String, Vec<u8>);

fn documents(proof: &[u8]) -> Result<Documents<'_>, ProofFault> {
    let parts = Parts::split(proof).map_err(|_| ProofFault::NotJwt)?;
    let (header, payload) = (dpop::decoded(parts.header)?, dpop::decoded(parts.payload)?);
    let signature = jws::base64url(parts.signature).map_err(|_| ProofFault::NotStrict)?;
    ProofHeader::parse(&header)?;
    ProofClaims::parse(&payload)?;
    Ok((parts, header, payload, signature))
}

fn value(text: &str) -> Value {
    json::value(text).unwrap_or_default()
}

fn add<T>(
    trace: &mut Trace,
    name: &'static str,
    expected: impl Into<StepValue>,
    found: impl Into<StepValue>,
    outcome: Result<T, ProofFault>,
) -> Option<T> {
    trace.add(
        name,
        expected,
        found,
        outcome.map_err(|fault| fault.error()),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        auth::{
            credential::certificate::CertificateSource, dpop::Dpop, introspection::Introspection,
            issuer::TrustedIssuer, revocation::Revocation,
        },
        issuer::{Issuer, ProofBuilder, SigningKey, TokenBuilder},
    };

    const URL: &str = "https://api.example.com/v1/a";

    #[tokio::test]
    async fn first_failed_step_is_the_verdict() {
        type Change = fn(ProofBuilder) -> ProofBuilder;
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let key = SigningKey::generate(Algorithm::ES256);
        let auth = |dpop| {
            let auth = Auth::builder()
                .issuer(issuer.url())
                .audience(issuer.audience())
                .algorithms([Algorithm::ES256])
                .dpop(dpop);
            auth.build().unwrap()
        };
        #[rustfmt::skip]
        let changes: &[(&str, Change)] = &[
            ("no fault", |p| p),
            ("typ", |p| p.header("typ", "JWT")),
            ("crit", |p| p.header("crit", json!([]))),
            ("alg", |p| p.header("alg", "HS256")),
            ("jwk", |p| p.without_header("jwk")),
            ("another key", |p| p.header("jwk", SigningKey::generate(Algorithm::ES256).public_jwk())),
            ("htm", |p| p.claim("htm", "PUT")),
            ("htu", |p| p.claim("htu", "https://api.example.com/a")),
            ("old", |p| p.issued_at(-600)),
            ("ahead", |p| p.issued_at(600)),
            ("no iat", |p| p.without("iat")),
            ("ath", |p| p.without("ath")),
            ("nonce", |p| p.nonce("x")),
            ("jti", |p| p.without("jti")),
        ];
        let plain = Dpop::required("https://api.example.com/v1");
        for auth in [auth(plain.clone()), auth(plain.nonces())] {
            let tokens: [fn(TokenBuilder) -> TokenBuilder; 4] = [
                |token| token,
                TokenBuilder::expired,
                |token| token.without("cnf"),
                |token| token.claim("cnf", json!({"kid": "a"})),
            ];
            for change_token in tokens {
                let token = change_token(issuer.token().bound_to(&key)).sign();
                for (one, change) in changes {
                    for (other, change_again) in changes {
                        let proof = key.proof("GET", URL).token(&token);
                        let proof = change_again(change(proof)).sign();
                        let path = auth.path_of(&format!("{URL}?b"), false).unwrap();
                        assert_eq!(path, "/a");
                        let method = Method::GET;
                        let presented = ProofOfRequest {
                            proof,
                            method,
                            path,
                            is_forwarded: false,
                        };
                        let (trace, verdict) =
                            auth.trace_with_proof(&token, &presented, None).await;
                        let first = trace.steps.iter().find_map(|step| step.outcome.err());
                        let verdict = verdict.map(|_: Claims| ()).err();
                        let code = |error: Option<AuthError>| error.map(AuthError::code);
                        assert_eq!(code(first), code(verdict), "{one}, {other}: {trace:#?}");
                    }
                }
            }
        }
    }

    /// `explain` returns the same verdict as a service that gets the same token and proof, and the
    /// first failed step has the code of the verdict.
    #[tokio::test]
    async fn explain_agrees_with_the_service_on_valid_tokens() {
        type Change = fn(TokenBuilder, &SigningKey) -> TokenBuilder;
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let key = SigningKey::generate(Algorithm::ES256);
        let introspection =
            Introspection::opaque(issuer.client_id()).client_secret(issuer.client_secret());
        let builder = Auth::builder()
            .issuer(TrustedIssuer::new(issuer.url()).required_scope("use:it"))
            .audience(issuer.audience())
            .algorithms([Algorithm::ES256])
            .introspection(introspection)
            .client_certificates(CertificateSource::Connection)
            .dpop(Dpop::allowed("https://api.example.com/v1"));
        let by_scheme = builder.clone().build().unwrap();
        let field = http::HeaderName::from_static("x-token");
        let by_field = builder.token_field(field.clone()).build().unwrap();
        #[rustfmt::skip]
        let rows: &[(&str, Change, &str, &str)] = &[
            ("good", |t, k| t.bound_to(k), "", ""),
            ("no scope", |t, k| t.bound_to(k).without("scope"), "required scope", "insufficient_scope"),
            ("revoked", |t, k| t.bound_to(k).subject("auth0|mallory").issued_at(-60), "revocation", "token_revoked"),
            ("revoked, no scope", |t, k| t.bound_to(k).subject("auth0|mallory").issued_at(-60).without("scope"), "revocation", "token_revoked"),
            ("certificate", |t, _| t.bound_to_certificate(b"DER"), "certificate", "token_bound"),
            ("both", |t, k| t.bound_to(k).bound_to_certificate(b"DER"), "certificate", "token_bound"),
            ("another key", |t, _| t.bound_to(&SigningKey::generate(Algorithm::ES256)), "proof key", "token_bound"),
            ("another key, no scope", |t, _| t.bound_to(&SigningKey::generate(Algorithm::ES256)).without("scope"), "proof key", "token_bound"),
        ];
        for (auth, is_bare) in [(&by_scheme, false), (&by_field, true)] {
            auth.revoke(Revocation::subject(issuer.url(), "auth0|mallory"));
            for is_opaque in [false, true] {
                for (case, change, step, code) in rows {
                    let case = format!("{case}, bare {is_bare}, opaque {is_opaque}");
                    let token = change(issuer.token().scope("use:it"), &key);
                    let token = if is_opaque {
                        issuer.opaque_token(token)
                    } else {
                        token.sign()
                    };
                    let proof = || key.proof("GET", URL).token(&token).sign();
                    let (method, path) = (Method::GET, "/a".to_owned());
                    let presented = ProofOfRequest {
                        proof: proof(),
                        method: method.clone(),
                        path: path.clone(),
                        is_forwarded: false,
                    };
                    let (trace, verdict) = auth.trace_with_proof(&token, &presented, None).await;
                    let first = trace.steps.iter().find(|step| step.outcome.is_err());
                    let (failed, found) = first.map_or(("", ""), |first| {
                        (first.name, first.outcome.err().map_or("", AuthError::code))
                    });
                    assert_eq!((failed, found), (*step, *code), "{case}: {trace:#?}");
                    let verdict = verdict.map_or_else(AuthError::code, |_: Claims| "");
                    assert_eq!(verdict, *code, "{case}");
                    let mut headers = HeaderMap::new();
                    headers.insert(PROOF, proof().parse().unwrap());
                    let (name, value) = if is_bare {
                        (field.clone(), token)
                    } else {
                        (AUTHORIZATION, format!("DPoP {token}"))
                    };
                    headers.insert(name, value.parse().unwrap());
                    let request = RequestHead::new(&method, &path, &headers);
                    let served = auth.authenticate(&request).await;
                    let served = served.map_or_else(|refusal| refusal.error.code(), |_: Claims| "");
                    assert_eq!(served, *code, "{case}");
                }
            }
        }
    }

    #[tokio::test]
    async fn unreadable_proofs_have_a_failed_step() {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let key = SigningKey::generate(Algorithm::ES256);
        let auth = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience())
            .algorithms([Algorithm::ES256]);
        let on = auth.clone().dpop(Dpop::allowed("https://api.example.com"));
        let (on, off) = (on.build().unwrap(), auth.build().unwrap());
        let token = issuer.token().bound_to(&key).sign();
        for (proof, failed) in [
            ("", "proof form"),
            ("a,b", "proof"),
            ("a\nb", "proof"),
            ("a.b", "proof form"),
            ("e30.e30.e30", "proof typ"),
        ] {
            let presented = ProofOfRequest {
                proof: proof.to_owned(),
                method: Method::GET,
                path: "/a".to_owned(),
                is_forwarded: false,
            };
            let (trace, verdict) = on.trace_with_proof(&token, &presented, None).await;
            let first = trace.steps.iter().find(|step| step.outcome.is_err());
            assert_eq!(first.map(|step| step.name), Some(failed), "{proof}");
            assert_eq!(verdict.unwrap_err(), AuthError::InvalidProof, "{proof}");
            let (_, verdict) = off.trace_with_proof(&token, &presented, None).await;
            assert_eq!(verdict.unwrap_err(), AuthError::MissingToken);
        }
        // without a proof, the scheme is the step that fails
        let (trace, verdict) = on.trace(&format!("Bearer {token}"), None).await;
        assert_eq!(verdict.unwrap_err(), AuthError::TokenBound);
        assert!(
            trace
                .step("scheme")
                .is_some_and(|step| step.outcome.is_err())
        );
    }
}
