//! The keys of one node, brought in step with the store.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{info, warn};
use uuid::Uuid;

use super::{reader, writer};
use crate::cluster::Cluster;
use crate::node_client::{NodeClient, NodeError};
use crate::store::{KeyRecord, StoreError};

/// Sees to it that a node has the cluster's keys, Miroir's own, and no others. The keys that it had before it was part of the
/// cluster are adopted.
///
/// # Errors
/// If the node can't be reached or fails to do what it is asked, or the store fails.
pub async fn bring_in_step(cluster: &Cluster, node: &str, client: &NodeClient) -> Result<(), NodeError> {
    if cluster.config.master_key.expose().is_empty() {
        // Without a master key Meilisearch has no keys.
        return Ok(());
    }
    let held = client.keys().await?;
    if !cluster.store.key_nodes().await?.contains(node) {
        adopt(cluster, node, &held).await?;
    }
    let wanted = wanted(cluster).await?;
    for step in steps(&held, &wanted, OffsetDateTime::now_utc()) {
        step.take(node, client).await?;
    }
    Ok(())
}

/// Whether a node that had the cluster's keys holds none of them any more: then it has lost all that it had. An index is no
/// witness of that, since any write makes it anew, without settings.
///
/// # Errors
/// If the node can't be reached or the store fails.
pub async fn are_lost(cluster: &Cluster, node: &str, client: &NodeClient) -> Result<bool, NodeError> {
    if cluster.config.master_key.expose().is_empty() || !cluster.store.key_nodes().await?.contains(node) {
        return Ok(false);
    }
    // Before there is an index, nothing can be lost: it has just not got the keys yet.
    if cluster.store.indexes().await?.is_empty() {
        return Ok(false);
    }
    let held = client.keys().await?;
    Ok(!wanted(cluster).await?.iter().any(|wanted| held.iter().any(|held| held.uid == wanted.uid)))
}

/// The keys that every node is to have.
async fn wanted(cluster: &Cluster) -> Result<Vec<KeyRecord>, StoreError> {
    let mut wanted = cluster.store.keys().await?;
    wanted.extend([reader(), writer()]);
    Ok(wanted)
}

async fn adopt(cluster: &Cluster, node: &str, held: &[KeyRecord]) -> Result<(), StoreError> {
    let known = wanted(cluster).await?;
    let new: Vec<KeyRecord> = held.iter().filter(|key| is_new(key, &known)).cloned().collect();
    if !new.is_empty() {
        info!(node, keys = new.len(), "adopting the keys of the node");
    }
    cluster.store.adopt_keys(node, &new).await
}

/// Whether a node's key is one that the cluster lacks. Each node makes the same default keys at its first start,
/// with uids of its own: one set of them is enough.
fn is_new(key: &KeyRecord, known: &[KeyRecord]) -> bool {
    let is_default =
        key.name.as_deref().is_some_and(|name| name.starts_with("Default ") && name.ends_with(" API Key"));
    let is_another_s = |other: &KeyRecord| {
        other.uid == key.uid || is_default && other.name == key.name && same_rights(other, key)
    };
    !known.iter().any(is_another_s)
}

/// Whether two keys allow the same, whoever they are.
fn same_rights(left: &KeyRecord, right: &KeyRecord) -> bool {
    let rights = |key: &KeyRecord| (key.actions.clone(), key.indexes.clone(), key.expires_at);
    rights(left) == rights(right)
}

/// What brings a node closer to the keys wanted.
#[derive(Debug, PartialEq)]
enum Step<'k> {
    Delete(Uuid),
    Create(&'k KeyRecord),
    Describe(&'k KeyRecord),
}

fn steps<'k>(held: &[KeyRecord], wanted: &'k [KeyRecord], now: OffsetDateTime) -> Vec<Step<'k>> {
    let mut held: BTreeMap<Uuid, &KeyRecord> = held.iter().map(|key| (key.uid, key)).collect();
    let mut steps = Vec::new();
    for key in wanted {
        let held = held.remove(&key.uid);
        let described = |held: &KeyRecord| (&held.name, &held.description) == (&key.name, &key.description);
        match held {
            Some(held) if same_rights(held, key) && described(held) => continue,
            Some(held) if same_rights(held, key) => {
                steps.push(Step::Describe(key));
                continue;
            }
            Some(_) => steps.push(Step::Delete(key.uid)),
            None => {}
        }
        // Meilisearch makes no key that has expired, and one that it lacks is as invalid.
        if key.expires_at.is_none_or(|expiry| expiry > now) {
            steps.push(Step::Create(key));
        }
    }
    // First, so that a node never has more than it should.
    let strangers = held.into_keys().map(Step::Delete).collect::<Vec<_>>();
    strangers.into_iter().chain(steps).collect()
}

