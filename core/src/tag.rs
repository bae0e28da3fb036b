//! The shard tag: the field by which a node can be asked for exactly the shards that a query wants from it.
//!
//! Its value must never match a query, also where every field is searchable. So the shard number is written as
//! base-16 digits, each a separator character of Unicode's Supplemental Punctuation block, which Meilisearch's
//! tokenizer drops and NFKD leaves alone.

use serde::{Deserialize, Serialize};

use crate::shard::{ShardId, shard_of};
use crate::shard_set::ShardSet;

/// The field that carries the tag in every stored document.
pub const TAG_FIELD: &str = "_miroir_shard";

/// The start of all field names that are Miroir's own.
pub const RESERVED_PREFIX: &str = "_miroir_";

const DIGITS: [char; 16] = ['⸀', '⸁', '⸆', '⸇', '⸈', '⸋', '⸎', '⸏', '⸐', '⸑', '⸒', '⸓', '⸔', '⸕', '⸖', '⸘'];

/// The tag of a shard: its number in base 16, most significant digit first, without leading zeros.
pub fn encode(shard: ShardId) -> String {
    let digits = (ShardId::BITS - shard.leading_zeros()).div_ceil(4).max(1);
    (0..digits).rev().map(|place| DIGITS[(shard >> (4 * place)) as usize & 0xf]).collect()
}

/// The shard of a tag; `None` if it is not one that [`encode`] writes.
pub fn decode(tag: &str) -> Option<ShardId> {
    let shard = tag.chars().try_fold(0, |shard: ShardId, character| {
        let digit = DIGITS.iter().position(|&digit| digit == character)?;
        shard.checked_mul(16)?.checked_add(digit as ShardId)
    })?;
    (encode(shard) == tag).then_some(shard)
}

/// A Meilisearch filter that keeps only the documents of these shards.
pub fn filter_clause(shards: impl IntoIterator<Item = ShardId>) -> String {
    let tags: Vec<String> = shards.into_iter().map(|shard| format!("\"{}\"", encode(shard))).collect();
    format!("{TAG_FIELD} IN [{}]", tags.join(", "))
}

/// Which tags the documents of each shard carry.
///
/// At rest it is the shard's own. While the number of shards is changed, a document has the tag of its shard among fewer
/// or more of them. All these numbers divide [`found`](Tags::found) and are divided by [`shards`](Tags::shards), so the tags of a shard
/// are known: those that leave the shard as the rest when divided by the number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// How many shards there are.
    pub shards: ShardId,
    /// Documents are written with the tag of their shard among so many.
    pub written: ShardId,
    /// Documents may be found with the tag of their shard among so many.
    pub found: ShardId,
}

impl Tags {
    /// Those of so many shards.
    pub fn of(shards: ShardId) -> Tags {
        Tags { shards, written: shards, found: shards }
    }

    /// The number in the tag with which a document is written.
    pub fn of_document(&self, id: &str) -> ShardId {
        shard_of(id, self.written)
    }

    /// The numbers in the tags that documents of a shard may carry.
    pub fn of_shard(&self, shard: ShardId) -> impl Iterator<Item = ShardId> + use<> {
        (shard..self.found.max(shard.saturating_add(1))).step_by(self.shards.max(1) as usize)
    }

    /// The same of several shards.
    pub fn of_shards(&self, shards: impl IntoIterator<Item = ShardId>) -> ShardSet {
        let mut tags = ShardSet::empty(self.found);
        shards.into_iter().flat_map(|shard| self.of_shard(shard)).for_each(|tag| tags.insert(tag));
        tags
    }

    /// A Meilisearch filter that keeps only the documents of these shards.
    pub fn clause(&self, shards: impl IntoIterator<Item = ShardId>) -> String {
        filter_clause(self.of_shards(shards).iter())
    }

    /// Whether the numbers fit each other.
    pub fn is_sound(&self) -> bool {
        let divides =
            |divisor: ShardId, number: ShardId| number.checked_rem(divisor) == Some(0) && number > 0;
        divides(self.shards, self.written) && divides(self.written, self.found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_tag_is_the_number_in_separator_digits() {
        assert_eq!(encode(0), "⸀");
        assert_eq!(encode(15), "⸘");
        assert_eq!(encode(16), "⸁⸀");
        assert_eq!(filter_clause([0, 1]), r#"_miroir_shard IN ["⸀", "⸁"]"#);
    }

    #[test]
    fn what_is_no_tag_is_no_shard() {
        for text in ["", "7", "⸀⸁", "⸁x", "⸁⸀⸀⸀⸀⸀⸀⸀⸀"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_shard_has_its_own_tag(shard: ShardId) {
            prop_assert_eq!(decode(&encode(shard)), Some(shard));
        }
    }

    #[test]
    fn while_the_number_of_shards_changes_a_shard_has_the_tags_of_both() {
        let tags = Tags { shards: 4, written: 8, found: 8 };
        assert_eq!(tags.of_shard(1).collect::<Vec<_>>(), [1, 5]);
        assert_eq!(tags.clause([1]), filter_clause([1, 5]));
        assert_eq!(Tags::of(4).clause([1, 3]), filter_clause([1, 3]));
        assert!(tags.is_sound() && !Tags { written: 6, ..tags }.is_sound() && !Tags::of(0).is_sound());
    }

    proptest! {
        #[test]
        fn every_document_is_found_by_its_shard_and_by_no_other(
            id in "[a-z0-9]{1,8}", shards in 1u32..9, k in 1u32..5, l in 1u32..5, bit in 0u32..3,
        ) {
            let tags = Tags { shards, written: shards * k, found: shards * k * l };
            // Written by this table, or by an earlier or a later one.
            let tag = shard_of(&id, [shards, shards * k, shards * k * l][bit as usize]);
            let finds = |shard: &ShardId| tags.of_shard(*shard).any(|other| other == tag);
            let found: Vec<ShardId> = (0..shards).filter(finds).collect();
            prop_assert_eq!(found, [shard_of(&id, shards)]);
        }

        #[test]
        fn converted_shards_hold_the_same_documents_and_no_more_than_they_must(
            id in "[a-z0-9]{1,8}", from in 1u32..40, to in 1u32..40,
        ) {
            let shards = crate::shard::converted([shard_of(&id, from)], from, to);
            prop_assert!(shards.contains(&shard_of(&id, to)));
            if from % to == 0 {
                prop_assert_eq!(shards.len(), 1);
            }
        }
    }
}
