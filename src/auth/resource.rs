//! The metadata of the protected resource (RFC 9728), with which a client that knows only the
//! resource's URL finds the issuer and the scopes.
//!
//! The metadata comes from the configuration and the policies, never from a request. With a forged
//! `Host`, an attacker could otherwise choose the audience that clients request from the issuer.

use serde::Serialize;

use crate::algorithm::Algorithm;

/// The path that is inserted between host and path (RFC 9728 §3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The identifier of the resource, split at its path.
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
            // A path of a single slash is dropped. Any other slash stays (RFC 9728 §3.1).
            path: if path == "/" { "" } else { path }.into(),
        }
    }

    /// Returns the URL of the metadata, which challenges name.
    pub(crate) fn metadata_url(&self) -> String {
        format!("{}{WELL_KNOWN}{}", self.origin, self.path)
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

impl ResourceMetadata {
    pub(crate) fn new(
        resource: &Resource,
        issuers: impl Iterator<Item = String>,
        scopes: impl IntoIterator<Item: Into<String>>,
    ) -> Self {
        let mut scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
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

    /// Adds the algorithms of DPoP proofs, and whether every token has to be bound to a key.
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

    /// Returns the path to serve the document at: `/.well-known/oauth-protected-resource`, followed
    /// by the path of the resource, if it has one (RFC 9728 §3.1).
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
