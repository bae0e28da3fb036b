//! Which Envoys are connected, and what each was sent, took and refused.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3::{Node, node::UserAgentVersionType};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::watch;

use super::{Kind, snapshot};

/// Nobody asks about Envoys that have been away for longer.
const FORGET: Duration = Duration::from_secs(3600);

/// All connected Envoys.
#[derive(Clone, Default)]
pub struct Envoys {
    streams: Arc<watch::Sender<BTreeMap<u64, Envoy>>>,
    next: Arc<AtomicU64>,
    /// The routing table that Envoys had when they went away, by `node.id`.
    gone: Arc<Mutex<BTreeMap<String, (Instant, u64)>>>,
}

/// One stream of an Envoy.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Envoy {
    /// Its `node.id`.
    pub node: String,
    /// Its `node.cluster`.
    pub cluster: String,
    /// Its version.
    pub version: String,
    /// `stateOfTheWorld` or `incremental`.
    pub protocol: Protocol,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub connected_at: OffsetDateTime,
    /// What became of the resources of each type that it asked for.
    pub resources: BTreeMap<Kind, Delivery>,
}

/// The variants of xDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// Every answer holds all resources of a type.
    StateOfTheWorld,
    /// Every answer holds what has changed.
    Incremental,
}

/// What became of the resources of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The version last sent.
    pub sent: Option<String>,
    /// The version last acknowledged: what the Envoy runs with.
    pub acknowledged: Option<String>,
    /// The version refused, if none was acknowledged since.
    pub refused: Option<Refusal>,
}

/// A NACK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// What was refused.
    pub version: String,
    /// Why, in Envoy's words.
    pub message: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: OffsetDateTime,
}

impl Envoys {
    /// Those that are connected now.
    pub fn connected(&self) -> Vec<Envoy> {
        self.streams.borrow().values().cloned().collect()
    }

    /// Tells of each change.
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<u64, Envoy>> {
        self.streams.subscribe()
    }

    /// Waits until every connected Envoy that takes the filter from us runs with the routing table of this version
    /// or a newer one, or has refused it.
    pub async fn run_with(&self, table_version: u64) {
        let reached = |version: &Option<String>| {
            version
                .as_deref()
                .and_then(snapshot::table_version)
                .is_some_and(|version| version >= table_version)
        };
        let done = |delivery: &Delivery| {
            reached(&delivery.acknowledged)
                || delivery.refused.as_ref().is_some_and(|refusal| reached(&Some(refusal.version.clone())))
        };
        let all_done = |envoys: &BTreeMap<u64, Envoy>| {
            envoys.values().filter_map(|envoy| envoy.resources.get(&Kind::Filter)).all(done)
        };
        // It can't end before we do: the sender is ours.
        let _ = self.subscribe().wait_for(all_done).await;
    }

    /// Takes these for Envoys that went away just now, with a table that is not known: those that an earlier run of the
    /// control plane has seen.
    pub fn expect(&self, nodes: impl IntoIterator<Item = String>) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.extend(nodes.into_iter().map(|node| (node, (Instant::now(), 0))));
    }

    /// Whether every Envoy has the routing table of this version or a newer one: of those that are connected, and of those
    /// that were within `grace`.
    pub fn all_know_of(&self, version: u64, grace: Duration) -> bool {
        let knows = |envoy: &Envoy| envoy.table_version().is_none_or(|has| has >= version);
        if !self.streams.borrow().values().all(knows) {
            return false;
        }
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|_, (since, _)| since.elapsed() < grace.max(FORGET));
        gone.values().filter(|(since, _)| since.elapsed() < grace).all(|(_, has)| *has >= version)
    }

    pub(super) fn connect(&self, protocol: Protocol) -> Connection {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let envoy = Envoy {
            node: String::new(),
            cluster: String::new(),
            version: String::new(),
            protocol,
            connected_at: OffsetDateTime::now_utc(),
            resources: BTreeMap::new(),
        };
        self.streams.send_modify(|streams| {
            streams.insert(id, envoy);
        });
        Connection { envoys: self.clone(), id }
    }
}

