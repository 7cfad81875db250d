//! [`Trace`]: the steps of verifying a token, with what each expects and finds.
//!
//! The steps are those of `verifier.rs`, in its order and with the same functions. [`Auth::verify`]
//! makes the verdict, and the trace only shows the way to it. After a failed step the trace
//! continues as far as the token can be parsed, because a later step may show the cause.

use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::auth::{
    credential::bearer::{self, MAX_TOKEN, within_limit},
    display::ShownText,
    error::AuthError,
    keys::fetch::FetchError,
    token::{
        checks::{self, Times},
        claims::Claims,
        json,
        jws::{self, Header, Parts},
        registered::Registered,
    },
    verifier::{Auth, Keys, Trusted},
};

/// The steps of verifying one token.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) steps: Vec<Step>,
    /// The header. Null if it is not strict JSON.
    pub(crate) header: Value,
    /// The payload, verified or not. Null if it is not strict JSON.
    pub(crate) payload: Value,
    /// Even a lenient parser rejects the header or the payload.
    pub(crate) damaged: bool,
}

/// One step of verification.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) expected: StepValue,
    pub(crate) found: StepValue,
    pub(crate) outcome: Result<(), AuthError>,
}

/// An expected or found value: words, or a date in seconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StepValue {
    Words(String),
    Date(f64),
    /// Before a date, with a leeway in seconds.
    Before(f64, f64),
    /// After a date, with a leeway in seconds.
    After(f64, f64),
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

/// Why the keys of an issuer are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Unreachable,
    /// The issuer responds with another name than the configured one.
    OtherName,
    /// The response is not a key set, or has no usable key.
    NoKeySet,
}

impl Auth {
    /// Verifies a credential as if a request had sent it after `Bearer `. Returns the steps and the
    /// verdict.
    pub(crate) async fn trace(&self, credential: &str) -> (Trace, Result<Claims, AuthError>) {
        let (mut trace, verdict) = self.trace_token(credential).await;
        if let Err(error @ (AuthError::TokenBound | AuthError::TokenNotBound)) = verdict
            && trace.steps.iter().all(|step| step.outcome.is_ok())
        {
            let (expected, found) = ("DPoP, with a proof", "Bearer");
            trace.add::<()>("scheme", expected, found, Err(error));
        }
        (trace, verdict)
    }

    /// Verifies a credential alone, without what else a request proves.
    pub(crate) async fn trace_token(&self, credential: &str) -> (Trace, Result<Claims, AuthError>) {
        let mut trace = Trace::default();
        match bearer::check_credential(credential) {
            // The first step reports the size.
            Err(AuthError::TokenTooLarge) | Ok(()) => {}
            Err(error) => {
                let expected = "letters, digits and -._~+/ alone";
                trace.add::<()>("credential", expected, quoted(credential), Err(error));
                return (trace, Err(error));
            }
        }
        self.follow(credential, &mut trace).await;
        (trace, self.verify(credential).await)
    }

    /// Adds the steps of [`verify`](Self::verify), up to the first step whose input is missing.
    async fn follow(&self, token: &str, trace: &mut Trace) -> Option<()> {
        trace.add(
            "size",
            format!("{MAX_TOKEN} bytes at most"),
            format!("{} bytes", token.len()),
            within_limit(token.as_bytes()),
        );
        let dots = token.matches('.').count();
        let found = format!("{}", dots + 1);
        let parts = trace.add("parts", "3", found, Parts::split(token.as_bytes()))?;
        let signature = trace.encoding(&parts);
        let header = trace.header(parts.header);
        let signed_with = match &header {
            Some(text) => self.header_steps(text, trace),
            None => None,
        };
        let payload = trace.payload(parts.payload)?;
        let claims = Registered::parse(&payload).ok()?;
        let issuer = self.claim_steps(&claims, signed_with.as_ref(), trace)?;
        let (algorithm, kid) = signed_with?;
        let expected = key_expected(issuer, algorithm);
        let key = issuer.key(algorithm, kid.as_deref()).await;
        let found = key_found(issuer, kid.as_deref());
        let key = trace.add("key", expected, found, key)?;
        let signed = issuer.verify_signature(&key, algorithm, parts, &signature?);
        let found = if signed.is_ok() { "it is" } else { "it is not" };
        let expected = format!("by that key, {}", name(algorithm));
        trace.add("signature", expected, found, signed)
    }

