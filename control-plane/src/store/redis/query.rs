//! Which tasks match a query, found by sorted sets of uids alone wherever that can be.

use std::collections::BTreeSet;

use redis::Pipeline;
use uuid::Uuid;

use super::tasks::CHUNK;
use super::transaction::Names;
use super::{RedisStore, keys};
use crate::store::{DateBounds, StoreError, TaskQuery, TaskRecord};

/// Sets that are made for a query go by themselves after so many seconds, should nobody delete them.
const LIFE: u64 = 60;

/// A page of uids.
pub struct Page {
    /// The uids, in the order that was asked for.
    pub uids: Vec<u64>,
    /// How many match in all.
    pub total: u64,
    /// The uid from which the next page begins.
    pub next: Option<u64>,
}

/// What a task must be in.
enum Criterion {
    /// One of these sets.
    Sets(Vec<String>),
    /// This list.
    Uids(Vec<u64>),
}

impl RedisStore {
    /// The uids of a page of tasks.
    pub(super) async fn select_page(&self, names: &Names, query: &TaskQuery) -> Result<Page, StoreError> {
        if query.dates.is_any() {
            return Ok(page_of(self.select(names, query).await?, query));
        }
        let criteria = self.criteria(names, query).await?;
        self.page_of_set(&criteria, keys::ALL, query).await
    }

    /// The uids of all tasks that match, growing.
    pub(super) async fn select(&self, names: &Names, query: &TaskQuery) -> Result<Vec<u64>, StoreError> {
        let criteria = self.criteria(names, query).await?;
        let mut request = redis::pipe();
        request.atomic();
        let made = intersect(&mut request, &criteria, keys::ALL);
        request.cmd("ZRANGE").arg(made.set()).arg(0).arg(-1);
        made.forget(&mut request);
        let (mut uids,): (Vec<u64>,) = self.link.ask(&request).await?;
        if query.dates.is_any() {
            let mut matching = Vec::new();
            for uids in uids.chunks(CHUNK) {
                let tasks = self.tasks_of(names, uids).await?.into_iter();
                matching.extend(tasks.filter(|task| query.dates.include(task)).map(|task| task.uid));
            }
            uids = matching;
        }
        Ok(uids)
    }

    /// The least uids of all that are in these sets.
    pub(super) async fn first(
        &self,
        sets: impl IntoIterator<Item = String>,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let Some(last) = limit.checked_sub(1) else { return Ok(Vec::new()) };
        let last = i64::try_from(last).unwrap_or(i64::MAX);
        let mut request = redis::pipe();
        request.atomic();
        for set in sets {
            request.cmd("ZRANGE").arg(set).arg(0).arg(last);
        }
        if request.is_empty() {
            return Ok(Vec::new());
        }
        let uids: Vec<Vec<u64>> = self.link.ask(&request).await?;
        Ok(uids.into_iter().flatten().collect::<BTreeSet<u64>>().into_iter().take(limit).collect())
    }

    /// The uids of a page of the batches with a task that matches.
    pub(super) async fn select_batches(&self, names: &Names, query: &TaskQuery) -> Result<Page, StoreError> {
        let is_of_all = self.criteria(names, query).await?.is_empty() && !query.dates.is_any();
        if is_of_all {
            return self.page_of_set(&[], keys::BATCHES, query).await;
        }
        let mut batches = BTreeSet::new();
        for uids in self.select(names, query).await?.chunks(CHUNK) {
            batches.extend(self.tasks_of(names, uids).await?.iter().filter_map(TaskRecord::batch_uid));
        }
        Ok(page_of(batches.into_iter().collect(), query))
    }

    async fn page_of_set(
        &self,
        criteria: &[Criterion],
        all: &str,
        query: &TaskQuery,
    ) -> Result<Page, StoreError> {
        let mut request = redis::pipe();
        request.atomic();
        let made = intersect(&mut request, criteria, all);
        request.cmd("ZCARD").arg(made.set());
        // One more, to know where the next page begins.
        let (range, end, count) = match query.reverse {
            true => ("ZRANGEBYSCORE", "+inf", query.limit.saturating_add(1)),
            false => ("ZREVRANGEBYSCORE", "-inf", query.limit.saturating_add(1)),
        };
        let first = query
            .from
            .map_or_else(|| if query.reverse { "-inf" } else { "+inf" }.into(), |uid| uid.to_string());
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        request.cmd(range).arg(made.set()).arg(first).arg(end).arg("LIMIT").arg(0).arg(count);
        made.forget(&mut request);
        let (total, mut uids): (u64, Vec<u64>) = self.link.ask(&request).await?;
        let next = (uids.len() > query.limit).then(|| uids.pop()).flatten();
        Ok(Page { uids, total, next })
    }

