//! For how long a control plane leads, by its own clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The time until which a control plane may act as the leader. It is over when it was not prolonged in time, be it that
/// nobody could or that we were not running.
#[derive(Clone, Debug)]
pub struct Term {
    end: Option<Arc<Mutex<Instant>>>,
}

impl Term {
    /// Of a control plane that is the only one.
    pub fn endless() -> Term {
        Term { end: None }
    }

    /// Until then, at first.
    pub fn until(end: Instant) -> Term {
        Term { end: Some(Arc::new(Mutex::new(end))) }
    }

    /// It lasts until then.
    pub fn prolong(&self, until: Instant) {
        if let Some(end) = &self.end {
            *end.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
    }

    /// Whether another control plane may lead by now.
    pub fn is_over(&self) -> bool {
        let end = self.end.as_ref();
        end.is_some_and(|end| *end.lock().unwrap_or_else(PoisonError::into_inner) <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_term_ends_unless_it_is_prolonged() {
        let now = Instant::now();
        let term = Term::until(now);
        let same = term.clone();
        assert!(same.is_over());
        term.prolong(now + Duration::from_secs(60));
        assert!(!same.is_over());
        assert!(!Term::endless().is_over());
    }
}
