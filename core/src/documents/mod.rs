//! Writing and reading documents by shard.

pub mod delete;
pub mod get;
pub mod id;
pub mod payload;
pub mod split;
pub mod write;
pub mod writing;
