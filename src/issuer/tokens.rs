//! [`Tokens`]: the tokens that the issuer knows, for introspection.

use std::{collections::HashMap, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// The maximum number of known tokens, so that a long-running `dev` does not grow without limit.
const MAX_TOKENS: usize = 100_000;

#[derive(Default)]
pub(super) struct Tokens(HashMap<String, Map<String, Value>>);

impl Tokens {
    pub(super) fn insert(&mut self, token: String, claims: Map<String, Value>) {
        if self.0.len() < MAX_TOKENS {
            self.0.insert(token, claims);
        }
    }

    pub(super) fn remove(&mut self, token: &str) {
        self.0.remove(token);
    }

    /// The introspection response for a token (RFC 7662 §2.2)
    pub(super) fn answer(&self, token: &str) -> Value {
        let claims = self.0.get(token).filter(|claims| is_current(claims));
        let Some(claims) = claims else {
            return json!({"active": false});
        };
        let mut answer = claims.clone();
        answer.insert("active".to_owned(), json!(true));
        answer.insert("token_type".to_owned(), json!("Bearer"));
        Value::Object(answer)
    }
}

fn is_current(claims: &Map<String, Value>) -> bool {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let expires = claims.get("exp").and_then(Value::as_f64);
    expires.is_none_or(|expires| now.as_secs_f64() < expires)
}

/// Doesn't verify the JWT!
pub(super) fn claims_of(jwt: &str) -> Option<Map<String, Value>> {
    let payload = jwt.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    #[expect(clippy::disallowed_methods, reason = "a token of this issuer")]
    serde_json::from_slice(&payload).ok()
}
