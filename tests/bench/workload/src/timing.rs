//! How long the work takes, by whatever clock there is.

use std::time::Duration;

use crate::{HITS, Merging, Splitting};

const RUNS: usize = 25;

/// What can be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Merging 3 × 1,000 hits, of which 20 are returned.
    MergePage,
    /// Merging 3 × 1,000 hits, of which 1,000 are returned.
    MergeAll,
    /// Splitting NDJSON.
    Split,
}

impl Job {
    const ALL: [Job; 3] = [Job::MergePage, Job::MergeAll, Job::Split];

    /// The one that is asked for by this path.
    pub fn at(path: &str) -> Option<Job> {
        Job::ALL.into_iter().find(|job| job.path() == path)
    }

    /// The path by which it is asked for.
    pub fn path(self) -> &'static str {
        match self {
            Job::MergePage => "/merge-page",
            Job::MergeAll => "/merge-all",
            Job::Split => "/split",
        }
    }
}

/// How many nanoseconds each of some runs takes.
pub fn times(job: Job, now: impl Fn() -> Duration) -> Vec<u64> {
    match job {
        Job::MergePage => merge_times(&Merging::new(20), now),
        Job::MergeAll => merge_times(&Merging::new(HITS), now),
        Job::Split => {
            let splitting = Splitting::new();
            (0..RUNS).map(|_| time(&now, || splitting.run())).collect()
        }
    }
}

fn merge_times(merging: &Merging, now: impl Fn() -> Duration) -> Vec<u64> {
    let merge = |_| {
        let answers = merging.answers();
        time(&now, || merging.run(answers))
    };
    (0..RUNS).map(merge).collect()
}

fn time(now: &impl Fn() -> Duration, run: impl FnOnce()) -> u64 {
    let start = now();
    run();
    now().saturating_sub(start).as_nanos() as u64
}
