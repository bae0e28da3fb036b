//! An Envoy without Miroir.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use miroir_harness::{Client, Lifetime, Options, Process, Program, binaries, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

/// The process; dropping it ends it.
pub struct PlainEnvoy {
    process: Process,
    port: u16,
}

impl PlainEnvoy {
    /// One that passes requests through to the node at `url`.
    pub async fn before(url: &str, folder: &Path) -> Result<PlainEnvoy> {
        let port = url.rsplit(':').next().context("a node without a port")?;
        PlainEnvoy::start(&CONFIGURATION.replace("{filters}", "").replace("{node_port}", port), folder).await
    }

    /// One that answers all requests by a Wasm module.
    pub async fn with_module(module: &Path, folder: &Path) -> Result<PlainEnvoy> {
        let filter = WASM.replace("{module}", &module.display().to_string());
        PlainEnvoy::start(&CONFIGURATION.replace("{filters}", &filter).replace("{node_port}", "1"), folder)
            .await
    }

    async fn start(configuration: &str, folder: &Path) -> Result<PlainEnvoy> {
        let port = free_port();
        let path = folder.join(format!("plain-envoy-{port}.yaml"));
        std::fs::write(&path, configuration.replace("{port}", &port.to_string()))?;
        let path = path.display().to_string();
        let arguments = ["--config-path", &path, "--disable-hot-restart", "--concurrency", "2"];
        let program = Program {
            name: "plain-envoy".into(),
            path: binaries::envoy()?,
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: Vec::new(),
            folder: folder.to_owned(),
            log: folder.join("plain-envoy.log"),
        };
        let mut envoy = PlainEnvoy { process: Process::start(&program, Lifetime::Ours)?, port };
        let client = envoy.client();
        wait_until("the plain Envoy to answer", PATIENCE, async || {
            envoy.process.check_alive()?;
            Ok(client.get("/health").await.is_ok_and(|answer| answer.status == 200))
        })
        .await?;
        Ok(envoy)
    }

    /// A client of it with the nodes' master key.
    pub fn client(&self) -> Client {
        Client::new(format!("http://127.0.0.1:{}", self.port), &Options::default().master_key)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

const WASM: &str = r#"
                  - name: workload
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
                      config: {vm_config: {runtime: envoy.wasm.runtime.v8, code: {local: {filename: "{module}"}}}}"#;

const CONFIGURATION: &str = r#"
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: {port}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: plain
                route_config:
                  virtual_hosts:
                    - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: node, timeout: 0s}}]}
                http_filters:{filters}
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
    - name: node
      load_assignment:
        cluster_name: node
        endpoints:
          - lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {node_port}}}}}]
"#;
