//! Layers for [tower], which also work with axum, tonic and hyper: [`AuthLayer`] and
//! [`RequireLayer`].
//!
//! Like the warp filters, the layers only call [`Auth::authenticate`] and check a [`Requirement`],
//! so a request has the same result and the same response in every framework.
//!
//! With the feature `axum`, [`Claims`] is an extractor for axum 0.8, and [`Refusal`] implements
//! `IntoResponse`. For gRPC, [`AuthLayer::grpc`] responds with a gRPC status instead of JSON.
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
