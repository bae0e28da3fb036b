//! A Meilisearch node: the embedded one, or a real server by `MEILISEARCH_BIN`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{Lifetime, Process, Program};
use crate::proxy::{Proxy, Way};
use crate::wait::wait_until;
use crate::{binaries, ports};

const PATIENCE: Duration = Duration::from_secs(60);

/// A node, running or not. It keeps its port and its data while it is down.
pub struct Node {
    id: String,
    port: u16,
    master_key: String,
    lifetime: Lifetime,
    folder: PathBuf,
    log: PathBuf,
    takes_faults: bool,
    process: Option<Process>,
    /// What Envoy and the control plane reach it by, if not directly.
    way: Option<Proxy>,
}

impl Node {
    pub(crate) fn new(id: &str, port: u16, folder: &Path, master_key: &str, lifetime: Lifetime) -> Node {
        Node {
            id: id.to_owned(),
            port,
            master_key: master_key.to_owned(),
            lifetime,
            folder: folder.join(id),
            log: folder.join(format!("{id}.log")),
            takes_faults: false,
            process: None,
            way: None,
        }
    }

    /// Puts a way that can be cut between the node and the rest of the cluster.
    pub(crate) fn go_through(&mut self, port: u16) {
        self.way = Some(Proxy::start(port, self.port));
    }

    /// Lets the embedded node be asked to fail, by `PUT /test-faults`. A real server takes no notice.
    pub(crate) fn take_faults(&mut self) {
        self.takes_faults = true;
    }

    /// Its name in the topology.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the rest of the cluster reaches it: its URL in the topology.
    pub fn topology_url(&self) -> String {
        let port = self.way.as_ref().map_or(self.port, Proxy::port);
        format!("http://127.0.0.1:{port}")
    }

    /// Changes the way that the rest of the cluster reaches it by. Nothing happens if they reach it directly.
    pub fn set_way(&self, way: Way) {
        self.way.iter().for_each(|proxy| proxy.set(way));
    }

    /// A client of the node itself, with the master key.
    pub fn client(&self) -> Client {
        Client::new(self.url(), &self.master_key)
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub(crate) fn spawn(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder)?;
        let program = Program {
            name: self.id.clone(),
            path: binaries::node()?,
            arguments: [
                ("--http-addr", format!("127.0.0.1:{}", self.port)),
                ("--db-path", self.folder.join("data.ms").display().to_string()),
                ("--master-key", self.master_key.clone()),
                ("--env", "development".to_owned()),
            ]
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .chain(["--no-analytics".to_owned()])
            .collect(),
            environment: self
                .takes_faults
                .then(|| ("MIROIR_TEST_NODE_FAULTS", "true".to_owned()))
                .into_iter()
                .collect(),
            folder: self.folder.clone(),
            log: self.log.clone(),
        };
        self.process = Some(Process::start(&program, self.lifetime)?);
        Ok(())
    }

    pub(crate) async fn wait_until_healthy(&mut self) -> Result<()> {
        let client = self.client();
        wait_until(&format!("{} to answer", self.id), PATIENCE, async || {
            if let Some(process) = &mut self.process {
                process.check_alive()?;
            }
            Ok(client.get("/health").await.is_ok_and(|answer| answer.status == 200))
        })
        .await
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_until_healthy().await
    }

    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Kills it and deletes all that it holds.
    pub(crate) fn wipe(&mut self) -> Result<()> {
        self.stop();
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn pause(&self) -> Result<()> {
        self.process.as_ref().map_or(Ok(()), Process::pause)
    }

    pub(crate) fn resume(&self) -> Result<()> {
        self.process.as_ref().map_or(Ok(()), Process::resume)
    }

    pub(crate) fn leave_running(&mut self) {
        if let Some(process) = self.process.take() {
            process.leave_running();
        }
    }
}

/// One node alone: what a cluster's answers are compared with.
pub struct SingleNode {
    // Dropped in this order: the process first, then its data.
    node: Node,
    _folder: TempDir,
}

impl SingleNode {
    /// Starts a node with the master key of [`Options::default`](crate::Options::default) and waits until it answers.
    ///
    /// # Errors
    /// If it doesn't come up.
    pub async fn start() -> Result<SingleNode> {
        let folder = tempfile::tempdir()?;
        let master_key = crate::cluster::Options::default().master_key;
        let mut node = Node::new("single", ports::free_port(), folder.path(), &master_key, Lifetime::Ours);
        node.start().await?;
        Ok(SingleNode { node, _folder: folder })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        self.node.url()
    }

    /// A client with the master key.
    pub fn client(&self) -> Client {
        self.node.client()
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.node.pid()
    }
}
