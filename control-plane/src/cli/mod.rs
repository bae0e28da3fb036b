//! The command line.

mod operate;
mod show;
mod store;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use self::operate::{AliasCommand, GroupCommand, NodeCommand, RebalanceCommand, Remote};
use self::store::StoreCommand;
use crate::{config, server};

/// Miroir's control plane: one Meilisearch endpoint over many nodes, through Envoy.
#[derive(Debug, Parser)]
#[command(name = "miroir", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves Envoy (xDS, the Wasm module, the Meilisearch API but for documents and search) and operators (REST
    /// under /_miroir, /metrics) until SIGTERM or SIGINT.
    ///
    /// Needs MIROIR_MASTER_KEY (the master key of all nodes) and MIROIR_ADMIN_KEY (the key of the REST API) in the
    /// environment, or `master_key_file` and `admin_key_file` in the configuration. Every key of the configuration
    /// can be set by the environment too: MIROIR_SHARDS for `shards`, MIROIR_TASK_STORE__PATH for
    /// `task_store.path`, MIROIR_NODES__0__URL for the first node's `url`.
    #[command(after_help = EXAMPLE)]
    Serve {
        /// The configuration.
        #[arg(long, value_name = "FILE", env = "MIROIR_CONFIG", default_value = "miroir.yaml")]
        config: PathBuf,
        /// What to log: a level, or levels by module as in `info,miroir_control_plane::xds=debug`.
        #[arg(long, value_name = "FILTER", env = "MIROIR_LOG", default_value = "info")]
        log: String,
    },
    /// What the cluster is made of and how it is.
    Status {
        #[command(flatten)]
        remote: Remote,
    },
    /// Adopts indexes that the cluster's only node held before Miroir was.
    ///
    /// They are searched and written through Miroir from then on. Their documents get their tags in the background
    /// (`miroir rebalance status --watch`); nodes that are added meanwhile get their shards when that is done.
    #[command(arg_required_else_help = true)]
    Adopt {
        #[command(flatten)]
        remote: Remote,
        /// The index.
        #[arg(value_name = "INDEX", required_unless_present = "all", conflicts_with = "all")]
        uid: Option<String>,
        /// All indexes that the node holds and the cluster does not know.
        #[arg(long)]
        all: bool,
        /// Show what would be adopted, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Lists, sets, rolls back and removes aliases: names that stand for indexes.
    Alias {
        #[command(flatten)]
        remote: Remote,
        #[command(subcommand)]
        command: AliasCommand,
    },
    /// Adds, drains, removes and replaces nodes.
    Node {
        #[command(flatten)]
        remote: Remote,
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Changes the number of shards: to a multiple of the present number, or to a divisor of it.
    ///
    /// Documents get other tags where they are. To fewer shards, those that become one are moved together before.
    /// `miroir rebalance cancel` takes it back while it is under way; afterwards, the former number does.
    Shards {
        #[command(flatten)]
        remote: Remote,
        /// How many shards there are to be.
        shards: u32,
        /// Show whether it can be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Adds and removes replica groups, and changes the number of copies.
    Group {
        #[command(flatten)]
        remote: Remote,
        #[command(subcommand)]
        command: GroupCommand,
    },
    /// Shows, pauses, resumes and cancels the moving of shards.
    Rebalance {
        #[command(flatten)]
        remote: Remote,
        #[command(subcommand)]
        command: RebalanceCommand,
    },
    /// Takes the state of a cluster to another backend.
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
}

const EXAMPLE: &str = "\
A configuration:
  shards: 64
  replication_factor: 2
  nodes:
    - {id: a, url: http://meilisearch-a:7700}
    - {id: b, url: http://meilisearch-b:7700}
    - {id: c, url: http://meilisearch-c:7700}
  task_store: {backend: sqlite, path: /var/lib/miroir/miroir.db}
  listen: {envoy: 0.0.0.0:18000, admin: 0.0.0.0:8080}
  filter: {module: /usr/share/miroir/filter.wasm, source: local}
  standalone: {listen: 0.0.0.0:7700}";

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What kept it from its work, for a person.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve { config, log } => {
                let filter = EnvFilter::try_new(&log).with_context(|| format!("--log {log}"))?;
                let ansi = std::io::stderr().is_terminal();
                tracing_subscriber::fmt()
                    .with_env_filter(filter)
                    .with_writer(std::io::stderr)
                    .with_ansi(ansi)
                    .init();
                server::serve(config::load(&config, std::env::vars())?).await
            }
            Command::Status { remote } => operate::status(&remote).await,
            Command::Adopt { remote, uid, dry_run, .. } => {
                operate::adopt(&remote, uid.as_deref(), dry_run).await
            }
            Command::Alias { remote, command } => operate::alias(&remote, command).await,
            Command::Node { remote, command } => operate::node(&remote, command).await,
            Command::Shards { remote, shards, dry_run } => operate::shards(&remote, shards, dry_run).await,
            Command::Group { remote, command } => operate::group(&remote, command).await,
            Command::Rebalance { remote, command } => operate::rebalance(&remote, command).await,
            Command::Store { command } => store::run(command).await,
        }
    }
}
