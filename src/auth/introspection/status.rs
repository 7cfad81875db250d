//! [`IntrospectionStatus`]: what operators see of introspection at one issuer.

/// The answers of one issuer's introspection endpoint since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntrospectionStatus {
    /// The issuer.
    pub issuer: String,
    /// Answers that the token is active.
    pub active: u64,
    /// Answers that the token is not active.
    pub inactive: u64,
    /// Requests without a readable answer.
    pub failed: u64,
    /// Requests that the endpoint answered with 401 or 403, because it rejects our credentials.
    /// They count as `failed` too.
    pub denied: u64,
    /// Tokens that were not asked about, because the budget was empty or too many requests were in
    /// flight.
    pub refused: u64,
    /// The number of cached answers.
    pub cached: usize,
}
