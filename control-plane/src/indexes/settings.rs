//! Changing the settings of an index on all nodes, in two phases: every node applies the change; when all have,
//! their settings are read back and compared, a new version is committed, and a node that differs is repaired.

use std::collections::BTreeMap;

use anyhow::Context;
use futures::future::join_all;
use miroir_core::error::no_quorum;
use miroir_core::settings::{UserValues, node_change, user_settings};
use reqwest::Method;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tracing::{error, warn};

use super::lifecycle::create_everywhere;
use super::nodes::{enqueue_everywhere, part};
use super::{converge, index_not_found};
use crate::aliases;
use crate::api::Failure;
use crate::cluster::Cluster;
use crate::health::take_down;
use crate::node_client::{NodeClient, NodeError};
use crate::store::{IndexChange, IndexRecord, NewTask, StoreError, TaskQuery, TaskRecord, TaskStatus};
use crate::tasks::{self, kind, register_failed, register_new};

/// One of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name among the settings.
    pub name: &'static str,
    /// Its route below `/settings`.
    pub route: &'static str,
    /// Whether `PATCH` changes parts of it, or `PUT` replaces it.
    pub merges: bool,
}

/// All that have a route.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    Setting { name: "filterableAttributes", route: "filterable-attributes", merges: false },
    Setting { name: "sortableAttributes", route: "sortable-attributes", merges: false },
    Setting { name: "displayedAttributes", route: "displayed-attributes", merges: false },
    Setting { name: "typoTolerance", route: "typo-tolerance", merges: true },
    Setting { name: "searchableAttributes", route: "searchable-attributes", merges: false },
    Setting { name: "stopWords", route: "stop-words", merges: false },
    Setting { name: "nonSeparatorTokens", route: "non-separator-tokens", merges: false },
    Setting { name: "separatorTokens", route: "separator-tokens", merges: false },
    Setting { name: "dictionary", route: "dictionary", merges: false },
    Setting { name: "synonyms", route: "synonyms", merges: false },
    Setting { name: "distinctAttribute", route: "distinct-attribute", merges: false },
    Setting { name: "proximityPrecision", route: "proximity-precision", merges: false },
    Setting { name: "localizedAttributes", route: "localized-attributes", merges: false },
    Setting { name: "rankingRules", route: "ranking-rules", merges: false },
    Setting { name: "faceting", route: "faceting", merges: true },
    Setting { name: "pagination", route: "pagination", merges: true },
    Setting { name: "embedders", route: "embedders", merges: true },
    Setting { name: "searchCutoffMs", route: "search-cutoff-ms", merges: false },
    Setting { name: "facetSearch", route: "facet-search", merges: false },
    Setting { name: "prefixSearch", route: "prefix-search", merges: false },
    Setting { name: "chat", route: "chat", merges: true },
    Setting { name: "foreignKeys", route: "foreign-keys", merges: false },
];

/// The whole settings of an index, as the user sees them.
///
/// # Errors
/// If there is no such index, or no node can be asked for the defaults.
pub async fn get(cluster: &Cluster, uid: &str) -> Result<Value, Failure> {
    let index = cluster.store.index(uid).await?.ok_or_else(|| index_not_found(uid))?;
    if !index.settings.is_null() {
        return Ok(index.settings);
    }
    let held = ask_any(cluster, |client| async move { client.settings(uid).await }).await?.1;
    Ok(user_settings(&held, &UserValues::of(&Value::Null)))
}

/// One of the settings. What belongs to an experimental feature that is off nodes leave out of the whole, but show where
/// it is asked for alone.
///
/// # Errors
/// If there is no such index, no node can be reached, or the store fails.
pub async fn get_one(cluster: &Cluster, uid: &str, setting: Setting) -> Result<Value, Failure> {
    if let Some(value) = get(cluster, uid).await?.get_mut(setting.name) {
        return Ok(value.take());
    }
    let held = ask_any(cluster, |client| async move { client.setting(uid, setting.route).await }).await?;
    Ok(held.1)
}

