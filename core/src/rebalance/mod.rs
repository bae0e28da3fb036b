//! How a placement becomes another one while traffic runs, and which copies of a shard can be relied on meanwhile.
//!
//! A node that is to own a shard is **coming** first: nothing goes to it, but all who read it know that it may soon hold
//! documents that they must not count. Then it **joins**: writes go to it, reads don't, and it counts as **stale** until it was
//! repaired from a clean copy. So moving a shard and repairing a replica that missed a write are one thing. Once all
//! that are to own the shard are clean, those that are not to **leave**; what they still hold is a **leftover**, which
//! reads exclude by its tag until it is deleted.
//!
//! All of it is in the [`Epoch`] and the [`Stale`] marks, which the control plane keeps in its store. [`advance`] says
//! what the next epoch is, so whoever reads them after a crash goes on where it ended.
//!
//! # What holds at every moment
//!
//! Every shard has a **clean** reader, one that has all acknowledged writes, unless all copies were lost:
//!
//! - a write is acknowledged only if a clean reader of each of its shards took it ([`Epoch::has_clean_taker`]);
//! - whoever missed it becomes stale, but never the last clean reader ([`Epoch::may_become_stale`]);
//! - an epoch never takes away the last clean reader ([`Epoch::keeps_clean_readers_of`]).

mod advance;
mod epoch;
mod remains;
mod reshard;
#[cfg(test)]
mod tests;

pub use advance::{Situation, advance, rolled_back};
pub use epoch::{Epoch, Owners, Stale, converted_stale, is_stale};
pub use remains::{Refused, Remains, Shards};
pub use reshard::{Reshard, gathered, may_reshard, reshard};
