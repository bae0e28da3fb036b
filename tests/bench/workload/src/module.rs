//! The work as a filter for Envoy: it does what the path of a request says, and answers how many nanoseconds each run took.

use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

use crate::{Job, times};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_http_context(|_, _| -> Box<dyn HttpContext> { Box::new(Timer) });
}}

struct Timer;

impl Context for Timer {}

impl HttpContext for Timer {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let nanoseconds = Job::at(&path).map(|job| times(job, now)).unwrap_or_default();
        self.send_http_response(200, vec![], Some(format!("{nanoseconds:?}").as_bytes()));
        Action::Pause
    }
}

/// The clock of the host: Wasm has none.
fn now() -> Duration {
    let now = hostcalls::get_current_time().expect("the time");
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
