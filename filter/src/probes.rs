//! Questions to slow nodes that only tell whether they still are.

use std::collections::HashMap;
use std::time::Duration;

use miroir_core::pace::Pace;
use miroir_core::router::Kind;

use crate::call::Caller;
use crate::clock::now;

/// Those that a root context has asked, by the host's token.
#[derive(Default)]
pub struct Prober(HashMap<u32, Asked>);

struct Asked {
    node: String,
    kind: Kind,
    since: Duration,
}

impl Prober {
    /// Asks what is due.
    pub fn ask(&mut self, caller: &Caller, pace: &mut Pace) {
        while let Some(probe) = pace.next_probe() {
            let since = now();
            if let Some(token) = caller.call(&probe.call, since) {
                self.0.insert(token, Asked { node: probe.call.cluster, kind: probe.kind, since });
            }
        }
    }

    /// Takes the answer to a question of its own; `false` if it is none.
    pub fn answered(&mut self, token: u32, is_answer: bool, pace: &mut Pace) -> bool {
        let Some(asked) = self.0.remove(&token) else { return false };
        let took = now().saturating_sub(asked.since);
        match is_answer {
            true => pace.answered(&asked.node, asked.kind, took),
            false => pace.unanswered(&asked.node, asked.kind, took),
        }
        true
    }
}
