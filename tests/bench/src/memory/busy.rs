//! A cluster at 20,000 requests per second, and what it holds when what comes and what goes are in balance.

use std::collections::BTreeMap;
use std::time::Duration;

use miroir_control_plane::config::{IdempotencyConfig, SessionsConfig, TasksConfig};
use miroir_control_plane::store::TICKET_LIFE;

use super::Writes;
use super::rows::Row;

/// So much less is filled into a Redis.
pub const SCALE: usize = 100;

const REQUESTS: usize = 20_000;
/// The others are searches and reads of documents, which leave nothing.
const WRITES: usize = 200;
/// Of so many writes one is of many documents and goes to all nodes, the others are of one document.
const BATCH_EVERY: usize = 10;
/// Of so many writes one has an `Idempotency-Key`.
const KEY_EVERY: usize = 10;
/// Of so many writes one begins a session; others go on with one.
const SESSION_EVERY: usize = 20;
/// So late a webhook is told of tasks.
const WEBHOOK_IS_LATE: Duration = Duration::from_secs(60);
const NODES: usize = 12;

/// What it does, for a person.
pub fn described() -> String {
    format!(
        "{REQUESTS} requests/s to {NODES} nodes with 2 copies: {} searches and reads, {WRITES} writes. Of the writes 1 in \
         {BATCH_EVERY} goes to all nodes, 1 in {KEY_EVERY} has an Idempotency-Key, 1 in {SESSION_EVERY} begins a session. \
         {} tasks are kept; a webhook is told of them a minute late.",
        REQUESTS - WRITES,
        tasks()
    )
}

/// So many are kept.
fn tasks() -> usize {
    usize::try_from(TasksConfig::default().keep_at_most).unwrap_or(usize::MAX)
}

/// What it holds at rest, if there are so many times fewer writes.
pub fn rows(scale: usize) -> BTreeMap<Row, usize> {
    let writes = writes(scale);
    let batches = writes.kept / BATCH_EVERY;
    BTreeMap::from([
        (Row::Task, writes.kept - batches),
        (Row::BatchTask(NODES), batches),
        (Row::Ticket, writes.tickets),
        (Row::IdempotencyKey, writes.keys),
        (Row::Session, writes.sessions),
        (Row::Debt, writes.debts),
        (Row::Index, 200),
        (Row::SettingsVersion, 200 * NODES),
        (Row::Alias, 100),
        (Row::ApiKey, 1_000),
        (Row::PendingChange, 50),
        (Row::Webhook, 2),
        (Row::Envoy, 50),
        (Row::Placement, 1),
    ])
}

/// What there is at rest because of writes, if there are so many times fewer.
pub fn writes(scale: usize) -> Writes {
    let within = |life: Duration, every: usize| WRITES * life.as_secs() as usize / every / scale;
    let keys = within(Duration::from_millis(IdempotencyConfig::default().ttl_ms), KEY_EVERY);
    Writes {
        // Those of which anything is left.
        count: keys.max(tasks() / scale),
        kept: tasks() / scale,
        batch_every: BATCH_EVERY,
        nodes: NODES,
        tickets: within(TICKET_LIFE, 1),
        keys,
        sessions: within(Duration::from_millis(SessionsConfig::default().ttl_ms), SESSION_EVERY),
        debts: within(WEBHOOK_IS_LATE, 1),
    }
}
