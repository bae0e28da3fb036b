//! Transactions: what a leader knows of the store, what it is about to change, and the one script that does it all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use miroir_core::rebalance::Epoch;
use redis::ToRedisArgs;
use serde::Serialize;
use tokio::sync::MutexGuard;
use uuid::Uuid;

use super::{RedisStore, json, keys, parse};
use crate::store::StoreError;
use crate::store::copies::Copies;

const COMMIT: &str = include_str!("commit.lua");

/// So many words at most are in one command: Lua's stack is finite.
const WORDS: usize = 1000;

/// What the leader knows of the store, which it alone changes.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The id of the last transaction.
    pub last: String,
    /// The epoch and the stale replicas.
    pub copies: Copies,
    /// From here no write of an earlier epoch is registered.
    pub first_live_epoch: u64,
    /// The uid of the next task.
    pub next_task_uid: u64,
    /// The id of the next pending change.
    pub next_change: u64,
    /// The next of the numbers by which tasks know their indexes.
    next_handle: u64,
    /// These numbers.
    pub names: Arc<Names>,
    /// The webhooks.
    pub webhooks: BTreeSet<Uuid>,
}

impl State {
    /// What Redis holds.
    pub async fn load(store: &RedisStore) -> Result<State, StoreError> {
        let mut request = redis::pipe();
        request.atomic();
        request.cmd("GET").arg(keys::LAST).cmd("GET").arg(keys::EPOCH);
        request.cmd("HGETALL").arg(keys::STALE).cmd("HGETALL").arg(keys::COUNTERS);
        request.cmd("HGETALL").arg(keys::HANDLES).cmd("HKEYS").arg(keys::WEBHOOKS);
        type Answer = (
            Option<String>,
            Option<String>,
            BTreeMap<String, String>,
            BTreeMap<String, u64>,
            BTreeMap<String, u64>,
            Vec<String>,
        );
        let (last, epoch, stale, counters, handles, webhooks): Answer = store.link.ask(&request).await?;
        let epoch: Option<Epoch> = epoch.map(|body| parse(&body)).transpose()?;
        let stale = stale.into_iter().map(|(node, body)| Ok((node, parse(&body)?)));
        let counter = |name: &str| counters.get(name).copied().unwrap_or(0);
        let webhooks = webhooks.iter().map(|uuid| uuid.parse());
        let names = Names::new(handles);
        // There was no counter when no handle was forgotten yet.
        let next_handle = names.uids.last_key_value().map_or(0, |(last, _)| last + 1);
        Ok(State {
            last: last.unwrap_or_default(),
            copies: Copies::new(epoch, stale.collect::<Result<_, StoreError>>()?, counter("next_miss")),
            first_live_epoch: counter("first_live_epoch"),
            next_task_uid: counter("next_task_uid"),
            next_change: counter("next_change"),
            next_handle: counter("next_handle").max(next_handle),
            names: Arc::new(names),
            webhooks: webhooks
                .collect::<Result<_, _>>()
                .map_err(|error: uuid::Error| StoreError::Backend(error.to_string()))?,
        })
    }
}

/// The handles of indexes, and the uids that go by them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    handles: BTreeMap<String, u64>,
    uids: BTreeMap<u64, String>,
}

impl Names {
    fn new(handles: BTreeMap<String, u64>) -> Names {
        Names { uids: handles.iter().map(|(uid, handle)| (*handle, uid.clone())).collect(), handles }
    }

    /// The handle of an index.
    pub fn handle(&self, uid: &str) -> Option<u64> {
        self.handles.get(uid).copied()
    }

    /// The uid of an index.
    pub fn uid(&self, handle: u64) -> Option<&str> {
        self.uids.get(&handle).map(String::as_str)
    }

    /// All uids and handles.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.handles.iter().map(|(uid, handle)| (&**uid, *handle))
    }
}

/// A transaction: one at a time. If it is dropped before it is committed, nothing has happened.
pub struct Transaction<'s> {
    store: &'s RedisStore,
    /// Empty while the transaction is under way: whatever becomes of it, what is known after it is known from it or anew.
    known: MutexGuard<'s, Option<State>>,
    /// As it will be.
    pub state: State,
    commands: Vec<Vec<Vec<u8>>>,
}

