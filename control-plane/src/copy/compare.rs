//! Whether all replicas of a shard hold the same.

use std::collections::{BTreeSet, HashMap};

use futures::future::try_join_all;
use miroir_core::shard::ShardId;
use serde_json::value::RawValue;
use twox_hash::XxHash64;

use super::chunk::ChunkSize;
use super::document::{fingerprint, same};
use super::{Context, CopiedIndex, CopyError, Replica};

const BUCKETS: usize = 64;
/// How often what differs is looked at while clients write.
const LOOKS: usize = 2;
/// Clients' writes are held back for a last look at no more documents than that. When so many differ each time, they do
/// not differ by what clients write.
const HOLD_AT_MOST: usize = 2000;

/// Ids of documents: how many, and some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SomeIds {
    /// How many there are.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<String>,
}

impl SomeIds {
    fn new(mut ids: Vec<String>, examples: usize) -> SomeIds {
        let count = ids.len() as u64;
        ids.truncate(examples);
        SomeIds { count, examples: ids }
    }
}

/// How a replica of a shard differs from the primary's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The node that holds the replica.
    pub node: String,
    /// What the primary has and it has not.
    pub missing: SomeIds,
    /// What it has and the primary has not.
    pub extra: SomeIds,
    /// What both have, but not alike.
    pub different: SomeIds,
}

/// Compares all replicas of a shard of an index with the first of them, the primary, while clients write. Returns those
/// that differ, each with up to so many examples of each kind. What is merely on its way to a replica is no difference.
///
/// # Errors
/// [`CopyError::IndexChanged`] if the uid comes to name another index, else why they could not be compared.
pub async fn compare(
    context: Context<'_>,
    index: &CopiedIndex,
    shard: ShardId,
    replicas: &[&Replica],
    examples: usize,
) -> Result<Vec<Difference>, CopyError> {
    let comparison = Comparison { context, index, replicas };
    context.settle(index, replicas).await?;
    let fingerprints = replicas.iter().map(|replica| comparison.fingerprints(replica, shard));
    let mut suspects = suspects(&try_join_all(fingerprints).await?);
    let mut found = Vec::new();
    for look in 0.. {
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        context.settle(index, replicas).await?;
        if look < LOOKS {
            found = comparison.documents(&suspects, false).await?;
            suspects =
                found.iter().flat_map(Found::ids).cloned().collect::<BTreeSet<_>>().into_iter().collect();
        } else if suspects.len() > HOLD_AT_MOST {
            break;
        } else if let Some(_held) = context.hold_still(index, replicas).await? {
            found = comparison.documents(&suspects, true).await?;
            break;
        } else if look > 2 * LOOKS {
            return Err(CopyError::WritesUnderWay(index.uid.clone()));
        }
    }
    let differences = replicas.iter().zip(found).filter(|(_, found)| found.ids().next().is_some());
    Ok(differences
        .map(|(replica, found)| Difference {
            node: replica.node.clone(),
            missing: SomeIds::new(found.missing, examples),
            extra: SomeIds::new(found.extra, examples),
            different: SomeIds::new(found.different, examples),
        })
        .collect())
}

struct Comparison<'c> {
    context: Context<'c>,
    index: &'c CopiedIndex,
    replicas: &'c [&'c Replica],
}

/// What a replica holds of a shard.
struct Fingerprints {
    ids: Vec<String>,
    /// By a hash of the id, the sum of the fingerprints of the documents.
    buckets: [u64; BUCKETS],
}

/// How one replica differs.
#[derive(Default)]
struct Found {
    missing: Vec<String>,
    extra: Vec<String>,
    different: Vec<String>,
}

impl Found {
    fn ids(&self) -> impl Iterator<Item = &String> {
        self.missing.iter().chain(&self.extra).chain(&self.different)
    }

    fn add(&mut self, id: &str, primary: Option<&RawValue>, replica: Option<&RawValue>) {
        let kind = match (primary, replica) {
            (Some(_), None) => &mut self.missing,
            (None, Some(_)) => &mut self.extra,
            (Some(primary), Some(replica)) if !same(primary, replica) => &mut self.different,
            _ => return,
        };
        kind.push(id.to_owned());
    }
}

