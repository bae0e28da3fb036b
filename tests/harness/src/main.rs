//! `miroir-harness up` and `miroir-harness down`: a cluster in the background, for `make up` and `make down`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use miroir_harness::running::Running;
use miroir_harness::{Cluster, Options};

/// Runs a Miroir cluster in the background.
#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Starts a cluster; returns when it answers searches.
    Up(Up),
    /// Stops the cluster; returns when it is gone.
    Down(Down),
}

#[derive(Args)]
struct Up {
    /// Nodes in all groups together.
    #[arg(long, env = "NODES", default_value_t = 3)]
    nodes: usize,
    /// Replica groups, each of which holds every shard.
    #[arg(long, env = "REPLICA_GROUPS", default_value_t = 1)]
    replica_groups: usize,
    /// Copies of a shard inside a group.
    #[arg(long, env = "RF", default_value_t = 2)]
    replication_factor: usize,
    /// Slots of the hash space.
    #[arg(long, env = "SHARDS", default_value_t = 64)]
    shards: u32,
    /// The port for clients; 0: a free one.
    #[arg(long, env = "PORT", default_value_t = 7700)]
    port: u16,
    /// The port of the control plane's REST API; 0: a free one.
    #[arg(long, env = "CONTROL_PORT", default_value_t = 8080)]
    control_port: u16,
    /// The master key of all nodes, and so of the cluster.
    #[arg(long, env = "MASTER_KEY", default_value = "masterKey", hide_env_values = true)]
    master_key: String,
    /// The key of the control plane's REST API.
    #[arg(long, env = "ADMIN_KEY", default_value = "adminKey", hide_env_values = true)]
    admin_key: String,
    #[command(flatten)]
    place: Down,
}

#[derive(Args)]
struct Down {
    /// Where data, logs and `cluster.json` are.
    #[arg(long, env = "DATA_DIR", default_value = ".miroir")]
    data_dir: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    let done = async {
        match command.action {
            Action::Up(arguments) => up(arguments).await,
            Action::Down(arguments) => down(&arguments.data_dir).await,
        }
    };
    match done.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("miroir: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn up(arguments: Up) -> Result<()> {
    let data_dir = arguments.place.data_dir;
    if let Some(running) = Running::load(&data_dir)? {
        match &running.missing()[..] {
            [] => {
                println!("miroir: already up (make down stops it)");
                show(&running, &data_dir);
                return Ok(());
            }
            missing if missing.len() < running.processes.len() => {
                bail!("already up, but without {}: make down first, then make up", missing.join(", "))
            }
            // Nothing of it is left, as after the machine was restarted.
            _ => {}
        }
    }

    let chosen = |port: u16| (port != 0).then_some(port);
    let Up { nodes, replica_groups, replication_factor, shards, .. } = arguments;
    println!("miroir: starting {nodes} nodes, the control plane and Envoy");
    let options = Options {
        nodes,
        replica_groups,
        replication_factor,
        shards,
        master_key: arguments.master_key,
        admin_key: arguments.admin_key,
        client_port: chosen(arguments.port),
        admin_port: chosen(arguments.control_port),
        data_dir: Some(data_dir.clone()),
        ..Options::default()
    };
    // What has been started by then lives in sessions of its own: an interrupt must stop it here.
    let cluster = tokio::select! {
        cluster = Cluster::start(options) => cluster,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(error) => {
            if let Some(started) = Running::load(&data_dir)? {
                started.stop(&data_dir).await?;
            }
            return Err(error);
        }
    };
    show(&cluster.leave_running()?, &data_dir);
    Ok(())
}

async fn down(data_dir: &Path) -> Result<()> {
    let Some(running) = Running::load(data_dir)? else {
        println!("miroir: nothing is up in {}", data_dir.display());
        return Ok(());
    };
    running.stop(data_dir).await?;
    println!("miroir: stopped; the data stays in {}", data_dir.display());
    Ok(())
}

fn show(running: &Running, data_dir: &Path) {
    println!("  Meilisearch API  {}", running.client_url);
    println!("  control plane    {}/_miroir/topology", running.admin_url);
    println!("  Envoy admin      {}", running.envoy_admin_url);
    for process in running.processes.iter().filter(|process| process.name.starts_with("node-")) {
        println!("  {:<15}  http://127.0.0.1:{}", process.name, process.port);
    }
    println!("  logs, pids       {}", data_dir.display());
}
