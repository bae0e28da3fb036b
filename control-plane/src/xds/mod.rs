//! Tells Envoy by xDS: the nodes' clusters (CDS), the filter and its routing table (ECDS), and in standalone mode the
//! listener (LDS).

mod clusters;
mod compression;
mod delta;
mod envoys;
mod filter;
mod listener;
mod proto;
mod service;
mod snapshot;
mod sotw;
#[cfg(test)]
mod tests;

pub use envoys::{Delivery, Envoy, Envoys, Protocol, Refusal};
pub use filter::{MODULE_PATH, Module};
pub use service::Xds;
pub use snapshot::{Kind, Snapshot, follow};
