//! [`Trace`]: the steps of verifying a credential, with the expected and the actual value of each.
//!
//! The steps call the same functions as `verifier.rs`, in the same order. The verdict itself comes
//! from [`Auth::authenticate`], and the trace only explains it. After a failed step we'll continue
//! as far as the token can be parsed. A later step might show the actual cause.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header::AUTHORIZATION};
use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::auth::{
    audience::OneAudience,
    credential::{
        RequestHead,
        bearer::{self, within_limit},
    },
    display::{ShownText, cut},
    error::AuthError,
    introspection::{
        client::IntrospectionError,
        introspector::{AnswerChecker, Introspector},
    },
    issuers::Issuers,
    keys::{fetch::FetchError, key_set::NoMatch},
    token::{
        audience::AudienceClaim,
        checks::{self, TimeRules, Times},
        claims::Claims,
        confirmation::Methods,
        json,
        jws::{self, Header, Parts},
        payload::Verified,
        registered::Registered,
    },
    trusted::{Keys, Trusted},
    verifier::Auth,
};

#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) steps: Vec<Step>,
    /// Null if it isn't strict JSON.
    pub(crate) header: Value,
    /// Verified or not. Null if it isn't strict JSON.
    pub(crate) payload: Value,
    /// True if even a lenient parser rejects the header or the payload.
    pub(crate) damaged: bool,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) expected: StepValue,
    pub(crate) found: StepValue,
    pub(crate) outcome: Result<(), AuthError>,
}

/// An expected or actual value: a description, or a date in seconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StepValue {
    Words(String),
    Date(f64),
    /// Before a date, with a leeway in seconds.
    Before(f64, f64),
    /// After a date, with a leeway in seconds.
    After(f64, f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schemes {
    Bearer,
    BearerOrDpop,
    /// Every issuer requires DPoP.
    Dpop,
}

impl Schemes {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::BearerOrDpop => "Bearer or DPoP",
            Self::Dpop => "DPoP",
        }
    }

    /// The supported scheme at the start of a header value, which may be malformed, or `Bearer` if
    /// there is none.
    pub(crate) fn used_in(self, field: &str) -> &'static str {
        let start = field.get(.."dpop".len()).unwrap_or_default();
        if self != Self::Bearer && start.eq_ignore_ascii_case("dpop") {
            "DPoP"
        } else {
            "Bearer"
        }
    }

    /// `used` if this scheme is accepted, otherwise the scheme to use instead.
    pub(crate) fn instead_of(self, used: &'static str) -> &'static str {
        if self == Self::Dpop { "DPoP" } else { used }
    }
}

impl From<String> for StepValue {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

impl From<&str> for StepValue {
    fn from(words: &str) -> Self {
        Self::Words(words.to_owned())
    }
}

impl Trace {
    pub(crate) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    pub(crate) fn add<T>(
        &mut self,
        name: &'static str,
        expected: impl Into<StepValue>,
        found: impl Into<StepValue>,
        outcome: Result<T, AuthError>,
    ) -> Option<T> {
        let (outcome, value) = match outcome {
            Ok(value) => (Ok(()), Some(value)),
            Err(error) => (Err(error), None),
        };
        self.steps.push(Step {
            name,
            expected: expected.into(),
            found: found.into(),
            outcome,
        });
        value
    }
}

struct SignedWith {
    algorithm: Algorithm,
    kid: Option<String>,
    is_at_jwt: bool,
}

/// The rules for the claims of a token or of an introspection answer.
struct ClaimRules<'a> {
    claim: AudienceClaim,
    audiences: &'a [String],
    times: TimeRules,
    strict: bool,
    methods: Methods,
}

/// The rules for the dates of a token whose issuer is unknown.
const DEFAULT_TIMES: TimeRules = TimeRules {
    leeway: Duration::from_secs(30),
    max_age: None,
};

/// Adds the steps for options that an issuer can override
fn issuer_steps(issuer: &Trusted, signed_with: &SignedWith, all: &Issuers, trace: &mut Trace) {
    let rules = &issuer.rules;
    if rules.algorithms != all.algorithms {
        let outcome = checks::allowed(signed_with.algorithm, &rules.algorithms);
        let (expected, found) = (names(&rules.algorithms), name(signed_with.algorithm));
        trace.add("alg for iss", expected, found, outcome);
    }
    if rules.strict && !all.strict {
        let outcome = checks::profile(signed_with.is_at_jwt, rules.strict);
        trace.add("typ for iss", "at+jwt", trace.header_member("typ"), outcome);
    }
}

/// Adds the last steps, if all earlier ones passed: the reason why the service rejects the token
/// or, if it accepts the token, the audience that a proxy asks for and the scope that the issuer
/// requires.
///
/// The service checks the binding first, then the list of revoked tokens, then the audience for a
/// proxy, then the scope.
pub(super) fn last_steps(
    verified: Option<&Verified>,
    audience: Option<&OneAudience<'_>>,
    verdict: &Result<Claims, AuthError>,
    trace: &mut Trace,
) {
    if trace.steps.iter().any(|step| step.outcome.is_err()) {
        return;
    }
    let error = verdict.as_ref().err().copied();
    let (step, expected, found) = match error {
        None | Some(AuthError::InsufficientScope) => {
            audience_step(audience, Ok(()), trace);
            return scope_step(verified, error, trace);
        }
        Some(error @ AuthError::WrongAudience) if audience.is_some() => {
            return audience_step(audience, Err(error), trace);
        }
        Some(AuthError::TokenBound) => ("scheme", "DPoP and a proof", "Bearer"),
        Some(AuthError::TokenNotBound) => {
            let is_required = verified.is_some_and(|it| it.context.requires_key);
            let expected = if is_required {
                "a token that is bound to a key"
            } else {
                "Bearer, or a token that is bound to a key"
            };
            ("scheme", expected, "no cnf.jkt")
        }
        Some(AuthError::InvalidProof) => ("proof", "one in the field DPoP", "none"),
        Some(AuthError::TokenRevoked) => ("revocation", "not on the list", "on the list"),
        Some(AuthError::StateUnavailable { .. }) => {
            let expected = "a current list of revoked tokens, and a record of used proofs";
            ("state", expected, "not available")
        }
        // We compute the verdict after the steps, and the issuer's keys or its introspection
        // response might have changed in between
        Some(error) => ("verdict", "accepted", error.code()),
    };
    trace.add(step, expected, found, error.map_or(Ok(()), Err));
}

