//! [`IntrospectionStatus`]: the state of introspection at one issuer, for operators.

/// Counts the introspection requests to one issuer since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntrospectionStatus {
    /// The issuer.
    pub issuer: String,
    /// Responses for active tokens.
    pub active: u64,
    /// Responses for inactive tokens.
    pub inactive: u64,
    /// Requests without a valid response.
    pub failed: u64,
    /// Requests that failed with 401 or 403, because the endpoint rejected our credentials. They
    /// are also counted in `failed`.
    pub denied: u64,
    /// Tokens that were rejected without a request, because the budget was spent or too many
    /// requests were in flight.
    pub refused: u64,
    /// The number of cached responses.
    pub cached: usize,
}