/// One Envoy's entry among [`Envoys`], for as long as its stream lasts.
pub struct Connection {
    envoys: Envoys,
    id: u64,
}

impl Envoy {
    /// The version of the routing table that it runs with, 0 if it has none yet; `None` if it does not take the filter
    /// from us.
    fn table_version(&self) -> Option<u64> {
        let delivery = self.resources.get(&Kind::Filter)?;
        Some(delivery.acknowledged.as_deref().and_then(snapshot::table_version).unwrap_or(0))
    }
}

impl Connection {
    /// Envoy says who it is, at least in a stream's first request.
    pub fn identify(&self, node: Option<&Node>) {
        let Some(node) = node else { return };
        if self.envoys.streams.borrow().get(&self.id).is_none_or(|envoy| envoy.node == node.id) {
            return;
        }
        let version = match &node.user_agent_version_type {
            Some(UserAgentVersionType::UserAgentVersion(version)) => version.clone(),
            Some(UserAgentVersionType::UserAgentBuildVersion(build)) => {
                build.version.as_ref().map_or_else(String::new, |version| {
                    format!("{}.{}.{}", version.major_number, version.minor_number, version.patch)
                })
            }
            None => String::new(),
        };
        tracing::info!(envoy = node.id, %version, "Envoy connected");
        self.update(|envoy| {
            envoy.node = node.id.clone();
            envoy.cluster = node.cluster.clone();
            envoy.version = version;
        });
    }

    /// Resources were sent.
    pub fn sent(&self, kind: Kind, version: &str) {
        metrics::counter!("miroir_xds_sent_total", "type" => kind.label()).increment(1);
        self.deliver(kind, |delivery| delivery.sent = Some(version.to_owned()));
    }

    /// Resources were taken.
    pub fn acknowledged(&self, kind: Kind, version: &str) {
        if kind == Kind::Filter {
            // It is back, or another one is there in its place.
            let node = self.envoys.streams.borrow().get(&self.id).map(|envoy| envoy.node.clone());
            let mut gone = self.envoys.gone.lock().unwrap_or_else(PoisonError::into_inner);
            gone.remove(&node.unwrap_or_default());
        }
        self.deliver(kind, |delivery| {
            delivery.acknowledged = Some(version.to_owned());
            delivery.refused = None;
        });
    }

    /// Resources were refused.
    pub fn refused(&self, kind: Kind, version: &str, message: &str) {
        metrics::counter!("miroir_xds_nacks_total", "type" => kind.label()).increment(1);
        let refusal = Refusal {
            version: version.to_owned(),
            message: message.to_owned(),
            at: OffsetDateTime::now_utc(),
        };
        self.deliver(kind, |delivery| delivery.refused = Some(refusal));
        let envoy = self.envoys.streams.borrow().get(&self.id).map(|envoy| envoy.node.clone());
        tracing::error!(envoy, kind = kind.label(), version, "Envoy refused its configuration: {message}");
    }

    fn deliver(&self, kind: Kind, change: impl FnOnce(&mut Delivery)) {
        self.update(|envoy| change(envoy.resources.entry(kind).or_default()));
    }

    fn update(&self, change: impl FnOnce(&mut Envoy)) {
        self.envoys.streams.send_modify(|streams| {
            if let Some(envoy) = streams.get_mut(&self.id) {
                change(envoy);
            }
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.envoys.streams.send_modify(|streams| {
            if let Some(envoy) = streams.remove(&self.id) {
                if let Some(version) = envoy.table_version() {
                    let mut gone = self.envoys.gone.lock().unwrap_or_else(PoisonError::into_inner);
                    gone.insert(envoy.node.clone(), (Instant::now(), version));
                }
                tracing::info!(envoy = envoy.node, "Envoy disconnected");
            }
        });
    }
}