fn audience_step(
    audience: Option<&OneAudience<'_>>,
    outcome: Result<(), AuthError>,
    trace: &mut Trace,
) {
    if let Some(audience) = audience {
        let expected = format!("{:?}, which the proxy asks for", audience.name());
        trace.add("audience", expected, trace.claimed("aud"), outcome);
    }
}

fn scope_step(verified: Option<&Verified>, error: Option<AuthError>, trace: &mut Trace) {
    let Some(verified) = verified else {
        return;
    };
    if let Some(required) = &verified.context.required_scope {
        let claims = json::value(verified.payload()).unwrap_or_default();
        let found = ["scope", "scp"].map(|name| shown(claims.get(name)));
        let outcome = error.map_or(Ok(()), Err);
        trace.add("required scope", &**required, found.join(", "), outcome);
    }
}

/// Lists the trusted issuers. With more than five, we only name the one most similar to the token's
/// issuer.
fn expected_issuers(ours: &[Arc<Trusted>], claims: &Registered<'_>) -> String {
    const MAX_LISTED: usize = 5;
    if ours.len() <= MAX_LISTED {
        return any_of(ours.iter().map(|one| quoted(one.name())));
    }
    let name = checks::issuer(claims).unwrap_or_default();
    let likeness = |one: &&Arc<Trusted>| common_prefix(one.name(), name);
    let nearest = ours.iter().max_by_key(likeness);
    let nearest = nearest.map_or(String::new(), |one| quoted(one.name()));
    format!("one of {} issuers, such as {nearest}", ours.len())
}

fn common_prefix(one: &str, other: &str) -> usize {
    one.bytes()
        .zip(other.bytes())
        .take_while(|(a, b)| a == b)
        .count()
}

impl Auth {
    pub(crate) fn schemes(&self) -> Schemes {
        let challenge = &self.inner.issuers.load().challenge;
        match (challenge.bearer, &challenge.dpop) {
            (_, None) => Schemes::Bearer,
            (true, Some(_)) => Schemes::BearerOrDpop,
            (false, Some(_)) => Schemes::Dpop,
        }
    }

    /// Verifies a request with this value in `Authorization`, or in the header that is configured
    /// instead. Returns the steps and the verdict, which with `audience` is that for a proxy asking
    /// for this audience.
    ///
    /// The caller must trim `value`, as hyper does for the service.
    pub(crate) async fn trace(
        &self,
        value: &str,
        audience: Option<&OneAudience<'_>>,
    ) -> (Trace, Result<Claims, AuthError>) {
        let mut trace = Trace::default();
        let (name, expected) = match &self.inner.field {
            None => {
                let schemes = self.schemes().as_str();
                let expected = format!("the word {schemes}, a space and one token");
                (AUTHORIZATION, expected)
            }
            Some(name) => (name.clone(), "one token, and no scheme".to_owned()),
        };
        if let Err(error) = self.check_form(value) {
            trace.add::<()>("credential", expected, shortened_value(value), Err(error));
            return (trace, Err(error));
        }
        let token = match &self.inner.field {
            None => value.split_once(' ').map_or("", |(_, token)| token),
            Some(_) => value,
        };
        let token = token.trim_start_matches(' ');
        self.add_token_steps(token, &mut trace).await;
        let verified = self.certificate_step(token, &mut trace).await;
        let mut headers = HeaderMap::new();
        headers.extend(HeaderValue::from_bytes(value.as_bytes()).map(|value| (name, value)));
        let request = RequestHead::new(&Method::GET, "/", &headers);
        let verdict = self.verdict(&request, audience).await;
        last_steps(verified.as_deref(), audience, &verdict, &mut trace);
        (trace, verdict)
    }

    pub(super) async fn verdict(
        &self,
        request: &RequestHead<'_>,
        audience: Option<&OneAudience<'_>>,
    ) -> Result<Claims, AuthError> {
        let verdict = match audience {
            Some(audience) => audience.authenticate(request).await,
            None => self.authenticate(request).await,
        };
        verdict.map_err(|refusal| refusal.error)
    }

    /// Verifies the token itself. A token that's bound to a certificate gets a failed step:
    /// `explain` has no certificate.
    pub(crate) async fn certificate_step(
        &self,
        token: &str,
        trace: &mut Trace,
    ) -> Option<Arc<Verified>> {
        let verified = self.verify_token(token.as_bytes()).await.ok()?;
        let binding = verified.binding.as_deref();
        if let Some(x5t) = binding.and_then(|binding| binding.certificate) {
            let expected = format!("one with the hash {:?}", x5t.to_string());
            trace.add::<()>("certificate", expected, "none", Err(AuthError::TokenBound));
        }
        Some(verified)
    }

