//! Miroir's control plane: places shards on nodes, tells Envoy by xDS, keeps indexes and settings the same on
//! all nodes, and answers the part of the Meilisearch API that touches neither documents nor search.

pub mod admin;
pub mod aliases;
pub mod anti_entropy;
pub mod api;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod copy;
pub mod health;
pub mod indexes;
pub mod instance;
pub mod keys;
pub mod leadership;
pub mod migrate;
pub mod node_client;
pub mod rebalance;
pub mod reconcile;
mod refusal;
mod routing;
pub mod server;
pub mod stats;
pub mod store;
pub mod tasks;
#[cfg(test)]
mod testing;
mod unbroken;
pub mod webhooks;
pub mod xds;
