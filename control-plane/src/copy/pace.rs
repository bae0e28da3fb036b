//! How fast copies may be.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Slows copies down to so many documents per second, all that share it together.
///
/// Who copies waits until it is [`ready`](Self::ready), copies a chunk, and then [charges](Self::charge) it: so a chunk
/// of any size passes, and the next one waits for as long as it is worth.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    bucket: Mutex<Bucket>,
}

impl Pace {
    /// `None` for as fast as can be.
    pub fn new(documents_per_second: Option<f64>) -> Pace {
        let bucket = Mutex::new(Bucket { documents_per_second, ..Bucket::default() });
        Pace { start: Instant::now(), bucket }
    }

    /// Changes how fast it is, also for those that wait.
    pub fn set(&self, documents_per_second: Option<f64>) {
        self.bucket().documents_per_second = documents_per_second;
    }

    /// Waits until all that was charged is paid for.
    pub async fn ready(&self) {
        loop {
            let wait = self.bucket().wait(self.start.elapsed());
            if wait.is_zero() {
                return;
            }
            // Not for long at once: the pace may change.
            tokio::time::sleep(wait.min(Duration::from_secs(1))).await;
        }
    }

    /// So many documents were copied.
    pub fn charge(&self, documents: usize) {
        self.bucket().charge(self.start.elapsed(), documents);
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The documents that are still to be paid for, which get less as time passes.
#[derive(Debug, Default)]
struct Bucket {
    documents_per_second: Option<f64>,
    owed: f64,
    at: Duration,
}

impl Bucket {
    fn charge(&mut self, now: Duration, documents: usize) {
        self.pass(now);
        if self.documents_per_second.is_some() {
            self.owed += documents as f64;
        }
    }

    fn wait(&mut self, now: Duration) -> Duration {
        self.pass(now);
        match self.documents_per_second {
            // A pace of nothing, or of no number, is asked for again later.
            Some(pace) if self.owed > 0.0 => {
                Duration::try_from_secs_f64(self.owed / pace).unwrap_or(Duration::MAX)
            }
            _ => Duration::ZERO,
        }
    }

    fn pass(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.owed = match self.documents_per_second {
            Some(pace) => (self.owed - pace * passed).max(0.0),
            None => 0.0,
        };
        // What is left by rounding is no document.
        if self.owed < 1e-6 {
            self.owed = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two copies that take no time to copy, in virtual time.
    #[test]
    fn all_copies_together_keep_the_pace() {
        let mut bucket = Bucket { documents_per_second: Some(200.0), ..Bucket::default() };
        let mut now = Duration::ZERO;
        let mut copied = 0;
        for chunk in [10, 300, 1, 1, 88, 600].iter().cycle().take(60) {
            now += bucket.wait(now);
            // Both found it ready.
            for _ in 0..2 {
                bucket.charge(now, *chunk);
                copied += chunk;
            }
        }
        now += bucket.wait(now);
        assert_eq!(copied, 20_000);
        assert!((now.as_secs_f64() - 100.0).abs() < 0.01, "{now:?}");
        // Time that nobody used is not saved up.
        now += Duration::from_secs(3600);
        bucket.charge(now, 200);
        assert_eq!(bucket.wait(now), Duration::from_secs(1));
    }

    #[test]
    fn the_pace_may_change() {
        let mut bucket = Bucket::default();
        bucket.charge(Duration::ZERO, 1_000_000);
        assert_eq!(bucket.wait(Duration::ZERO), Duration::ZERO);
        bucket.documents_per_second = Some(10.0);
        bucket.charge(Duration::ZERO, 100);
        assert_eq!(bucket.wait(Duration::ZERO), Duration::from_secs(10));
        bucket.documents_per_second = Some(100.0);
        assert_eq!(bucket.wait(Duration::ZERO), Duration::from_secs(1));
        bucket.documents_per_second = Some(0.0);
        assert_eq!(bucket.wait(Duration::ZERO), Duration::MAX);
        bucket.documents_per_second = None;
        assert_eq!(bucket.wait(Duration::ZERO), Duration::ZERO);
    }
}