/// Changes one setting, or several when `setting` is `None` and `value` an object of them. The index is created if
/// it isn't there and the client's key allows it.
///
/// # Errors
/// What a node answers where it refuses the change; if no node can be reached; if the store fails.
pub async fn update(
    cluster: &Cluster,
    uid: &str,
    setting: Option<Setting>,
    value: Value,
    may_create: bool,
) -> Result<TaskRecord, Failure> {
    let _one_at_a_time = cluster.index_locks.lock(uid).await;
    let index = cluster.store.index(uid).await?;
    let change = match setting {
        Some(setting) => json!({setting.name: value}),
        None => value,
    };
    if index.is_none() {
        aliases::check_is_none(&cluster.store.aliases().await?, uid)?;
        if !may_create {
            return refuse(cluster, uid, &change).await;
        }
    }
    let node_change = node_change(&change, &values_after(cluster, uid, index.as_ref(), &change).await?);
    let path = format!("/indexes/{uid}/settings");
    let (method, path, body) = match setting {
        None => (Method::PATCH, path, node_change),
        Some(Setting { name, route, merges }) => {
            let method = if merges { Method::PATCH } else { Method::PUT };
            (method, format!("{path}/{route}"), node_change[name].clone())
        }
    };
    let request = &(method, path, body);
    let exists = index.is_some();
    let send = |client: NodeClient| async move {
        let (method, path, body) = request;
        match exists {
            true => client.change_settings(method.clone(), path, body).await,
            // The first node that is asked makes the index.
            false => client.enqueue(method.clone(), path, Some(body)).await,
        }
    };
    // The first node tells whether the change is one that Meilisearch takes.
    let (first, task) = ask_any(cluster, &send).await?;
    if index.is_none() {
        create_everywhere(cluster, uid, None).await?;
    }
    apply(cluster, uid, change, &send, index.is_some().then_some((&first, task))).await
}

/// Resets one setting, or all, to the defaults.
///
/// # Errors
/// If no node can be reached, or the store fails.
pub async fn reset(cluster: &Cluster, uid: &str, setting: Option<Setting>) -> Result<TaskRecord, Failure> {
    let _one_at_a_time = cluster.index_locks.lock(uid).await;
    let index = cluster.store.index(uid).await?;
    let Some(index) = index else {
        let change = reset_of(setting, SETTINGS.iter().map(|setting| setting.name));
        return refuse(cluster, uid, &change).await;
    };
    let change = reset_of(setting, SETTINGS.iter().map(|setting| setting.name));
    let mut node_change = node_change(&change, &values_after(cluster, uid, Some(&index), &change).await?);
    if let (None, Some(names)) = (setting, node_change.as_object_mut()) {
        // A node refuses names that its version does not know, so it is asked for them.
        let known = ask_any(cluster, |client| async move { client.settings(uid).await }).await?.1;
        names.retain(|name, _| known.get(name).is_some());
    }
    let node_change = &node_change;
    let send = |client: NodeClient| async move { client.update_settings(uid, node_change).await };
    apply(cluster, uid, change, &send, None).await
}

fn reset_of<'n>(setting: Option<Setting>, all: impl Iterator<Item = &'n str>) -> Value {
    match setting {
        Some(setting) => json!({setting.name: null}),
        None => all.map(|name| (name.to_owned(), Value::Null)).collect(),
    }
}

async fn refuse(cluster: &Cluster, uid: &str, change: &Value) -> Result<TaskRecord, Failure> {
    let details = details(change);
    Ok(register_failed(cluster, uid, kind::SETTINGS_UPDATE, details, index_not_found(uid)).await?)
}

async fn apply<F: Future<Output = Result<u64, NodeError>>>(
    cluster: &Cluster,
    uid: &str,
    change: Value,
    send: &impl Fn(NodeClient) -> F,
    done: Option<(&str, u64)>,
) -> Result<TaskRecord, Failure> {
    let parts = enqueue_everywhere(cluster, |node, client| async move {
        match done {
            Some((first, task)) if first == node => Ok(task),
            _ => send(client).await,
        }
    })
    .await;
    super::nodes::at_least_one(&parts)?;
    let settings_version = Some(next_version(cluster, uid).await?);
    let task = tasks::new(uid, kind::SETTINGS_UPDATE, details(&change), parts);
    Ok(register_new(cluster, NewTask { settings_version, ..task }, None).await?)
}

