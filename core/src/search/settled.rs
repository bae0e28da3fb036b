//! Whether a page is the same whichever replicas it was read from.
//!
//! Each node has an order of its own for documents of equal rank. So what was asked in the stead of a late node is as good
//! as its own answer where no two of the documents that the page shows of it, nor those at its ends, are of equal rank.

use std::ops::Range;

use crate::exchange::CallId;
use crate::fan_out::Share;
use crate::search::answer::RankedHit;
use crate::search::hit::HitRank;
use crate::search::index_search::Found;
use crate::search::merge::precedes;
use crate::search::ranking::{self, Ranked, Repeats};

/// A hit, and where it comes from.
#[derive(Clone, Copy)]
struct Placed<'a> {
    hit: &'a RankedHit,
    part: usize,
    in_stead_of: Option<CallId>,
}

impl<'a> Ranked<'a> for Placed<'a> {
    fn rank(self) -> Option<&'a HitRank> {
        self.hit.rank.as_ref()
    }
}

impl Placed<'_> {
    fn precedes(self, other: Self) -> bool {
        matches!((self.rank(), other.rank()), (Some(a), Some(b)) if precedes(a, b))
    }

    /// Whether the node in whose stead both were asked for may have them the other way round.
    fn may_swap(self, other: Self) -> bool {
        self.in_stead_of.is_some() && self.in_stead_of == other.in_stead_of && !self.precedes(other)
    }
}

/// Whether these ranks of a search hold the same with these parts, which come in the order in which ties are broken, as
/// with those in whose stead some of them are.
pub fn is_settled(ranks: Range<usize>, parts: &[(&Share, &Found)]) -> bool {
    let lists = parts.iter().enumerate().map(|(part, (share, found))| {
        let in_stead_of = share.in_stead_of;
        found.answer.hits().iter().map(move |hit| Placed { hit, part, in_stead_of })
    });
    let merged = ranking::merge(lists, ranks.end.saturating_add(1), Repeats::Stay, Placed::precedes);
    let from_one_before = merged.hits.iter().skip(ranks.start.saturating_sub(1));
    let mut neighbours = from_one_before.clone().zip(from_one_before.skip(1));
    if neighbours.any(|(hit, next)| hit.may_swap(*next)) {
        return false;
    }
    // One whose hits are all needed may have more that are equal to the last.
    let needed = |part: usize| merged.hits.iter().take(ranks.end).filter(|hit| hit.part == part).count();
    !parts.iter().enumerate().any(|(part, (share, found))| {
        let shown = found.answer.hits().len();
        share.in_stead_of.is_some() && found.answer.total > shown as u64 && needed(part) == shown
    })
}
