//! Dumps and snapshots: one on each node, as one task of the client's.

use miroir_core::shard::ShardId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Failure;
use crate::cluster::Cluster;
use crate::indexes::{at_least_one, enqueue_everywhere};
use crate::store::{NewTask, TaskPart, TaskRecord, TaskStatus};
use crate::tasks::{kind, origin, register_new};

/// `POST /dumps`.
///
/// # Errors
/// If no node can be reached, or the store fails.
pub async fn dump(cluster: &Cluster) -> Result<TaskRecord, Failure> {
    create(cluster, "/dumps", kind::DUMP_CREATION, json!({"dumpUid": null})).await
}

/// `POST /snapshots`.
///
/// # Errors
/// If no node can be reached, or the store fails.
pub async fn snapshot(cluster: &Cluster) -> Result<TaskRecord, Failure> {
    create(cluster, "/snapshots", kind::SNAPSHOT_CREATION, Value::Null).await
}

async fn create(cluster: &Cluster, path: &str, kind: &str, details: Value) -> Result<TaskRecord, Failure> {
    let parts =
        enqueue_everywhere(
            cluster,
            |_, client| async move { client.enqueue(Method::POST, path, None).await },
        )
        .await;
    at_least_one(&parts)?;
    // So a node may be missing as long as the others hold a copy of all that it holds.
    let parts = parts
        .into_iter()
        .map(|part| TaskPart { shards: clean_shards(cluster, &part.node), ..part })
        .collect();
    let task = NewTask {
        index_uid: None,
        kind: kind.to_owned(),
        status: TaskStatus::Enqueued,
        details,
        error: None,
        parts,
        custom_metadata: None,
        ticket: None,
        settings_version: None,
        origin: origin::current(),
    };
    Ok(register_new(cluster, task, None).await?)
}

/// The shards of which a node holds a whole copy.
fn clean_shards(cluster: &Cluster, node: &str) -> Vec<ShardId> {
    let table = cluster.table();
    let Some(node) = table.nodes.iter().position(|other| other.id == node) else { return Vec::new() };
    let owns = |shard: &ShardId| {
        table.groups.iter().any(|group| table.readers(group, *shard).contains(&node))
            && !table.is_stale(node, *shard)
    };
    (0..table.shards).filter(owns).collect()
}

/// The details of a dump that is done: its uid on the first node that made it. Those on the others are those of the
/// task's parts.
pub fn dump_details(parts: &[TaskPart]) -> Value {
    let uid = parts.iter().map(|part| &part.details["dumpUid"]).find(|uid| uid.is_string());
    json!({ "dumpUid": uid })
}

#[cfg(test)]
mod tests {
    use miroir_core::control::PartOutcome;

    use super::*;

    #[test]
    fn a_dump_has_the_uid_of_the_first_node_that_made_it() {
        let part = |node: &str, uid: Option<&str>| TaskPart {
            details: json!({"dumpUid": uid}),
            ..TaskPart::new(node, PartOutcome::Accepted(1))
        };
        assert_eq!(
            dump_details(&[part("a", None), part("b", Some("1")), part("c", Some("2"))]),
            json!({"dumpUid": "1"})
        );
        assert_eq!(dump_details(&[]), json!({"dumpUid": null}));
    }
}