/// The version that the next change of an index's settings will make. Each change has its own, whatever comes of those that
/// are under way.
async fn next_version(cluster: &Cluster, uid: &str) -> Result<u64, StoreError> {
    // Asked for first: a change that ends in between is seen here or there.
    let pending = pending_changes(cluster, uid).await?;
    let index = cluster.store.index(uid).await?;
    let promised = pending.iter().filter_map(|task| task.settings_version).max().unwrap_or(0);
    // An earlier Miroir did not say what its changes will make.
    let unsaid = pending.iter().filter(|task| task.settings_version.is_none()).count() as u64;
    Ok(promised.max(index.map_or(0, |index| index.settings_version)) + unsaid + 1)
}

/// The user's values after a change, which comes after those that are still under way.
async fn values_after(
    cluster: &Cluster,
    uid: &str,
    index: Option<&IndexRecord>,
    change: &Value,
) -> Result<UserValues, StoreError> {
    let committed = UserValues::of(index.map_or(&Value::Null, |index| &index.settings));
    let pending = pending_changes(cluster, uid).await?;
    Ok(pending.iter().fold(committed, |values, task| values.after(&task.details)).after(change))
}

/// The changes of an index's settings that are not committed yet, oldest first.
pub async fn pending_changes(cluster: &Cluster, uid: &str) -> Result<Vec<TaskRecord>, StoreError> {
    let query = TaskQuery {
        limit: usize::MAX,
        reverse: true,
        statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
        types: Some(vec![kind::SETTINGS_UPDATE.to_owned()]),
        index_uids: Some(vec![uid.to_owned()]),
        ..TaskQuery::default()
    };
    Ok(cluster.store.tasks(&query).await?.tasks)
}

/// Asks the nodes one after the other, those that are up first, until one answers.
///
/// # Errors
/// What a node answers where it refuses, or if none can be reached.
pub async fn ask_any<T, F: Future<Output = Result<T, NodeError>>>(
    cluster: &Cluster,
    ask: impl Fn(NodeClient) -> F,
) -> Result<(String, T), Failure> {
    let table = cluster.table();
    let members = cluster.members();
    let up = |node: &str| table.nodes.iter().any(|other| other.id == node && other.up);
    let (up, down): (Vec<_>, Vec<_>) = members.clients.iter().partition(|(node, _)| up(node));
    for (node, client) in up.into_iter().chain(down) {
        match ask(client.clone()).await {
            Ok(answer) => return Ok((node.clone(), answer)),
            Err(error) if error.is_client_error() => return Err(error.into()),
            Err(error) => drop(part(node, Err(error))),
        }
    }
    Err(no_quorum("no node could be reached").into())
}

/// A change as its task shows it.
fn details(change: &Value) -> Value {
    let mut details = change.clone();
    for path in SETS {
        if let Some(Value::Array(set)) = details.pointer_mut(path) {
            set.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
            set.dedup();
        }
    }
    for name in ["displayedAttributes", "searchableAttributes"] {
        if let Some(value @ Value::Null) = details.get_mut(name) {
            *value = json!(["*"]);
        }
    }
    let embedders = details.get_mut("embedders").and_then(Value::as_object_mut);
    for embedder in embedders.into_iter().flat_map(Map::values_mut) {
        if let Some(Value::String(key)) = embedder.get_mut("apiKey") {
            *key = hidden(key);
        }
    }
    details
}

/// Lists whose order is of no account: Meilisearch sorts them.
const SETS: [&str; 7] = [
    "/sortableAttributes",
    "/stopWords",
    "/nonSeparatorTokens",
    "/separatorTokens",
    "/dictionary",
    "/typoTolerance/disableOnWords",
    "/typoTolerance/disableOnAttributes",
];

/// A secret as Meilisearch shows it.
fn hidden(secret: &str) -> String {
    let (shown, rest) = match secret.len() {
        0..10 => (0, "XXX..."),
        10..20 => (2, "XXXX..."),
        20..30 => (3, "XXXXX..."),
        _ => (5, "XXXXXX..."),
    };
    secret.chars().take(shown).chain(rest.chars()).collect()
}

