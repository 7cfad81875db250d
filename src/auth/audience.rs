//! [`OneAudience`]: an [`Auth`] limited to one of its audiences. A proxy in front of several
//! resources needs this, so that a token for one resource is rejected by the others.
//!
//! The keys, the cache and the order of verification are the same as in the [`Auth`]. The audience
//! never depends on the request.

use std::sync::Arc;

use crate::auth::{
    challenge::Refusal,
    claims::{Claims, NoPrivate},
    credential::RequestHead,
    error::AuthError,
    issuers::Issuers,
    policy::Requirement,
    resource::{Resource, ResourceMetadata, Resources, spellings},
    token::{audience::AudienceClaim, json},
    verifier::Auth,
};

pub(crate) struct OneAudience<'a> {
    auth: &'a Auth,
    name: &'a str,
    /// `name`. With and without a trailing slash if it is a URL without a path.
    names: Vec<String>,
    /// Set if the audience is the URL of a resource with published metadata
    resource: Option<Resource>,
}

impl Auth {
    /// `None` if no issuer is configured for `audience`
    pub(crate) fn for_audience<'a>(&'a self, audience: &'a str) -> Option<OneAudience<'a>> {
        if !self.has_audience(audience) {
            return None;
        }
        let is_served = self.inner.resource.is_some();
        Some(OneAudience {
            auth: self,
            name: audience,
            names: spellings(audience),
            resource: Resource::of_audience(audience).filter(|_| is_served),
        })
    }

    /// The resources with published metadata. None if no resource is configured. Requests call
    /// this, so the list is created only once after each replacement of the issuers.
    pub(crate) fn resources(&self) -> Arc<Resources> {
        let issuers = self.inner.issuers.load();
        let resources = issuers.resources.get_or_init(|| {
            let configured = self.inner.resource.as_ref();
            let resources = configured.map(|it| Resources::new(it, audiences(&issuers)));
            Arc::new(resources.unwrap_or_default())
        });
        Arc::clone(resources)
    }

    fn has_audience(&self, audience: &str) -> bool {
        let issuers = self.inner.issuers.load_full();
        let mut audiences = issuers
            .iter()
            .flat_map(|issuer| issuer.rules.audiences.iter());
        audiences.any(|known| known == audience)
    }
}

/// All configured audiences. One that is accepted with and without a trailing slash is listed in
/// both forms.
fn audiences(issuers: &Issuers) -> Vec<String> {
    let rules = issuers.iter().map(|issuer| &issuer.rules);
    let audiences = rules.flat_map(|rules| rules.audiences.iter());
    let mut all: Vec<_> = audiences.cloned().collect();
    all.sort();
    all.dedup();
    all
}

impl OneAudience<'_> {
    /// Like [`Auth::authorize`], for this audience. The challenge contains the URL of its metadata.
    pub(crate) async fn authorize(
        &self,
        request: &RequestHead<'_>,
        requirement: Option<&Requirement<NoPrivate>>,
    ) -> Result<Claims, Refusal> {
        let verdict = match (self.authenticate(request).await, requirement) {
            (Ok(claims), Some(requirement)) => requirement.grant(claims).await,
            (Err(refusal), Some(requirement)) => {
                Err(refusal.with_scope(requirement.scopes().map(Into::into)))
            }
            (verdict, None) => verdict,
        };
        verdict.map_err(|mut refusal| {
            if let Some(resource) = &self.resource {
                let url: Arc<str> = resource.metadata_url().into();
                refusal.challenge.resource_metadata = Some(url);
            }
            refusal
        })
    }

    pub(crate) async fn authenticate(&self, request: &RequestHead<'_>) -> Result<Claims, Refusal> {
        let check = |claims: &Claims| {
            if self.is_for(claims) {
                Ok(())
            } else {
                Err(AuthError::WrongAudience)
            }
        };
        self.auth
            .authenticate_checked(request, Auth::presented, check)
            .await
    }

    /// The audience, spelled as the proxy sent it
    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Returns true if the token has this audience and its issuer is trusted for it. We have to
    /// check the issuer too -- one that's trusted only for another resource can write any audience
    /// it likes into its tokens.
    fn is_for(&self, claims: &Claims) -> bool {
        let issuers = self.auth.inner.issuers.load_full();
        let Some(issuer) = issuers.named(claims.issuer()) else {
            return false;
        };
        let is_named = |audience: &str| self.names.iter().any(|name| name == audience);
        if !issuer.rules.audiences.iter().any(|own| is_named(own)) {
            return false;
        }
        match issuer.rules.audience_claim {
            AudienceClaim::Aud => claims.audience().any(is_named),
            claim => {
                let value = json::member(claims.json(), claim.as_str());
                let value = value.and_then(|value| json::accepted::<String>(value).ok());
                value.is_some_and(|value| is_named(&value))
            }
        }
    }

    fn issuers(&self) -> Vec<String> {
        let issuers = self.auth.inner.issuers.load_full();
        let is_named = |audience: &String| self.names.contains(audience);
        let trusted = issuers
            .iter()
            .filter(|issuer| issuer.rules.audiences.iter().any(is_named));
        trusted.map(|issuer| issuer.name().to_owned()).collect()
    }

    pub(crate) fn metadata(&self, scopes: &[String]) -> Option<ResourceMetadata> {
        let metadata = self.auth.metadata(scopes)?;
        Some(metadata.of(self.resource.as_ref()?, self.issuers()))
    }
}
