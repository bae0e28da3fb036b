//! One client request: Envoy's callbacks in, host calls out.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use log::warn;
use miroir_core::cors;
use miroir_core::exchange::{Answer, Call, CallId, Exchange, Reply, RequestHead, Step};
use miroir_core::router::{self, Destination, Kind};
use miroir_core::routing::Routing;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, Bytes};

use crate::metrics::Metrics;

/// A request on its way.
pub struct Stream {
    routing: Arc<Routing>,
    metrics: Rc<Metrics>,
    kind: Kind,
    /// `None` before the head came, and after the answer went out.
    exchange: Option<Box<dyn Exchange>>,
    /// Headers that the answer gets whatever it is.
    reply_headers: Vec<(String, String)>,
    /// The host's token of each call that is under way.
    calls: HashMap<u32, CallId>,
}

impl Stream {
    /// A request of which nothing was seen yet.
    pub fn new(routing: Arc<Routing>, metrics: Rc<Metrics>) -> Stream {
        Stream {
            routing,
            metrics,
            kind: Kind::Control,
            exchange: None,
            reply_headers: Vec::new(),
            calls: HashMap::new(),
        }
    }

    fn head(&self) -> RequestHead {
        let mut head = RequestHead::default();
        for (name, value) in self.get_http_request_headers_bytes() {
            let value = text(value);
            match &*name {
                ":method" => head.method = value,
                ":path" => head.target = value,
                name if name.starts_with(':') => {}
                _ => head.headers.push((name, value)),
            }
        }
        head
    }

    fn take_body(&mut self, piece: &[u8], end: bool) {
        if let Some(exchange) = &mut self.exchange {
            let step = exchange.body(piece, end);
            self.perform(step);
        }
    }

    fn perform(&mut self, step: Step) {
        let mut steps = VecDeque::from([step]);
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Wait => {}
                Step::Reply(reply) => return self.reply(reply),
                Step::Call(calls) => {
                    for (id, call) in calls {
                        // A call that Envoy won't make is one that got no answer.
                        if !self.dispatch(id, &call)
                            && let Some(exchange) = &mut self.exchange
                        {
                            steps.push_back(exchange.answered(id, None));
                        }
                    }
                }
            }
        }
    }

    fn dispatch(&mut self, id: CallId, call: &Call) -> bool {
        let mut headers =
            vec![(":method", &*call.method), (":path", &*call.target), (":authority", &*call.authority)];
        headers.extend(call.headers.iter().map(|(name, value)| (&**name, &**value)));
        let body = Some(&*call.body).filter(|body| !body.is_empty());
        match self.dispatch_http_call(&call.cluster, headers, body, Vec::new(), call.timeout) {
            Ok(token) => {
                self.calls.insert(token, id);
                true
            }
            Err(status) => {
                warn!("Envoy refused a call to cluster {}: {status:?}", call.cluster);
                false
            }
        }
    }

    fn reply(&mut self, reply: Reply) {
        let report = self.exchange.take().map(|exchange| exchange.report()).unwrap_or_default();
        self.metrics.count(self.kind, reply.status, &report);
        let headers = reply.headers.iter().chain(&self.reply_headers);
        let headers = headers.map(|(name, value)| (&**name, &**value)).collect();
        self.send_http_response(reply.status.into(), headers, Some(&reply.body));
    }
}

/// Header values are bytes to HTTP; what is no UTF-8 matters to none of ours.
fn text(value: Bytes) -> String {
    String::from_utf8(value).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, body_size: usize, _: usize) {
        let (Some(id), Some(exchange)) = (self.calls.remove(&token), &mut self.exchange) else { return };
        // Without headers there was no answer: refused, reset or timed out.
        let answer = (num_headers > 0).then(|| read_answer(body_size));
        let step = exchange.answered(id, answer);
        self.perform(step);
    }
}

fn read_answer(body_size: usize) -> Answer {
    use proxy_wasm::hostcalls;
    use proxy_wasm::types::{BufferType, MapType};

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
    answer
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let head = self.head();
        self.reply_headers = cors::headers(&head);
        if let Some(reply) = cors::preflight(&head) {
            self.kind = Kind::Instance;
            self.reply(reply);
            return Action::Pause;
        }
        let (kind, destination) = router::route(self.routing.clone(), head);
        self.kind = kind;
        match destination {
            Destination::Reply(reply) => self.reply(reply),
            Destination::Exchange(exchange) => {
                self.exchange = Some(exchange);
                if end_of_stream {
                    self.take_body(&[], true);
                }
            }
        }
        Action::Pause
    }

    /// Takes the body out of Envoy's buffer piece by piece, so that its limit is never reached.
    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        let piece = self.get_http_request_body(0, body_size).unwrap_or_default();
        self.set_http_request_body(0, body_size, &[]);
        self.take_body(&piece, end_of_stream);
        Action::Pause
    }

    /// A body may end with trailers instead of its last piece: one that Envoy decompressed does.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.take_body(&[], true);
        Action::Pause
    }
}
