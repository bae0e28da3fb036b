//! Choosing tasks by what `/tasks` can be asked.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::{Status, Task, TaskId};
use crate::auth::access::Access;
use crate::http::invalid::Reason;
use crate::http::request::{self, Parameter};

/// Which tasks are meant. What is not said does not matter; neither does `*`.
#[derive(Debug, Clone, Default, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
#[allow(missing_docs)]
pub struct TaskFilter {
    #[deserr(default)]
    pub batch_uids: Option<Vec<u32>>,
    #[deserr(default)]
    pub uids: Option<Vec<TaskId>>,
    #[deserr(default)]
    pub canceled_by: Option<Vec<TaskId>>,
    #[deserr(default)]
    pub types: Option<Vec<Kind>>,
    #[deserr(default)]
    pub statuses: Option<Vec<StatusName>>,
    #[deserr(default)]
    pub index_uids: Option<Vec<IndexName>>,
    #[deserr(default)]
    pub after_enqueued_at: Option<After>,
    #[deserr(default)]
    pub before_enqueued_at: Option<Before>,
    #[deserr(default)]
    pub after_started_at: Option<After>,
    #[deserr(default)]
    pub before_started_at: Option<Before>,
    #[deserr(default)]
    pub after_finished_at: Option<After>,
    #[deserr(default)]
    pub before_finished_at: Option<Before>,
}

/// The parameters of the choice.
pub const FILTER_PARAMETERS: [(&str, Parameter); 12] = [
    ("batchUids", Parameter::IntegerList),
    ("uids", Parameter::IntegerList),
    ("canceledBy", Parameter::IntegerList),
    ("types", Parameter::List),
    ("statuses", Parameter::List),
    ("indexUids", Parameter::List),
    ("afterEnqueuedAt", Parameter::Text),
    ("beforeEnqueuedAt", Parameter::Text),
    ("afterStartedAt", Parameter::Text),
    ("beforeStartedAt", Parameter::Text),
    ("afterFinishedAt", Parameter::Text),
    ("beforeFinishedAt", Parameter::Text),
];

const KINDS: [&str; 19] = [
    "documentAdditionOrUpdate",
    "documentEdition",
    "documentDeletion",
    "settingsUpdate",
    "indexCreation",
    "indexDeletion",
    "indexUpdate",
    "indexSwap",
    "taskCancelation",
    "taskDeletion",
    "dumpCreation",
    "snapshotCreation",
    "export",
    "upgradeDatabase",
    "indexCompaction",
    "networkTopologyChange",
    "dsrUpdate",
    "dsrClear",
    "*",
];

const STATUSES: [(&str, Option<Status>); 6] = [
    ("enqueued", Some(Status::Enqueued)),
    ("processing", Some(Status::Processing)),
    ("succeeded", Some(Status::Succeeded)),
    ("failed", Some(Status::Failed)),
    ("canceled", Some(Status::Canceled)),
    ("*", None),
];

/// The type of a task, or `*`.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(try_from(String) = Kind::parse -> Reason)]
pub struct Kind(String);

impl Kind {
    fn parse(kind: String) -> Result<Self, Reason> {
        if let Some(known) = KINDS.iter().find(|known| known.eq_ignore_ascii_case(&kind)) {
            return Ok(Self(known.to_string()));
        }
        let known: Vec<_> = KINDS[..KINDS.len() - 1].iter().map(|kind| format!("`{kind}`")).collect();
        let known = known.join(", ");
        Err(Reason(format!("`{kind}` is not a valid task type. Available types are {known}.")))
    }
}

/// The status of a task, or `*`.
#[derive(Debug, Clone, Copy, deserr::Deserr)]
#[deserr(try_from(String) = StatusName::parse -> Reason)]
pub struct StatusName(Option<Status>);

impl StatusName {
    fn parse(status: String) -> Result<Self, Reason> {
        if let Some((_, known)) = STATUSES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&status)) {
            return Ok(Self(*known));
        }
        let known: Vec<_> =
            STATUSES[..STATUSES.len() - 1].iter().map(|(name, _)| format!("`{name}`")).collect();
        let known = known.join(", ");
        Err(Reason(format!("`{status}` is not a valid task status. Available statuses are {known}.")))
    }
}

