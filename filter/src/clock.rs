//! The time.

use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;

/// The time since the Unix epoch.
pub fn now() -> Duration {
    let now = hostcalls::get_current_time().unwrap_or(UNIX_EPOCH);
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
