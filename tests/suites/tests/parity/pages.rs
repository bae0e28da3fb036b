//! Whether the pages of a query join without gap or repeat.

use anyhow::{Result, ensure};
use miroir_harness::Client;
use serde_json::{Value, json};

use crate::compare::hits;
use crate::corpus::{PLAIN, TUNED};
use crate::query::Query;

const LENGTH: usize = 37;

/// Queries to page through to the end.
pub fn queries() -> Vec<Query> {
    let bodies = [
        json!({}),
        json!({ "q": "library" }),
        json!({ "q": "li" }),
        json!({ "q": "perl modul" }),
        json!({ "q": "server", "filter": "size > 100000" }),
        json!({ "q": "game", "sort": ["section:asc"] }),
        json!({ "sort": ["homepage:desc"] }),
        json!({ "q": "data", "distinct": "maintainer" }),
        json!({ "q": "python", "rankingScoreThreshold": 0.6 }),
    ];
    let in_index = |index| {
        bodies.iter().map(move |body| Query {
            index,
            by_get: false,
            body: body.as_object().cloned().unwrap_or_default(),
        })
    };
    in_index(PLAIN).chain(in_index(TUNED)).collect()
}

/// Pages through a query in both ways. All pages together are the whole list, which is as long as on one node.
pub async fn join(query: &Query, ours: &Client, node: &Client) -> Result<()> {
    let whole = query.with(&json!({ "offset": 0, "limit": 1_000 }));
    let expected = whole.send(ours).await?;
    let on_one_node = whole.send(node).await?;
    let (count, on_one_node) = (hits(&expected).len(), hits(&on_one_node).len());
    ensure!(count == on_one_node, "{query}\nhas {count} hits to page through, and {on_one_node} on one node");

    let by_number = |page: usize| query.with(&json!({ "page": page + 1, "hitsPerPage": LENGTH }));
    let by_offset = |page: usize| query.with(&json!({ "offset": page * LENGTH, "limit": LENGTH }));
    ensure!(all(ours, by_number).await? == hits(&expected), "{query}\nhas a gap or a repeat among its pages");
    ensure!(
        all(ours, by_offset).await? == hits(&expected),
        "{query}\nhas a gap or a repeat among its windows"
    );
    Ok(())
}

/// All hits, page after page.
async fn all(client: &Client, page: impl Fn(usize) -> Query) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for number in 0.. {
        let answer = page(number).send(client).await?;
        if hits(&answer).is_empty() {
            break;
        }
        found.extend_from_slice(hits(&answer));
    }
    Ok(found)
}
