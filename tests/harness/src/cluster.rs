//! A whole cluster: nodes, control plane, Envoy.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binaries;
use crate::client::Client;
use crate::control_plane::ControlPlane;
use crate::envoy::{Bootstrap, CLUSTER_OF_THE_MESH, Envoy, Ways};
use crate::node::Node;
use crate::ports::{free_port, is_free};
use crate::process::Lifetime;
use crate::proxy::Way;
use crate::redis::Redis;
use crate::running::{Running, RunningProcess};

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes in all groups together.
    pub nodes: usize,
    /// Groups; the nodes are dealt out to them in turn.
    pub replica_groups: usize,
    /// Copies of a shard inside a group.
    pub replication_factor: usize,
    /// Slots of the hash space.
    pub shards: u32,
    /// The master key of all nodes, and so of the cluster.
    pub master_key: String,
    /// The key of the control plane's REST API.
    pub admin_key: String,
    /// How Envoy is set up.
    pub bootstrap: Bootstrap,
    /// How many Envoys there are. Those after the first have listeners of their own, as in an existing mesh.
    pub envoys: usize,
    /// How many control planes there are. More than one need `redis`.
    pub control_planes: usize,
    /// Keeps the state in a Redis of the cluster's own.
    pub redis: bool,
    /// Puts ways that can be cut, held up and slowed before each node and between each Envoy and the control plane.
    /// Needs to be started, and used, on a Tokio runtime that lives as long as the cluster.
    pub controlled_ways: bool,
    /// Lets the embedded nodes be asked to fail.
    pub node_faults: bool,
    /// Keys of the control plane's configuration beyond these.
    pub config: Value,
    /// The port for clients; a free one if not given.
    pub client_port: Option<u16>,
    /// The port of the control plane's REST API; a free one if not given.
    pub admin_port: Option<u16>,
    /// Where data, logs and configurations go; given, the cluster can be left running. Otherwise a temporary folder.
    pub data_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            nodes: 3,
            replica_groups: 1,
            replication_factor: 2,
            shards: 64,
            master_key: "masterKey".into(),
            admin_key: "adminKey".into(),
            bootstrap: Bootstrap::default(),
            envoys: 1,
            control_planes: 1,
            redis: false,
            controlled_ways: false,
            node_faults: false,
            config: json!({}),
            client_port: None,
            admin_port: None,
            data_dir: None,
        }
    }
}

/// A running cluster. Dropping it stops everything.
pub struct Cluster {
    // Dropped in this order: what calls before what is called, data last.
    envoys: Vec<Envoy>,
    control_planes: Vec<ControlPlane>,
    redis: Option<Redis>,
    nodes: Vec<Node>,
    folder: Folder,
    lifetime: Lifetime,
    options: Options,
}

enum Folder {
    Temporary(Option<TempDir>),
    Kept(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Folder::Temporary(folder) => folder.as_ref().map_or(Path::new("."), TempDir::path),
            Folder::Kept(path) => path,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Folder::Temporary(folder) = self
            && std::thread::panicking()
            && let Some(folder) = folder.take()
        {
            eprintln!("the cluster's logs are in {}", folder.keep().display());
        }
    }
}

impl Cluster {
    /// Starts a cluster and waits until it would answer a search.
    ///
    /// # Errors
    /// If a part is missing or doesn't come up. What was started by then is stopped.
    pub async fn start(options: Options) -> Result<Cluster> {
        let mut cluster = Cluster::lay_out(&options)?;
        for node in &mut cluster.nodes {
            node.spawn()?;
        }
        cluster.record()?;
        for node in &mut cluster.nodes {
            node.wait_until_healthy().await?;
        }
        if let Some(redis) = &mut cluster.redis {
            redis.start().await?;
        }
        for control_plane in &mut cluster.control_planes {
            control_plane.spawn()?;
            control_plane.wait_until_ready().await?;
        }
        cluster.record()?;
        for envoy in &mut cluster.envoys {
            envoy.spawn()?;
        }
        cluster.record()?;
        for index in 0..cluster.envoys.len() {
            cluster.wait_until_serving(index).await?;
        }
        Ok(cluster)
    }

