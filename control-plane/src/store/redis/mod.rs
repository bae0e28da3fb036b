//! The store in Redis, for several control planes. One of them leads, and it alone changes anything.

mod aliases;
mod changes;
mod durability;
mod import;
mod instance;
mod keys;
mod lease;
mod link;
mod query;
mod removal;
mod requests;
#[cfg(test)]
pub mod server;
mod tasks;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
mod transaction;

pub use import::Import;
pub use lease::{Holder, LEASE, Lease, Standing};
pub use link::Link;
pub use tasks::TICKET_LIFE;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use miroir_core::rebalance::{Epoch, Refused, Stale};
use miroir_core::shard::ShardId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::{
    BatchPage, Fence, IndexChange, IndexRecord, IndexesChange, NewTask, NodeChange, PendingChange,
    RebalanceRecord, Store, StoreError, TaskDeletion, TaskPage, TaskQuery, TaskRecord, Topology,
};
use crate::leadership::Term;
use transaction::{Names, State, Transaction};

/// The schema version that this program writes.
const SCHEMA: u64 = 1;

/// A [`Store`] in a Redis, for the control plane that leads.
#[derive(Debug)]
pub struct RedisStore {
    link: Arc<Link>,
    token: u64,
    term: Term,
    state: Mutex<Option<State>>,
}

impl RedisStore {
    /// Opens the store for whoever got this token.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] for a store of a newer Miroir, [`StoreError::Incomplete`] for one that was not wholly imported; if Redis
    /// can't be asked, or another control plane leads by now.
    pub async fn open(link: Arc<Link>, token: u64, term: Term) -> Result<RedisStore, StoreError> {
        let store = RedisStore::connect(link, token, term).await?;
        if store.value::<bool>(keys::IMPORT).await?.is_some() {
            return Err(StoreError::Incomplete);
        }
        durability::check(&store.link).await;
        Ok(store)
    }

    async fn connect(link: Arc<Link>, token: u64, term: Term) -> Result<RedisStore, StoreError> {
        let store = RedisStore { link, token, term, state: Mutex::default() };
        let found: u64 = store.value(keys::SCHEMA).await?.unwrap_or(0);
        if found > SCHEMA {
            return Err(StoreError::TooNew { found, known: SCHEMA });
        }
        if found < SCHEMA {
            store.save_value(keys::SCHEMA, &SCHEMA).await?;
        }
        Ok(store)
    }

    /// What the leader knows.
    async fn known<T>(&self, of: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        let transaction = Transaction::begin(self).await?;
        let answer = of(&transaction.state);
        transaction.commit().await?;
        Ok(answer)
    }

    async fn names(&self) -> Result<Arc<Names>, StoreError> {
        self.known(|state| state.names.clone()).await
    }

    /// A value that is kept as JSON.
    async fn value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let mut request = redis::pipe();
        request.cmd("GET").arg(key);
        let (body,): (Option<String>,) = self.link.ask(&request).await?;
        body.map(|body| parse(&body)).transpose()
    }

    async fn save_value<T: Serialize>(&self, key: &str, value: &T) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.set(key, value)?;
        transaction.commit().await
    }

    /// A field of a hash of JSON.
    async fn field<T: DeserializeOwned>(&self, key: &str, field: &str) -> Result<Option<T>, StoreError> {
        let mut request = redis::pipe();
        request.cmd("HGET").arg(key).arg(field);
        let (body,): (Option<String>,) = self.link.ask(&request).await?;
        body.map(|body| parse(&body)).transpose()
    }

    /// A hash of JSON.
    async fn fields<T: DeserializeOwned>(&self, key: &str) -> Result<BTreeMap<String, T>, StoreError> {
        let mut request = redis::pipe();
        request.cmd("HGETALL").arg(key);
        let (bodies,): (BTreeMap<String, String>,) = self.link.ask(&request).await?;
        bodies.into_iter().map(|(field, body)| Ok((field, parse(&body)?))).collect()
    }

    /// A hash of numbers.
    async fn numbers(&self, key: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut request = redis::pipe();
        request.cmd("HGETALL").arg(key);
        let (numbers,): (BTreeMap<String, u64>,) = self.link.ask(&request).await?;
        Ok(numbers)
    }
}

