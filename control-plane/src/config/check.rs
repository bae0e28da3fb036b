//! What a configuration must satisfy beyond the types of its values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use url::Url;

use super::{Backend, Config, ConfigError, NodeConfig, TasksConfig};

/// The most shards that a cluster may have: with more, a routing table is too large to be pushed with every change.
pub const MAX_SHARDS: u32 = 4096;

/// With fewer tasks, one could be gone before its client has asked for it, or before the filter has told of it again.
const MIN_TASKS: u64 = 10_000;

/// Checks all values; the first that is wrong is reported.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    if !(1..=MAX_SHARDS).contains(&config.shards) {
        return refuse("shards", config.shards, format!("it must be from 1 to {MAX_SHARDS}"));
    }
    check_nodes(&config.nodes)?;
    check_replication(config)?;
    if config.standalone.as_ref().is_some_and(|standalone| standalone.listen.port() == 0) {
        return refuse("standalone.listen", "0.0.0.0:0", "it must name the port that clients use, not 0");
    }
    check_positive("body_limit", config.body_limit as u64)?;
    check_positive("write_buffer_limit", config.write_buffer_limit as u64)?;
    check_positive("timeouts.read_ms", config.timeouts.read_ms)?;
    check_positive("timeouts.write_ms", config.timeouts.write_ms)?;
    check_positive("timeouts.control_plane_ms", config.timeouts.control_plane_ms)?;
    check_positive("health.interval_ms", config.health.interval_ms)?;
    check_positive("health.settings_interval_ms", config.health.settings_interval_ms)?;
    check_positive("health.timeout_ms", config.health.timeout_ms)?;
    check_positive("health.healthy_threshold", config.health.healthy_threshold.into())?;
    check_positive("health.unhealthy_threshold", config.health.unhealthy_threshold.into())?;
    check_positive("rebalance.shards_at_once", config.rebalance.shards_at_once as u64)?;
    check_positive("rebalance.nodes_at_once", config.rebalance.nodes_at_once as u64)?;
    check_positive("idempotency.ttl_ms", config.idempotency.ttl_ms)?;
    check_positive("sessions.ttl_ms", config.sessions.ttl_ms)?;
    check_positive("sessions.wait_ms", config.sessions.wait_ms)?;
    if let Some(interval) = config.anti_entropy.interval_ms {
        check_positive("anti_entropy.interval_ms", interval)?;
    }
    check_tasks(&config.tasks)?;
    check_task_store(config)?;
    match config.rebalance.documents_per_second {
        Some(pace) if !(pace.is_finite() && pace > 0.0) => {
            refuse("rebalance.documents_per_second", pace, "it must be a number above 0, or left out")
        }
        _ => Ok(()),
    }
}

fn check_tasks(tasks: &TasksConfig) -> Result<(), ConfigError> {
    if let Some(time) = tasks.keep_ms {
        check_positive("tasks.keep_ms", time)?;
    }
    if tasks.keep_at_most < MIN_TASKS {
        return refuse("tasks.keep_at_most", tasks.keep_at_most, format!("it must be {MIN_TASKS} or more"));
    }
    Ok(())
}

fn check_task_store(config: &Config) -> Result<(), ConfigError> {
    if config.task_store.backend != Backend::Redis {
        return Ok(());
    }
    let url = config.task_store.url.as_deref().unwrap_or_default();
    let rule = "it must be redis:// or rediss:// (with TLS), a host and optionally a port and the number of a database, \
                as redis://redis:6379/0; a password goes into MIROIR_REDIS_PASSWORD or `task_store.password_file`";
    let is_right =
        |url: &Url| ["redis", "rediss"].contains(&url.scheme()) && url.has_host() && url.password().is_none();
    let Some(url) = Url::parse(url).ok().filter(is_right) else {
        return refuse("task_store.url", url, rule);
    };
    match &config.task_store.ca_file {
        Some(path) if url.scheme() == "redis" => {
            let rule = "it is of use with TLS only: write rediss:// in `task_store.url`, or leave it out";
            refuse("task_store.ca_file", path.display(), rule)
        }
        _ => Ok(()),
    }
}

fn check_nodes(nodes: &[NodeConfig]) -> Result<(), ConfigError> {
    if nodes.is_empty() {
        return refuse("nodes", "[]", "there must be at least one node");
    }
    let (mut ids, mut urls, mut clusters) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (index, node) in nodes.iter().enumerate() {
        let key = |name: &str| format!("nodes[{index}].{name}");
        check_name(&key("id"), &node.id)?;
        check_name(&key("group"), &node.group)?;
        if !ids.insert(&node.id) {
            return refuse(&key("id"), &node.id, "another node has this id");
        }
        if !urls.insert(check_url(&key("url"), &node.url)?) {
            return refuse(&key("url"), &node.url, "another node has this URL");
        }
        check_weight(&key("weight"), node.weight)?;
        if let Some(cluster) = &node.cluster
            && (cluster.is_empty() || !clusters.insert(cluster))
        {
            return refuse(
                &key("cluster"),
                cluster,
                "it must name an Envoy cluster that leads to this node alone",
            );
        }
    }
    Ok(())
}

/// What must hold of a node that is added while the cluster runs; why it doesn't, if it doesn't.
pub fn check_node(id: &str, url: &str, group: &str, weight: f64) -> Result<(), String> {
    let checked = check_name("id", id).and(check_name("group", group)).and(check_url("url", url).map(drop));
    checked.and(check_weight("weight", weight)).map_err(|ConfigError(reason)| reason)
}

fn check_weight(key: &str, weight: f64) -> Result<(), ConfigError> {
    match weight.is_finite() && weight > 0.0 {
        true => Ok(()),
        false => refuse(key, weight, "it must be a number above 0"),
    }
}

fn check_name(key: &str, name: &str) -> Result<(), ConfigError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 128 || !name.bytes().all(allowed) {
        return refuse(key, name, "it must be 1 to 128 ASCII letters, digits, `-`, `_` or `.`");
    }
    Ok(())
}

fn check_url(key: &str, text: &str) -> Result<Url, ConfigError> {
    let rule = "it must be http:// or https://, a host and optionally a port, with nothing after";
    let Ok(url) = Url::parse(text) else { return refuse(key, text, rule) };
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() || !bare || !anonymous {
        return refuse(key, text, rule);
    }
    Ok(url)
}

fn check_replication(config: &Config) -> Result<(), ConfigError> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &config.nodes {
        *sizes.entry(&node.group).or_default() += 1;
    }
    if let Some(groups) = config.replica_groups
        && groups != sizes.len()
    {
        return refuse("replica_groups", groups, format!("the nodes' `group`s make {}", sizes.len()));
    }
    let factor = config.replication_factor;
    if let Some((group, size)) = sizes.into_iter().find(|(_, size)| !(1..=*size).contains(&factor)) {
        return refuse(
            "replication_factor",
            factor,
            format!("it must be from 1 to {size}, the nodes of group {group}"),
        );
    }
    if let Some(quorum) = config.write_quorum
        && !(1..=factor).contains(&quorum)
    {
        return refuse(
            "write_quorum",
            quorum,
            format!("it must be from 1 to {factor}, the `replication_factor`"),
        );
    }
    Ok(())
}

fn check_positive(key: &str, value: u64) -> Result<(), ConfigError> {
    if value == 0 {
        return refuse(key, value, "it must be 1 or more");
    }
    Ok(())
}

fn refuse<T>(key: &str, value: impl Display, rule: impl Display) -> Result<T, ConfigError> {
    Err(ConfigError(format!("`{key}` is {value}: {rule}")))
}
