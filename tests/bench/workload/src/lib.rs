//! The work of the filter that is timed, the same natively and inside Wasm: merging answers and splitting documents.

mod merging;
#[cfg(target_arch = "wasm32")]
mod module;
mod splitting;
mod timing;

pub use merging::{HITS, Merging};
pub use splitting::Splitting;
pub use timing::{Job, times};
