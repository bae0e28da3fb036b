//! Waiting for a state instead of for a time.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(20);

/// Asks `look` until it finds something, and gives that back.
///
/// # Errors
/// With `what` was waited for, if `patience` ends first; with the error of `look`, at once.
pub async fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {patience:?} for {what}");
        }
        sleep(PAUSE).await;
    }
}

/// Asks `look` until it says yes.
///
/// # Errors
/// As [`wait_for`].
pub async fn wait_until(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    wait_for(what, patience, async || Ok(look().await?.then_some(()))).await
}
