//! Aliases: what they stand for, and what that keeps indexes from.
//!
//! An alias stands for indexes that exist, and its name is no index's uid. Whoever creates, deletes or renames an index sees
//! to that while it holds the index's lock, and so do changes of aliases.
//!
//! A change is in force a moment after every Envoy runs with it. Until then each request goes by one table, the new one or the
//! one before. From then on no write may begin by what the alias stood for before: an Envoy that did not hear of it is told so
//! when it asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use miroir_core::error::{ApiError, is_index_uid};
use serde_json::Value;
use time::OffsetDateTime;

use crate::cluster::Cluster;
use crate::refusal::refused;
use crate::store::AliasRecord;

/// For so long after every Envoy runs with a change, writes may begin that it got just before.
const GRACE: Duration = Duration::from_secs(1);
/// How long a change waits for the writes that have begun by what the alias stood for before.
const PATIENCE: Duration = Duration::from_secs(10);

type All = BTreeMap<String, AliasRecord>;

/// What is under way of changes of aliases.
#[derive(Debug, Default)]
pub struct Aliases {
    one_at_a_time: tokio::sync::Mutex<()>,
    /// What an alias stood for before the change that Envoys are being told of.
    before: Mutex<HashMap<String, Vec<String>>>,
}

impl Aliases {
    /// Nothing panics while it holds the lock.
    fn before(&self) -> MutexGuard<'_, HashMap<String, Vec<String>>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets writes begin by what an alias stood for before, too, until this is dropped.
    fn allow<'a>(&'a self, name: &'a str, indexes: &[String]) -> Allowed<'a> {
        self.before().insert(name.to_owned(), indexes.to_vec());
        Allowed { aliases: self, name }
    }
}

struct Allowed<'a> {
    aliases: &'a Aliases,
    name: &'a str,
}

impl Drop for Allowed<'_> {
    fn drop(&mut self) {
        self.aliases.before().remove(self.name);
    }
}

/// The indexes that a name stands for: of what is no alias, itself.
pub fn indexes_of(cluster: &Cluster, name: &str) -> Vec<String> {
    cluster.table().aliases.get(name).cloned().unwrap_or_else(|| vec![name.to_owned()])
}

/// Puts the index in the place of an alias that `indexUid` of a request's part names.
///
/// # Errors
/// If it stands for several.
pub fn put_index(cluster: &Cluster, part: &mut Value) -> Result<(), ApiError> {
    let Some(Value::String(named)) = part.get_mut("indexUid") else { return Ok(()) };
    match <[String; 1]>::try_from(indexes_of(cluster, named)) {
        Ok([uid]) => *named = uid,
        Err(uids) => return Err(several(named, &uids, false)),
    }
    Ok(())
}

/// Whether a write that was routed by a name to an index may begin.
pub fn may_write(cluster: &Cluster, alias: Option<&str>, index: &str) -> bool {
    let table = cluster.table();
    let Some(alias) = alias else { return !table.aliases.contains_key(index) };
    let is_it = |indexes: Option<&Vec<String>>| indexes.is_some_and(|indexes| *indexes == [index]);
    is_it(table.aliases.get(alias)) || is_it(cluster.aliases.before().get(alias))
}

/// Refuses what is done to an index under a name that is an alias's.
///
/// # Errors
/// 409 `miroir_uid_is_alias`.
pub fn check_is_none(aliases: &All, name: &str) -> Result<(), ApiError> {
    let Some(alias) = aliases.get(name) else { return Ok(()) };
    let message = format!(
        "`{name}` is an alias of {}: no index of that uid can be created, deleted, renamed or swapped. Name the index \
         itself, or change the alias first, on the admin port: `/_miroir/aliases/{name}`.",
        quoted(&alias.indexes)
    );
    Err(refused(409, "miroir_uid_is_alias", message))
}

/// Refuses to let an index go for which an alias stands.
///
/// # Errors
/// 409 `miroir_index_has_alias`.
pub fn check_has_none(aliases: &All, uid: &str) -> Result<(), ApiError> {
    let of_index = aliases.values().filter(|alias| alias.indexes.iter().any(|index| index == uid));
    let names: Vec<&String> = of_index.map(|alias| &alias.name).collect();
    let named = match names[..] {
        [] => return Ok(()),
        [name] => format!("alias `{name}` stands for it"),
        _ => format!("aliases {} stand for it", quoted(&names)),
    };
    let message = format!(
        "Index `{uid}` can't be deleted or renamed: {named}. Give it another index or remove it first, on the admin port: \
         `/_miroir/aliases/{}`.",
        names[0]
    );
    Err(refused(409, "miroir_index_has_alias", message))
}