    fn header_steps(&self, text: &str, trace: &mut Trace) -> Option<(Algorithm, Option<String>)> {
        let header = Header::parse(text).ok()?;
        let allowed = &self.inner.algorithms;
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
        let strict = self.inner.strict;
        let expected = if strict {
            "at+jwt"
        } else {
            "JWT, at+jwt or absent"
        };
        let outcome = checks::access_token_type(&header, strict);
        trace.add("typ", expected, trace.header_member("typ"), outcome);
        Some((algorithm?, header.kid.map(Into::into)))
    }

    /// Adds the steps of the claims. Returns the issuer whose key is needed next.
    fn claim_steps(
        &self,
        claims: &Registered<'_>,
        signed_with: Option<&(Algorithm, Option<String>)>,
        trace: &mut Trace,
    ) -> Option<&Trusted> {
        let ours: Vec<_> = self.inner.issuers.iter().collect();
        let expected = ours.iter().map(|one| quoted(&one.context.issuer));
        let issuer = checks::issuer(claims).and_then(|issuer| self.trusted_issuer(issuer));
        let found = trace.claimed("iss");
        let issuer = trace.add("iss", any_of(expected), found, issuer);
        // If a token names another issuer and only one is trusted, the keys of that one show
        // whether it issued the token under another name.
        let issuer = issuer.or(match ours[..] {
            [only] => Some(only),
            _ => None,
        });
        if let (Some(issuer), Some((algorithm, _))) = (issuer, signed_with)
            && issuer.algorithms != self.inner.algorithms
        {
            let outcome = checks::allowed(*algorithm, &issuer.algorithms);
            let expected = names(&issuer.algorithms);
            trace.add("alg for iss", expected, name(*algorithm), outcome);
        }
        let audiences = match issuer {
            Some(issuer) => issuer.audiences.to_vec(),
            None => ours.iter().flat_map(|one| one.audiences.to_vec()).collect(),
        };
        let outcome = checks::audience(claims, &audiences);
        let expected = any_of(audiences.iter().map(|audience| quoted(audience)));
        trace.add("aud", expected, trace.claimed("aud"), outcome);
        self.date_steps(claims, trace);
        let found = ["sub", "jti", "client_id"].map(|member| trace.claimed(member));
        let outcome = checks::strings(claims);
        trace.add(
            "sub, jti, client_id",
            "strings, or absent",
            found.join(", "),
            outcome,
        );
        let found = ["scope", "scp"].map(|member| trace.claimed(member));
        let outcome = checks::scopes(claims);
        let expected = "strings or arrays of strings, or absent";
        trace.add("scope, scp", expected, found.join(", "), outcome);
        if self.inner.strict {
            let members = ["sub", "client_id", "iat", "jti"];
            let found = members.map(|member| trace.claimed(member)).join(", ");
            let outcome = checks::rfc9068(claims);
            trace.add("RFC 9068", members.join(", "), found, outcome);
        }
        let methods = issuer.map(|issuer| issuer.methods).unwrap_or_default();
        let expected = match (methods.key, methods.certificate) {
            (true, true) => "absent, or a jkt or x5t#S256",
            (true, false) => "absent, or a jkt",
            (false, true) => "absent, or an x5t#S256",
            (false, false) => "absent",
        };
        let outcome = checks::binding(claims, methods);
        trace.add("cnf", expected, trace.claimed("cnf"), outcome);
        issuer
    }

    fn date_steps(&self, claims: &Registered<'_>, trace: &mut Trace) {
        let times = match Times::of(claims) {
            Ok(times) => times,
            Err(error) => {
                let found = ["exp", "nbf", "iat"].map(|name| trace.claimed(name));
                let expected = "numbers, exp among them";
                trace.add::<()>("exp, nbf, iat", expected, found.join(", "), Err(error));
                return;
            }
        };
        let (now, rules) = (self.now(), &self.inner.rules);
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

    /// Waits until the first fetch of every issuer's keys has succeeded or failed.
    pub(crate) async fn settled(&self) {
        for issuer in &self.inner.issuers {
            if let Some(Keys::Fetched(jwks)) = &issuer.keys {
                jwks.settled().await;
            }
        }
    }

    /// Returns why the keys of an issuer are missing, for the first issuer with a failed fetch.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let issuers = self.inner.issuers.iter();
        issuers.into_iter().find_map(|issuer| match &issuer.keys {
            Some(Keys::Fetched(jwks)) => jwks.last_error().map(|error| match error {
                FetchError::WrongIssuer { .. } => Trouble::OtherName,
                FetchError::NoKeys(..) | FetchError::File(..) => Trouble::NoKeySet,
                _ => Trouble::Unreachable,
            }),
            _ => None,
        })
    }

