//! Which requests with an idempotency key are under way: of those with the same key one does what it asks for, and the
//! others wait for its answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout_at;
use uuid::Uuid;

/// The keys that are held, by their ids. They are not in the store: where two requests with one key come to be under way
/// because the control plane was restarted, only one of them can be registered.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<HashMap<String, Held>>,
    /// Tells that a key is not held any more.
    released: Notify,
}

#[derive(Debug)]
struct Held {
    by: Uuid,
    since: Instant,
}

/// A key, held until this is dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    id: String,
    by: Uuid,
    is_handed_on: bool,
}

impl Claims {
    /// Holds a key, once nobody else does. `None` if that takes longer than `patience`. Who has held it for longer than
    /// `forget` is taken for gone.
    pub async fn claim(&self, id: &str, patience: Duration, forget: Duration) -> Option<Claim> {
        let deadline = Instant::now() + patience;
        loop {
            let released = self.0.released.notified();
            tokio::pin!(released);
            // Before looking, so that none is released unnoticed in between.
            released.as_mut().enable();
            let forgotten = match self.try_claim(id, forget) {
                Ok(claim) => return Some(claim),
                Err(forgotten) => forgotten,
            };
            if Instant::now() >= deadline {
                return None;
            }
            // Whatever ends it, one looks again.
            let _ = timeout_at(deadline.min(forgotten).into(), released).await;
        }
    }

    /// When it is held: until when at most.
    fn try_claim(&self, id: &str, forget: Duration) -> Result<Claim, Instant> {
        let mut held = self.held();
        if let Some(held) = held.get(id).filter(|held| held.since.elapsed() < forget) {
            return Err(held.since + forget);
        }
        let by = Uuid::new_v4();
        held.insert(id.to_owned(), Held { by, since: Instant::now() });
        Ok(Claim { claims: self.clone(), id: id.to_owned(), by, is_handed_on: false })
    }

    /// Whether someone else holds the key.
    pub fn is_held_by_another(&self, id: &str, by: Uuid) -> bool {
        self.held().get(id).is_some_and(|held| held.by != by)
    }

    /// The key is not held any more, if this one held it.
    pub fn release(&self, id: &str, by: Uuid) {
        let mut held = self.held();
        if held.get(id).is_some_and(|held| held.by == by) {
            held.remove(id);
            drop(held);
            self.0.released.notify_waiters();
        }
    }

    /// Nothing panics while it holds the lock.
    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Has another one hold it from now on, until it is [released](Claims::release).
    pub fn hand_on(mut self, to: Uuid) {
        if let Some(held) = self.claims.held().get_mut(&self.id).filter(|held| held.by == self.by) {
            held.by = to;
        }
        self.is_handed_on = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_handed_on {
            self.claims.release(&self.id, self.by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_key_is_held_by_one_at_a_time() {
        let claims = Claims::default();
        let claim = claims.claim("k", SHORT, LONG).await.expect("nobody holds it");
        assert!(claims.claim("k", SHORT, LONG).await.is_none());
        assert!(claims.claim("another", SHORT, LONG).await.is_some());
        let waiting = tokio::spawn({
            let claims = claims.clone();
            async move { claims.claim("k", LONG, LONG).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(claim);
        assert!(waiting.await.expect("it ends"));
    }

    #[tokio::test]
    async fn who_is_gone_loses_the_key() {
        let claims = Claims::default();
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        claims.claim("k", SHORT, LONG).await.expect("nobody holds it").hand_on(first);
        assert!(!claims.is_held_by_another("k", first) && claims.is_held_by_another("k", second));
        claims.claim("k", LONG, SHORT).await.expect("the first is forgotten").hand_on(second);
        assert!(claims.is_held_by_another("k", first));
        claims.release("k", first);
        assert!(claims.claim("k", SHORT, LONG).await.is_none(), "it is not the first one's any more");
        claims.release("k", second);
        assert!(claims.claim("k", SHORT, LONG).await.is_some());
    }
}
