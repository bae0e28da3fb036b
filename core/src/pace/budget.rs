//! How many calls may be made twice.

/// One call in so many, so that hedging can't make an overload much worse.
const ONE_IN: usize = 20;

/// So many at once after a quiet time.
const BURST: usize = 10;

/// A token bucket that is filled by calls, not by time.
#[derive(Debug)]
pub struct Budget {
    /// In parts of a call: `ONE_IN` of them make one.
    parts: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { parts: BURST * ONE_IN }
    }
}

impl Budget {
    /// A call was made.
    pub fn earn(&mut self) {
        self.parts = (self.parts + 1).min(BURST * ONE_IN);
    }

    /// Whether a call may be made twice.
    pub fn is_left(&self) -> bool {
        self.parts >= ONE_IN
    }

    /// So many calls were made in the stead of one.
    pub fn spend(&mut self, calls: usize) {
        self.parts = self.parts.saturating_sub(calls.saturating_mul(ONE_IN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn one_call_in_twenty_may_be_made_twice() {
        let mut budget = Budget::default();
        let mut hedges = 0;
        for _ in 0..1000 {
            budget.earn();
            if budget.is_left() {
                budget.spend(1);
                hedges += 1;
            }
        }
        assert_eq!(hedges, BURST + 1000 / ONE_IN - 1);
        budget.spend(usize::MAX);
        assert!(!budget.is_left());
    }
}
