//! The command line: Meilisearch's own flags and environment variables, as far as this node needs them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// A small Meilisearch-compatible node around `milli`, for demonstrations and tests.
#[derive(Debug, Clone, Parser)]
#[command(name = "miroir-test-node", version)]
pub struct Cli {
    /// Where to listen. Port 0 lets the system choose.
    #[arg(long, env = "MEILI_HTTP_ADDR", default_value = "127.0.0.1:7700")]
    pub http_addr: SocketAddr,

    /// The folder that holds the indexes and the task queue.
    #[arg(long, env = "MEILI_DB_PATH", default_value = "data.ms")]
    pub db_path: PathBuf,

    /// The key that every request must then carry.
    #[arg(long, env = "MEILI_MASTER_KEY")]
    pub master_key: Option<String>,

    /// Taken for compatibility: this node behaves the same in both.
    #[arg(long, env = "MEILI_ENV", default_value = "development", value_parser = ["development", "production"])]
    pub env: String,

    /// Taken for compatibility: this node has no analytics.
    #[arg(long, env = "MEILI_NO_ANALYTICS")]
    pub no_analytics: bool,

    /// How many threads index documents. Half of the processors by default.
    #[arg(long, env = "MEILI_MAX_INDEXING_THREADS")]
    pub max_indexing_threads: Option<usize>,

    /// The largest payload that is accepted, in bytes.
    #[arg(long, env = "MEILI_HTTP_PAYLOAD_SIZE_LIMIT", default_value_t = 100 * 1000 * 1000)]
    pub http_payload_size_limit: usize,

    /// For tests: takes orders to fail, at `/test-faults`.
    #[arg(long, env = "MIROIR_TEST_NODE_FAULTS", hide = true)]
    pub faults: bool,
}
