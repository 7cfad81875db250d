//! The filters for warp.

pub(super) mod filter;
pub(super) mod rejection;
pub(super) mod websocket;
