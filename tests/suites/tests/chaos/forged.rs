//! The checker is shown histories with faults in them, and must see each.

use std::collections::{BTreeMap, BTreeSet};

use crate::at_rest::{self, Holdings};
use crate::check::{Found, Scope, Wrong, check};
use crate::documents::{Content, Key};
use crate::history::{Effect, History, Kind, Outcome, Time};

const KEY: Key = Key { writer: 1, number: 4 };
const OTHER: Key = Key { writer: 1, number: 5 };

/// Something was done to a document and answered, all in the tenth of a second after `at` seconds.
fn attempt(history: &mut History, key: Key, effect: Effect, at: Time, outcome: Outcome) -> usize {
    let at = at * 1_000_000;
    let (operation, _) = history.begin(Kind::Add, effect, &[key], 0, at);
    history.end(operation, outcome, Some(operation as u64), String::new(), at + 100_000);
    operation
}

fn done(at: Time) -> Outcome {
    Outcome::Succeeded(at * 1_000_000 + 200_000)
}

fn whole(version: u64) -> Content {
    Content { version, base: Some(version) }
}

/// A search for everything from second 10 to second 11.
fn found(hits: &[(Key, Content)]) -> Found {
    Found {
        from: 10_000_000,
        to: 11_000_000,
        scope: Scope { writer: Some(1), bucket: None },
        hits: hits.iter().copied().map(Ok).collect(),
        limit: 1000,
        ..Found::default()
    }
}

#[track_caller]
fn assert_found(history: &History, found: &Found, wrong: &[Wrong]) {
    let verdict = check(history, found);
    let seen: Vec<Wrong> = verdict.violations.iter().map(|violation| violation.wrong).collect();
    assert_eq!(seen, wrong, "{:?}", verdict.violations);
}

#[test]
fn a_lost_document_is_seen() {
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Replace, 1, done(1));
    assert_found(&history, &found(&[(KEY, whole(1))]), &[]);
    assert_found(&history, &found(&[]), &[Wrong::Lost]);
    // It was not acknowledged that it is gone; one of two things was asked for.
    attempt(&mut history, KEY, Effect::Replace, 2, Outcome::Refused);
    assert_found(&history, &found(&[]), &[Wrong::Lost]);
    attempt(&mut history, KEY, Effect::Delete, 3, Outcome::Refused);
    assert_found(&history, &found(&[]), &[]);
    assert_found(&history, &found(&[(KEY, whole(1))]), &[]);
    assert_found(&history, &found(&[(KEY, whole(2))]), &[]);
}

#[test]
fn what_is_not_known_to_be_done_may_be_missing() {
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Replace, 1, Outcome::Acknowledged);
    assert_found(&history, &found(&[]), &[]);
    // Done, but seen only while it was searched; begun while it was searched; begun after.
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Replace, 1, Outcome::Succeeded(10_500_000));
    attempt(&mut history, OTHER, Effect::Replace, 10, Outcome::UnderWay);
    assert_found(&history, &found(&[]), &[]);
    assert_found(&history, &found(&[(OTHER, whole(1))]), &[]);
    attempt(&mut history, KEY, Effect::Replace, 20, done(20));
    assert_found(&history, &found(&[(KEY, whole(2))]), &[Wrong::Version]);
}

#[test]
fn an_old_version_is_seen() {
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Replace, 1, done(1));
    attempt(&mut history, KEY, Effect::Update, 2, done(2));
    let updated = Content { version: 2, base: Some(1) };
    assert_found(&history, &found(&[(KEY, updated)]), &[]);
    assert_found(&history, &found(&[(KEY, whole(1))]), &[Wrong::Version]);
    // Half of it: the update came to a node that lacked what it was made on.
    assert_found(&history, &found(&[(KEY, Content { version: 2, base: None })]), &[Wrong::Version]);
    assert_found(&history, &found(&[(KEY, whole(3))]), &[Wrong::Version]);
}

#[test]
fn an_edit_changes_what_is_there_and_makes_nothing() {
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Edit, 1, done(1));
    assert_found(&history, &found(&[]), &[]);
    assert_found(&history, &found(&[(KEY, whole(1))]), &[Wrong::Resurrected]);
    attempt(&mut history, KEY, Effect::Replace, 2, done(2));
    attempt(&mut history, KEY, Effect::Edit, 3, done(3));
    assert_found(&history, &found(&[(KEY, Content { version: 3, base: Some(2) })]), &[]);
    assert_found(&history, &found(&[(KEY, whole(2))]), &[Wrong::Version]);
    assert_found(&history, &found(&[]), &[Wrong::Lost]);
}

#[test]
fn a_duplicate_is_seen() {
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Replace, 1, done(1));
    assert_found(&history, &found(&[(KEY, whole(1)), (KEY, whole(1))]), &[Wrong::Duplicate]);
}

#[test]
fn a_resurrected_document_is_seen() {
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Replace, 1, done(1));
    attempt(&mut history, KEY, Effect::Delete, 2, done(2));
    assert_found(&history, &found(&[]), &[]);
    assert_found(&history, &found(&[(KEY, whole(1))]), &[Wrong::Resurrected]);
}