impl<'s> Transaction<'s> {
    /// Waits until no other is under way.
    pub async fn begin(store: &'s RedisStore) -> Result<Transaction<'s>, StoreError> {
        let mut known = store.state.lock().await;
        let state = match known.take() {
            Some(state) => state,
            None => State::load(store).await?,
        };
        Ok(Transaction { store, known, state, commands: Vec::new() })
    }

    /// Adds a command that takes a key.
    pub fn command(&mut self, name: &str, key: &str, words: &[&dyn Words]) {
        let mut command = vec![name.as_bytes().to_vec(), key.as_bytes().to_vec()];
        for words in words {
            words.append(&mut command);
        }
        self.commands.push(command);
    }

    /// Adds a command that takes many words, in as many commands as it takes.
    pub fn command_of_many(&mut self, name: &str, key: &str, words: Vec<Vec<u8>>) {
        for words in words.chunks(WORDS) {
            let command = [name.as_bytes().to_vec(), key.as_bytes().to_vec()].into_iter();
            self.commands.push(command.chain(words.iter().cloned()).collect());
        }
    }

    /// Sets a key to a value as JSON.
    pub fn set<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), StoreError> {
        self.command("SET", key, &[&json(value)?]);
        Ok(())
    }

    /// Sets a field of a hash to a value as JSON.
    pub fn set_field<T: Serialize>(&mut self, key: &str, field: &str, value: &T) -> Result<(), StoreError> {
        self.command("HSET", key, &[&field, &json(value)?]);
        Ok(())
    }

    /// Does it, or nothing of it.
    ///
    /// # Errors
    /// [`StoreError::NotLeader`] if another control plane leads by now, else if Redis can't be reached. In that case it may or may
    /// not have been done, but never in part.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.save_state()?;
        let state = &mut self.state;
        if self.commands.is_empty() {
            *self.known = Some(std::mem::take(state));
            return Ok(());
        }
        let id = Uuid::new_v4().simple().to_string();
        let seen = std::mem::replace(&mut state.last, id);
        let mut request = redis::pipe();
        request.cmd("EVAL").arg(COMMIT).arg(2).arg(keys::LEASE).arg(keys::LAST);
        request.arg(self.store.token).arg(&seen).arg(&state.last);
        for command in &self.commands {
            request.arg(command.len()).arg(command);
        }
        let (done,): (String,) = self.store.link.ask(&request).await?;
        match done.as_str() {
            "done" => {
                *self.known = Some(std::mem::take(state));
                Ok(())
            }
            "fenced" => Err(StoreError::NotLeader),
            // What was given up before came late.
            _ => Err(StoreError::Unreachable("an earlier transaction was still under way".into())),
        }
    }

    /// Adds what has changed of the state.
    fn save_state(&mut self) -> Result<(), StoreError> {
        let dirty = std::mem::take(&mut self.state.copies.dirty);
        if dirty.epoch {
            let body = json(&self.state.copies.epoch)?;
            self.command("SET", keys::EPOCH, &[&body]);
        }
        for node in &dirty.nodes {
            match self.state.copies.stale.get(node) {
                Some(shards) => {
                    let body = json(shards)?;
                    self.command("HSET", keys::STALE, &[node, &body]);
                }
                None => self.command("HDEL", keys::STALE, &[node]),
            }
        }
        if !dirty.nodes.is_empty() {
            self.count("next_miss", self.state.copies.next_miss);
        }
        Ok(())
    }

    /// Sets a counter.
    pub fn count(&mut self, name: &str, value: u64) {
        self.command("HSET", keys::COUNTERS, &[&name, &value]);
    }

    /// The handle of an index, be it there or not. None is ever used again for another one.
    pub fn handle(&mut self, uid: &str) -> u64 {
        if let Some(handle) = self.state.names.handle(uid) {
            return handle;
        }
        let handle = self.state.next_handle;
        self.state.next_handle = handle + 1;
        self.count("next_handle", handle + 1);
        self.set_handle(uid, Some(handle));
        handle
    }

    /// From now on this handle stands for the index of this uid, or none does.
    pub fn set_handle(&mut self, uid: &str, handle: Option<u64>) {
        let names = Arc::make_mut(&mut self.state.names);
        let before = match handle {
            Some(handle) => names.handles.insert(uid.to_owned(), handle),
            None => names.handles.remove(uid),
        };
        // Another uid may have it by now.
        if let Some(before) = before
            && names.uid(before) == Some(uid)
        {
            names.uids.remove(&before);
        }
        match handle {
            Some(handle) => {
                names.uids.insert(handle, uid.to_owned());
                self.command("HSET", keys::HANDLES, &[&uid, &handle]);
            }
            None if before.is_some() => self.command("HDEL", keys::HANDLES, &[&uid]),
            None => {}
        }
    }
}

/// What stands for one or more words of a command.
pub trait Words: Sync {
    /// Adds them.
    fn append(&self, command: &mut Vec<Vec<u8>>);
}

impl<T: ToRedisArgs + Sync> Words for T {
    fn append(&self, command: &mut Vec<Vec<u8>>) {
        command.extend(self.to_redis_args());
    }
}
