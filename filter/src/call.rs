//! Calls to upstream clusters, and their answers.

use log::warn;
use miroir_core::exchange::{Answer, Call};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Bytes, MapType};

/// Has Envoy make a call on behalf of the current context; the host's token for it, or `None` if Envoy won't.
pub fn dispatch(call: &Call) -> Option<u32> {
    let mut headers =
        vec![(":method", &*call.method), (":path", &*call.target), (":authority", &*call.authority)];
    headers.extend(call.headers.iter().map(|(name, value)| (&**name, &**value)));
    let body = Some(&*call.body).filter(|body| !body.is_empty());
    hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), call.timeout)
        .inspect_err(|status| warn!("Envoy refused a call to cluster {}: {status:?}", call.cluster))
        .ok()
}

/// The answer that has come. `None` if none did: without headers the call was refused, reset or timed out.
pub fn answer(num_headers: usize, body_size: usize) -> Option<Answer> {
    if num_headers == 0 {
        return None;
    }
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

/// Header values are bytes to HTTP; what is no UTF-8 matters to none of ours.
pub fn text(value: Bytes) -> String {
    String::from_utf8(value).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
