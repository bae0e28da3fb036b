//! One client request: Envoy's callbacks in, host calls out.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use miroir_core::cors;
use miroir_core::exchange::{Call, CallId, Exchange, Reply, RequestHead, Step};
use miroir_core::router::{self, Destination, Kind};
use miroir_core::routing::Routing;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::call::{self, text};
use crate::metrics::Metrics;
use crate::testaments;

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
        let token = call::dispatch(call);
        token.map(|token| self.calls.insert(token, id)).is_some()
    }

    fn reply(&mut self, reply: Reply) {
        let exchange = self.exchange.take();
        let report = exchange.as_ref().map(|exchange| exchange.report()).unwrap_or_default();
        exchange.into_iter().for_each(end);
        self.metrics.count(self.kind, reply.status, &report);
        let headers = reply.headers.iter().chain(&self.reply_headers);
        let headers = headers.map(|(name, value)| (&**name, &**value)).collect();
        self.send_http_response(reply.status.into(), headers, Some(&reply.body));
    }
}

/// What an exchange leaves when it ends.
fn end(mut exchange: Box<dyn Exchange>) {
    exchange.testament().into_iter().for_each(testaments::leave);
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, body_size: usize, _: usize) {
        let (Some(id), Some(exchange)) = (self.calls.remove(&token), &mut self.exchange) else { return };
        let step = exchange.answered(id, call::answer(num_headers, body_size));
        self.perform(step);
    }

    /// The request is over; if it was not answered, the client went away.
    fn on_done(&mut self) -> bool {
        self.exchange.take().into_iter().for_each(end);
        true
    }
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
