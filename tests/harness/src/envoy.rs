//! Envoy as a process.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::binaries;
use crate::client::Client;
use crate::ports::free_port;
use crate::process::{Lifetime, Process, Program};
use crate::proxy::Proxy;
use crate::wait::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Which of the bootstraps in `envoy/` it is started with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bootstrap {
    /// `standalone.yaml`: everything comes from the control plane.
    #[default]
    Standalone,
    /// `existing-mesh.yaml`: a listener and clusters of its own; the filter comes from the control plane.
    ExistingMesh,
}

/// The cluster that an existing mesh has for the first node.
pub(crate) const CLUSTER_OF_THE_MESH: &str = "meilisearch-of-the-mesh";

/// The cluster by which the control plane is reached for xDS alone.
const XDS_CLUSTER: &str = "miroir-xds";

/// Ways to the control plane.
pub(crate) struct Ways {
    /// For xDS.
    pub xds: Proxy,
    /// For all else.
    pub rest: Proxy,
}

impl Ways {
    pub fn start(target: u16) -> Ways {
        let start = || Proxy::start(free_port(), target);
        Ways { xds: start(), rest: start() }
    }
}

/// Envoy, running or not. It keeps its ports while it is down.
pub struct Envoy {
    /// Its name in messages, and of its files.
    pub(crate) name: String,
    pub(crate) bootstrap: Bootstrap,
    pub(crate) client_port: u16,
    pub(crate) admin_port: u16,
    pub(crate) control_plane_ports: Vec<u16>,
    /// Where a mesh that has a cluster for the first node finds it.
    pub(crate) first_node_port: u16,
    pub(crate) lifetime: Lifetime,
    pub(crate) folder: PathBuf,
    pub(crate) process: Option<Process>,
    /// What it reaches the control plane by, if not directly.
    pub(crate) ways: Option<Ways>,
}

impl Envoy {
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub fn spawn(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let path = self.folder.join(format!("{}.yaml", self.name));
        std::fs::write(&path, self.configuration()?)?;
        let arguments =
            ["--config-path", &path.display().to_string(), "--disable-hot-restart", "--concurrency", "2"];
        let program = Program {
            name: self.name.clone(),
            path: binaries::envoy()?,
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: Vec::new(),
            folder: self.folder.clone(),
            log: self.folder.join(format!("{}.log", self.name)),
        };
        self.process = Some(Process::start(&program, self.lifetime)?);
        Ok(())
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    /// The bootstrap, as it is but for the addresses.
    fn configuration(&self) -> Result<String> {
        let name = match self.bootstrap {
            Bootstrap::Standalone => "standalone.yaml",
            Bootstrap::ExistingMesh => "existing-mesh.yaml",
        };
        let path = binaries::workspace().join("envoy").join(name);
        let mut text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;

        let control_planes = match &self.ways {
            Some(ways) => vec![ways.rest.port()],
            None => self.control_plane_ports.clone(),
        };
        let control_planes =
            control_planes.iter().map(|port| format!("address: 127.0.0.1, port_value: {port}"));
        let one_more = " }\n        - endpoint:\n            address:\n              socket_address: { ";
        let admin = self.admin_port;
        let mut addresses = vec![
            ("address: control-plane, port_value: 18000", control_planes.collect::<Vec<_>>().join(one_more)),
            ("address: 127.0.0.1, port_value: 9901", format!("address: 127.0.0.1, port_value: {admin}")),
        ];
        if self.bootstrap == Bootstrap::ExistingMesh {
            let (client, node) = (self.client_port, self.first_node_port);
            addresses.extend([
                ("address: 0.0.0.0, port_value: 10000", format!("address: 127.0.0.1, port_value: {client}")),
                ("address: meilisearch, port_value: 7700", format!("address: 127.0.0.1, port_value: {node}")),
            ]);
        }
        for (written, ours) in addresses {
            ensure!(text.contains(written), "{} has no `{written}`", path.display());
            text = text.replace(written, &ours);
        }
        match &self.ways {
            Some(ways) => with_xds_apart(&text, ways.xds.port()),
            None => Ok(text),
        }
    }

    /// Waits until a search would be answered: until one of an index that is not there is told so.
    pub async fn wait_until_serving(&mut self, client: &Client) -> Result<()> {
        wait_until("Envoy to answer a search", PATIENCE, async || {
            if let Some(process) = &mut self.process {
                process.check_alive()?;
            }
            let answer = client.post("/indexes/miroir-is-it-up/search", &json!({})).await;
            Ok(answer
                .is_ok_and(|answer| answer.status == 200 || answer.code() == Some("index_not_found".into())))
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

/// A bootstrap that reaches the control plane by a port of its own for xDS.
fn with_xds_apart(bootstrap: &str, port: u16) -> Result<String> {
    let mut bootstrap: Value = serde_saphyr::from_str(bootstrap)?;
    let grpc = &mut bootstrap["dynamic_resources"]["ads_config"]["grpc_services"][0]["envoy_grpc"];
    let name = std::mem::replace(&mut grpc["cluster_name"], XDS_CLUSTER.into());
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
    let mut cluster =
        clusters.iter().find(|cluster| cluster["name"] == name).context("no cluster for xDS")?.clone();
    cluster["name"] = XDS_CLUSTER.into();
    cluster["load_assignment"] = json!({
        "cluster_name": XDS_CLUSTER,
        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": {
            "socket_address": { "address": "127.0.0.1", "port_value": port }
        } } }] }],
    });
    clusters.push(cluster);
    Ok(bootstrap.to_string())
}