impl Comparison<'_> {
    async fn fingerprints(&self, replica: &Replica, shard: ShardId) -> Result<Fingerprints, CopyError> {
        let CopiedIndex { uid, primary_key, .. } = self.index;
        let failed = |error| replica.failed(error);
        let ids = {
            let _pass = self.context.gates.pass_for_copy(uid).await;
            self.context.check_current(self.index, &[replica]).await?;
            let clause = self.context.tags.clause([shard]);
            replica.client.ids_where(uid, primary_key, &clause).await.map_err(failed)?
        };
        let mut buckets = [0; BUCKETS];
        let mut size = ChunkSize::new(self.context.limits);
        let mut rest = &ids[..];
        while !rest.is_empty() {
            self.context.pace.ready().await;
            let (chunk, others) = rest.split_at(size.documents().min(rest.len()));
            let _pass = self.context.gates.pass_for_copy(uid).await;
            self.context.check_current(self.index, &[replica]).await?;
            let read = replica.client.documents(uid, primary_key, chunk).await.map_err(failed)?;
            for document in &read.documents {
                let sum: &mut u64 = &mut buckets[bucket_of(&document.id)];
                *sum = sum.wrapping_add(fingerprint(&document.json));
            }
            size.learn(chunk.len(), read.bytes);
            self.context.pace.charge(chunk.len());
            rest = others;
        }
        Ok(Fingerprints { ids, buckets })
    }

    /// Compares these documents one by one; the result is in the order of the replicas.
    async fn documents(&self, ids: &[String], held: bool) -> Result<Vec<Found>, CopyError> {
        let CopiedIndex { uid, primary_key, .. } = self.index;
        let mut found: Vec<Found> = self.replicas.iter().map(|_| Found::default()).collect();
        let mut size = ChunkSize::new(self.context.limits);
        let mut rest = ids;
        while !rest.is_empty() {
            let _pass = match held {
                true => None,
                false => {
                    self.context.pace.ready().await;
                    Some(self.context.gates.pass_for_copy(uid).await)
                }
            };
            self.context.check_current(self.index, self.replicas).await?;
            let (chunk, others) = rest.split_at(size.documents().min(rest.len()));
            let reads = self.replicas.iter().map(async |replica| {
                let read = replica.client.documents(uid, primary_key, chunk).await;
                read.map_err(|error| replica.failed(error))
            });
            let reads = try_join_all(reads).await?;
            size.learn(chunk.len(), reads.iter().map(|read| read.bytes).max().unwrap_or(0));
            self.context.pace.charge(chunk.len() * reads.len());
            let held: Vec<HashMap<&str, &RawValue>> = reads
                .iter()
                .map(|read| read.documents.iter().map(|document| (&*document.id, &*document.json)).collect())
                .collect();
            let Some(primary) = held.first() else { return Ok(found) };
            for id in chunk {
                for (found, replica) in found.iter_mut().zip(&held) {
                    found.add(id, primary.get(&**id).copied(), replica.get(&**id).copied());
                }
            }
            rest = others;
        }
        Ok(found)
    }
}

/// The documents in the buckets that are not the same everywhere.
fn suspects(replicas: &[Fingerprints]) -> Vec<String> {
    let Some((primary, others)) = replicas.split_first() else { return Vec::new() };
    let differs = |bucket: usize| others.iter().any(|other| other.buckets[bucket] != primary.buckets[bucket]);
    let ids = replicas.iter().flat_map(|replica| &replica.ids);
    let suspects: BTreeSet<&String> = ids.filter(|id| differs(bucket_of(id))).collect();
    suspects.into_iter().cloned().collect()
}

fn bucket_of(id: &str) -> usize {
    // Another seed than for shards: all documents here are of one.
    (XxHash64::oneshot(1, id.as_bytes()) % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documents_of_buckets_that_differ_are_suspect() {
        let replica = |ids: &[u64], version: u64| {
            let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
            let mut buckets = [0u64; BUCKETS];
            for id in &ids {
                let version = if id == "7" { version } else { 1 };
                let json: Box<RawValue> = serde_json::from_str(&format!("[{id},{version}]")).unwrap();
                buckets[bucket_of(id)] = buckets[bucket_of(id)].wrapping_add(fingerprint(&json));
            }
            Fingerprints { ids, buckets }
        };
        let all: Vec<u64> = (0..1000).collect();
        let reversed: Vec<u64> = (0..1000).rev().collect();
        assert!(suspects(&[]).is_empty());
        assert!(suspects(&[replica(&all, 1), replica(&reversed, 1)]).is_empty());
        for other in [replica(&all, 2), replica(&all[..999], 1)] {
            let suspects = suspects(&[replica(&all, 1), replica(&all, 1), other]);
            assert!(!suspects.is_empty() && suspects.len() < 60, "{}", suspects.len());
        }
        assert!(suspects(&[replica(&all, 1), replica(&all, 2)]).contains(&"7".to_owned()));
    }
}
