//! A cluster that runs in the background: what of it is written down, and how it is stopped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::wait::wait_until;

/// How long a process gets to end when asked to.
const GRACE: Duration = Duration::from_secs(10);

/// What runs: the content of `cluster.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Where clients talk to.
    pub client_url: String,
    /// The control plane's REST API.
    pub admin_url: String,
    /// Envoy's own admin interface.
    pub envoy_admin_url: String,
    /// All processes.
    pub processes: Vec<RunningProcess>,
}

/// One process of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProcess {
    /// The node's id, `control-plane` or `envoy`.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// The port that it is used by.
    pub port: u16,
    /// When it was started, in the kernel's clock ticks: tells it from a later process with the same id.
    pub started: u64,
}

impl RunningProcess {
    /// A process that runs now; `None` if there is none with this id.
    pub fn new(name: &str, pid: u32, port: u16) -> Option<RunningProcess> {
        Some(RunningProcess { name: name.to_owned(), pid, port, started: started(pid)? })
    }

    /// Whether it is still there.
    pub fn is_alive(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid as i32).filter(|_| self.is_alive()) {
            // It may end between the look and the signal; then all is well.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Running {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("cluster.json")
    }

    /// What is written down in a data folder; `None` if nothing is.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn load(data_dir: &Path) -> Result<Option<Running>> {
        let path = Running::path(data_dir);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(Some(serde_json::from_slice(&text).with_context(|| path.display().to_string())?))
    }

    /// Writes it down.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn save(&self, data_dir: &Path) -> Result<()> {
        let path = Running::path(data_dir);
        let new = path.with_extension("json.new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&new, &path).with_context(|| path.display().to_string())
    }

    /// The names of the processes that are gone.
    pub fn missing(&self) -> Vec<&str> {
        self.processes.iter().filter(|process| !process.is_alive()).map(|process| &*process.name).collect()
    }

    /// Stops all of it, and waits until it is gone.
    ///
    /// # Errors
    /// If a process can't be stopped.
    pub async fn stop(&self, data_dir: &Path) -> Result<()> {
        for process in &self.processes {
            process.signal(Signal::TERM);
            // One that was stopped in its tracks can't end.
            process.signal(Signal::CONT);
        }
        let all_gone = async || Ok(!self.processes.iter().any(RunningProcess::is_alive));
        if wait_until("all processes to end", GRACE, all_gone).await.is_err() {
            self.processes.iter().for_each(|process| process.signal(Signal::KILL));
            wait_until("all processes to end", GRACE, all_gone).await?;
        }
        std::fs::remove_file(Running::path(data_dir)).context("removing cluster.json")
    }
}

/// The start time of a process that is there and no zombie.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, and may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let is_zombie = ["Z", "X"].contains(fields.first()?);
    if is_zombie { None } else { fields.get(19)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_another_with_its_id() {
        let this = RunningProcess::new("this", std::process::id(), 1).unwrap();
        assert!(this.is_alive());
        assert!(!RunningProcess { started: this.started + 1, ..this }.is_alive());
    }
}
