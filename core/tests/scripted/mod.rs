//! A cluster in memory, scripted by a test: nodes that store and search documents, and a control plane. It drives
//! the request machines as Envoy does, and answers their calls in whatever order the test's seed gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use miroir_core::control::{
    BEGIN_WRITE_PATH, BeginWrite, BegunWrite, FirstAnswer, REGISTER_WRITE_PATH, RegisterWrite,
};
use miroir_core::exchange::{Answer, Call, CallId, Exchange, Reply, Report, RequestHead, Step};
use miroir_core::router::{Destination, route};
use miroir_core::routing::{Latest, Routing};
use miroir_core::shard::ShardId;
use miroir_core::table::{ControlPlane, Group, Node as TableNode, Policy, RoutingTable};
use miroir_core::tag::{self, TAG_FIELD};
use serde_json::{Value, json};

/// How a node or the control plane behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it should.
    Up,
    /// It gives no answer.
    Down,
    /// It does what it is asked and gives no answer.
    Silent,
    /// It answers 200 with what is no JSON.
    Garbage,
    /// It answers 500.
    Failing,
    /// It has lost its disk: it knows no key but the master key.
    Wiped,
}

/// Which calls are said to be late while they are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// None.
    Never,
    /// All to this node, which answers after all others.
    Of(usize),
    /// Any.
    Random,
}

/// Nodes take it for the key of a write.
const WRITER: &str = "writer";

/// A node's documents, by id.
#[derive(Debug)]
pub struct Node {
    pub mode: Mode,
    pub documents: BTreeMap<String, Value>,
    pub tasks: u64,
}

/// The cluster.
pub struct World {
    pub table: RoutingTable,
    pub nodes: Vec<Node>,
    pub control_plane: Mode,
    /// Writes under epochs below this are refused.
    pub retired_below: u64,
    pub registered: Vec<RegisterWrite>,
    /// By idempotency key.
    pub answers: BTreeMap<String, FirstAnswer>,
    /// The control plane goes away before a write is registered.
    pub fails_to_register: bool,
    /// After so many calls to nodes this one behaves otherwise.
    pub turn: Option<(usize, usize, Mode)>,
    /// The client goes away after so many pieces of its body and answers to calls.
    pub leaves_after: Option<usize>,
    /// Which calls are said to be late.
    pub lateness: Lateness,
    /// What the last exchange said of itself.
    pub report: Report,
    /// Answer 400 to what no well-formed request leads to, instead of failing the test.
    pub lenient: bool,
    random: u64,
}

impl World {
    /// `groups` groups of `nodes` nodes each, with `copies` copies of a shard in a group.
    pub fn new(shards: ShardId, nodes: usize, copies: usize, groups: usize, seed: u64) -> World {
        let node = |index: usize| TableNode {
            id: format!("n{index}"),
            cluster: format!("n{index}"),
            authority: format!("n{index}:7700"),
            up: true,
            leftovers: Default::default(),
        };
        let group = |group: usize| Group {
            id: format!("g{group}"),
            owners: (0..shards as usize)
                .map(|shard| {
                    (0..copies.min(nodes)).map(|copy| group * nodes + (shard + copy) % nodes).collect()
                })
                .collect(),
            readers: BTreeMap::new(),
        };
        let table = RoutingTable {
            version: 1,
            epoch: 3,
            shards,
            retagging: None,
            nodes: (0..nodes * groups).map(node).collect(),
            groups: (0..groups).map(group).collect(),
            stale: Vec::new(),
            indexes: BTreeMap::from([("movies".into(), Default::default())]),
            aliases: BTreeMap::new(),
            control_plane: ControlPlane {
                cluster: "control".into(),
                authority: "control".into(),
                token: "t".into(),
            },
            node_key: None,
            policy: Policy::default(),
        };
        let new_node = |_| Node { mode: Mode::Up, documents: BTreeMap::new(), tasks: 0 };
        World {
            nodes: (0..nodes * groups).map(new_node).collect(),
            table,
            control_plane: Mode::Up,
            retired_below: 0,
            registered: Vec::new(),
            answers: BTreeMap::new(),
            fails_to_register: false,
            turn: None,
            leaves_after: None,
            lateness: Lateness::Never,
            report: Report::default(),
            lenient: false,
            random: seed | 1,
        }
    }

