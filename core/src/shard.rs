//! Which shard a document belongs to.

use std::collections::BTreeSet;

use twox_hash::XxHash64;

/// One of the S slots of the hash space.
pub type ShardId = u32;

/// The shard of the document whose id, as text, is `id`: `xxh64(id, seed 0) mod shards`.
///
/// `7` and `"7"` are one document to Meilisearch; as text they are one here too. `shards` is never 0 in a
/// checked [`RoutingTable`](crate::table::RoutingTable); should it be, everything is in shard 0.
pub fn shard_of(id: &str, shards: ShardId) -> ShardId {
    let hash = XxHash64::oneshot(0, id.as_bytes());
    hash.checked_rem(u64::from(shards)).unwrap_or(0) as ShardId
}

/// Those of `to` shards in which documents of these of `from` shards may be: the hash of such a document leaves one rest
/// for `from` and another for `to`, and the two are alike modulo their greatest common divisor.
pub fn converted(shards: impl IntoIterator<Item = ShardId>, from: ShardId, to: ShardId) -> BTreeSet<ShardId> {
    let shards: BTreeSet<ShardId> = shards.into_iter().collect();
    if from == to || from == 0 || to == 0 {
        return shards;
    }
    let (mut common, mut rest) = (from, to);
    while rest != 0 {
        (common, rest) = (rest, common % rest);
    }
    let classes: BTreeSet<ShardId> = shards.into_iter().map(|shard| shard % common).collect();
    (0..to).filter(|shard| classes.contains(&(shard % common))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_hash_is_fixed_forever() {
        // A change here would orphan every stored document.
        assert_eq!(XxHash64::oneshot(0, b""), 0xef46_db37_51d8_e999);
        assert_eq!(shard_of("7", 64), (XxHash64::oneshot(0, b"7") % 64) as ShardId);
    }

    #[test]
    fn no_shards_is_no_panic() {
        assert_eq!(shard_of("7", 0), 0);
    }
}
