//! Epochs and stale replicas in SQLite: which copies of a shard can be relied on.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::control::PartOutcome;
use miroir_core::rebalance::{Epoch, Refused, Remains, Stale, converted_stale};
use miroir_core::shard::{ShardId, converted};
use rusqlite::{Transaction, params};

use super::sqlite::{bodies, json};
use super::{RebalanceRecord, StoreError, TaskPart, Topology};

pub fn current_epoch(transaction: &Transaction) -> Result<Option<Epoch>, StoreError> {
    Ok(bodies(transaction, "SELECT body FROM epochs ORDER BY epoch DESC LIMIT 1", [])?.pop())
}

pub fn add_epoch(transaction: &Transaction, epoch: &Epoch) -> Result<(), StoreError> {
    let before = current_epoch(transaction)?.unwrap_or_default();
    if epoch.epoch != before.epoch + 1 {
        let (wanted, next) = (epoch.epoch, before.epoch + 1);
        return Err(StoreError::Conflict(format!("epoch {wanted} can't be added: the next one is {next}")));
    }
    let mut stale = stale_replicas(transaction)?;
    if !epoch.keeps_clean_readers_of(&before, &stale) {
        let message = format!("epoch {} would take away the last clean copy of a shard", epoch.epoch);
        return Err(StoreError::Conflict(message));
    }
    let sql = "INSERT INTO epochs (epoch, body) VALUES (?1, ?2)";
    transaction.execute(sql, params![epoch.epoch, json(epoch)?])?;
    // One that was registered before can't be read by anybody any more.
    transaction.execute("DELETE FROM epochs WHERE epoch < ?1 - 100", [epoch.epoch])?;
    if !before.owners.is_empty() && before.shards() != epoch.shards() {
        stale = converted_stale(&stale, before.shards(), epoch.shards());
        reshard(transaction, epoch, &stale)?;
    }
    for (node, shard) in epoch.joined_since(&before) {
        mark(transaction, node, &[shard])?;
    }
    for (node, shards) in &stale {
        for shard in shards.keys().filter(|shard| !epoch.owns(node, **shard)) {
            transaction
                .execute("DELETE FROM stale_replicas WHERE node = ?1 AND shard = ?2", (node, shard))?;
        }
    }
    Ok(())
}

/// Gives all that goes by numbers of shards the epoch's.
fn reshard(transaction: &Transaction, epoch: &Epoch, stale: &Stale) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM stale_replicas", [])?;
    for (node, shards) in stale {
        for (shard, miss) in shards {
            let sql = "INSERT INTO stale_replicas (node, shard, miss) VALUES (?1, ?2, ?3)";
            transaction.execute(sql, params![node, shard, miss])?;
        }
    }
    let topology: Vec<Topology> = bodies(transaction, "SELECT body FROM topology", [])?;
    for topology in topology {
        let body = json(&Topology { shards: epoch.shards(), ..topology })?;
        transaction.execute("UPDATE topology SET body = ?1", [body])?;
    }
    let rebalance: Vec<RebalanceRecord> = bodies(transaction, "SELECT body FROM rebalance", [])?;
    for rebalance in rebalance {
        let body = json(&RebalanceRecord { target: epoch.owners.clone(), ..rebalance })?;
        transaction.execute("UPDATE rebalance SET body = ?1", [body])?;
    }
    Ok(())
}

pub fn remove_leftovers(transaction: &Transaction, node: &str, shards: &[ShardId]) -> Result<(), StoreError> {
    let Some(mut epoch) = current_epoch(transaction)? else { return Ok(()) };
    let Some(leftovers) = epoch.leftovers.get_mut(node) else { return Ok(()) };
    leftovers.retain(|shard| !shards.contains(shard));
    epoch.leftovers.retain(|_, shards| !shards.is_empty());
    save_epoch(transaction, &epoch)
}

fn save_epoch(transaction: &Transaction, epoch: &Epoch) -> Result<(), StoreError> {
    let sql = "UPDATE epochs SET body = ?2 WHERE epoch = ?1";
    transaction.execute(sql, params![epoch.epoch, json(epoch)?])?;
    Ok(())
}

pub fn stale_replicas(transaction: &Transaction) -> Result<Stale, StoreError> {
    let mut statement = transaction.prepare_cached("SELECT node, shard, miss FROM stale_replicas")?;
    let mut stale = Stale::new();
    for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
        let (node, shard, miss): (String, ShardId, u64) = row?;
        stale.entry(node).or_default().insert(shard, miss);
    }
    Ok(stale)
}

pub fn mark_stale(
    transaction: &Transaction,
    node: &str,
    shards: &[ShardId],
    of: ShardId,
) -> Result<(), StoreError> {
    let epoch = current_epoch(transaction)?.unwrap_or_default();
    let stale = stale_replicas(transaction)?;
    let shards = converted(shards.iter().copied(), of, epoch.shards()).into_iter();
    let may = |shard: &ShardId| epoch.may_become_stale(node, *shard, &stale);
    mark(transaction, node, &shards.filter(may).collect::<Vec<_>>())
}