    /// Checks the syntax of a value of `Authorization`, or of the header that is configured
    /// instead. This is what the service checks first, too.
    pub(crate) fn check_form(&self, value: &str) -> Result<(), AuthError> {
        let max_token = self.inner.max_token;
        if self.inner.field.is_some() {
            return match bearer::check_credential(value, max_token) {
                // The first step reports the size.
                Err(AuthError::TokenTooLarge) => Ok(()),
                form => form,
            };
        }
        // A header value can't contain control characters. A server will answer such a request with
        // 400.
        let malformed = AuthError::MalformedAuthorization;
        let field = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| malformed)?;
        bearer::check_field(&field, max_token, self.accepts_proofs()).map(|_| ())
    }

    /// Adds the steps of verifying the token itself, up to the first one whose input is missing.
    pub(crate) async fn add_token_steps(&self, token: &str, trace: &mut Trace) -> Option<()> {
        trace.add(
            "size",
            format!("at most {} bytes", self.inner.max_token),
            format!("{} bytes", token.len()),
            within_limit(token.as_bytes(), self.inner.max_token),
        );
        let dots = token.matches('.').count();
        let found = format!("{}", dots + 1);
        let parts = Parts::split(token.as_bytes());
        if let Some(introspector) = self.opaque_introspector()
            && self.is_opaque(parts)
        {
            let expected = "3, or an opaque token";
            trace.add("parts", expected, found, Ok(()));
            let answer = self.introspection_step(token, &introspector, true, trace);
            let answer = answer.await;
            trace.payload = answer.unwrap_or_default();
            return None;
        }
        let parts = trace.add("parts", "3", found, parts)?;
        let signature = trace.encoding(&parts);
        let header = trace.header(parts.header);
        let signed_with = match &header {
            Some(text) => self.header_steps(text, trace),
            None => None,
        };
        let payload = trace.payload(parts.payload)?;
        let claims = Registered::parse(&payload).ok()?;
        let issuer = self
            .claim_steps(&claims, signed_with.as_ref(), trace)
            .await?;
        let SignedWith { algorithm, kid, .. } = signed_with?;
        let expected = key_expected(&issuer, algorithm);
        let key = issuer.key(algorithm, kid.as_deref()).await;
        let found = key_found(&issuer, kid.as_deref());
        let key = trace.add("key", expected, found, key)?;
        let signed = issuer.verify_signature(&key, algorithm, parts, &signature?);
        let found = if signed.is_ok() { "valid" } else { "not valid" };
        let expected = format!("valid for that key, {}", name(algorithm));
        trace.add("signature", expected, found, signed)?;
        if let Some(introspector) = issuer.jwt_introspector() {
            self.introspection_step(token, introspector, false, trace)
                .await;
        }
        Some(())
    }

    /// Adds the introspection step. The response will be in the cache by then, i.e. computing the
    /// verdict doesn't send a second request. If the token is active but its claims are rejected,
    /// this adds the steps for the claims in the response, and returns these claims.
    async fn introspection_step(
        &self,
        token: &str,
        introspector: &Introspector,
        is_opaque: bool,
        trace: &mut Trace,
    ) -> Option<Value> {
        introspector.keep_answer();
        let outcome = self.verify_token(token.as_bytes()).await;
        let found = match &outcome {
            Ok(_) => "active",
            Err(AuthError::TokenInactive) => "inactive",
            Err(error) => error.code(),
        };
        let was_asked = !matches!(
            outcome,
            Ok(_)
                | Err(AuthError::TokenInactive
                    | AuthError::TokenNotJwt
                    | AuthError::IntrospectionUnavailable { .. })
        );
        if was_asked && let Some(answer) = introspector.kept_answer() {
            let claimed = json::value(&answer).unwrap_or_default();
            let mut steps = Trace {
                payload: claimed.clone(),
                ..Trace::default()
            };
            self.answer_steps(introspector.checker(), &answer, is_opaque, &mut steps);
            // An answer about another token may have valid claims.
            if steps.steps.iter().any(|step| step.outcome.is_err()) {
                trace.add("introspection", "active", "active", Ok(()));
                trace.steps.append(&mut steps.steps);
                return Some(claimed);
            }
        }
        trace.add("introspection", "active", found, outcome);
        None
    }

    fn answer_steps(
        &self,
        checker: &AnswerChecker,
        answer: &str,
        is_opaque: bool,
        trace: &mut Trace,
    ) {
        let Ok(claims) = Registered::parse(answer) else {
            return;
        };
        if claims.iss.is_some() {
            let ours = &*checker.context.issuer;
            let outcome = match checks::issuer(&claims) {
                Ok(name) if name == ours => Ok(()),
                Ok(_) => Err(AuthError::UnknownIssuer),
                Err(error) => Err(error),
            };
            trace.add("iss", quoted(ours), trace.claimed("iss"), outcome);
        }
        let rules = ClaimRules {
            claim: checker.audience_claim,
            audiences: &checker.audiences,
            times: TimeRules {
                max_age: checker.context.rules.max_age.filter(|_| is_opaque),
                ..checker.context.rules
            },
            strict: false,
            methods: checker.methods,
        };
        self.rule_steps(&claims, &rules, trace);
    }

    fn header_steps(&self, text: &str, trace: &mut Trace) -> Option<SignedWith> {
        let header = Header::parse(text).ok()?;
        let issuers = self.inner.issuers.load_full();
        let allowed = &issuers.algorithms;
        let found = trace.header_member("alg");
        let algorithm = checks::algorithm(&header, allowed);
        let algorithm = trace.add("alg", names(allowed), found, algorithm);
        let extensions = ["crit", "b64"]
            .into_iter()
            .filter(|name| trace.header.get(name).is_some())
            .collect::<Vec<_>>();
        let found = if extensions.is_empty() {
            "neither".to_owned()
        } else {
            extensions.join(" and ")
        };
        let outcome = checks::no_extension(&header);
        trace.add("crit", "neither crit nor b64", found, outcome);
        let strict = issuers.strict;
        let expected = if strict {
            "at+jwt"
        } else {
            "JWT, at+jwt or absent"
        };
        let outcome = checks::access_token_type(&header, strict);
        let typ = trace.add("typ", expected, trace.header_member("typ"), outcome);
        Some(SignedWith {
            algorithm: algorithm?,
            kid: header.kid.map(Into::into),
            is_at_jwt: typ.unwrap_or_default(),
        })
    }

    /// Adds the steps for the claims. Returns the issuer whose key the next step uses.
    async fn claim_steps(
        &self,
        claims: &Registered<'_>,
        signed_with: Option<&SignedWith>,
        trace: &mut Trace,
    ) -> Option<Arc<Trusted>> {
        let ours = self.issuers();
        let found = match checks::issuer(claims) {
            Ok(name) => self.found_issuer(name).await,
            Err(error) => Err(error),
        };
        let shown = match &found {
            Ok(issuer) => match &issuer.place {
                Some(place) => format!("{}, configured in {place}", trace.claimed("iss")),
                None => trace.claimed("iss"),
            },
            Err(_) => trace.claimed("iss"),
        };
        let issuer = trace.add("iss", expected_issuers(&ours, claims), shown, found);
        // If the only trusted issuer isn't the one in the token, its keys may still show that it
        // issued the token under a different name.
        let only = || match &ours[..] {
            [only] => Some(Arc::clone(only)),
            _ => None,
        };
        let issuer = issuer.or_else(only);
        if let (Some(issuer), Some(signed_with)) = (&issuer, signed_with) {
            issuer_steps(issuer, signed_with, &self.inner.issuers.load(), trace);
        }
        let (claim, audiences) = if let Some(issuer) = &issuer {
            (issuer.rules.audience_claim, issuer.rules.audiences.to_vec())
        } else {
            let all = ours.iter().flat_map(|one| one.rules.audiences.to_vec());
            let mut all: Vec<_> = all.collect();
            all.sort();
            all.dedup();
            (AudienceClaim::Aud, all)
        };
        let rules = ClaimRules {
            claim,
            audiences: &audiences,
            times: issuer
                .as_ref()
                .map_or(DEFAULT_TIMES, |issuer| issuer.rules.times),
            strict: issuer.as_ref().is_some_and(|issuer| issuer.rules.strict),
            methods: issuer
                .as_ref()
                .map(|issuer| issuer.rules.methods)
                .unwrap_or_default(),
        };
        self.rule_steps(claims, &rules, trace);
        issuer
    }

    fn rule_steps(&self, claims: &Registered<'_>, rules: &ClaimRules<'_>, trace: &mut Trace) {
        let outcome = checks::audience(claims, rules.claim, rules.audiences);
        let expected = any_of(rules.audiences.iter().map(|audience| quoted(audience)));
        let name = rules.claim.as_str();
        trace.add(name, expected, trace.claimed(name), outcome);
        self.date_steps(claims, &rules.times, trace);
        let found = ["sub", "jti", "client_id"].map(|member| trace.claimed(member));
        let outcome = checks::strings(claims);
        trace.add(
            "sub, jti, client_id",
            "strings or absent",
            found.join(", "),
            outcome,
        );
        let found = ["scope", "scp"].map(|member| trace.claimed(member));
        let outcome = checks::scopes(claims);
        let expected = "strings, arrays of strings, or absent";
        trace.add("scope, scp", expected, found.join(", "), outcome);
        let found = ["typ", "token_use"].map(|member| trace.claimed(member));
        let expected = "absent, or an access token";
        let outcome = checks::kind(claims);
        trace.add("typ, token_use", expected, found.join(", "), outcome);
        if rules.strict {
            let members = ["sub", "client_id", "iat", "jti"];
            let found = members.map(|member| trace.claimed(member)).join(", ");
            let outcome = checks::rfc9068(claims);
            trace.add("RFC 9068", members.join(", "), found, outcome);
        }
        let methods = rules.methods;
        let expected = match (methods.key, methods.certificate) {
            (true, true) => "absent, or a jkt or x5t#S256",
            (true, false) => "absent, or a jkt",
            (false, true) => "absent, or an x5t#S256",
            (false, false) => "absent",
        };
        let outcome = checks::binding(claims, methods);
        trace.add("cnf", expected, trace.claimed("cnf"), outcome);
    }

    async fn found_issuer(&self, name: &str) -> Result<Arc<Trusted>, AuthError> {
        match (self.trusted_issuer(name), &self.inner.resolver) {
            (Err(AuthError::UnknownIssuer), Some(resolver)) => resolver.issuer(name).await,
            (found, _) => found,
        }
    }

    fn date_steps(&self, claims: &Registered<'_>, rules: &TimeRules, trace: &mut Trace) {
        let times = match Times::of(claims) {
            Ok(times) => times,
            Err(error) => {
                let found = ["exp", "nbf", "iat"].map(|name| trace.claimed(name));
                let expected = "numbers, and exp is required";
                trace.add::<()>("exp, nbf, iat", expected, found.join(", "), Err(error));
                return;
            }
        };
        let now = self.now();
        let leeway = rules.leeway.as_secs_f64();
        let outcome = times.not_expired(now, rules);
        let (expected, found) = (
            StepValue::After(now, leeway),
            StepValue::Date(times.expires),
        );
        trace.add("exp", expected, found, outcome);
        if let Some(age) = rules.max_age {
            let expected = StepValue::After(now - age.as_secs_f64(), leeway);
            let found = times.issued.map_or("absent".into(), StepValue::Date);
            trace.add("age", expected, found, times.not_too_old(now, rules));
        }
        for (name, begins) in [("nbf", times.not_before), ("iat", times.issued)] {
            if let Some(begins) = begins {
                let outcome = checks::begun(Some(begins), now, rules);
                trace.add(
                    name,
                    StepValue::Before(now, leeway),
                    StepValue::Date(begins),
                    outcome,
                );
            }
        }
    }

    /// Tests the endpoint and the credentials of each issuer by introspecting a made-up token.
    pub(crate) async fn probe_introspection(
        &self,
    ) -> Vec<(String, Result<(), IntrospectionError>)> {
        let mut probed = Vec::new();
        for issuer in self.issuers() {
            if let Some(introspector) = &issuer.introspector {
                probed.push((issuer.name().to_owned(), introspector.probe().await));
            }
        }
        probed
    }

    /// Waits until the first fetch of this issuer's keys has succeeded or failed. If we don't know
    /// the name and trust only one issuer, we wait for the keys of that issuer, which may have
    /// signed the token under this other name.
    pub(crate) async fn first_fetch_ended(&self, issuer: &str) {
        let named = self.trusted_issuer(issuer).ok();
        let issuers = named.map_or_else(|| self.issuers(), |issuer| vec![issuer]);
        if let [issuer] = &issuers[..]
            && let Some(jwks) = issuer.fetched()
        {
            jwks.first_fetch_ended().await;
        }
    }

    pub(crate) fn fetch_error(&self, issuer: &str) -> Option<FetchError> {
        self.trusted_issuer(issuer).ok()?.fetched()?.last_error()
    }

    /// The URL of the issuer's keys, if they were fetched from the URL in its metadata
    pub(crate) fn discovered_keys(&self, issuer: &str) -> Option<String> {
        let issuer = self.trusted_issuer(issuer).ok()?;
        issuer.fetched()?.discovered_url()
    }

    /// The `kid`s of the issuer's usable keys
    pub(crate) fn kids(&self, issuer: &str) -> Vec<String> {
        let issuer = self.trusted_issuer(issuer).ok();
        issuer.map_or_else(Vec::new, |issuer| kids(&issuer))
    }

    /// The first key that was left out of the issuer's key set, with the reason
    pub(crate) fn first_left_out(&self, issuer: &str) -> Option<String> {
        let issuer = self.trusted_issuer(issuer).ok()?;
        let left_out = match issuer.keys.as_ref()? {
            Keys::Fetched(jwks) => jwks.left_out()?,
            Keys::Fixed(set) => Arc::clone(set.left_out()),
        };
        left_out.first().map(ToString::to_string)
    }

    /// Whether the issuer's keys are fixed, as with `--jwks`
    pub(crate) fn has_fixed_keys(&self, issuer: &str) -> bool {
        let issuer = self.trusted_issuer(issuer);
        issuer.is_ok_and(|issuer| matches!(issuer.keys, Some(Keys::Fixed(_))))
    }

    /// `None` if the key wasn't left out
    pub(crate) fn why_left_out(&self, issuer: &str, kid: &str) -> Option<String> {
        let issuer = self.trusted_issuer(issuer).ok()?;
        why_left_out(&issuer, kid)
    }

    /// Why the issuer's key set has no key for a header, although it may have the key that signed
    /// the token.
    pub(crate) fn why_no_match(
        &self,
        issuer: &str,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Option<NoMatch> {
        match &self.trusted_issuer(issuer).ok()?.keys {
            Some(Keys::Fetched(jwks)) => jwks.why_no_match(algorithm, kid),
            Some(Keys::Fixed(set)) => set.why_no_match(algorithm, kid),
            None => None,
        }
    }

    pub(crate) fn time(&self) -> f64 {
        self.now()
    }

    pub(crate) fn trusted_audiences(&self) -> impl Iterator<Item = (Arc<str>, Arc<[String]>)> {
        self.issuers().into_iter().map(|issuer| {
            let audiences = Arc::clone(&issuer.rules.audiences);
            (Arc::clone(&issuer.context.issuer), audiences)
        })
    }
}