/// The uid of an index, or `*`.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(try_from(String) = IndexName::parse -> Reason)]
pub struct IndexName(String);

impl IndexName {
    fn parse(uid: String) -> Result<Self, Reason> {
        if uid != "*" {
            request::index_uid(&uid).map_err(Reason::new)?;
        }
        Ok(Self(uid))
    }
}

/// A moment to come after; a day alone means after its end.
#[derive(Debug, Clone, Copy, deserr::Deserr)]
#[deserr(try_from(String) = After::parse -> Reason)]
pub struct After(Option<OffsetDateTime>);

/// A moment to come before; a day alone means before its beginning.
#[derive(Debug, Clone, Copy, deserr::Deserr)]
#[deserr(try_from(String) = Before::parse -> Reason)]
pub struct Before(Option<OffsetDateTime>);

impl After {
    fn parse(text: String) -> Result<Self, Reason> {
        moment(&text, Date::next_day).map(Self)
    }
}

impl Before {
    fn parse(text: String) -> Result<Self, Reason> {
        moment(&text, Some).map(Self)
    }
}

fn moment(text: &str, day: impl Fn(Date) -> Option<Date>) -> Result<Option<OffsetDateTime>, Reason> {
    if text == "*" {
        return Ok(None);
    }
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(Some(moment));
    }
    match Date::parse(text, format_description!("[year]-[month]-[day]")).ok().and_then(day) {
        Some(date) => Ok(Some(date.midnight().assume_utc())),
        None => Err(Reason(format!(
            "`{text}` is an invalid date-time. It should follow the YYYY-MM-DD or RFC 3339 date-time format."
        ))),
    }
}

impl TaskFilter {
    /// Whether the task is meant.
    pub fn matches(&self, task: &Task) -> bool {
        let is_after = |after: Option<After>, moment: Option<OffsetDateTime>| {
            after.and_then(|after| after.0).is_none_or(|after| moment.is_some_and(|moment| moment > after))
        };
        let is_before = |before: Option<Before>, moment: Option<OffsetDateTime>| {
            before
                .and_then(|before| before.0)
                .is_none_or(|before| moment.is_some_and(|moment| moment < before))
        };
        one_of(&self.uids, |uid| *uid == task.uid)
            && one_of(&self.batch_uids, |uid| Some(*uid) == task.batch_uid)
            && one_of(&self.canceled_by, |uid| Some(*uid) == task.canceled_by)
            && one_of(&self.types, |kind| kind.0 == "*" || kind.0 == task.operation.kind())
            && one_of(&self.statuses, |status| status.0.is_none_or(|status| status == task.status))
            && one_of(&self.index_uids, |uid| uid.0 == "*" || task.indexes().contains(&uid.0.as_str()))
            && is_after(self.after_enqueued_at, Some(task.enqueued_at))
            && is_before(self.before_enqueued_at, Some(task.enqueued_at))
            && is_after(self.after_started_at, task.started_at)
            && is_before(self.before_started_at, task.started_at)
            && is_after(self.after_finished_at, task.finished_at)
            && is_before(self.before_finished_at, task.finished_at)
    }
}

impl TaskFilter {
    /// Whether the task is meant and may be shown. Where only some indexes are asked for or allowed, the tasks that
    /// are not about one index are left out.
    pub fn shows(&self, task: &Task, access: &Access) -> bool {
        let names_indexes = self.index_uids.as_ref().is_some_and(|uids| !uids.iter().any(|uid| uid.0 == "*"));
        self.matches(task)
            && (task.index_uid.is_some() || !names_indexes && access.covers_all())
            && task.indexes().iter().all(|uid| access.covers(uid))
    }
}

fn one_of<T>(wanted: &Option<Vec<T>>, is_it: impl Fn(&T) -> bool) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted.iter().any(is_it))
}
