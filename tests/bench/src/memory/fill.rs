//! Fills a store with rows, by what the control plane itself calls.

use std::collections::BTreeMap;

use anyhow::Result;
use miroir_control_plane::store::{
    AliasRecord, IndexRecord, KeyRecord, NewTask, NodeChange, Origin, SessionWrite, Store, UsedKey, Webhook,
};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::rows::Row;
use crate::registered::{self, GENERATION, Placement};

/// So many tasks are pruned at once.
const CHUNK: usize = 1_000;

/// Writes that are all over, and what is left of them.
#[derive(Clone, Copy, Debug)]
pub struct Writes {
    /// How many there were.
    pub count: usize,
    /// Of so many the tasks are kept: the last ones, as with all that follow.
    pub kept: usize,
    /// Of so many one goes to all nodes; none, if 0.
    pub batch_every: usize,
    /// How many nodes there are.
    pub nodes: usize,
    /// So many have a ticket that is still known.
    pub tickets: usize,
    /// So many have an idempotency key.
    pub keys: usize,
    /// So many are the only one of a session.
    pub sessions: usize,
    /// Of so many a webhook was not told.
    pub debts: usize,
}

impl Default for Writes {
    fn default() -> Writes {
        Writes { count: 0, kept: 0, batch_every: 0, nodes: 3, tickets: 0, keys: 0, sessions: 0, debts: 0 }
    }
}

/// Adds rows of all kinds: what writes have left, and so many of the others.
pub async fn all(store: &dyn Store, counts: &BTreeMap<Row, usize>, left: &Writes) -> Result<()> {
    // First: every webhook is owed what ends after it came.
    writes(store, left).await?;
    for (row, count) in counts {
        rows(store, *row, *count).await?;
    }
    Ok(())
}

/// Registers writes, lets them end, and prunes on the way the tasks that are not kept.
pub async fn writes(store: &dyn Store, writes: &Writes) -> Result<()> {
    let placement = Placement::of(writes.nodes);
    let mut gone = 0;
    for number in 0..writes.count {
        // With this one.
        let left = writes.count - number;
        if left == writes.debts {
            store.save_webhook(Uuid::new_v4(), &webhook()).await?;
        }
        let task = match writes.batch_every > 0 && number % writes.batch_every == 0 {
            true => placement.of_a_batch(number),
            false => placement.of_one_document(number),
        };
        let origin = Origin {
            idempotency: (left <= writes.keys).then(used_key),
            session: (left <= writes.sessions).then(session),
        };
        let ticket = (left <= writes.tickets).then(registered::ticket);
        let task = store.register_task(NewTask { origin, ticket, ..task }, None).await?;
        store.save_task(&registered::done(task)).await?;
        let over = (number + 1).saturating_sub(gone + writes.kept);
        if over >= CHUNK || left == 1 {
            gone += store.prune_tasks(None, over).await?;
        }
    }
    Ok(())
}

/// Adds rows of a table that does not grow with the writes; of the others none.
pub async fn rows(store: &dyn Store, row: Row, count: usize) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    for number in 0..count {
        let index = format!("products-{number}");
        match row {
            Row::Index => store.save_index(&index_record(index)).await?,
            Row::SettingsVersion => {
                let (index, node) = (format!("products-{}", number / 12), format!("default-{}", number % 12));
                store.set_node_settings_version(&index, &node, 7).await?;
            }
            Row::Alias => {
                let first = AliasRecord::new(&format!("shop-{number}"), vec![format!("{index}-v0")], now);
                let turned =
                    |alias: AliasRecord, version| alias.turned_to(vec![format!("{index}-v{version}")], now);
                store.save_alias(&(1..=5).fold(first, turned)).await?;
            }
            Row::ApiKey => store.save_key(&api_key(number)).await?,
            Row::PendingChange => store.add_pending_change("default-1", &NodeChange::Delete(index)).await?,
            Row::Webhook => store.save_webhook(Uuid::new_v4(), &webhook()).await?,
            Row::Envoy => {
                let pod = format!("search-miroir-envoy-7c9d6f5b8-{number:05}");
                store.saw_envoys(&[pod], OffsetDateTime::UNIX_EPOCH).await?;
            }
            Row::Placement => placement(store).await?,
            // These come with writes.
            Row::Task | Row::BatchTask(_) | Row::Ticket | Row::IdempotencyKey | Row::Session | Row::Debt => {}
        }
    }
    Ok(())
}

