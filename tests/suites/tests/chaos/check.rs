//! What an answer must be, given what was attempted.

use std::collections::{BTreeMap, BTreeSet};

use crate::documents::{BUCKETS, Content, Key, State};
use crate::history::{History, Possible, Time};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// A document is twice in an answer.
    Duplicate,
    /// A document that must be there is not.
    Lost,
    /// A document that must be gone is there.
    Resurrected,
    /// A document is at a version that it can't be at.
    Version,
    /// A document that nobody wrote, or that is not what was asked for.
    Foreign,
    /// A total or a count of a facet can't be.
    Count,
    /// Hits are not those that belong on the page.
    Page,
    /// A document is on a node that does not own it.
    Misplaced,
    /// Owners hold different versions of a document.
    Unequal,
    /// A good request is answered as a bad one.
    Refused,
    /// An answer is an error where nothing is wrong with the cluster.
    Unavailable,
    /// The cluster does not come to rest.
    Restless,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Violation {
    pub wrong: Wrong,
    /// The document that it is about, if it is about one.
    pub key: Option<Key>,
    /// What was seen.
    pub seen: String,
}

impl Violation {
    pub fn new(wrong: Wrong, key: Option<Key>, seen: impl Into<String>) -> Violation {
        Violation { wrong, key, seen: seen.into() }
    }
}

/// Which documents were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub writer: Option<u16>,
    pub bucket: Option<u16>,
}

impl Scope {
    pub fn contains(&self, key: Key) -> bool {
        self.writer.is_none_or(|writer| writer == key.writer)
            && self.bucket.is_none_or(|bucket| bucket == key.bucket())
    }
}

/// What a search, or a look at documents, answered.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// When it was asked and when the answer was there.
    pub from: Time,
    pub to: Time,
    pub scope: Scope,
    /// In the answer's order; `Err` is what could not be read.
    pub hits: Vec<Result<(Key, Content), String>>,
    /// Where the page begins in all hits, and how many it may hold. All hits are in the order of their keys.
    pub offset: usize,
    pub limit: usize,
    pub total: Option<u64>,
    /// Documents by bucket.
    pub facets: Option<BTreeMap<String, u64>>,
}

/// What came of checking.
#[derive(Debug, Default)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    /// Documents of which nothing was under way, and so all was known.
    pub certain: u64,
    /// Documents that are as a request left them that nobody answered and that came late.
    pub overtaken: u64,
}

/// Checks an answer that should be whole.
pub fn check(history: &History, found: &Found) -> Verdict {
    let mut verdict = Verdict::default();
    let mut wrong = |wrong, key, seen: String| verdict.violations.push(Violation::new(wrong, key, seen));
    let possible: BTreeMap<Key, Possible> = history
        .keys()
        .filter(|key| found.scope.contains(*key))
        .map(|key| (key, history.possible(key, found.from, found.to)))
        .collect();
    verdict.certain = possible.values().filter(|possible| is_certain(possible)).count() as u64;

    let mut seen: BTreeMap<Key, Content> = BTreeMap::new();
    for hit in &found.hits {
        let (key, content) = match hit {
            Ok(hit) => *hit,
            Err(document) => {
                wrong(Wrong::Foreign, None, format!("a document that nobody wrote: {document}"));
                continue;
            }
        };
        if let Some(first) = seen.insert(key, content) {
            wrong(Wrong::Duplicate, Some(key), format!("twice: {first:?} and {content:?}"));
        }
        match possible.get(&key) {
            Some(possible) => {
                verdict.overtaken += u64::from(possible.late.contains(&Some(content)));
                if let Some(is) = what_is_wrong(possible, Some(content)) {
                    wrong(is, Some(key), describe(Some(content), possible));
                }
            }
            None => wrong(Wrong::Foreign, Some(key), "not what was asked for".into()),
        }
    }
    let is_whole = found.offset == 0 && found.hits.len() < found.limit;
    if is_whole {
        for (key, possible) in possible.iter().filter(|(key, _)| !seen.contains_key(key)) {
            if possible.must_be_there() {
                wrong(Wrong::Lost, Some(*key), describe(None, possible));
            }
            verdict.overtaken += u64::from(possible.late.contains(&None));
        }
    } else if possible.values().all(is_certain) {
        // Only if all is known it is known what belongs on the page.
        let there = possible.iter().filter(|(_, possible)| possible.must_be_there()).map(|(key, _)| *key);
        let expected: Vec<Key> = there.skip(found.offset).take(found.limit).collect();
        let hits: Vec<Key> = found.hits.iter().flatten().map(|(key, _)| *key).collect();
        if hits != expected {
            wrong(
                Wrong::Page,
                None,
                format!("{} {}: {hits:?} instead of {expected:?}", found.offset, found.limit),
            );
        }
    }
    if let Some(total) = found.total {
        let bounds = bounds(possible.values());
        if !bounds.contains(&total) {
            wrong(
                Wrong::Count,
                None,
                format!("a total of {total}, which is not in {bounds:?}: {:?}", found.scope),
            );
        }
    }
    if let Some(facets) = &found.facets {
        let mut names: BTreeSet<String> = facets.keys().cloned().collect();
        names.extend((0..BUCKETS).map(|bucket| format!("b{bucket}")));
        for name in names {
            let of_bucket = possible.iter().filter(|(key, _)| format!("b{}", key.bucket()) == name);
            let bounds = bounds(of_bucket.map(|(_, possible)| possible));
            let count = facets.get(&name).copied().unwrap_or(0);
            if !bounds.contains(&count) {
                wrong(
                    Wrong::Count,
                    None,
                    format!("{count} in {name}, which is not in {bounds:?}: {:?}", found.scope),
                );
            }
        }
    }
    verdict
}

/// What is wrong with a document that is in a state.
pub fn what_is_wrong(possible: &Possible, state: State) -> Option<Wrong> {
    if possible.allows(state) {
        return None;
    }
    Some(match state {
        None => Wrong::Lost,
        Some(_) if !possible.may_be_there() => Wrong::Resurrected,
        Some(_) => Wrong::Version,
    })
}

pub fn describe(state: State, possible: &Possible) -> String {
    let name = |state: &State| match state {
        None => "gone".to_owned(),
        Some(Content { version, base: Some(base) }) => format!("v{version} on v{base}"),
        Some(Content { version, base: None }) => format!("v{version} on nothing"),
    };
    let names: Vec<String> = possible.states.iter().map(name).collect();
    format!("it is {}, and can only be {}", name(&state), names.join(" or "))
}

fn is_certain(possible: &Possible) -> bool {
    possible.states.len() == 1 && possible.late.is_empty()
}

fn bounds<'p>(possible: impl Iterator<Item = &'p Possible>) -> std::ops::RangeInclusive<u64> {
    let (mut least, mut most) = (0, 0);
    for possible in possible {
        least += u64::from(possible.must_be_there());
        most += u64::from(possible.may_be_there());
    }
    least..=most
}
