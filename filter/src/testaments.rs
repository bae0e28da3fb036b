//! What requests that have ended still have to tell the control plane. Nobody waits for it, so a root context tells it, and
//! again until it is heard.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use miroir_core::exchange::Call;

use crate::call::Caller;
use crate::clock::now;

/// How many are told at once.
const AT_ONCE: usize = 16;

thread_local! {
    /// Roots come and go with the routing tables; what is to be told outlives them.
    static LEFT: RefCell<VecDeque<Call>> = const { RefCell::new(VecDeque::new()) };
}

/// Leaves something to be told.
pub fn leave(call: Call) {
    LEFT.with_borrow_mut(|left| left.push_back(call));
}

/// Those that a root context is telling, by the host's token.
#[derive(Default)]
pub struct Teller(HashMap<u32, Call>);

impl Teller {
    /// Tells what is left.
    pub fn tell(&mut self, caller: &Caller) {
        while self.0.len() < AT_ONCE {
            let Some(call) = LEFT.with_borrow_mut(VecDeque::pop_front) else { return };
            match caller.call(&call, now()) {
                Some(token) => self.0.insert(token, call),
                None => return leave(call),
            };
        }
    }

    /// Takes the answer to a call of its own; `false` if it is to none.
    pub fn answered(&mut self, token: u32, num_headers: usize, body_size: usize, caller: &Caller) -> bool {
        let Some(call) = self.0.remove(&token) else { return false };
        // One that is refused would be refused again.
        let is_heard = caller.answer(num_headers, body_size).is_some_and(|answer| answer.status < 500);
        if !is_heard {
            leave(call);
        }
        true
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.drain().for_each(|(_, call)| leave(call));
    }
}
