//! Copies between nodes, by the control plane's own library and without Envoy: clients write to the nodes as the filter
//! does.

mod anti_entropy;
mod interrupted;
mod nodes;
mod strays;
mod values;
mod writers;
