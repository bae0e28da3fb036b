//! A node's answer to a search, indexed but not copied.

use std::ops::Range;

use crate::json::{self, NotJson};
use crate::search::facets::{Distribution, Stats};
use crate::search::hit::{self, HitRank};

/// How the hits of an answer are to be read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// By the rules in the score details, or by the score.
    pub by_details: bool,
    /// The distinct attribute.
    pub distinct: Option<String>,
    /// Whether the hits carry what merging needs: not if the node answers alone.
    pub ranked: bool,
}

/// A node's answer to a search.
#[derive(Debug)]
pub struct NodeAnswer {
    body: Vec<u8>,
    members: Vec<Located>,
    hits: Vec<RankedHit>,
    /// `estimatedTotalHits` or `totalHits`.
    pub total: u64,
    /// `processingTimeMs`.
    pub processing_time_ms: u64,
    /// `semanticHitCount`.
    pub semantic_hits: Option<u64>,
    /// `facetDistribution`.
    pub facets: Option<Distribution>,
    /// `facetStats`.
    pub stats: Option<Stats>,
}

/// A member of the answer: where its key and its whole text are.
#[derive(Debug)]
struct Located {
    key: Range<usize>,
    text: Range<usize>,
}

/// A hit and its rank; without one if the node answers alone.
#[derive(Debug)]
pub struct RankedHit {
    text: Range<usize>,
    /// Its rank.
    pub rank: Option<HitRank>,
}

impl NodeAnswer {
    /// Indexes an answer.
    ///
    /// # Errors
    /// [`NotJson`] if it is not what a node answers to a search.
    pub fn read(body: Vec<u8>, reading: &Reading) -> Result<NodeAnswer, NotJson> {
        let mut members = Vec::with_capacity(10);
        let (mut hits_text, mut total, mut processing_time_ms) = (None, None, None);
        let (mut facets, mut stats, mut semantic_hits) = (None, None, None);
        json::for_each_member(&body, |member| {
            match member.key {
                b"hits" => hits_text = Some(member.value),
                b"estimatedTotalHits" | b"totalHits" => total = read(member.value),
                b"processingTimeMs" => processing_time_ms = read(member.value),
                b"semanticHitCount" => semantic_hits = read(member.value),
                b"facetDistribution" => facets = read::<Option<Distribution>>(member.value),
                b"facetStats" => stats = read::<Option<Stats>>(member.value),
                _ => {}
            }
            members.push(Located { key: place(&body, member.key), text: place(&body, member.text) });
        })?;
        let mut hits = Vec::with_capacity(64);
        let mut garbage = false;
        json::for_each_element(hits_text.ok_or(NotJson)?, |text| {
            let rank = match reading.ranked {
                true => hit::read_rank(text, reading.by_details, reading.distinct.as_deref()).map(Some),
                false => Ok(None),
            };
            match rank {
                Ok(rank) => hits.push(RankedHit { text: place(&body, text), rank }),
                Err(NotJson) => garbage = true,
            }
        })?;
        if garbage {
            return Err(NotJson);
        }
        let (facets, stats) = (facets.flatten(), stats.flatten());
        let (total, processing_time_ms) = (total.ok_or(NotJson)?, processing_time_ms.unwrap_or(0));
        Ok(NodeAnswer { members, hits, total, processing_time_ms, semantic_hits, facets, stats, body })
    }

    /// Its hits, best first.
    pub fn hits(&self) -> &[RankedHit] {
        &self.hits
    }

    /// The text of one of its hits.
    pub fn hit_text(&self, hit: &RankedHit) -> &[u8] {
        self.slice(&hit.text)
    }

    /// Its members: key and whole text.
    pub fn members(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.members.iter().map(|member| (self.slice(&member.key), self.slice(&member.text)))
    }

    fn slice(&self, place: &Range<usize>) -> &[u8] {
        self.body.get(place.clone()).unwrap_or_default()
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}

/// Where in `text` its subslice `part` is.
fn place(text: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}
