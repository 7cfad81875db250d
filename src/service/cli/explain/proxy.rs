//! [`Proxy`]: a proxy's request to `/auth`, from the option `--auth`.

use warp::http::uri::PathAndQuery;

use crate::{
    auth::Problem,
    service::{
        api::{forward_auth, queries::QueryRequirements},
        cli::explain::pasted::after,
    },
};

/// A proxy's request to `/auth`, or to a path below it
#[derive(Debug)]
pub(in crate::service) struct Proxy {
    /// The path and the query
    pub(in crate::service) target: String,
    /// Empty if the service ignores the query
    pub(in crate::service) query: String,
    /// What the request requires, or why its query is rejected
    pub(in crate::service) asked: Result<QueryRequirements, Problem>,
}

impl Proxy {
    /// Parses a query, with or without a path before it. With `answers_below`, the service answers
    /// paths below `/auth`, where the query comes from the client.
    pub(in crate::service) fn read(text: &str, answers_below: bool) -> Self {
        let proxy = Self::read_target(text, answers_below);
        if proxy.is_readable() {
            return proxy;
        }
        Self {
            asked: Err(Problem::BadRequest),
            ..proxy
        }
    }

    pub(in crate::service) fn has_fragment(&self) -> bool {
        self.target.contains('#')
    }

    /// Returns `true` if the server can read a request for this target. Otherwise, it answers 400
    /// without reading anything else.
    pub(in crate::service) fn is_readable(&self) -> bool {
        // The parser drops a `#` and what follows it, but the server refuses it
        // (`strict_heads.rs`).
        let read = PathAndQuery::try_from(&*self.target);
        read.is_ok_and(|read| read.as_str() == self.target)
    }

    fn read_target(text: &str, answers_below: bool) -> Self {
        // the whole address, as a proxy has it in its configuration
        let text = path_of_url(text).unwrap_or(text);
        let of_query = |query: &str| Self {
            target: format!("/auth?{query}"),
            query: query.to_owned(),
            asked: forward_auth::parse_query(query),
        };
        let Some(rest) = text.strip_prefix("/auth") else {
            // a client's path, without `/auth` before it
            if answers_below && text.starts_with('/') {
                return Self::read(&format!("/auth{text}"), answers_below);
            }
            return of_query(text.trim_start_matches('?'));
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let is_below = path.starts_with('/') && answers_below;
        // like warp, we ignore one trailing slash, unless it's the client's path
        if path.is_empty() || path == "/" && !is_below {
            return of_query(query);
        }
        Self {
            target: text.to_owned(),
            query: String::new(),
            asked: is_below
                .then(QueryRequirements::default)
                .ok_or(Problem::NotFound),
        }
    }
}

/// Returns the path and the query of an address with the scheme `http` or `https`.
fn path_of_url(text: &str) -> Option<&str> {
    let rest = after(text, "http://").or_else(|| after(text, "https://"))?;
    let path = rest.find(['/', '?', '#']).map_or("", |path| &rest[path..]);
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::policy::scope;

    #[test]
    fn reads_a_query_and_a_path_below() {
        let of_scope = || QueryRequirements {
            policy: Some(scope("a")),
            audience: None,
        };
        let nothing = QueryRequirements::default;
        #[rustfmt::skip]
        let rows = [
            ("scope=a", true, "/auth?scope=a", Ok(of_scope())),
            ("?scope=a", true, "/auth?scope=a", Ok(of_scope())),
            ("/auth?scope=a", false, "/auth?scope=a", Ok(of_scope())),
            ("", false, "/auth?", Ok(nothing())),
            ("/auth", false, "/auth?", Ok(nothing())),
            ("/auth/", false, "/auth?", Ok(nothing())),
            ("scopes=a", true, "/auth?scopes=a", Err(Problem::BadRequest)),
            ("scope=a#", true, "/auth?scope=a#", Err(Problem::BadRequest)),
            ("scope=a b", true, "/auth?scope=a b", Err(Problem::BadRequest)),
            ("/auth/messages#1", true, "/auth/messages#1", Err(Problem::BadRequest)),
            ("/auth/messages/1?scopes=a", true, "/auth/messages/1?scopes=a", Ok(nothing())),
            ("/auth/messages/1?scope=a", false, "/auth/messages/1?scope=a", Err(Problem::NotFound)),
            ("/auth/?scope=a", false, "/auth?scope=a", Ok(of_scope())),
            ("/auth/", true, "/auth/", Ok(nothing())),
            ("/auth/?scope=a", true, "/auth/?scope=a", Ok(nothing())),
            ("/auth//", true, "/auth//", Ok(nothing())),
            ("/auth//", false, "/auth//", Err(Problem::NotFound)),
            ("/auth//x", true, "/auth//x", Ok(nothing())),
            ("/messages/1", true, "/auth/messages/1", Ok(nothing())),
            ("/messages/1?scope=a", true, "/auth/messages/1?scope=a", Ok(nothing())),
            ("/messages/1", false, "/auth?/messages/1", Err(Problem::BadRequest)),
            ("http://host/auth?scope=a", true, "/auth?scope=a", Ok(of_scope())),
            ("https://[::1]:8000/auth?scope=a", false, "/auth?scope=a", Ok(of_scope())),
            ("HTTP://host/auth", false, "/auth?", Ok(nothing())),
            ("http://host", false, "/auth?", Ok(nothing())),
            ("http://host/messages/1", true, "/auth/messages/1", Ok(nothing())),
            ("http://host/messages/1", false, "/auth?/messages/1", Err(Problem::BadRequest)),
            ("http://host/auth?scopes=a", false, "/auth?scopes=a", Err(Problem::BadRequest)),
            ("http://host/auth?scope=a#b", false, "/auth?scope=a#b", Err(Problem::BadRequest)),
            ("http://host?scope=a", false, "/auth?scope=a", Ok(of_scope())),
            ("/authors", true, "/authors", Err(Problem::NotFound)),
        ];
        for (text, answers_below, target, asked) in rows {
            let proxy = Proxy::read(text, answers_below);
            assert_eq!((&*proxy.target, proxy.asked), (target, asked), "{text}");
        }
    }
}
