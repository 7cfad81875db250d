//! [`Queries`]: what the queries of requests ask for, each read once.
//!
//! A proxy writes the policy of a path into the query of each request about it, so that the same few
//! queries come again and again. Reading one of 64 scopes costs half as much as the rest of a request.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::auth::{
    Problem,
    claims::NoPrivate,
    policy::{Policy, Requirement},
};

/// The requirements in the query of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct QueryRequirements {
    /// The policy. `None` if a valid token is enough.
    pub(crate) policy: Option<Policy>,
    /// The audience, which must be a configured one. `None` if any configured audience is accepted.
    pub(crate) audience: Option<String>,
}

/// Parses the requirements in a query.
pub(crate) type ReadPolicy = fn(&str) -> Result<QueryRequirements, Problem>;

/// The queries that were read so far. Requests look them up without a lock.
pub(crate) struct Queries {
    read: ReadPolicy,
    /// The policy that every query requires too.
    required: Option<Policy>,
    known: ArcSwap<Vec<Arc<Known>>>,
}

/// A query, and what it asks for.
pub(crate) struct Known {
    query: Box<str>,
    pub(crate) audience: Option<String>,
    pub(crate) requirement: Option<Requirement<NoPrivate>>,
}

impl Queries {
    /// The most queries that are kept, and the longest of them in bytes. A proxy has a query for each
    /// policy; a stranger who may write queries could send any number.
    const MOST: usize = 64;
    const LONGEST: usize = 2048;

    pub(crate) fn new(read: ReadPolicy, required: Option<Policy>) -> Self {
        Self {
            read,
            required,
            known: ArcSwap::default(),
        }
    }

    /// Returns what a query requires.
    ///
    /// # Errors
    /// The problem of a query that cannot be read. It is read again the next time.
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
        if held.len() < Self::MOST && query.len() <= Self::LONGEST {
            self.known.rcu(|held| {
                let mut held = Vec::clone(held);
                // Another request may have taken the last place since, or read the same query.
                let is_new = held.iter().all(|held| held.query != known.query);
                if is_new && held.len() < Self::MOST {
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

    /// Asks for the scope `b` and for the query as the audience.
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
        let long = "x".repeat(Queries::LONGEST + 1);
        queries.required_by(&long).unwrap();
        assert_eq!(queries.known.load().len(), 0);
        for i in 0..2 * Queries::MOST {
            let query = i.to_string();
            let known = queries.required_by(&query).unwrap();
            assert_eq!(known.audience.as_deref(), Some(&*query));
        }
        assert_eq!(queries.known.load().len(), Queries::MOST);
    }
}
