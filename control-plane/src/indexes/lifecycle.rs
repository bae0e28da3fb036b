//! Creating and updating indexes.

use std::time::Duration;

use futures::future::join_all;
use miroir_core::control::{BeginWrite, PartOutcome};
use miroir_core::error::{ApiError, ErrorType};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::names::Exchanged;
use super::nodes::{at_least_one, create_on_node, enqueue_everywhere, wait};
use super::settings::ask_any;
use super::{index_not_found, names};
use crate::aliases;
use crate::api::Failure;
use crate::cluster::Cluster;
use crate::health::take_down;
use crate::store::{IndexChange, IndexRecord, IndexesChange, StoreError, TaskPart, TaskRecord, generation};
use crate::tasks::{self, kind, register, register_failed, register_parts};

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
        let error = index_already_exists(uid);
        return Ok(register_failed(cluster, uid, kind::INDEX_CREATION, details, error).await?);
    }
    aliases::check_is_none(&cluster.store.aliases().await?, uid)?;
    ask_any(cluster, |client| async move { client.newest_task().await }).await?;
    let change = IndexesChange::Create(new_index(uid, primary_key));
    let task = tasks::new(uid, kind::INDEX_CREATION, details, Vec::new());
    let (task, _) = cluster.store.register_change(change, task).await?;
    let parts = create_on_nodes(cluster, uid, primary_key).await?;
    Ok(register_parts(cluster, task, parts).await?)
}

/// `PATCH /indexes/{uid}`: gives an index another uid, a primary key, or both.
///
/// # Errors
/// If the store fails or no node can be reached.
pub async fn update(
    cluster: &Cluster,
    uid: &str,
    new_uid: Option<&str>,
    primary_key: Option<&str>,
) -> Result<TaskRecord, Failure> {
    let renames = new_uid.is_some_and(|new_uid| new_uid != uid);
    // A renaming takes the locks of both.
    let _one_at_a_time = match renames {
        true => None,
        false => Some(cluster.index_locks.lock(uid).await),
    };
    let mut details = json!({"primaryKey": primary_key});
    if let Some(new_uid) = new_uid {
        details["oldIndexUid"] = json!(uid);
        details["newIndexUid"] = json!(new_uid);
    }
    let refuse = |error| register_failed(cluster, uid, kind::INDEX_UPDATE, details.clone(), error);
    let Some(index) = cluster.store.index(uid).await? else {
        return Ok(refuse(index_not_found(uid)).await?);
    };
    let new_uid = new_uid.filter(|_| renames);
    if let Some(new_uid) = new_uid
        && cluster.store.index(new_uid).await?.is_some()
    {
        return Ok(refuse(index_already_exists(new_uid)).await?);
    }
    let changes = primary_key.is_some() && primary_key != index.primary_key.as_deref();
    // Each node would decide by its own documents, so it is decided here by all of them.
    if let (true, Some(old)) = (changes, &index.primary_key)
        && has_documents(cluster, uid).await
    {
        let message =
            format!("Index `{}`: Index already has a primary key: `{old}`.", new_uid.unwrap_or(uid));
        let code = "index_primary_key_already_exists";
        return Ok(refuse(ApiError::new(400, code, ErrorType::InvalidRequest, message)).await?);
    }
    let change = IndexChange {
        primary_key: primary_key.filter(|_| changes).map(str::to_owned),
        ..IndexChange::at(OffsetDateTime::now_utc())
    };
    let Some(new_uid) = new_uid else {
        let parts = set_primary_key(cluster, uid, primary_key).await;
        at_least_one(&parts)?;
        cluster.store.update_index(uid, change).await?;
        return Ok(register(cluster, uid, kind::INDEX_UPDATE, details, parts, None).await?);
    };
    let task = tasks::new(uid, kind::INDEX_UPDATE, details.clone(), Vec::new());
    match names::rename(cluster, uid, new_uid, change, task).await? {
        Ok(Exchanged { task, parts, _one_at_a_time }) => {
            let parts = match primary_key {
                None => parts,
                Some(_) => set_primary_key(cluster, new_uid, primary_key).await,
            };
            Ok(register_parts(cluster, task, parts).await?)
        }
        Err(error) => Ok(refuse(error).await?),
    }
}

/// `POST /indexes/{uid}/compact`: every node makes the index's files as small as they can be.
///
/// # Errors
/// If the store fails or no node can be reached.
pub async fn compact(cluster: &Cluster, uid: &str) -> Result<TaskRecord, Failure> {
    let _one_at_a_time = cluster.index_locks.lock(uid).await;
    let details = json!({});
    if cluster.store.index(uid).await?.is_none() {
        let error = index_not_found(uid);
        return Ok(register_failed(cluster, uid, kind::INDEX_COMPACTION, details, error).await?);
    }
    let path = format!("/indexes/{uid}/compact");
    let path = path.as_str();
    let parts = enqueue_everywhere(cluster, |_, client| async move {
        client.enqueue(reqwest::Method::POST, path, None).await
    })
    .await;
    at_least_one(&parts)?;
    Ok(register(cluster, uid, kind::INDEX_COMPACTION, details, parts, None).await?)
}

