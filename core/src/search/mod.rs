//! Search over many nodes with the answer of one.

pub mod answer;
pub mod facets;
pub mod hit;
pub mod merge;
pub mod query;
pub mod question;
pub mod rank;
pub mod url;
