//! Starts the control plane's parts and stops them.

use crate::config::Config;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from serving.
pub async fn serve(_config: Config) -> anyhow::Result<()> {
    Ok(())
}
