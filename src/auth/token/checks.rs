//! The verification steps that do not need a key, as functions of a token's header and claims.
//!
//! `verifier.rs` defines their order.

use std::time::Duration;

use crate::algorithm::Algorithm;
use crate::auth::{
    error::AuthError,
    token::{
        audience::AudienceClaim,
        confirmation::{Binding, Methods},
        json::Value,
        jws::Header,
        registered::Registered,
    },
};

/// Checks that `alg` is an allowed algorithm. A token must not choose how it is verified (RFC 8725
/// §3.1).
pub(crate) fn algorithm(
    header: &Header<'_>,
    allowed: &[Algorithm],
) -> Result<Algorithm, AuthError> {
    let Some(Value::Text(name)) = &header.alg else {
        return Err(AuthError::AlgorithmNotAllowed);
    };
    // `none` isn't an `Algorithm`, and names are case-sensitive
    name.parse()
        .ok()
        .filter(|algorithm| allowed.contains(algorithm))
        .ok_or(AuthError::AlgorithmNotAllowed)
}

pub(crate) fn allowed(algorithm: Algorithm, of_issuer: &[Algorithm]) -> Result<(), AuthError> {
    if of_issuer.contains(&algorithm) {
        return Ok(());
    }
    Err(AuthError::AlgorithmNotAllowed)
}

/// Rejects header extensions (RFC 7515 §4.1.11), as we implement none. An unencoded payload (RFC
/// 7797) is rejected even if it is not marked as critical.
pub(crate) fn no_extension(header: &Header<'_>) -> Result<(), AuthError> {
    if header.extended {
        return Err(AuthError::UnsupportedCriticalHeader);
    }
    Ok(())
}

/// Checks `typ`, so that another kind of JWT (a logout token or a DPoP proof, say) is not accepted
/// as an access token (RFC 8725 §3.11, RFC 9068 §4). Issuers often write `JWT` or omit `typ`, and
/// the strict profile rejects both. Returns `true` if the strict profile accepts `typ`.
pub(crate) fn access_token_type(header: &Header<'_>, strict: bool) -> Result<bool, AuthError> {
    const STRICT: [&str; 2] = ["at+jwt", "application/at+jwt"];
    match &header.typ {
        None if !strict => Ok(false),
        Some(Value::Text(typ)) if STRICT.iter().any(|a| a.eq_ignore_ascii_case(typ)) => Ok(true),
        Some(Value::Text(typ)) if !strict && typ.eq_ignore_ascii_case("JWT") => Ok(false),
        _ => Err(AuthError::WrongTokenType),
    }
}

/// Checks that a token has the `typ` of the strict profile, if its issuer uses this profile.
pub(crate) fn profile(is_at_jwt: bool, strict: bool) -> Result<(), AuthError> {
    if strict && !is_at_jwt {
        return Err(AuthError::WrongTokenType);
    }
    Ok(())
}

/// `iss` must be present and a string
pub(crate) fn issuer<'c>(claims: &'c Registered<'_>) -> Result<&'c str, AuthError> {
    match &claims.iss {
        None => Err(AuthError::MissingClaim),
        Some(Value::Text(issuer)) => Ok(issuer),
        Some(_) => Err(AuthError::InvalidClaim),
    }
}

