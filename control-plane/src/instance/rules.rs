//! Dynamic search rules: the same on every node. Nodes know how a change of a rule applies, so the store learns
//! from a node what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use miroir_core::control::PartOutcome;
use reqwest::Method;
use serde_json::{Value, json};
use tracing::info;

use super::converge;
use crate::api::Failure;
use crate::cluster::Cluster;
use crate::indexes::settings::ask_any;
use crate::indexes::{at_least_one, enqueue_everywhere};
use crate::node_client::{NodeClient, NodeError};
use crate::store::{NewTask, StoreError, TaskPart, TaskQuery, TaskRecord, TaskStatus};
use crate::tasks::{kind, origin, register_new};

/// How long a node may take to do what brings it in step; it may have to finish other work first.
const IN_STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// A change of the rules.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Change<'a> {
    /// Makes a rule, or changes parts of it.
    Update { uid: &'a str, rule: &'a Value },
    /// Deletes a rule.
    Delete { uid: &'a str },
    /// Deletes all rules.
    Clear,
}

/// Where the rules are.
const PATH: &str = "/dynamic-search-rules";
/// The index that nodes keep the rules in, as their tasks show it.
const INDEX: &str = ".meili_dsr";
/// When a node last changed a rule: each its own time.
const LAST_UPDATED_AT: &str = "lastUpdatedAt";

/// All rules that a request to list them finds, or one rule: what any node answers, with the cluster's own dates.
///
/// # Errors
/// A node's own where it refuses the request; if no node can be reached; if the store fails.
pub async fn read(
    cluster: &Cluster,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let method = &method;
    let (_, mut answer) =
        ask_any(cluster, |client| async move { client.read_rules(method.clone(), path, body).await }).await?;
    let known = cluster.store.search_rules().await?;
    let date = |rule: &mut Value| {
        let Some(known) = known.get(rule["uid"].as_str().unwrap_or_default()) else { return };
        if let (Some(date), Some(rule)) = (known.get(LAST_UPDATED_AT), rule.as_object_mut()) {
            rule.insert(LAST_UPDATED_AT.to_owned(), date.clone());
        }
    };
    match answer.get_mut("results").and_then(Value::as_array_mut) {
        Some(rules) => rules.iter_mut().for_each(date),
        None => date(&mut answer),
    }
    Ok(answer)
}

/// Enqueues a change on every node; one of them judges it.
///
/// # Errors
/// A node's own where it refuses the change; if no node can be reached; if the store fails.
pub async fn change(cluster: &Cluster, change: Change<'_>, query: &str) -> Result<TaskRecord, Failure> {
    let _one_at_a_time = cluster.instance.lock().await;
    let (method, path, body) = &match change {
        Change::Update { uid, rule } => (Method::PATCH, path(uid), Some(rule)),
        Change::Delete { uid } => (Method::DELETE, path(uid), None),
        Change::Clear => (Method::DELETE, PATH.to_owned(), None),
    };
    let target = &format!("{path}{query}");
    let send = |client: NodeClient| async move { client.enqueue(method.clone(), target, *body).await };
    let (first, task) = &ask_any(cluster, send).await?;
    let parts = enqueue_everywhere(cluster, |node, client| async move {
        match node == *first {
            true => Ok(*task),
            false => send(client).await,
        }
    })
    .await;
    at_least_one(&parts)?;
    let (kind, details) = match change {
        Change::Update { rule, .. } => (kind::DSR_UPDATE, json!({"rule": rule, "updatedRules": 1})),
        Change::Delete { .. } => (kind::DSR_UPDATE, json!({"updatedRules": 1})),
        Change::Clear => (kind::DSR_CLEAR, json!({"deletedDocuments": null})),
    };
    let task = NewTask {
        index_uid: Some(INDEX.to_owned()),
        kind: kind.to_owned(),
        status: TaskStatus::Enqueued,
        details,
        error: None,
        parts,
        custom_metadata: custom_metadata(query),
        ticket: None,
        settings_version: None,
        origin: origin::current(),
    };
    Ok(register_new(cluster, task, None).await?)
}

