//! Writing and reading documents by shard.

pub mod browse;
pub mod change;
pub mod delete;
pub mod filtered;
pub mod function;
pub mod get;
pub mod id;
pub mod parameters;
pub mod payload;
pub mod replicas;
pub mod split;
pub mod tally;
pub mod waiting;
pub mod write;
pub mod writing;