    /// Sends a request with its body in pieces of any size.
    pub fn send(&mut self, head: RequestHead, body: &[u8]) -> Reply {
        let routing = Arc::new(Routing::new(self.table.clone()));
        let mut exchange = match route(&Latest::new(routing), head).1 {
            Destination::Reply(reply) => return reply,
            Destination::Exchange(exchange) => exchange,
        };
        let mut calls: Vec<(CallId, Call)> = Vec::new();
        let mut rest = body;
        let mut ended = false;
        let mut steps = 0;
        loop {
            if self.leaves_after == Some(steps) {
                return self.leave(exchange, calls);
            }
            steps += 1;
            if let Some(late) = self.late(&calls) {
                match exchange.late(late) {
                    Step::Reply(reply) => return reply,
                    Step::Call(more) => calls.extend(more),
                    Step::Wait => {}
                }
            }
            // The body comes while calls are under way.
            let step = if !ended && (calls.is_empty() || self.draw().is_multiple_of(2)) {
                let length = (self.draw() % 40 + 1).min(rest.len() as u64) as usize;
                let (piece, after) = rest.split_at(length);
                rest = after;
                ended = rest.is_empty();
                exchange.body(piece, ended)
            } else {
                assert!(!calls.is_empty(), "the exchange waits for nothing");
                let next = self.next(&calls);
                let (id, call) = calls.swap_remove(next);
                let answer = self.answer(&call);
                exchange.answered(id, answer)
            };
            match step {
                Step::Reply(reply) => {
                    self.report = exchange.report();
                    self.hear(exchange.testament());
                    return reply;
                }
                Step::Call(more) => {
                    for (_, call) in &more {
                        let is_write = ["POST", "PUT"].contains(&&*call.method)
                            && call.target.split('?').next().unwrap().ends_with("/documents");
                        let same = |(_, other): &&(CallId, Call)| other.cluster == call.cluster;
                        assert!(!is_write || !calls.iter().any(|other| same(&other)), "two parts at once");
                    }
                    calls.extend(more);
                }
                Step::Wait => {}
            }
        }
    }

    /// The call that is answered next.
    fn next(&mut self, calls: &[(CallId, Call)]) -> usize {
        let drawn = self.draw() as usize % calls.len();
        let is_last =
            |call: &Call| matches!(self.lateness, Lateness::Of(node) if call.cluster == format!("n{node}"));
        let others = || calls.iter().position(|(_, call)| !is_last(call));
        if is_last(&calls[drawn].1) { others().unwrap_or(drawn) } else { drawn }
    }

    /// A call that is said to be late now.
    fn late(&mut self, calls: &[(CallId, Call)]) -> Option<CallId> {
        match self.lateness {
            Lateness::Never => None,
            Lateness::Of(node) => {
                let late = calls.iter().find(|(_, call)| call.cluster == format!("n{node}"));
                late.map(|(id, _)| *id)
            }
            Lateness::Random => {
                let drawn = self.draw() as usize % (2 * calls.len() + 1);
                calls.get(drawn).map(|(id, _)| *id)
            }
        }
    }

    /// The client goes away: what is under way is done or not.
    fn leave(&mut self, mut exchange: Box<dyn Exchange>, calls: Vec<(CallId, Call)>) -> Reply {
        for (_, call) in calls {
            if call.cluster != "control" && self.draw().is_multiple_of(2) {
                self.answer(&call);
            }
        }
        self.hear(exchange.testament());
        Reply::json(499, Vec::new())
    }

    /// The filter goes on until the control plane has heard.
    fn hear(&mut self, testament: Option<Call>) {
        let mode = std::mem::replace(&mut self.control_plane, Mode::Up);
        let fails_to_register = std::mem::take(&mut self.fails_to_register);
        if let Some(call) = testament {
            self.answer(&call);
        }
        self.control_plane = mode;
        self.fails_to_register = fails_to_register;
    }

