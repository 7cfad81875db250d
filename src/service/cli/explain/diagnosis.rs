//! [`Diagnosis`]: finds the likely cause of a refusal.
//!
//! A cause is a guess about where to look first. It does not affect the verdict.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{
    auth::{
        Auth, AuthError,
        explain::{Step, StepValue, Trace, Trouble},
        token::subject::SubjectKind,
    },
    service::api::errors::{Cause, causes},
};

/// The facts from which a cause is inferred.
pub(in crate::service) struct Diagnosis<'a> {
    pub(in crate::service) token: &'a str,
    pub(in crate::service) trace: &'a Trace,
    pub(in crate::service) auth: &'a Auth,
    /// The seconds by which this clock is ahead of the issuer's. `None` if unknown.
    pub(in crate::service) skew: Option<f64>,
}

impl Diagnosis<'_> {
    pub(in crate::service) fn cause(&self, error: AuthError) -> Cause {
        match error {
            AuthError::MissingToken if self.failed("scheme") => causes::DPOP_BOUND,
            AuthError::MissingToken => causes::NOTHING_SENT,
            AuthError::MalformedAuthorization => causes::FOREIGN_CHARACTER,
            AuthError::MultipleCredentials => causes::TWO_CREDENTIALS,
            AuthError::TokenTooLarge => causes::TOO_LARGE,
            AuthError::TokenNotJwt => self.not_a_jwt(),
            AuthError::TokenMalformed => self.malformed(),
            AuthError::AlgorithmNotAllowed => self.algorithm(),
            AuthError::UnsupportedCriticalHeader => causes::EXTENSION,
            AuthError::WrongTokenType => self.wrong_type(),
            AuthError::UnknownIssuer => self.issuer(),
            AuthError::WrongAudience => self.audience(),
            AuthError::TokenExpired => self.expired(),
            AuthError::TokenNotYetValid => self.not_yet(),
            AuthError::MissingClaim => self.missing(),
            AuthError::InvalidClaim => causes::WRONG_TYPE,
            AuthError::TokenBound => self.bound(),
            AuthError::KeysUnavailable { .. } => self.no_keys(),
            AuthError::UnknownKey => self.key(),
            AuthError::BadSignature => self.signature(),
            AuthError::TokenNotBound => causes::NOT_BOUND,
            AuthError::InvalidProof => self.proof(),
            AuthError::NonceRequired => causes::FIRST_NONCE,
            AuthError::ProofReplayed => causes::PROOF_REUSED,
            AuthError::StateUnavailable { .. } => causes::STATE_DOWN,
            AuthError::InsufficientScope | AuthError::InsufficientPermissions => {
                of_policy(error, None, &self.trace.payload)
            }
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.trace.header.get(name)?.as_str()
    }

    fn claim(&self, name: &str) -> Option<&Value> {
        self.trace.payload.get(name)
    }

    fn failed(&self, step: &str) -> bool {
        let step = self.trace.step(step);
        step.is_some_and(|step| step.outcome.is_err())
    }

    fn held(&self, step: &str) -> bool {
        let step = self.trace.step(step);
        step.is_some_and(|step| step.outcome.is_ok())
    }

    fn not_a_jwt(&self) -> Cause {
        // `{"` in base64url. Some opaque tokens contain dots as well.
        let has_json = self.token.contains("eyJ");
        match self.token.matches('.').count() {
            4 if has_json => causes::ENCRYPTED,
            _ if has_json => causes::NOT_WHOLE,
            _ => causes::OPAQUE,
        }
    }

    /// If a lenient parser accepts every part, the issuer made the token so. Otherwise the token
    /// was damaged later.
    fn malformed(&self) -> Cause {
        if !self.failed("encoding") && !self.trace.damaged {
            return causes::NOT_STRICT;
        }
        causes::RE_ENCODED
    }

    fn algorithm(&self) -> Cause {
        match self.header("alg") {
            _ if self.failed("key") => causes::KEY_FOR_ANOTHER,
            Some("HS256") => causes::HS256_API,
            Some(name) if name.eq_ignore_ascii_case("none") => causes::UNSIGNED,
            _ => causes::OTHER_ALGORITHM,
        }
    }

    fn wrong_type(&self) -> Cause {
        let typ = self.header("typ").unwrap_or_default().to_ascii_lowercase();
        match typ.trim_start_matches("application/") {
            "logout+jwt" => causes::LOGOUT_TOKEN,
            "dpop+jwt" => causes::DPOP_PROOF,
            "jwt" | ""
                if self.header("typ").is_some() || self.trace.header.get("typ").is_none() =>
            {
                causes::NOT_AT_JWT
            }
            _ => causes::OTHER_TYPE,
        }
    }

    fn issuer(&self) -> Cause {
        let Some(found) = self.claim("iss").and_then(Value::as_str) else {
            return causes::OTHER_TENANT;
        };
        let ours = || self.auth.trusts().map(|(issuer, _)| issuer);
        if ours().any(|our| without_slash(our) == without_slash(found)) {
            return causes::SLASH;
        }
        if ours().any(|our| loose(our) == loose(found)) {
            return causes::SCHEME_OR_CASE;
        }
        // A tenant has the same key set under each of its names.
        if self.held("signature") {
            return causes::CUSTOM_DOMAIN;
        }
        let is_foreign = self.failed("signature") || self.is_unknown_key();
        let auth0 = |issuer: &str| loose(issuer).ends_with(".auth0.com");
        if !is_foreign && !is_local(found) && ours().any(|our| auth0(our) != auth0(found)) {
            return causes::CUSTOM_DOMAIN;
        }
        causes::OTHER_TENANT
    }

    fn is_unknown_key(&self) -> bool {
        let key = self.trace.step("key");
        key.is_some_and(|key| key.outcome == Err(AuthError::UnknownKey))
    }

    fn audience(&self) -> Cause {
        let found = texts(self.claim("aud"));
        if self.is_id_token(&found) {
            return causes::ID_TOKEN;
        }
        if !found.is_empty() && found.iter().all(|one| one.ends_with("/userinfo")) {
            return causes::USERINFO_ONLY;
        }
        let ours = || self.auth.trusts().flat_map(|(_, audiences)| audiences);
        if ours().any(|our| found.iter().any(|one| loose(our) == loose(one))) {
            return causes::AUDIENCE_SPELLING;
        }
        if found.iter().any(|one| one.ends_with("/api/v2/")) {
            return causes::MANAGEMENT_API;
        }
        causes::OTHER_API
    }

    /// Returns whether the token is an ID token: it has claims that no access token has (OpenID
    /// Connect Core §2 and §3.1.3.6), or the audience is a client ID and the claims are those of a
    /// profile.
    fn is_id_token(&self, audiences: &[&str]) -> bool {
        let has = |names: &[&str]| names.iter().any(|name| self.claim(name).is_some());
        let of_client = audiences.iter().all(|audience| !audience.contains(':'));
        let keycloak = self.claim("typ").is_some_and(|typ| typ == "ID");
        keycloak
            || has(&["nonce", "at_hash", "c_hash"])
            || of_client
                && has(&["sid", "email", "name", "nickname", "picture"])
                && !has(&["scope", "permissions", "gty"])
    }

    fn expired(&self) -> Cause {
        let of_date = |name| match self.trace.step(name) {
            Some(Step {
                expected: StepValue::After(limit, _),
                found: StepValue::Date(date),
                outcome: Err(_),
                ..
            }) => Some((*limit, *date)),
            _ => None,
        };
        let (exp, age) = (of_date("exp"), of_date("age"));
        match (self.skew, exp.or(age)) {
            (Some(skew), Some((limit, date))) if skew > 0.0 && limit - skew < date => {
                causes::CLOCK_AHEAD
            }
            _ if exp.is_none() => causes::TOO_OLD,
            _ => causes::EXPIRED,
        }
    }

    fn not_yet(&self) -> Cause {
        // The year 5138, or a date of today in milliseconds.
        const FAR: f64 = 1e11;
        let begins = ["nbf", "iat"].map(|name| match self.trace.step(name) {
            Some(step) if step.outcome.is_err() => match step.found {
                StepValue::Date(date) => date,
                _ => 0.0,
            },
            _ => 0.0,
        });
        let latest = begins[0].max(begins[1]);
        if latest > FAR {
            return causes::MILLISECONDS;
        }
        match self.skew {
            Some(skew) if self.auth.time() - skew >= latest - 1.0 => causes::CLOCK_BEHIND,
            // No issuer issues a token in the future, so this clock is behind.
            None if self.failed("iat") => causes::CLOCK_BEHIND,
            _ => causes::NOT_YET,
        }
    }

    fn missing(&self) -> Cause {
        if self.failed("iss") {
            causes::NO_ISSUER
        } else if self.failed("aud") {
            causes::NO_AUDIENCE
        } else if self.failed("exp, nbf, iat") {
            causes::NO_EXPIRY
        } else if self.failed("age") {
            causes::NO_TIME_OF_ISSUE
        } else {
            causes::NOT_RFC9068
        }
    }

    /// Returns the cause of the first step of the proof that failed.
    fn proof(&self) -> Cause {
        let mut steps = self.trace.steps.iter();
        let first = steps.find(|step| step.outcome.is_err());
        match first.map(|step| step.name) {
            Some("proof") => causes::PROOF_MISSING,
            Some("proof htm" | "proof htu") => causes::PROOF_FOR_OTHER_URL,
            Some("proof iat") => causes::PROOF_TIME,
            Some("proof ath") => causes::PROOF_FOR_OTHER_TOKEN,
            _ => causes::PROOF_MALFORMED,
        }
    }

    fn bound(&self) -> Cause {
        if self.failed("proof key") {
            return causes::OTHER_PROOF_KEY;
        }
        if self.failed("scheme") {
            return causes::DPOP_AS_BEARER;
        }
        let by = |method: &str| {
            self.claim("cnf")
                .is_some_and(|cnf| cnf.get(method).is_some())
        };
        if by("jkt") {
            causes::DPOP_BOUND
        } else if by("x5t#S256") {
            causes::MTLS_BOUND
        } else {
            causes::BOUND
        }
    }

    fn no_keys(&self) -> Cause {
        match self.auth.trouble() {
            Some(Trouble::OtherName) => causes::NOT_ITS_NAME,
            Some(Trouble::NoKeySet) => causes::NO_KEY_SET,
            Some(Trouble::Unreachable) | None => causes::ISSUER_UNREACHABLE,
        }
    }

    fn key(&self) -> Cause {
        if self.trace.header.get("kid").is_none() {
            return causes::NO_KID;
        }
        causes::ROTATED
    }

    fn signature(&self) -> Cause {
        let part = self.token.rsplit('.').next().unwrap_or_default();
        let length = URL_SAFE_NO_PAD.decode(part).map_or(0, |bytes| bytes.len());
        let whole = match self.header("alg").unwrap_or_default() {
            "HS256" => return causes::OTHER_SECRET,
            "ES256" | "EdDSA" => length >= 64,
            "ES384" => length >= 96,
            // RSA with at least 2048 bits.
            _ => length >= 256,
        };
        if !whole {
            return causes::CUT_SIGNATURE;
        }
        let issuer = self
            .claim("iss")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if is_local(issuer) {
            return causes::REPLACED_KEY;
        }
        causes::CHANGED
    }
}

