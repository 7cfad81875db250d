//! Which tokens are accepted, and which are refused? Hostile ones, those of real issuers, random ones.

mod attacks;
mod properties;
mod second_opinion;
mod shapes;
#[path = "../support/mod.rs"]
mod support;
