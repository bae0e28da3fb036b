//! What a disk takes to keep something.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::latency;

const TIMES: usize = 500;

/// In what time the disk with the temporary files keeps 1 KiB more of a file, the median: a store that is to lose nothing can't
/// be faster.
pub fn sync() -> Result<Duration> {
    let mut file = tempfile::tempfile()?;
    let mut latencies = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let start = Instant::now();
        file.write_all(&[0; 1024])?;
        file.sync_data()?;
        latencies.push(start.elapsed());
    }
    Ok(latency::at(0.5, &mut latencies))
}
