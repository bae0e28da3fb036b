//! The cluster as this control plane knows it: what it is configured to be, what the store holds, which nodes
//! answer. From these it publishes routing tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use miroir_core::table::RoutingTable;
use tokio::sync::{RwLock, watch};

use crate::config::Config;
use crate::node_client::NodeClient;
use crate::store::{NodeRecord, Store};

/// Shared by every part of the control plane.
pub struct Cluster {
    /// The configuration it was started with.
    pub config: Config,
    /// What survives a restart.
    pub store: Arc<dyn Store>,
    /// One client per node, by node id.
    pub clients: BTreeMap<String, NodeClient>,
    /// The nodes in the order in which the routing table lists them.
    pub nodes: Vec<NodeRecord>,
    /// Which nodes answer and are in step with the cluster's indexes and settings, by node id.
    pub health: RwLock<BTreeMap<String, NodeHealth>>,
    /// Proves to us that a call comes from a filter that we configured.
    pub filter_token: String,
    table: watch::Sender<Arc<RoutingTable>>,
}