pub fn leave(transaction: &Transaction, write: &Refused) -> Result<(), StoreError> {
    let Some(mut epoch) = current_epoch(transaction)? else { return Ok(()) };
    let Remains { stale, leftovers } = epoch.remains_of(write, &stale_replicas(transaction)?);
    for (node, shards) in stale {
        mark_stale(transaction, &node, &shards.into_iter().collect::<Vec<_>>(), epoch.shards())?;
    }
    if leftovers.is_empty() {
        return Ok(());
    }
    for (node, shards) in leftovers {
        epoch.leftovers.entry(node).or_default().extend(shards);
    }
    save_epoch(transaction, &epoch)
}

/// Nodes that are no members lose what they hold.
pub fn lose_all_but(transaction: &Transaction, members: &BTreeSet<String>) -> Result<(), StoreError> {
    let Some(epoch) = current_epoch(transaction)? else { return Ok(()) };
    let mut gone: BTreeMap<&str, Vec<ShardId>> = BTreeMap::new();
    for shard in 0..epoch.shards() {
        for node in epoch.owners_of(shard).filter(|node| !members.contains(*node)) {
            gone.entry(node).or_default().push(shard);
        }
    }
    for (node, shards) in gone {
        let stale = stale_replicas(transaction)?;
        // It owns them all, so what may not become stale is the last clean copy.
        let is_last = |shard: &&ShardId| !epoch.may_become_stale(node, **shard, &stale);
        if let Some(shard) = shards.iter().find(is_last) {
            let message = format!("node {node} has the only up-to-date copy of shard {shard}");
            return Err(StoreError::Conflict(message));
        }
        mark(transaction, node, &shards)?;
    }
    Ok(())
}

pub fn mark_lost(
    transaction: &Transaction,
    node: &str,
    shards: &[ShardId],
    of: ShardId,
) -> Result<(), StoreError> {
    let epoch = current_epoch(transaction)?.unwrap_or_default();
    let shards = converted(shards.iter().copied(), of, epoch.shards()).into_iter();
    mark(transaction, node, &shards.filter(|shard| epoch.owns(node, *shard)).collect::<Vec<_>>())
}

pub fn mark_clean(
    transaction: &Transaction,
    node: &str,
    seen: &BTreeMap<ShardId, u64>,
) -> Result<Vec<ShardId>, StoreError> {
    let sql = "DELETE FROM stale_replicas WHERE node = ?1 AND shard = ?2 AND miss = ?3";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut clean = Vec::new();
    for (shard, miss) in seen {
        if statement.execute(params![node, shard, miss])? > 0 {
            clean.push(*shard);
        }
    }
    Ok(clean)
}

/// Takes a write that a quorum of nodes has enqueued: sees to it that clean copies have it, and marks those that missed
/// it.
pub fn take_write(
    transaction: &Transaction,
    parts: &mut [TaskPart],
    missed: &[(String, Vec<ShardId>)],
    of: ShardId,
) -> Result<(), StoreError> {
    let Some(epoch) = current_epoch(transaction)? else { return Ok(()) };
    let here = |shards: &[ShardId]| converted(shards.iter().copied(), of, epoch.shards());
    for part in parts.iter_mut() {
        part.shards = here(&part.shards).into_iter().collect();
        part.of = epoch.shards();
    }
    let missed = missed.iter().map(|(node, shards)| (node, here(shards)));
    let missed: Vec<(&String, BTreeSet<ShardId>)> = missed.collect();
    let mut takers: BTreeMap<ShardId, BTreeSet<String>> = BTreeMap::new();
    for part in parts.iter().filter(|part| matches!(part.outcome, PartOutcome::Accepted(_))) {
        for shard in &part.shards {
            takers.entry(*shard).or_default().insert(part.node.clone());
        }
    }
    for (node, shards) in &missed {
        for shard in shards {
            if let Some(takers) = takers.get_mut(shard) {
                takers.remove(*node);
            }
        }
    }
    let stale = stale_replicas(transaction)?;
    for (shard, takers) in &takers {
        if !epoch.has_clean_taker(*shard, &stale, |node| takers.contains(node)) {
            return Err(StoreError::NoCleanCopy(*shard));
        }
    }
    for part in parts {
        let shards = part.shards.iter().copied();
        part.unreliable = shards.filter(|shard| !epoch.is_reliable(&part.node, *shard, &stale)).collect();
    }
    for (node, shards) in missed {
        mark_stale(transaction, node, &shards.into_iter().collect::<Vec<_>>(), epoch.shards())?;
    }
    Ok(())
}

fn mark(transaction: &Transaction, node: &str, shards: &[ShardId]) -> Result<(), StoreError> {
    if shards.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE counters SET value = value + 1 WHERE name = 'next_miss' RETURNING value";
    let miss: u64 = transaction.query_row(sql, [], |row| row.get(0))?;
    let sql =
        "INSERT OR REPLACE INTO stale_replicas (node, shard, miss) SELECT ?1, value, ?3 FROM json_each(?2)";
    transaction.execute(sql, (node, json(&shards)?, miss))?;
    Ok(())
}
