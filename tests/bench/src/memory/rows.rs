//! The tables' rows, and what each costs.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Writes, fill, measured};

/// Of the tables that grow with the writes so many rows are measured: in the middle between two sizes of Redis' hash tables,
/// which double.
const ROWS: usize = 6_000;
/// Of the others.
const FEW: usize = 1_500;

/// A row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// A finished task of a write of one document.
    Task,
    /// A finished task of a write to so many nodes.
    BatchTask(usize),
    /// What a write is known by if it is registered again.
    Ticket,
    /// An idempotency key, with the answer to it.
    IdempotencyKey,
    /// A session whose writes are over.
    Session,
    /// A finished task that a webhook was not told of.
    Debt,
    /// An index with settings.
    Index,
    /// A node's version of an index' settings.
    SettingsVersion,
    /// An alias that was turned five times.
    Alias,
    /// An API key.
    ApiKey,
    /// A deletion of an index that a node has still to make.
    PendingChange,
    /// A webhook.
    Webhook,
    /// An Envoy that is connected.
    Envoy,
    /// The topology, the epoch and the stale replicas of twelve nodes, every second of which missed writes of all its shards.
    Placement,
}

impl Row {
    /// For a person.
    pub fn name(self) -> String {
        match self {
            Row::Task => "tasks: a write of one document, 2 copies".into(),
            Row::BatchTask(nodes) => format!("tasks: a write to all of {nodes} nodes"),
            Row::Ticket => "tickets".into(),
            Row::IdempotencyKey => "idempotency keys".into(),
            Row::Session => "sessions".into(),
            Row::Debt => "tasks a webhook was not told of".into(),
            Row::Index => "indexes".into(),
            Row::SettingsVersion => "nodes' settings versions of an index".into(),
            Row::Alias => "aliases".into(),
            Row::ApiKey => "API keys".into(),
            Row::PendingChange => "pending changes".into(),
            Row::Webhook => "webhooks".into(),
            Row::Envoy => "Envoys".into(),
            Row::Placement => "placement of 12 nodes, 6 of them stale".into(),
        }
    }
}

/// Measures what each row costs.
pub async fn costs() -> Result<BTreeMap<Row, f64>> {
    let plain = Writes { count: ROWS, kept: ROWS, ..Writes::default() };
    let task = per_write(&plain).await?;
    let mut costs = BTreeMap::from([(Row::Task, task)]);
    for nodes in [3, 6, 12] {
        let writes = Writes { batch_every: 1, nodes, ..plain };
        costs.insert(Row::BatchTask(nodes), per_write(&writes).await?);
    }
    for (row, writes) in [
        (Row::Ticket, Writes { tickets: ROWS, ..plain }),
        (Row::IdempotencyKey, Writes { keys: ROWS, ..plain }),
        (Row::Session, Writes { sessions: ROWS, ..plain }),
        (Row::Debt, Writes { debts: ROWS, ..plain }),
    ] {
        costs.insert(row, per_write(&writes).await? - task);
    }
    for (row, count) in [
        (Row::Index, FEW),
        (Row::SettingsVersion, 12 * FEW),
        (Row::Alias, FEW),
        (Row::ApiKey, FEW),
        (Row::PendingChange, FEW),
        (Row::Webhook, FEW),
        (Row::Envoy, FEW),
        (Row::Placement, 1),
    ] {
        let bytes = measured(async |leader| fill::rows(&*leader.store, row, count).await).await?;
        costs.insert(row, bytes / count as f64);
    }
    Ok(costs)
}

async fn per_write(writes: &Writes) -> Result<f64> {
    let bytes = measured(async |leader| fill::writes(&*leader.store, writes).await).await?;
    Ok(bytes / writes.count as f64)
}
