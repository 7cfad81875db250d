//! Which tokens are accepted and which are rejected: hostile ones, those of real issuers, and
//! random ones.

mod attacks;
mod presets;
mod properties;
mod second_opinion;
mod second_opinion_of_proofs;
mod shapes;
#[path = "../support/mod.rs"]
mod support;
