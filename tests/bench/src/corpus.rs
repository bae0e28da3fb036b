//! The documents that are indexed and searched: the catalogue of Debian's packages.

use anyhow::Result;
use miroir_harness::{Answer, Client, Index, Package};
use serde_json::{Value, json};

/// The index that they are in.
pub const INDEX: &str = "packages";

const BATCH: usize = 1_000;

/// Common enough that every node has 20 hits.
const WORDS: [&str; 8] =
    ["library", "development", "python", "files", "data", "tools", "documentation", "game"];

/// Creates the index, and sees to it that these settings hold before the first document.
pub async fn create_index(client: &Client, settings: &Value) -> Result<Index> {
    let index = client.create_index(INDEX, Some("id")).await?;
    index.update_settings(settings).await?;
    Ok(index)
}

/// The settings under which names and descriptions are searched.
pub fn settings() -> Value {
    json!({"searchableAttributes": ["name", "description"]})
}

/// Adds documents in batches of 1,000, and waits until all are found.
pub async fn add(client: &Client, packages: &[Package]) -> Result<()> {
    wait_for_all(client, &post_batches(client, packages).await?).await
}

/// Sends documents in batches of 1,000, one after the other.
pub async fn post_batches(client: &Client, packages: &[Package]) -> Result<Vec<Answer>> {
    let index = client.index(INDEX);
    let mut answers = Vec::new();
    for batch in packages.chunks(BATCH) {
        answers.push(index.post_documents(batch).await?);
    }
    Ok(answers)
}

/// Waits until the tasks of these writes have succeeded.
pub async fn wait_for_all(client: &Client, answers: &[Answer]) -> Result<()> {
    for answer in answers {
        client.wait_for_success(answer).await?;
    }
    Ok(())
}

/// Searches for common words, 20 hits each.
pub fn common_searches() -> Vec<Value> {
    WORDS.map(|word| json!({"q": word, "limit": 20})).to_vec()
}

/// Searches as a person who looks for one of these packages might make them, 20 hits each.
pub fn searches(packages: &[Package], count: usize) -> Vec<Value> {
    let spread = packages.iter().step_by((packages.len() / count).max(1));
    let query = |package: &Package| {
        let words: Vec<&str> = package.description.split_whitespace().take(2).collect();
        json!({"q": words.join(" "), "limit": 20})
    };
    spread.take(count).map(query).collect()
}

/// Documents as NDJSON.
pub fn ndjson(packages: &[Package]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for package in packages {
        serde_json::to_writer(&mut body, package)?;
        body.push(b'\n');
    }
    Ok(body)
}
