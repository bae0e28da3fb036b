//! What is done to a store, drawn at random out of a small world, so that operations meet.

use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;
use time::{Duration, OffsetDateTime};

use crate::store::{DateBounds, IndexSwap, NodeChange, TaskQuery, TaskStatus};

pub const INDEXES: [&str; 3] = ["a", "ab", "b"];
pub const NODES: [&str; 3] = ["x", "y", "z"];
pub const SHARDS: u32 = 3;
pub const DOCUMENTS: &str = "documentAdditionOrUpdate";
pub const CREATION: &str = "indexCreation";

/// One call. Where it says which of several things is meant, that is a number modulo how many there are.
#[derive(Clone, Debug)]
pub enum Operation {
    Register(Registration),
    Save { unfinished: usize, status: TaskStatus, hour: i64, by: usize },
    Cancel { query: TaskQuery, key: Option<u8> },
    Delete { query: TaskQuery, key: Option<u8> },
    Prune { before_hour: Option<i64>, limit: usize },
    List(TaskQuery),
    SaveIndex(&'static str),
    UpdateIndex { uid: &'static str, settings: bool },
    DeleteIndex(&'static str),
    SetSettingsVersion { index: &'static str, node: &'static str, version: u64 },
    Create { index: &'static str, key: Option<u8> },
    ChangeNames { change: NodeChange, nodes: Vec<&'static str>, key: Option<u8> },
    AddPending { node: &'static str, change: NodeChange },
    SendPending { node: &'static str, which: usize },
    RemovePending { node: &'static str, which: usize },
    AddEpoch { owners: Vec<&'static str>, skips: bool },
    RetireEpochs { below: u64 },
    MarkStale { node: &'static str, shards: Vec<u32>, lost: bool },
    SeeStale,
    MarkClean { node: &'static str, source: Option<&'static str> },
    Leave { took: Vec<&'static str>, missed: Vec<&'static str>, shard: u32, differs: bool },
    RemoveLeftovers { node: &'static str, shards: Vec<u32> },
    SeeEnvoys { envoys: Vec<&'static str>, forget: bool },
    SaveAlias { name: &'static str, index: &'static str },
    DeleteAlias(&'static str),
    SaveWebhook(u8),
    DeleteWebhook(u8),
    Settle { webhook: u8, tasks: usize },
    SaveKey(u8),
    DeleteKey(u8),
    SaveFeature(bool),
    SaveRules(Vec<&'static str>),
    Reopen,
}

/// A task to register.
#[derive(Clone, Debug)]
pub struct Registration {
    pub index: Option<&'static str>,
    pub kind: &'static str,
    pub status: TaskStatus,
    pub ticket: Option<u8>,
    pub key: Option<u8>,
    pub session: Option<u8>,
    pub fence: Option<FencePlan>,
}

/// What the write saw when it was routed, and who took it.
#[derive(Clone, Debug)]
pub struct FencePlan {
    pub epoch: u64,
    pub taker: &'static str,
    pub missed: Vec<&'static str>,
    pub shards: Vec<u32>,
    /// Whether it names the index's generation, and whether that is the right one.
    pub generation: Option<bool>,
}

pub fn hour(hour: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::hours(hour)
}

pub fn operations() -> impl Strategy<Value = Vec<Operation>> {
    vec(prop_oneof![12 => on_tasks(), 8 => on_indexes(), 6 => on_copies(), 4 => on_the_rest()], 1..60)
}

fn on_tasks() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        8 => registration().prop_map(Register),
        6 => (any::<usize>(), select(&TaskStatus::ALL[..]), 0i64..4, any::<usize>())
            .prop_map(|(unfinished, status, hour, by)| Save { unfinished, status, hour, by }),
        2 => (query(), of(0u8..3)).prop_map(|(query, key)| Cancel { query, key }),
        2 => (query(), of(0u8..3)).prop_map(|(query, key)| Delete { query, key }),
        2 => (of(0i64..4), 0usize..4).prop_map(|(before_hour, limit)| Prune { before_hour, limit }),
        4 => query().prop_map(List),
    ]
}

fn registration() -> impl Strategy<Value = Registration> {
    let plan = (0u64..3, node(), vec(node(), 0..2), shards(), of(any::<bool>()));
    let fence = plan.prop_map(|(epoch, taker, missed, shards, generation)| FencePlan {
        epoch,
        taker,
        missed,
        shards,
        generation,
    });
    let status = prop_oneof![3 => Just(TaskStatus::Enqueued), 1 => Just(TaskStatus::Failed)];
    let kind = select(&[DOCUMENTS, CREATION][..]);
    let request = (weighted(0.2, 0u8..4), weighted(0.2, 0u8..3), weighted(0.3, 0u8..2));
    (weighted(0.9, index()), kind, status, request, weighted(0.3, fence)).prop_map(
        |(index, kind, status, (ticket, key, session), fence)| Registration {
            index,
            kind,
            status,
            ticket,
            key,
            session,
            fence,
        },
    )
}

fn on_indexes() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        index().prop_map(SaveIndex),
        (index(), any::<bool>()).prop_map(|(uid, settings)| UpdateIndex { uid, settings }),
        index().prop_map(DeleteIndex),
        (index(), node(), 0u64..5).prop_map(|(index, node, version)| SetSettingsVersion {
            index,
            node,
            version
        }),
        (index(), weighted(0.5, 0u8..3)).prop_map(|(index, key)| Create { index, key }),
        (change(), vec(node(), 0..3), weighted(0.5, 0u8..3)).prop_map(|(change, nodes, key)| ChangeNames {
            change,
            nodes,
            key
        }),
        (node(), change()).prop_map(|(node, change)| AddPending { node, change }),
        (node(), any::<usize>()).prop_map(|(node, which)| SendPending { node, which }),
        (node(), any::<usize>()).prop_map(|(node, which)| RemovePending { node, which }),
    ]
}

fn change() -> impl Strategy<Value = NodeChange> {
    let pair = (0..INDEXES.len(), 1..INDEXES.len(), any::<bool>()).prop_map(|(left, distance, rename)| {
        let right = (left + distance) % INDEXES.len();
        IndexSwap { indexes: (INDEXES[left].into(), INDEXES[right].into()), rename }
    });
    prop_oneof![
        1 => index().prop_map(|uid| NodeChange::Delete(uid.into())),
        3 => vec(pair, 1..3).prop_map(NodeChange::Swap),
    ]
}

fn on_copies() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        (vec(node(), 1..4), weighted(0.1, Just(())))
            .prop_map(|(owners, skips)| AddEpoch { owners, skips: skips.is_some() }),
        (0u64..3).prop_map(|below| RetireEpochs { below }),
        (node(), shards(), any::<bool>()).prop_map(|(node, shards, lost)| MarkStale { node, shards, lost }),
        Just(SeeStale),
        (node(), of(node())).prop_map(|(node, source)| MarkClean { node, source }),
        (vec(node(), 0..3), vec(node(), 0..2), 0..SHARDS, any::<bool>())
            .prop_map(|(took, missed, shard, differs)| Leave { took, missed, shard, differs }),
        (node(), shards()).prop_map(|(node, shards)| RemoveLeftovers { node, shards }),
    ]
}

fn on_the_rest() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        1 => (vec(node(), 0..3), any::<bool>()).prop_map(|(envoys, forget)| SeeEnvoys { envoys, forget }),
        1 => (select(&["p", "q"][..]), index()).prop_map(|(name, index)| SaveAlias { name, index }),
        1 => select(&["p", "q"][..]).prop_map(DeleteAlias),
        3 => (0u8..2).prop_map(SaveWebhook),
        1 => (0u8..2).prop_map(DeleteWebhook),
        1 => (0u8..2, 0usize..4).prop_map(|(webhook, tasks)| Settle { webhook, tasks }),
        1 => (0u8..3).prop_map(SaveKey),
        1 => (0u8..3).prop_map(DeleteKey),
        1 => any::<bool>().prop_map(SaveFeature),
        1 => vec(node(), 0..3).prop_map(SaveRules),
        2 => Just(Reopen),
    ]
}

fn query() -> impl Strategy<Value = TaskQuery> {
    let page = (0usize..5, of(0u64..12), any::<bool>());
    let uids = || weighted(0.15, vec(0u64..15, 0..6));
    let indexes = weighted(0.15, vec(index().prop_map(str::to_owned), 0..3));
    let visible = weighted(0.15, vec(select(&["a", "a*", "b", "*"][..]).prop_map(str::to_owned), 0..3));
    let statuses = weighted(0.2, vec(select(&TaskStatus::ALL[..]), 0..3));
    let types =
        weighted(0.15, vec(select(&[DOCUMENTS, CREATION, "other"][..]).prop_map(str::to_owned), 0..3));
    let dates = weighted(0.1, (of(0i64..4), of(0i64..4)));
    (page, (uids(), uids(), uids()), indexes, visible, statuses, types, dates).prop_map(
        |(
            (limit, from, reverse),
            (uids, batch_uids, canceled_by),
            index_uids,
            visible_indexes,
            statuses,
            types,
            dates,
        )| {
            let (before, after) = dates.unwrap_or_default();
            let dates = DateBounds {
                before_started_at: before.map(hour),
                after_finished_at: after.map(hour),
                ..DateBounds::default()
            };
            TaskQuery {
                limit,
                from,
                reverse,
                uids,
                batch_uids,
                statuses,
                types,
                index_uids,
                visible_indexes,
                canceled_by,
                dates,
            }
        },
    )
}

fn index() -> impl Strategy<Value = &'static str> {
    select(&INDEXES[..])
}

fn node() -> impl Strategy<Value = &'static str> {
    select(&NODES[..])
}

fn shards() -> impl Strategy<Value = Vec<u32>> {
    vec(0..SHARDS, 1..3)
}
