//! The metadata of the protected resource (RFC 9728). A client that only knows the resource's URL
//! uses it to find the issuer and the scopes.
//!
//! The metadata never depends on a request. If we took the resource's URL from `Host`, an attacker
//! could forge it and choose the audience that clients request from the issuer.

#[cfg(feature = "service")]
use std::{iter, sync::Arc};

use serde::Serialize;

use crate::algorithm::Algorithm;

/// The path segment that is inserted between host and path (RFC 9728 §3)
pub(crate) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The identifier of a resource, split before its path.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    identifier: String,
    origin: String,
    path: String,
}

impl Resource {
    /// Creates a resource from an absolute URL without query and fragment.
    pub(crate) fn new(identifier: &str) -> Self {
        let host = identifier.find("://").map_or(0, |at| at + 3);
        let path = identifier[host..].find('/').map(|at| host + at);
        let (origin, path) = identifier.split_at(path.unwrap_or(identifier.len()));
        Self {
            identifier: identifier.into(),
            origin: origin.into(),
            // a path that's only a slash goes; other trailing slashes stay (RFC 9728 §3.1)
            path: if path == "/" { "" } else { path }.into(),
        }
    }

    pub(crate) fn identifier(&self) -> String {
        self.identifier.clone()
    }

    /// `None` if the audience isn't an http or https URL without query and fragment.
    #[cfg(feature = "service")]
    pub(crate) fn of_audience(audience: &str) -> Option<Self> {
        is_url(audience).then(|| Self::new(audience))
    }

    #[cfg(feature = "service")]
    pub(crate) fn metadata_path(&self) -> String {
        format!("{WELL_KNOWN}{}", self.path)
    }

    pub(crate) fn metadata_url(&self) -> String {
        format!("{}{WELL_KNOWN}{}", self.origin, self.path)
    }
}

/// The resources whose metadata a service publishes. The configured one comes first, then every
/// audience that is a URL.
#[cfg(feature = "service")]
#[derive(Debug, Default)]
pub(crate) struct Resources {
    /// The paths of the metadata
    pub(crate) paths: Arc<[String]>,
    /// The audience of each path. `None` for the configured resource.
    audiences: Vec<Option<String>>,
}

#[cfg(feature = "service")]
impl Resources {
    pub(crate) fn new(configured: &Resource, audiences: Vec<String>) -> Self {
        let named = audiences.into_iter().filter_map(|audience| {
            let path = Resource::of_audience(&audience)?.metadata_path();
            Some((path, Some(audience)))
        });
        let (paths, audiences): (Vec<_>, _) = iter::once((configured.metadata_path(), None))
            .chain(named)
            .unzip();
        Self {
            paths: paths.into(),
            audiences,
        }
    }

    /// The path and the audience of each resource.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let audiences = self.audiences.iter().map(Option::as_deref);
        self.paths.iter().map(String::as_str).zip(audiences)
    }
}

/// The metadata of a protected resource (RFC 9728 §2), from
/// [`Auth::metadata`](crate::auth::Auth::metadata). Serializes as the JSON document.
#[derive(Debug, Clone, Serialize)]
pub struct ResourceMetadata {
    resource: String,
    authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dpop_signing_alg_values_supported: Vec<Algorithm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_bound_access_tokens_required: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_certificate_bound_access_tokens: Option<bool>,
    #[serde(skip)]
    path: String,
}

/// The spellings of an audience. A URL without a path has two, because URL parsers typically turn
/// `https://host` into `https://host/`.
pub(crate) fn spellings(audience: &str) -> Vec<String> {
    let bare = audience.strip_suffix('/').unwrap_or(audience);
    if is_url(audience) && !bare.ends_with('/') && Resource::new(bare).path.is_empty() {
        return vec![bare.to_owned(), format!("{bare}/")];
    }
    vec![audience.to_owned()]
}

fn is_url(audience: &str) -> bool {
    let rest = audience.strip_prefix("https://");
    let rest = rest.or_else(|| audience.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let is_plain = |byte| matches!(byte, b'!'..=b'~') && !b"\"\\?#".contains(&byte);
        !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(is_plain)
    })
}

/// The scope that requests a refresh token. We don't list this, it isn't a scope of the resource.
const OFFLINE_ACCESS: &str = "offline_access";

