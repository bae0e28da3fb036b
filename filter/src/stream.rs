//! One client's stream: Envoy's callbacks in.

use std::cell::RefCell;
use std::rc::Rc;

use miroir_core::exchange::RequestHead;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::call::text;
use crate::request::Request;
use crate::waiting::Waiting;

/// A stream, and the request that came by it.
pub struct Stream {
    id: u32,
    request: Rc<RefCell<Request>>,
    waiting: Rc<Waiting>,
}

impl Stream {
    /// The stream with this id.
    pub fn new(id: u32, request: Request, waiting: Rc<Waiting>) -> Stream {
        Stream { id, request: Rc::new(RefCell::new(request)), waiting }
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

    /// Lets the request act, and sees to it that it is woken if it has to be.
    fn act(&self, act: impl FnOnce(&mut Request)) {
        let Ok(mut request) = self.request.try_borrow_mut() else { return };
        act(&mut request);
        if request.is_waiting() {
            self.waiting.add(self.id, &self.request);
        }
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, body_size: usize, _: usize) {
        self.act(|request| request.answered(token, num_headers, body_size));
    }

    fn on_done(&mut self) -> bool {
        self.act(Request::end);
        self.waiting.remove(self.id);
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let head = self.head();
        self.act(|request| {
            request.begin(head);
            if end_of_stream {
                request.take_body(&[], true);
            }
        });
        Action::Pause
    }

    /// Takes the body out of Envoy's buffer piece by piece, so that its limit is never reached.
    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        let piece = self.get_http_request_body(0, body_size).unwrap_or_default();
        self.set_http_request_body(0, body_size, &[]);
        self.act(|request| request.take_body(&piece, end_of_stream));
        Action::Pause
    }

    /// A body may end with trailers instead of its last piece: one that Envoy decompressed does.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.act(|request| request.take_body(&[], true));
        Action::Pause
    }
}