/// Checks that `aud`, or the claim that the issuer uses instead, contains a configured audience
/// (RFC 7519 §4.1.3).
pub(crate) fn audience(
    claims: &Registered<'_>,
    claim: AudienceClaim,
    ours: &[String],
) -> Result<(), AuthError> {
    let value = match claim {
        AudienceClaim::Aud => &claims.aud,
        AudienceClaim::ClientId => &claims.client_id,
        AudienceClaim::Azp => &claims.azp,
        AudienceClaim::Cid => &claims.cid,
    };
    if claim != AudienceClaim::Aud {
        // We don't compare `aud` here, but it must still have a valid type. Only `aud` can be an
        // array.
        let is_audience = |aud: &Value<'_>| matches!(aud, Value::Text(_) | Value::Texts(_));
        if !claims.aud.as_ref().is_none_or(is_audience) || matches!(value, Some(Value::Texts(_))) {
            return Err(AuthError::InvalidClaim);
        }
    }
    let found = match value {
        None => return Err(AuthError::MissingClaim),
        Some(Value::Text(audience)) => ours.iter().any(|our| our == audience),
        Some(Value::Texts(audiences)) => ours.iter().any(|our| audiences.iter().any(|a| our == a)),
        Some(_) => return Err(AuthError::InvalidClaim),
    };
    found.then_some(()).ok_or(AuthError::WrongAudience)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeRules {
    pub(crate) leeway: Duration,
    /// The maximum age of a token, counted from `iat`
    pub(crate) max_age: Option<Duration>,
}

/// `exp`, `nbf` and `iat`, in seconds since the epoch (RFC 7519 §4.1.4 to §4.1.6)
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Times {
    pub(crate) expires: f64,
    pub(in crate::auth) not_before: Option<f64>,
    pub(in crate::auth) issued: Option<f64>,
}

impl Times {
    /// Reads the times of a token. All must be numbers, and `exp` must be present.
    pub(crate) fn of(claims: &Registered<'_>) -> Result<Self, AuthError> {
        let expires = date(claims.exp.as_ref())?;
        Ok(Self {
            not_before: date(claims.nbf.as_ref())?,
            issued: date(claims.iat.as_ref())?,
            expires: expires.ok_or(AuthError::MissingClaim)?,
        })
    }

    /// Checks the times against the clock, with `leeway` in both directions
    pub(crate) fn check(&self, now: f64, rules: &TimeRules) -> Result<(), AuthError> {
        self.not_expired(now, rules)?;
        self.not_too_old(now, rules)?;
        begun(self.not_before, now, rules)?;
        begun(self.issued, now, rules)
    }

    /// The time at which the token expires, without leeway
    pub(crate) fn end(&self, rules: &TimeRules) -> f64 {
        let too_old = rules
            .max_age
            .zip(self.issued)
            .map(|(age, issued)| issued + age.as_secs_f64());
        too_old.map_or(self.expires, |too_old| too_old.min(self.expires))
    }

    pub(in crate::auth) fn not_expired(
        &self,
        now: f64,
        rules: &TimeRules,
    ) -> Result<(), AuthError> {
        // RFC 7519 §4.1.4: "on or after which the JWT MUST NOT be accepted"
        if now >= self.expires + rules.leeway.as_secs_f64() {
            return Err(AuthError::TokenExpired);
        }
        Ok(())
    }

    pub(in crate::auth) fn not_too_old(
        &self,
        now: f64,
        rules: &TimeRules,
    ) -> Result<(), AuthError> {
        let Some(age) = rules.max_age else {
            return Ok(());
        };
        let issued = self.issued.ok_or(AuthError::MissingClaim)?;
        if now >= issued + age.as_secs_f64() + rules.leeway.as_secs_f64() {
            return Err(AuthError::TokenExpired);
        }
        Ok(())
    }
}

/// Checks that `nbf` or `iat`, if present, is not in the future
pub(in crate::auth) fn begun(
    begins: Option<f64>,
    now: f64,
    rules: &TimeRules,
) -> Result<(), AuthError> {
    if begins.is_some_and(|begins| now < begins - rules.leeway.as_secs_f64()) {
        return Err(AuthError::TokenNotYetValid);
    }
    Ok(())
}

fn date(claim: Option<&Value<'_>>) -> Result<Option<f64>, AuthError> {
    match claim {
        None => Ok(None),
        Some(Value::Number(seconds)) => Ok(Some(*seconds)),
        Some(_) => Err(AuthError::InvalidClaim),
    }
}

/// Checks that `sub`, `jti` and `client_id`, if present, are strings
pub(crate) fn strings(claims: &Registered<'_>) -> Result<(), AuthError> {
    for claim in [&claims.sub, &claims.jti, &claims.client_id] {
        if !matches!(claim, None | Some(Value::Text(_))) {
            return Err(AuthError::InvalidClaim);
        }
    }
    Ok(())
}

/// Checks that `scope` and `scp`, if present, are strings or arrays of strings
pub(crate) fn scopes(claims: &Registered<'_>) -> Result<(), AuthError> {
    for claim in [&claims.scope, &claims.scp] {
        if !matches!(claim, None | Some(Value::Text(_) | Value::Texts(_))) {
            return Err(AuthError::InvalidClaim);
        }
    }
    Ok(())
}

/// Rejects a token whose claims say that it is an ID token, a refresh token or a logout token.
///
/// Some issuers sign these with the same keys and the same `typ` in the header. Then only the
/// audience tells an ID token from an access token, and if the API's audience is a client ID, both
/// have the same audience (RFC 8725 §3.12). We ignore a claim that is not a string.
pub(crate) fn kind(claims: &Registered<'_>) -> Result<(), AuthError> {
    for claim in [&claims.typ, &claims.token_use] {
        if let Some(Value::Text(kind)) = claim
            && is_other_kind(kind)
        {
            return Err(AuthError::WrongTokenType);
        }
    }
    Ok(())
}

/// Whether this is the name of another kind of token than an access token
fn is_other_kind(name: &str) -> bool {
    #[rustfmt::skip]
    const OTHERS: [&str; 8] = [
        "id", "refresh", "offline", "logout",
        "id_token", "refresh_token", "offline_token", "logout_token",
    ];
    OTHERS.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// Checks the `token_type` of an introspection answer. A token of type `DPoP` is bound to a key
/// (RFC 9449 §6.2). If neither the answer nor the JWT has the key, nobody can prove possession of
/// it, so the token must not pass as a bearer token.
pub(crate) fn token_type(claims: &Registered<'_>, has_key: bool) -> Result<(), AuthError> {
    let kind = match &claims.token_type {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Text(kind)) => kind,
        Some(_) => return Err(AuthError::InvalidClaim),
    };
    if kind.eq_ignore_ascii_case("DPoP") && !has_key {
        return Err(AuthError::TokenBound);
    }
    if is_other_kind(kind) {
        return Err(AuthError::WrongTokenType);
    }
    Ok(())
}

/// Checks that the token has `sub`, `client_id`, `iat` and `jti`, which RFC 9068 §2.2 requires in
/// addition to `iss`, `aud` and `exp`.
pub(crate) fn rfc9068(claims: &Registered<'_>) -> Result<(), AuthError> {
    let required = [&claims.sub, &claims.client_id, &claims.iat, &claims.jti];
    if required.iter().any(|claim| claim.is_none()) {
        return Err(AuthError::MissingClaim);
    }
    Ok(())
}

/// The key (DPoP) or certificate (mutual TLS) that the token is bound to. If the method is not
/// enabled we have to reject the token, because it must not be accepted as a plain bearer token
/// (RFC 7800 §3).
pub(crate) fn binding(
    claims: &Registered<'_>,
    enabled: Methods,
) -> Result<Option<Binding>, AuthError> {
    let cnf = claims.cnf;
    cnf.map(|cnf| Binding::read(cnf, enabled)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 1_000_000.0;
    const RULES: TimeRules = TimeRules {
        leeway: Duration::from_secs(30),
        max_age: None,
    };

    #[test]
    fn accepts_exact_names_of_allowed_algorithms_only() {
        let allowed = [Algorithm::RS256, Algorithm::ES256];
        for (case, header, expected) in [
            ("allowed", r#"{"alg":"RS256"}"#, true),
            ("of another family", r#"{"alg":"ES256"}"#, true),
            ("its name of RFC 9864", r#"{"alg":"ESP256"}"#, true),
            (
                "a name of RFC 9864 that is not allowed",
                r#"{"alg":"Ed25519"}"#,
                false,
            ),
            ("lower case, of RFC 9864", r#"{"alg":"esp256"}"#, false),
            ("not allowed", r#"{"alg":"RS512"}"#, false),
            ("none", r#"{"alg":"none"}"#, false),
            ("None", r#"{"alg":"None"}"#, false),
            ("lower case", r#"{"alg":"rs256"}"#, false),
            ("with a space", r#"{"alg":"RS256 "}"#, false),
            ("a number", r#"{"alg":256}"#, false),
            ("an array", r#"{"alg":["RS256"]}"#, false),
            ("null", r#"{"alg":null}"#, false),
            ("absent", "{}", false),
            ("a name in capitals", r#"{"Alg":"RS256"}"#, false),
        ] {
            let header = Header::parse(header).unwrap();
            assert_eq!(algorithm(&header, &allowed).is_ok(), expected, "{case}");
        }
    }

    #[test]
    fn rejects_header_extensions() {
        for (case, header, expected) in [
            ("none", "{}", true),
            ("crit", r#"{"crit":["exp"]}"#, false),
            ("an empty crit", r#"{"crit":[]}"#, false),
            ("crit of null", r#"{"crit":null}"#, false),
            ("b64", r#"{"b64":false}"#, false),
            ("b64 of true", r#"{"b64":true}"#, false),
            ("b64 of null", r#"{"b64":null}"#, false),
        ] {
            let header = Header::parse(header).unwrap();
            assert_eq!(no_extension(&header).is_ok(), expected, "{case}");
        }
    }

    #[test]
    fn accepts_only_types_of_access_tokens() {
        for (case, header, expected) in [
            ("absent", "{}", true),
            ("JWT", r#"{"typ":"JWT"}"#, true),
            ("jwt", r#"{"typ":"jwt"}"#, true),
            ("at+jwt", r#"{"typ":"at+jwt"}"#, true),
            ("AT+JWT", r#"{"typ":"AT+JWT"}"#, true),
            ("the media type", r#"{"typ":"application/at+jwt"}"#, true),
            ("a logout token", r#"{"typ":"logout+jwt"}"#, false),
            ("a DPoP proof", r#"{"typ":"dpop+jwt"}"#, false),
            ("empty", r#"{"typ":""}"#, false),
            ("null", r#"{"typ":null}"#, false),
        ] {
            let header = Header::parse(header).unwrap();
            assert_eq!(
                access_token_type(&header, false).is_ok(),
                expected,
                "{case}"
            );
            let strictly = case.to_ascii_lowercase().contains("at+jwt") || case == "the media type";
            assert_eq!(access_token_type(&header, true).is_ok(), strictly, "{case}");
        }
    }

    #[test]
    fn requires_iss_to_be_a_string() {
        use AuthError::{InvalidClaim, MissingClaim};
        for (case, payload, expected) in [
            ("a string", r#"{"iss":"a"}"#, Ok("a")),
            ("absent", "{}", Err(MissingClaim)),
            ("null", r#"{"iss":null}"#, Err(InvalidClaim)),
            ("an array", r#"{"iss":["a"]}"#, Err(InvalidClaim)),
            ("a number", r#"{"iss":1}"#, Err(InvalidClaim)),
        ] {
            let claims = Registered::parse(payload).unwrap();
            assert_eq!(issuer(&claims), expected, "{case}");
        }
    }

    #[test]
    fn requires_a_configured_audience() {
        use AuthError::{InvalidClaim, MissingClaim, WrongAudience};
        let ours = ["a".to_owned(), "b".to_owned()];
        for (case, payload, expected) in [
            ("a string", r#"{"aud":"a"}"#, Ok(())),
            ("the second configured one", r#"{"aud":"b"}"#, Ok(())),
            ("one of an array", r#"{"aud":["x","b"]}"#, Ok(())),
            ("another", r#"{"aud":"x"}"#, Err(WrongAudience)),
            ("two in one string", r#"{"aud":"a b"}"#, Err(WrongAudience)),
            ("an empty string", r#"{"aud":""}"#, Err(WrongAudience)),
            ("an empty array", r#"{"aud":[]}"#, Err(WrongAudience)),
            ("absent", "{}", Err(MissingClaim)),
            ("null", r#"{"aud":null}"#, Err(InvalidClaim)),
            ("a number in it", r#"{"aud":["a",1]}"#, Err(InvalidClaim)),
            ("an object", r#"{"aud":{"a":1}}"#, Err(InvalidClaim)),
        ] {
            let claims = Registered::parse(payload).unwrap();
            let found = audience(&claims, AudienceClaim::Aud, &ours);
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn compares_the_configured_audience_claim() {
        use AudienceClaim::{Azp, Cid, ClientId};
        use AuthError::{InvalidClaim, MissingClaim, WrongAudience};
        let ours = ["a".to_owned(), "b".to_owned()];
        for (case, claim, payload, expected) in [
            ("client_id", ClientId, r#"{"client_id":"b"}"#, Ok(())),
            ("azp", Azp, r#"{"azp":"a"}"#, Ok(())),
            ("cid", Cid, r#"{"cid":"a"}"#, Ok(())),
            ("with another aud", Cid, r#"{"cid":"a","aud":"x"}"#, Ok(())),
            (
                "another",
                ClientId,
                r#"{"client_id":"x"}"#,
                Err(WrongAudience),
            ),
            (
                "absent",
                ClientId,
                r#"{"aud":"a","azp":"a"}"#,
                Err(MissingClaim),
            ),
            (
                "a list",
                ClientId,
                r#"{"client_id":["a"]}"#,
                Err(InvalidClaim),
            ),
            ("null", ClientId, r#"{"client_id":null}"#, Err(MissingClaim)),
            (
                "aud of another type",
                Azp,
                r#"{"azp":"a","aud":1}"#,
                Err(InvalidClaim),
            ),
        ] {
            let claims = Registered::parse(payload).unwrap();
            assert_eq!(audience(&claims, claim, &ours), expected, "{case}");
        }
    }

    #[test]
    fn requires_numeric_dates_and_applies_leeway_exactly() {
        use AuthError::{InvalidClaim, MissingClaim, TokenExpired, TokenNotYetValid};
        for (case, payload, expected) in [
            ("ahead", r#"{"exp":1000001}"#, Ok(())),
            ("within leeway", r#"{"exp":999970.5}"#, Ok(())),
            (
                "at the end of leeway",
                r#"{"exp":999970}"#,
                Err(TokenExpired),
            ),
            ("past the leeway", r#"{"exp":999969}"#, Err(TokenExpired)),
            ("negative", r#"{"exp":-1}"#, Err(TokenExpired)),
            ("negative zero", r#"{"exp":-0}"#, Err(TokenExpired)),
            ("huge", r#"{"exp":1e300}"#, Ok(())),
            ("absent", "{}", Err(MissingClaim)),
            ("a string", r#"{"exp":"1000001"}"#, Err(InvalidClaim)),
            ("null", r#"{"exp":null}"#, Err(InvalidClaim)),
            ("true", r#"{"exp":true}"#, Err(InvalidClaim)),
            ("nbf at leeway", r#"{"exp":2e6,"nbf":1000030}"#, Ok(())),
            (
                "nbf past the leeway",
                r#"{"exp":2e6,"nbf":1000031}"#,
                Err(TokenNotYetValid),
            ),
            (
                "nbf a string",
                r#"{"exp":2e6,"nbf":"1"}"#,
                Err(InvalidClaim),
            ),
            ("iat at leeway", r#"{"exp":2e6,"iat":1000030}"#, Ok(())),
            (
                "iat past the leeway",
                r#"{"exp":2e6,"iat":1000031}"#,
                Err(TokenNotYetValid),
            ),
            ("iat null", r#"{"exp":2e6,"iat":null}"#, Err(InvalidClaim)),
        ] {
            let claims = Registered::parse(payload).unwrap();
            let verdict = Times::of(&claims).and_then(|times| times.check(NOW, &RULES));
            assert_eq!(verdict, expected, "{case}");
        }
    }

    #[test]
    fn rejects_dates_out_of_range() {
        for date in ["exp", "nbf", "iat"] {
            let payload = format!(r#"{{"exp":2e6,"{date}":1e400}}"#).replace("2e6,\"exp\":", "");
            let claims = Registered::parse(&payload).unwrap();
            assert_eq!(Times::of(&claims), Err(AuthError::InvalidClaim), "{date}");
        }
    }

    #[test]
    fn requires_sub_and_jti_to_be_strings() {
        for (case, payload, expected) in [
            ("absent", "{}", true),
            ("strings", r#"{"sub":"a","jti":"b"}"#, true),
            ("a number", r#"{"sub":1}"#, false),
            ("null", r#"{"jti":null}"#, false),
        ] {
            let claims = Registered::parse(payload).unwrap();
            assert_eq!(strings(&claims).is_ok(), expected, "{case}");
        }
    }

    #[test]
    fn rejects_bound_tokens_unless_the_method_is_enabled() {
        const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        let (off, key) = (
            Methods::default(),
            Methods {
                key: true,
                certificate: false,
            },
        );
        let bound = format!(r#"{{"cnf":{{"jkt":"{JKT}"}}}}"#);
        let beyond = format!(r#"{{"n":1e400,"cnf":{{"jkt":"{JKT}"}}}}"#);
        for (case, payload, enabled, expected) in [
            ("unbound", "{}", off, Ok(None)),
            ("unbound, enabled", "{}", key, Ok(None)),
            ("null", r#"{"cnf":null}"#, key, Err(AuthError::TokenBound)),
            ("off", &bound, off, Err(AuthError::TokenBound)),
            ("enabled", &bound, key, Ok(Some(JKT))),
            ("with a number out of range", &beyond, key, Ok(Some(JKT))),
        ] {
            let claims = Registered::parse(payload).unwrap();
            let key = binding(&claims, enabled).map(|binding| binding.and_then(|b| b.key));
            let key = key.map(|key| key.map(|key| key.to_string()));
            assert_eq!(key, expected.map(|key| key.map(str::to_owned)), "{case}");
        }
    }

    #[test]
    fn maximum_age_counts_from_iat() {
        let rules = TimeRules {
            max_age: Some(Duration::from_secs(60)),
            ..RULES
        };
        #[rustfmt::skip]
        let rows = [
            ("young", r#"{"exp":2e6,"iat":999950}"#, Ok(())),
            ("old, within leeway", r#"{"exp":2e6,"iat":999911}"#, Ok(())),
            ("old", r#"{"exp":2e6,"iat":999910}"#, Err(AuthError::TokenExpired)),
            ("no iat", r#"{"exp":2e6}"#, Err(AuthError::MissingClaim)),
        ];
        for (case, payload, expected) in rows {
            let claims = Registered::parse(payload).unwrap();
            let verdict = Times::of(&claims).and_then(|times| times.check(NOW, &rules));
            assert_eq!(verdict, expected, "{case}");
        }
    }

    #[test]
    fn strict_profile_requires_the_claims_of_rfc_9068() {
        #[rustfmt::skip]
        let rows = [
            ("all", r#"{"sub":"a","client_id":"b","iat":1,"jti":"c"}"#, Ok(())),
            ("no sub", r#"{"client_id":"b","iat":1,"jti":"c"}"#, Err(AuthError::MissingClaim)),
            ("no client_id", r#"{"sub":"a","iat":1,"jti":"c"}"#, Err(AuthError::MissingClaim)),
            ("no iat", r#"{"sub":"a","client_id":"b","jti":"c"}"#, Err(AuthError::MissingClaim)),
            ("no jti", r#"{"sub":"a","client_id":"b","iat":1}"#, Err(AuthError::MissingClaim)),
            ("a client_id of null", r#"{"sub":"a","client_id":null,"iat":1,"jti":"c"}"#, Err(AuthError::MissingClaim)),
        ];
        for (case, payload, expected) in rows {
            let claims = Registered::parse(payload).unwrap();
            assert_eq!(rfc9068(&claims), expected, "{case}");
        }
    }
}
