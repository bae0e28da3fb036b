//! The protocol with a part left out: triggers in the control plane's store undo what that part writes there.

use anyhow::Result;
use miroir_harness::Cluster;
use rusqlite::Connection;

/// What is left out.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// Who missed a write, or joins, is not known to be stale, so nothing is copied or compared.
    Copying,
    /// A write that was routed by a retired table is acknowledged.
    Fencing,
}

impl Part {
    /// Leaves it out of a running cluster.
    ///
    /// # Errors
    /// If the store is not as it is known to be.
    pub fn leave_out(self, cluster: &Cluster) -> Result<()> {
        let trigger = match self {
            Part::Copying => {
                "CREATE TRIGGER broken AFTER INSERT ON stale_replicas BEGIN DELETE FROM stale_replicas; END"
            }
            Part::Fencing => {
                "CREATE TRIGGER broken BEFORE UPDATE ON counters WHEN NEW.name = 'first_live_epoch'
                 BEGIN SELECT RAISE(IGNORE); END"
            }
        };
        Ok(Connection::open(cluster.folder().join("miroir.db"))?.execute_batch(trigger)?)
    }
}
