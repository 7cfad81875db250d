//! Layers for [tower], and so for axum, tonic and hyper: [`AuthLayer`] and [`RequireLayer`].
//!
//! The layers contain no rules of their own. Like warp's filters, they pass a request to
//! [`Auth::authenticate`] and its claims to a [`Requirement`], so a request gets the same outcome
//! and the same response in every framework.
//!
//! With the feature `axum`, [`Claims`] is an extractor and [`Refusal`] a response of axum 0.8. For
//! gRPC, [`AuthLayer::grpc`] answers with a gRPC status instead of JSON.
//!
//! [tower]: https://docs.rs/tower
//! [`Auth::authenticate`]: crate::auth::Auth::authenticate
//! [`Requirement`]: crate::auth::policy::Requirement
//! [`Claims`]: crate::auth::Claims
//! [`Refusal`]: crate::auth::Refusal

#[cfg(feature = "axum")]
mod axum;
mod grpc;
mod layer;

pub use self::{
    grpc::GrpcStatus,
    layer::{AuthLayer, AuthService, IntoRequirement, ProblemJson, RefusalResponse, RequireLayer},
};