fn index_already_exists(uid: &str) -> ApiError {
    let message = format!("Index `{uid}` already exists.");
    ApiError::new(409, "index_already_exists", ErrorType::InvalidRequest, message)
}

/// Makes an index ready for a write: creates it if it may be created, gives it a primary key if it has none. `None` if
/// it isn't there.
///
/// # Errors
/// If the store fails or no node can be reached.
pub async fn ensure(cluster: &Cluster, write: &BeginWrite) -> Result<Option<IndexRecord>, Failure> {
    let ready = |index: &IndexRecord| index.primary_key.is_some() || write.primary_key.is_none();
    if let Some(index) = cluster.store.index(&write.index).await?.filter(ready)
        && is_on_nodes(cluster, &write.index).await?
    {
        return Ok(Some(index));
    }
    let _one_at_a_time = cluster.index_locks.lock(&write.index).await;
    let primary_key = write.primary_key.as_deref();
    let parts = match cluster.store.index(&write.index).await? {
        Some(index) if ready(&index) => {
            return Ok(Some(index));
        }
        None if !write.create => return Ok(None),
        None => create_everywhere(cluster, &write.index, primary_key).await?,
        Some(_) => {
            let parts = set_primary_key(cluster, &write.index, primary_key).await;
            at_least_one(&parts)?;
            let change = IndexChange {
                primary_key: primary_key.map(str::to_owned),
                ..IndexChange::at(OffsetDateTime::now_utc())
            };
            cluster.store.update_index(&write.index, change).await?;
            parts
        }
    };
    wait(cluster, &parts, BEGIN_WRITE_WAIT).await;
    cluster.publish_everywhere().await?;
    Ok(cluster.store.index(&write.index).await?)
}

/// Whether the nodes that can be reached have been told to create the index: while they are being told, it is
/// remembered already, but a write that came to a node before the creation would make the node create it by itself.
async fn is_on_nodes(cluster: &Cluster, uid: &str) -> Result<bool, StoreError> {
    Ok(!cluster.store.node_settings_versions(uid).await?.is_empty())
}

fn new_index(uid: &str, primary_key: Option<&str>) -> IndexRecord {
    let now = OffsetDateTime::now_utc();
    IndexRecord {
        uid: uid.to_owned(),
        primary_key: primary_key.map(str::to_owned),
        created_at: now,
        updated_at: now,
        settings: Value::Null,
        settings_version: 0,
        generation: generation(now),
        adopting: false,
    }
}

/// Creates an index on all nodes. It is remembered first, so that a node that comes back meanwhile gets it too.
pub(super) async fn create_everywhere(
    cluster: &Cluster,
    uid: &str,
    primary_key: Option<&str>,
) -> Result<Vec<TaskPart>, Failure> {
    aliases::check_is_none(&cluster.store.aliases().await?, uid)?;
    cluster.store.save_index(&new_index(uid, primary_key)).await?;
    let parts = create_on_nodes(cluster, uid, primary_key).await?;
    if let Err(error) = at_least_one(&parts) {
        cluster.store.delete_index(uid).await?;
        return Err(error.into());
    }
    Ok(parts)
}

/// Has all nodes create an index that is remembered.
async fn create_on_nodes(
    cluster: &Cluster,
    uid: &str,
    primary_key: Option<&str>,
) -> Result<Vec<TaskPart>, StoreError> {
    let parts =
        enqueue_everywhere(
            cluster,
            |_, client| async move { create_on_node(&client, uid, primary_key).await },
        )
        .await;
    for part in &parts {
        match part.outcome {
            PartOutcome::Accepted(_) => cluster.store.set_node_settings_version(uid, &part.node, 0).await?,
            // A write would make it create the index by itself.
            PartOutcome::Missed(_) => take_down(cluster, &part.node).await,
        }
    }
    Ok(parts)
}

async fn set_primary_key(cluster: &Cluster, uid: &str, primary_key: Option<&str>) -> Vec<TaskPart> {
    let body = primary_key.map_or_else(|| json!({}), |primary_key| json!({"primaryKey": primary_key}));
    let path = format!("/indexes/{uid}");
    let (path, body) = (path.as_str(), &body);
    enqueue_everywhere(cluster, |_, client| async move {
        client.enqueue(reqwest::Method::PATCH, path, Some(body)).await
    })
    .await
}

/// Whether any node holds a document of the index or is about to: a node that can't be asked may.
async fn has_documents(cluster: &Cluster, uid: &str) -> bool {
    let members = cluster.members();
    let counts = members.clients.values().map(|client| client.index_stats(uid));
    let counts = join_all(counts).await;
    counts
        .iter()
        .any(|stats| stats.as_ref().map_or(true, |stats| stats.number_of_documents > 0 || stats.is_indexing))
}
