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
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    pub fn client(&self) -> Client {
        Client::new(self.url(), &self.admin_key)
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.join("miroir.yaml")
    }

    /// Writes its configuration. JSON is YAML.
    pub fn configure(&self, config: &serde_json::Value) -> Result<()> {
        std::fs::write(self.config_path(), serde_json::to_vec_pretty(config)?)?;
        Ok(())
    }

    pub fn spawn(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let program = Program {
            name: "control-plane".to_owned(),
            path: binaries::control_plane()?,
            arguments: vec!["serve".into(), "--config".into(), path_text(&self.config_path())],
            environment: vec![
                ("MIROIR_MASTER_KEY", self.master_key.clone()),
                ("MIROIR_ADMIN_KEY", self.admin_key.clone()),
            ],
            folder: self.folder.clone(),
            log: self.folder.join("control-plane.log"),
        };
        self.process = Some(Process::start(&program, self.lifetime)?);
        Ok(())
    }

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

    pub fn stop(&mut self) {
        self.process = None;
    }

    pub fn leave_running(&mut self) {
        if let Some(process) = self.process.take() {
            process.leave_running();
        }
    }
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}
