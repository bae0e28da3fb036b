//! An Envoy without Miroir before one node.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};
use miroir_harness::{Client, binaries, free_port, wait_until};

/// The process; dropping it ends it.
pub struct PassThrough {
    process: Child,
    port: u16,
}

impl PassThrough {
    /// Starts it before the node at `url` and waits until it passes requests through.
    pub async fn start(url: &str, folder: &Path) -> Result<PassThrough> {
        let port = free_port();
        let node_port = url.rsplit(':').next().context("a node without a port")?;
        let path = folder.join("pass-through.yaml");
        std::fs::write(
            &path,
            CONFIGURATION.replace("{port}", &port.to_string()).replace("{node_port}", node_port),
        )?;
        let process = Command::new(binaries::envoy()?)
            .args([
                "--config-path",
                &path.display().to_string(),
                "--disable-hot-restart",
                "--concurrency",
                "2",
            ])
            .args(["--log-level", "error"])
            .spawn()?;
        let pass_through = PassThrough { process, port };
        let client = Client::new(pass_through.url(), "");
        wait_until("the pass-through to answer", Duration::from_secs(30), async || {
            Ok(client.get("/health").await.is_ok_and(|answer| answer.status == 200))
        })
        .await?;
        Ok(pass_through)
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for PassThrough {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const CONFIGURATION: &str = r#"
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: {port}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: pass_through
                route_config:
                  virtual_hosts:
                    - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: node}}]}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
    - name: node
      load_assignment:
        cluster_name: node
        endpoints:
          - lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {node_port}}}}}]
"#;
