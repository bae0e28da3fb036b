//! What the integration suites share. The suites themselves are in `tests/`: they say what a user of Miroir sees,
//! through Envoy, the filter, the control plane and nodes, all real.

pub mod fake_node;
pub mod pair;
pub mod stats;
pub mod tasks;
pub mod topology;
