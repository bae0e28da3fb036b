//! Creating, updating and deleting indexes.

use std::time::Duration;

use futures::future::join_all;
use miroir_core::control::{BeginWrite, BegunWrite, PartOutcome};
use miroir_core::error::{ApiError, ErrorType};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::index_not_found;
use super::nodes::{at_least_one, create_on_node, enqueue_everywhere, wait};
use crate::api::Failure;
use crate::cluster::Cluster;
use crate::store::{IndexChange, IndexRecord, StoreError, TaskPart, TaskRecord};
use crate::tasks::{kind, register, register_failed};

/// How long a write waits for the nodes to have done the change of the index that it needs.
const BEGIN_WRITE_WAIT: Duration = Duration::from_secs(20);

/// `POST /indexes`.
///
/// # Errors
/// If the store fails or no node can be reached.
pub async fn create(cluster: &Cluster, uid: &str, primary_key: Option<&str>) -> Result<TaskRecord, Failure> {
    let _one_at_a_time = cluster.index_locks.lock(uid).await;
    let details = json!({"primaryKey": primary_key});
    if cluster.store.index(uid).await?.is_some() {
        let message = format!("Index `{uid}` already exists.");
        let error = ApiError::new(409, "index_already_exists", ErrorType::InvalidRequest, message);
        return Ok(register_failed(cluster, uid, kind::INDEX_CREATION, details, error).await?);
    }
    let parts = create_everywhere(cluster, uid, primary_key).await?;
    Ok(register(cluster, uid, kind::INDEX_CREATION, details, parts, None).await?)
}

/// `PATCH /indexes/{uid}`: gives an index a primary key.
///
/// # Errors
/// If the store fails or no node can be reached.
pub async fn update(cluster: &Cluster, uid: &str, primary_key: Option<&str>) -> Result<TaskRecord, Failure> {
    let _one_at_a_time = cluster.index_locks.lock(uid).await;
    let details = json!({"primaryKey": primary_key});
    let refuse = |error| register_failed(cluster, uid, kind::INDEX_UPDATE, details.clone(), error);
    let Some(index) = cluster.store.index(uid).await? else {
        return Ok(refuse(index_not_found(uid)).await?);
    };
    let changes = primary_key.is_some() && primary_key != index.primary_key.as_deref();
    // Each node would decide by its own documents, so it is decided here by all of them.
    if let (true, Some(old)) = (changes, &index.primary_key)
        && has_documents(cluster, uid).await
    {
        let message = format!("Index `{uid}`: Index already has a primary key: `{old}`.");
        let code = "index_primary_key_already_exists";
        return Ok(refuse(ApiError::new(400, code, ErrorType::InvalidRequest, message)).await?);
    }
    let body = primary_key.map_or_else(|| json!({}), |primary_key| json!({"primaryKey": primary_key}));
    let parts = update_everywhere(cluster, uid, &body).await?;
    if changes {
        remember_primary_key(cluster, uid, primary_key).await?;
    }
    Ok(register(cluster, uid, kind::INDEX_UPDATE, details, parts, None).await?)
}

/// `DELETE /indexes/{uid}`.
///
/// # Errors
/// If the store fails or no node can be reached.
pub async fn delete(cluster: &Cluster, uid: &str) -> Result<TaskRecord, Failure> {
    let _one_at_a_time = cluster.index_locks.lock(uid).await;
    if cluster.store.index(uid).await?.is_none() {
        let details = json!({"deletedDocuments": 0});
        let error = index_not_found(uid);
        return Ok(register_failed(cluster, uid, kind::INDEX_DELETION, details, error).await?);
    }
    // Before anything else, so that a node that is away deletes it when it is back, whatever happens to us.
    for node in cluster.clients.keys() {
        cluster.store.add_pending_deletion(node, uid).await?;
    }
    let parts = enqueue_everywhere(cluster, |node, client| async move {
        let task = client.delete_index(uid).await?;
        cluster.store.remove_pending_deletion(&node, uid).await?;
        Ok(task)
    })
    .await;
    if let Err(error) = at_least_one(&parts) {
        for node in cluster.clients.keys() {
            cluster.store.remove_pending_deletion(node, uid).await?;
        }
        return Err(error.into());
    }
    cluster.store.delete_index(uid).await?;
    cluster.publish_everywhere().await?;
    let details = json!({"deletedDocuments": null});
    Ok(register(cluster, uid, kind::INDEX_DELETION, details, parts, None).await?)
}

