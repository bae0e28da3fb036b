//! Reads that go to a covering set of nodes and come back as the answer of one: plan, fan out, fail over, merge.
//!
//! A route says what it asks by a [`Question`]; [`FanOut`] is the exchange that asks it.

mod exchange;
pub mod plan;
mod waves;

use crate::error::ApiError;
use crate::exchange::{CallId, Reply, RequestHead};
use crate::json::NotJson;
use crate::routing::Routing;
use crate::shard::ShardId;
use crate::shard_set::ShardSet;
use crate::table::IndexFacts;

pub use exchange::FanOut;
use plan::Assignment;

/// The request is not one that Meilisearch would take, or not one that we can read: a node should say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A client's request, whole.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The routing table that it is served by.
    pub routing: &'r Routing,
    /// Its head.
    pub head: &'r RequestHead,
    /// The index that its path names; empty where the path names none.
    pub index: &'r str,
    /// Its body.
    pub body: &'r [u8],
}

impl Request<'_> {
    /// What is known of its index.
    pub fn facts(&self) -> IndexFacts {
        self.routing.facts(self.index)
    }

    /// Its body, if it says that it is JSON.
    ///
    /// # Errors
    /// [`Unreadable`] if it doesn't say so, or is none.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Unreadable> {
        let content_type = self.head.header("content-type").and_then(|value| value.split(';').next());
        match content_type.map(str::trim) {
            Some("application/json") => serde_json::from_slice(self.body).map_err(|_| Unreadable),
            _ => Err(Unreadable),
        }
    }
}

/// One node's share of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The node, and the shards whose documents it is to count.
    pub assignment: Assignment,
    /// Whether its answer is the whole answer.
    pub alone: bool,
    /// The call in whose stead it is asked, since that is late; others may be asked for a part of it too.
    pub in_stead_of: Option<CallId>,
}

impl Share {
    /// The tags that must be filtered for; `None` if the node holds no others.
    pub fn tags(&self) -> Option<&ShardSet> {
        self.assignment.tags.as_ref()
    }
}

/// What is asked of a node: a `POST` of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeBody {
    /// Path and query string.
    pub target: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Whom a question goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The nodes that the plan chooses for all shards.
    All,
    /// The nodes that the plan chooses for these.
    Shards(ShardSet),
    /// These nodes for these shards, as an earlier question went. What one of them fails to answer is planned anew.
    Nodes(Vec<Assignment>),
}

/// What the answers of the nodes come to.
#[derive(Debug)]
pub enum Conclusion<Q> {
    /// The client's answer: JSON with status 200.
    Answer(Vec<u8>),
    /// Another question has to be asked first. It knows what it needs of this one.
    Ask(Box<Q>),
    /// The client's request can't be served: a node should say why.
    Refuse,
    /// The same, where a node would not say so.
    Error(ApiError),
}

/// What a route asks of the nodes.
pub trait Question: Sized {
    /// A node's answer, read.
    type Part;

    /// Makes it of a client's request.
    ///
    /// # Errors
    /// [`Unreadable`] if a node should say what is wrong with the request: it gets it as the client sent it.
    fn parse(request: Request) -> Result<Self, Unreadable>;

    /// Chooses replicas among equals: the same for requests whose answers must fit together, such as the pages of
    /// one query.
    fn seed(&self) -> u64;

    /// Whom it goes to.
    fn wanted(&self) -> Wanted {
        Wanted::All
    }

    /// Whether the routing table knows all indexes that it is about: then a node that doesn't is out of step.
    fn is_of_known_indexes(&self, routing: &Routing) -> bool;

    /// Whether a node's refusal of it fits the client's own request, but for a shard clause.
    fn is_in_clients_words(&self) -> bool {
        true
    }

    /// A node's refusal in words that fit the client's own request.
    fn reworded(&self, refusal: Reply) -> Reply {
        refusal
    }

    /// The key to show to the nodes, where it is not the client's own.
    fn key<'r>(&self, _: &'r Routing) -> Option<&'r str> {
        None
    }

    /// What to send to a node.
    fn body_for(&self, share: &Share) -> NodeBody;

    /// Whether other nodes may be asked in the stead of a late one: not where their answers could not stand for its own.
    fn can_be_hedged(&self) -> bool {
        false
    }

    /// Whether the answer is the same with the parts that are in the stead of late ones as with the late ones' own, in the
    /// order of documents of equal rank too. The parts come in the order in which ties are broken.
    fn is_settled(&self, _: &[(&Share, &Self::Part)]) -> bool {
        true
    }

    /// Reads what the node answered.
    ///
    /// # Errors
    /// [`NotJson`] if that is not what a node answers; it counts as failed then.
    fn read(&self, share: &Share, body: Vec<u8>) -> Result<Self::Part, NotJson>;

    /// Merges the answers, which come in the order in which ties are broken.
    ///
    /// # Errors
    /// [`NotJson`] if an answer is not what it seemed.
    fn conclude(self, parts: Vec<(Share, Self::Part)>) -> Result<Conclusion<Self>, NotJson>;
}

/// The value of `X-Miroir-Degraded`; `None` if the answer is whole and fresh.
pub fn degraded(unavailable: &[ShardId], stale: &[ShardId]) -> Option<String> {
    let parts = [("shards", unavailable), ("stale", stale)];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(_, shards)| !shards.is_empty())
        .map(|(name, shards)| format!("{name}={}", list(shards)))
        .collect();
    (!shown.is_empty()).then(|| shown.join("; "))
}

/// The values of that header of several answers, as one.
pub fn join_degraded<'v>(values: impl Iterator<Item = &'v str>) -> Option<String> {
    let (mut unavailable, mut stale) = (Vec::new(), Vec::new());
    for (name, shards) in values.flat_map(|value| value.split("; ")).filter_map(|part| part.split_once('=')) {
        let known = if name == "stale" { &mut stale } else { &mut unavailable };
        known.extend(shards.split(',').filter_map(|shard| shard.parse::<ShardId>().ok()));
    }
    degraded(&unavailable, &stale)
}

fn list(shards: &[ShardId]) -> String {
    let mut shards = shards.to_vec();
    shards.sort_unstable();
    shards.dedup();
    shards.iter().map(ShardId::to_string).collect::<Vec<_>>().join(",")
}