    async fn criteria(&self, names: &Names, query: &TaskQuery) -> Result<Vec<Criterion>, StoreError> {
        let mut criteria = Vec::new();
        let mut any_of = |sets: Vec<String>| criteria.push(Criterion::Sets(sets));
        if let Some(statuses) = &query.statuses {
            any_of(statuses.iter().map(|status| keys::of_status(status.name())).collect());
        }
        if let Some(types) = &query.types {
            any_of(types.iter().map(|kind| keys::of_kind(kind)).collect());
        }
        if let Some(uids) = &query.index_uids {
            any_of(uids.iter().filter_map(|uid| names.handle(uid)).map(keys::of_index).collect());
        }
        if let Some(patterns) = &query.visible_indexes {
            let visible =
                names.iter().filter(|(uid, _)| patterns.iter().any(|pattern| matches(pattern, uid)));
            any_of(visible.map(|(_, handle)| keys::of_index(handle)).collect());
        }
        if let Some(canceling) = &query.canceled_by {
            any_of(canceling.iter().map(|uid| keys::canceled_by(*uid)).collect());
        }
        if let Some(uids) = &query.uids {
            criteria.push(Criterion::Uids(uids.clone()));
        }
        if let Some(batches) = &query.batch_uids {
            let mut members = Vec::new();
            for batch in batches {
                members.extend(self.members_of_batch(names, *batch).await?.iter().map(|task| task.uid));
            }
            criteria.push(Criterion::Uids(members));
        }
        Ok(criteria)
    }
}

/// Sets that were made for a query; the last is what it is about.
struct Made {
    made: Vec<String>,
    all: String,
}

impl Made {
    fn set(&self) -> &str {
        self.made.last().unwrap_or(&self.all)
    }

    fn forget(&self, request: &mut Pipeline) {
        if !self.made.is_empty() {
            request.cmd("DEL").arg(&self.made).ignore();
        }
    }
}

/// Makes the set of what meets all criteria.
fn intersect(request: &mut Pipeline, criteria: &[Criterion], all: &str) -> Made {
    if criteria.is_empty() {
        return Made { made: Vec::new(), all: all.to_owned() };
    }
    let query = Uuid::new_v4().simple();
    let mut made = Vec::new();
    for (number, criterion) in criteria.iter().enumerate() {
        let set = format!("miroir:query:{query}:{number}");
        match criterion {
            Criterion::Sets(sets) if !sets.is_empty() => {
                let request = request.cmd("ZUNIONSTORE").arg(&set).arg(sets.len()).arg(sets);
                request.arg("AGGREGATE").arg("MAX").ignore();
            }
            Criterion::Uids(uids) if !uids.is_empty() => {
                for uids in uids.chunks(CHUNK) {
                    let pairs: Vec<(u64, u64)> = uids.iter().map(|uid| (*uid, *uid)).collect();
                    request.cmd("ZADD").arg(&set).arg(pairs).ignore();
                }
            }
            // Nothing is in a set that is not there.
            _ => {}
        }
        made.push(set);
    }
    let both = format!("miroir:query:{query}");
    let sets: Vec<&str> = made.iter().map(String::as_str).chain([all]).collect();
    let intersection = request.cmd("ZINTERSTORE").arg(&both).arg(sets.len()).arg(&sets);
    intersection.arg("AGGREGATE").arg("MAX").ignore();
    made.push(both);
    for set in &made {
        request.cmd("EXPIRE").arg(set).arg(LIFE).ignore();
    }
    Made { made, all: all.to_owned() }
}

/// A page of growing uids.
fn page_of(mut uids: Vec<u64>, query: &TaskQuery) -> Page {
    let total = uids.len() as u64;
    if !query.reverse {
        uids.reverse();
    }
    let is_of_page = |uid: &u64| match query.from {
        Some(from) if query.reverse => *uid >= from,
        Some(from) => *uid <= from,
        None => true,
    };
    uids.retain(is_of_page);
    let next = uids.get(query.limit).copied();
    uids.truncate(query.limit);
    Page { uids, total, next }
}

/// Whether a uid matches a pattern as `movies` or `movies_*`.
fn matches(pattern: &str, uid: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => uid.starts_with(prefix),
        None => uid == pattern,
    }
}

impl DateBounds {
    fn is_any(&self) -> bool {
        self.pairs().into_iter().any(|(before, after)| before.is_some() || after.is_some())
    }

    fn include(&self, task: &TaskRecord) -> bool {
        let dates = [Some(task.enqueued_at), task.started_at, task.finished_at];
        self.pairs().into_iter().zip(dates).all(|((before, after), date)| {
            before.is_none_or(|bound| date.is_some_and(|date| date < bound))
                && after.is_none_or(|bound| date.is_some_and(|date| date > bound))
        })
    }

    /// The bounds before and after which a task was enqueued, started and finished.
    fn pairs(&self) -> [(Option<time::OffsetDateTime>, Option<time::OffsetDateTime>); 3] {
        [
            (self.before_enqueued_at, self.after_enqueued_at),
            (self.before_started_at, self.after_started_at),
            (self.before_finished_at, self.after_finished_at),
        ]
    }
}
