//! An Envoy: it serves with the table that it took last.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use miroir_core::exchange::{Answer, Call, CallId, Reply, RequestHead, Step};
use miroir_core::router::{Destination, route};
use miroir_core::routing::{Latest, Routing};

use crate::clock::{Mailbox, Owner, Time};
use crate::control_plane;
use crate::node::answer;
use crate::run;
use crate::world::Sim;

pub struct Envoy {
    pub routing: Arc<Routing>,
    /// For writes: another one where the protocol is broken on purpose.
    pub write_routing: Arc<Routing>,
    /// Whether it has taken a table since its start.
    pub is_serving: bool,
    /// Since when it does not reach the control plane.
    pub cut_since: Option<Time>,
    /// Since when it may have missed tables: until it has taken one after it was cut off.
    pub out_of_touch_since: Option<Time>,
    /// How much longer than others it takes for a new table.
    pub slowness: u64,
}

/// A client's request.
pub struct Request {
    pub method: &'static str,
    pub target: String,
    /// The body in pieces, and how long each lets one wait.
    pub body: Vec<(Time, Vec<u8>)>,
    pub write: u64,
    /// When the client goes away.
    pub leaves_after: Option<Time>,
}

enum Event {
    Piece(Vec<u8>, bool),
    Answer(CallId, Option<Answer>),
    Leave,
}

/// What became of a request, and the calls to nodes that are still under way.
pub struct Served {
    pub reply: Mailbox<Option<Reply>>,
    pub under_way: Rc<Cell<usize>>,
}

/// Serves a request. There is no reply if the Envoy crashes, and none worth anything if the client has left.
pub fn serve(sim: &Sim, envoy: usize, routing: Arc<Routing>, request: Request) -> Served {
    let served = Served { reply: Mailbox::new(), under_way: Rc::default() };
    let (reply, under_way, world) = (served.reply.clone(), served.under_way.clone(), sim.clone());
    sim.clock.spawn(Owner::Envoy(envoy), async move {
        let result = exchange(&world, envoy, routing, request, under_way).await;
        reply.send(&world.clock, result);
    });
    served
}

async fn exchange(
    sim: &Sim,
    envoy: usize,
    routing: Arc<Routing>,
    request: Request,
    under_way: Rc<Cell<usize>>,
) -> Option<Reply> {
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-request-id".to_owned(), request.write.to_string()),
    ];
    let head = RequestHead { method: request.method.into(), target: request.target, headers };
    let mut exchange = match route(&Latest::new(routing), head).1 {
        Destination::Reply(reply) => return Some(reply),
        Destination::Exchange(exchange) => exchange,
    };
    let events = Mailbox::new();
    if let Some(time) = request.leaves_after {
        after(sim, time, &events, Event::Leave);
    }
    let last = request.body.len().saturating_sub(1);
    let mut time = 0;
    for (place, (pause, piece)) in request.body.into_iter().enumerate() {
        time += pause;
        after(sim, time, &events, Event::Piece(piece, place == last));
    }
    loop {
        let step = match events.receive(&sim.clock).await {
            Event::Piece(piece, end) => exchange.body(&piece, end),
            Event::Answer(call, answer) => exchange.answered(call, answer),
            Event::Leave => {
                sim.note(|| format!("the client of write {} leaves", request.write));
                bequeath(sim, envoy, request.write, exchange.testament());
                return None;
            }
        };
        match step {
            Step::Wait => {}
            Step::Call(calls) => calls.into_iter().for_each(|(id, call)| {
                make_call(sim, envoy, call, &under_way, events.clone(), id);
            }),
            Step::Reply(reply) => {
                bequeath(sim, envoy, request.write, exchange.testament());
                return Some(reply);
            }
        }
    }
}

fn after(sim: &Sim, time: Time, events: &Mailbox<Event>, event: Event) {
    let (world, events) = (sim.clone(), events.clone());
    sim.clock.spawn(Owner::World, async move {
        world.sleep(time).await;
        events.send(&world.clock, event);
    });
}

/// Tells the control plane what it must know, until it has heard.
fn bequeath(sim: &Sim, envoy: usize, write: u64, testament: Option<Call>) {
    let Some(call) = testament else {
        sim.history.borrow_mut().under_way.remove(&write);
        return;
    };
    let world = sim.clone();
    sim.clock.spawn(Owner::Envoy(envoy), async move {
        while control_plane::call(&world, envoy, call.clone()).await.is_none_or(|answer| answer.status >= 500)
        {
            world.sleep(40).await;
        }
        world.history.borrow_mut().under_way.remove(&write);
    });
}

fn make_call(
    sim: &Sim,
    envoy: usize,
    call: Call,
    under_way: &Rc<Cell<usize>>,
    events: Mailbox<Event>,
    id: CallId,
) {
    let (world, under_way) = (sim.clone(), under_way.clone());
    if call.cluster == "control" {
        sim.clock.spawn(Owner::World, async move {
            let answer = control_plane::call(&world, envoy, call).await;
            events.send(&world.clock, Event::Answer(id, answer));
        });
        return;
    }
    under_way.set(under_way.get() + 1);
    sim.clock.spawn(Owner::World, async move {
        let answer = call_node(&world, &call).await;
        under_way.set(under_way.get() - 1);
        events.send(&world.clock, Event::Answer(id, answer));
    });
}

/// A request that Envoy gives up does not arrive later: a node either has it soon or not at all.
async fn call_node(sim: &Sim, call: &Call) -> Option<Answer> {
    let timeout = call.timeout.as_millis() as Time;
    let begun = sim.now();
    let give_up = async |sim: &Sim| {
        sim.sleep((begun + timeout).saturating_sub(sim.now())).await;
        None
    };
    sim.sleep(sim.random.between(1, 8)).await;
    if sim.random.per_mille(sim.loss.get()) {
        return give_up(sim).await;
    }
    let answered = match sim.nodes.borrow_mut().get_mut(&call.cluster) {
        Some(node) if node.is_running => {
            let answered = node.answer(call);
            sim.note(|| format!("{} {} {} -> {}", call.cluster, call.method, call.target, answered.status));
            run::wake(sim, &call.cluster, node);
            answered
        }
        _ if sim.random.per_mille(500) => answer(503, b"upstream connect error: connection failure".to_vec()),
        _ => answer(503, b"no healthy upstream".to_vec()),
    };
    let slowness = sim.nodes.borrow().get(&call.cluster).map_or(0, |node| node.slowness);
    sim.sleep(sim.random.between(1, 8 + slowness)).await;
    if sim.now() > begun + timeout || sim.random.per_mille(sim.loss.get()) {
        return give_up(sim).await;
    }
    Some(answered)
}
