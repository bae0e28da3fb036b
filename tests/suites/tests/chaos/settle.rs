//! Waits until the cluster has come to rest, and looks at what all nodes hold then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use miroir_core::{shard, tag};
use miroir_harness::wait_until;
use serde_json::{Value, json};

use crate::at_rest::{self, Holdings};
use crate::check::{Violation, Wrong};
use crate::documents::{Key, read};
use crate::faults::Saboteur;
use crate::run::{INDEX, Run};

const PATIENCE: Duration = Duration::from_secs(120);
/// Slots of the hash space, at the beginning.
pub const SHARDS: u32 = 16;

/// Waits until everything is up, whole and idle, or says what is not.
pub async fn settle(saboteur: &mut Saboteur, run: &Run) {
    let mut left = Vec::new();
    let settled = wait_until("the cluster to come to rest", PATIENCE, async || {
        left = what_is_left(saboteur, run).await.unwrap_or_else(|error| vec![format!("{error:#}")]);
        Ok(left.is_empty())
    });
    if settled.await.is_err() {
        run.found(vec![Violation::new(Wrong::Restless, None, left.join("; "))], "at the end");
    }
}

async fn what_is_left(saboteur: &mut Saboteur, run: &Run) -> Result<Vec<String>> {
    let mut left = saboteur.operator.wind_up(&mut saboteur.cluster).await?;
    left.extend(saboteur.admin.what_is_missing(saboteur.cluster.envoys()).await?);
    left.extend(saboteur.admin.what_is_to_do().await?);
    for index in saboteur.operator.members() {
        let node = saboteur.cluster.node(*index);
        let tasks = node.client().get("/tasks?statuses=enqueued,processing&limit=1").await?.ok()?;
        if tasks["total"] != 0 {
            left.push(format!("{} has {} tasks to do", node.id(), tasks["total"]));
        }
    }
    let pending = run.history().pending_tasks();
    if !pending.is_empty() {
        left.push(format!("tasks {:?} are not over", pending.keys().take(5).collect::<Vec<_>>()));
    }
    Ok(left)
}

/// Checks what all nodes hold; how many documents there are, with all copies.
pub async fn check_nodes(saboteur: &Saboteur, run: &Run) -> Result<u64> {
    let places = saboteur.admin.get("/_miroir/shards").await?;
    let (owners, stale) = owners(&places);
    let shards = places["shards"].as_array().map_or(0, Vec::len) as u32;
    let mut holdings = Holdings { owners, stale, nodes: BTreeMap::new() };
    let mut violations = Vec::new();
    for index in saboteur.operator.members() {
        let node = saboteur.cluster.node(*index);
        let path = format!("/indexes/{INDEX}/documents/fetch");
        let page = node.client().post(&path, &json!({ "limit": 1_000_000 })).await?.ok()?;
        let mut held = Vec::new();
        for document in page["results"].as_array().into_iter().flatten() {
            let mut plain = document.clone();
            let tagged = plain.as_object_mut().and_then(|fields| fields.remove(tag::TAG_FIELD));
            let shard = tagged.as_ref().and_then(Value::as_str).and_then(tag::decode);
            match (read(&plain), shard) {
                (Some((key, content)), Some(shard)) => held.push((key, content, shard)),
                _ => {
                    let seen = format!("{} holds {document}", node.id());
                    violations.push(Violation::new(Wrong::Foreign, None, seen));
                }
            }
        }
        holdings.nodes.insert(node.id().to_owned(), held);
    }
    let shard_of = |key: Key| shard::shard_of(&key.id(), shards);
    violations.extend(at_rest::check(&run.history(), &holdings, shard_of));
    run.found(violations, "at rest");
    Ok(holdings.nodes.values().map(|held| held.len() as u64).sum())
}

type Owners = BTreeMap<u32, BTreeSet<String>>;

/// The clean and the stale owners of each shard.
fn owners(shards: &Value) -> (Owners, Owners) {
    let (mut clean, mut stale) = (Owners::new(), Owners::new());
    for place in shards["shards"].as_array().into_iter().flatten() {
        let shard = place["shard"].as_u64().unwrap_or_default() as u32;
        let groups = place["owners"].as_object().into_iter().flat_map(|groups| groups.values());
        for owner in groups.flat_map(|owners| owners.as_array().into_iter().flatten()) {
            let is_stale = place["stale"].as_array().is_some_and(|stale| stale.contains(owner));
            let into = if is_stale { &mut stale } else { &mut clean };
            into.entry(shard).or_default().insert(owner.as_str().unwrap_or_default().to_owned());
        }
    }
    (clean, stale)
}
