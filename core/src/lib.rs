//! What both sides of Miroir must agree on, and everything that can be decided without I/O.

pub mod control;
pub mod error;
pub mod placement;
pub mod shard;
pub mod tag;
pub mod table;