impl Trace {
    /// Adds the decoding step. If every part is base64url, we get the signature.
    fn encoding(&mut self, parts: &Parts<'_>) -> Option<Vec<u8>> {
        let names = ["header", "payload", "signature"];
        let decoded = [parts.header, parts.payload, parts.signature].map(jws::base64url);
        let wrong = names.iter().zip(&decoded).find(|(_, part)| part.is_err());
        let found = match wrong {
            Some((name, _)) => format!("the {name} is not base64url"),
            None => "base64url".to_owned(),
        };
        let [header, payload, signature] = decoded;
        let outcome = header.and(payload).and(signature);
        self.add("encoding", "each part is base64url", found, outcome)
    }

    fn header(&mut self, part: &[u8]) -> Option<String> {
        let text = jws::base64url(part).and_then(jws::text);
        self.header = self.read(text.as_deref().ok());
        let outcome = text.and_then(|text| Header::parse(&text).map(|_| ()).map(|()| text));
        self.object("header", outcome)
    }

    fn payload(&mut self, part: &[u8]) -> Option<String> {
        let text = jws::base64url(part).and_then(jws::text);
        self.payload = self.read(text.as_deref().ok());
        let outcome = text.and_then(|text| Registered::parse(&text).map(|_| ()).map(|()| text));
        self.object("payload", outcome)
    }

