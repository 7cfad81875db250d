//! The pages match the code, and the programs that they describe.

mod dependencies;
mod peers;
mod readme;
