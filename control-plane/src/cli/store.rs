//! `miroir store`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::show;
use crate::config;
use crate::migrate::{self, Observer};

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Takes the state of a cluster from SQLite to the Redis that the configuration names.
    ///
    /// Stop the control plane before: searches go on meanwhile, writes wait. Everything is copied, read again and compared:
    /// tasks, indexes, aliases, keys, what nodes missed, idempotency keys, sessions. The Redis database must hold no other
    /// cluster. If it is interrupted, run it again. Then start the control planes with the same configuration, and never
    /// again one with the file, which stays as it is.
    Migrate(Migrate),
}

/// What to migrate, and where to.
#[derive(Debug, Args)]
pub struct Migrate {
    /// The SQLite file: `task_store.path` of the control plane that used it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The configuration of the control planes that are to go on, with `task_store: {backend: redis, url: …}`. Keys and
    /// MIROIR_REDIS_PASSWORD are needed as for `miroir serve`.
    #[arg(long, value_name = "FILE", env = "MIROIR_CONFIG", default_value = "miroir.yaml")]
    config: PathBuf,
    /// Print how many there were of what as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// What kept it from its work.
pub async fn run(command: StoreCommand) -> anyhow::Result<()> {
    let StoreCommand::Migrate(Migrate { file, config, json }) = command;
    let config = config::load(&config, std::env::vars())?;
    let bar = Bar(if json { ProgressBar::hidden() } else { ProgressBar::no_length() });
    let migrated = migrate::migrate(&file, &config.task_store, &bar).await;
    bar.0.finish_and_clear();
    show::migrated(&migrated?, &file, json)
}

struct Bar(ProgressBar);

impl Bar {
    fn say(&self, message: &'static str) {
        self.0.set_position(0);
        self.0.set_message(message);
    }
}

impl Observer for Bar {
    fn begins(&self, tasks: u64) {
        let style =
            ProgressStyle::with_template("{msg:9} {wide_bar} {human_pos} of {human_len} tasks, {eta} left");
        self.0.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.0.set_length(tasks);
        self.0.enable_steady_tick(Duration::from_millis(200));
        self.say("copying");
    }

    fn has_written(&self, tasks: usize) {
        self.0.inc(tasks as u64);
    }

    fn verifies(&self) {
        self.say("comparing");
    }

    fn has_verified(&self, tasks: usize) {
        self.0.inc(tasks as u64);
    }
}
