//! What uids name, and which nodes have still to take it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::transaction::Transaction;
use super::{RedisStore, keys};
use crate::store::{
    IndexRecord, IndexSwap, IndexesChange, NamesChange, NewTask, NodeChange, PendingChange, StoreError,
    TaskRecord,
};

/// A pending change as it is kept.
#[derive(Serialize, Deserialize)]
struct Pending {
    node: String,
    sent_from: Option<u64>,
    change: NodeChange,
}

impl RedisStore {
    pub(super) async fn change(
        &self,
        change: IndexesChange,
        task: NewTask,
    ) -> Result<(TaskRecord, Vec<u64>), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        let pending = match &change {
            IndexesChange::Create(index) => {
                transaction.set_field(keys::INDEXES, &index.uid, index)?;
                Vec::new()
            }
            IndexesChange::Names(names) => self.change_names(&mut transaction, names).await?,
        };
        let task = self.put_new(&mut transaction, task).await?;
        transaction.commit().await?;
        Ok((task, pending))
    }

    async fn change_names(
        &self,
        transaction: &mut Transaction<'_>,
        names: &NamesChange,
    ) -> Result<Vec<u64>, StoreError> {
        match &names.change {
            NodeChange::Delete(uid) => delete_index(transaction, uid),
            NodeChange::Swap(swaps) => {
                let mut named = Named::default();
                for swap in swaps {
                    named.load(self, swap).await?;
                    named.swap(transaction, swap, names);
                }
                named.save(transaction)?;
            }
        }
        let pending = names.nodes.iter();
        pending.map(|(node, sent_from)| add_pending(transaction, node, *sent_from, &names.change)).collect()
    }

    pub(super) async fn pending(&self, node: &str) -> Result<Vec<PendingChange>, StoreError> {
        let all: BTreeMap<String, Pending> = self.fields(keys::PENDING_CHANGES).await?;
        let of_node = all.into_iter().filter(|(_, pending)| pending.node == node);
        let mut pending = of_node
            .map(|(id, Pending { sent_from, change, .. })| {
                let id =
                    id.parse().map_err(|_| StoreError::Backend(format!("`{id}` is no pending change")))?;
                Ok(PendingChange { id, change, sent_from })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        pending.sort_by_key(|pending| pending.id);
        Ok(pending)
    }

    pub(super) async fn sent_from(&self, change: u64, first_uid: u64) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        let field = change.to_string();
        let found: Option<Pending> = self.field(keys::PENDING_CHANGES, &field).await?;
        if let Some(pending) = found {
            let pending = Pending { sent_from: Some(first_uid), ..pending };
            transaction.set_field(keys::PENDING_CHANGES, &field, &pending)?;
        }
        transaction.commit().await
    }
}

pub fn add_pending(
    transaction: &mut Transaction,
    node: &str,
    sent_from: Option<u64>,
    change: &NodeChange,
) -> Result<u64, StoreError> {
    let id = transaction.state.next_change + 1;
    transaction.state.next_change = id;
    transaction.count("next_change", id);
    set_pending(transaction, node, &PendingChange { id, change: change.clone(), sent_from })?;
    Ok(id)
}

pub fn set_pending(
    transaction: &mut Transaction,
    node: &str,
    pending: &PendingChange,
) -> Result<(), StoreError> {
    let PendingChange { id, change, sent_from } = pending.clone();
    let pending = Pending { node: node.to_owned(), sent_from, change };
    transaction.set_field(keys::PENDING_CHANGES, &id.to_string(), &pending)
}

pub fn delete_index(transaction: &mut Transaction, uid: &str) {
    transaction.command("HDEL", keys::INDEXES, &[&uid]);
    transaction.command("DEL", &keys::settings_versions(uid), &[]);
}

/// What goes by the uids that are swapped.
#[derive(Default)]
struct Named {
    by_uid: BTreeMap<String, Holdings>,
}

#[derive(Clone, Default)]
struct Holdings {
    record: Option<IndexRecord>,
    versions: BTreeMap<String, u64>,
}

impl Named {
    async fn load(&mut self, store: &RedisStore, swap: &IndexSwap) -> Result<(), StoreError> {
        for uid in swap.uids().into_iter().filter(|uid| !self.by_uid.contains_key(*uid)).collect::<Vec<_>>() {
            let record = store.field(keys::INDEXES, uid).await?;
            let versions = store.numbers(&keys::settings_versions(uid)).await?;
            self.by_uid.insert(uid.to_owned(), Holdings { record, versions });
        }
        Ok(())
    }

    /// The records, what nodes hold of their settings, and all tasks up to now go by the new uids.
    fn swap(&mut self, transaction: &mut Transaction, swap: &IndexSwap, names: &NamesChange) {
        let [left, right] = swap.uids();
        let of = |uid| self.by_uid.get(uid).cloned().unwrap_or_default();
        for (uid, mut holdings) in [(left, of(right)), (right, of(left))] {
            holdings.record = holdings.record.map(|record| names.swapped(record, swap));
            self.by_uid.insert(uid.to_owned(), holdings);
        }
        let [of_left, of_right] = [left, right].map(|uid| transaction.state.names.handle(uid));
        transaction.set_handle(left, of_right);
        transaction.set_handle(right, of_left);
    }

    fn save(&self, transaction: &mut Transaction) -> Result<(), StoreError> {
        for (uid, Holdings { record, versions }) in &self.by_uid {
            delete_index(transaction, uid);
            if let Some(record) = record {
                transaction.set_field(keys::INDEXES, uid, record)?;
            }
            for (node, version) in versions {
                transaction.command("HSET", &keys::settings_versions(uid), &[node, version]);
            }
        }
        Ok(())
    }
}