/// Takes over the settings that the nodes hold after a change that all have applied.
///
/// # Errors
/// If the store fails, or none of the nodes can be asked.
pub async fn commit(cluster: &Cluster, uid: &str, task: &TaskRecord) -> anyhow::Result<()> {
    let Some(index) = cluster.store.index(uid).await? else { return Ok(()) };
    if index.created_at > task.enqueued_at {
        return Ok(()); // The index that it was about is gone; this is another one.
    }
    let nodes = task.parts.iter().filter(|part| part.status == TaskStatus::Succeeded);
    let clients = nodes.filter_map(|part| cluster.client(&part.node));
    let held = join_all(clients.map(|client| async move { client.settings(uid).await })).await;
    let held: Vec<Value> = held
        .into_iter()
        .filter_map(|held| held.inspect_err(|error| error!(%error, "settings not read back")).ok())
        .collect();
    let agreed = most_common(held).context("no node's settings could be read back")?;
    let values = UserValues::of(&index.settings).after(&task.details);
    let change = IndexChange {
        settings: Some(user_settings(&agreed, &values)),
        settings_version: task.settings_version,
        ..IndexChange::at(OffsetDateTime::now_utc())
    };
    let version = cluster.store.update_index(uid, change).await?.map_or(0, |index| index.settings_version);
    converge(cluster, uid, Some(task.uid)).await?;
    take_down_behind(cluster, uid, task, version).await?;
    Ok(cluster.publish_everywhere().await?)
}

/// Takes down the nodes that missed a change and could not be brought in step, as others are under way: nothing that is read by
/// the new version may come from them.
async fn take_down_behind(
    cluster: &Cluster,
    uid: &str,
    task: &TaskRecord,
    version: u64,
) -> Result<(), StoreError> {
    let has_done =
        |node: &str| task.parts.iter().any(|part| part.node == node && part.status == TaskStatus::Succeeded);
    let held = cluster.store.node_settings_versions(uid).await?;
    for node in cluster.up().await {
        if !has_done(&node) && held.get(&node).is_none_or(|held| *held < version) {
            warn!(node, index = uid, "the node lacks a change of the settings");
            take_down(cluster, &node).await;
        }
    }
    Ok(())
}

/// Records that a change of the settings will never be in force: who waits for its version waits no longer.
///
/// # Errors
/// If the store fails.
pub async fn give_up(cluster: &Cluster, uid: &str, task: &TaskRecord) -> Result<(), StoreError> {
    let index = cluster.store.index(uid).await?;
    if index.is_none_or(|index| index.created_at > task.enqueued_at) {
        return Ok(());
    }
    let settings_version = task.settings_version;
    let change = IndexChange { settings_version, ..IndexChange::at(OffsetDateTime::UNIX_EPOCH) };
    cluster.store.update_index(uid, change).await.map(drop)
}

fn most_common(values: Vec<Value>) -> Option<Value> {
    let mut counts: BTreeMap<String, (usize, Value)> = BTreeMap::new();
    for value in values {
        counts.entry(value.to_string()).or_insert((0, value)).0 += 1;
    }
    counts.into_values().max_by_key(|(count, _)| *count).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_nodes_hold_is_right() {
        assert_eq!(most_common(vec![json!(1), json!(2), json!(2)]), Some(json!(2)));
        assert_eq!(most_common(vec![]), None);
    }

    #[test]
    fn details_hide_secrets_show_wildcards_and_sort_sets() {
        let change = json!({
            "searchableAttributes": null,
            "stopWords": null,
            "dictionary": ["b", "a", "b"],
            "embedders": {"e": {"source": "openAi", "apiKey": "sk-1234567890abcdefgh"}, "gone": null},
        });
        assert_eq!(
            details(&change),
            json!({
                "searchableAttributes": ["*"],
                "stopWords": null,
                "dictionary": ["a", "b"],
                "embedders": {"e": {"source": "openAi", "apiKey": "sk-XXXXX..."}, "gone": null},
            })
        );
    }
}
