//! A node's answer to a federated search, indexed but not copied.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::json::{self, Cursor, NotJson};
use crate::search::facets::{Distribution, Stats};
use crate::search::hit::{self, HitRank, Reading};

/// A node's answer to a federated search.
#[derive(Debug)]
pub struct FederatedAnswer {
    body: Vec<u8>,
    members: Vec<(Range<usize>, Range<usize>)>,
    /// Its hits, best first.
    pub hits: Vec<FederatedHit>,
    /// `estimatedTotalHits` or `totalHits`.
    pub total: u64,
    /// `processingTimeMs`.
    pub processing_time_ms: u64,
    /// `semanticHitCount`.
    pub semantic_hits: Option<u64>,
    /// `facetsByIndex`.
    pub facets: BTreeMap<String, IndexFacets>,
}

/// The facets of an index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexFacets {
    /// The counts.
    pub distribution: Distribution,
    /// The ranges.
    pub stats: Stats,
}

/// A hit, and which query found it.
#[derive(Debug)]
pub struct FederatedHit {
    text: Range<usize>,
    /// The place of the query.
    pub query: usize,
    /// `weightedRankingScore`
    pub weighted_score: f64,
    /// Its rank; `None` if the node answers alone.
    pub rank: Option<HitRank>,
}

/// `_federation`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    queries_position: usize,
    weighted_ranking_score: f64,
}

impl FederatedAnswer {
    /// Indexes an answer. `readings` are by query.
    ///
    /// # Errors
    /// [`NotJson`] if it is not what a node answers to a federated search.
    pub fn read(body: Vec<u8>, readings: &[Reading]) -> Result<FederatedAnswer, NotJson> {
        let mut members = Vec::with_capacity(10);
        let mut hits = None;
        let (mut total, mut processing_time_ms, mut semantic_hits) = (None, None, None);
        let mut facets = BTreeMap::new();
        let mut cursor = Cursor::new(&body);
        cursor.object(|cursor, key| {
            if key.name == b"hits" {
                hits = Some(read_hits(cursor, readings)?);
            } else {
                let value = cursor.skip()?;
                let number = || serde_json::from_slice(value).ok();
                match key.name {
                    b"estimatedTotalHits" | b"totalHits" => total = number(),
                    b"processingTimeMs" => processing_time_ms = number(),
                    b"semanticHitCount" => semantic_hits = number(),
                    b"facetsByIndex" => facets = serde_json::from_slice(value).map_err(|_| NotJson)?,
                    _ => {}
                }
            }
            let name = key.start + 1..key.start + 1 + key.name.len();
            members.push((name, key.start..cursor.at()));
            Ok(())
        })?;
        cursor.end()?;
        let (hits, total) = (hits.ok_or(NotJson)?, total.ok_or(NotJson)?);
        let processing_time_ms = processing_time_ms.unwrap_or(0);
        Ok(FederatedAnswer { members, hits, total, processing_time_ms, semantic_hits, facets, body })
    }

    /// The text of one of its hits.
    pub fn hit_text(&self, hit: &FederatedHit) -> &[u8] {
        self.slice(&hit.text)
    }

    /// Its members: key and whole text.
    pub fn members(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.members.iter().map(|(key, text)| (self.slice(key), self.slice(text)))
    }

    fn slice(&self, place: &Range<usize>) -> &[u8] {
        self.body.get(place.clone()).unwrap_or_default()
    }
}

fn read_hits(cursor: &mut Cursor, readings: &[Reading]) -> Result<Vec<FederatedHit>, NotJson> {
    let mut hits = Vec::with_capacity(64);
    cursor.array(|cursor| {
        let start = cursor.at();
        let text = cursor.skip()?;
        let origin = origin(text)?;
        let reading = readings.get(origin.queries_position).ok_or(NotJson)?;
        let rank = reading.ranked.then(|| hit::read_rank(&mut Cursor::new(text), reading)).transpose()?;
        hits.push(FederatedHit {
            text: start..cursor.at(),
            query: origin.queries_position,
            weighted_score: origin.weighted_ranking_score,
            rank,
        });
        Ok(())
    })?;
    Ok(hits)
}

fn origin(hit: &[u8]) -> Result<Origin, NotJson> {
    let mut origin = None;
    json::for_each_member(hit, |member| {
        if member.key == b"_federation" {
            origin = serde_json::from_slice(member.value).ok();
        }
    })?;
    origin.ok_or(NotJson)
}
