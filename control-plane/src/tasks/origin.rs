//! What a client's request says of the task that it makes. Whoever registers the task finds it here, so that it need not
//! be handed through all that lies between.

use crate::store::Origin;

tokio::task_local! {
    static ORIGIN: Origin;
}

/// Does the work of a request.
pub async fn scope<F: Future>(origin: Origin, work: F) -> F::Output {
    ORIGIN.scope(origin, work).await
}

/// Of the request whose work is being done; of work of our own, nothing.
pub fn current() -> Origin {
    ORIGIN.try_with(Clone::clone).unwrap_or_default()
}
