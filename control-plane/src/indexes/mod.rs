//! The life of indexes: each exists on every node, with one primary key and the same settings.
//!
//! A change is enqueued on all nodes before the client gets its task, so that every node does what follows on it
//! (documents above all) in the order in which clients were answered. A node that a change can't reach is brought
//! in step before it is read again, see [`reconcile`](crate::reconcile).

mod adopt;
pub mod drift;
pub mod fields;
mod gates;
mod lifecycle;
mod locks;
mod names;
mod nodes;
pub mod settings;

pub use adopt::{
    Adoption, Adoptions, Found, adopt, adoptions, find as find_adoptable, run as finish_adoptions,
};
pub use gates::{Closed, CopyPass, Gates};
pub use lifecycle::{compact, create, ensure, update};
pub use locks::IndexLocks;
pub use names::{
    check_swaps, delete, is_being_sent, repeat_where_failed, swap, take_down_late, take_pending, under_way,
};
pub use nodes::{at_least_one, bring_in_step, converge, enqueue_everywhere, lose};

use miroir_core::error::{ApiError, ErrorType};

/// The index does not exist.
pub fn index_not_found(uid: &str) -> ApiError {
    let message = format!("Index `{uid}` not found.");
    ApiError::new(404, "index_not_found", ErrorType::InvalidRequest, message)
}