impl ResourceMetadata {
    pub(crate) fn new(
        resource: &Resource,
        issuers: impl Iterator<Item = String>,
        scopes: impl IntoIterator<Item: Into<String>>,
    ) -> Self {
        let mut scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
        scopes.retain(|scope| scope != OFFLINE_ACCESS);
        scopes.sort();
        scopes.dedup();
        Self {
            resource: resource.identifier.clone(),
            authorization_servers: issuers.collect(),
            scopes_supported: scopes,
            bearer_methods_supported: ["header"],
            dpop_signing_alg_values_supported: Vec::new(),
            dpop_bound_access_tokens_required: None,
            tls_client_certificate_bound_access_tokens: None,
            path: format!("{WELL_KNOWN}{}", resource.path),
        }
    }

    #[cfg(feature = "service")]
    pub(crate) fn of(self, resource: &Resource, issuers: Vec<String>) -> Self {
        Self {
            resource: resource.identifier.clone(),
            authorization_servers: issuers,
            path: format!("{WELL_KNOWN}{}", resource.path),
            ..self
        }
    }

    /// Adds the algorithms for DPoP proofs, and whether every token must be bound to a key.
    pub(crate) fn with_dpop(mut self, algorithms: &[Algorithm], is_required: bool) -> Self {
        self.dpop_signing_alg_values_supported = algorithms.to_vec();
        self.dpop_bound_access_tokens_required = is_required.then_some(true);
        self
    }

    /// Adds whether tokens may be bound to the client's certificate (RFC 8705 §3.3).
    pub(crate) fn with_certificates(mut self, is_enabled: bool) -> Self {
        self.tls_client_certificate_bound_access_tokens = is_enabled.then_some(true);
        self
    }

    /// Returns the path of the document, which is `/.well-known/oauth-protected-resource` followed
    /// by the path of the resource (RFC 9728 §3.1).
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_without_a_path_has_two_spellings() {
        #[rustfmt::skip]
        let rows = [
            ("a host", "https://a.example", &["https://a.example", "https://a.example/"][..]),
            ("a slash", "https://a.example/", &["https://a.example", "https://a.example/"]),
            ("a port", "http://127.0.0.1:8", &["http://127.0.0.1:8", "http://127.0.0.1:8/"]),
            ("a path", "https://a.example/b", &["https://a.example/b"]),
            ("a slash after a path", "https://a.example/b/", &["https://a.example/b/"]),
            ("two slashes", "https://a.example//", &["https://a.example//"]),
            ("a query", "https://a.example?b", &["https://a.example?b"]),
            ("no host", "https://", &["https://"]),
            ("no URL", "urn:api", &["urn:api"]),
            ("a name with a slash", "api/", &["api/"]),
        ];
        for (case, audience, expected) in rows {
            assert_eq!(spellings(audience), expected, "{case}");
        }
    }

    #[test]
    fn omits_offline_access_from_the_scopes() {
        let resource = Resource::new("https://api.example.com");
        let scopes = ["b", "offline_access", "a"];
        let metadata = ResourceMetadata::new(&resource, [].into_iter(), scopes);
        assert_eq!(metadata.scopes_supported, ["a", "b"]);
    }

    #[test]
    fn inserts_the_well_known_path_between_host_and_path() {
        const AT: &str = "/.well-known/oauth-protected-resource";
        #[rustfmt::skip]
        let rows = [
            ("a host", "https://api.example.com", "https://api.example.com", ""),
            ("a slash", "https://api.example.com/", "https://api.example.com", ""),
            ("a port", "http://127.0.0.1:8000", "http://127.0.0.1:8000", ""),
            ("a path", "https://api.example.com/v1", "https://api.example.com", "/v1"),
            ("a long path", "https://api.example.com/a/b%20c", "https://api.example.com", "/a/b%20c"),
            ("a slash after a path", "https://api.example.com/v1/", "https://api.example.com", "/v1/"),
        ];
        for (case, identifier, origin, path) in rows {
            let resource = Resource::new(identifier);
            let url = format!("{origin}{AT}{path}");
            assert_eq!(resource.metadata_url(), url, "{case}");
            let metadata = ResourceMetadata::new(&resource, [].into_iter(), [""; 0]);
            assert_eq!(metadata.path(), format!("{AT}{path}"), "{case}");
        }
    }
}
