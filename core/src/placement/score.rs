//! The rendezvous score of a shard and a node.

use twox_hash::XxHash64;

use super::Node;
use crate::shard::ShardId;

/// A shard and a node, ordered by their score: the highest comes first. Equal scores are ordered by shard, then by
/// node, that is by the node's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    /// Falls as the score rises.
    rank: u64,
    shard: u32,
    node: u32,
}

impl Pair {
    pub(super) fn shard(&self) -> usize {
        self.shard as usize
    }

    pub(super) fn node(&self) -> usize {
        self.node as usize
    }
}

/// Every pair of a shard and a node, in order of score.
pub(super) fn ranked(shards: ShardId, nodes: &[Node<'_>]) -> Vec<Pair> {
    let mut pairs = Vec::with_capacity(shards as usize * nodes.len());
    for shard in 0..shards {
        pairs.extend((0..).zip(nodes).map(|(node, Node { id, weight, .. })| {
            // The bits of positive floats are ordered as the floats are.
            let rank = !score(shard, id, *weight).to_bits();
            Pair { rank, shard, node }
        }));
    }
    pairs.sort_unstable();
    pairs
}

/// `−weight / ln(h)`, where `h` is the pair's hash in (0, 1).
fn score(shard: ShardId, id: &str, weight: f64) -> f64 {
    let hash = XxHash64::oneshot(u64::from(shard), id.as_bytes());
    // The 53 bits of a float's precision, and a half so that h is neither 0 nor 1.
    let h = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -weight / ln(h)
}

/// The natural logarithm of a positive normal number.
///
/// `f64::ln` may differ in its last bit from one machine to the next, and a shard must not move because of that.
/// This one uses only operations of which IEEE 754 fixes every bit.
fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    const EXPONENT_OF_ONE: u64 = 1023 << 52;
    // x = mantissa × 2^exponent with the mantissa in [√½, √2)
    let mut exponent = (x.to_bits() >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits(x.to_bits() & MANTISSA | EXPONENT_OF_ONE);
    if mantissa >= std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln(mantissa) = 2 artanh(z) = 2 (z + z³/3 + z⁵/5 + …); |z| < 0.172, so ten terms fill a float.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let z_squared = z * z;
    let series = (0..10).rev().fold(0.0, |sum, term| sum * z_squared + 1.0 / f64::from(2 * term + 1));
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * z * series
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn scores_are_fixed_forever() {
        // A change here would move shards of running clusters.
        assert_eq!(score(0, "node-a", 1.0).to_bits(), 0x3fd0_704e_813f_5681);
    }

    #[test]
    fn logarithm() {
        let tiny = 0.5 / (1u64 << 53) as f64;
        for x in
            [tiny, 1e-9, 0.1, 0.499_999, 0.5, std::f64::consts::FRAC_1_SQRT_2, 0.999, 1.0 - tiny, 1.5, 1e9]
        {
            assert!((ln(x) - x.ln()).abs() <= 1e-15 * x.ln().abs(), "ln({x}) is {} not {}", ln(x), x.ln());
        }
        assert!(ln(1.0 - f64::EPSILON / 2.0) < 0.0);
    }

    #[test]
    fn a_node_wins_in_proportion_to_its_weight() {
        let wins = (0..30_000).filter(|&shard| score(shard, "a", 2.0) > score(shard, "b", 1.0)).count();
        assert!((19_600..20_400).contains(&wins), "{wins} of 30000");
    }
}
