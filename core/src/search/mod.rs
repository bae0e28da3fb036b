//! Search over many nodes with the answer of one.

pub mod alias;
pub mod answer;
pub mod facet_search;
pub mod facets;
pub mod federated;
pub mod federated_merge;
pub mod federation;
pub mod hit;
pub mod index_search;
pub mod merge;
pub mod multi;
pub mod neighbours;
pub mod query;
pub mod question;
pub mod rank;
pub mod ranking;
mod settled;
pub mod similar;
pub mod url;
pub mod values;
