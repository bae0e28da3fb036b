//! The filter's configuration: one routing table, swapped whole.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use log::{error, info};
use miroir_core::routing::Routing;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::metrics::Metrics;
use crate::stream::Stream;
use crate::testaments::Teller;

/// How soon after the end of a request the control plane is told what is left to tell of it.
const TICK: Duration = Duration::from_millis(250);

/// One per configuration. Envoy makes a new one for every table it gets; requests that are under way keep theirs.
#[derive(Default)]
pub struct Root {
    routing: Option<Arc<Routing>>,
    metrics: Rc<Metrics>,
    teller: Teller,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, body_size: usize, _: usize) {
        self.teller.answered(token, num_headers, body_size);
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
                self.routing = Some(Arc::new(routing));
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
        self.teller.tell();
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let routing = self.routing.clone()?;
        Some(Box::new(Stream::new(routing, self.metrics.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
