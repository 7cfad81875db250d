//! A page for each error code: its meaning, its likely causes, and the fix for each cause.
//!
//! We write these texts only once. `/errors/{code}` shows them, `explain` picks one of the causes,
//! and the table in `docs/errors.md` has a column with `when`.

pub mod causes;
mod pages;
pub(super) mod show;

use warp::http::StatusCode;

use crate::auth::{AuthError, Problem, error::BearerError};

pub use self::pages::PAGES;

/// The page of one code.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The code, as in the body of a response.
    pub code: &'static str,
    /// The condition that leads to the code.
    pub when: &'static str,
    /// The likely causes, the most likely first.
    pub causes: &'static [Cause],
}

/// A cause of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// The cause, as a sentence.
    pub what: &'static str,
    /// The fix, as a sentence.
    pub fix: &'static str,
}

/// The parts of a response that its code determines.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The error of RFC 6750. `None` if the code has none.
    pub error: Option<&'static str>,
    /// The sentence in the body.
    pub detail: &'static str,
}

impl Page {
    /// The page of a code.
    pub fn of(code: &str) -> Option<&'static Self> {
        PAGES.iter().find(|page| page.code == code)
    }

    /// The parts of a response with this code.
    ///
    /// # Panics
    ///
    /// Panics for a page that is not one of [`PAGES`] and has an unknown code.
    pub fn answer(&self) -> Answer {
        let of_tokens = AuthError::ALL.iter().map(|error| {
            let answer = Answer {
                status: error.status(),
                error: error.error().map(BearerError::as_str),
                detail: error.detail(),
            };
            (error.code(), answer)
        });
        let others = Problem::ALL.iter().map(|problem| {
            let answer = Answer {
                status: problem.status(),
                error: None,
                detail: problem.detail(),
            };
            (problem.code(), answer)
        });
        let mut answers = of_tokens.chain(others);
        let found = answers.find(|(code, _)| *code == self.code);
        found.expect("a test checks that every page has a code").1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_a_page_in_catalogue_order() {
        let codes = AuthError::ALL.iter().map(|error| error.code());
        let codes = codes.chain(Problem::ALL.iter().map(|problem| problem.code()));
        let pages = PAGES.iter().map(|page| page.code);
        assert_eq!(pages.collect::<Vec<_>>(), codes.collect::<Vec<_>>());
    }

    #[test]
    fn pages_are_complete_and_list_each_cause_once() {
        for page in PAGES {
            let mut seen = HashSet::new();
            assert!(!page.when.is_empty(), "{}", page.code);
            assert!(!page.causes.is_empty(), "{}", page.code);
            for cause in page.causes {
                let sentence = |text: &str| text.ends_with('.') && text.is_ascii();
                assert!(sentence(cause.what), "{}: {}", page.code, cause.what);
                assert!(sentence(cause.fix), "{}: {}", page.code, cause.fix);
                assert!(
                    seen.insert((cause.what, cause.fix)),
                    "twice: {}",
                    cause.what
                );
            }
        }
    }
}
