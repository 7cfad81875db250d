//! [`Queries`]: a cache of parsed queries of `/auth`.
//!
//! A proxy sends the same query for all requests to a path, so there are usually only a few
//! different ones, and parsing a query with 64 scopes takes half as long as the rest of a request.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::auth::{
    Problem,
    claims::NoPrivate,
    policy::{Policy, Requirement},
};

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct QueryRequirements {
    /// `None` if a valid token is enough
    pub(crate) policy: Option<Policy>,
    /// One of the configured audiences. `None` if we accept any of them.
    pub(crate) audience: Option<String>,
}

pub(crate) type ReadPolicy = fn(&str) -> Result<QueryRequirements, Problem>;

/// Requests look up their queries without a lock.
pub(crate) struct Queries {
    read: ReadPolicy,
    /// Required in addition to the policy of each query
    required: Option<Policy>,
    known: ArcSwap<Vec<Arc<Known>>>,
}

pub(crate) struct Known {
    query: Box<str>,
    pub(crate) audience: Option<String>,
    pub(crate) requirement: Option<Requirement<NoPrivate>>,
}

impl Queries {
    /// The maximum number of cached queries, and of bytes in each. A proxy has one query per
    /// policy, but a client that gets to choose its own could send any number of them.
    const MAX_QUERIES: usize = 64;
    const MAX_LEN: usize = 2048;

    pub(crate) fn new(read: ReadPolicy, required: Option<Policy>) -> Self {
        Self {
            read,
            required,
            known: ArcSwap::default(),
        }
    }

    /// The requirements of a query.
    ///
    /// # Errors
    /// Returns the problem with an invalid query. Problems are not cached.
    pub(crate) fn required_by(&self, query: &str) -> Result<Arc<Known>, Problem> {
        let held = self.known.load();
        if let Some(known) = held.iter().find(|known| *known.query == *query) {
            return Ok(Arc::clone(known));
        }
        let QueryRequirements { policy, audience } = (self.read)(query)?;
        let policies = self.required.clone().into_iter().chain(policy);
        let policy = policies.reduce(|one, other| one & other);
        let known = Arc::new(Known {
            query: query.into(),
            audience,
            requirement: policy.map(Requirement::from),
        });
        if held.len() < Self::MAX_QUERIES && query.len() <= Self::MAX_LEN {
            self.known.rcu(|held| {
                let mut held = Vec::clone(held);
                // In the meantime, another request may have taken the last place or parsed the same
                // query.
                let is_new = held.iter().all(|held| held.query != known.query);
                if is_new && held.len() < Self::MAX_QUERIES {
                    held.push(Arc::clone(&known));
                }
                held
            });
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;
    use crate::auth::policy::scope;

    /// Requires the scope `b`, and the query as the audience.
    fn read(query: &str) -> Result<QueryRequirements, Problem> {
        if query == "wrong" {
            return Err(Problem::BadRequest);
        }
        Ok(QueryRequirements {
            policy: Some(scope("b")),
            audience: Some(query.to_owned()),
        })
    }

    #[test]
    fn reads_a_query_once() {
        let queries = Queries::new(read, Some(scope("a")));
        let first = queries.required_by("x").unwrap();
        let scopes = first.requirement.as_ref().and_then(Requirement::scopes);
        assert_eq!(scopes.as_deref(), Some("a b"));
        assert!(Arc::ptr_eq(&first, &queries.required_by("x").unwrap()));
        let other = queries.required_by("y").unwrap();
        assert_eq!(other.audience.as_deref(), Some("y"));
        for _ in 0..2 {
            assert_eq!(
                queries.required_by("wrong").err(),
                Some(Problem::BadRequest)
            );
        }
    }

    #[test]
    fn keeps_a_query_once_even_if_several_requests_read_it() {
        const THREADS: usize = 8;
        static ALL: Barrier = Barrier::new(THREADS);
        let queries = Queries::new(
            |_| {
                ALL.wait();
                Ok(QueryRequirements::default())
            },
            None,
        );
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| queries.required_by("x").unwrap());
            }
        });
        assert_eq!(queries.known.load().len(), 1);
    }

    #[test]
    fn keeps_a_bounded_number_of_bounded_queries() {
        let queries = Queries::new(read, None);
        let long = "x".repeat(Queries::MAX_LEN + 1);
        queries.required_by(&long).unwrap();
        assert_eq!(queries.known.load().len(), 0);
        for i in 0..2 * Queries::MAX_QUERIES {
            let query = i.to_string();
            let known = queries.required_by(&query).unwrap();
            assert_eq!(known.audience.as_deref(), Some(&*query));
        }
        assert_eq!(queries.known.load().len(), Queries::MAX_QUERIES);
    }
}