    fn read(&mut self, text: Option<&str>) -> Value {
        self.damaged |= !text.is_some_and(json::is_json);
        text.and_then(|text| json::value(text).ok())
            .unwrap_or_default()
    }

    fn object<T>(&mut self, name: &'static str, outcome: Result<T, AuthError>) -> Option<T> {
        let found = if outcome.is_ok() {
            "valid"
        } else {
            "not valid"
        };
        self.add(
            name,
            "one JSON object without duplicate members",
            found,
            outcome,
        )
    }

    fn header_member(&self, name: &str) -> String {
        shown(self.header.get(name))
    }

    pub(crate) fn claimed(&self, name: &str) -> String {
        shown(self.payload.get(name))
    }
}

/// Formats a member of the token as JSON, with its strings as [`ShownText`] shows them.
pub(super) fn shown(value: Option<&Value>) -> String {
    const ITEMS: usize = 10;
    match value {
        None => "absent".to_owned(),
        Some(Value::String(text)) => quoted(text),
        Some(Value::Array(items)) => {
            let mut texts: Vec<_> = items
                .iter()
                .take(ITEMS)
                .map(|item| shown(Some(item)))
                .collect();
            if items.len() > ITEMS {
                texts.push(format!("… {} more", items.len() - ITEMS));
            }
            format!("[{}]", texts.join(","))
        }
        Some(other) => ShownText::new(&other.to_string()).to_string(),
    }
}

