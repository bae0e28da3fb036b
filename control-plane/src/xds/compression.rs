//! Meilisearch takes compressed requests and compresses its answers; here Envoy does both, so that the filter sees
//! plain bodies. Requests in gzip and deflate the filter decodes by itself: Envoy knows no deflate, and takes gzip that
//! is cut for whole.

use envoy_types::pb::envoy::config::core::v3::{RuntimeFeatureFlag, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::compression::{brotli, gzip, zstd};
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::Compressor;
use envoy_types::pb::envoy::extensions::filters::http::decompressor::v3::{Decompressor, decompressor};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::util::pack_any;

use super::listener::http_filter;
use super::proto::boolean;

/// The HTTP filters to put before Miroir's.
pub fn filters() -> Vec<HttpFilter> {
    vec![
        decompressor("brotli", pack_any(brotli::decompressor::v3::Brotli::default())),
        decompressor("zstd", pack_any(zstd::decompressor::v3::Zstd::default())),
        compressor("gzip", pack_any(gzip::compressor::v3::Gzip::default())),
        compressor("brotli", pack_any(brotli::compressor::v3::Brotli::default())),
        compressor("zstd", pack_any(zstd::compressor::v3::Zstd::default())),
    ]
}

/// Of requests; nothing is decompressed for the client.
fn decompressor(algorithm: &str, library: Any) -> HttpFilter {
    let off = RuntimeFeatureFlag {
        default_value: boolean(false),
        runtime_key: "miroir.decompress_responses".into(),
    };
    let decompressor = Decompressor {
        decompressor_library: Some(TypedExtensionConfig {
            name: algorithm.into(),
            typed_config: Some(library),
        }),
        request_direction_config: Some(decompressor::RequestDirectionConfig {
            advertise_accept_encoding: boolean(false),
            ..Default::default()
        }),
        response_direction_config: Some(decompressor::ResponseDirectionConfig {
            common_config: Some(decompressor::CommonDirectionConfig {
                enabled: Some(off),
                ..Default::default()
            }),
        }),
    };
    http_filter(&format!("decompress-{algorithm}"), pack_any(decompressor))
}

/// Of responses.
fn compressor(algorithm: &str, library: Any) -> HttpFilter {
    let compressor = Compressor {
        compressor_library: Some(TypedExtensionConfig {
            name: algorithm.into(),
            typed_config: Some(library),
        }),
        ..Default::default()
    };
    http_filter(&format!("compress-{algorithm}"), pack_any(compressor))
}
