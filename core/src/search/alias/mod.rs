//! Searches that name an alias. One of a single index by its path needs nothing of this: its path is rewritten.

mod federated;
mod multi;
pub mod positions;
mod search;

pub use multi::AliasedMultiSearch;
pub use search::{AliasSearch, exchange as search};
