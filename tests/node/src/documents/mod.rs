//! The documents of an index.

pub mod payload;
pub mod pointer;
pub mod read;
pub mod sort;