/// What is done with one index can't be done with several.
pub fn several(name: &str, indexes: &[String], writes: bool) -> ApiError {
    let indexes = quoted(indexes);
    if writes {
        let message = format!(
            "Alias `{name}` stands for several indexes ({indexes}), so it can be searched, but not written to or changed: name one \
             of them."
        );
        return refused(400, "miroir_multi_alias_not_writable", message);
    }
    let message = format!(
        "Alias `{name}` stands for several indexes ({indexes}). That works for searches and multi-searches alone: name one \
         of them."
    );
    refused(400, "miroir_multi_alias_not_supported", message)
}

fn quoted(names: &[impl std::fmt::Display]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// One alias.
///
/// # Errors
/// If there is none of that name, or the store fails.
pub async fn get(cluster: &Cluster, name: &str) -> Result<AliasRecord, ApiError> {
    find(&cluster.store.aliases().await?, name).cloned()
}

fn find<'a>(aliases: &'a All, name: &str) -> Result<&'a AliasRecord, ApiError> {
    aliases.get(name).ok_or_else(|| {
        let message = format!("There is no alias `{name}`: `miroir alias list` shows which there are.");
        refused(404, "miroir_alias_not_found", message)
    })
}

/// Makes an alias, or lets it stand for other indexes. When this returns, every Envoy goes by it.
///
/// # Errors
/// If it can't stand for these, or the store fails.
pub async fn set(cluster: &Cluster, name: &str, indexes: Vec<String>) -> Result<AliasRecord, ApiError> {
    check_form(name, &indexes)?;
    turn(cluster, name, |_| Ok(indexes)).await
}

/// Lets an alias stand for what it stood for before.
///
/// # Errors
/// If there is no such alias, or it never stood for anything else; if the indexes are gone; if the store fails.
pub async fn roll_back(cluster: &Cluster, name: &str) -> Result<AliasRecord, ApiError> {
    turn(cluster, name, |aliases| {
        let former = find(aliases, name)?.history.first();
        former.map(|former| former.indexes.clone()).ok_or_else(|| {
            let message =
                format!("Alias `{name}` never stood for anything else: there is nothing to roll back to.");
            refused(409, "miroir_nothing_to_roll_back", message)
        })
    })
    .await
}

/// Removes an alias, and gives it back as it was. When this returns, no Envoy goes by it.
///
/// # Errors
/// If there is none of that name, or the store fails.
pub async fn remove(cluster: &Cluster, name: &str) -> Result<AliasRecord, ApiError> {
    let one_at_a_time = cluster.aliases.one_at_a_time.lock().await;
    let lock = cluster.index_locks.lock(name).await;
    let alias = get(cluster, name).await?;
    let allowed = cluster.aliases.allow(name, &alias.indexes);
    cluster.store.delete_alias(name).await?;
    cluster.publish_everywhere().await?;
    tokio::time::sleep(GRACE).await;
    drop((allowed, lock, one_at_a_time));
    wait_for_writes(cluster, &alias.indexes).await;
    Ok(alias)
}

async fn turn(
    cluster: &Cluster,
    name: &str,
    choose: impl FnOnce(&All) -> Result<Vec<String>, ApiError>,
) -> Result<AliasRecord, ApiError> {
    let one_at_a_time = cluster.aliases.one_at_a_time.lock().await;
    let aliases = cluster.store.aliases().await?;
    let indexes = choose(&aliases)?;
    let uids = indexes.iter().map(String::as_str).chain([name]);
    let locks = cluster.index_locks.lock_all(uids).await;
    check_indexes(cluster, &aliases, name, &indexes).await?;
    let now = OffsetDateTime::now_utc();
    let (alias, before) = match aliases.get(name) {
        Some(alias) if alias.indexes == indexes => return Ok(alias.clone()),
        Some(alias) => (alias.clone().turned_to(indexes, now), alias.indexes.clone()),
        None => (AliasRecord::new(name, indexes, now), Vec::new()),
    };
    let allowed = cluster.aliases.allow(name, &before);
    cluster.store.save_alias(&alias).await?;
    cluster.publish_everywhere().await?;
    if !before.is_empty() {
        tokio::time::sleep(GRACE).await;
    }
    drop((allowed, locks, one_at_a_time));
    wait_for_writes(cluster, &before).await;
    Ok(alias)
}

