//! Searching an index.

pub mod embedders;
pub mod facet_search;
pub mod facets;
pub mod federated;
pub mod filter;
pub mod format;
pub mod hits;
pub mod query;
pub mod request;
pub mod similar;
