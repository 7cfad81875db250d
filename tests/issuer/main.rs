//! The issuer does what its callers rely on: it speaks HTTP as an issuer does, its signatures hold,
//! and its faults are those that were asked for.

mod faults;
mod fixtures;
mod grant;
mod keys;
mod server;
mod tokens;