async fn placement(store: &dyn Store) -> Result<()> {
    let placement = Placement::of(12);
    store.save_topology(&placement.topology()).await?;
    store.add_epoch(&placement.epoch()).await?;
    for node in placement.nodes.iter().step_by(2) {
        store.mark_stale(node, &placement.shards_of(node), 0).await?;
    }
    Ok(())
}

/// A digest of 32 bytes, as hexadecimal digits.
fn digest() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

fn used_key() -> UsedKey {
    let expires_at = OffsetDateTime::now_utc() + Duration::DAY;
    UsedKey { id: digest(), fingerprint: Uuid::new_v4().simple().to_string(), expires_at }
}

fn session() -> SessionWrite {
    SessionWrite { id: Uuid::new_v4().to_string(), expires_at: OffsetDateTime::now_utc() + Duration::HOUR }
}

fn webhook() -> Webhook {
    let headers = BTreeMap::from([("authorization".to_owned(), format!("Bearer {}", digest()))]);
    Webhook { url: "https://hooks.example/search/tasks".into(), headers }
}

fn api_key(number: usize) -> KeyRecord {
    let now = OffsetDateTime::now_utc();
    KeyRecord {
        name: Some(format!("Shop {number}")),
        description: Some("Searches in the shop's products".into()),
        uid: Uuid::new_v4(),
        actions: vec!["search".into()],
        indexes: vec!["products-*".into()],
        expires_at: None,
        created_at: now,
        updated_at: now,
    }
}

fn index_record(uid: String) -> IndexRecord {
    let now = OffsetDateTime::now_utc();
    IndexRecord {
        uid,
        primary_key: Some("id".into()),
        created_at: now,
        updated_at: now,
        settings: settings(),
        settings_version: 7,
        generation: GENERATION,
        adopting: false,
    }
}

/// The settings of an index of products as Meilisearch shows them.
fn settings() -> Value {
    json!({
        "displayedAttributes": ["*"],
        "searchableAttributes": ["name", "brand", "description"],
        "filterableAttributes": ["brand", "category", "price", "rating", "stock"],
        "sortableAttributes": ["price", "rating", "released"],
        "foreignKeys": [],
        "rankingRules": ["words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"],
        "stopWords": ["a", "an", "and", "for", "in", "of", "on", "or", "the", "to", "with"],
        "nonSeparatorTokens": [],
        "separatorTokens": [],
        "dictionary": [],
        "synonyms": {
            "tv": ["television"], "television": ["tv"], "mobile": ["phone", "smartphone"],
            "phone": ["mobile", "smartphone"], "laptop": ["notebook"], "notebook": ["laptop"]
        },
        "distinctAttribute": "family",
        "proximityPrecision": "byWord",
        "typoTolerance": {
            "enabled": true,
            "minWordSizeForTypos": {"oneTypo": 5, "twoTypos": 9},
            "disableOnWords": [],
            "disableOnAttributes": ["brand"],
            "disableOnNumbers": false
        },
        "faceting": {"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha"}},
        "pagination": {"maxTotalHits": 1000},
        "searchCutoffMs": null,
        "localizedAttributes": null,
        "facetSearch": true,
        "prefixSearch": "indexingTime",
        "chat": {"description": "", "documentTemplate": "", "documentTemplateMaxBytes": 400, "searchParameters": {}}
    })
}
