//! Redis as a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ports::free_port;
use crate::process::{Lifetime, Process, Program};
use crate::wait::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a Redis keeps of what it acknowledged, should it end or its machine lose its power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing.
    None,
    /// All but the last second.
    EverySecond,
    /// All.
    Always,
}

/// A Redis, running or not.
pub struct Redis {
    port: u16,
    lifetime: Lifetime,
    folder: PathBuf,
    persistence: Persistence,
    process: Option<Process>,
}

impl Redis {
    /// One that keeps all.
    pub(crate) fn new(folder: &Path, lifetime: Lifetime) -> Redis {
        let persistence = Persistence::Always;
        Redis { port: free_port(), lifetime, folder: folder.to_owned(), persistence, process: None }
    }

    /// Starts one that belongs to no cluster, with its files in `folder`. It ends with the program that started it.
    ///
    /// # Errors
    /// If it doesn't come up.
    pub async fn start_alone(folder: &Path, persistence: Persistence) -> Result<Redis> {
        let mut redis = Redis { persistence, ..Redis::new(folder, Lifetime::Ours) };
        redis.start().await?;
        Ok(redis)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Starts it with the data that it had, and waits until it answers.
    ///
    /// # Errors
    /// If it doesn't come up.
    pub async fn start(&mut self) -> Result<()> {
        if self.process.is_none() {
            let folder = self.folder.join("redis");
            std::fs::create_dir_all(&folder)?;
            let (appends, syncs) = match self.persistence {
                Persistence::None => ("no", "no"),
                Persistence::EverySecond => ("yes", "everysec"),
                Persistence::Always => ("yes", "always"),
            };
            let arguments = [
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                appends,
                "--appendfsync",
                syncs,
            ];
            let program = Program {
                name: "redis".to_owned(),
                path: "redis-server".into(),
                arguments: arguments.map(str::to_owned).to_vec(),
                environment: Vec::new(),
                folder,
                log: self.folder.join("redis.log"),
            };
            self.process = Some(Process::start(&program, self.lifetime)?);
        }
        wait_until("Redis to answer", PATIENCE, async || {
            if let Some(process) = &mut self.process {
                process.check_alive()?;
            }
            Ok(is_up(self.port).await)
        })
        .await
    }

    /// Kills it. Nothing happens if it is down.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Stops it in its tracks.
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

    pub(crate) fn leave_running(&mut self) {
        if let Some(process) = self.process.take() {
            process.leave_running();
        }
    }
}

async fn is_up(port: u16) -> bool {
    let answered = async {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
        connection.write_all(b"PING\r\n").await?;
        let mut answer = [0; 5];
        connection.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer == *b"+PONG")
    };
    answered.await.unwrap_or(false)
}
