//! The configuration: its keys, their defaults and what is allowed.

mod check;
mod load;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use miroir_core::table::{Policy, UnavailableShard};
use serde::Deserialize;

pub use check::{MAX_SHARDS, check_node};
pub use load::load;

/// What `miroir serve` is configured to do. See `docs/configuration.md` for each key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// S. Fixed for the life of a cluster.
    #[serde(default = "default_shards")]
    pub shards: u32,
    /// RF: copies of a shard inside a group.
    #[serde(default = "default_replication_factor")]
    pub replication_factor: usize,
    /// How many groups the nodes form; only to have it checked.
    #[serde(default)]
    pub replica_groups: Option<usize>,
    /// The Meilisearch instances.
    pub nodes: Vec<NodeConfig>,
    /// The master key of all nodes; never in the YAML.
    #[serde(skip)]
    pub master_key: Secret,
    /// The key of our own REST API; never in the YAML.
    #[serde(skip)]
    pub admin_key: Secret,
    /// A file that holds the master key.
    #[serde(default)]
    pub master_key_file: Option<PathBuf>,
    /// A file that holds the admin key.
    #[serde(default)]
    pub admin_key_file: Option<PathBuf>,
    /// Where state is kept.
    #[serde(default)]
    pub task_store: TaskStoreConfig,
    /// Where we listen.
    #[serde(default)]
    pub listen: ListenConfig,
    /// The Wasm module.
    pub filter: FilterConfig,
    /// Serve Envoy its listener too.
    #[serde(default)]
    pub standalone: Option<StandaloneConfig>,
    /// See [`Policy::write_quorum`].
    #[serde(default)]
    pub write_quorum: Option<usize>,
    /// See [`Policy::unavailable_shard`].
    #[serde(default)]
    pub unavailable_shard_policy: UnavailableShard,
    /// See [`Policy::body_limit`].
    #[serde(default = "default_body_limit")]
    pub body_limit: usize,
    /// See [`Policy::write_buffer_limit`].
    #[serde(default = "default_write_buffer_limit")]
    pub write_buffer_limit: usize,
    /// How long others may take to answer.
    #[serde(default)]
    pub timeouts: TimeoutConfig,
    /// How nodes are checked, by Envoy and by us.
    #[serde(default)]
    pub health: HealthConfig,
    /// How shards are moved and replicas repaired.
    #[serde(default)]
    pub rebalance: RebalanceConfig,
    /// How replicas are compared.
    #[serde(default)]
    pub anti_entropy: AntiEntropyConfig,
    /// How long answers are remembered for who repeats a request.
    #[serde(default)]
    pub idempotency: IdempotencyConfig,
    /// How reads wait for writes.
    #[serde(default)]
    pub sessions: SessionsConfig,
    /// How long tasks that are over are kept.
    #[serde(default)]
    pub tasks: TasksConfig,
}

/// One Meilisearch instance.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Its name.
    pub id: String,
    /// Where it is: scheme, host and port.
    pub url: String,
    /// Its replica group.
    #[serde(default = "default_group")]
    pub group: String,
    /// Its share of the shards relative to the other nodes of its group.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// An Envoy cluster that the mesh already has for it.
    #[serde(default)]
    pub cluster: Option<String>,
}

/// Where state is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskStoreConfig {
    /// What keeps it.
    pub backend: Backend,
    /// SQLite's file.
    pub path: PathBuf,
    /// Where Redis is: `redis://` or `rediss://`, host, port and the number of the database.
    pub url: Option<String>,
    /// A file that holds the password for Redis.
    pub password_file: Option<PathBuf>,
    /// The password for Redis; never in the YAML. Empty for none.
    #[serde(skip)]
    pub password: Secret,
    /// The certificates of the authorities that a Redis with TLS may be signed by, as PEM; those of the Web if not given.
    pub ca_file: Option<PathBuf>,
}

impl Default for TaskStoreConfig {
    fn default() -> Self {
        TaskStoreConfig {
            backend: Backend::Sqlite,
            path: "miroir.db".into(),
            url: None,
            password_file: None,
            password: Secret::default(),
            ca_file: None,
        }
    }
}

/// What keeps the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A file next to the one control plane there is.
    Sqlite,
    /// A Redis, for one or several control planes.
    Redis,
}

/// Where we listen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// For all that Envoy talks to: xDS, the Meilisearch API's cold path, the filter's calls, the Wasm module.
    pub envoy: SocketAddr,
    /// For operators: REST under `/_miroir`, `/metrics`.
    pub admin: SocketAddr,
    /// The host by which other control planes reach these two ports.
    pub advertise: Option<String>,
}

impl Default for ListenConfig {
    fn default() -> Self {
        ListenConfig {
            envoy: ([0, 0, 0, 0], 18000).into(),
            admin: ([0, 0, 0, 0], 8080).into(),
            advertise: None,
        }
    }
}

/// The Wasm module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// Its file: on our disk if Envoy fetches it from us, else on Envoy's.
    pub module: PathBuf,
    /// How Envoy comes by it.
    #[serde(default)]
    pub source: FilterSource,
}

/// How Envoy comes by the Wasm module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterSource {
    /// It has it on its disk.
    #[default]
    Local,
    /// It fetches it from our port. Envoy 1.40 itself calls this unstable.
    Remote,
}