/// Returns whether the issuer is one for development, which may use plain http.
fn is_local(issuer: &str) -> bool {
    issuer.starts_with("http://")
}

/// Returns the likely cause of an error of authorization on a route that requires `scope`.
pub(in crate::service) fn of_policy(
    error: AuthError,
    scope: Option<&str>,
    payload: &Value,
) -> Cause {
    let permissions = payload.get("permissions");
    if error == AuthError::InsufficientPermissions {
        return if permissions.is_none() {
            causes::RBAC_OFF
        } else {
            causes::NOT_ASSIGNED
        };
    }
    let mut wanted = scope.unwrap_or_default().split(' ');
    let granted = texts(permissions);
    if wanted.all(|scope| granted.contains(&scope)) {
        return causes::SCOPE_AS_PERMISSION;
    }
    match SubjectKind::of(&payload.to_string()) {
        SubjectKind::Machine => causes::SCOPE_OF_MACHINE,
        SubjectKind::User | SubjectKind::Unknown => causes::SCOPE_OF_USER,
    }
}

fn texts(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn without_slash(url: &str) -> &str {
    url.strip_suffix('/').unwrap_or(url)
}

/// Returns a URL without the differences that people overlook: scheme, case and slash.
fn loose(url: &str) -> String {
    let url = url.trim().to_ascii_lowercase();
    let bare = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    without_slash(bare.unwrap_or(&url)).to_owned()
}