fn key_expected(issuer: &Trusted, algorithm: Algorithm) -> String {
    if algorithm == Algorithm::HS256 {
        return "the signing secret".to_owned();
    }
    let kids = kids(issuer);
    if kids.is_empty() {
        return format!("a key of {}", issuer.context.issuer);
    }
    let kids = any_of(kids.iter().map(|kid| quoted(kid)));
    format!("a key of {}: {kids}", issuer.context.issuer)
}

fn kids(issuer: &Trusted) -> Vec<String> {
    match &issuer.keys {
        Some(Keys::Fetched(jwks)) => jwks.kids(),
        Some(Keys::Fixed(set)) => set.kids(),
        None => Vec::new(),
    }
}

/// Describes the key with the token's `kid`, or why it was left out of the key set.
fn key_found(issuer: &Trusted, kid: Option<&str>) -> String {
    let Some(kid) = kid else {
        return "no kid".to_owned();
    };
    match why_left_out(issuer, kid) {
        Some(reason) => format!("{}, which cannot be used: {reason}", quoted(kid)),
        None => quoted(kid),
    }
}

fn why_left_out(issuer: &Trusted, kid: &str) -> Option<String> {
    match &issuer.keys {
        Some(Keys::Fetched(jwks)) => jwks.why_left_out(kid),
        Some(Keys::Fixed(set)) => set.why_left_out(kid).map(str::to_owned),
        None => None,
    }
}

/// Returns the claims of a token without verifying it.
pub(crate) fn unverified_claims(token: &str) -> Option<Value> {
    let payload = Parts::split(token.as_bytes()).ok()?.payload;
    let text = jws::base64url(payload).and_then(jws::text).ok()?;
    json::value(&text).ok()
}

/// Like [`Parts::is_jwt_like`]. `false` if the token does not have three parts.
pub(crate) fn is_jwt_like(token: &str) -> bool {
    Parts::split(token.as_bytes()).is_ok_and(|parts| parts.is_jwt_like())
}

/// The longest word to show whole. Longer ones may be tokens.
const MAX_WORD: usize = 24;

/// Quotes a string. Long words may be tokens, so we only show the beginning of each, and no output
/// contains a whole token.
pub(crate) fn shortened(text: &str) -> String {
    quoted(&shortened_words(text, |_| true))
}

/// Quotes a value of a header. After a scheme, a short word may be a secret too, unless the scheme
/// is one for tokens and the word is no token, such as `undefined` or `{{token}}`.
fn shortened_value(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once(' ') else {
        return quoted(&shortened_words(value, is_plain));
    };
    let name = scheme.trim_start_matches(['"', '\'', '`']);
    let is_of_tokens = ["bearer", "dpop"].iter().any(|known| {
        let start = name.get(..known.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(known))
    });
    let scheme = shortened_words(scheme, |_| true);
    let rest = shortened_words(rest, |word| is_of_tokens && is_plain(word));
    quoted(&format!("{scheme} {rest}"))
}

/// Returns `true` for a word of letters, and for a placeholder with brackets or a sign. Almost all
/// secrets have digits, or mix capitals and small letters.
fn is_plain(word: &str) -> bool {
    const MAX_CAPITALS: usize = 3;
    let is_word = word
        .chars()
        .all(|c| c.is_alphabetic() || "_-.:,\"'".contains(c));
    let capitals = word.chars().filter(char::is_ascii_uppercase).count();
    let is_mixed = capitals > MAX_CAPITALS && word.contains(|c: char| c.is_ascii_lowercase());
    let is_placeholder = word.starts_with(['$', '#', '@', '%', '{', '<', '[', '('])
        || word.ends_with(['}', '>', ']', ')']);
    let has_digit = word.contains(|c: char| c.is_ascii_digit());
    is_word && !is_mixed || is_placeholder && !has_digit || !word.contains(char::is_alphanumeric)
}

