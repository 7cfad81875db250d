//! [`IntrospectionStatus`]: the state of introspection at one issuer, for operators.

/// Counts the answers of one issuer's introspection endpoint since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntrospectionStatus {
    /// The issuer.
    pub issuer: String,
    /// Answers that said the token is active.
    pub active: u64,
    /// Answers that said the token is not active.
    pub inactive: u64,
    /// Requests without a readable answer.
    pub failed: u64,
    /// Requests that the endpoint answered with 401 or 403, because it rejected our credentials.
    /// They count as `failed` too.
    pub denied: u64,
    /// Tokens that were not introspected, because the budget was spent or too many requests were in
    /// flight.
    pub refused: u64,
    /// The number of cached answers.
    pub cached: usize,
}