    fn lay_out(options: &Options) -> Result<Cluster> {
        let (folder, lifetime) = match &options.data_dir {
            Some(path) => {
                std::fs::create_dir_all(path)?;
                (Folder::Kept(path.canonicalize()?), Lifetime::ItsOwn)
            }
            None => (Folder::Temporary(Some(tempfile::tempdir()?)), Lifetime::Ours),
        };
        let path = folder.path().to_owned();
        for port in [options.client_port, options.admin_port].into_iter().flatten() {
            ensure!(is_free(port), "port {port} is in use by another program");
        }

        let nodes: Vec<Node> =
            (0..options.nodes).map(|index| node(index, &path, options, lifetime)).collect();
        let control_plane = |index: usize| ControlPlane {
            name: if index == 0 { "control-plane".into() } else { format!("control-plane-{index}") },
            envoy_port: free_port(),
            admin_port: options.admin_port.filter(|_| index == 0).unwrap_or_else(free_port),
            master_key: options.master_key.clone(),
            admin_key: options.admin_key.clone(),
            lifetime,
            folder: path.clone(),
            process: None,
        };
        let control_planes: Vec<ControlPlane> =
            (0..options.control_planes.max(1)).map(control_plane).collect();
        let envoy = |index: usize| Envoy {
            name: if index == 0 { "envoy".into() } else { format!("envoy-{index}") },
            // The control plane serves one listener, which is the first one's.
            bootstrap: if index == 0 { options.bootstrap } else { Bootstrap::ExistingMesh },
            client_port: options.client_port.filter(|_| index == 0).unwrap_or_else(free_port),
            admin_port: free_port(),
            control_plane_ports: control_planes
                .iter()
                .map(|control_plane| control_plane.envoy_port)
                .collect(),
            first_node_port: nodes.first().map_or(0, Node::port),
            lifetime,
            folder: path.clone(),
            process: None,
            ways: options.controlled_ways.then(|| Ways::start(control_planes[0].envoy_port)),
        };
        let envoys = (0..options.envoys.max(1)).map(envoy).collect();
        let redis = options.redis.then(|| Redis::new(&path, lifetime));
        let options = options.clone();
        let cluster = Cluster { envoys, control_planes, redis, nodes, folder, lifetime, options };
        for control_plane in &cluster.control_planes {
            control_plane.configure(&cluster.configuration(control_plane)?)?;
        }
        Ok(cluster)
    }

