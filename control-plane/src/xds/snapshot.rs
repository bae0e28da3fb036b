//! What Envoy is told: all resources of one moment, with one version per type.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::google::protobuf::Any;
use miroir_core::table::RoutingTable;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::filter::Module;
use super::{clusters, filter, listener};
use crate::cluster::Cluster;

/// A type of resource, in the order in which changes are pushed: a cluster before the routing table that names it,
/// the filter before the listener that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// CDS.
    Clusters,
    /// ECDS.
    Filter,
    /// LDS.
    Listeners,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Kind; 3] = [Kind::Clusters, Kind::Filter, Kind::Listeners];

    /// Its name in xDS.
    pub fn type_url(self) -> &'static str {
        match self {
            Kind::Clusters => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Kind::Filter => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Kind::Listeners => "type.googleapis.com/envoy.config.listener.v3.Listener",
        }
    }

    /// The type that xDS calls so, if we serve it.
    pub fn of(type_url: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// Its name in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Clusters => "clusters",
            Kind::Filter => "filter",
            Kind::Listeners => "listeners",
        }
    }

    /// Whether asking for no resource by name means asking for all.
    pub fn has_wildcard(self) -> bool {
        self != Kind::Filter
    }
}

/// All resources of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    clusters: Arc<Resources>,
    filter: Arc<Resources>,
    listeners: Arc<Resources>,
}

/// All resources of a type.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// Differs if any of them differs.
    pub version: String,
    /// Each, by its name.
    pub by_name: BTreeMap<String, Resource>,
}

/// One resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Differs if its body differs.
    pub version: String,
    /// The message.
    pub body: Any,
}

impl Snapshot {
    /// The resources of one type.
    pub fn resources(&self, kind: Kind) -> &Resources {
        match kind {
            Kind::Clusters => &self.clusters,
            Kind::Filter => &self.filter,
            Kind::Listeners => &self.listeners,
        }
    }

    /// What follows from the cluster and its first routing table.
    pub fn first(cluster: &Cluster, module: &Module, table: &RoutingTable) -> Snapshot {
        let listener = cluster.config.standalone.as_ref();
        let listener = listener.map(|standalone| listener::listener(standalone, &cluster.config));
        Snapshot {
            clusters: Arc::new(node_clusters(cluster)),
            filter: Arc::new(filter_resources(module, table)),
            listeners: Arc::new(Resources::by_content(listener)),
        }
    }

    /// The same with another routing table, and the clusters of the nodes as they are now.
    fn with_table(&self, cluster: &Cluster, module: &Module, table: &RoutingTable) -> Snapshot {
        let clusters = node_clusters(cluster);
        let clusters = if clusters == *self.clusters { self.clusters.clone() } else { Arc::new(clusters) };
        Snapshot { clusters, filter: Arc::new(filter_resources(module, table)), ..self.clone() }
    }
}

/// Turns each routing table of the cluster into a snapshot.
pub async fn follow(cluster: Arc<Cluster>, module: Module, snapshots: watch::Sender<Option<Arc<Snapshot>>>) {
    let mut tables = cluster.subscribe();
    let mut snapshot = Snapshot::first(&cluster, &module, &tables.borrow_and_update());
    loop {
        snapshots.send_replace(Some(Arc::new(snapshot.clone())));
        if tables.changed().await.is_err() {
            return;
        }
        let table = tables.borrow_and_update().clone();
        snapshot = snapshot.with_table(&cluster, &module, &table);
    }
}

fn node_clusters(cluster: &Cluster) -> Resources {
    let members = cluster.members();
    let clusters = members.nodes.iter().filter(|node| node.cluster.is_none());
    Resources::by_content(clusters.filter_map(|node| clusters::cluster(node, &cluster.config.health)))
}

/// The version of the routing table in a version of the filter.
pub fn table_version(filter_version: &str) -> Option<u64> {
    filter_version.rsplit('.').next()?.parse().ok()
}

/// Versions that say which epoch and table an Envoy has.
fn filter_resources(module: &Module, table: &RoutingTable) -> Resources {
    let version = format!("{}.{}", table.epoch, table.version);
    let (name, body) = filter::filter(module, table);
    let resource = Resource { version: version.clone(), body };
    Resources { version, by_name: BTreeMap::from([(name, resource)]) }
}

impl Resources {
    /// With versions that say the same of the same content after a restart.
    fn by_content(resources: impl IntoIterator<Item = (String, Any)>) -> Resources {
        let by_name: BTreeMap<String, Resource> = resources
            .into_iter()
            .map(|(name, body)| (name, Resource { version: digest([&body.value[..]]), body }))
            .collect();
        let version = digest(
            by_name
                .iter()
                .flat_map(|(name, resource)| [name.as_bytes(), b"\0", resource.version.as_bytes(), b"\0"]),
        );
        Resources { version, by_name }
    }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..8])
}
