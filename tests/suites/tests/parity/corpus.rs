//! The documents, and the two indexes that hold them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use miroir_harness::{Client, Package, debian_packages};
use serde_json::{Value, json};

const BATCH: usize = 4_000;

/// An index with Meilisearch's own defaults as far as queries allow: every attribute is searchable.
pub const PLAIN: &str = "plain";

/// An index whose settings are all chosen.
pub const TUNED: &str = "tuned";

/// Both.
pub const INDEXES: [&str; 2] = [PLAIN, TUNED];

/// How many values of a facet are shown where the settings say so.
pub const MAX_FACET_VALUES: usize = 12;

/// Whether the values of a facet come in the order of their counts.
pub fn counts_order(index: &str, facet: &str) -> bool {
    index == TUNED && facet != "section"
}

/// The settings of an index.
pub fn settings(index: &str) -> Value {
    let plain = json!({
        // The `id`, so that single documents can be looked up under any query.
        "filterableAttributes": ["id", "section", "priority", "maintainer", "size", "installedSize", "tags", "homepage"],
        "sortableAttributes": ["name", "section", "size", "installedSize", "homepage"],
    });
    if index == PLAIN {
        return plain;
    }
    json!({
        "searchableAttributes": ["name", "description", "tags", "maintainer"],
        "displayedAttributes": ["id", "name", "description", "section", "size", "tags", "homepage"],
        "filterableAttributes": plain["filterableAttributes"],
        "sortableAttributes": plain["sortableAttributes"],
        "rankingRules": ["words", "typo", "sort", "proximity", "attribute", "exactness", "size:desc"],
        "stopWords": ["the", "a", "an", "of", "for", "and", "to", "with", "in"],
        "synonyms": {
            "editor": ["ide"],
            "picture": ["image", "photo"],
            "game": ["video game", "toy"],
            "db": ["database"],
        },
        "typoTolerance": { "minWordSizeForTypos": { "oneTypo": 4, "twoTypos": 8 }, "disableOnWords": ["python"] },
        "faceting": { "maxValuesPerFacet": MAX_FACET_VALUES, "sortFacetValuesBy": { "*": "count", "section": "alpha" } },
        "pagination": { "maxTotalHits": 400 },
    })
}

/// So many packages, from all of the catalogue. Which they are hardly changes with it from day to day, and so does how often the
/// engine itself tells otherwise of a part of them.
pub fn documents(count: usize) -> Result<Vec<Package>> {
    let mut packages = debian_packages()?;
    ensure!(count > 0, "a comparison of no documents tells nothing");
    packages.sort_by_cached_key(|package| draw(0, package));
    packages.truncate(count);
    Ok(packages)
}

/// What a package draws in a round; the lowest wins. So one package more or less changes little of who wins the rounds.
pub fn draw(round: u64, package: &Package) -> u64 {
    let mut hasher = DefaultHasher::new();
    (round, &package.id).hash(&mut hasher);
    hasher.finish()
}

/// Fills both indexes; how long that took.
pub async fn index(client: &Client, documents: &[Package]) -> Result<Duration> {
    let begun = std::time::Instant::now();
    let mut tasks = Vec::new();
    for uid in INDEXES {
        let index = client.create_index(uid, Some("id")).await?;
        index.update_settings(&settings(uid)).await?;
        for batch in documents.chunks(BATCH) {
            let summary = index.post_documents(batch).await?.ok()?;
            tasks.push(summary["taskUid"].as_u64().context("a write's answer has a taskUid")?);
        }
    }
    for task in tasks {
        let task = client.wait_for_task(task).await?;
        ensure!(task["status"] == "succeeded", "{task}");
    }
    Ok(begun.elapsed())
}
