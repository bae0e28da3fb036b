//! What the commands print: tables and progress bars for people, JSON for programs.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::indexes::Adoption;
use crate::migrate::Migrated;
use crate::rebalance::{MoveState, ReshardStatus, State, Status};

/// Prints a line. Whoever reads may have seen enough: that is no error.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// The pause between two looks.
pub const PAUSE: Duration = Duration::from_millis(500);
/// So many moves are listed.
const MOVES: usize = 20;

/// Prints the cluster: its nodes and what goes on.
///
/// # Errors
/// If what the control plane said is not what we know.
pub fn cluster(topology: &Value, status: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        say!("{}", serde_json::json!({"topology": topology, "rebalance": status}));
        return Ok(());
    }
    let mut nodes = table(["node", "group", "weight", "status", "shards", "primary", "stale", "url"]);
    for node in topology["nodes"].as_array().into_iter().flatten() {
        let status = match node["reason"].as_str() {
            Some(reason) => format!("{}: {reason}", text(&node["status"])),
            None => text(&node["status"]),
        };
        let stale = node["stale"].as_array().map_or(0, Vec::len);
        nodes.add_row([
            text(&node["id"]),
            text(&node["group"]),
            text(&node["weight"]),
            status,
            text(&node["shards"]),
            text(&node["primaryShards"]),
            stale.to_string(),
            text(&node["url"]),
        ]);
    }
    say!(
        "{} shards, {} copies of each in {} group(s), epoch {}, {} Envoy stream(s)",
        topology["shards"],
        topology["replicationFactor"],
        topology["groups"].as_object().map_or(0, serde_json::Map::len),
        topology["epoch"],
        topology["envoys"].as_array().map_or(0, Vec::len),
    );
    say!("{nodes}");
    rebalance(status, false, false)
}

