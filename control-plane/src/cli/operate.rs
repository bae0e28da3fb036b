//! The commands that operate a running cluster, over its REST API.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::show;

/// Which control plane, and how to answer.
#[derive(Debug, Args)]
pub struct Remote {
    /// The control plane's REST API.
    #[arg(
        long = "url",
        global = true,
        value_name = "URL",
        env = "MIROIR_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    control_plane: String,
    /// The admin key.
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "MIROIR_ADMIN_KEY",
        hide_env_values = true,
        default_value = ""
    )]
    admin_key: String,
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
}

/// A node that is to be added.
#[derive(Debug, Args)]
pub struct NewNode {
    /// Its name.
    id: String,
    /// Where it is: scheme, host and port.
    url: String,
    /// An Envoy cluster that the mesh already has for it.
    #[arg(long)]
    cluster: Option<String>,
    /// Its share of the shards relative to the other nodes of its group.
    #[arg(long)]
    weight: Option<f64>,
}

impl NewNode {
    fn body(&self, group: Option<&String>) -> Value {
        json!({"id": self.id, "url": self.url, "cluster": self.cluster, "weight": self.weight, "group": group})
    }
}

/// What names stand for.
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// All aliases.
    List,
    /// What an alias stands for, and what it stood for before.
    Show {
        /// The alias.
        name: String,
    },
    /// Makes an alias, or lets it stand for another index from now on.
    ///
    /// Returns when every Envoy goes by it. An alias of several indexes can be searched, and nothing else.
    Set {
        /// The alias.
        name: String,
        /// The indexes, which must exist.
        #[arg(required = true, value_name = "INDEX")]
        indexes: Vec<String>,
    },
    /// Lets an alias stand for what it stood for before its last change.
    Rollback {
        /// The alias.
        name: String,
    },
    /// Removes an alias. Its indexes stay.
    Remove {
        /// The alias.
        name: String,
    },
}

