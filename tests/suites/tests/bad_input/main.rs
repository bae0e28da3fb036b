//! What is wrong is refused as one node would refuse it, nothing is written, and nothing stops Envoy.

mod auth;
mod case;
mod codes;
mod cors;
mod documents;
mod garbage;
mod routes;
mod searches;

use miroir_harness::Options;
use miroir_suites::pair::SharedPair;
use serde_json::json;

/// The largest body, small enough to be outgrown.
const BODY_LIMIT: usize = 256 * 1024;

static PAIR: SharedPair =
    SharedPair::new(|| Options { config: json!({ "body_limit": BODY_LIMIT }), ..Options::default() });