    /// Changes the configuration of the control planes: [`Options::config`] is this from now on. They read it when they are
    /// started.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn reconfigure(&mut self, config: &Value) -> Result<()> {
        self.options.config = config.clone();
        for control_plane in &self.control_planes {
            control_plane.configure(&self.configuration(control_plane)?)?;
        }
        Ok(())
    }

    fn configuration(&self, control_plane: &ControlPlane) -> Result<Value> {
        let options = &self.options;
        let loopback = |port: u16| format!("127.0.0.1:{port}");
        let group = |index: usize| format!("group-{}", index % options.replica_groups.max(1));
        let of_the_mesh = |index: usize| {
            (index == 0 && options.bootstrap == Bootstrap::ExistingMesh).then_some(CLUSTER_OF_THE_MESH)
        };
        let node = |(index, node): (usize, &Node)| json!({ "id": node.id(), "url": node.topology_url(), "group": group(index), "cluster": of_the_mesh(index) });
        let mut config = json!({
            "shards": options.shards,
            "replication_factor": options.replication_factor,
            "replica_groups": options.replica_groups,
            "nodes": self.nodes.iter().enumerate().map(node).collect::<Vec<_>>(),
            "task_store": match &self.redis {
                Some(redis) => json!({ "backend": "redis", "url": redis.url() }),
                None => json!({ "backend": "sqlite", "path": self.folder.path().join("miroir.db") }),
            },
            "listen": {
                "envoy": loopback(control_plane.envoy_port),
                "admin": loopback(control_plane.admin_port),
            },
            "filter": { "module": binaries::filter()?, "source": "local" },
            "standalone": { "listen": loopback(self.envoys[0].client_port) },
        });
        merge(&mut config, &options.config);
        Ok(config)
    }

    /// Where clients talk to: Miroir, as if it were Meilisearch.
    pub fn client_url(&self) -> String {
        self.envoys[0].url()
    }

    /// A client of [`client_url`](Cluster::client_url) with the master key.
    pub fn client(&self) -> Client {
        self.client_of(0)
    }

    /// A client of one of the Envoys, with the master key.
    pub fn client_of(&self, envoy: usize) -> Client {
        Client::new(self.envoys[envoy].url(), &self.options.master_key)
    }

    /// The control plane's REST API.
    pub fn admin_url(&self) -> String {
        self.control_planes[0].url()
    }

    /// A client of [`admin_url`](Cluster::admin_url) with the admin key.
    pub fn admin(&self) -> Client {
        self.control_planes[0].client()
    }

    /// Envoy's own admin interface: statistics, configuration dump.
    pub fn envoy_admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.envoys[0].admin_port)
    }

    /// The port that Envoy reaches the control plane by.
    pub fn control_plane_port(&self) -> u16 {
        self.control_planes[0].envoy_port
    }

    /// Where logs, data and configurations are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves what is in [`folder`](Cluster::folder) there for good.
    pub fn keep_folder(&mut self) {
        if let Folder::Temporary(folder) = &mut self.folder
            && let Some(folder) = folder.take()
        {
            self.folder = Folder::Kept(folder.keep());
        }
    }

    /// The nodes, those that were started first in the order of the topology.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// Kills a node. Nothing happens if it is down.
    pub fn stop_node(&mut self, index: usize) {
        self.nodes[index].stop();
    }

    /// Starts a node that was stopped, with the data that it had, and waits until it answers.
    ///
    /// # Errors
    /// If it doesn't come up.
    pub async fn start_node(&mut self, index: usize) -> Result<()> {
        self.nodes[index].start().await
    }

    /// Starts one more node and waits until it answers. The control plane is not told of it.
    ///
    /// # Errors
    /// If it doesn't come up.
    pub async fn spawn_node(&mut self) -> Result<usize> {
        let index = self.nodes.len();
        self.nodes.push(node(index, self.folder.path(), &self.options, self.lifetime));
        self.nodes[index].start().await?;
        self.record()?;
        Ok(index)
    }

    /// Kills a node and deletes its data: started again it is empty.
    ///
    /// # Errors
    /// If the data can't be deleted.
    pub fn wipe_node(&mut self, index: usize) -> Result<()> {
        self.nodes[index].wipe()
    }

    /// Stops a node in its tracks: connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// If it is gone.
    pub fn pause_node(&self, index: usize) -> Result<()> {
        self.nodes[index].pause()
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// If it is gone.
    pub fn resume_node(&self, index: usize) -> Result<()> {
        self.nodes[index].resume()
    }

    /// One of several control planes.
    pub fn control_plane(&mut self, index: usize) -> &mut ControlPlane {
        &mut self.control_planes[index]
    }

    /// The cluster's Redis, if it has one.
    pub fn redis(&mut self) -> Option<&mut Redis> {
        self.redis.as_mut()
    }

    /// Kills the control plane. Nothing happens if it is down.
    pub fn stop_control_plane(&mut self) {
        self.control_planes[0].stop();
    }

    /// Starts the control plane with the store that it had, without waiting until it is ready.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn spawn_control_plane(&mut self) -> Result<()> {
        self.control_planes[0].spawn()
    }

    /// Starts the control plane with the store that it had, and waits until it is ready.
    ///
    /// # Errors
    /// If it doesn't come up.
    pub async fn start_control_plane(&mut self) -> Result<()> {
        self.control_planes[0].spawn()?;
        self.control_planes[0].wait_until_ready().await
    }

    /// Kills Envoy and starts it again, and waits until it would answer a search.
    ///
    /// # Errors
    /// If it doesn't come up.
    pub async fn restart_envoy(&mut self) -> Result<()> {
        self.stop_envoy();
        self.start_envoy().await
    }

    /// Kills the first Envoy. Nothing happens if it is down.
    pub fn stop_envoy(&mut self) {
        self.stop_envoy_at(0);
    }

    /// Kills an Envoy. Nothing happens if it is down.
    pub fn stop_envoy_at(&mut self, envoy: usize) {
        self.envoys[envoy].stop();
    }

    /// Starts the first Envoy, and waits until it would answer a search.
    ///
    /// # Errors
    /// If it doesn't come up.
    pub async fn start_envoy(&mut self) -> Result<()> {
        self.start_envoy_at(0).await
    }

    /// Starts an Envoy, and waits until it would answer a search.
    ///
    /// # Errors
    /// If it doesn't come up.
    pub async fn start_envoy_at(&mut self, envoy: usize) -> Result<()> {
        self.envoys[envoy].spawn()?;
        self.wait_until_serving(envoy).await
    }

    /// Changes the way from an Envoy to the control plane. Nothing happens without
    /// [`controlled_ways`](Options::controlled_ways).
    pub fn set_way_of_envoy(&self, envoy: usize, way: Way) {
        self.set_way_of_xds(envoy, way);
        self.envoys[envoy].ways.iter().for_each(|ways| ways.rest.set(way));
    }

    /// Changes the way by which an Envoy gets its configuration, and no other. Nothing happens without
    /// [`controlled_ways`](Options::controlled_ways).
    pub fn set_way_of_xds(&self, envoy: usize, way: Way) {
        self.envoys[envoy].ways.iter().for_each(|ways| ways.xds.set(way));
    }

    /// How many Envoys there are.
    pub fn envoys(&self) -> usize {
        self.envoys.len()
    }

    /// The process id of the first Envoy, while it runs.
    pub fn envoy_pid(&self) -> Option<u32> {
        self.envoys[0].pid()
    }

    /// Lets all of it run on after this program.
    ///
    /// # Errors
    /// If it was not started with a [`data_dir`](Options::data_dir): it would lose its data.
    pub fn leave_running(mut self) -> Result<Running> {
        ensure!(
            matches!(self.folder, Folder::Kept(_)),
            "a cluster in a temporary folder can't be left running"
        );
        let running = self.running();
        self.envoys.iter_mut().for_each(Envoy::leave_running);
        self.control_planes.iter_mut().for_each(ControlPlane::leave_running);
        if let Some(redis) = &mut self.redis {
            redis.leave_running();
        }
        self.nodes.iter_mut().for_each(Node::leave_running);
        Ok(running)
    }

    async fn wait_until_serving(&mut self, envoy: usize) -> Result<()> {
        let client = self.client_of(envoy);
        self.envoys[envoy].wait_until_serving(&client).await
    }

    /// Writes down what runs, so that it can be stopped even if this program is killed.
    fn record(&self) -> Result<()> {
        if let Folder::Kept(path) = &self.folder {
            self.running().save(path)?;
        }
        Ok(())
    }

    fn running(&self) -> Running {
        let nodes = self.nodes.iter().map(|node| (node.id(), node.pid(), node.port()));
        let envoys = self.envoys.iter().map(|envoy| (&*envoy.name, envoy.pid(), envoy.client_port));
        let control_plane = &self.control_planes[0];
        let control_plane = ("control-plane", control_plane.pid(), control_plane.admin_port);
        let process = |(name, pid, port)| RunningProcess::new(name, pid?, port);
        Running {
            client_url: self.client_url(),
            admin_url: self.admin_url(),
            envoy_admin_url: self.envoy_admin_url(),
            processes: nodes.chain([control_plane]).chain(envoys).filter_map(process).collect(),
        }
    }
}

fn node(index: usize, folder: &Path, options: &Options, lifetime: Lifetime) -> Node {
    let mut node = Node::new(&format!("node-{index}"), free_port(), folder, &options.master_key, lifetime);
    if options.controlled_ways {
        node.go_through(free_port());
    }
    if options.node_faults {
        node.take_faults();
    }
    node
}

/// Puts `changes` over `config`, mapping by mapping.
fn merge(config: &mut Value, changes: &Value) {
    match (config, changes) {
        (Value::Object(config), Value::Object(changes)) => {
            for (key, change) in changes {
                merge(config.entry(key).or_insert(Value::Null), change);
            }
        }
        (config, changes) => *config = changes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_go_over_the_configuration_key_by_key() {
        let mut config = json!({ "shards": 64, "listen": { "envoy": "a", "admin": "b" } });
        merge(&mut config, &json!({ "shards": 8, "listen": { "admin": "c" }, "write_quorum": 1 }));
        let expected = json!({ "shards": 8, "listen": { "envoy": "a", "admin": "c" }, "write_quorum": 1 });
        assert_eq!(config, expected);
    }
}
