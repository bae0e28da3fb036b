//! Search over many nodes with the answer of one.

pub mod answer;
pub mod exchange;
pub mod facets;
pub mod hit;
pub mod merge;
pub mod plan;
pub mod query;
pub mod rank;
pub mod url;
