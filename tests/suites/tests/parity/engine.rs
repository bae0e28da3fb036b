//! Whether the engine itself tells the same of the same documents, wherever they are.
//!
//! The engine looks at a bounded number of the words that a prefix or a typo may stand for, splits and joins words as all
//! that an index holds suggests, and so finds other documents, or ranks them otherwise, where an index holds fewer. No
//! merging can mend that. So where Miroir's answer differs from that of one node, each of its nodes is asked directly, and
//! the one node is asked the same of just the documents that this node holds. Only if some of these answers differ too
//! is the engine the cause.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result};
use miroir_harness::Client;
use serde_json::{Map, Value, json};

use crate::compare::{hits, keys};
use crate::corpus::PLAIN;
use crate::query::Query;

/// A node of the cluster and the documents it holds.
pub struct Part {
    node: Client,
    ids: Vec<String>,
}

impl Part {
    /// Asks a node which documents it holds: the same of every index.
    pub async fn of(node: Client) -> Result<Part> {
        let body = json!({ "fields": ["id"], "limit": 1_000_000 });
        let held = node.post(&format!("/indexes/{PLAIN}/documents/fetch"), &body).await?.ok()?;
        let results = held["results"].as_array().context("documents have results")?;
        let ids = results.iter().filter_map(|document| document["id"].as_str().map(String::from)).collect();
        Ok(Part { node, ids })
    }

    /// Whether the engine tells the same of the documents that this node holds, here, among all others, and with all
    /// others filtered out.
    async fn agrees(&self, all: &Query, among_others: &Value, whole: &Client) -> Result<bool> {
        let alone = all.only(&self.ids).send(whole).await?;
        let here = self.ask(all).await?;
        Ok(keys(&here) == keys(&alone)
            && shows_alike(&here, &alone)
            && shows_alike(among_others, &alone)
            && here["estimatedTotalHits"] == alone["estimatedTotalHits"]
            && same_counts(&here, &alone)
            && here["facetStats"] == alone["facetStats"])
    }

    /// The ids of the documents that this node holds and the other doesn't.
    fn without(&self, other: &Part) -> Vec<String> {
        let others: HashSet<&String> = other.ids.iter().collect();
        self.ids.iter().filter(|id| !others.contains(id)).cloned().collect()
    }

    /// Asks the node itself, which shows Miroir's tag.
    async fn ask(&self, query: &Query) -> Result<Value> {
        self.node.post(&format!("/indexes/{}/search", query.index), &query.body).await?.ok()
    }
}

/// Whether the engine answers otherwise where it looks at fewer documents: at those that were found, at those that a
/// node holds, or at those that it holds and another doesn't, as it is asked where both hold some.
pub async fn differs(query: &Query, found: &[String], parts: &[Part], whole: &Client) -> Result<bool> {
    let all = in_full(query);
    let among_others = all.send(whole).await?;
    let is_shown_alike =
        async |ids: &[String]| anyhow::Ok(shows_alike(&among_others, &all.only(ids).send(whole).await?));
    if !is_shown_alike(found).await? {
        return Ok(true);
    }
    for part in parts {
        if !part.agrees(&all, &among_others, whole).await? {
            return Ok(true);
        }
        for other in parts {
            let rest = part.without(other);
            if rest.len() < part.ids.len() && !is_shown_alike(&rest).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The query with all hits that can be paged to, and all that their ranking goes by.
fn in_full(query: &Query) -> Query {
    let all = query.ranked().with(&json!({ "offset": 0, "limit": 1_000, "attributesToRetrieve": ["id"] }));
    all.on_one_page()
}

/// Whether of a document that both show they show the same.
fn shows_alike(one: &Value, other: &Value) -> bool {
    let others: BTreeMap<String, &Value> =
        hits(other).iter().map(|hit| (hit["id"].to_string(), hit)).collect();
    hits(one).iter().all(|hit| others.get(&hit["id"].to_string()).is_none_or(|other| *other == hit))
}

/// Whether values that both show have equal counts: a node shows more values than one whose settings are the user's.
fn same_counts(ours: &Value, theirs: &Value) -> bool {
    let empty = Map::new();
    let facets = |answer: &'_ Value| answer["facetDistribution"].as_object().cloned().unwrap_or_default();
    let (ours, theirs) = (facets(ours), facets(theirs));
    theirs.iter().all(|(facet, values)| {
        let counts = ours.get(facet).and_then(Value::as_object).unwrap_or(&empty);
        let values = values.as_object().unwrap_or(&empty);
        values.iter().all(|(value, count)| counts.get(value) == Some(count))
    })
}
