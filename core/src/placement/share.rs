//! How many replicas a node holds.

use std::ops::RangeInclusive;

use super::Node;

/// The fewest and the most replicas of each node: its fair share, rounded down and up.
///
/// There is always a placement within: take whole loads within the bounds that sum up to `shards × copies`. No load is
/// above `shards`, so that a node which holds `load / shards` of each shard meets them all in fractions; and a flow
/// that can be met in fractions can be met in whole numbers.
pub(super) fn bounds(shards: usize, copies: usize, nodes: &[Node<'_>]) -> Vec<RangeInclusive<usize>> {
    // A share of 10 that was computed as 10.000000001 is still a share of 10. Rounding that much in a node's
    // disfavour leaves the bounds' sums on the right sides of the total for up to a million nodes.
    const TOLERANCE: f64 = 1e-6;
    fair_shares(shards, copies, nodes)
        .into_iter()
        .map(|share| (share + TOLERANCE).floor() as usize..=(share - TOLERANCE).ceil() as usize)
        .collect()
}

/// Divides the replicas by weight. A node that would get more than `shards` gets `shards`, and the rest is divided
/// among the others in the same way.
fn fair_shares(shards: usize, copies: usize, nodes: &[Node<'_>]) -> Vec<f64> {
    let mut heaviest_first: Vec<usize> = (0..nodes.len()).collect();
    heaviest_first.sort_by(|&a, &b| nodes[b].weight.total_cmp(&nodes[a].weight));
    // The weight of a node and of all that are lighter, summed up from the lightest for the sake of precision.
    let mut weight_from = vec![0.0; nodes.len()];
    heaviest_first.iter().rev().fold(0.0, |sum, &node| {
        weight_from[node] = sum + nodes[node].weight;
        weight_from[node]
    });

    let full = shards as f64;
    let mut shares = vec![full; nodes.len()];
    let mut left = full * copies as f64;
    for (position, &node) in heaviest_first.iter().enumerate() {
        let per_weight = left / weight_from[node];
        if nodes[node].weight * per_weight < full {
            for &node in &heaviest_first[position..] {
                shares[node] = nodes[node].weight * per_weight;
            }
            break;
        }
        left -= full;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn shares(shards: usize, copies: usize, weights: &[f64]) -> Vec<f64> {
        fair_shares(shards, copies, &nodes(weights))
    }

    fn nodes(weights: &[f64]) -> Vec<Node<'static>> {
        weights.iter().enumerate().map(|(index, &weight)| Node { id: "", weight, index }).collect()
    }

    #[test]
    fn by_weight() {
        assert_eq!(shares(64, 2, &[1.0, 1.0, 2.0]), [32.0, 32.0, 64.0]);
        assert_eq!(bounds(64, 2, &nodes(&[1.0, 1.0, 1.0])), [42..=43, 42..=43, 42..=43]);
    }

    #[test]
    fn no_more_than_every_shard_once() {
        assert_eq!(shares(60, 2, &[100.0, 1.0, 2.0]), [60.0, 20.0, 40.0]);
        assert_eq!(shares(60, 3, &[1e100, 1.0, 1e-100]), [60.0, 60.0, 60.0]);
        assert_eq!(shares(60, 2, &[1.0, 1e100, 1e100]), [0.0, 60.0, 60.0]);
    }

    #[test]
    fn a_whole_share_stays_whole() {
        let weights = [0.1; 10];
        assert_eq!(bounds(100, 3, &nodes(&weights)), vec![30..=30; 10]);
    }
}
