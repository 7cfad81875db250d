//! [`Facts`]: what is known about a rejected token and the configuration.

use std::borrow::Cow;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

use crate::{
    auth::{Auth, AuthError, explain::Trace, token::json},
    service::{
        cli::context::Context,
        config::{Config, Environment, Setting},
    },
};

pub(in crate::service) struct Facts<'a> {
    /// The text after `Bearer `, which may not be a JWT at all
    pub(in crate::service) token: &'a str,
    pub(in crate::service) trace: &'a Trace,
    pub(in crate::service) auth: &'a Auth,
    /// The configuration of the token's issuer, or of all issuers if its issuer is unknown
    pub(in crate::service) config: Cow<'a, Config>,
    pub(in crate::service) environment: &'a Environment,
    /// The service also asks the issuer about tokens, but this command doesn't
    pub(in crate::service) is_unasked: bool,
    pub(in crate::service) issuers: Vec<String>,
    /// The accepted audiences of the token's issuer, or of all issuers if its issuer is unknown
    pub(in crate::service) accepted: Vec<String>,
    /// How many seconds our clock is ahead of the issuer's. `None` if unknown.
    pub(in crate::service) skew: Option<f64>,
}

impl<'a> Facts<'a> {
    pub(in crate::service) fn header(&self, name: &str) -> Option<&'a str> {
        self.trace.header.get(name)?.as_str()
    }

    /// Note that the payload may be unverified.
    pub(in crate::service) fn claim(&self, name: &str) -> Option<&'a Value> {
        self.trace.payload.get(name)
    }

    pub(in crate::service) fn text(&self, name: &str) -> Option<&'a str> {
        self.claim(name)?.as_str()
    }

    pub(in crate::service) fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.claim(name).is_some())
    }

    pub(in crate::service) fn audiences(&self) -> Vec<&'a str> {
        texts(self.claim("aud"))
    }

    /// `aud` is an empty string or an empty array, or has only empty strings.
    pub(in crate::service) fn has_empty_audience(&self) -> bool {
        let claim = self.claim("aud");
        let is_list = claim.is_some_and(|claim| claim.is_string() || claim.is_array());
        is_list && texts(claim).iter().all(|name| name.trim().is_empty())
    }

    pub(in crate::service) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(String::as_str)
    }

    /// Returns the lines if the service would start with them. Variables cannot replace the
    /// settings of an issuers file, so there are none if there is one.
    pub(in crate::service) fn recommend(&self, settings: Vec<Option<Setting>>) -> Vec<Setting> {
        if self.config.issuers_file.is_some() {
            return Vec::new();
        }
        self.environment.recommend(settings)
    }

    pub(in crate::service) fn context(&self) -> Context<'_> {
        Context::new(&self.config, self.environment, self.auth.time())
    }

    /// `false` if the step was not reached.
    pub(in crate::service) fn failed(&self, step: &str) -> bool {
        let mut steps = self.trace.steps.iter();
        steps.any(|one| one.name == step && one.outcome.is_err())
    }

    /// `false` if the step was not reached.
    pub(in crate::service) fn held(&self, step: &str) -> bool {
        let step = self.trace.step(step);
        step.is_some_and(|step| step.outcome.is_ok())
    }

    /// Keys are held, and none has the `kid` of the token.
    pub(in crate::service) fn has_unknown_kid(&self) -> bool {
        let step = self.trace.step("key");
        step.is_some_and(|step| step.outcome == Err(AuthError::UnknownKey))
    }

    /// In the environment or in `.env`.
    pub(in crate::service) fn is_set(&self, name: &str) -> bool {
        self.environment.get(name).is_some()
    }

    /// Decodes a part of the token. Unlike verification, this accepts padding and trailing bits.
    /// Null if the part isn't JSON.
    pub(in crate::service) fn lenient_part(&self, at: usize) -> Value {
        const LENIENT: GeneralPurpose = GeneralPurpose::new(
            &alphabet::URL_SAFE,
            GeneralPurposeConfig::new()
                .with_decode_padding_mode(DecodePaddingMode::Indifferent)
                .with_decode_allow_trailing_bits(true),
        );
        let part = self.token.split('.').nth(at).unwrap_or_default();
        let bytes = LENIENT.decode(part).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        json::value(&text).unwrap_or_default()
    }
}

/// The strings of a claim that is a string or an array.
pub(in crate::service) fn texts(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
