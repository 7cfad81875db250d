//! [`AnswerChecker`]: parses an introspection response, and checks it like the claims of a JWT.

use std::sync::Arc;

use crate::auth::{
    error::AuthError,
    token::{
        audience::AudienceClaim,
        checks::{self, TimeRules, Times},
        confirmation::Methods,
        json::{self, Value},
        payload::{Extract, IssuerContext, Verified, VerifiedBy},
        registered::Registered,
    },
};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The response body, which is strict JSON.
    Active(String),
    Inactive,
}

/// Parses the body of a 200. `None` unless it is a strict JSON object with a boolean `active`. We
/// don't accept a byte order mark either.
pub(super) fn read(body: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(body).ok()?;
    Registered::parse(text).ok()?;
    match json::member(text, "active")?.trim() {
        "true" => Some(Answer::Active(text.to_owned())),
        "false" => Some(Answer::Inactive),
        _ => None,
    }
}

#[derive(Debug)]
pub(in crate::auth) struct AnswerChecker {
    pub(in crate::auth) context: Arc<IssuerContext>,
    pub(in crate::auth) audience_claim: AudienceClaim,
    pub(in crate::auth) audiences: Arc<[String]>,
    pub(in crate::auth) methods: Methods,
}

impl AnswerChecker {
    /// The claims in an active response, if they pass the checks.
    ///
    /// A response need not have `iat` (RFC 7662 §2.2). For a JWT, whose own age has already been
    /// checked, this won't check the maximum age again.
    pub(super) fn verified(
        &self,
        answer: String,
        jwt: Option<&Verified>,
    ) -> Result<Verified, AuthError> {
        let claims = Registered::parse(&answer)?;
        match &claims.iss {
            None => {}
            Some(Value::Text(issuer)) if *issuer == *self.context.issuer => {}
            Some(Value::Text(_)) => return Err(AuthError::UnknownIssuer),
            Some(_) => return Err(AuthError::InvalidClaim),
        }
        checks::audience(&claims, self.audience_claim, &self.audiences)?;
        let times = Times::of(&claims)?;
        let max_age = self.context.rules.max_age.filter(|_| jwt.is_none());
        let rules = TimeRules {
            max_age,
            ..self.context.rules
        };
        times.check(self.context.clock.now(), &rules)?;
        checks::strings(&claims)?;
        checks::scopes(&claims)?;
        checks::kind(&claims)?;
        let binding = checks::binding(&claims, self.methods)?;
        let bindings = [binding.as_ref(), jwt.and_then(|jwt| jwt.binding.as_deref())];
        let has_key = bindings.into_iter().flatten().any(|it| it.key.is_some());
        checks::token_type(&claims, has_key)?;
        let extract = Extract::new(&answer, &claims, times, binding);
        drop(claims);
        let context = Arc::clone(&self.context);
        Ok(extract.verified(answer, context, VerifiedBy::Introspection))
    }

    pub(super) fn check_times(&self, verified: &Verified) -> Result<(), AuthError> {
        verified
            .times
            .check(self.context.clock.now(), &self.context.rules)
    }

    /// Seconds until the token expires. Negative during the leeway.
    pub(super) fn lifetime(&self, verified: &Verified) -> f64 {
        verified.times.expires - self.context.clock.now()
    }
}

/// Checks whether a response is about a token other than `jwt`: its `sub` or `jti` differs.
pub(super) fn is_about_another(jwt: &Verified, answer: &Verified) -> bool {
    ["sub", "jti"].into_iter().any(|name| {
        let claim = |verified: &Verified| -> Option<String> {
            json::accepted(json::member(verified.payload(), name)?).ok()
        };
        let (ours, theirs) = (claim(jwt), claim(answer));
        ours.is_some() && theirs.is_some() && ours != theirs
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requires_active_to_be_a_boolean() {
        let active = |text: &str| Some(Answer::Active(text.to_owned()));
        #[rustfmt::skip]
        let rows = [
            ("active", r#"{"active":true}"#, active(r#"{"active":true}"#)),
            ("whitespace", "\n{ \"active\" : true }\n", active("\n{ \"active\" : true }\n")),
            ("escaped", r#"{"\u0061ctive":true}"#, active(r#"{"\u0061ctive":true}"#)),
            ("inactive", r#"{"active":false}"#, Some(Answer::Inactive)),
            ("inactive with more", r#"{"active":false,"exp":"x"}"#, Some(Answer::Inactive)),
            ("absent", r#"{"exp":1}"#, None),
            ("a string", r#"{"active":"true"}"#, None),
            ("a string that says no", r#"{"active":"false"}"#, None),
            ("a number", r#"{"active":1}"#, None),
            ("null", r#"{"active":null}"#, None),
            ("an array", r#"{"active":[true]}"#, None),
            ("an object", r#"{"active":{"active":true}}"#, None),
            ("another case", r#"{"Active":true}"#, None),
            ("another case of the value", r#"{"active":True}"#, None),
            ("twice", r#"{"active":true,"active":true}"#, None),
            ("no and yes", r#"{"active":false,"active":true}"#, None),
            ("twice, once escaped", r#"{"active":false,"\u0061ctive":true}"#, None),
            ("another member twice", r#"{"active":true,"x":{"a":1,"a":2}}"#, None),
            ("nested", r#"{"token":{"active":true}}"#, None),
            ("in an array", r#"[{"active":true}]"#, None),
            ("an array of fields", "[true]", None),
            ("a bare word", "true", None),
            ("a byte order mark", "\u{feff}{\"active\":true}", None),
            ("text after it", r#"{"active":true} x"#, None),
            ("two objects", r#"{"active":true}{"active":true}"#, None),
            ("a comma at the end", r#"{"active":true,}"#, None),
            ("a comment", r#"{"active":true}/**/"#, None),
            ("single quotes", "{'active':true}", None),
            ("half", r#"{"active":true"#, None),
            ("a reserved name", r#"{"active":true,"$serde_json::private::RawValue":"{}"}"#, None),
            ("HTML", "<!doctype html><title>Please sign in</title>", None),
            ("a form", "active=true", None),
            ("a JWT", "eyJ0eXAiOiJ0b2tlbi1pbnRyb3NwZWN0aW9uK2p3dCJ9.eyJhY3RpdmUiOnRydWV9.", None),
            ("empty", "", None),
        ];
        for (case, body, expected) in rows {
            assert_eq!(read(body.as_bytes()), expected, "{case}");
        }
        assert_eq!(read(b"{\"active\":true,\"x\":\"\xff\"}"), None);
        let nested = format!(
            r#"{{"active":true,"x":{}{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        assert_eq!(read(nested.as_bytes()), None, "too deep");
    }
}
