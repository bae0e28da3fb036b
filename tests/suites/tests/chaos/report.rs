//! What happened in a run, counted, as a table.

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{History, Kind, Outcome};

/// Counts by group and name.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(&'static str, String), u64>);

impl Tally {
    pub fn add(&mut self, group: &'static str, name: impl Into<String>, count: u64) {
        *self.0.entry((group, name.into())).or_default() += count;
    }

    pub fn count(&mut self, group: &'static str, name: impl Into<String>) {
        self.add(group, name, 1);
    }

    /// Counts all operations by kind and outcome, and why some were not acknowledged.
    pub fn count_operations(&mut self, history: &History) {
        for operation in &history.operations {
            let outcome = match operation.outcome {
                Outcome::Succeeded(_) => "succeeded",
                Outcome::UnderWay => "under way",
                Outcome::Acknowledged => "acknowledged only",
                Outcome::Failed => "failed",
                Outcome::Refused => "refused",
                Outcome::Unknown => "unanswered",
            };
            self.count("writes", format!("{:?} {outcome}", operation.kind));
            match operation.outcome {
                Outcome::Refused => self.count("refusals", operation.note.clone()),
                Outcome::Failed => self.count("failures", shortened(&operation.note)),
                _ => {}
            }
        }
    }

    /// The kinds of writes of which none has succeeded: of these a run has shown nothing.
    pub fn untried(&self) -> Vec<Kind> {
        let succeeded = |kind: &Kind| self.0.contains_key(&("writes", format!("{kind:?} succeeded")));
        Kind::ALL.into_iter().filter(|kind| !succeeded(kind)).collect()
    }

    /// Puts the counts of another run to these.
    pub fn take(&mut self, other: Tally) {
        for ((group, name), count) in other.0 {
            self.add(group, name, count);
        }
    }
}

/// So much of a message as tells it from others.
fn shortened(message: &str) -> String {
    message.chars().filter(|character| !character.is_ascii_digit()).take(70).collect()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for ((group, name), count) in &self.0 {
            let shown = if *group == last { "" } else { group };
            writeln!(f, "  {shown:<12} {name:<72} {count:>7}")?;
            last = group;
        }
        Ok(())
    }
}
