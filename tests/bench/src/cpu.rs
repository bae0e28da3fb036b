//! What processes have used, from `/proc`.

use std::time::Duration;

use anyhow::{Context, Result};

/// The clock ticks of `/proc` are hundredths of a second on every Linux that Envoy runs on.
const TICK: Duration = Duration::from_millis(10);

/// The CPU time of all threads of these processes, those that have ended too, as fine as a clock tick.
pub fn time(processes: &[u32]) -> Result<Duration> {
    processes.iter().map(|pid| time_of(*pid)).sum()
}

fn time_of(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; the fields after it are numbered from 3.
    let fields = stat.rsplit_once(") ").context("no process name")?.1;
    let ticks = |number: usize| -> Result<u32> {
        Ok(fields.split(' ').nth(number - 3).context("a field is missing")?.parse()?)
    };
    Ok(TICK * (ticks(14)? + ticks(15)?))
}

/// The most resident memory that a process ever had, in bytes.
pub fn peak_memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
