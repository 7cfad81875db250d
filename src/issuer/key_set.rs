//! [`KeySet`]: the signing key and the published keys of the issuer, which can be different.

use serde_json::{Value, json};

use crate::issuer::keys::SigningKey;

pub(super) struct KeySet {
    current: SigningKey,
    published: Vec<SigningKey>,
    /// What to publish instead of the keys, if anything.
    document: Option<Value>,
}

impl KeySet {
    pub(super) fn new(key: SigningKey) -> Self {
        Self {
            published: vec![key.clone()],
            current: key,
            document: None,
        }
    }

    pub(super) fn current(&self) -> &SigningKey {
        &self.current
    }

    pub(super) fn rotate(&mut self, next: SigningKey) {
        self.published.push(next.clone());
        self.current = next;
    }

    pub(super) fn retire(&mut self) {
        self.published = vec![self.current.clone()];
    }

    pub(super) fn replace(&mut self, next: SigningKey) {
        let next = next.with_kid(self.current.kid());
        self.published.retain(|key| key.kid() != next.kid());
        self.rotate(next);
    }

    pub(super) fn publish_key(&mut self, key: SigningKey) {
        self.published.push(key);
    }

    pub(super) fn show(&mut self, document: Option<Value>) {
        self.document = document;
    }

    /// The JWK set (RFC 7517 §5), or the document that is published instead.
    pub(super) fn document(&self) -> Value {
        self.document.clone().unwrap_or_else(|| {
            let keys: Vec<_> = self.published.iter().map(SigningKey::public_jwk).collect();
            json!({ "keys": keys })
        })
    }
}
