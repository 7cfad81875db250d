//! The pages match the code and the programs that they describe.

mod peers;
mod readme;
