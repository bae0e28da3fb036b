//! Tells a person who waits what is being done.

use std::sync::LazyLock;
use std::time::Duration;

use indicatif::ProgressBar;

/// Draws on a terminal only.
static SPINNER: LazyLock<ProgressBar> = LazyLock::new(|| {
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
});

/// Says what is being done now.
pub fn say(what: impl Into<String>) {
    SPINNER.set_message(what.into());
}

/// Prints above it.
pub fn print(text: &str) {
    SPINNER.suspend(|| println!("{text}"));
}
