//! ECDS: the filter with the routing table as its configuration.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::{
    AsyncDataSource, DataSource, HttpUri, RemoteDataSource, TypedExtensionConfig, async_data_source,
    data_source, http_uri,
};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::{FailurePolicy, PluginConfig, VmConfig, plugin_config};
use envoy_types::pb::google::protobuf::{Any, BoolValue, StringValue};
use envoy_types::util::pack_any;
use miroir_core::table::RoutingTable;
use prost::Message;
use sha2::{Digest, Sha256};

use super::proto::duration;
use crate::config::{FilterConfig, FilterSource};
use crate::routing::CONTROL_PLANE_CLUSTER;

/// The name of the filter: of its ECDS resource, its VM and its root context.
pub const NAME: &str = "miroir";
/// Where Envoy fetches the Wasm module from us.
pub const MODULE_PATH: &str = "/_miroir/filter.wasm";

/// Where Envoy finds the Wasm module.
#[derive(Clone, Debug)]
pub enum Module {
    /// On its own disk.
    Local(PathBuf),
    /// On our port.
    Remote {
        /// The module itself.
        code: Bytes,
        /// Its SHA-256, as hexadecimal digits.
        sha256: String,
    },
}

impl Module {
    /// Reads the module if it is ours to serve.
    ///
    /// # Errors
    /// If its file can't be read.
    pub fn open(config: &FilterConfig) -> std::io::Result<Module> {
        if config.source == FilterSource::Local {
            return Ok(Module::Local(config.module.clone()));
        }
        let code = Bytes::from(std::fs::read(&config.module)?);
        let sha256 = hex::encode(Sha256::digest(&code));
        Ok(Module::Remote { code, sha256 })
    }

    fn data_source(&self) -> AsyncDataSource {
        let specifier = match self {
            Module::Local(path) => async_data_source::Specifier::Local(DataSource {
                specifier: Some(data_source::Specifier::Filename(path.to_string_lossy().into_owned())),
                ..Default::default()
            }),
            Module::Remote { sha256, .. } => async_data_source::Specifier::Remote(RemoteDataSource {
                http_uri: Some(HttpUri {
                    uri: format!("http://{CONTROL_PLANE_CLUSTER}{MODULE_PATH}"),
                    timeout: duration(Duration::from_secs(30)),
                    http_upstream_type: Some(http_uri::HttpUpstreamType::Cluster(
                        CONTROL_PLANE_CLUSTER.into(),
                    )),
                }),
                sha256: sha256.clone(),
                retry_policy: None,
            }),
        };
        AsyncDataSource { specifier: Some(specifier) }
    }
}

/// The filter's resource and its name.
pub fn filter(module: &Module, table: &RoutingTable) -> (String, Any) {
    // A table is strings and numbers: it always has a JSON form.
    let table = serde_json::to_string(table).unwrap_or_default();
    let plugin = PluginConfig {
        name: NAME.into(),
        root_id: NAME.into(),
        // Envoy hands a `StringValue` to `proxy_on_configure` without its wrapper.
        configuration: Some(pack_any(StringValue { value: table })),
        failure_policy: FailurePolicy::FailReload.into(),
        // A filter that pauses at the headers still gets the body.
        allow_on_headers_stop_iteration: Some(BoolValue { value: true }),
        vm: Some(plugin_config::Vm::VmConfig(VmConfig {
            vm_id: NAME.into(),
            runtime: "envoy.wasm.runtime.v8".into(),
            code: Some(module.data_source()),
            ..Default::default()
        })),
        ..Default::default()
    };
    let extension = TypedExtensionConfig {
        name: NAME.into(),
        typed_config: Some(pack_any(Wasm { config: Some(plugin) })),
    };
    let body = Any { type_url: super::Kind::Filter.type_url().into(), value: extension.encode_to_vec() };
    (NAME.into(), body)
}
