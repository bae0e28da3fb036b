//! A node's answer to a search, indexed but not copied.

use std::ops::Range;

use crate::json::{Cursor, NotJson};
use crate::search::facets::{Distribution, Stats};
use crate::search::hit::{self, HitRank, Reading};

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
        let mut hits = None;
        let (mut total, mut processing_time_ms) = (None, None);
        let (mut facets, mut stats, mut semantic_hits) = (None, None, None);
        let mut cursor = Cursor::new(&body);
        cursor.object(|cursor, key| {
            if key.name == b"hits" {
                hits = Some(read_hits(cursor, reading)?);
            } else {
                let value = cursor.skip()?;
                match key.name {
                    b"estimatedTotalHits" | b"totalHits" => total = parse(value),
                    b"processingTimeMs" => processing_time_ms = parse(value),
                    b"semanticHitCount" => semantic_hits = parse(value),
                    b"facetDistribution" => facets = parse::<Option<Distribution>>(value),
                    b"facetStats" => stats = parse::<Option<Stats>>(value),
                    _ => {}
                }
            }
            let name = key.start + 1..key.start + 1 + key.name.len();
            members.push(Located { key: name, text: key.start..cursor.at() });
            Ok(())
        })?;
        cursor.end()?;
        let hits = hits.ok_or(NotJson)?;
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

fn read_hits(cursor: &mut Cursor, reading: &Reading) -> Result<Vec<RankedHit>, NotJson> {
    let mut hits = Vec::with_capacity(64);
    cursor.array(|cursor| {
        let start = cursor.at();
        let rank = match reading.ranked {
            true => Some(hit::read_rank(cursor, reading)?),
            false => cursor.skip().map(|_| None)?,
        };
        hits.push(RankedHit { text: start..cursor.at(), rank });
        Ok(())
    })?;
    Ok(hits)
}

fn parse<T: serde::de::DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}
