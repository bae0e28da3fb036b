//! What was attempted, what was answered, and so what may be true of each document.

use std::collections::{BTreeMap, BTreeSet};

use crate::documents::{Content, Key, State};

/// Microseconds since the run began.
pub type Time = u64;

/// How long after a client lost its connection its request may still reach a node, which may have been paused.
const LATE: Time = 20_000_000;

/// What an operation is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Add,
    Update,
    Edit,
    Delete,
    DeleteBatch,
    DeleteByFilter,
}

impl Kind {
    pub const ALL: [Kind; 6] =
        [Kind::Add, Kind::Update, Kind::Edit, Kind::Delete, Kind::DeleteBatch, Kind::DeleteByFilter];
}

/// What an attempt does to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is as written.
    Replace,
    /// What is not written stays.
    Update,
    /// The same, if it is there at all.
    Edit,
    /// It is gone.
    Delete,
}

impl Effect {
    fn apply(self, version: u64, state: State) -> State {
        match self {
            Effect::Replace => Some(Content { version, base: Some(version) }),
            Effect::Update => Some(Content { version, base: state.and_then(|content| content.base) }),
            Effect::Edit => state.map(|content| Content { version, ..content }),
            Effect::Delete => None,
        }
    }

    /// Whether it leaves nothing of what was before.
    fn says_all(self) -> bool {
        matches!(self, Effect::Replace | Effect::Delete)
    }
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    UnderWay,
    /// Answered with a task whose end is not known yet.
    Acknowledged,
    /// The task succeeded; it was seen to then.
    Succeeded(Time),
    /// The task failed: what it was about may have been done or not.
    Failed,
    /// Answered with an error: the same.
    Refused,
    /// No answer came: the same, and it may be done later.
    Unknown,
}

/// One request that changes documents.
#[derive(Clone, Debug)]
pub struct Operation {
    pub kind: Kind,
    pub begun: Time,
    pub ended: Option<Time>,
    pub outcome: Outcome,
    /// The client's task.
    pub task: Option<u64>,
    /// Where it was sent, and what came of it, for people.
    pub envoy: usize,
    pub note: String,
}

/// One document in an operation. Its version is its place among the attempts on the document, from 1.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    operation: usize,
    effect: Effect,
}

/// All that was attempted, in the order in which each writer began it.
#[derive(Debug, Default)]
pub struct History {
    pub operations: Vec<Operation>,
    documents: BTreeMap<Key, Vec<Attempt>>,
}

/// What a document may be at some time during an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Possible {
    /// By all that was answered.
    pub states: BTreeSet<State>,
    /// And if requests that were never answered are done late.
    pub late: BTreeSet<State>,
}

impl Possible {
    pub fn allows(&self, state: State) -> bool {
        self.states.contains(&state) || self.late.contains(&state)
    }

    pub fn must_be_there(&self) -> bool {
        !self.allows(None)
    }

    pub fn may_be_there(&self) -> bool {
        self.states.iter().chain(&self.late).any(Option::is_some)
    }
}

impl History {
    /// Writes down that an operation begins; gives its number and the version of each of its documents.
    pub fn begin(
        &mut self,
        kind: Kind,
        effect: Effect,
        keys: &[Key],
        envoy: usize,
        now: Time,
    ) -> (usize, Vec<u64>) {
        let operation = self.operations.len();
        self.operations.push(Operation {
            kind,
            begun: now,
            ended: None,
            outcome: Outcome::UnderWay,
            task: None,
            envoy,
            note: String::new(),
        });
        let versions = keys.iter().map(|key| {
            let attempts = self.documents.entry(*key).or_default();
            attempts.push(Attempt { operation, effect });
            attempts.len() as u64
        });
        (operation, versions.collect())
    }

    /// Writes down what was answered.
    pub fn end(&mut self, operation: usize, outcome: Outcome, task: Option<u64>, note: String, now: Time) {
        let operation = &mut self.operations[operation];
        (operation.outcome, operation.task, operation.ended) = (outcome, task, Some(now));
        operation.note = note;
    }

    /// Writes down what became of a task.
    pub fn finish(&mut self, operation: usize, outcome: Outcome, note: &str) {
        let operation = &mut self.operations[operation];
        operation.outcome = outcome;
        operation.note.push_str(note);
    }