/// Makes an index ready for a write: creates it if it may be created, gives it a primary key if it has none.
///
/// # Errors
/// If the store fails or no node can be reached.
pub async fn ensure(cluster: &Cluster, write: &BeginWrite) -> Result<BegunWrite, Failure> {
    let ready = |index: &IndexRecord| index.primary_key.is_some() || write.primary_key.is_none();
    if let Some(index) = cluster.store.index(&write.index).await?.filter(ready)
        && is_on_nodes(cluster, &write.index).await?
    {
        return Ok(BegunWrite { exists: true, primary_key: index.primary_key });
    }
    let _one_at_a_time = cluster.index_locks.lock(&write.index).await;
    let primary_key = write.primary_key.as_deref();
    let parts = match cluster.store.index(&write.index).await? {
        Some(index) if ready(&index) => {
            return Ok(BegunWrite { exists: true, primary_key: index.primary_key });
        }
        None if !write.create => return Ok(BegunWrite { exists: false, primary_key: None }),
        None => create_everywhere(cluster, &write.index, primary_key).await?,
        Some(_) => {
            let parts = update_everywhere(cluster, &write.index, &json!({"primaryKey": primary_key})).await?;
            remember_primary_key(cluster, &write.index, primary_key).await?;
            parts
        }
    };
    wait(cluster, &parts, BEGIN_WRITE_WAIT).await;
    cluster.publish_everywhere().await?;
    Ok(BegunWrite { exists: true, primary_key: write.primary_key.clone() })
}

/// Whether the nodes that can be reached have been told to create the index: while they are being told, it is
/// remembered already, but a write that came to a node before the creation would make the node create it by itself.
async fn is_on_nodes(cluster: &Cluster, uid: &str) -> Result<bool, StoreError> {
    Ok(!cluster.store.node_settings_versions(uid).await?.is_empty())
}

/// Creates an index on all nodes. It is remembered first, so that a node that comes back meanwhile gets it too.
pub(super) async fn create_everywhere(
    cluster: &Cluster,
    uid: &str,
    primary_key: Option<&str>,
) -> Result<Vec<TaskPart>, Failure> {
    let now = OffsetDateTime::now_utc();
    let index = IndexRecord {
        uid: uid.to_owned(),
        primary_key: primary_key.map(str::to_owned),
        created_at: now,
        updated_at: now,
        settings: Value::Null,
        settings_version: 0,
    };
    cluster.store.save_index(&index).await?;
    let parts = enqueue_everywhere(cluster, |node, client| async move {
        create_on_node(cluster, &node, &client, uid, primary_key).await
    })
    .await;
    if let Err(error) = at_least_one(&parts) {
        cluster.store.delete_index(uid).await?;
        return Err(error.into());
    }
    for part in parts.iter().filter(|part| matches!(part.outcome, PartOutcome::Accepted(_))) {
        cluster.store.set_node_settings_version(uid, &part.node, 0).await?;
    }
    Ok(parts)
}

async fn update_everywhere(cluster: &Cluster, uid: &str, body: &Value) -> Result<Vec<TaskPart>, Failure> {
    let path = format!("/indexes/{uid}");
    let path = path.as_str();
    let parts = enqueue_everywhere(cluster, |_, client| async move {
        client.enqueue(reqwest::Method::PATCH, path, Some(body)).await
    })
    .await;
    at_least_one(&parts)?;
    Ok(parts)
}

async fn remember_primary_key(
    cluster: &Cluster,
    uid: &str,
    primary_key: Option<&str>,
) -> Result<(), StoreError> {
    let change = IndexChange {
        updated_at: OffsetDateTime::now_utc(),
        primary_key: primary_key.map(str::to_owned),
        settings: None,
    };
    cluster.store.update_index(uid, change).await.map(drop)
}

/// Whether any node holds a document of the index or is about to: a node that can't be asked may.
async fn has_documents(cluster: &Cluster, uid: &str) -> bool {
    let counts = cluster.clients.values().map(|client| client.index_stats(uid));
    let counts = join_all(counts).await;
    counts
        .iter()
        .any(|stats| stats.as_ref().map_or(true, |stats| stats.number_of_documents > 0 || stats.is_indexing))
}
