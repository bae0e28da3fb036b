//! Whether Redis keeps what it has acknowledged.

use std::collections::BTreeMap;

use tracing::{info, warn};

use super::link::Link;

/// What must be set to what, and what is lost otherwise.
const WANTED: [(&str, &str, &str); 3] = [
    ("appendonly", "yes", "all that was acknowledged since Redis last saved is lost when it ends"),
    (
        "appendfsync",
        "always",
        "what was acknowledged in the last second may be lost when its machine loses its power",
    ),
    ("maxmemory-policy", "noeviction", "tasks are forgotten when its memory is full"),
];

/// Warns of a Redis that may forget. That is its operator's to decide, so it is used all the same.
pub async fn check(link: &Link) {
    let mut request = redis::pipe();
    for (key, ..) in WANTED {
        request.cmd("CONFIG").arg("GET").arg(key);
    }
    let found: [BTreeMap<String, String>; 3] = match link.ask(&request).await {
        Ok((first, second, third)) => [first, second, third],
        Err(reason) => {
            info!(%reason, "Redis does not tell how it is configured: see docs/state.md for how it should be");
            return;
        }
    };
    for ((key, wanted, loss), found) in WANTED.into_iter().zip(found) {
        if let Some(value) = found.get(key).filter(|value| *value != wanted) {
            warn!("Redis has `{key} {value}`, not `{key} {wanted}`: {loss}");
        }
    }
}