/// Records what came of a change that has succeeded, as the last step of its task.
///
/// # Errors
/// If no node that did it can be asked, or the store fails.
pub async fn commit(cluster: &Cluster, task: &TaskRecord) -> anyhow::Result<()> {
    let _one_at_a_time = cluster.instance.lock().await;
    if is_changing(cluster, Some(task.uid)).await? {
        // The last change records all.
        return Ok(());
    }
    let done = task.parts.iter().filter(|part| is_done(part));
    let mut result = Err(anyhow::anyhow!("no node has done it"));
    for client in done.filter_map(|part| cluster.client(&part.node)) {
        match client.search_rules().await {
            Ok(rules) => {
                cluster.store.save_search_rules(&by_uid(rules)).await?;
                result = Ok(());
                break;
            }
            Err(error) => result = Err(error.into()),
        }
    }
    result?;
    let bring_in_step = |node: String, client: NodeClient| async move {
        bring_in_step_as(cluster, &node, &client, Some(task.uid)).await
    };
    converge(cluster, bring_in_step).await;
    // The filter asks for more where documents may be pinned.
    cluster.publish_everywhere().await?;
    Ok(())
}

fn custom_metadata(query: &str) -> Option<String> {
    let query = query.strip_prefix('?').unwrap_or(query);
    let mut parameters = url::form_urlencoded::parse(query.as_bytes());
    parameters.find(|(name, _)| name == "customMetadata").map(|(_, value)| value.into_owned())
}

fn is_done(part: &TaskPart) -> bool {
    matches!(part.outcome, PartOutcome::Accepted(_)) && part.status == TaskStatus::Succeeded
}

/// Sees to it that a node has the cluster's rules and no others. Nothing is done while a change is under way: the
/// nodes are ahead of the store then, and that change ends here too.
///
/// # Errors
/// If the node can't be reached or fails to do what it is asked, or the store fails.
pub async fn bring_in_step(cluster: &Cluster, node: &str, client: &NodeClient) -> Result<(), NodeError> {
    bring_in_step_as(cluster, node, client, None).await
}

async fn bring_in_step_as(
    cluster: &Cluster,
    node: &str,
    client: &NodeClient,
    finishing: Option<u64>,
) -> Result<(), NodeError> {
    let features = cluster.store.experimental_features().await?;
    if features.get("dynamicSearchRules") != Some(&Value::Bool(true))
        || is_changing(cluster, finishing).await?
    {
        return Ok(());
    }
    let mut held = by_uid(client.search_rules().await?);
    let mut last = None;
    for (uid, rule) in cluster.store.search_rules().await? {
        let path = path(&uid);
        match held.remove(&uid) {
            Some(held) if content(held.clone()) == content(rule.clone()) => continue,
            Some(_) => drop(client.enqueue(Method::DELETE, &path, None).await?),
            None => {}
        }
        info!(node, rule = uid, "repairing a dynamic search rule");
        last = Some(client.enqueue(Method::PATCH, &path, Some(&content(rule))).await?);
    }
    for uid in held.into_keys() {
        info!(node, rule = uid, "deleting a dynamic search rule that the cluster does not have");
        last = Some(client.enqueue(Method::DELETE, &path(&uid), None).await?);
    }
    match last {
        Some(task) => client.wait_for_task(task, IN_STEP_TIMEOUT).await.map(drop),
        None => Ok(()),
    }
}

fn path(uid: &str) -> String {
    format!("{PATH}/{uid}")
}

fn by_uid(rules: Vec<Value>) -> BTreeMap<String, Value> {
    let uid = |rule: &Value| rule["uid"].as_str().unwrap_or_default().to_owned();
    rules.into_iter().map(|rule| (uid(&rule), rule)).collect()
}

/// What of a rule a client can set.
fn content(mut rule: Value) -> Value {
    if let Some(rule) = rule.as_object_mut() {
        rule.retain(|name, _| name != "uid" && name != LAST_UPDATED_AT);
    }
    rule
}

/// Whether a change other than `finishing` is under way.
async fn is_changing(cluster: &Cluster, finishing: Option<u64>) -> Result<bool, StoreError> {
    let query = TaskQuery {
        limit: usize::MAX,
        statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
        types: Some([kind::DSR_UPDATE, kind::DSR_CLEAR].map(str::to_owned).to_vec()),
        ..TaskQuery::default()
    };
    Ok(cluster.store.tasks(&query).await?.tasks.iter().any(|task| Some(task.uid) != finishing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_goes_to_a_node_as_it_came_from_one() {
        let rule = json!({"uid": "black-friday", "active": true, "lastUpdatedAt": "2025-11-28T00:00:00Z"});
        let rules = by_uid(vec![rule.clone()]);
        assert_eq!(rules["black-friday"], rule);
        assert_eq!(content(rule), json!({"active": true}));
    }
}
