//! The documentation of the routes: `/openapi.json` for programs and `/docs` for people.
//!
//! Both are generated from the route table, so we don't repeat any path, method or policy here.
//! They're public: they contain no tokens, and of the configuration only what callers see anyway.
//! Without the feature `docs`, this module only has the types.

#[cfg(feature = "docs")]
pub(in crate::service) mod openapi;
#[cfg(feature = "docs")]
mod page;
#[cfg(feature = "docs")]
mod responses;
#[cfg(feature = "docs")]
mod schemas;

#[cfg(feature = "docs")]
pub use self::page::FILES;

/// The settings of the documentation.
#[derive(Debug, Clone, Default)]
pub struct Docs {
    /// The endpoint from which the page fetches tokens, set only by `dev`. With `None`, the user
    /// pastes a token.
    pub tokens: Option<TokenEndpoint>,
}

/// A token endpoint, and a public client for it.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    /// The URL of the endpoint.
    pub url: String,
    /// The client's ID.
    pub client_id: String,
    /// The client's secret. The page shows it to every visitor.
    pub client_secret: String,
}
