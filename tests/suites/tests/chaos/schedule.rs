//! What goes wrong when, from a seed.

use std::time::Duration;

use fastrand::Rng;

/// What the cluster is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub nodes: usize,
    pub groups: usize,
    pub copies: usize,
    pub envoys: usize,
}

/// One after the other, so that some schedules cover all.
pub const SHAPES: [Shape; 6] = [
    Shape { nodes: 3, groups: 1, copies: 2, envoys: 2 },
    Shape { nodes: 3, groups: 1, copies: 1, envoys: 1 },
    Shape { nodes: 4, groups: 2, copies: 1, envoys: 2 },
    Shape { nodes: 4, groups: 1, copies: 3, envoys: 1 },
    Shape { nodes: 4, groups: 2, copies: 2, envoys: 1 },
    Shape { nodes: 4, groups: 1, copies: 2, envoys: 2 },
];

/// A number from which a part of what is there then is chosen.
pub type Pick = usize;

/// What goes wrong, until it is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Killed; started again with its data.
    KillNode(Pick),
    /// Killed, its data deleted; started again empty.
    WipeNode(Pick),
    /// Stopped in its tracks.
    PauseNode(Pick),
    /// Its connections are closed and refused.
    CutNode(Pick),
    /// Its connections stay, and nothing passes.
    StallNode(Pick),
    /// Everything to and from it takes so many milliseconds longer.
    SlowNode(Pick, u64),
    /// So many of its tasks fail.
    FailTasks(Pick, u64),
    /// It answers changes of documents with an error.
    RefuseWrites(Pick),
    /// It refuses all changes of documents, and what it took before fails.
    FullDisk(Pick),
    KillControlPlane,
    KillEnvoy(Pick),
    /// It can't reach the control plane.
    CutEnvoy(Pick),
    /// It is told of nothing new, and reaches the control plane for all else.
    CutXds(Pick),
}

/// What an operator changes. The cluster takes its time to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    AddNode(Pick),
    /// And remove it once it is empty.
    DrainNode(Pick),
    ReplaceNode(Pick),
    /// A node is gone for good, and removed.
    LoseNode(Pick),
    AddGroup,
    RemoveGroup(Pick),
    ReplicationFactor(usize),
    /// So many shards.
    Shards(u32),
    Weight(Pick, u8),
    /// Pause, until the next step is over.
    Pause,
    Cancel,
    /// Compares all replicas, and repairs them if so.
    Compare(bool),
}

/// What happens next.
#[derive(Clone, Debug)]
pub struct Step {
    pub change: Option<Change>,
    pub faults: Vec<Fault>,
    pub lasts: Duration,
    pub then: Duration,
}

/// All steps from a seed, for as long as they are asked for.
pub struct Schedule {
    random: Rng,
    shape: Shape,
}

impl Schedule {
    pub fn new(seed: u64, shape: Shape) -> Schedule {
        Schedule { random: Rng::with_seed(seed), shape }
    }

    fn pick(&mut self) -> Pick {
        self.random.usize(..1000)
    }

    fn of_node(&mut self) -> Fault {
        let pick = self.pick();
        match self.random.u8(..100) {
            0..25 => Fault::KillNode(pick),
            25..40 => Fault::PauseNode(pick),
            40..55 => Fault::CutNode(pick),
            55..62 => Fault::StallNode(pick),
            62..72 => Fault::SlowNode(pick, self.random.u64(20..400)),
            72..80 => Fault::FailTasks(pick, self.random.u64(1..6)),
            80..85 => Fault::RefuseWrites(pick),
            85..91 => Fault::FullDisk(pick),
            _ => Fault::WipeNode(pick),
        }
    }

    fn of_control(&mut self) -> Fault {
        let pick = self.pick();
        match self.random.u8(..100) {
            0..40 => Fault::KillControlPlane,
            40..60 => Fault::KillEnvoy(pick),
            60..80 => Fault::CutEnvoy(pick),
            _ => Fault::CutXds(pick),
        }
    }

    fn change(&mut self) -> Option<Change> {
        let pick = self.pick();
        let change = match self.random.u8(..100) {
            0..20 => Change::AddNode(pick),
            20..36 => Change::DrainNode(pick),
            36..48 => Change::ReplaceNode(pick),
            48..56 => Change::LoseNode(pick),
            56..63 => Change::AddGroup,
            63..70 => Change::RemoveGroup(pick),
            70..77 => Change::ReplicationFactor(self.random.usize(1..=3)),
            77..84 => Change::Shards([8, 16, 32][pick % 3]),
            84..87 => Change::Weight(pick, self.random.u8(1..=4)),
            87..90 => Change::Pause,
            90..93 => Change::Cancel,
            _ => Change::Compare(self.random.bool()),
        };
        (self.random.u8(..100) < 50).then_some(change)
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.u64(range))
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let change = self.change();
        let mut faults = match self.random.u8(..100) {
            0..50 => vec![self.of_node()],
            50..75 => vec![self.of_control()],
            75..88 => vec![self.of_node(), self.of_control()],
            88..95 => vec![self.of_node(), self.of_node()],
            _ => Vec::new(),
        };
        // Alone it would have nobody to be cut off from.
        if self.shape.envoys == 1 {
            faults.retain(|fault| !matches!(fault, Fault::CutEnvoy(_)) || self.random.bool());
        }
        let short = faults.iter().any(|fault| matches!(fault, Fault::KillControlPlane | Fault::KillEnvoy(_)));
        let lasts = if short { self.millis(50..3_500) } else { self.millis(200..5_000) };
        let then = self.millis(100..3_500);
        Some(Step { change, faults, lasts, then })
    }
}
