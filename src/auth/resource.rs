//! The protected resource as it describes itself (RFC 9728), so that a client that knows nothing but
//! its URL finds the issuer and the scopes.
//!
//! It says what is configured and what policies require, and takes nothing from a request: a
//! `Host` that somebody made up would otherwise name the issuer's next audience.

use serde::Serialize;

/// What is inserted between host and path (RFC 9728 §3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The identifier of the resource, and where its metadata is.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    identifier: String,
    origin: String,
    path: String,
}

impl Resource {
    /// Of an absolute URL without query and fragment.
    pub(crate) fn new(identifier: &str) -> Self {
        let host = identifier.find("://").map_or(0, |at| at + 3);
        let path = identifier[host..].find('/').map(|at| host + at);
        let (origin, path) = identifier.split_at(path.unwrap_or(identifier.len()));
        Self {
            identifier: identifier.into(),
            origin: origin.into(),
            // A slash that is all of the path goes, any other stays (RFC 9728 §3.1).
            path: if path == "/" { "" } else { path }.into(),
        }
    }

    /// Where the metadata is, as challenges name it.
    pub(crate) fn metadata_url(&self) -> String {
        format!("{}{WELL_KNOWN}{}", self.origin, self.path)
    }
}

/// The metadata of a protected resource (RFC 9728 §2); [`Auth::metadata`](crate::auth::Auth::metadata)
/// makes it. Serializes as the document.
#[derive(Debug, Clone, Serialize)]
pub struct ResourceMetadata {
    resource: String,
    authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
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
            path: format!("{WELL_KNOWN}{}", resource.path),
        }
    }

    /// Where the document belongs: `/.well-known/oauth-protected-resource`, and after it the path
    /// of the resource, if it has one (RFC 9728 §3.1).
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_path_stands_between_host_and_path() {
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
