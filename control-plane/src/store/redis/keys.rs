//! The names of the keys in Redis. Several clusters on one Redis take several of its databases.

/// The schema version of the store.
pub const SCHEMA: &str = "miroir:schema";
/// There while the state of another store is taken over.
pub const IMPORT: &str = "miroir:import";
/// Who leads: a hash of `token` and `address`, with an expiry.
pub const LEASE: &str = "miroir:leader_lease";
/// The last fencing token.
pub const TOKEN: &str = "miroir:leader_token";
/// The id of the last transaction.
pub const LAST: &str = "miroir:last_transaction";
/// A hash of numbers by name.
pub const COUNTERS: &str = "miroir:counters";
/// JSON.
pub const TOPOLOGY: &str = "miroir:topology";
/// JSON.
pub const EPOCH: &str = "miroir:epoch";
/// JSON.
pub const REBALANCE: &str = "miroir:rebalance";
/// A hash of JSON by node: misses by shard.
pub const STALE: &str = "miroir:stale_replicas";
/// A sorted set of Envoys by when they were seen, in seconds since 1970.
pub const ENVOYS: &str = "miroir:envoys";
/// A hash of JSON by uid.
pub const INDEXES: &str = "miroir:indexes";
/// A hash of JSON by id.
pub const PENDING_CHANGES: &str = "miroir:pending_changes";
/// A hash of JSON by name.
pub const ALIASES: &str = "miroir:aliases";
/// A hash of JSON by uid.
pub const API_KEYS: &str = "miroir:api_keys";
/// A set of nodes.
pub const KEY_NODES: &str = "miroir:key_nodes";
/// JSON.
pub const FEATURES: &str = "miroir:experimental_features";
/// JSON.
pub const RULES: &str = "miroir:search_rules";
/// A hash of JSON by uuid.
pub const WEBHOOKS: &str = "miroir:webhooks";
/// A hash of JSON by uid. In it an index goes by its handle, so that one that gets another uid takes its tasks along.
pub const TASKS: &str = "miroir:tasks";
/// A hash of handles by index uid.
pub const HANDLES: &str = "miroir:index_handles";
/// The uids of all tasks. This and those that follow are sorted sets of task uids by themselves.
pub const ALL: &str = "miroir:tasks:all";
/// The tasks that a batch is named after.
pub const BATCHES: &str = "miroir:tasks:batches";

/// The tasks of a status.
pub fn of_status(status: &str) -> String {
    format!("miroir:tasks:status:{status}")
}

/// The tasks of a type.
pub fn of_kind(kind: &str) -> String {
    format!("miroir:tasks:type:{kind}")
}

/// The tasks of the index with this handle.
pub fn of_index(handle: u64) -> String {
    format!("miroir:tasks:index:{handle}")
}

/// The tasks that a task has canceled.
pub fn canceled_by(task: u64) -> String {
    format!("miroir:tasks:canceled_by:{task}")
}

/// The finished tasks that a webhook was not told of yet.
pub fn debts(webhook: uuid::Uuid) -> String {
    format!("miroir:webhook_debts:{webhook}")
}

/// A hash of settings versions by node.
pub fn settings_versions(index: &str) -> String {
    format!("miroir:node_settings_version:{index}")
}

/// What a client was answered, by its idempotency key; it expires.
pub fn idempotency(id: &str) -> String {
    format!("miroir:idempotency:{id}")
}

/// The writes of a session; it expires.
pub fn session(id: &str) -> String {
    format!("miroir:session:{id}")
}

/// The uid of the task that was registered with this ticket; it expires.
pub fn ticket(ticket: &str) -> String {
    format!("miroir:ticket:{ticket}")
}
