//! The epoch and the stale replicas in SQLite.

use miroir_core::rebalance::{Epoch, Stale};
use miroir_core::shard::ShardId;
use rusqlite::{Transaction, params};

use super::{bodies, json};
use crate::store::copies::Copies;
use crate::store::{RebalanceRecord, StoreError, Topology};

pub fn current_epoch(transaction: &Transaction) -> Result<Option<Epoch>, StoreError> {
    Ok(bodies(transaction, "SELECT body FROM epochs ORDER BY epoch DESC LIMIT 1", [])?.pop())
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

/// Has the copies changed.
pub fn change<T>(
    transaction: &Transaction,
    change: impl FnOnce(&mut Copies) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let sql = "SELECT value FROM counters WHERE name = 'next_miss'";
    let next_miss = transaction.query_row(sql, [], |row| row.get(0))?;
    let mut copies = Copies::new(current_epoch(transaction)?, stale_replicas(transaction)?, next_miss);
    let answer = change(&mut copies)?;
    save(transaction, &copies)?;
    Ok(answer)
}

fn save(transaction: &Transaction, copies: &Copies) -> Result<(), StoreError> {
    let epoch = &copies.epoch;
    if copies.dirty.epoch {
        let sql = "INSERT OR REPLACE INTO epochs (epoch, body) VALUES (?1, ?2)";
        transaction.execute(sql, params![epoch.epoch, json(epoch)?])?;
        transaction.execute("DELETE FROM epochs WHERE epoch < ?1", [epoch.epoch])?;
    }
    for node in &copies.dirty.nodes {
        transaction.execute("DELETE FROM stale_replicas WHERE node = ?1", [node])?;
        let Some(shards) = copies.stale.get(node) else { continue };
        let sql = "INSERT INTO stale_replicas (node, shard, miss) SELECT ?1, key, value FROM json_each(?2)";
        transaction.execute(sql, (node, json(shards)?))?;
    }
    if !copies.dirty.nodes.is_empty() {
        let sql = "UPDATE counters SET value = ?1 WHERE name = 'next_miss'";
        transaction.execute(sql, [copies.next_miss])?;
    }
    if copies.dirty.shards {
        let topology = bodies(transaction, "SELECT body FROM topology", [])?.pop();
        let rebalance = bodies(transaction, "SELECT body FROM rebalance", [])?.pop();
        let (topology, rebalance) = copies.resharded(topology, rebalance);
        save_topology(transaction, topology.as_ref())?;
        save_rebalance(transaction, rebalance.as_ref())?;
    }
    Ok(())
}

pub fn save_topology(transaction: &Transaction, topology: Option<&Topology>) -> Result<(), StoreError> {
    let Some(topology) = topology else { return Ok(()) };
    transaction.execute("INSERT OR REPLACE INTO topology (id, body) VALUES (0, ?1)", [json(topology)?])?;
    Ok(())
}

pub fn save_rebalance(
    transaction: &Transaction,
    rebalance: Option<&RebalanceRecord>,
) -> Result<(), StoreError> {
    let Some(rebalance) = rebalance else { return Ok(()) };
    transaction.execute("INSERT OR REPLACE INTO rebalance (id, body) VALUES (0, ?1)", [json(rebalance)?])?;
    Ok(())
}