#[test]
fn what_nobody_answered_may_come_late_but_not_for_ever() {
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Replace, 1, Outcome::Unknown);
    attempt(&mut history, KEY, Effect::Replace, 2, done(2));
    let verdict = check(&history, &found(&[(KEY, whole(1))]));
    assert_eq!((verdict.violations.len(), verdict.overtaken), (0, 1));
    let late = Found { from: 50_000_000, to: 51_000_000, ..found(&[(KEY, whole(1))]) };
    attempt(&mut history, KEY, Effect::Replace, 40, done(40));
    assert_found(&history, &late, &[Wrong::Version]);
}

#[test]
fn documents_that_are_not_asked_for_are_seen() {
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Replace, 1, done(1));
    let stranger = (Key { writer: 2, number: 1 }, whole(1));
    assert_found(&history, &found(&[(KEY, whole(1)), stranger]), &[Wrong::Foreign]);
}

#[test]
fn wrong_counts_and_pages_are_seen() {
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Replace, 1, done(1));
    attempt(&mut history, OTHER, Effect::Replace, 1, done(1));
    let all = found(&[(KEY, whole(1)), (OTHER, whole(1))]);
    let facets = |b0: u64, b1: u64| Some(BTreeMap::from([("b0".to_owned(), b0), ("b1".to_owned(), b1)]));
    assert_found(&history, &Found { total: Some(2), facets: facets(1, 1), ..all.clone() }, &[]);
    assert_found(&history, &Found { total: Some(3), ..all.clone() }, &[Wrong::Count]);
    assert_found(&history, &Found { facets: facets(2, 1), ..all.clone() }, &[Wrong::Count]);
    let second = Found { offset: 1, limit: 1, ..found(&[(OTHER, whole(1))]) };
    assert_found(&history, &second, &[]);
    assert_found(&history, &Found { offset: 0, ..second }, &[Wrong::Page]);
    // While something is under way, it counts or not.
    attempt(&mut history, OTHER, Effect::Delete, 2, Outcome::Acknowledged);
    for (total, wrong) in [(0, &[Wrong::Count][..]), (1, &[]), (2, &[])] {
        assert_found(&history, &Found { total: Some(total), ..all.clone() }, wrong);
    }
}

fn holdings(nodes: &[(&str, &[(Key, Content)])]) -> Holdings {
    let owners = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
    let documents = |held: &[(Key, Content)]| held.iter().map(|(key, content)| (*key, *content, 7)).collect();
    Holdings {
        owners: BTreeMap::from([(7, owners)]),
        nodes: nodes.iter().map(|(node, held)| ((*node).to_owned(), documents(held))).collect(),
        ..Holdings::default()
    }
}

#[track_caller]
fn assert_at_rest(history: &History, holdings: &Holdings, wrong: &[Wrong]) {
    let violations = at_rest::check(history, holdings, |_| 7);
    let seen: Vec<Wrong> = violations.iter().map(|violation| violation.wrong).collect();
    assert_eq!(seen, wrong, "{violations:?}");
}

#[test]
fn at_rest_all_copies_must_be_right_and_nowhere_else() {
    let mut history = History::default();
    attempt(&mut history, KEY, Effect::Replace, 1, done(1));
    attempt(&mut history, KEY, Effect::Replace, 2, done(2));
    let (new, old) = ([(KEY, whole(2))], [(KEY, whole(1))]);
    assert_at_rest(&history, &holdings(&[("a", &new), ("b", &new)]), &[]);
    assert_at_rest(&history, &holdings(&[("a", &new), ("b", &old)]), &[Wrong::Unequal, Wrong::Version]);
    assert_at_rest(&history, &holdings(&[("a", &new)]), &[Wrong::Unequal, Wrong::Lost]);
    assert_at_rest(&history, &holdings(&[]), &[Wrong::Lost, Wrong::Lost]);
    assert_at_rest(&history, &holdings(&[("a", &new), ("b", &new), ("c", &new)]), &[Wrong::Misplaced]);
    let stale = Holdings {
        owners: BTreeMap::from([(7, BTreeSet::from(["a".to_owned()]))]),
        stale: BTreeMap::from([(7, BTreeSet::from(["b".to_owned()]))]),
        ..holdings(&[("a", &new), ("b", &old)])
    };
    assert_at_rest(&history, &stale, &[]);
    assert_at_rest(
        &history,
        &Holdings { owners: BTreeMap::new(), ..stale },
        &[Wrong::Misplaced, Wrong::Lost],
    );
    attempt(&mut history, KEY, Effect::Delete, 3, done(3));
    assert_at_rest(
        &history,
        &holdings(&[("a", &new), ("b", &new)]),
        &[Wrong::Resurrected, Wrong::Resurrected],
    );
    attempt(&mut history, KEY, Effect::Replace, 4, Outcome::Refused);
    let refused = [(KEY, whole(4))];
    assert_at_rest(&history, &holdings(&[("a", &refused), ("b", &refused)]), &[]);
    assert_at_rest(&history, &holdings(&[("a", &refused)]), &[Wrong::Unequal]);
}