/// Waits a while for the writes that have begun: so nothing comes to these indexes any more by what was before.
async fn wait_for_writes(cluster: &Cluster, indexes: &[String]) {
    for index in indexes {
        if !cluster.gates.barrier(index, PATIENCE).await {
            tracing::warn!(
                index,
                "writes were under way for more than {PATIENCE:?}: they may still end there"
            );
        }
    }
}

fn check_form(name: &str, indexes: &[String]) -> Result<(), ApiError> {
    let invalid = |message: String| Err(refused(400, "miroir_invalid_alias", message));
    if !is_index_uid(name) {
        return invalid(format!(
            "`{name}` can't be an alias: like the uid of an index it must be of letters, digits, hyphens (-) and \
             underscores (_), and not longer than 400 bytes."
        ));
    }
    if indexes.is_empty() {
        return invalid(format!("Alias `{name}` must stand for an index: `indexes` is empty."));
    }
    let twice = indexes.iter().enumerate().find(|(place, index)| indexes[..*place].contains(index));
    match twice {
        Some((_, index)) => invalid(format!("Alias `{name}` can't stand for index `{index}` twice.")),
        None => Ok(()),
    }
}

async fn check_indexes(
    cluster: &Cluster,
    aliases: &All,
    name: &str,
    indexes: &[String],
) -> Result<(), ApiError> {
    let known = cluster.store.indexes().await?;
    if known.contains_key(name) {
        let message =
            format!("`{name}` can't be an alias: there is an index of that uid. Rename or delete it first.");
        return Err(refused(409, "miroir_alias_is_index", message));
    }
    for index in indexes {
        if aliases.contains_key(index) || index == name {
            let message = format!(
                "Alias `{name}` can't stand for `{index}`, which is an alias itself: name its index."
            );
            return Err(refused(400, "miroir_alias_of_alias", message));
        }
        if !known.contains_key(index) {
            let message =
                format!("Index `{index}` not found: alias `{name}` can stand for indexes that exist alone.");
            return Err(refused(404, "index_not_found", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn writes_go_by_what_an_alias_stands_for_and_for_a_moment_by_what_it_stood_for() {
        let cluster = testing::open(json!({}), &testing::store()).await.unwrap();
        for uid in ["v1", "v2"] {
            cluster.store.save_index(&testing::index(uid)).await.unwrap();
        }
        let may = |alias, index| may_write(&cluster, alias, index);
        assert!(may(None, "movies") && !may(Some("movies"), "v1"));
        set(&cluster, "movies", vec!["v1".into()]).await.unwrap();
        assert!(may(Some("movies"), "v1") && may(None, "v1") && !may(Some("movies"), "v2"));
        assert!(!may(None, "movies"), "there is no such index");
        let allowed = cluster.aliases.allow("movies", &["v2".into()]);
        assert!(may(Some("movies"), "v1") && may(Some("movies"), "v2"));
        drop(allowed);
        assert!(!may(Some("movies"), "v2"));
        set(&cluster, "both", vec!["v1".into(), "v2".into()]).await.unwrap();
        assert!(!may(Some("both"), "v1"));
        assert_eq!(
            (indexes_of(&cluster, "both"), indexes_of(&cluster, "v1")),
            (vec!["v1".into(), "v2".into()], vec!["v1".into()])
        );
    }

    #[tokio::test]
    async fn a_part_of_a_request_names_one_index() {
        let cluster = testing::open(json!({}), &testing::store()).await.unwrap();
        for uid in ["v1", "v2"] {
            cluster.store.save_index(&testing::index(uid)).await.unwrap();
        }
        set(&cluster, "movies", vec!["v1".into()]).await.unwrap();
        set(&cluster, "both", vec!["v1".into(), "v2".into()]).await.unwrap();
        let put = |mut part: Value| put_index(&cluster, &mut part).map(|()| part);
        assert_eq!(put(json!({"indexUid": "movies", "id": "1"})), Ok(json!({"indexUid": "v1", "id": "1"})));
        for same in [json!({"indexUid": "v2"}), json!({"indexUid": null}), json!({}), json!(1)] {
            assert_eq!(put(same.clone()), Ok(same));
        }
        assert_eq!(
            put(json!({"indexUid": "both"})).map_err(|error| error.code),
            Err("miroir_multi_alias_not_supported".into())
        );
    }
}
