//! What the cluster finds when it compares its replicas by itself.

use std::time::Duration;

use anyhow::Result;
use miroir_harness::wait_until;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::check::{Violation, Wrong};
use crate::run::Run;

const PATIENCE: Duration = Duration::from_secs(60);
const PATH: &str = "/_miroir/anti-entropy";

/// Counts what was compared last, if anything was. Writes that are under way may be among what it found.
pub async fn count(admin: &Admin, run: &Run) {
    let Ok(report) = admin.get(PATH).await else { return };
    let mut tally = run.tally();
    tally.add("compared", "shards while clients write", report["shardsCompared"].as_u64().unwrap_or(0));
    for finding in report["findings"].as_array().into_iter().flatten() {
        tally.count("compared", format!("found {} while clients write", finding["kind"]));
    }
}

/// Compares all replicas: where nothing is under way, nothing may differ.
pub async fn compare_at_rest(admin: &Admin, run: &Run) -> Result<()> {
    wait_until("a comparison to begin", PATIENCE, async || {
        Ok(admin.post(PATH, &json!({ "repair": false })).await.is_ok_and(|begun| begun.status == 202))
    })
    .await?;
    let mut report = Value::Null;
    wait_until("all replicas to be compared", PATIENCE, async || {
        report = admin.get(PATH).await.unwrap_or_default();
        Ok(report["finishedAt"].is_string() && report["repairs"] == false)
    })
    .await?;
    let shards = report["shardsCompared"].as_u64().unwrap_or(0);
    run.tally().add("compared", "shards at rest", shards);
    let lists = [&report["findings"], &report["unchecked"]];
    let found = lists.into_iter().filter_map(Value::as_array).flatten();
    run.found(
        found.map(|one| Violation::new(Wrong::Unequal, None, one.to_string())).collect(),
        "the cluster's own comparison at rest",
    );
    Ok(())
}
