//! The work natively: does what its argument says, and prints how many nanoseconds each run took.

use std::time::Instant;

use miroir_bench_workload::{Job, times};

fn main() {
    let start = Instant::now();
    let job = std::env::args().nth(1).and_then(|path| Job::at(&path)).expect("the path of a job");
    println!("{:?}", times(job, || start.elapsed()));
}