    /// The tasks whose end is not known yet, each with its operation.
    pub fn pending_tasks(&self) -> BTreeMap<u64, usize> {
        let acknowledged = self.operations.iter().enumerate();
        let pending = acknowledged.filter(|(_, operation)| operation.outcome == Outcome::Acknowledged);
        pending.filter_map(|(number, operation)| Some((operation.task?, number))).collect()
    }

    /// Whether something that a writer began has not come to its end.
    pub fn is_busy(&self, writer: u16) -> bool {
        let keys = Key { writer, number: 0 }..=Key { writer, number: u16::MAX };
        let last = self.documents.range(keys).filter_map(|(_, attempts)| attempts.last());
        let mut last = last.map(|attempt| self.operations[attempt.operation].outcome);
        last.any(|outcome| matches!(outcome, Outcome::UnderWay | Outcome::Acknowledged))
    }

    /// All documents that anybody tried to write.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.documents.keys().copied()
    }

    /// What a document may be at some time from `from` to `to`: all acknowledged attempts whose tasks had succeeded by
    /// `from` were done, in their order; all others that began before `to` may have been, also while it is looked at.
    pub fn possible(&self, key: Key, from: Time, to: Time) -> Possible {
        let attempts = self.documents.get(&key).map_or(&[][..], Vec::as_slice);
        let operation = |attempt: &Attempt| &self.operations[attempt.operation];
        let is_done =
            |attempt: &Attempt| matches!(operation(attempt).outcome, Outcome::Succeeded(at) if at <= from);
        let begun = attempts.iter().take_while(|attempt| operation(attempt).begun <= to).count();
        let attempts = &attempts[..begun];
        // Of what was before one that says all of the document nothing is left.
        let says_all = |attempt: &Attempt| attempt.effect.says_all() && is_done(attempt);
        let first = attempts.iter().rposition(says_all).unwrap_or(0);
        let mut states = BTreeSet::from([None]);
        for (place, attempt) in attempts.iter().enumerate().skip(first) {
            let version = place as u64 + 1;
            let after: BTreeSet<State> =
                states.iter().map(|state| attempt.effect.apply(version, *state)).collect();
            match is_done(attempt) {
                true => states = after,
                false => states.extend(after),
            }
        }
        let mut late = BTreeSet::new();
        let last_done = attempts.iter().rposition(is_done);
        for (place, attempt) in attempts.iter().enumerate().take(last_done.unwrap_or(0)) {
            // What began after it must have ended drove it out.
            let until = operation(attempt).ended.unwrap_or(Time::MAX).saturating_add(LATE);
            let driven_out = attempts[place..]
                .iter()
                .any(|later| later.effect.says_all() && is_done(later) && operation(later).begun > until);
            if operation(attempt).outcome == Outcome::Unknown && !driven_out {
                let version = place as u64 + 1;
                let nothing = (attempt.effect != Effect::Edit).then_some(&None);
                let before = states.iter().chain(nothing);
                late.extend(before.map(|state| attempt.effect.apply(version, *state)));
                // Later updates may in turn come after it.
                for (place, later) in attempts.iter().enumerate().skip(place + 1) {
                    let applied: Vec<State> =
                        late.iter().map(|state| later.effect.apply(place as u64 + 1, *state)).collect();
                    late.extend(applied);
                }
            }
        }
        late.retain(|state| !states.contains(state));
        Possible { states, late }
    }

    /// What was attempted on a document, for people.
    pub fn describe(&self, key: Key) -> String {
        let attempts = self.documents.get(&key).into_iter().flatten().enumerate();
        let lines = attempts.map(|(place, attempt)| {
            let Operation { kind, begun, ended, outcome, task, envoy, note } =
                &self.operations[attempt.operation];
            let seconds = |time: Time| time as f64 / 1e6;
            let ended = ended.map_or("…".to_owned(), |ended| format!("{:.3}", seconds(ended)));
            let outcome = match outcome {
                Outcome::Succeeded(at) => format!("succeeded, seen {:.3}", seconds(*at)),
                outcome => format!("{outcome:?}"),
            };
            let task = task.map_or(String::new(), |task| format!(" task {task}"));
            format!(
                "    {:>9.3} to {ended} v{} {kind:?} by envoy {envoy}:{task} {outcome} {note}",
                seconds(*begun),
                place + 1
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
