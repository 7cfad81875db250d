//! The pages say what the code does, and what the programs beside it do.

mod peers;
mod readme;
