//! Clusters for tests.

use std::sync::Arc;

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::cluster::Cluster;
use crate::config::Config;
use crate::store::{IndexRecord, SqliteStore, Store, StoreError};

/// A cluster of three nodes that nobody will find, with `changes` to its configuration.
pub fn config(changes: Value) -> Config {
    let mut keys = json!({
        "shards": 8,
        "replication_factor": 2,
        "nodes": [
            {"id": "a", "url": "http://127.0.0.1:1"},
            {"id": "b", "url": "http://node-b:7700"},
            {"id": "c", "url": "https://node-c"},
        ],
        "filter": {"module": "/filter.wasm"},
        "standalone": {"listen": "127.0.0.1:7700"},
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        keys[key] = value.clone();
    }
    let mut config: Config = serde_json::from_value(keys).unwrap();
    config.master_key = "masterKey".into();
    config.admin_key = "adminKey".into();
    config
}

/// A store that is gone with the test.
pub fn store() -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(":memory:".as_ref()).unwrap())
}

/// Opens a cluster.
pub async fn open(changes: Value, store: &Arc<dyn Store>) -> Result<Arc<Cluster>, StoreError> {
    Cluster::open(config(changes), store.clone()).await.map(Arc::new)
}

/// An index that has just been created.
pub fn index(uid: &str) -> IndexRecord {
    let now = OffsetDateTime::now_utc();
    IndexRecord {
        uid: uid.into(),
        primary_key: None,
        created_at: now,
        updated_at: now,
        settings: Value::Null,
        settings_version: 0,
        generation: 0,
        adopting: false,
    }
}
