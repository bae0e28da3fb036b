//! A client's request that is answered by a [`Question`] to the nodes.

use std::sync::Arc;

use crate::any_node::{AnyNode, Expect};
use crate::error::shard_unavailable;
use crate::exchange::{Answer, BodyBuffer, CallId, Exchange, Report, RequestHead, Step};
use crate::fan_out::waves::{Progress, Waves};
use crate::fan_out::{Conclusion, Question, Request};
use crate::routing::Routing;

/// A request from its first byte to its answer.
pub struct FanOut<Q: Question> {
    routing: Arc<Routing>,
    head: RequestHead,
    index: String,
    buffer: BodyBuffer,
    /// The client's own body, once it is here.
    body: Vec<u8>,
    waves: Waves<Q::Part>,
    state: State<Q>,
}

enum State<Q> {
    /// The body is coming in.
    Reading,
    /// The nodes are being asked.
    Asking(Q),
    /// A node is to say what is wrong with the request. Calls below `first_call` were made before, and what they say
    /// is of no interest any more.
    Refused { any_node: Box<AnyNode>, first_call: CallId },
}

impl<Q: Question> FanOut<Q> {
    /// The exchange before any of its body. `index` is the one that the path names; empty where it names none.
    pub fn new(routing: Arc<Routing>, head: RequestHead, index: String) -> FanOut<Q> {
        let buffer = BodyBuffer::new(routing.table.policy.body_limit);
        let waves = Waves::new(routing.clone(), head.clone());
        FanOut { routing, head, index, buffer, body: Vec::new(), waves, state: State::Reading }
    }

    fn begin(&mut self) -> Step {
        let request =
            Request { routing: &self.routing, head: &self.head, index: &self.index, body: &self.body };
        match Q::parse(request) {
            Ok(question) => self.ask(question),
            Err(_) => self.refuse(),
        }
    }

    fn ask(&mut self, question: Q) -> Step {
        let progress = self.waves.begin(&question);
        self.go_on(question, progress)
    }

    fn go_on(&mut self, question: Q, progress: Progress<Q::Part>) -> Step {
        match progress {
            Progress::Step(step) => {
                self.state = State::Asking(question);
                step
            }
            Progress::Reply(reply) => Step::Reply(reply),
            Progress::Explain => self.refuse(),
            Progress::Complete(parts) => match question.conclude(parts) {
                Ok(Conclusion::Answer(body)) => {
                    let reply = self.waves.reply(body);
                    Step::Reply(self.routing.with_settings_version(&self.index, reply))
                }
                Ok(Conclusion::Ask(next)) => self.ask(*next),
                Ok(Conclusion::Refuse) => self.refuse(),
                Ok(Conclusion::Error(error)) => error.into(),
                Err(_) => shard_unavailable("some").into(),
            },
        }
    }

    fn refuse(&mut self) -> Step {
        let mut any_node = AnyNode::new(self.routing.clone(), self.head.clone(), Expect::Refusal);
        let first_call = self.waves.next_call();
        let step = any_node.begin(std::mem::take(&mut self.body));
        self.state = State::Refused { any_node: Box::new(any_node), first_call };
        numbered_from(first_call, step)
    }
}

fn numbered_from(first_call: CallId, step: Step) -> Step {
    match step {
        Step::Call(calls) => {
            Step::Call(calls.into_iter().map(|(call, what)| (first_call + call, what)).collect())
        }
        step => step,
    }
}

impl<Q: Question> Exchange for FanOut<Q> {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        match self.buffer.push(piece) {
            Err(error) => error.into(),
            Ok(()) if end => {
                self.body = self.buffer.take();
                self.begin()
            }
            Ok(()) => Step::Wait,
        }
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        match std::mem::replace(&mut self.state, State::Reading) {
            State::Reading => Step::Wait,
            State::Asking(question) => {
                let progress = self.waves.answered(call, answer, &question);
                self.go_on(question, progress)
            }
            State::Refused { mut any_node, first_call } => {
                let step = match call.checked_sub(first_call) {
                    Some(call) => numbered_from(first_call, any_node.answered(call, answer)),
                    None => Step::Wait,
                };
                self.state = State::Refused { any_node, first_call };
                step
            }
        }
    }

    fn late(&mut self, call: CallId) -> Step {
        match &self.state {
            State::Asking(question) => self.waves.late(call, question),
            State::Reading | State::Refused { .. } => Step::Wait,
        }
    }

    fn report(&self) -> Report {
        match &self.state {
            State::Refused { any_node, .. } => any_node.report(),
            _ => self.waves.report().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::question::Search;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn refusal(words: &str) -> Option<Answer> {
        Some(Answer { status: 400, headers: Vec::new(), body: words.into() })
    }

    #[test]
    fn a_refusal_speaks_of_the_clients_own_request() {
        let routing = Arc::new(Routing::new(table(4, 3, 1, 1)));
        let target = "/indexes/a/search?matchingStrategy=nope";
        let head = RequestHead { method: "GET".into(), target: target.into(), headers: Vec::new() };
        let mut search = FanOut::<Search>::new(routing, head, "a".into());
        let Step::Call(calls) = search.body(&[], true) else { panic!("no calls") };
        assert_eq!(calls.len(), 3);

        let Step::Call(again) = search.answered(0, refusal("of ours")) else { panic!("no call") };
        let [(again, call)] = &again[..] else { panic!("not one call") };
        assert_eq!((&*call.method, &*call.target), ("GET", target));
        // The others answer meanwhile.
        assert_eq!(search.answered(1, refusal("of ours")), Step::Wait);
        assert_eq!(search.answered(2, refusal("of ours")), Step::Wait);
        let Step::Reply(reply) = search.answered(*again, refusal("of the client's")) else {
            panic!("no reply")
        };
        assert_eq!((reply.status, &*reply.body), (400, &b"of the client's"[..]));
    }
}
