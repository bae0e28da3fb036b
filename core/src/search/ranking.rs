//! One list of hits out of several: in the order of their ranks, each distinct value once, pinned hits in their places.

use std::collections::HashSet;
use std::iter::Peekable;

use crate::search::hit::{DistinctValue, HitRank};

/// A hit, wherever it is.
pub trait Ranked<'a>: Copy {
    /// Its rank; `None` if its node answers alone.
    fn rank(self) -> Option<&'a HitRank>;

    /// The place that a search rule pins it to.
    fn pin(self) -> Option<usize> {
        self.rank()?.key.pin()
    }
}

/// What becomes of a hit that has a distinct value in common with one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// It stays.
    Stay,
    /// It is left out. Those after the last hit that is needed are not looked at.
    LeftOut,
    /// It is left out. All are counted.
    Counted,
}

/// One list of several.
#[derive(Debug)]
pub struct Merged<T> {
    /// Its first hits.
    pub hits: Vec<T>,
    /// How many hits were left out.
    pub repeats: u64,
}

/// The first `needed` hits of several lists that are in order; of equal hits those of the first list come first. Pinned
/// hits take part in neither order nor distinctness: they have their place in the whole list, or its end.
pub fn merge<'a, T: Ranked<'a>, L: Iterator<Item = T> + Clone>(
    lists: impl IntoIterator<Item = L>,
    needed: usize,
    repeats: Repeats,
    precedes: impl Fn(T, T) -> bool,
) -> Merged<T> {
    let lists: Vec<L> = lists.into_iter().collect();
    let pins = lists.iter().cloned().flatten().filter_map(|hit| Some((hit.pin()?, hit))).collect();
    let is_ranked = |hit: &T| hit.pin().is_none();
    let mut queues: Vec<_> = lists.into_iter().map(|list| list.filter(is_ranked).peekable()).collect();
    let mut hits = Vec::with_capacity(needed.min(1024));
    let mut seen: HashSet<&DistinctValue> = HashSet::new();
    let mut left_out = 0;
    while hits.len() < needed || repeats == Repeats::Counted {
        let Some(hit) = next(&mut queues, &precedes) else { break };
        if let (true, Some(rank)) = (repeats != Repeats::Stay, hit.rank()) {
            if rank.distinct.iter().any(|value| seen.contains(value)) {
                left_out += 1;
                continue;
            }
            seen.extend(&rank.distinct);
        }
        if hits.len() < needed {
            hits.push(hit);
        }
    }
    Merged { hits: with_pins(pins, hits, needed), repeats: left_out }
}

fn next<T: Copy, L: Iterator<Item = T>>(
    queues: &mut [Peekable<L>],
    precedes: impl Fn(T, T) -> bool,
) -> Option<T> {
    let heads = queues.iter_mut().filter_map(|queue| Some((*queue.peek()?, queue)));
    let (_, queue) = heads.reduce(|best, next| if precedes(next.0, best.0) { next } else { best })?;
    queue.next()
}

fn with_pins<T>(mut pins: Vec<(usize, T)>, ranked: Vec<T>, needed: usize) -> Vec<T> {
    if pins.is_empty() {
        return ranked;
    }
    pins.sort_by_key(|(place, _)| *place);
    let (mut pins, mut ranked) = (pins.into_iter().peekable(), ranked.into_iter());
    let mut hits = Vec::with_capacity(ranked.len() + pins.len());
    while hits.len() < needed {
        let due = pins.next_if(|(place, _)| *place <= hits.len()).map(|(_, hit)| hit);
        match due.or_else(|| ranked.next()).or_else(|| pins.next().map(|(_, hit)| hit)) {
            Some(hit) => hits.push(hit),
            None => break,
        }
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::rank::RankKey;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[derive(Clone, Copy)]
    struct Hit<'a>(u64, &'a HitRank);

    impl<'a> Ranked<'a> for Hit<'a> {
        fn rank(self) -> Option<&'a HitRank> {
            Some(self.1)
        }
    }

    fn ranks(keys: &[RankKey]) -> Vec<HitRank> {
        let rank = |key: &RankKey| HitRank {
            key: key.clone(),
            score: 0.0,
            values: Box::default(),
            distinct: Box::default(),
            shown_end: None,
        };
        keys.iter().map(rank).collect()
    }

    fn merged(lists: &[Vec<HitRank>], needed: usize) -> Vec<u64> {
        let lists = lists
            .iter()
            .zip([10, 20])
            .map(|(list, first)| list.iter().enumerate().map(move |(at, rank)| Hit(first + at as u64, rank)));
        let precedes = |a: Hit, b: Hit| a.1.key.compare(&b.1.key).is_lt();
        merge(lists, needed, Repeats::Stay, precedes).hits.iter().map(|hit| hit.0).collect()
    }

    #[test]
    fn pinned_hits_have_their_places_and_of_one_place_the_first_has_it() {
        use RankKey::{Pin, Score};
        let lists = [
            ranks(&[Pin(0), Score(0.9), Pin(2), Score(0.1)]),
            ranks(&[Score(0.8), Score(0.7), Pin(2), Pin(90)]),
        ];
        assert_eq!(merged(&lists, 4), [10, 11, 12, 22]);
        assert_eq!(merged(&lists, 100), [10, 11, 12, 22, 20, 21, 13, 23]);
        assert!(merged(&lists, 0).is_empty());
    }
}