impl Step<'_> {
    async fn take(&self, node: &str, client: &NodeClient) -> Result<(), NodeError> {
        match self {
            Step::Delete(uid) => {
                warn!(node, %uid, "deleting a key that the cluster does not have");
                client.delete_key(*uid).await
            }
            Step::Create(key) => {
                info!(node, uid = %key.uid, "creating a key that the node lacks");
                client.create_key(&creation(key)).await.map(drop)
            }
            Step::Describe(key) => {
                info!(node, uid = %key.uid, "changing the name and description of a key");
                client.describe_key(key).await
            }
        }
    }
}

fn creation(key: &KeyRecord) -> Value {
    json!({
        "uid": key.uid,
        "name": key.name,
        "description": key.description,
        "actions": key.actions,
        "indexes": key.indexes,
        "expiresAt": key.expires_at.and_then(|expiry| expiry.format(&Rfc3339).ok()),
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2025-06-01 00:00:00 UTC);

    fn key(uid: u128, name: &str) -> KeyRecord {
        KeyRecord {
            name: Some(name.to_owned()),
            description: None,
            uid: Uuid::from_u128(uid),
            actions: vec!["search".into()],
            indexes: vec!["*".into()],
            expires_at: None,
            created_at: NOW,
            updated_at: NOW,
        }
    }

    #[test]
    fn one_set_of_default_keys_is_adopted_and_every_key_of_the_users() {
        let known = [key(1, "Default Search API Key"), key(2, "mine")];
        assert!(!is_new(&key(1, "Default Search API Key"), &known));
        assert!(!is_new(&key(3, "Default Search API Key"), &known), "another node's default key");
        assert!(is_new(&key(4, "Default Admin API Key"), &known));
        assert!(is_new(&key(5, "mine"), &known), "a key of the user's, who may be using it");
        let renamed = KeyRecord { actions: vec!["*".into()], ..key(6, "Default Search API Key") };
        assert!(is_new(&renamed, &known));
    }

    #[test]
    fn a_node_gets_what_it_lacks_and_loses_what_it_should_not_have() {
        let same = key(1, "same");
        let described = KeyRecord { description: Some("new".into()), ..key(2, "described") };
        let changed = KeyRecord { actions: vec!["*".into()], ..key(3, "changed") };
        let missing = key(4, "missing");
        let wanted = [same, described, changed, missing];
        let held = [key(1, "same"), key(2, "described"), key(3, "changed"), key(9, "stranger")];
        let [_, described, changed, missing] = &wanted;
        assert_eq!(
            steps(&held, &wanted, NOW),
            [
                Step::Delete(Uuid::from_u128(9)),
                Step::Describe(described),
                Step::Delete(Uuid::from_u128(3)),
                Step::Create(changed),
                Step::Create(missing),
            ]
        );
    }

    #[test]
    fn dates_of_creation_differ_from_node_to_node_and_that_is_all_right() {
        let later = KeyRecord { created_at: NOW + time::Duration::DAY, ..key(1, "a") };
        assert_eq!(steps(&[later], &[key(1, "a")], NOW), []);
    }

    #[test]
    fn an_expired_key_is_not_created_again() {
        let expired = KeyRecord { expires_at: Some(NOW), ..key(1, "expired") };
        assert_eq!(steps(&[], std::slice::from_ref(&expired), NOW), []);
        assert_eq!(steps(std::slice::from_ref(&expired), std::slice::from_ref(&expired), NOW), []);
    }
}
