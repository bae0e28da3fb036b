//! How much of all writes waits for nodes to take it.
//!
//! A filter can't slow its senders down, so what piles up needs a bound that holds for all requests of a worker
//! together: each worker of Envoy has a virtual machine of its own, and in it one thread.

use std::cell::Cell;

thread_local! {
    static TOTAL: Cell<usize> = const { Cell::new(0) };
}

/// What one write has waiting, in bytes.
#[derive(Debug, Default)]
pub struct Waiting(usize);

impl Waiting {
    /// Notes how much it is now, and gives how much it is with all others of this worker.
    pub fn set(&mut self, bytes: usize) -> usize {
        let total = TOTAL.get().saturating_sub(self.0).saturating_add(bytes);
        TOTAL.set(total);
        self.0 = bytes;
        total
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn all_that_waits_adds_up() {
        let (mut one, mut other) = (Waiting::default(), Waiting::default());
        assert_eq!(one.set(5), 5);
        assert_eq!(other.set(3), 8);
        assert_eq!(one.set(1), 4);
        drop(one);
        assert_eq!(other.set(3), 3);
    }
}