    /// A request with a JSON body.
    pub fn request(&mut self, method: &str, target: &str, body: &Value) -> Reply {
        let headers = vec![("content-type".to_string(), "application/json".to_string())];
        let head = RequestHead { method: method.into(), target: target.into(), headers };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send(head, &body)
    }

    /// The ids that a search for everything finds, in order, and the whole answer.
    pub fn search(&mut self, body: Value) -> (Vec<u64>, Value, Reply) {
        let reply = self.request("POST", "/indexes/movies/search", &body);
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let hits = answer["hits"].as_array().cloned().unwrap_or_default();
        (hits.iter().filter_map(|hit| hit["id"].as_u64()).collect(), answer, reply)
    }

    /// Stores documents on all owners without a write.
    pub fn fill(&mut self, documents: impl IntoIterator<Item = Value>) {
        for mut document in documents {
            let id = document["id"].to_string();
            let shard = miroir_core::shard::shard_of(&id, self.table.shards);
            document[TAG_FIELD] = json!(tag::encode(shard));
            for owner in miroir_core::documents::split::owners(&self.table, shard) {
                self.nodes[owner].documents.insert(id.clone(), document.clone());
            }
        }
    }

    fn draw(&mut self) -> u64 {
        // Xorshift: a test names the seed, so that a failure can be repeated.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }

    fn answer(&mut self, call: &Call) -> Option<Answer> {
        let is_control = call.cluster == "control";
        let place = call.cluster.trim_start_matches('n').parse::<usize>().unwrap_or(0);
        if let (false, Some((calls, node, mode))) = (is_control, &mut self.turn) {
            match calls.checked_sub(1) {
                Some(left) => *calls = left,
                None => self.nodes[*node].mode = *mode,
            }
        }
        let mode = if is_control { self.control_plane } else { self.nodes[place].mode };
        match mode {
            _ if self.fails_to_register && call.target == REGISTER_WRITE_PATH => None,
            Mode::Down => None,
            Mode::Silent if is_control => None,
            Mode::Silent => {
                self.nodes[place].answer(call);
                None
            }
            Mode::Garbage => Some(Answer { status: 200, headers: Vec::new(), body: b"<html>{".to_vec() }),
            Mode::Failing => Some(Answer { status: 500, headers: Vec::new(), body: b"{}".to_vec() }),
            Mode::Wiped if is_control => None,
            Mode::Wiped => Some(reply(
                403,
                &json!({"message": "", "code": "invalid_api_key", "type": "auth", "link": ""}),
            )),
            Mode::Up if self.lenient && !is_understood(call) => {
                Some(reply(400, &json!({"code": "bad_request"})))
            }
            Mode::Up if is_control => Some(self.control(call)),
            Mode::Up => Some(self.nodes[place].answer(call)),
        }
    }

    fn control(&mut self, call: &Call) -> Answer {
        if call.target == BEGIN_WRITE_PATH {
            let begin: BeginWrite = serde_json::from_slice(&call.body).unwrap();
            return reply(
                200,
                &BegunWrite {
                    exists: true,
                    primary_key: begin.primary_key,
                    ticket: None,
                    node_key: Some(WRITER.into()),
                    first_answer: begin.idempotency_key.and_then(|key| self.answers.get(&key).cloned()),
                },
            );
        }
        assert_eq!(call.target, REGISTER_WRITE_PATH);
        let register: RegisterWrite = serde_json::from_slice(&call.body).unwrap();
        if register.epoch < self.retired_below && register.acknowledged && register.error.is_none() {
            // What was missed is remembered all the same.
            self.registered.push(RegisterWrite { acknowledged: false, ..register });
            return reply(409, &json!({}));
        }
        let uid = self.registered.len();
        let task = json!({"taskUid": uid, "status": "enqueued"});
        if let (true, Some(used)) = (register.acknowledged, &register.idempotency)
            && let Some(fingerprint) = used.fingerprint.clone()
        {
            let first = FirstAnswer { fingerprint, task: task.clone() };
            assert!(self.answers.insert(used.key.clone(), first).is_none(), "a key was used twice");
        }
        self.registered.push(register);
        reply(200, &task)
    }
}

/// Whether a call is one that this cluster knows how to answer.
fn is_understood(call: &Call) -> bool {
    if call.cluster == "control" {
        return [BEGIN_WRITE_PATH, REGISTER_WRITE_PATH].contains(&&*call.target);
    }
    let query: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let is_search = call.target.ends_with("/search") && call.method == "POST" && query["filter"].is_null();
    let is_write = call.target.split('?').next().is_some_and(|path| path.ends_with("/documents"))
        && matches!(&*call.method, "POST" | "PUT")
        // Else a node is only asked how it refuses what is wrong.
        && is_by_writer(call);
    call.target.ends_with("/documents/delete-batch") || (is_search && query.is_object()) || is_write
}

fn is_by_writer(call: &Call) -> bool {
    call.headers.contains(&("authorization".into(), format!("Bearer {WRITER}")))
}

fn reply(status: u16, body: &impl serde::Serialize) -> Answer {
    Answer { status, headers: Vec::new(), body: serde_json::to_vec(body).unwrap() }
}

impl Node {
    fn answer(&mut self, call: &Call) -> Answer {
        let path = call.target.split('?').next().unwrap();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (&*call.method, segments.as_slice()) {
            ("POST", ["indexes", _, "search"]) => self.search(&serde_json::from_slice(&call.body).unwrap()),
            ("POST" | "PUT", ["indexes", _, "documents"]) => {
                assert!(is_by_writer(call));
                for line in call.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                    let document: Value = serde_json::from_slice(line).unwrap();
                    let id = document["id"].as_str().map_or_else(|| document["id"].to_string(), String::from);
                    self.documents.insert(id, document);
                }
                self.task()
            }
            ("POST", ["indexes", _, "documents", "delete-batch"]) => {
                let ids: Vec<String> = serde_json::from_slice(&call.body).unwrap();
                ids.iter().for_each(|id| drop(self.documents.remove(id)));
                self.task()
            }
            ("GET", ["indexes", _, "documents", id]) => match self.documents.get(*id) {
                Some(document) => reply(200, document),
                None => reply(404, &json!({"code": "document_not_found"})),
            },
            _ => panic!("no node is asked {} {}", call.method, call.target),
        }
    }

