//! The route table for programs, `/openapi.json`, and for people, `/docs`.
//!
//! Both are made of the rows: no path, method or policy is said here again. What they show is for
//! everybody, so that they know no configuration, and no token but the one that somebody pastes.
//! Feature `docs`; without it the type is there, and nothing is shown.

#[cfg(feature = "docs")]
mod openapi;
#[cfg(feature = "docs")]
mod page;
#[cfg(feature = "docs")]
mod responses;
#[cfg(feature = "docs")]
mod schemas;

#[cfg(feature = "docs")]
pub use self::page::FILES;

/// How the routes are shown.
#[derive(Debug, Clone, Default)]
pub struct Docs {
    /// Where the page fetches a token by itself, for `dev` alone. Defaults to nowhere: whoever has a
    /// token pastes it.
    pub tokens: Option<TokenEndpoint>,
}

/// A token endpoint, and the client that everybody may be there.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    /// Where it is.
    pub url: String,
    /// The client.
    pub client_id: String,
    /// Its secret, which is none: whoever opens the page reads it.
    pub client_secret: String,
}