/// Prints which indexes are adopted, or would be.
pub fn adopted(found: &Value, json: bool, planned: bool) {
    if json {
        say!("{found}");
        return;
    }
    let uids: Vec<&str> =
        found["indexUids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let node = text(&found["node"]);
    match (uids.is_empty(), planned) {
        (true, _) => say!("node {node} holds no index that the cluster does not know"),
        (false, true) => say!("would adopt from node {node}: {}; nothing was done", uids.join(", ")),
        (false, false) => say!(
            "adopting from node {node}: {}; `miroir rebalance status --watch` shows how far it is",
            uids.join(", ")
        ),
    }
}

/// Prints all aliases.
pub fn aliases(aliases: &Value, json: bool) {
    if json {
        say!("{aliases}");
        return;
    }
    let mut shown = table(["alias", "stands for", "since"]);
    for alias in aliases["results"].as_array().into_iter().flatten() {
        shown.add_row([text(&alias["name"]), names(&alias["indexes"]), text(&alias["since"])]);
    }
    say!("{shown}");
}

/// Prints an alias and its history.
pub fn alias(alias: &Value, json: bool) {
    if json {
        say!("{alias}");
        return;
    }
    let mut shown = table(["alias", "stands for", "since", "until"]);
    let name = text(&alias["name"]);
    shown.add_row([name.clone(), names(&alias["indexes"]), text(&alias["since"]), "now".to_owned()]);
    for former in alias["history"].as_array().into_iter().flatten() {
        let [since, until] = ["since", "until"].map(|date| text(&former[date]));
        shown.add_row([name.clone(), names(&former["indexes"]), since, until]);
    }
    say!("{shown}");
}

/// Prints what an alias was.
pub fn removed_alias(alias: &Value, json: bool) {
    match json {
        true => say!("{alias}"),
        false => say!("alias {} is removed; it stood for {}", text(&alias["name"]), names(&alias["indexes"])),
    }
}

fn names(list: &Value) -> String {
    list.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
}

/// Prints how far a rebalance is, or what one would move.
///
/// # Errors
/// If what the control plane said is not what we know.
pub fn rebalance(status: &Value, json: bool, planned: bool) -> anyhow::Result<()> {
    if json {
        say!("{status}");
        return Ok(());
    }
    let status: Status = serde_json::from_value(status.clone())?;
    if planned {
        say!(
            "would change {} shard(s), about {} documents to copy; nothing was done",
            status.shards_total,
            HumanCount(status.documents_total)
        );
    } else {
        say!("{}", summary(&status));
    }
    if !status.adoptions.is_empty() {
        let mut adoptions = table(["index being adopted", "documents tagged"]);
        for adoption in &status.adoptions {
            let (done, total) = (HumanCount(adoption.documents_done), HumanCount(adoption.documents_total));
            adoptions.add_row([adoption.index_uid.clone(), format!("{done} of {total}")]);
        }
        say!("{adoptions}");
    }
    if !status.moves.is_empty() {
        let mut moves = table(["shard", "group", "from", "to", "state"]);
        for step in status.moves.iter().take(MOVES) {
            let state = match &step.reason {
                Some(reason) => format!("{}: {reason}", state_name(step.state)),
                None => state_name(step.state).to_owned(),
            };
            moves.add_row([
                step.shard.to_string(),
                step.group.clone(),
                step.from.join(", "),
                step.to.join(", "),
                state,
            ]);
        }
        say!("{moves}");
        if status.moves.len() > MOVES {
            say!("… and {} more", status.moves.len() - MOVES);
        }
    }
    if !status.repairs.is_empty() {
        let mut repairs = table(["stale node", "shards", "repaired from", "documents", "state"]);
        for repair in &status.repairs {
            repairs.add_row([
                repair.node.clone(),
                repair.shards.len().to_string(),
                repair.source.clone().unwrap_or_default(),
                format!("{} of {}", HumanCount(repair.documents_done), HumanCount(repair.documents)),
                repair.reason.clone().unwrap_or_else(|| "being repaired".to_owned()),
            ]);
        }
        say!("{repairs}");
    }
    Ok(())
}

/// Shows a bar until all is done.
///
/// # Errors
/// If the control plane can't be asked; while it is away for a moment it is waited for.
pub async fn watch(ask: impl AsyncFn() -> anyhow::Result<Value>) -> anyhow::Result<()> {
    let style = "{msg}\n{bar:40} {pos}/{len} {prefix}";
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    let mut failures = 0;
    loop {
        let status = match ask().await {
            Ok(status) => status,
            Err(error) if failures < 20 => {
                failures += 1;
                bar.set_message(format!("{error:#}"));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        failures = 0;
        let is_done = is_done(&status);
        let status: Status = serde_json::from_value(status)?;
        let (done, total, unit) = progress(&status);
        bar.set_length(total);
        bar.set_position(done);
        bar.set_prefix(unit);
        bar.set_message(summary(&status));
        if is_done {
            bar.finish();
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How much of how much is done, and of what.
fn progress(status: &Status) -> (u64, u64, String) {
    if !status.adoptions.is_empty() {
        let sum = |count: fn(&Adoption) -> u64| status.adoptions.iter().map(count).sum();
        return (
            sum(|index| index.documents_done),
            sum(|index| index.documents_total),
            "documents tagged".into(),
        );
    }
    if let Some(resharding) = status.resharding.as_ref().filter(|_| status.moves.is_empty()) {
        return (resharding.documents_done, resharding.documents_total, "documents tagged anew".into());
    }
    let left = status.seconds_left.map_or_else(String::new, |seconds| format!(", {seconds} s left"));
    let documents = format!(
        "shards  {} of {} documents, {}, {:.0}/s{left}",
        HumanCount(status.documents_done),
        HumanCount(status.documents_total),
        HumanBytes(status.bytes_done),
        status.documents_per_second,
    );
    (status.shards_done as u64, status.shards_total as u64, documents)
}

/// Whether nothing is left to be done.
pub fn is_done(status: &Value) -> bool {
    let is_empty = |list: &str| status[list].as_array().is_none_or(Vec::is_empty);
    status["state"] == "idle" && is_empty("repairs") && is_empty("adoptions")
}

fn summary(status: &Status) -> String {
    let count = |state| status.moves.iter().filter(|step| step.state == state).count();
    let what = match status.state {
        State::Idle | State::Running if !status.adoptions.is_empty() => {
            let done: u64 = status.adoptions.iter().map(|adoption| adoption.documents_done).sum();
            format!(
                "{} index(es) being adopted, {} documents tagged",
                status.adoptions.len(),
                HumanCount(done)
            )
        }
        State::Idle if status.repairs.is_empty() => "everything is where it belongs".to_owned(),
        State::Idle => "every shard is where it belongs; replicas are repaired".to_owned(),
        State::Paused => format!("paused with {} shard(s) to move", status.moves.len()),
        State::Canceling => "going back to where it was".to_owned(),
        State::Running => format!(
            "{} of {} shards moved: {} copying, {} waiting, {} blocked, {} to clean up",
            status.shards_done,
            status.shards_total,
            count(MoveState::Copying),
            count(MoveState::Waiting) + count(MoveState::Cutover),
            count(MoveState::Blocked),
            count(MoveState::Cleanup),
        ),
    };
    let what = match &status.resharding {
        Some(ReshardStatus { from, to, .. }) if status.moves.is_empty() => {
            format!("from {from} to {to} shards")
        }
        Some(ReshardStatus { from, to, .. }) => format!("from {from} to {to} shards: {what}"),
        None => what,
    };
    match &status.reason {
        Some(reason) => format!("epoch {}: {what} ({reason})", status.epoch),
        None => format!("epoch {}: {what}", status.epoch),
    }
}

fn state_name(state: MoveState) -> &'static str {
    match state {
        MoveState::Waiting => "waiting",
        MoveState::Copying => "copying",
        MoveState::Blocked => "blocked",
        MoveState::Cutover => "cutting over",
        MoveState::Cleanup => "cleaning up",
    }
}

/// Prints what was taken to another backend.
///
/// # Errors
/// Never for what can be written as JSON.
pub fn migrated(migrated: &Migrated, file: &Path, json: bool) -> anyhow::Result<()> {
    let counts = serde_json::to_value(migrated)?;
    if json {
        say!("{counts}");
        return Ok(());
    }
    let mut shown = table(["in Redis now", ""]);
    for (what, count) in counts.as_object().into_iter().flatten() {
        shown.add_row([words(what), text(count)]);
    }
    say!("{shown}");
    say!(
        "Everything was read again and is as it was. Start the control planes with this configuration, and none with {} any \
         more.",
        file.display()
    );
    Ok(())
}

/// `staleReplicas` as `stale replicas`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
