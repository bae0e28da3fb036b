//! Calls to upstream clusters, and their answers.

use std::cell::Cell;
use std::time::Duration;

use log::warn;
use miroir_core::exchange::{Answer, Call};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Bytes, MapType};

use crate::clock::now;

/// How much later than its timeout a call may be answered.
const LATENESS: Duration = Duration::from_secs(1);

/// Makes the calls of a root context and of its streams, all in the name of the root. Those of a stream Envoy would cancel when it
/// ends, and would not tell of it: then the SDK keeps what it knows of the call for ever, and panics when Envoy uses the call's
/// token again (after 2^30 calls, as it counts them).
#[derive(Debug)]
pub struct Caller {
    root: u32,
    /// When all calls are over.
    over: Cell<Duration>,
}

impl Caller {
    /// In the name of the root context with this id.
    pub fn new(root: u32) -> Caller {
        Caller { root, over: Cell::default() }
    }

    /// Has Envoy make a call; the host's token for it, or `None` if Envoy won't. The root is the effective context then.
    pub fn call(&self, call: &Call, now: Duration) -> Option<u32> {
        hostcalls::set_effective_context(self.root).ok()?;
        let mut headers =
            vec![(":method", &*call.method), (":path", &*call.target), (":authority", &*call.authority)];
        headers.extend(call.headers.iter().map(|(name, value)| (&**name, &**value)));
        let body = Some(&*call.body).filter(|body| !body.is_empty());
        let token = hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), call.timeout)
            .inspect_err(|status| warn!("Envoy refused a call to cluster {}: {status:?}", call.cluster))
            .ok()?;
        let over = now.saturating_add(call.timeout).saturating_add(LATENESS);
        self.over.set(self.over.get().max(over));
        Some(token)
    }

    /// The answer that has come. `None` if none did: without headers the call was refused, reset or timed out. The root is the
    /// effective context then.
    pub fn answer(&self, num_headers: usize, body_size: usize) -> Option<Answer> {
        if num_headers == 0 {
            return None;
        }
        hostcalls::set_effective_context(self.root).ok()?;
        let headers = hostcalls::get_map_bytes(MapType::HttpCallResponseHeaders).unwrap_or_default();
        let mut answer = Answer::default();
        for (name, value) in headers {
            let value = text(value);
            match &*name {
                ":status" => answer.status = value.parse().unwrap_or(0),
                name if name.starts_with(':') => {}
                _ => answer.headers.push((name, value)),
            }
        }
        let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size);
        answer.body = body.ok().flatten().unwrap_or_default();
        Some(answer)
    }

    /// Whether no answer is to come any more.
    pub fn is_done(&self) -> bool {
        now() >= self.over.get()
    }
}

/// Header values are bytes to HTTP; what is no UTF-8 matters to none of ours.
pub fn text(value: Bytes) -> String {
    String::from_utf8(value).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
