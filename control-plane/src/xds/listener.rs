//! LDS: the listener of a standalone Envoy.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{
    AggregatedConfigSource, ApiVersion, ConfigSource, ExtensionConfigSource,
    config_source::ConfigSourceSpecifier,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route, route_action, route_match,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter,
    http_connection_manager::{RouteSpecifier, ServerHeaderTransformation},
    http_filter,
};
use envoy_types::pb::google::protobuf::Any;
use envoy_types::util::pack_any;
use prost::Name;

use super::compression;
use super::proto::{address, boolean, duration, millis, uint32, uint64};
use crate::config::{Config, StandaloneConfig};
use crate::routing::CONTROL_PLANE_CLUSTER;

const NAME: &str = "miroir";
/// What Envoy reads of a connection, or holds for it, at once, in bytes.
const CONNECTION_BUFFER_LIMIT: u32 = 1024 * 1024;
/// What of a request may be in Envoy's buffer, in bytes: any piece. The filter takes each out as it comes, and bounds what waits
/// itself; but Envoy refuses a piece that is longer than this, and it may read somewhat more at once than a connection's limit.
const REQUEST_BUFFER_LIMIT: u64 = u32::MAX as u64;

/// The listener's resource and its name.
pub fn listener(standalone: &StandaloneConfig, config: &Config) -> (String, Any) {
    let listen = standalone.listen;
    let connection_manager = Filter {
        name: "envoy.filters.network.http_connection_manager".into(),
        config_type: Some(filter::ConfigType::TypedConfig(pack_any(connection_manager(config)))),
    };
    let listener = Listener {
        name: NAME.into(),
        address: address(&listen.ip().to_string(), listen.port()),
        filter_chains: vec![FilterChain { filters: vec![connection_manager], ..Default::default() }],
        per_connection_buffer_limit_bytes: uint32(CONNECTION_BUFFER_LIMIT),
        ..Default::default()
    };
    (NAME.into(), pack_any(listener))
}

/// Paths reach the filter as the client wrote them: Meilisearch does not normalise them either.
fn connection_manager(config: &Config) -> HttpConnectionManager {
    HttpConnectionManager {
        stat_prefix: NAME.into(),
        http_filters: compression::filters().into_iter().chain([miroir_filter(), router()]).collect(),
        route_specifier: Some(RouteSpecifier::RouteConfig(routes(config))),
        use_remote_address: boolean(true),
        normalize_path: boolean(false),
        // Meilisearch sends no `server` header.
        server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
        request_headers_timeout: duration(Duration::from_secs(30)),
        stream_idle_timeout: duration(Duration::from_secs(300)),
        ..Default::default()
    }
}

fn miroir_filter() -> HttpFilter {
    let aggregated = ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    };
    HttpFilter {
        name: super::filter::NAME.into(),
        config_type: Some(http_filter::ConfigType::ConfigDiscovery(ExtensionConfigSource {
            config_source: Some(aggregated),
            type_urls: vec![Wasm::type_url()],
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn router() -> HttpFilter {
    http_filter(
        "envoy.filters.http.router",
        pack_any(Router { suppress_envoy_headers: true, ..Default::default() }),
    )
}

/// An HTTP filter with its configuration.
pub fn http_filter(name: &str, configuration: Any) -> HttpFilter {
    HttpFilter {
        name: name.into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(configuration)),
        ..Default::default()
    }
}

/// The filter answers by itself or lets pass what the control plane answers.
fn routes(config: &Config) -> RouteConfiguration {
    let everything = RouteMatch {
        path_specifier: Some(route_match::PathSpecifier::Prefix("/".into())),
        ..Default::default()
    };
    let control_plane = RouteAction {
        cluster_specifier: Some(route_action::ClusterSpecifier::Cluster(CONTROL_PLANE_CLUSTER.into())),
        timeout: millis(config.timeouts.control_plane_ms),
        ..Default::default()
    };
    RouteConfiguration {
        name: NAME.into(),
        virtual_hosts: vec![VirtualHost {
            name: NAME.into(),
            domains: vec!["*".into()],
            routes: vec![Route {
                r#match: Some(everything),
                action: Some(route::Action::Route(control_plane)),
                request_body_buffer_limit: uint64(REQUEST_BUFFER_LIMIT),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}