/// Cuts long words, and the words that are not shown whole. Shows a third of a word at most.
fn shortened_words(text: &str, is_shown: impl Fn(&str) -> bool) -> String {
    const SHOWN: usize = 10;
    let words = text.split(' ').map(|word| {
        let length = word.chars().count();
        if length <= MAX_WORD && is_shown(word) {
            word.to_owned()
        } else {
            cut(word, SHOWN.min(length / 3))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", ShownText::new(text))
}

fn any_of(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" or ")
}

pub(super) fn names(algorithms: &[Algorithm]) -> String {
    any_of(algorithms.iter().map(|algorithm| name(*algorithm)))
}

fn name(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::{
        credential::{bearer::MAX_TOKEN, certificate::CertificateSource},
        dpop::Dpop,
        introspection::Introspection,
        issuer::TrustedIssuer,
        revocation::Revocation,
    };
    use crate::issuer::{Issuer, SigningKey, TokenBuilder};

    #[test]
    fn shortens_what_follows_a_scheme() {
        #[rustfmt::skip]
        let rows = [
            ("ApiKey abcd-1234-efgh-5678", "ApiKey abcd-1…"),
            ("Basic dXNlcjpwdw==", "Basic dXNl…"),
            ("Basic hunter", "Basic hu…"),
            ("Bearer sk_live_51Habc!def", "Bearer sk_liv…"),
            ("abcd-1234-efgh-5678", "abcd-1…"),
            ("Bearer aBcDeFgHiJ", "Bearer aBc…"),
            ("Bearer eyJhbGciOiJSUzI1NiJ9.e30.AA,", "Bearer eyJhbGciO…"),
            ("Bearer undefined", "Bearer undefined"),
            ("bearer [object Object]", "bearer [object Object]"),
            ("Bearer {{access_token}}", "Bearer {{access_token}}"),
            ("Bearer $TOKEN", "Bearer $TOKEN"),
            ("Bearer: YOUR_ACCESS_TOKEN", "Bearer: YOUR_ACCESS_TOKEN"),
            ("Bearer Bearer a1", "Bearer Bearer …"),
            ("Bearer", "Bearer"),
            ("", ""),
        ];
        for (value, expected) in rows {
            assert_eq!(shortened_value(value), format!("{expected:?}"), "{value}");
        }
    }

    async fn traced(auth: &Auth, case: &str, token: &str) -> Result<(), AuthError> {
        let code = |error: AuthError| error.code();
        let (trace, verdict) = auth.trace(&format!("Bearer {token}"), None).await;
        let first = trace.steps.iter().find_map(|step| step.outcome.err());
        let verdict = verdict.map(|_| ());
        assert_eq!(
            first.map(code),
            verdict.err().map(code),
            "{case}: {trace:#?}"
        );
        // `verify` returns the same error, unless the token has characters that aren't allowed in a
        // header. Those are rejected earlier.
        if !matches!(
            verdict,
            Err(AuthError::MalformedAuthorization | AuthError::MultipleCredentials)
        ) {
            let verified: Result<Claims, _> = auth.verify(token).await;
            assert_eq!(verified.err().map(code), verdict.err().map(code), "{case}");
        }
        verdict
    }

    type Change = fn(TokenBuilder) -> TokenBuilder;

    #[rustfmt::skip]
    fn changes() -> Vec<(&'static str, Change)> {
        vec![
            ("as it is", |t| t),
            ("another issuer", |t| t.claim("iss", "https://other.example/")),
            ("no issuer", |t| t.without("iss")),
            ("a numeric issuer", |t| t.claim("iss", 5)),
            ("another audience", |t| t.audience("https://other.example")),
            ("several audiences", |t| t.audiences(["https://other.example", "https://api.example.com"])),
            ("no audience", |t| t.without("aud")),
            ("an empty audience", |t| t.audiences::<&str>([])),
            ("a numeric audience", |t| t.claim("aud", json!([1]))),
            ("expired", TokenBuilder::expired),
            ("just expired", |t| t.expired_since(Duration::from_secs(3))),
            ("no expiry", |t| t.without("exp")),
            ("expiry as text", |t| t.claim("exp", "tomorrow")),
            ("not yet valid", |t| t.not_before(600)),
            ("nbf as text", |t| t.claim("nbf", "now")),
            ("issued in the future", |t| t.issued_at(600)),
            ("issued long ago", |t| t.issued_at(-40_000)),
            ("no iat", |t| t.without("iat")),
            ("a numeric sub", |t| t.claim("sub", 1)),
            ("a numeric jti", |t| t.claim("jti", 1)),
            ("bound", |t| t.claim("cnf", json!({"jkt": "x"}))),
            ("bound to null", |t| t.claim("cnf", json!(null))),
            ("crit", |t| t.header("crit", json!(["exp"]))),
            ("b64", |t| t.header("b64", true)),
            ("no typ", |t| t.without_header("typ")),
            ("at+jwt", |t| t.typ("at+jwt").claim("client_id", "c").claim("jti", "j")),
            ("logout", |t| t.typ("logout+jwt")),
            ("no alg", |t| t.without_header("alg")),
            ("none", |t| t.header("alg", "none")),
            ("another alg", |t| t.header("alg", "ES384")),
            ("an alg the key does not support", |t| t.header("alg", "RS256")),
            ("an unknown kid", |t| t.kid("made-up")),
            ("no kid", |t| t.without_header("kid")),
            ("a numeric kid", |t| t.header("kid", 5)),
            ("another key with the same kid", |t| t.key(&SigningKey::generate(Algorithm::ES256)).kid("first")),
        ]
    }

    #[tokio::test]
    async fn first_failed_step_is_the_verdict() {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let builder = || {
            let auth = Auth::builder()
                .issuer(issuer.url())
                .audience(issuer.audience());
            auth.algorithms([Algorithm::ES256, Algorithm::RS256])
        };
        let minute = Duration::from_secs(60);
        let mut refused = std::collections::HashSet::new();
        for (which, auth) in [
            ("plain", builder()),
            ("strict", builder().rfc9068(true)),
            (
                "a maximum age",
                builder().max_age(minute).leeway(Duration::ZERO),
            ),
            ("two issuers", builder().issuer("http://127.0.0.1:9/")),
        ] {
            let auth = auth.build().unwrap();
            let changes = changes();
            for (one, change) in &changes {
                for (other, change_again) in &changes {
                    let token = change_again(change(issuer.token())).sign();
                    let case = format!("{which}: {one}, {other}");
                    if let Err(error) = traced(&auth, &case, &token).await {
                        refused.insert(error.code());
                    }
                }
            }
        }
        // the rows cover every error that a token alone can cause
        assert_eq!(refused.len(), 13, "{refused:?}");
    }

    /// For a valid token, verification checks the binding, then the revocation list, then the
    /// issuer's scope.
    #[tokio::test]
    async fn first_failed_step_is_the_verdict_on_a_valid_token() {
        type Write = Box<dyn Fn(&str) -> String>;
        const URL: &str = "https://api.example.com";
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let key = SigningKey::generate(Algorithm::ES256);
        let introspection =
            Introspection::opaque(issuer.client_id()).client_secret(issuer.client_secret());
        let builder = Auth::builder()
            .issuer(TrustedIssuer::new(issuer.url()).required_scope("use:it"))
            .audience(issuer.audience())
            .algorithms([Algorithm::ES256])
            .introspection(introspection)
            .client_certificates(CertificateSource::Connection);
        let scheme = |name: &'static str| move |token: &str| format!("{name} {token}");
        let field = http::HeaderName::from_static("x-token");
        let allowed = builder.clone().dpop(Dpop::allowed(URL)).build().unwrap();
        let required = builder.clone().dpop(Dpop::required(URL)).build().unwrap();
        let own_field = builder.clone().dpop(Dpop::allowed(URL)).token_field(field);
        let own_field = own_field.build().unwrap();
        let off = builder.build().unwrap();
        let rows: [(&str, &Auth, Write); 7] = [
            ("off", &off, Box::new(scheme("Bearer"))),
            ("off, DPoP", &off, Box::new(scheme("DPoP"))),
            ("allowed", &allowed, Box::new(scheme("Bearer"))),
            ("allowed, DPoP", &allowed, Box::new(scheme("DPoP"))),
            ("required", &required, Box::new(scheme("Bearer"))),
            ("required, DPoP", &required, Box::new(scheme("DPoP"))),
            ("a field", &own_field, Box::new(str::to_owned)),
        ];
        let mut failed = std::collections::BTreeSet::new();
        for (case, auth, write) in rows {
            auth.revoke(Revocation::subject(issuer.url(), "auth0|mallory"));
            for number in 0..32 {
                let is = |bit: u8| number & (1 << bit) != 0;
                let mut token = issuer.token();
                if is(0) {
                    token = token.bound_to(&key);
                }
                if is(1) {
                    token = token.bound_to_certificate(b"DER");
                }
                if is(2) {
                    token = token.subject("auth0|mallory").issued_at(-60);
                }
                let scope = if is(3) { "use:it" } else { "read:messages" };
                let token = token.scope(scope);
                let token = if is(4) {
                    issuer.opaque_token(token)
                } else {
                    token.sign()
                };
                let case = format!("{case}: {number:05b}");
                let (trace, verdict) = auth.trace(&write(&token), None).await;
                let first = trace.steps.iter().find(|step| step.outcome.is_err());
                let code = first
                    .and_then(|step| step.outcome.err())
                    .map(AuthError::code);
                let verdict = verdict.map(|_| ()).err().map(AuthError::code);
                assert_eq!(code, verdict, "{case}: {trace:#?}");
                failed.extend(first.map(|step| (step.name, verdict.unwrap_or_default())));
            }
        }
        assert_eq!(
            failed.into_iter().collect::<Vec<_>>(),
            [
                ("certificate", "token_bound"),
                ("cnf", "token_bound"),
                ("credential", "missing_token"),
                ("proof", "invalid_proof"),
                ("required scope", "insufficient_scope"),
                ("revocation", "token_revoked"),
                ("scheme", "token_bound"),
                ("scheme", "token_not_bound"),
            ]
        );
    }

    #[tokio::test]
    async fn first_failed_step_is_the_verdict_for_damaged_tokens() {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let auth = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience());
        let auth = auth.algorithms([Algorithm::ES256]).build().unwrap();
        let good = issuer.token().sign();
        assert_eq!(traced(&auth, "good", &good).await, Ok(()));
        for (at, _) in good.char_indices() {
            let cut = &good[..at];
            assert!(traced(&auth, "cut", cut).await.is_err());
            for other in [".", "=", " ", ",", "A", "\u{e9}"] {
                let changed = format!("{cut}{other}{}", &good[at + 1..]);
                let verdict = traced(&auth, &changed, &changed).await;
                assert_eq!(verdict.is_ok(), changed == good, "{changed}");
            }
        }
        #[rustfmt::skip]
        let rows = [
            ("empty", String::new()),
            ("too large", "a".repeat(MAX_TOKEN + 1)),
            ("too large, with spaces", " ".repeat(MAX_TOKEN + 1)),
            ("a member twice", issuer.sign_raw(br#"{"alg":"ES256","alg":"ES256"}"#, b"{}")),
            ("a header of text", issuer.sign_raw(br#""a""#, b"{}")),
            ("a header that is not UTF-8", issuer.sign_raw(b"\xff", b"{}")),
            ("a payload that is not UTF-8", issuer.sign_raw(br#"{"alg":"ES256"}"#, b"\xff")),
            ("a claim twice", issuer.sign_raw(br#"{"alg":"ES256"}"#, br#"{"iss":1,"iss":1}"#)),
            ("a hidden claim", issuer.sign_raw(br#"{"alg":"ES256"}"#, br#"{"permissions":{"$serde_json::private::RawValue":"[\"a\"]"}}"#)),
            ("a hidden payload", issuer.sign_raw(br#"{"alg":"ES256"}"#, br#"{"$serde_json::private::RawValue":"{}"}"#)),
            ("a number out of range", issuer.sign_raw(br#"{"alg":"ES256"}"#, br#"{"iss":1e400}"#)),
        ];
        for (case, token) in rows {
            assert!(traced(&auth, case, &token).await.is_err(), "{case}");
        }
    }
}
