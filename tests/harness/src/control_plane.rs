//! The control plane as a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::binaries;
use crate::client::Client;
use crate::process::{Lifetime, Process, Program};
use crate::wait::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

/// The control plane, running or not. It keeps its ports and its store while it is down.
pub struct ControlPlane {
    /// Its name in messages, and of its log.
    pub(crate) name: String,
    /// The port that Envoy talks to.
    pub envoy_port: u16,
    /// The port of the REST API.
    pub admin_port: u16,
    pub(crate) master_key: String,
    pub(crate) admin_key: String,
    pub(crate) lifetime: Lifetime,
    pub(crate) folder: PathBuf,
    pub(crate) process: Option<Process>,
}

impl ControlPlane {
    /// Its REST API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// A client of its REST API with the admin key.
    pub fn client(&self) -> Client {
        Client::new(self.url(), &self.admin_key)
    }

    /// The id of its process, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Where its configuration is.
    pub fn config_path(&self) -> PathBuf {
        let suffix = self.name.trim_start_matches("control-plane");
        self.folder.join(format!("miroir{suffix}.yaml"))
    }

    /// Writes its configuration. JSON is YAML.
    pub fn configure(&self, config: &serde_json::Value) -> Result<()> {
        std::fs::write(self.config_path(), serde_json::to_vec_pretty(config)?)?;
        Ok(())
    }

    /// Starts it with the store that it had. Nothing happens if it runs.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn spawn(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let program = Program {
            name: self.name.clone(),
            path: binaries::control_plane()?,
            arguments: vec!["serve".into(), "--config".into(), path_text(&self.config_path())],
            environment: vec![
                ("MIROIR_MASTER_KEY", self.master_key.clone()),
                ("MIROIR_ADMIN_KEY", self.admin_key.clone()),
            ],
            folder: self.folder.clone(),
            log: self.folder.join(format!("{}.log", self.name)),
        };
        self.process = Some(Process::start(&program, self.lifetime)?);
        Ok(())
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// If it does not become so.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let client = self.client();
        wait_until("the control plane to be ready", PATIENCE, async || {
            if let Some(process) = &mut self.process {
                process.check_alive()?;
            }
            Ok(client.get("/_miroir/ready").await.is_ok_and(|answer| answer.status == 200))
        })
        .await
    }

    /// Stops it in its tracks: connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// If it is gone.
    pub fn pause(&self) -> Result<()> {
        self.process.as_ref().map_or(Ok(()), Process::pause)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it is gone.
    pub fn resume(&self) -> Result<()> {
        self.process.as_ref().map_or(Ok(()), Process::resume)
    }

    /// Kills it. Nothing happens if it is down.
    pub fn stop(&mut self) {
        self.process = None;
    }

    pub(crate) fn leave_running(&mut self) {
        if let Some(process) = self.process.take() {
            process.leave_running();
        }
    }
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}
