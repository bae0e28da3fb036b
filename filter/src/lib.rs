//! The Miroir filter: carries out in Envoy, by the Proxy-Wasm host calls, what the request machines of
//! `miroir-core` decide. It holds no state that matters after a request.

mod call;
mod clock;
mod cluster;
mod metrics;
mod probes;
mod request;
mod root;
mod stream;
mod testaments;
mod waiting;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| -> Box<dyn RootContext> { Box::new(root::Root::new(id)) });
}}
