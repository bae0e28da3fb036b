//! A bounded load of searches, in rounds that alternate with those of what it is compared with: the machine may be busy with
//! other things.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use miroir_harness::Client;
use serde_json::Value;

use crate::corpus::INDEX;
use crate::report::Figure;
use crate::{cpu, latency};

const ROUNDS: usize = 9;
/// How long each takes.
const ROUND: Duration = Duration::from_millis(500);

/// Searches that are sent to one server.
pub struct Load<'l> {
    /// Of the server.
    pub client: Client,
    /// What is searched for, in turn.
    pub queries: &'l [Value],
    /// How many searches are under way at once.
    pub at_once: usize,
    /// The processes whose CPU time counts.
    pub processes: Vec<u32>,
}

/// What a round of searches cost.
struct Round {
    per_second: f64,
    cpu: Duration,
    p50: Duration,
    p99: Duration,
}

/// The rounds of a load.
pub struct Rounds(Vec<Round>);

impl Rounds {
    /// Searches per second.
    pub fn per_second(&self) -> Figure {
        Figure::per_second(latency::median(self.0.iter().map(|round| round.per_second)))
    }

    /// CPU time per search.
    pub fn cpu(&self) -> Figure {
        Figure::time(self.middle(|round| round.cpu))
    }

    /// The median latency.
    pub fn p50(&self) -> Figure {
        Figure::time(self.middle(|round| round.p50))
    }

    /// The latency that one search of a hundred exceeds.
    pub fn p99(&self) -> Figure {
        Figure::time(self.middle(|round| round.p99))
    }

    /// The CPU time as a multiple of another load's, whose rounds alternated with these.
    pub fn cpu_ratio(&self, other: &Rounds) -> f64 {
        self.ratio(other, |round| round.cpu)
    }

    /// The same of the median latency.
    pub fn p50_ratio(&self, other: &Rounds) -> f64 {
        self.ratio(other, |round| round.p50)
    }

    /// By how many milliseconds the median latency exceeds the largest of other loads'.
    pub fn over_the_slowest(&self, others: &[Rounds]) -> f64 {
        let over = |(place, round): (usize, &Round)| {
            let slowest = others.iter().filter_map(|rounds| rounds.0.get(place)).map(|round| round.p50).max();
            (round.p50.as_secs_f64() - slowest.unwrap_or_default().as_secs_f64()) * 1e3
        };
        latency::median(self.0.iter().enumerate().map(over))
    }

    fn middle(&self, column: fn(&Round) -> Duration) -> Duration {
        latency::at(0.5, &mut self.0.iter().map(column).collect::<Vec<_>>())
    }

    fn ratio(&self, other: &Rounds, column: fn(&Round) -> Duration) -> f64 {
        let pairs = self.0.iter().zip(&other.0);
        latency::median(pairs.map(|(ours, theirs)| column(ours).as_secs_f64() / column(theirs).as_secs_f64()))
    }
}

/// Sends these loads in turn, several times, after one round of each that doesn't count.
pub async fn alternate(loads: &[Load<'_>]) -> Result<Vec<Rounds>> {
    let mut rounds: Vec<Rounds> = loads.iter().map(|_| Rounds(Vec::new())).collect();
    for number in 0..=ROUNDS {
        for (load, rounds) in loads.iter().zip(&mut rounds) {
            let round = load.round().await?;
            if number > 0 {
                rounds.0.push(round);
            }
        }
    }
    Ok(rounds)
}

impl Load<'_> {
    async fn round(&self) -> Result<Round> {
        let before = cpu::time(&self.processes)?;
        let start = Instant::now();
        let searching = (0..self.at_once).map(|first| self.search_until(start + ROUND, first));
        let mut latencies = try_join_all(searching).await?.concat();
        let (elapsed, cpu) = (start.elapsed(), cpu::time(&self.processes)? - before);
        Ok(Round {
            per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
            cpu: cpu.div_f64(latencies.len() as f64),
            p50: latency::at(0.5, &mut latencies),
            p99: latency::at(0.99, &mut latencies),
        })
    }

    /// One search after the other, at least one.
    async fn search_until(&self, deadline: Instant, first: usize) -> Result<Vec<Duration>> {
        let path = format!("/indexes/{INDEX}/search");
        let mut latencies = Vec::new();
        for query in self.queries.iter().cycle().skip(first) {
            let start = Instant::now();
            let answer = self.client.post(&path, query).await?;
            ensure!(answer.status == 200, "a search answered {}: {}", answer.status, answer.text());
            latencies.push(start.elapsed());
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(latencies)
    }
}
