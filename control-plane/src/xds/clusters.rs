//! CDS: one cluster per node that the mesh has none for.

use std::collections::HashMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, DnsLookupFamily,
};
use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster, OutlierDetection, UpstreamConnectionOptions,
};
use envoy_types::pb::envoy::config::core::v3::health_check::{HealthChecker, HttpHealthCheck};
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, HealthCheck, Http1ProtocolOptions, HttpProtocolOptions, TcpKeepalive, TransportSocket,
    data_source, transport_socket,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SubjectAltNameMatcher, UpstreamTlsContext,
    common_tls_context, subject_alt_name_matcher::SanType,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3 as upstream_http;
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use envoy_types::pb::google::protobuf::Any;
use envoy_types::util::pack_any;
use prost::Name;
use url::{Host, Url};

use super::proto::{address, boolean, duration, millis, percent, uint32};
use crate::config::HealthConfig;
use crate::routing;
use crate::store::NodeRecord;

/// How many connections, and requests, Envoy may have open to a node: a bound against runaways, not a limit that
/// traffic should meet. Meilisearch itself says when it has too many searches.
const MAX_CONCURRENT: u32 = 16_384;
/// Where Debian, Ubuntu, Alpine and Envoy's own images keep the certificates of the public authorities.
const CERTIFICATE_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The node's cluster and its name; `None` for a URL that is none, which no checked configuration has.
pub fn cluster(node: &NodeRecord, health: &HealthConfig) -> Option<(String, Any)> {
    let url = Url::parse(&node.url).ok()?;
    let (host, port) = (url.host()?, url.port_or_known_default()?);
    let name = routing::cluster_name(node);
    let (discovery, host_text) = match &host {
        Host::Domain(domain) => (DiscoveryType::StrictDns, (*domain).to_owned()),
        Host::Ipv4(ip) => (DiscoveryType::Static, ip.to_string()),
        Host::Ipv6(ip) => (DiscoveryType::Static, ip.to_string()),
    };
    let tls = url.scheme() == "https";
    let cluster = Cluster {
        name: name.clone(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery.into())),
        // `localhost` is often both, and servers often listen on IPv4 alone.
        dns_lookup_family: DnsLookupFamily::V4Preferred.into(),
        connect_timeout: duration(Duration::from_secs(2)),
        load_assignment: Some(load_assignment(&name, &host_text, port)),
        health_checks: vec![health_check(health, routing::authority(&node.url))],
        outlier_detection: Some(outlier_detection()),
        // A node that is down is down: no request goes to it in the hope that the check is wrong.
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: percent(0.0),
            // Workers hear at once that it is down or back, not after a second.
            update_merge_window: duration(Duration::ZERO),
            ..Default::default()
        }),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                max_connections: uint32(MAX_CONCURRENT),
                max_pending_requests: uint32(MAX_CONCURRENT),
                max_requests: uint32(MAX_CONCURRENT),
                ..Default::default()
            }],
            ..Default::default()
        }),
        typed_extension_protocol_options: HashMap::from([(
            upstream_http::HttpProtocolOptions::full_name(),
            pack_any(http_options()),
        )]),
        upstream_connection_options: Some(UpstreamConnectionOptions {
            tcp_keepalive: Some(TcpKeepalive {
                keepalive_time: uint32(30),
                keepalive_interval: uint32(5),
                keepalive_probes: uint32(3),
            }),
            ..Default::default()
        }),
        transport_socket: tls.then(|| tls_socket(&host, &host_text)),
        ..Default::default()
    };
    Some((name, pack_any(cluster)))
}

fn load_assignment(name: &str, host: &str, port: u16) -> ClusterLoadAssignment {
    let endpoint = Endpoint { address: address(host, port), ..Default::default() };
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![LbEndpoint {
                host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(endpoint)),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn health_check(health: &HealthConfig, host: String) -> HealthCheck {
    HealthCheck {
        timeout: millis(health.timeout_ms),
        interval: millis(health.interval_ms),
        // Else a cluster without traffic is checked once a minute.
        no_traffic_interval: millis(health.interval_ms),
        healthy_threshold: uint32(health.healthy_threshold),
        unhealthy_threshold: uint32(health.unhealthy_threshold),
        health_checker: Some(HealthChecker::HttpHealthCheck(HttpHealthCheck {
            host,
            path: "/health".into(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// Takes a node out that can't be reached or is no gateway to itself (502, 503, 504), between two health checks. A
/// 500 is the fault of one request, not a reason to stop asking the node.
fn outlier_detection() -> OutlierDetection {
    OutlierDetection {
        interval: duration(Duration::from_secs(1)),
        base_ejection_time: duration(Duration::from_secs(2)),
        max_ejection_time: duration(Duration::from_secs(10)),
        // The cluster's only endpoint is all of it.
        max_ejection_percent: uint32(100),
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: uint32(5),
        enforcing_consecutive_local_origin_failure: uint32(100),
        consecutive_gateway_failure: uint32(5),
        enforcing_consecutive_gateway_failure: uint32(100),
        enforcing_consecutive_5xx: uint32(0),
        enforcing_success_rate: uint32(0),
        enforcing_local_origin_success_rate: uint32(0),
        successful_active_health_check_uneject_host: boolean(true),
        ..Default::default()
    }
}

fn http_options() -> upstream_http::HttpProtocolOptions {
    use upstream_http::http_protocol_options::{
        ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
    };
    upstream_http::HttpProtocolOptions {
        common_http_protocol_options: Some(HttpProtocolOptions {
            idle_timeout: duration(Duration::from_secs(60)),
            ..Default::default()
        }),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default())),
        })),
        ..Default::default()
    }
}

/// TLS to `host`, whose certificate must be for it and from a public authority. What needs other trust is a cluster
/// of the mesh's own, named by the node's `cluster`.
fn tls_socket(host: &Host<&str>, host_text: &str) -> TransportSocket {
    let (sni, san_type) = match host {
        Host::Domain(domain) => ((*domain).to_owned(), SanType::Dns),
        Host::Ipv4(_) | Host::Ipv6(_) => (String::new(), SanType::IpAddress),
    };
    let same_name = SubjectAltNameMatcher {
        san_type: san_type.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(host_text.to_owned())),
            ..Default::default()
        }),
        ..Default::default()
    };
    let validation = CertificateValidationContext {
        trusted_ca: Some(DataSource {
            specifier: Some(data_source::Specifier::Filename(CERTIFICATE_AUTHORITIES.into())),
            ..Default::default()
        }),
        match_typed_subject_alt_names: vec![same_name],
        ..Default::default()
    };
    let context = UpstreamTlsContext {
        sni,
        common_tls_context: Some(CommonTlsContext {
            validation_context_type: Some(common_tls_context::ValidationContextType::ValidationContext(
                validation,
            )),
            ..Default::default()
        }),
        ..Default::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(pack_any(context))),
    }
}
