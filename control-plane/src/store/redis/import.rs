//! Takes over what another backend held.

use std::sync::Arc;

use time::OffsetDateTime;

use super::requests::remember_until;
use super::tasks::{TICKET_LIFE, put};
use super::transaction::Transaction;
use super::{Link, RedisStore, keys};
use crate::leadership::Term;
use crate::store::contents::{Contents, Internals};
use crate::store::{StoreError, TaskRecord};

/// So many rows are in one transaction.
const ROWS: usize = 1000;
/// What stays when all else is deleted.
const KEPT: [&str; 5] = [keys::SCHEMA, keys::LEASE, keys::TOKEN, keys::LAST, keys::IMPORT];

/// The state of another store on its way into a Redis. Until it is there as a whole, no control plane opens it.
#[derive(Debug)]
pub struct Import {
    store: RedisStore,
}

impl Import {
    /// Begins, for whoever got this token. What was left of one that was not ended is deleted.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if Redis holds the state of a cluster, [`StoreError::TooNew`] if that is a newer Miroir's; if
    /// Redis can't be asked.
    pub async fn begin(link: Arc<Link>, token: u64, term: Term) -> Result<Import, StoreError> {
        let store = RedisStore::connect(link, token, term).await?;
        let mut request = redis::pipe();
        request.cmd("EXISTS").arg(keys::IMPORT);
        request.cmd("EXISTS").arg(&[
            keys::TOPOLOGY,
            keys::EPOCH,
            keys::INDEXES,
            keys::TASKS,
            keys::COUNTERS,
            keys::API_KEYS,
        ]);
        let (was_begun, held): (bool, u64) = store.link.ask(&request).await?;
        if held > 0 && !was_begun {
            let message = "this Redis database holds the state of a cluster: take another one (the number at the end of \
                           `task_store.url`), or empty it";
            return Err(StoreError::Conflict(message.into()));
        }
        store.save_value(keys::IMPORT, &true).await?;
        if was_begun {
            store.clear().await?;
        }
        Ok(Import { store })
    }

    /// Adds tasks, each once.
    ///
    /// # Errors
    /// If another control plane leads by now, or Redis can't be asked.
    pub async fn add_tasks(&self, tasks: &[TaskRecord]) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(&self.store).await?;
        let now = OffsetDateTime::now_utc();
        for task in tasks {
            put(&mut transaction, task, None)?;
            let age = u64::try_from((now - task.enqueued_at).whole_seconds()).unwrap_or(0);
            let life = TICKET_LIFE.as_secs().saturating_sub(age);
            if let Some(ticket) = task.ticket.as_ref().filter(|_| life > 0) {
                transaction.command("SET", &keys::ticket(ticket), &[&task.uid, &"EX", &life]);
            }
        }
        transaction.commit().await
    }

    /// Adds all but the tasks.
    ///
    /// # Errors
    /// As [`add_tasks`](Self::add_tasks).
    pub async fn add_contents(&self, contents: &Contents, internals: &Internals) -> Result<(), StoreError> {
        for answers in internals.answers.chunks(ROWS) {
            let mut transaction = Transaction::begin(&self.store).await?;
            for (id, answer, expires_at) in answers {
                remember_until(&mut transaction, &keys::idempotency(id), answer, *expires_at)?;
            }
            transaction.commit().await?;
        }
        for sessions in internals.sessions.chunks(ROWS) {
            let mut transaction = Transaction::begin(&self.store).await?;
            for (id, tasks, expires_at) in sessions {
                remember_until(&mut transaction, &keys::session(id), tasks, *expires_at)?;
            }
            transaction.commit().await?;
        }
        for (webhook, tasks) in &internals.owed {
            for tasks in tasks.chunks(ROWS) {
                let mut transaction = Transaction::begin(&self.store).await?;
                for task in tasks {
                    transaction.command("ZADD", &keys::debts(*webhook), &[task, task]);
                }
                transaction.commit().await?;
            }
        }
        let mut transaction = Transaction::begin(&self.store).await?;
        add_contents(&mut transaction, contents)?;
        transaction.count("first_live_epoch", contents.first_live_epoch);
        transaction.count("next_task_uid", internals.next_task_uid);
        transaction.count("next_change", internals.last_change);
        transaction.count("next_miss", internals.next_miss);
        transaction.commit().await?;
        self.store.forget_state().await;
        Ok(())
    }

    /// What is there by now.
    pub fn store(&self) -> &RedisStore {
        &self.store
    }

    /// Ends: from now on control planes open the store.
    ///
    /// # Errors
    /// As [`add_tasks`](Self::add_tasks).
    pub async fn end(self) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(&self.store).await?;
        transaction.command("DEL", keys::IMPORT, &[]);
        transaction.commit().await
    }
}

fn add_contents(transaction: &mut Transaction<'_>, contents: &Contents) -> Result<(), StoreError> {
    if let Some(topology) = &contents.topology {
        transaction.set(keys::TOPOLOGY, topology)?;
    }
    if let Some(epoch) = &contents.epoch {
        transaction.set(keys::EPOCH, epoch)?;
    }
    if let Some(rebalance) = &contents.rebalance {
        transaction.set(keys::REBALANCE, rebalance)?;
    }
    for (node, misses) in &contents.stale {
        transaction.set_field(keys::STALE, node, misses)?;
    }
    for (envoy, seen_at) in &contents.envoys {
        transaction.command("ZADD", keys::ENVOYS, &[&seen_at.unix_timestamp(), envoy]);
    }
    for (uid, index) in &contents.indexes {
        transaction.set_field(keys::INDEXES, uid, index)?;
    }
    for (uid, versions) in &contents.settings_versions {
        for (node, version) in versions {
            transaction.command("HSET", &keys::settings_versions(uid), &[node, version]);
        }
    }
    for (node, pending) in &contents.pending_changes {
        for pending in pending {
            super::changes::set_pending(transaction, node, pending)?;
        }
    }
    for (name, alias) in &contents.aliases {
        transaction.set_field(keys::ALIASES, name, alias)?;
    }
    for (uid, key) in &contents.keys {
        transaction.set_field(keys::API_KEYS, &uid.to_string(), key)?;
    }
    for node in &contents.key_nodes {
        transaction.command("SADD", keys::KEY_NODES, &[node]);
    }
    transaction.set(keys::FEATURES, &contents.features)?;
    transaction.set(keys::RULES, &contents.rules)?;
    for (uuid, webhook) in &contents.webhooks {
        transaction.set_field(keys::WEBHOOKS, &uuid.to_string(), webhook)?;
    }
    Ok(())
}

impl RedisStore {
    /// Deletes all that is Miroir's in this database. To look through all keys is fine here: nobody uses it.
    async fn clear(&self) -> Result<(), StoreError> {
        let mut cursor = 0;
        loop {
            let mut request = redis::pipe();
            request.cmd("SCAN").arg(cursor).arg("MATCH").arg("miroir:*").arg("COUNT").arg(ROWS);
            let ((next, found),): ((u64, Vec<String>),) = self.link.ask(&request).await?;
            let mut transaction = Transaction::begin(self).await?;
            for key in found.iter().filter(|key| !KEPT.contains(&key.as_str())) {
                transaction.command("UNLINK", key, &[]);
            }
            transaction.commit().await?;
            if next == 0 {
                break;
            }
            cursor = next;
        }
        self.forget_state().await;
        Ok(())
    }

    /// What is known of the state has been changed behind its back.
    async fn forget_state(&self) {
        *self.state.lock().await = None;
    }
}