/// Nodes come and go.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Adds a node. It gets all indexes, settings and keys, then its share of the shards.
    Add {
        #[command(flatten)]
        node: NewNode,
        /// Its replica group, where there are several.
        #[arg(long)]
        group: Option<String>,
        /// Show what would move, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Moves all that a node holds to the others of its group.
    Drain {
        /// The node.
        id: String,
        /// Show what would move, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Removes a node that owns nothing.
    Remove {
        /// The node.
        id: String,
        /// Remove it although it owns shards, because it is lost. Each of them must have another copy that is up to date.
        #[arg(long)]
        force: bool,
        /// Show what would move, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Puts another node in the place of one, dead or alive.
    Replace {
        /// The node that goes.
        old: String,
        #[command(flatten)]
        node: NewNode,
        /// Show what would move, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Takes a node's copies for the truth, of those shards of which all copies have missed writes.
    ///
    /// For when the only up-to-date copy is lost for good. What only the other copies have is lost, too: they are repaired
    /// from this node.
    Trust {
        /// The node.
        id: String,
    },
    /// Changes a node's share of the shards, or where it is.
    Update {
        /// The node.
        id: String,
        /// Its share relative to the other nodes of its group.
        #[arg(long)]
        weight: Option<f64>,
        /// Where it is now.
        #[arg(long)]
        to_url: Option<String>,
        /// Show what would move, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Replica groups come and go, and the number of copies in each.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Adds a replica group.
    Add {
        /// Its name.
        id: String,
        /// Its nodes, each as NAME=URL.
        #[arg(required = true, value_name = "NAME=URL")]
        nodes: Vec<String>,
        /// Show what would move, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Drains all nodes of a replica group; remove them then.
    Remove {
        /// The group.
        id: String,
        /// Show what would move, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Changes the number of copies of each shard in every group.
    Copies {
        /// The replication factor.
        copies: usize,
        /// Show what would move, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// How shards get to where they belong.
#[derive(Debug, Subcommand)]
pub enum RebalanceCommand {
    /// How far it is.
    Status {
        /// Stay until it is done.
        #[arg(long)]
        watch: bool,
    },
    /// Places all shards anew: after a rebalance was canceled.
    Start {
        /// Show what would move, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Lets nothing more be moved until it is resumed.
    Pause,
    /// Lets a paused rebalance go on.
    Resume,
    /// Takes back what is not cut over yet.
    Cancel,
}

impl Remote {
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.control_plane.trim_end_matches('/'));
        let mut request = reqwest::Client::new().request(method, &url);
        if !self.admin_key.is_empty() {
            request = request.bearer_auth(&self.admin_key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let help = "is the control plane there? Say where with --url or MIROIR_URL";
        let answer = request.send().await.with_context(|| format!("{url} can't be reached: {help}"))?;
        let status = answer.status();
        let body: Value =
            answer.json().await.with_context(|| format!("{url} answered {status}, and no JSON"))?;
        match (status.as_u16(), body["message"].as_str()) {
            (200..300, _) => Ok(body),
            (401 | 403, _) => bail!("the admin key is not right: set MIROIR_ADMIN_KEY"),
            (_, Some(message)) => bail!("{message}"),
            (_, None) => bail!("{url} answered {status}"),
        }
    }

    async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        options: Options,
    ) -> anyhow::Result<()> {
        let mut parameters = Vec::new();
        if options.dry_run {
            parameters.push("dryRun=true");
        }
        if options.force {
            parameters.push("force=true");
        }
        let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
        let status = self.call(method, &format!("/_miroir{path}{query}"), body).await?;
        show::rebalance(&status, self.json, options.dry_run)
    }
}

#[derive(Clone, Copy, Default)]
struct Options {
    dry_run: bool,
    force: bool,
}

impl From<bool> for Options {
    fn from(dry_run: bool) -> Self {
        Options { dry_run, force: false }
    }
}

/// Shows what the cluster is made of and how it is.
///
/// # Errors
/// If the control plane can't be asked.
pub async fn status(remote: &Remote) -> anyhow::Result<()> {
    let topology = remote.call(Method::GET, "/_miroir/topology", None).await?;
    let rebalance = remote.call(Method::GET, "/_miroir/rebalance", None).await?;
    show::cluster(&topology, &rebalance, remote.json)
}

/// Adopts one index, or all.
///
/// # Errors
/// What the control plane says.
pub async fn adopt(remote: &Remote, uid: Option<&str>, dry_run: bool) -> anyhow::Result<()> {
    let path = uid.map_or_else(|| "/indexes/adopt".to_owned(), |uid| format!("/indexes/{uid}/adopt"));
    let query = if dry_run { "?dryRun=true" } else { "" };
    let found = remote.call(Method::POST, &format!("/_miroir{path}{query}"), None).await?;
    show::adopted(&found, remote.json, dry_run);
    Ok(())
}

/// Changes the number of shards.
///
/// # Errors
/// What the control plane says.
pub async fn shards(remote: &Remote, shards: u32, dry_run: bool) -> anyhow::Result<()> {
    remote.change(Method::PATCH, "/topology", Some(&json!({"shards": shards})), dry_run.into()).await
}

/// Runs a command about aliases.
///
/// # Errors
/// What the control plane says.
pub async fn alias(remote: &Remote, command: AliasCommand) -> anyhow::Result<()> {
    let path = |name: &str| format!("/_miroir/aliases/{name}");
    let alias = match command {
        AliasCommand::List => {
            let aliases = remote.call(Method::GET, "/_miroir/aliases", None).await?;
            show::aliases(&aliases, remote.json);
            return Ok(());
        }
        AliasCommand::Show { name } => remote.call(Method::GET, &path(&name), None).await?,
        AliasCommand::Set { name, indexes } => {
            remote.call(Method::PUT, &path(&name), Some(&json!({"indexes": indexes}))).await?
        }
        AliasCommand::Rollback { name } => {
            remote.call(Method::POST, &format!("{}/rollback", path(&name)), None).await?
        }
        AliasCommand::Remove { name } => {
            let alias = remote.call(Method::DELETE, &path(&name), None).await?;
            show::removed_alias(&alias, remote.json);
            return Ok(());
        }
    };
    show::alias(&alias, remote.json);
    Ok(())
}

/// Runs a command about nodes.
///
/// # Errors
/// What the control plane says.
pub async fn node(remote: &Remote, command: NodeCommand) -> anyhow::Result<()> {
    match command {
        NodeCommand::Add { node, group, dry_run } => {
            remote.change(Method::POST, "/nodes", Some(&node.body(group.as_ref())), dry_run.into()).await
        }
        NodeCommand::Drain { id, dry_run } => {
            remote.change(Method::POST, &format!("/nodes/{id}/drain"), None, dry_run.into()).await
        }
        NodeCommand::Remove { id, force, dry_run } => {
            remote.change(Method::DELETE, &format!("/nodes/{id}"), None, Options { dry_run, force }).await
        }
        NodeCommand::Replace { old, node, dry_run } => {
            let path = format!("/nodes/{old}/replace");
            remote.change(Method::POST, &path, Some(&node.body(None)), dry_run.into()).await
        }
        NodeCommand::Trust { id } => {
            remote.change(Method::POST, &format!("/nodes/{id}/trust"), None, Options::default()).await
        }
        NodeCommand::Update { id, weight, to_url, dry_run } => {
            let body = json!({"weight": weight, "url": to_url});
            remote.change(Method::PATCH, &format!("/nodes/{id}"), Some(&body), dry_run.into()).await
        }
    }
}

/// Runs a command about replica groups.
///
/// # Errors
/// What the control plane says.
pub async fn group(remote: &Remote, command: GroupCommand) -> anyhow::Result<()> {
    match command {
        GroupCommand::Add { id, nodes, dry_run } => {
            let mut all = Vec::new();
            for node in &nodes {
                let (id, url) = node.split_once('=').with_context(|| format!("{node} is not NAME=URL"))?;
                all.push(json!({"id": id, "url": url}));
            }
            let body = json!({"id": id, "nodes": all});
            remote.change(Method::POST, "/groups", Some(&body), dry_run.into()).await
        }
        GroupCommand::Remove { id, dry_run } => {
            remote.change(Method::DELETE, &format!("/groups/{id}"), None, dry_run.into()).await
        }
        GroupCommand::Copies { copies, dry_run } => {
            let body = json!({"replicationFactor": copies});
            remote.change(Method::PATCH, "/topology", Some(&body), dry_run.into()).await
        }
    }
}

/// Runs a command about the rebalance.
///
/// # Errors
/// What the control plane says.
pub async fn rebalance(remote: &Remote, command: RebalanceCommand) -> anyhow::Result<()> {
    let no_options = Options::default();
    match command {
        RebalanceCommand::Status { watch: true } if !remote.json => {
            show::watch(async || remote.call(Method::GET, "/_miroir/rebalance", None).await).await
        }
        RebalanceCommand::Status { watch } => loop {
            let status = remote.call(Method::GET, "/_miroir/rebalance", None).await?;
            let is_done = show::is_done(&status);
            show::rebalance(&status, remote.json, false)?;
            if !watch || is_done {
                return Ok(());
            }
            tokio::time::sleep(show::PAUSE).await;
        },
        RebalanceCommand::Start { dry_run } => {
            remote.change(Method::POST, "/rebalance", None, dry_run.into()).await
        }
        RebalanceCommand::Pause => remote.change(Method::POST, "/rebalance/pause", None, no_options).await,
        RebalanceCommand::Resume => remote.change(Method::POST, "/rebalance/resume", None, no_options).await,
        RebalanceCommand::Cancel => remote.change(Method::POST, "/rebalance/cancel", None, no_options).await,
    }
}