#[async_trait]
impl Store for RedisStore {
    fn term(&self) -> Term {
        self.term.clone()
    }

    async fn topology(&self) -> Result<Option<Topology>, StoreError> {
        self.value(keys::TOPOLOGY).await
    }

    async fn save_topology(&self, topology: &Topology) -> Result<(), StoreError> {
        self.save_value(keys::TOPOLOGY, topology).await
    }

    async fn change_topology(
        &self,
        topology: &Topology,
        rebalance: &RebalanceRecord,
    ) -> Result<(), StoreError> {
        let members: BTreeSet<String> = topology.nodes.iter().map(|node| node.id.clone()).collect();
        let mut transaction = Transaction::begin(self).await?;
        transaction.state.copies.lose_all_but(&members)?;
        transaction.set(keys::TOPOLOGY, topology)?;
        transaction.set(keys::REBALANCE, rebalance)?;
        transaction.commit().await
    }

    async fn current_epoch(&self) -> Result<Option<Epoch>, StoreError> {
        self.known(|state| state.copies.is_placed().then(|| state.copies.epoch.clone())).await
    }

    async fn add_epoch(&self, epoch: &Epoch) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.state.copies.add_epoch(epoch)?;
        if transaction.state.copies.dirty.shards {
            let (topology, rebalance) = (self.topology().await?, self.rebalance().await?);
            let (topology, rebalance) = transaction.state.copies.resharded(topology, rebalance);
            if let Some(topology) = topology {
                transaction.set(keys::TOPOLOGY, &topology)?;
            }
            if let Some(rebalance) = rebalance {
                transaction.set(keys::REBALANCE, &rebalance)?;
            }
        }
        transaction.commit().await
    }

    async fn retire_epochs_below(&self, epoch: u64) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        if epoch > transaction.state.first_live_epoch {
            transaction.state.first_live_epoch = epoch;
            transaction.count("first_live_epoch", epoch);
        }
        transaction.commit().await
    }

    async fn first_live_epoch(&self) -> Result<u64, StoreError> {
        self.known(|state| state.first_live_epoch).await
    }

    async fn envoys(&self) -> Result<BTreeMap<String, OffsetDateTime>, StoreError> {
        let mut request = redis::pipe();
        request.cmd("ZRANGE").arg(keys::ENVOYS).arg(0).arg(-1).arg("WITHSCORES");
        let (seen,): (Vec<(String, f64)>,) = self.link.ask(&request).await?;
        let date = |seconds: f64| OffsetDateTime::from_unix_timestamp(seconds as i64);
        let seen = seen.into_iter();
        Ok(seen.map(|(node, at)| (node, date(at).unwrap_or(OffsetDateTime::UNIX_EPOCH))).collect())
    }

    async fn saw_envoys(&self, envoys: &[String], forget_before: OffsetDateTime) -> Result<(), StoreError> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let mut transaction = Transaction::begin(self).await?;
        for envoy in envoys {
            transaction.command("ZADD", keys::ENVOYS, &[&now, envoy]);
        }
        let before = format!("({}", forget_before.unix_timestamp());
        transaction.command("ZREMRANGEBYSCORE", keys::ENVOYS, &[&"-inf", &before]);
        transaction.commit().await
    }

    async fn remove_leftovers(&self, node: &str, shards: &[ShardId]) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.state.copies.remove_leftovers(node, shards);
        transaction.commit().await
    }

    async fn stale_replicas(&self) -> Result<Stale, StoreError> {
        self.known(|state| state.copies.stale.clone()).await
    }

    async fn mark_stale(&self, node: &str, shards: &[ShardId], of: ShardId) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.state.copies.mark_stale(node, shards.iter().copied(), of);
        transaction.commit().await
    }

    async fn leave(&self, write: &Refused) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.state.copies.leave(write);
        transaction.commit().await
    }

    async fn mark_lost(&self, node: &str, shards: &[ShardId], of: ShardId) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.state.copies.mark_lost(node, shards, of);
        transaction.commit().await
    }

    async fn mark_clean(
        &self,
        node: &str,
        seen: &BTreeMap<ShardId, u64>,
        source: Option<&str>,
    ) -> Result<Vec<ShardId>, StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        let clean = transaction.state.copies.mark_clean(node, seen, source);
        transaction.commit().await?;
        Ok(clean)
    }

    async fn rebalance(&self) -> Result<Option<RebalanceRecord>, StoreError> {
        self.value(keys::REBALANCE).await
    }

    async fn save_rebalance(&self, rebalance: &RebalanceRecord) -> Result<(), StoreError> {
        self.save_value(keys::REBALANCE, rebalance).await
    }

    async fn indexes(&self) -> Result<BTreeMap<String, IndexRecord>, StoreError> {
        self.fields(keys::INDEXES).await
    }

    async fn index(&self, uid: &str) -> Result<Option<IndexRecord>, StoreError> {
        self.field(keys::INDEXES, uid).await
    }

    async fn save_index(&self, index: &IndexRecord) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.set_field(keys::INDEXES, &index.uid, index)?;
        transaction.commit().await
    }

    async fn update_index(&self, uid: &str, change: IndexChange) -> Result<Option<IndexRecord>, StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        let found: Option<IndexRecord> = self.field(keys::INDEXES, uid).await?;
        let index = found.map(|index| index.changed(change));
        if let Some(index) = &index {
            transaction.set_field(keys::INDEXES, uid, index)?;
        }
        transaction.commit().await?;
        Ok(index)
    }

    async fn delete_index(&self, uid: &str) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        changes::delete_index(&mut transaction, uid);
        transaction.commit().await
    }

    async fn register_change(
        &self,
        change: IndexesChange,
        task: NewTask,
    ) -> Result<(TaskRecord, Vec<u64>), StoreError> {
        self.change(change, task).await
    }

    async fn add_pending_change(&self, node: &str, change: &NodeChange) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        changes::add_pending(&mut transaction, node, None, change)?;
        transaction.commit().await
    }

    async fn pending_changes(&self, node: &str) -> Result<Vec<PendingChange>, StoreError> {
        self.pending(node).await
    }

    async fn set_sent_from(&self, change: u64, first_uid: u64) -> Result<(), StoreError> {
        self.sent_from(change, first_uid).await
    }

    async fn remove_pending_change(&self, change: u64) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.command("HDEL", keys::PENDING_CHANGES, &[&change]);
        transaction.commit().await
    }

    async fn node_settings_versions(&self, index: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        self.numbers(&keys::settings_versions(index)).await
    }

    async fn set_node_settings_version(
        &self,
        index: &str,
        node: &str,
        version: u64,
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.command("HSET", &keys::settings_versions(index), &[&node, &version]);
        transaction.commit().await
    }

    async fn register_task(&self, task: NewTask, fence: Option<Fence>) -> Result<TaskRecord, StoreError> {
        self.register(task, fence).await
    }

    async fn task(&self, uid: u64) -> Result<Option<TaskRecord>, StoreError> {
        Ok(self.tasks_of(&*self.names().await?, &[uid]).await?.pop())
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, StoreError> {
        self.page(query).await
    }

    async fn unfinished_tasks(&self, limit: usize) -> Result<Vec<TaskRecord>, StoreError> {
        self.unfinished(limit).await
    }

    async fn save_task(&self, task: &TaskRecord) -> Result<(), StoreError> {
        self.save(task).await
    }

    async fn register_cancelation(
        &self,
        query: &TaskQuery,
        cancelable: &'static [&'static str],
        task: NewTask,
    ) -> Result<(TaskRecord, Vec<TaskRecord>), StoreError> {
        self.cancel(query, cancelable, task).await
    }

    async fn register_deletion(&self, query: &TaskQuery, task: NewTask) -> Result<TaskDeletion, StoreError> {
        self.delete(query, task).await
    }

    async fn prune_tasks(
        &self,
        ended_before: Option<OffsetDateTime>,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.prune(ended_before, limit).await
    }

    async fn batches(&self, query: &TaskQuery) -> Result<BatchPage, StoreError> {
        self.batch_page(query).await
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Backend(error.to_string()))
}

fn parse<T: DeserializeOwned>(body: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|error| StoreError::Backend(error.to_string()))
}
