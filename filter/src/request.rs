//! A client's request on its way: carries out by host calls what its exchange wants.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use miroir_core::cors;
use miroir_core::exchange::{Call, CallId, Exchange, Reply, RequestHead, Step};
use miroir_core::pace::Watch;
use miroir_core::router::{self, Destination, Kind};
use proxy_wasm::hostcalls;

use crate::call::Caller;
use crate::clock::now;
use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::testaments;

/// A request on its way.
pub struct Request {
    /// The id of the stream that it came by.
    stream: u32,
    caller: Rc<Caller>,
    cluster: Cluster,
    metrics: Rc<Metrics>,
    kind: Kind,
    /// `None` before the head came, and after the answer went out.
    exchange: Option<Box<dyn Exchange>>,
    /// Headers that the answer gets whatever it is.
    reply_headers: Vec<(String, String)>,
    /// The host's token of each call that is under way.
    calls: HashMap<u32, CallId>,
    watch: Watch,
}

impl Request {
    /// A request of which nothing was seen yet.
    pub fn new(stream: u32, caller: Rc<Caller>, cluster: Cluster, metrics: Rc<Metrics>) -> Request {
        Request {
            stream,
            caller,
            cluster,
            metrics,
            kind: Kind::Control,
            exchange: None,
            reply_headers: Vec::new(),
            calls: HashMap::new(),
            watch: Watch::new(Kind::Control),
        }
    }

    /// Takes its head.
    pub fn begin(&mut self, head: RequestHead) {
        self.reply_headers = cors::headers(&head);
        if let Some(reply) = cors::preflight(&head) {
            self.kind = Kind::Instance;
            return self.reply(reply);
        }
        let (kind, destination) = router::route(&self.cluster.latest, head);
        self.kind = kind;
        self.watch = Watch::new(kind);
        match destination {
            Destination::Reply(reply) => self.reply(reply),
            Destination::Exchange(exchange) => self.exchange = Some(exchange),
        }
    }

    /// Takes a piece of its body.
    pub fn take_body(&mut self, piece: &[u8], end: bool) {
        if let Some(exchange) = &mut self.exchange {
            let step = exchange.body(piece, end);
            self.perform(step);
        }
    }

    /// Whether a call of its has this token.
    pub fn awaits(&self, token: u32) -> bool {
        self.calls.contains_key(&token)
    }

    /// Takes the answer to a call.
    pub fn answered(&mut self, token: u32, num_headers: usize, body_size: usize) {
        let (Some(id), Some(exchange)) = (self.calls.remove(&token), &mut self.exchange) else { return };
        let answer = self.caller.answer(num_headers, body_size);
        if self.watch.is_timing()
            && let Ok(mut pace) = self.cluster.pace.try_borrow_mut()
        {
            self.watch.answered(id, answer.is_some(), &mut pace, now());
        }
        let step = exchange.answered(id, answer);
        self.perform(step);
    }

    /// Sees to its calls that are late by now.
    pub fn hedge(&mut self) {
        while let Some(exchange) = &mut self.exchange {
            let Some(late) = self.watch.next_late(now()) else { return };
            if !self.cluster.pace.try_borrow().is_ok_and(|pace| pace.may_hedge()) {
                continue;
            }
            let step = exchange.late(late);
            if let (Step::Call(calls), Ok(mut pace)) = (&step, self.cluster.pace.try_borrow_mut()) {
                pace.hedged(calls.len());
            }
            self.perform(step);
        }
    }

    /// Whether a call of its may yet be late.
    pub fn is_waiting(&self) -> bool {
        self.watch.is_waiting()
    }

    /// It is over; if it was not answered, the client went away.
    pub fn end(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.testament().into_iter().for_each(testaments::leave);
        }
        if self.watch.is_timing()
            && let Ok(mut pace) = self.cluster.pace.try_borrow_mut()
        {
            self.watch.end(&mut pace, now());
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
        let now = now();
        let Some(token) = self.caller.call(call, now) else { return false };
        self.calls.insert(token, id);
        if call.is_timed
            && let Ok(mut pace) = self.cluster.pace.try_borrow_mut()
        {
            self.watch.called(id, call, &self.cluster.latest.get(), &mut pace, now);
        }
        true
    }

    fn reply(&mut self, reply: Reply) {
        let report = self.exchange.as_ref().map(|exchange| exchange.report()).unwrap_or_default();
        self.end();
        self.metrics.count(self.kind, reply.status, &report);
        let headers = reply.headers.iter().chain(&self.reply_headers);
        let headers = headers.map(|(name, value)| (&**name, &**value)).collect();
        // Without a stream there is nobody to hear it.
        if hostcalls::set_effective_context(self.stream).is_ok() {
            let _ = hostcalls::send_http_response(reply.status.into(), headers, Some(&reply.body));
        }
    }
}