    /// Returns the time against which tokens are verified, in seconds since the epoch.
    pub(crate) fn time(&self) -> f64 {
        self.now()
    }

    /// Returns the trusted issuers and the accepted audiences of each.
    pub(crate) fn trusts(&self) -> impl Iterator<Item = (&str, &[String])> {
        let issuers = self.inner.issuers.iter();
        issuers.map(|issuer| (&*issuer.context.issuer, &*issuer.audiences))
    }
}

impl Trace {
    /// Adds the step of decoding. Returns the signature if every part is base64url.
    fn encoding(&mut self, parts: &Parts<'_>) -> Option<Vec<u8>> {
        let names = ["header", "payload", "signature"];
        let decoded = [parts.header, parts.payload, parts.signature].map(jws::base64url);
        let wrong = names.iter().zip(&decoded).find(|(_, part)| part.is_err());
        let found = match wrong {
            Some((name, _)) => format!("the {name} is not"),
            None => "they are".to_owned(),
        };
        let [header, payload, signature] = decoded;
        let outcome = header.and(payload).and(signature);
        self.add("encoding", "base64url, each part", found, outcome)
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
            "it is"
        } else {
            "it is not"
        };
        self.add(name, "one JSON object, no member twice", found, outcome)
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
    /// The number of array items that are shown.
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
    let kids = match &issuer.keys {
        Some(Keys::Fetched(jwks)) => jwks.kids(),
        Some(Keys::Fixed(set)) => set.kids(),
        None => Vec::new(),
    };
    if kids.is_empty() {
        return format!("a key of {}", issuer.context.issuer);
    }
    let kids = any_of(kids.iter().map(|kid| quoted(kid)));
    format!("a key of {}: {kids}", issuer.context.issuer)
}

/// Names the key that a token names, and why it is left out of the key set, if it is.
fn key_found(issuer: &Trusted, kid: Option<&str>) -> String {
    let Some(kid) = kid else {
        return "no kid".to_owned();
    };
    let left_out = match &issuer.keys {
        Some(Keys::Fetched(jwks)) => jwks.why_left_out(kid),
        Some(Keys::Fixed(set)) => set.why_left_out(kid).map(str::to_owned),
        None => None,
    };
    match left_out {
        Some(reason) => format!("{}, which is left out: {reason}", quoted(kid)),
        None => quoted(kid),
    }
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
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::issuer::{Issuer, SigningKey, TokenBuilder};

    /// Verifies a token and compares the first failed step with the verdict.
    async fn traced(auth: &Auth, case: &str, token: &str) -> Result<(), AuthError> {
        let alike = |error: AuthError| error.code();
        let (trace, verdict) = auth.trace(token).await;
        let first = trace.steps.iter().find_map(|step| step.outcome.err());
        let verdict = verdict.map(|_| ());
        assert_eq!(
            first.map(alike),
            verdict.err().map(alike),
            "{case}: {trace:#?}"
        );
        // What verify says by itself is the same, but for the characters that a field refuses
        // first.
        if !matches!(
            verdict,
            Err(AuthError::MalformedAuthorization | AuthError::MultipleCredentials)
        ) {
            let verified: Result<Claims, _> = auth.verify(token).await;
            assert_eq!(
                verified.err().map(alike),
                verdict.err().map(alike),
                "{case}"
            );
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
                "a longest age",
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
        // Every error that a token alone can cause has occurred.
        assert_eq!(refused.len(), 13, "{refused:?}");
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
            ("nothing", String::new()),
            ("too large", "a".repeat(MAX_TOKEN + 1)),
            ("too large, with blanks", " ".repeat(MAX_TOKEN + 1)),
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