    fn task(&mut self) -> Answer {
        self.tasks += 1;
        reply(202, &json!({"taskUid": self.tasks}))
    }

    /// All documents of the shards asked for, by `score` and then `id`.
    fn search(&self, query: &Value) -> Answer {
        let shards: Option<Vec<String>> = query["filter"].as_str().map(|clause| {
            let tags = clause.split('[').nth(1).unwrap().trim_end_matches(']');
            tags.split(", ").map(|tag| tag.trim_matches('"').to_string()).collect()
        });
        let is_asked_for = |document: &&Value| {
            let tag = document[TAG_FIELD].as_str().unwrap();
            shards.as_ref().is_none_or(|shards| shards.iter().any(|shard| shard == tag))
        };
        let mut found: Vec<Value> = self.documents.values().filter(is_asked_for).cloned().collect();
        found.sort_by_key(|document| (-document["score"].as_i64().unwrap_or(0), document["id"].as_u64()));
        let mut facets: BTreeMap<String, u64> = BTreeMap::new();
        found
            .iter()
            .filter_map(|document| document["g"].as_str())
            .for_each(|g| *facets.entry(g.into()).or_default() += 1);
        let total = found.len();
        for document in &mut found {
            document["_rankingScore"] = json!(document["score"].as_f64().unwrap_or(0.0));
        }
        let offset = query["offset"].as_u64().unwrap_or(0) as usize;
        let limit = query["limit"].as_u64().unwrap_or(20) as usize;
        let hits: Vec<Value> = found.into_iter().skip(offset).take(limit).collect();
        reply(
            200,
            &json!({
                "hits": hits, "query": "", "processingTimeMs": 1, "limit": limit, "offset": offset,
                "estimatedTotalHits": total, "facetDistribution": {"g": facets}, "facetStats": {}
            }),
        )
    }
}