/// What is served by LDS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandaloneConfig {
    /// The address on which Envoy answers clients.
    pub listen: SocketAddr,
}

/// How long others may take to answer, in milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutConfig {
    /// See [`Policy::read_timeout_ms`].
    pub read_ms: u64,
    /// See [`Policy::write_timeout_ms`].
    pub write_ms: u64,
    /// See [`Policy::control_plane_timeout_ms`].
    pub control_plane_ms: u64,
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        let policy = Policy::default();
        TimeoutConfig {
            read_ms: policy.read_timeout_ms,
            write_ms: policy.write_timeout_ms,
            control_plane_ms: policy.control_plane_timeout_ms,
        }
    }
}

/// How nodes are checked, by Envoy and by us.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// The pause between two checks of a node.
    pub interval_ms: u64,
    /// How long a node may take to answer one.
    pub timeout_ms: u64,
    /// So many good answers in a row bring a node up.
    pub healthy_threshold: u32,
    /// So many bad answers in a row bring a node down.
    pub unhealthy_threshold: u32,
    /// The pause between two checks of the settings that nodes hold.
    pub settings_interval_ms: u64,
}

impl Default for HealthConfig {
    fn default() -> Self {
        HealthConfig {
            interval_ms: 2_000,
            timeout_ms: 2_000,
            healthy_threshold: 1,
            unhealthy_threshold: 2,
            settings_interval_ms: 60_000,
        }
    }
}

/// How shards are moved and replicas repaired.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RebalanceConfig {
    /// In how many shards nodes may be joining at once, and how many shards are copied in one go.
    pub shards_at_once: usize,
    /// To how many nodes documents are copied at once.
    pub nodes_at_once: usize,
    /// How many documents are copied per second, all in all; as fast as can be if not given.
    pub documents_per_second: Option<f64>,
    /// How long a write that has begun is waited for. After that an epoch begins in which it can't be acknowledged any
    /// more: its Envoy has died, or its client has to send it again.
    pub write_patience_ms: u64,
    /// What a node has left over is not deleted while an Envoy that was connected within this time may still read it.
    pub envoy_grace_ms: u64,
}

impl Default for RebalanceConfig {
    fn default() -> Self {
        RebalanceConfig {
            shards_at_once: 8,
            nodes_at_once: 4,
            documents_per_second: None,
            write_patience_ms: 60_000,
            envoy_grace_ms: 600_000,
        }
    }
}

/// How replicas are compared.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AntiEntropyConfig {
    /// The pause between two checks; null for none but those that are asked for.
    pub interval_ms: Option<u64>,
    /// Whether what is found on schedule is repaired, or reported only.
    pub repair: bool,
}

impl Default for AntiEntropyConfig {
    fn default() -> Self {
        AntiEntropyConfig { interval_ms: Some(24 * 60 * 60 * 1000), repair: true }
    }
}

/// How long answers are remembered for who repeats a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdempotencyConfig {
    /// So long after it was given.
    pub ttl_ms: u64,
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        IdempotencyConfig { ttl_ms: 24 * 60 * 60 * 1000 }
    }
}

/// How reads wait for writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsConfig {
    /// How long a session is remembered after its last write.
    pub ttl_ms: u64,
    /// How long a read waits for the writes of its session, or for a version of the settings.
    pub wait_ms: u64,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        SessionsConfig { ttl_ms: 60 * 60 * 1000, wait_ms: 5_000 }
    }
}

/// How long tasks that are over are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TasksConfig {
    /// So long after they ended; as long as there is room if not given.
    pub keep_ms: Option<u64>,
    /// When there are more tasks than this, a tenth of them goes.
    pub keep_at_most: u64,
}

impl Default for TasksConfig {
    fn default() -> Self {
        TasksConfig { keep_ms: None, keep_at_most: 1_000_000 }
    }
}

/// A key that must not turn up in a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The key itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(key: &str) -> Self {
        Secret(key.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a configuration was refused: the key, the value, and what is allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(pub String);

impl Config {
    /// How long the filter's calls may wait for something before they are answered: `wait`, if it would wait so long itself.
    pub fn wait(&self, wait: Duration) -> Duration {
        let patience = Duration::from_millis(self.timeouts.control_plane_ms);
        wait.min(patience - patience / 4)
    }

    /// The limits and policies that the filter is told.
    pub fn policy(&self) -> Policy {
        Policy {
            write_quorum: self.write_quorum,
            unavailable_shard: self.unavailable_shard_policy,
            body_limit: self.body_limit,
            write_buffer_limit: self.write_buffer_limit,
            read_timeout_ms: self.timeouts.read_ms,
            write_timeout_ms: self.timeouts.write_ms,
            control_plane_timeout_ms: self.timeouts.control_plane_ms,
            ..Policy::default()
        }
    }
}

fn default_shards() -> u32 {
    64
}

fn default_replication_factor() -> usize {
    1
}

fn default_body_limit() -> usize {
    Policy::default().body_limit
}

fn default_write_buffer_limit() -> usize {
    Policy::default().write_buffer_limit
}

fn default_group() -> String {
    "default".into()
}

fn default_weight() -> f64 {
    1.0
}
