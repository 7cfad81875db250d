//! The filters for warp.

pub(super) mod filter;
pub(super) mod outcome;
pub(super) mod rejection;
pub(super) mod websocket;
