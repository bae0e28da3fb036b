//! What both sides of Miroir must agree on, and everything that can be decided without I/O.

pub mod alias;
pub mod any_node;
pub mod control;
pub mod cors;
pub mod decoding;
pub mod documents;
pub mod error;
pub mod exchange;
pub mod fan_out;
pub mod fresh;
pub mod hide;
pub mod idempotency;
pub mod json;
pub mod pace;
pub mod placement;
pub mod proxy;
pub mod rebalance;
pub mod router;
pub mod routing;
pub mod search;
pub mod session;
pub mod settings;
pub mod shard;
pub mod shard_set;
pub mod table;
pub mod tag;
