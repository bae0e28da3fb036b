//! The shard tag: the field by which a node can be asked for exactly the shards that a query wants from it.
//!
//! Its value must never match a query, also where every field is searchable. So the shard number is written as
//! base-16 digits, each a separator character of Unicode's Supplemental Punctuation block, which Meilisearch's
//! tokenizer drops and NFKD leaves alone.

use crate::shard::ShardId;

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
}
