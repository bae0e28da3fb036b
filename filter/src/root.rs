//! The filter's configuration: one routing table, swapped whole.

use std::rc::Rc;
use std::sync::Arc;

use log::{error, info};
use miroir_core::routing::Routing;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::metrics::Metrics;
use crate::stream::Stream;

/// One per configuration. Envoy makes a new one for every table it gets; requests that are under way keep theirs.
#[derive(Default)]
pub struct Root {
    routing: Option<Arc<Routing>>,
    metrics: Rc<Metrics>,
}

impl Context for Root {}

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
                true
            }
            Err(reason) => {
                error!("{reason}");
                false
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let routing = self.routing.clone()?;
        Some(Box::new(Stream::new(routing, self.metrics.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
