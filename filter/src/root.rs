//! The filter's configuration: one routing table, swapped whole.

use std::rc::Rc;
use std::time::Duration;

use log::{error, info};
use miroir_core::routing::Routing;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::call::Caller;
use crate::clock::now;
use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::probes::Prober;
use crate::request::Request;
use crate::stream::Stream;
use crate::testaments::Teller;
use crate::waiting::Waiting;

/// How soon after the end of a request the control plane is told what is left to tell of it, and how often the workers
/// agree on which nodes are slow.
pub const TICK: Duration = Duration::from_millis(250);

/// One per configuration. Envoy makes a new one for every table it gets; requests that are under way keep theirs.
pub struct Root {
    caller: Rc<Caller>,
    cluster: Option<Cluster>,
    metrics: Rc<Metrics>,
    teller: Teller,
    prober: Prober,
    waiting: Rc<Waiting>,
    /// When it last did what it does now and then.
    last: Duration,
    /// Whether Envoy wants to delete it.
    is_ending: bool,
}

impl Root {
    /// The one with this id, that has no configuration yet.
    pub fn new(id: u32) -> Root {
        Root {
            caller: Rc::new(Caller::new(id)),
            cluster: None,
            metrics: Rc::default(),
            teller: Teller::default(),
            prober: Prober::default(),
            waiting: Rc::default(),
            last: Duration::ZERO,
            is_ending: false,
        }
    }

    fn do_now_and_then(&mut self) {
        self.last = now();
        self.teller.tell(&self.caller);
        let Some(cluster) = &self.cluster else { return };
        if let Some(slow_nodes) = cluster.agree() {
            self.metrics.show_slow_nodes(slow_nodes);
        }
        if let Ok(mut pace) = cluster.pace.try_borrow_mut() {
            self.prober.ask(&self.caller, &mut pace);
        }
    }

    /// Takes the answer to a probe; `false` if it is none.
    fn is_probed(&mut self, token: u32, num_headers: usize) -> bool {
        let pace = self.cluster.as_ref().and_then(|cluster| cluster.pace.try_borrow_mut().ok());
        pace.is_some_and(|mut pace| self.prober.answered(token, num_headers > 0, &mut pace))
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, body_size: usize, _: usize) {
        if self.is_probed(token, num_headers)
            || self.teller.answered(token, num_headers, body_size, &self.caller)
        {
            return;
        }
        self.waiting.answered(token, num_headers, body_size);
    }

    /// It stays while answers are to come, although its streams are gone.
    fn on_done(&mut self) -> bool {
        self.is_ending = !self.caller.is_done();
        !self.is_ending
    }
}

impl RootContext for Root {
    /// Answers false for a table that can't be used: Envoy then keeps the one it has.
    fn on_configure(&mut self, _: usize) -> bool {
        let json = self.get_plugin_configuration().unwrap_or_default();
        match Routing::from_json(&json) {
            Ok(routing) => {
                let (version, epoch) = (routing.table.version, routing.table.epoch);
                info!("routing table {version}, epoch {epoch}, {} bytes", json.len());
                self.cluster = Some(Cluster::with(routing));
                self.metrics = Rc::new(Metrics::define());
                self.set_tick_period(TICK);
                true
            }
            Err(reason) => {
                error!("{reason}");
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if self.is_ending {
            if self.caller.is_done() {
                self.is_ending = false;
                self.done();
            }
            return;
        }
        if now().saturating_sub(self.last) >= TICK {
            self.do_now_and_then();
        }
        self.waiting.wake();
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let request = Request::new(id, self.caller.clone(), self.cluster.clone()?, self.metrics.clone());
        Some(Box::new(Stream::new(id, request, self.waiting.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
