//! Merging answers and splitting documents: natively, and as Wasm inside Envoy.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use miroir_bench_workload::{Job, Splitting};
use miroir_harness::{Client, binaries};

use crate::plain_envoy::PlainEnvoy;
use crate::report::{Bound, Figure, Section};
use crate::{latency, progress};

const ROUNDS: usize = 8;

/// Measures it.
pub async fn run() -> Result<Vec<Section>> {
    progress::say("the core, natively and inside Envoy");
    let folder = tempfile::tempdir()?;
    let envoy = PlainEnvoy::with_module(&binaries::wasm("miroir_bench_workload")?, folder.path()).await?;
    let client = envoy.client();
    let program = binaries::as_wasm("miroir-bench-native")?;
    let mut merging = Section::new("merging 3 × 1,000 hits");
    for (job, returned) in [(Job::MergePage, "20 hits"), (Job::MergeAll, "1,000 hits")] {
        let [native, wasm] = quick_runs(job, &program, &client).await?;
        merging.row(
            format!("{returned} returned"),
            [
                ("natively", Figure::time(native)),
                ("in Wasm", Figure::time(wasm)),
                ("ratio", Figure::times(wasm.as_secs_f64() / native.as_secs_f64())),
            ],
        );
        merging.target(format!("natively, {returned} returned"), Figure::time(native), Bound::AtMost(0.5));
        merging.target(format!("in Wasm, {returned} returned"), Figure::time(wasm), Bound::AtMost(1.5));
    }

    let bytes = Splitting::new().bytes() as f64;
    let [native, wasm] =
        quick_runs(Job::Split, &program, &client).await?.map(|time| bytes / time.as_secs_f64() / 1e6);
    let mut splitting = Section::new("splitting NDJSON");
    for (name, speed, wanted) in [("natively", native, 150.0), ("in Wasm", wasm, 60.0)] {
        let speed = Figure::of(speed, "MB/s");
        splitting.row(name, [("per core", speed)]);
        splitting.target(name, speed, Bound::AtLeast(wanted));
    }
    Ok(vec![merging, splitting])
}

/// The time that a tenth of the runs stays below, natively and in Wasm: what the work takes when no other program takes the core
/// away. By rounds of each in turn after one that doesn't count: V8 compiles a module anew while it runs.
async fn quick_runs(job: Job, program: &Path, client: &Client) -> Result<[Duration; 2]> {
    let (mut native, mut wasm) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let inside: Vec<u64> = client.get(job.path()).await?.json()?;
        let outside = natively(job, program)?;
        if round > 0 {
            native.extend(outside.into_iter().map(Duration::from_nanos));
            wasm.extend(inside.into_iter().map(Duration::from_nanos));
        }
    }
    Ok([latency::at(0.1, &mut native), latency::at(0.1, &mut wasm)])
}

fn natively(job: Job, program: &Path) -> Result<Vec<u64>> {
    let output = Command::new(program).arg(job.path()).output()?;
    ensure!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
