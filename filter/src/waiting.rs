//! Requests that may have to be woken, because a call of theirs may be late. Envoy has no timers for streams: their root
//! wakes them, and takes the answers to what they then ask.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;

use crate::request::Request;
use crate::root;

/// How exactly late calls are seen to be late.
const TICK: Duration = Duration::from_millis(5);

/// The requests of one root that have, or had, timed calls under way, by the ids of their streams.
#[derive(Default)]
pub struct Waiting {
    requests: RefCell<HashMap<u32, Rc<RefCell<Request>>>>,
    /// Whether the root's ticks come by the pace that is needed.
    is_ticking: Cell<bool>,
}

impl Waiting {
    /// A request that may have to be woken.
    pub fn add(&self, stream: u32, request: &Rc<RefCell<Request>>) {
        if let Ok(mut requests) = self.requests.try_borrow_mut() {
            requests.entry(stream).or_insert_with(|| request.clone());
        }
        self.tick(true);
    }

    /// One that is over.
    pub fn remove(&self, stream: u32) {
        if let Ok(mut requests) = self.requests.try_borrow_mut() {
            requests.remove(&stream);
        }
    }

    /// Wakes all.
    pub fn wake(&self) {
        let mut is_any_left = false;
        for request in self.all() {
            if let Ok(mut request) = request.try_borrow_mut() {
                request.hedge();
                is_any_left |= request.is_waiting();
            }
        }
        self.tick(is_any_left);
    }

    /// Takes the answer to a call that was made when its request was woken.
    pub fn answered(&self, token: u32, num_headers: usize, body_size: usize) {
        for request in self.all() {
            if let Ok(mut request) = request.try_borrow_mut()
                && request.awaits(token)
            {
                request.answered(token, num_headers, body_size);
            }
        }
    }

    fn all(&self) -> Vec<Rc<RefCell<Request>>> {
        let Ok(requests) = self.requests.try_borrow() else { return Vec::new() };
        requests.values().cloned().collect()
    }

    fn tick(&self, is_needed: bool) {
        if self.is_ticking.replace(is_needed) != is_needed {
            // A stream's is that of its root.
            let _ = hostcalls::set_tick_period(if is_needed { TICK } else { root::TICK });
        }
    }
}
